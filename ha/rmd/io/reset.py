# SPDX-License-Identifier: GPL-2.0-or-later
"""Resets the machine, where rmd.cf allows it.

Source: Linux Documentation/admin-guide/sysrq.rst ('b'), reboot(2).
"""

from __future__ import annotations

import ctypes
import os

from ha.rmd.model import Reset
from ha.root import Root

RB_AUTOBOOT = 0x01234567


def reset_machine(how: Reset, root: Root) -> str:
    """Does not return where it succeeds for SYSRQ and REBOOT; else returns what is left to happen, as a sentence."""
    match how:
        case Reset.SYSRQ:
            try:
                with root.path("/proc/sysrq-trigger").open("w", encoding="ascii") as trigger:
                    trigger.write("b")
            except OSError as error:
                return f"sysrq-trigger: {error.strerror}"
            return "sysrq 'b' was given"
        case Reset.REBOOT:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.reboot(RB_AUTOBOOT)
            return f"reboot(2): {os.strerror(ctypes.get_errno())}"
        case Reset.WATCHDOG:
            return "the watchdog is petted no more"
    return "rmd.cf allows no reset"
