# SPDX-License-Identifier: GPL-2.0-or-later
"""Ping nodes: addresses outside the cluster (routers, usually) that tell a node whether its own network works.

With each keepalive every address gets an echo request. A ping node is up when any of its addresses answers, and dead
when none did for deadping. It is no member, has no vote, and runs nothing.

A request carries our name, generation and a count, so that nobody else's answer counts. Who can forge packets on the
network can forge these too: an echo is not authenticated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ha.heartbeat.core.context import Context
from ha.heartbeat.model.ha_cf import PING, PingNode
from ha.machine import Instant, Packet, Send, Wire

PingState: TypeAlias = Literal["init", "ping", "dead"]  # as Heartbeat names them


@dataclass(slots=True)
class Ping:
    node: PingNode
    deadline: Instant
    state: PingState = "init"
    last_heard: Instant | None = None
    oldest_valid: int = 1
    """Answers to earlier requests are too old."""


class Pings:
    """`changed` is told of every change of state."""

    def __init__(self, context: Context, changed: Callable[[str, PingState], None]) -> None:
        self.context = context
        self.changed = changed
        self.pings: dict[str, Ping] = {}
        self.count = 0

    def begin(self) -> None:
        ha_cf = self.context.ha_cf
        deadline = self.context.now + max(ha_cf.deadping_ms, ha_cf.times.initdead_ms)
        self.pings = {node.name: Ping(node, deadline) for node in ha_cf.ping}

    def _token(self, count: int) -> bytes:
        return f"ha {self.context.node} {self.context.generation:x} {count:x}".encode()

    def ask(self) -> None:
        """With every keepalive: ask all, and see who has been silent for too long."""
        context = self.context
        if not self.pings:
            return
        self.count += 1
        packet = Packet(data=self._token(self.count))
        for ping in self.pings.values():
            ping.oldest_valid = self.count - context.ha_cf.deadping_ms // context.times.keepalive_ms
            if ping.state != "dead" and context.now >= ping.deadline:
                silent = "never" if ping.last_heard is None else f"{context.now - ping.last_heard} ms ago"
                self._become(ping, "dead", f"last answered {silent} (deadping {context.ha_cf.deadping_ms} ms)")
            for address in ping.node.addresses:
                context.effects.append(Send(Wire(ping.node.medium, address), packet))

    def heard(self, wire: Wire, data: bytes) -> None:
        """An echo on one of our media. What is no answer to us is passed by: other programs ping too."""
        ping = self.pings.get(wire.medium.removeprefix(f"{PING} "))
        prefix = f"ha {self.context.node} {self.context.generation:x} ".encode()
        if ping is None or wire.peer not in ping.node.addresses or not data.startswith(prefix):
            return
        try:
            count = int(data[len(prefix) :], 16)
        except ValueError:
            return
        if not max(ping.oldest_valid, 1) <= count <= self.count:
            return
        ping.last_heard = self.context.now
        ping.deadline = self.context.now + self.context.ha_cf.deadping_ms
        if ping.state != "ping":
            self._become(ping, "ping", f"{wire.peer} answers")

    def absence(self, absence_ms: int) -> None:
        """We were away: what was not heard meanwhile is no evidence."""
        for ping in self.pings.values():
            ping.deadline = max(ping.deadline + absence_ms, self.context.now + self.context.times.warntime_ms)

    def _become(self, ping: Ping, state: PingState, evidence: str) -> None:
        old, ping.state = ping.state, state
        level: Literal["warning", "notice"] = "warning" if state == "dead" else "notice"
        self.context.note(level, f"ping node {ping.node.name}: {old} => {state}: {evidence}")
        self.changed(ping.node.name, state)
