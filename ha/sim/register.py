# SPDX-License-Identifier: GPL-2.0-or-later
"""The truth of a tie-breaker's register: what is in it, and how it is out of order."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Register:
    """`is_dead`: nobody is answered. `lost_answers` is the share of requests that are carried out, but whose answer
    does not come; `delay_us` how long any takes. `unreachable` are nodes whose way to it is cut."""

    version: int = 0
    data: bytes = b""
    is_dead: bool = False
    lost_answers: float = 0.0
    delay_us: int = 5_000
    unreachable: set[str] = field(default_factory=set)

    def repair(self) -> None:
        """As it should be; its content stays."""
        self.is_dead, self.lost_answers, self.delay_us = False, 0.0, 5_000
        self.unreachable.clear()
