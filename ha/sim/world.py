# SPDX-License-Identifier: GPL-2.0-or-later
"""The world: one virtual time, one seed, and the twin of everything outside the cores.

Every source of chance is a stream of its own, derived from the seed and a name, so that a change in one twin does not
reshuffle the others. Watchers see every step, effect and act of an agent as it happens; a broken promise is raised
by them as Violation and ends the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import get_args

from ha.machine import Effect, Event, Execute, Fence, Level, Machine, Note, Persist
from ha.sim.agenda import MS, Agenda
from ha.sim.agents import AgentCall, AgentOutcome, Misbehaviour
from ha.sim.network import Network
from ha.sim.node import BOOT_US, Node
from ha.sim.power import PowerSwitch
from ha.sim.process import Process
from ha.sim.register import Register

_NAMES: dict[type, bytes] = {kind: kind.__name__.encode() for kind in get_args(Effect)}

QUIET_LEVELS: frozenset[str] = frozenset({"debug", "info"})
"""Notes below notice are no part of a golden trace."""


class Violation(Exception):
    """A promise was broken. `promise` is its number in the design (P1 ...)."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise
        self.text = text


@dataclass(frozen=True, slots=True)
class TraceLine:
    """`kind` is a note's level, or what acted: agent, fence, power, crash, supervision, operator."""

    at_us: int
    source: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.at_us // MS / 1000:9.3f} {self.source:<12} {self.kind:<8} {self.text}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What the builders of a stack may know of the node they build for."""

    node: str
    nodes: tuple[str, ...]
    boot_id: str = ""
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """One worker of a stack. `on_demand` ones start when the crmd asks rmd for them."""

    name: str
    build: Callable[[Setup], Machine]
    deadline_ms: int = 1000
    on_demand: bool = False


Service = Callable[[Process, str, object], None]
"""Twin of an io adapter: (process, operation, request), ends in `process.finish(operation, outcome)`."""


Wrap = Callable[[str, str, Machine], Machine]
"""(node, worker, machine) -> the machine that runs in its place: how tests plant bugs."""


@dataclass(frozen=True)
class Stack:
    """The workers of every node, in start order, and what serves their Execute and Fence requests, by request type."""

    workers: tuple[WorkerKind, ...]
    services: dict[type, Service] = field(default_factory=dict)

    def kind(self, name: str) -> WorkerKind:
        if name == "rmd":
            return WorkerKind("rmd", lambda setup: _no_machine())
        return next(kind for kind in self.workers if kind.name == name)


def _no_machine() -> Machine:
    raise AssertionError("rmd has a twin, not a core")


class Watcher:
    """Sees everything; does nothing by default."""

    def spawned(self, process: Process) -> None: ...
    def stepped(self, process: Process, event: Event, effects: list[Effect]) -> None: ...
    def carrying_out(self, process: Process, effect: Effect) -> None: ...
    def agent_begins(self, node: Node, call: AgentCall) -> None: ...
    def agent_ended(self, node: Node, call: AgentCall, outcome: AgentOutcome) -> None: ...
    def powered_off(self, node: Node) -> None: ...


