# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker has done outside: resource scripts and fence devices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ha.haresources.model.haresources import Resource

Action: TypeAlias = Literal["status", "start", "stop"]
_NOT_RUNNING = re.compile(r"not\s+running", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RunScript:
    """Execute: ends in a ScriptEnd."""

    resource: Resource
    action: Action


@dataclass(frozen=True, slots=True)
class SettleScripts:
    """Execute, once at start: wait for what an earlier life of this worker began. Its outcome says nothing."""


@dataclass(frozen=True, slots=True)
class ScriptEnd:
    """`code` is the exit code, -1 when the script did not run to its end; `text` its output, or why it did not run."""

    code: int
    text: str = ""

    @property
    def running(self) -> bool:
        """What `status` printed, as Heartbeat judges it: the exit code does not count."""
        return not _NOT_RUNNING.search(self.text) and ("running" in self.text.lower() or "OK" in self.text)


@dataclass(frozen=True, slots=True)
class FenceDevice:
    """A stonith_host line: a Linux-HA plug-in, its parameters as the file has them, and from where it works ("*")."""

    host: str
    plugin: str
    parameters: str


@dataclass(frozen=True, slots=True)
class FencePeer:
    """Fence: reset `node`; ends in a FenceEnd."""

    device: FenceDevice
    node: str


@dataclass(frozen=True, slots=True)
class FenceEnd:
    confirmed: bool
    text: str = ""
