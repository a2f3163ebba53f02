# SPDX-License-Identifier: GPL-2.0-or-later
"""A few heartbeat cores joined by a fake wire under virtual time.

Nothing here waits: `run` jumps from one event to the next. The wire loses, doubles, delays and reorders packets by
its own dice, and directions may be cut.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field

from ha.heartbeat.core import build
from ha.heartbeat.model import AuthKeys, parse, parse_authkeys
from ha.heartbeat.msg import Announced, Deliver, LinkStatus, ModuleStatus, NodeStatus, Transmit
from ha.machine import (
    Arm,
    Connected,
    Disarm,
    Effect,
    Event,
    Execute,
    Fired,
    Instant,
    Local,
    Lost,
    Message,
    Note,
    Packet,
    Persist,
    Received,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
    Wire,
)

KEYS = parse_authkeys("auth 1\n1 hmac-sha256 a-secret-of-the-cluster\n", "authkeys")
WALL_OFFSET_MS = 1_700_000_000_000


@dataclass
class Weather:
    """What the wire does to packets: chances from 0 to 1, delays in ms."""

    loss: float = 0.0
    doubling: float = 0.0
    delay_ms: tuple[int, int] = (1, 1)
    max_bytes: int = 1 << 20


@dataclass
class Host:
    """A node and what its core said."""

    name: str
    boot_id: str
    media: str
    persisted: dict[str, bytes] = field(default_factory=dict)
    core: object = None
    life: int = 0
    timers: dict[str, Instant] = field(default_factory=dict)
    delivered: list[tuple[str, Deliver]] = field(default_factory=list)
    statuses: list[NodeStatus] = field(default_factory=list)
    modules: list[tuple[str, ModuleStatus]] = field(default_factory=list)
    links: list[LinkStatus] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    executed: list[Execute] = field(default_factory=list)
    notes: list[tuple[Instant, Note]] = field(default_factory=list)
    paused_until: Instant = 0
    late: list[tuple[Event, int]] = field(default_factory=list)

    def state_of(self, node: str) -> str:
        return next((s.state for s in reversed(self.statuses) if s.node == node), "unknown")

    def bodies(self, module: str, from_node: str) -> list[bytes]:
        return [d.body for m, d in self.delivered if m == module and d.from_node == from_node]


class World:
    def __init__(
        self, names: list[str], config: str = "", media: str = "bcast eth0", seed: int = 1, keys: AuthKeys = KEYS
    ) -> None:
        self.now: Instant = 1_000_000
        self.random = random.Random(seed)
        self.weather = Weather()
        self.config = config
        self.keys = keys
        self.names = names
        self.cut: set[tuple[str, str]] = set()
        self.cut_media: set[str] = set()
        self.queue: list[tuple[Instant, int, str, int, Event]] = []
        self.count = itertools.count()
        self.packets = 0
        self.hosts = {name: Host(name, f"boot-{name}-1", media) for name in names}

    def start(self, *names: str, modules: tuple[str, ...] = ("ccm", "cib")) -> None:
        for name in names or self.names:
            host = self.hosts[name]
            host.life += 1
            host.timers.clear()
            host.delivered, host.statuses, host.modules = [], [], []
            ha_cf = parse(f"node {' '.join(self.names)}\n{host.media}\n{self.config}\n", "ha.cf")
            host.core = build(node=name, ha_cf=ha_cf, keys=self.keys, boot_id=host.boot_id)
            self.step(name, Started(f"{name}-{host.life}", self.random.getrandbits(32), dict(host.persisted)))
            self.step(name, Wall(WALL_OFFSET_MS))
            for module in modules:
                self.step(name, Connected(Local(module)))

    def kill(self, name: str) -> None:
        self.hosts[name].core = None
        self.hosts[name].life += 1

    def boot(self, name: str) -> None:
        host = self.hosts[name]
        host.boot_id = f"boot-{name}-{host.life + 1}"
        self.start(name)

    def stop(self, name: str) -> None:
        self.step(name, Stopping())
        self.kill(name)

    def connect(self, name: str, module: str) -> None:
        self.step(name, Connected(Local(module)))

    def lose(self, name: str, module: str) -> None:
        self.step(name, Lost(Local(module)))

    def say(self, name: str, module: str, message: Message) -> None:
        self.step(name, Received(Local(module), message))

    def transmit(self, name: str, to_node: str | None, body: bytes, module: str = "cib", to: str = "cib") -> None:
        self.step(name, Received(Local(module), Transmit(to_node=to_node, to_module=to, body=body)))

    def pause(self, name: str, duration_ms: int) -> None:
        """SIGSTOP now, SIGCONT then: what arrives meanwhile waits, in order."""
        self.hosts[name].paused_until = self.now + duration_ms

    def step(self, name: str, event: Event) -> list[Effect]:
        host = self.hosts[name]
        if host.core is None:
            return []
        effects = host.core.step(event, self.now)  # type: ignore[attr-defined]
        for effect in effects:
            self.carry_out(host, effect)
        return effects

    def carry_out(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, Arm):
            host.timers[effect.timer] = effect.deadline
            self.later(effect.deadline, host, Fired(effect.timer))
        elif isinstance(effect, Disarm):
            host.timers.pop(effect.timer, None)
        elif isinstance(effect, Persist):
            host.persisted[effect.name] = effect.data
        elif isinstance(effect, Note):
            host.notes.append((self.now, effect))
        elif isinstance(effect, Reply):
            host.replies.append(effect)
        elif isinstance(effect, Execute):
            host.executed.append(effect)
        elif isinstance(effect, Send):
            self.send(host, effect)

    def send(self, host: Host, effect: Send) -> None:
        message = effect.message
        if isinstance(effect.to, Wire):
            assert isinstance(message, Packet)
            self.travel(host, effect.to, message)
        elif isinstance(message, Deliver):
            assert isinstance(effect.to, Local)
            host.delivered.append((effect.to.module, message))
        elif isinstance(message, NodeStatus):
            host.statuses.append(message)
        elif isinstance(message, ModuleStatus):
            assert isinstance(effect.to, Local)
            host.modules.append((effect.to.module, message))
        elif isinstance(message, LinkStatus):
            host.links.append(message)
        elif isinstance(message, Announced):
            host.announced.append(message)
        else:
            raise AssertionError(f"{host.name} sends {effect}")

    def travel(self, sender: Host, wire: Wire, packet: Packet) -> None:
        self.packets += 1
        for name, host in self.hosts.items():
            if wire.peer not in ("", f"10.0.0.{self.names.index(name) + 1}:694"):
                continue
            if (sender.name, name) in self.cut or wire.medium in self.cut_media:
                continue
            source = f"10.0.0.{self.names.index(sender.name) + 1}:694"
            for _ in range(2 if self.random.random() < self.weather.doubling else 1):
                if self.random.random() >= self.weather.loss and len(packet.data) <= self.weather.max_bytes:
                    moment = self.now + self.random.randint(*self.weather.delay_ms)
                    self.later(moment, host, Received(Wire(wire.medium, source), packet))

    def later(self, moment: Instant, host: Host, event: Event) -> None:
        heapq.heappush(self.queue, (moment, next(self.count), host.name, host.life, event))

    def run(self, duration_ms: int) -> None:
        end = self.now + duration_ms
        while self.queue and self.queue[0][0] <= end:
            moment, _, name, life, event = heapq.heappop(self.queue)
            self.now = max(self.now, moment)
            host = self.hosts[name]
            if isinstance(event, Received):
                life = host.life  # packets know no lives
            if life != host.life or host.core is None:
                continue
            if host.paused_until > self.now:
                self.later(host.paused_until, host, event)
                continue
            if isinstance(event, Fired):
                if host.timers.get(event.timer, moment + 1) > moment:
                    continue
                del host.timers[event.timer]
            self.step(name, event)
        self.now = end

    def run_until(self, condition: object, limit_ms: int) -> int:
        """Run until the condition holds; returns how long that took. Fails at the limit."""
        assert callable(condition)
        start = self.now
        while not condition():
            assert self.now < start + limit_ms, "the condition never came to hold"
            moment = self.queue[0][0] if self.queue else start + limit_ms
            self.run(max(moment - self.now, 1) if moment > self.now else 0)
        return self.now - start
