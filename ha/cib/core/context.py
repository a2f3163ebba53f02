# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the cib's core share within one step: the node, the moment, and the list of effects."""

from __future__ import annotations

from dataclasses import dataclass, field

from ha.ccm.msg import Synchronized, View, ViewId
from ha.machine import Arm, Client, Disarm, Effect, Execute, Instant, Level, Local, Message, Note, Remote, Reply, Send

Caller = Local | Remote | Client


@dataclass(slots=True)
class Context:
    """`view` and `writer` are what the local crmd last said (Lead, Follow); `membership` what ccm did.

    Without membership, `ccm_has_spoken` tells a node that is out of the cluster from a cib that just started.
    """

    node: str
    now: Instant = 0
    wall_offset_ms: int = 0
    view: ViewId | None = None
    writer: str = ""
    membership: View | None = None
    ccm_has_spoken: bool = False
    synchronized: ViewId | None = None
    effects: list[Effect] = field(default_factory=list)

    def quorate(self, view: ViewId) -> bool:
        """Whether ccm says that `view` has quorum."""
        return self.membership is not None and self.membership.id == view and self.membership.quorate

    def has_all(self, view: ViewId) -> None:
        """What was acknowledged before `view` is durable here, and ccm may know."""
        if self.synchronized != view:
            self.synchronized = view
            self.say_synchronized()

    def say_synchronized(self) -> None:
        if self.synchronized is not None:
            self.effects.append(Send(Local("ccm"), Synchronized(view=self.synchronized)))

    def tell(self, node: str, message: Message) -> None:
        """Speak to the cib of another node."""
        assert node != self.node, "one's own cib is not spoken to through the network"
        self.effects.append(Send(Remote(node, "cib"), message))

    def answer(self, caller: Caller, message: Message) -> None:
        self.effects.append(Reply(caller, message) if isinstance(caller, Client) else Send(caller, message))

    def execute(self, operation: str, request: object) -> None:
        self.effects.append(Execute(operation, request))

    def arm(self, timer: str, delay_ms: int) -> None:
        self.effects.append(Arm(timer, self.now + delay_ms))

    def disarm(self, timer: str) -> None:
        self.effects.append(Disarm(timer))

    def note(self, level: Level, text: str) -> None:
        self.effects.append(Note(level, text))
