# SPDX-License-Identifier: GPL-2.0-or-later
"""What all parts of the machine share during a step: the moment, the effects so far, and this node itself."""

from __future__ import annotations

import random

from ha.heartbeat.core.modules import Modules
from ha.heartbeat.core.sequence import History
from ha.heartbeat.core.throttle import Throttle
from ha.heartbeat.core.transmitter import Transmitter
from ha.heartbeat.model import AuthKeys, HaCf, Times
from ha.heartbeat.model.wire import Value
from ha.heartbeat.msg import NodeState
from ha.machine import Arm, Effect, Instant, Level, Note


class Context:
    def __init__(self, node: str, ha_cf: HaCf, keys: AuthKeys, boot_id: str) -> None:
        self.node = node
        self.ha_cf = ha_cf
        self.keys = keys
        self.boot_id = boot_id
        self.state: NodeState = "init"
        self.now: Instant = 0
        self.effects: list[Effect] = []
        self.armed: dict[str, Instant] = {}
        self.random = random.Random(0)
        self.seq = 0
        self.transmitter = Transmitter(node, ha_cf, keys)
        self.history = History(ha_cf.max_rexmit_delay_ms)
        self.throttle = Throttle()
        self.modules = Modules()

    @property
    def times(self) -> Times:
        return self.ha_cf.times

    @property
    def generation(self) -> int:
        return self.transmitter.generation

    def note(self, level: Level, text: str) -> None:
        self.effects.append(Note(level, text))

    def complain(self, subject: str, level: Level, text: str) -> None:
        """A note about what may come in floods."""
        self.effects.extend(self.throttle.note(subject, level, text, self.now))

    def wake_by(self, timer: str, deadline: Instant | None) -> None:
        """Have `timer` fire at `deadline` or earlier. Who is woken early looks at the clock and asks again."""
        if deadline is None:
            return
        deadline = max(deadline, self.now)
        armed = self.armed.get(timer)
        if armed is None or deadline < armed:
            self.armed[timer] = deadline
            self.effects.append(Arm(timer, deadline))

    def fired(self, timer: str) -> None:
        self.armed.pop(timer, None)

    def broadcast(self, items: list[tuple[str, Value]], times: int = 1) -> None:
        """A numbered packet to all nodes, kept for those that ask for it again."""
        self.seq += 1
        numbered: list[tuple[str, Value]] = [*items, ("seq", f"{self.seq:x}")]
        self.history.keep(self.seq, numbered)
        sends = self.transmitter.to_all([*numbered, ("srcuuid", self.transmitter.uuid)], self.now)
        self.effects.extend(sends * times)
