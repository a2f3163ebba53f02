# SPDX-License-Identifier: GPL-2.0-or-later
"""The workers of this node that have signed on, and what waits for those that have not."""

from __future__ import annotations

from collections import deque

from ha.heartbeat.msg import Deliver
from ha.machine import Effect, Local, Note, Send

MAX_HELD_MESSAGES = 10_000
MAX_HELD_BYTES = 128 * 1024 * 1024
MAX_HELD_MODULES = 64


class Modules:
    def __init__(self) -> None:
        self.up: dict[str, None] = {}
        """In the order of signing on."""
        self.programs: dict[str, None] = {}
        """Names of programs of the client protocol, see `api`."""
        self.held: dict[str, deque[Deliver]] = {}
        self.held_messages = 0
        self.held_bytes = 0
        self.dropped: dict[str, int] = {}

    def names(self) -> list[str]:
        """All who can be reached here, as our peers are told."""
        return [*self.up, *self.programs]

    def signed_on(self, module: str) -> list[Effect]:
        """The worker is there: it gets what was held for it."""
        self.up[module] = None
        effects: list[Effect] = []
        dropped = self.dropped.pop(module, 0)
        if dropped:
            effects.append(Note("error", f"{dropped} messages for {module} were dropped while it was away"))
        for message in self.held.pop(module, ()):
            self.held_messages -= 1
            self.held_bytes -= len(message.body)
            effects.append(Send(Local(module), message))
        assert self.held_messages >= 0
        assert self.held_bytes >= 0
        return effects

    def hung_up(self, module: str) -> None:
        self.up.pop(module, None)

    def deliver(self, module: str, message: Deliver) -> list[Effect]:
        """To the worker, or held until it signs on; beyond the limits the newest is dropped, with a Note."""
        if module in self.up:
            return [Send(Local(module), message)]
        full = (
            self.held_messages >= MAX_HELD_MESSAGES
            or self.held_bytes + len(message.body) > MAX_HELD_BYTES
            or (module not in self.held and len(self.held) >= MAX_HELD_MODULES)
        )
        if full:
            self.dropped[module] = self.dropped.get(module, 0) + 1
            if self.dropped[module] > 1:
                return []
            return [Note("error", f"too much waits for workers that are away: messages for {module} are dropped")]
        self.held.setdefault(module, deque()).append(message)
        self.held_messages += 1
        self.held_bytes += len(message.body)
        return []
