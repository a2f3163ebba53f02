# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd is told. Source: sd_notify(3), sd_watchdog_enabled(3): datagrams to $NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Kept from the workers: only the root pair speaks to systemd."""


class Systemd:
    """Without NOTIFY_SOCKET in the environment every call is without effect."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environment.get("WATCHDOG_USEC", "")
        self.watchdog_interval_ms = int(usec) // 2000 if self._address and usec.isdigit() else 0
        """Half of WatchdogSec; 0 when systemd does not watch. WATCHDOG_PID is another's after a takeover."""

    @property
    def present(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
            try:
                out.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return  # systemd is behind or gone: it will judge by its own watchdog

    def ready(self, status: str) -> None:
        self.tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def stopping(self) -> None:
        self.tell("STOPPING=1")

    def watchdog(self) -> None:
        self.tell("WATCHDOG=1")
