# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part of the crmd shares: who we are, the moment, the view, the links, and the effects of this step."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ha.ccm.msg import View, ViewId
from ha.crm.model import FEATURE_SET
from ha.machine import Arm, Disarm, Effect, Instant, Level, Local, Message, Note, Remote, Send

ABSENT_MS = 2_000
"""A crmd gone for so long is not waited for in an election: rmd has one back in 20 ms, a frozen one in 1 s."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`nodes`: the configured cluster, in the order of ha.cf. Times as in ha.cf. `feature_set` is ours but
    in tests of rolling upgrades. `has_tie_breaker`: it decides between two halves, and may take
    `tie_breaker_wait_ms`."""

    node: str
    nodes: tuple[str, ...]
    deadtime_ms: int
    initdead_ms: int
    feature_set: str = FEATURE_SET
    has_tie_breaker: bool = False
    tie_breaker_wait_ms: int = 0


class Context:
    """No decisions here."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.node = settings.node
        self.incarnation = ""
        self.started_at: Instant = 0
        self.now: Instant = 0
        self.wall_ms = 0
        self.out: list[Effect] = []
        self.inbox: deque[Message] = deque()
        self.linked: set[str] = set()
        self.view: View | None = None
        self.in_doubt = False
        self.peer_up: dict[str, bool] = {}
        self.peer_down_since: dict[str, Instant] = {}
        self._serial = 0

    # Saying ----------------------------------------------------------------------------------------------------------

    def send(self, module: str, message: Message) -> None:
        """To a worker of this node, if it is there. Whoever must be heard says it again when it is back."""
        if module in self.linked:
            self.out.append(Send(Local(module), message))

    def tell(self, node: str, message: Message) -> None:
        """To a node's crmd; to our own without a detour."""
        if node == self.node:
            self.inbox.append(message)
        else:
            self.out.append(Send(Remote(node, "crmd"), message))

    def tell_others(self, message: Message) -> None:
        """To every other member of the view, by age."""
        for node in self.members():
            if node != self.node:
                self.tell(node, message)

    def arm(self, timer: str, delay_ms: int) -> None:
        assert delay_ms >= 0, f"timer {timer} in the past"
        self.out.append(Arm(timer, self.now + delay_ms))

    def disarm(self, timer: str) -> None:
        self.out.append(Disarm(timer))

    def note(self, level: Level, text: str) -> None:
        self.out.append(Note(level, text))

    # Knowing ---------------------------------------------------------------------------------------------------------

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    def request_id(self) -> str:
        """Unique for ever: the incarnation is."""
        return f"crmd-{self.incarnation}-{self.serial()}"

    def unix_ms(self) -> int:
        return max(0, self.now + self.wall_ms)

    def unix_s(self) -> int:
        return self.unix_ms() // 1000

    def members(self) -> tuple[str, ...]:
        return self.view.names() if self.view is not None else ()

    @property
    def view_id(self) -> ViewId | None:
        return self.view.id if self.view is not None else None

    def is_absent(self, node: str) -> bool:
        """Whether a member's crmd has been gone for so long that nobody waits for it."""
        if node == self.node or self.peer_up.get(node, False):
            return False
        since = self.peer_down_since.get(node)
        return since is not None and self.now - since >= ABSENT_MS
