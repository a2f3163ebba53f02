# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's watchdog device; a plain file serves as a fake.

Source: Linux Documentation/watchdog/watchdog-api.rst: opening starts it, any write pets it, closing stops it only
after the magic character 'V'.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

WDIOC_SETTIMEOUT = 0xC0045706
KEEPALIVE = b"1"
MAGIC_CLOSE = b"V"

MAX_DESCRIPTORS = 256
"""Looked at in each process when the holder of a busy device is searched."""


class WatchdogError(OSError):
    """The device cannot be used; the text says why and who holds it."""


class Watchdog:
    def __init__(self, device: str, timeout_ms: int) -> None:
        """Opens (and so starts) the device. `timeout_ms` 0 leaves the device's own. Raises WatchdogError."""
        try:
            self._descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            holders = _holders(device) if error.errno == errno.EBUSY else ""
            raise WatchdogError(f"watchdog {device}: {error.strerror}{holders}") from error
        self.device = device
        # A file as a fake has no timeout to set.
        if timeout_ms and stat.S_ISCHR(os.fstat(self._descriptor).st_mode):
            seconds = -(-timeout_ms // 1000)
            try:
                fcntl.ioctl(self._descriptor, WDIOC_SETTIMEOUT, struct.pack("i", seconds))
            except OSError as error:
                self.close()
                raise WatchdogError(f"watchdog {device}: no timeout of {seconds} s: {error.strerror}") from error

    def pet(self) -> None:
        os.write(self._descriptor, KEEPALIVE)

    def close(self) -> None:
        """In good order: the node is not reset."""
        os.write(self._descriptor, MAGIC_CLOSE)
        os.close(self._descriptor)


def _holders(device: str) -> str:
    """Who has the device open, as far as /proc lets us see: " (held by wd_keepalive, pid 212)"."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            links = os.listdir(f"/proc/{entry}/fd")[:MAX_DESCRIPTORS]
            if any(os.readlink(f"/proc/{entry}/fd/{link}") == device for link in links):
                with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as comm:
                    found.append(f"{comm.read().strip()}, pid {entry}")
        except OSError:
            continue  # it ended meanwhile, or is not ours to look into
    return f" (held by {'; '.join(found)})" if found else ""