class World:
    def __init__(
        self, stack: Stack, names: Iterable[str], *, seed: int, watchers: Iterable[Watcher] = (),
        options: dict[str, str] | None = None, wrap: Wrap | None = None,
    ) -> None:  # fmt: skip
        self.stack = stack
        self.seed = seed
        self.agenda = Agenda()
        self.trace: list[TraceLine] = []
        self.watchers: list[Watcher] = []
        self._watch_steps: list[Callable[[Process, Event, list[Effect]], None]] = []
        self._watch_effects: list[Callable[[Process, Effect], None]] = []
        self.watch(*watchers)
        self.options = dict(options or {})
        self.misbehaviours: list[Misbehaviour] = []
        self.busy_us = 0
        """When something last happened that is more than the cluster's pulse: see `is_quiet`."""
        self._chances: dict[str, Random] = {}
        self._digest = hashlib.blake2b(digest_size=16)
        self._serial = 0
        self._off: set[str] = set()
        self._wrap = wrap
        self.network = Network(self, self.chance("network"))
        self.switch = PowerSwitch(self)
        self.register = Register()
        self.nodes: dict[str, Node] = {}
        for number, name in enumerate(names, start=1):
            self.nodes[name] = Node(self, name, number)

    def watch(self, *watchers: Watcher) -> None:
        """Have them see everything from now on. Steps and effects are many: who does not look is not called."""
        self.watchers += watchers
        self._watch_steps += [w.stepped for w in watchers if type(w).stepped is not Watcher.stepped]
        self._watch_effects += [w.carrying_out for w in watchers if type(w).carrying_out is not Watcher.carrying_out]

    # Chance, identity, trace -----------------------------------------------------------------------------------------

    def chance(self, name: str) -> Random:
        """The stream of that name. Seeding with text is the same on every machine and under every PYTHONHASHSEED."""
        if name not in self._chances:
            self._chances[name] = Random(f"{self.seed}/{name}")
        return self._chances[name]

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def digest(self, data: bytes) -> None:
        self._digest.update(data)

    @property
    def fingerprint(self) -> str:
        """A hash of everything that happened so far: equal for equal runs (P6)."""
        return self._digest.hexdigest()

    def log(self, source: str, kind: str, text: str) -> None:
        line = TraceLine(self.agenda.now_us, source, kind, text)
        self.digest(f"{line.at_us} {source} {kind} {text}\n".encode())
        if kind not in QUIET_LEVELS:
            self.busy_us = self.agenda.now_us
        self.trace.append(line)

    # What processes and twins report ---------------------------------------------------------------------------------

    def spawned(self, process: Process) -> None:
        for watcher in self.watchers:
            watcher.spawned(process)

    def stepped(self, process: Process, event: Event, effects: list[Effect]) -> None:
        self.digest(f"{self.agenda.now_us} {process.label} {type(event).__name__} {len(effects)}\n".encode())
        for watch in self._watch_steps:
            watch(process, event, effects)

    def carrying_out(self, process: Process, effect: Effect) -> None:
        kind = type(effect)
        if kind is Persist:
            assert isinstance(effect, Persist)
            self.digest(effect.name.encode() + effect.data)
        elif kind is Execute or kind is Fence:
            assert isinstance(effect, (Execute, Fence))
            self.digest(f"{effect.operation} {type(effect.request).__name__}".encode())
        elif kind is not Note:
            self.digest(_NAMES[kind])
        for watch in self._watch_effects:
            watch(process, effect)

    def agent_begins(self, node: Node, call: AgentCall) -> None:
        for watcher in self.watchers:
            watcher.agent_begins(node, call)

    def agent_ended(self, node: Node, call: AgentCall, outcome: AgentOutcome) -> None:
        for watcher in self.watchers:
            watcher.agent_ended(node, call, outcome)

    def powered_off(self, node: Node) -> None:
        for watcher in self.watchers:
            watcher.powered_off(node)

    def execute(self, process: Process, operation: str, request: object) -> None:
        service = self.stack.services.get(type(request))
        assert service is not None, f"{process!r}: nothing serves {type(request).__qualname__}"
        service(process, operation, request)

    # Building --------------------------------------------------------------------------------------------------------

    def setup(self, node: Node) -> Setup:
        return Setup(node.name, tuple(self.nodes), f"{node.name}-boot-{node.boot}", self.options)

    def wrapped(self, node: Node, name: str, machine: Machine) -> Machine:
        """Tests may put a wrapper round a core, to plant a bug in it."""
        return self._wrap(node.name, name, machine) if self._wrap is not None else machine

    # Power of machines that nobody holds off -------------------------------------------------------------------------

    def hold_off(self, name: str) -> None:
        """The operator keeps this machine off: no fence device switches it on."""
        self._off.add(name)

    def release(self, name: str) -> None:
        self._off.discard(name)

    def stays_off(self, name: str) -> bool:
        return name in self._off

    def boot_later(self, node: Node) -> None:
        boot = node.boot

        def booted() -> None:
            if not node.powered and node.boot == boot and not self.stays_off(node.name):
                node.power_on()

        self.agenda.after(BOOT_US, booted)

    # Time ------------------------------------------------------------------------------------------------------------

    def run_for(self, duration_ms: int) -> None:
        self.run_until_us(self.agenda.now_us + duration_ms * MS)

    def run_until_us(self, limit_us: int) -> None:
        self.agenda.run_until(limit_us)

    def run_while(self, condition: Callable[[], bool], limit_ms: int, look_every_ms: int = 10) -> bool:
        """Run until `condition()` is false, looking every so often. False when the limit came first."""
        limit_us = self.agenda.now_us + limit_ms * MS
        while condition():
            if self.agenda.now_us >= limit_us:
                return False
            self.run_until_us(min(limit_us, self.agenda.now_us + look_every_ms * MS))
        return True

    def is_quiet(self, quiet_ms: int) -> bool:
        """Nothing was noted, run or switched for that long, and no agent but monitors is at work."""
        if self.agenda.now_us - self.busy_us < quiet_ms * MS:
            return False
        return not any(
            call.operation != "monitor" for node in self.nodes.values() for call, _ in node.agents.running.values()
        )

    def lines(self, level: Level = "notice") -> list[TraceLine]:
        """The trace an operator reads: notes of notice and above, and every act of the outside world."""
        assert level == "notice"
        return [line for line in self.trace if line.kind not in QUIET_LEVELS]
