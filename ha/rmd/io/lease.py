# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd's lease on the watchdog, on its way to apphbd, and kept for whoever comes after this rmd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.apphbd.io import lease_file
from ha.apphbd.msg import LEASE_MS, Lease
from ha.machine import Instant

if TYPE_CHECKING:
    from ha.rmd.io.guard import Guard
    from ha.rmd.io.loop import RootSupervisor


class LeaseKeeper:
    """`watchdog_timeout_ms` 0: apphbd pets none, as far as it has said yet."""

    def __init__(self, supervisor: RootSupervisor, guard: Guard) -> None:
        self.supervisor = supervisor
        self._guard = guard
        self.watchdog_timeout_ms = 0
        self.until: Instant | None = None
        self._complained = False
        try:
            self.until = lease_file.load(supervisor.root)
        except lease_file.LeaseFileError as error:
            supervisor.error(str(error))
            self.until = supervisor.now()

    def renew(self, until: Instant) -> None:
        if not self.watchdog_timeout_ms:
            self.supervisor.warn("the crmd gives a lease on a watchdog that nobody pets: it is ignored")
            return
        until = min(until, self.supervisor.now() + LEASE_MS)
        if self.until is None:
            self.supervisor.info("self-fencing: from now on the watchdog is petted by the crmd's leave only")
        self._take(until)

    def release(self) -> None:
        if self.until is not None:
            self.supervisor.info("self-fencing: the lease was given back, the watchdog is petted without it")
            self._take(None)

    def tell(self) -> None:
        """To apphbd, which may be a new one."""
        self._guard.channel.send(Lease(until=self.until))

    def _take(self, until: Instant | None) -> None:
        self.until = until
        try:
            lease_file.keep(self.supervisor.root, until)
            self._complained = False
        except OSError as error:
            if not self._complained:
                self._complained = True
                self.supervisor.error(f"the lease cannot be kept for a successor of rmd: {error}")
        self.tell()
