# SPDX-License-Identifier: GPL-2.0-or-later
"""Roles of a resource instance, ordered by how much it does."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """Declared order matters: a role above another implies everything the other does."""

    UNKNOWN = 0
    STOPPED = 1
    STARTED = 2
    UNPROMOTED = 3
    PROMOTED = 4

    @property
    def text(self) -> str:
        return _TEXT[self]


_TEXT = {
    Role.UNKNOWN: "Unknown",
    Role.STOPPED: "Stopped",
    Role.STARTED: "Started",
    Role.UNPROMOTED: "Unpromoted",
    Role.PROMOTED: "Promoted",
}
_PARSE = {text.lower(): role for role, text in _TEXT.items()} | {"slave": Role.UNPROMOTED, "master": Role.PROMOTED}


def parse_role(text: str | None) -> Role:
    """The role named by `text` in any case (Master and Slave are the older names); UNKNOWN for anything else."""
    if text is None:
        return Role.UNKNOWN
    return _PARSE.get(text.lower(), Role.UNKNOWN)
