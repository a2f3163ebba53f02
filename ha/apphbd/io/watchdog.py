# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's watchdog device; a plain file serves as a fake.

Source: Linux Documentation/watchdog/watchdog-api.rst and include/uapi/linux/watchdog.h: opening starts it, any write
pets it, closing stops it only after the magic character 'V'. A device may know more than that, or not: each question it
does not answer is left out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

WDIOC_GETSUPPORT = 0x80285700
WDIOC_GETBOOTSTATUS = 0x80045702
WDIOC_SETTIMEOUT = 0xC0045706
WDIOC_GETTIMEOUT = 0x80045707
WDIOC_SETPRETIMEOUT = 0xC0045708
_INT = struct.Struct("i")
_SUPPORT = struct.Struct("=II32s")
BOOT_REASONS = {
    0x01: "overheated", 0x02: "a fan failed", 0x04: "external relay 1", 0x08: "external relay 2",
    0x10: "power was bad", 0x20: "a watchdog had reset it", 0x40: "power was over the limit",
}  # fmt: skip
"""Bits of the boot status."""
KEEPALIVE = b"1"
MAGIC_CLOSE = b"V"

MAX_DESCRIPTORS = 256
"""Looked at in each process when the holder of a busy device is searched."""


class WatchdogError(OSError):
    """The device cannot be used; the text says why and who holds it."""


class Watchdog:
    def __init__(self, device: str, timeout_ms: int, pretimeout_ms: int = 0) -> None:
        """Opens (and so starts) the device. `timeout_ms` 0 leaves the device's own; with `pretimeout_ms` the kernel
        acts that long before the reset, as its pre-timeout governor says (panic: a crash dump). Raises WatchdogError.
        """
        try:
            self._descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            holders = _holders(device) if error.errno == errno.EBUSY else ""
            raise WatchdogError(f"watchdog {device}: {error.strerror}{holders}") from error
        self.device = device
        # A file as a fake has nothing to set.
        self._is_real = stat.S_ISCHR(os.fstat(self._descriptor).st_mode)
        self._wanted_ms = timeout_ms
        self._set(WDIOC_SETTIMEOUT, "timeout", timeout_ms)
        self._set(WDIOC_SETPRETIMEOUT, "pre-timeout", pretimeout_ms)

    def _set(self, request: int, what: str, length_ms: int) -> None:
        if not length_ms or not self._is_real:
            return
        seconds = -(-length_ms // 1000)
        try:
            fcntl.ioctl(self._descriptor, request, _INT.pack(seconds))
        except OSError as error:
            self.close()
            raise WatchdogError(f"watchdog {self.device}: no {what} of {seconds} s: {error.strerror}") from error

    def _ask(self, request: int, size: int) -> bytes | None:
        """None when the device does not know."""
        try:
            return fcntl.ioctl(self._descriptor, request, bytes(size))
        except OSError:
            return None

    def identity(self) -> str:
        """What it is, and the timeout that it has taken: drivers round it, or have one of their own."""
        support, timeout = self._ask(WDIOC_GETSUPPORT, _SUPPORT.size), self._ask(WDIOC_GETTIMEOUT, _INT.size)
        name = _SUPPORT.unpack(support)[2].split(b"\0")[0].decode("ascii", "replace") if support else "a file"
        seconds = f", timeout {_INT.unpack(timeout)[0]} s" if timeout else ""
        return f"watchdog {self.device} ({name}{seconds})"

    def timeout_ms(self) -> int:
        """What the device itself says; of a file, what was configured. 0: nobody knows."""
        if not self._is_real:
            return self._wanted_ms
        timeout = self._ask(WDIOC_GETTIMEOUT, _INT.size)
        return int(_INT.unpack(timeout)[0]) * 1000 if timeout else 0

    def boot_reasons(self) -> list[str]:
        """Why the machine was reset last, as far as the device knows; empty after an ordinary boot."""
        status = self._ask(WDIOC_GETBOOTSTATUS, _INT.size)
        bits = _INT.unpack(status)[0] if status else 0
        return [reason for bit, reason in BOOT_REASONS.items() if bits & bit] if bits > 0 else []

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
