# SPDX-License-Identifier: GPL-2.0-or-later
"""Watchdog self-fencing: this node's watchdog is petted only while the node may live (P1).

It may while it is a member of a quorate view that ccm stands by, or while the LRM says that nothing is active here.
Each renewal is good for LEASE_MS; who is silent (a dead crmd, a ccm in doubt, an LRM that hangs) renews nothing. A node
that has lost its quorum stops its resources; once that is done the lease is renewed, if the watchdog has not run down.

Where peers would not wait long enough for this node's watchdog there is no lease: nobody may count on it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.apphbd.msg import LEASE_MS
from ha.crm.core.context import Context
from ha.crm.core.shutdown import HARMLESS, active_resources
from ha.crm.model.self_fencing import least_wait_ms, wait_of
from ha.lrm.msg import GetHistory, History, RunOperation
from ha.machine import Instant
from ha.rmd.msg import ReleaseLease, RenewLease
from ha.stonith.msg import GetSelfFencing

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

RENEW_MS = 1_000
TIMER = "lease/renew"


class WatchdogLease:
    """`option_ms`, `watchdog_timeout_ms` are None until stonithd and rmd have told them."""

    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.option_ms: int | None = None
        self.watchdog_timeout_ms: int | None = None
        self.wanted = False
        self.view_is_fresh = False
        """ccm has spoken since it is linked: a restarted one may not know its view yet."""
        self.asked_at: Instant | None = None
        self.complaint = ""

    # What it depends on ----------------------------------------------------------------------------------------------

    def watchdog_armed(self, timeout_ms: int) -> None:
        self.watchdog_timeout_ms = timeout_ms
        if self.crmd.fsm.ended:
            if self.crmd.shutdown.nothing_runs:
                self.give_back()
            return
        self.ask_option()
        self._settle()

    def ask_option(self) -> None:
        """stonithd is there (again), or there is a watchdog."""
        if self.watchdog_timeout_ms:
            self.context.send("stonithd", GetSelfFencing())

    def option_told(self, wait_ms: int) -> None:
        self.option_ms = wait_ms
        self._settle()

    def ccm_spoke(self) -> None:
        self.view_is_fresh = True

    def unlinked(self, module: str) -> None:
        if module == "ccm":
            self.view_is_fresh = False
        elif module == "lrmd":
            self.asked_at = None

    def _settle(self) -> None:
        """Both facts are known: is there to be a lease?"""
        if self.option_ms is None or self.watchdog_timeout_ms is None:
            return
        was_wanted, self.wanted = self.wanted, self._is_safe(self.option_ms, self.watchdog_timeout_ms)
        if not self.wanted:
            self.context.disarm(TIMER)
            self.give_back()
        elif not was_wanted:
            self.context.note("notice", "self-fencing by the watchdog: it is petted while this node has quorum, or "
                              "nothing is active here")
            self.renew()

    def _is_safe(self, option_ms: int, timeout_ms: int) -> bool:
        wait_ms = wait_of(option_ms, timeout_ms)
        if not wait_ms:
            return False
        settings = self.context.settings
        least_ms = least_wait_ms(settings.deadtime_ms, timeout_ms, settings.tie_breaker_wait_ms)
        complaint = "" if wait_ms >= least_ms else (
            f"stonith-watchdog-timeout is {wait_ms} ms, and this node may live for {least_ms} ms after its peers have "
            f"lost it (watchdog timeout {timeout_ms} ms): no self-fencing; set it to {least_ms} ms or more"
        )
        if complaint and complaint != self.complaint:
            self.context.note("error", complaint)
        self.complaint = complaint
        return not complaint

    # The lease -------------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Now and every RENEW_MS."""
        if not self.wanted:
            return
        self.context.arm(TIMER, RENEW_MS)
        if self.is_quorate:
            self._renew_from(self.context.now)
        elif self.asked_at is None and "lrmd" in self.context.linked:
            self.asked_at = self.context.now
            self.context.send("lrmd", GetHistory())

    @property
    def is_quorate(self) -> bool:
        view, context = self.context.view, self.context
        if view is None or context.in_doubt or not self.view_is_fresh or "ccm" not in context.linked:
            return False
        return view.quorate and context.node in view.names()

    def history(self, message: History) -> None:
        """What the LRM has, asked because there is no quorum."""
        asked_at, self.asked_at = self.asked_at, None
        if asked_at is None or not self.wanted or self.crmd.fsm.ended:
            return
        given = [each.what for each in self.crmd.orders.given.values() if isinstance(each.what, RunOperation)]
        changing = any(order.operation not in HARMLESS for order in (*message.running, *given))
        if not changing and not active_resources(message.results):
            self._renew_from(asked_at)

    def _renew_from(self, since: Instant) -> None:
        self.context.send("rmd", RenewLease(until=since + LEASE_MS))

    def give_back(self) -> None:
        """Nothing runs here, or nobody counts on it."""
        if self.watchdog_timeout_ms:
            self.context.send("rmd", ReleaseLease())
