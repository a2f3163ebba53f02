# SPDX-License-Identifier: GPL-2.0-or-later
"""Why something asked of the CIB was not done, and the exit codes that the tools share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Rc(IntEnum):
    """Exit codes of the command-line tools that the CIB uses. Source: Pacemaker 2.1's `crm_error -X -l`."""

    OK = 0
    ERROR = 1
    PRIVILEGE = 4
    USAGE = 64
    DATA = 65
    NO_INPUT = 66
    CANNOT_CREATE = 73
    IO = 74
    TRY_AGAIN = 75
    PROTOCOL = 76
    CONFIG = 78
    NOT_CONNECTED = 102
    OLD = 103
    DIGEST = 104
    NO_SUCH = 105
    QUORUM = 106
    UNSAFE = 107
    EXISTS = 108
    TIMEOUT = 124


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """A request that cannot be met: exit code, the element and line concerned, and the rule in words.

    `line` counts from 1 in the text that the caller gave, 0 when no line is to blame.
    """

    rc: Rc
    rule: str
    element: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = ", ".join(part for part in (f"line {self.line}" if self.line else "", self.element) if part)
        return f"{place}: {self.rule}" if place else self.rule
