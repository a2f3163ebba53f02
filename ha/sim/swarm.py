# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm: random clusters under random faults, by seed.

Safety phase: troublemakers act, and no promise may break at any step. Then everything is healed, and the cluster must
converge: all nodes in one quorate view, one DC, every resource running exactly once, nothing left to do, and every
acknowledged write still there. A run is (seed, commit) and nothing else.

Prior art: TigerBeetle's VOPR, FoundationDB's simulation.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from ha.cib.msg import Write, Written
from ha.machine import Message
from ha.sim.cluster import Cluster, NotIdle, OperatorError
from ha.sim.configuration import to_xml
from ha.sim.faults import (
    EVERYTHING,
    FAULT_PAUSE_US,
    HARMLESS,
    SELF_FENCING,
    TIE_BREAKERS,
    WORKERS,
    Trouble,
    Troublemaker,
    calm_weather,
)
from ha.sim.programs import Program
from ha.sim.promises import AgreedViews, NoRestarts
from ha.sim.world import Violation, World

SETTLE_LIMIT_MS = 180_000
"""A healthy cluster that does not settle in that time never will: a liveness failure."""

MAX_NODES = 5
FAST_SHARE = 0.15
"""Of the small clusters; the fast profile sends eight times as many packets."""

OLDER_SHARE = 0.2
"""Clusters in the middle of a rolling upgrade."""

TIE_BREAKER_CHOICES = ("register", "register", "ping")
TIE_BREAKER_SEEDS = (0, 3, 6)
"""Of clusters with an even number of nodes those whose seed leaves this remainder by 7 have a tie-breaker: the others
stay what they were when they found a bug."""

WATCHDOG_MS = 10_000
WATCHDOG_SEEDS = 1
"""Of clusters without fencing those whose seed leaves this remainder by 3 fence themselves by watchdogs."""

MIN_FAULTS, MAX_FAULTS = 5, 18

W = TypeVar("W")
MakeWorld = Callable[[list[str], dict[str, str], int], World]


@dataclass(frozen=True)
class Plan:
    """What a seed is about. Drawn from a stream of its own, so that no change of a core changes it."""

    nodes: int
    fencing: bool
    profile: str
    faults: int
    drift_ppm: tuple[int, ...]
    media: int = 1
    times: str = "default"
    older: int = 0
    """The number of a node that runs an older release yet; 0: none."""
    tie_breaker: str = ""
    """What decides between halves: register, ping, or nothing."""

    watchdog_ms: int = 0
    """Without fencing: the timeout of each node's watchdog, by which it fences itself; 0: there is none."""

    @property
    def troublemakers(self) -> tuple[Troublemaker, ...]:
        if self.profile == "workers":
            return WORKERS
        if self.watchdog_ms:
            return SELF_FENCING + TIE_BREAKERS[self.tie_breaker]
        return (EVERYTHING if self.fencing else HARMLESS) + TIE_BREAKERS[self.tie_breaker]

    @property
    def options(self) -> dict[str, str]:
        """Of `ha.sim.stack`."""
        return {
            "media": str(self.media), "profile": self.times, "older": f"n{self.older}",
            "tie_breaker": self.tie_breaker, **({"watchdog": str(self.watchdog_ms)} if self.watchdog_ms else {}),
        }  # fmt: skip


def plan(seed: int) -> Plan:
    chance = Random(f"{seed}/plan")
    nodes = chance.choice((2, 3, 3, 3, 4, MAX_NODES))
    fencing = chance.random() < 0.7
    return Plan(
        nodes=nodes,
        fencing=fencing,
        watchdog_ms=WATCHDOG_MS if not fencing and nodes > 2 and seed % 3 == WATCHDOG_SEEDS else 0,
        profile="workers" if chance.random() < 0.2 else "all",
        faults=chance.randrange(MIN_FAULTS, MAX_FAULTS + 1),
        drift_ppm=tuple(chance.choice((0, 0, chance.randrange(-200, 200))) for _ in range(nodes)),
        media=chance.choice((1, 1, 2)),
        times="fast" if chance.random() < FAST_SHARE and nodes <= 3 else "default",
        older=chance.randrange(1, nodes + 1) if chance.random() < OLDER_SHARE else 0,
        tie_breaker=chance.choice(TIE_BREAKER_CHOICES) if nodes % 2 == 0 and seed % 7 in TIE_BREAKER_SEEDS else "",
    )


@dataclass
class Result:
    """`failure` is empty when all went well; `promise` names the broken one, "liveness" or "invariant"."""

    seed: int
    plan: Plan
    fingerprint: str
    virtual_ms: int
    promise: str = ""
    failure: str = ""
    trace: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failure


class Swarm:
    """One seed's run. `configuration` is in the words of `ha.sim.configuration`."""

    def __init__(self, seed: int, make_world: MakeWorld, configuration: Callable[[Plan], list[str]]) -> None:
        self.seed = seed
        self.plan = plan(seed)
        names = [f"n{number}" for number in range(1, self.plan.nodes + 1)]
        self.world = make_world(names, self.plan.options, seed)
        self.cluster = Cluster(self.world)
        self.configuration = configuration(self.plan)
        self.resources = tuple(
            line.split()[1] for line in self.configuration if line.startswith("primitive ") and "stonith:" not in line
        )
        self.trouble = Trouble(self.cluster, self.world.chance("faults"), self.resources)
        self.acknowledged: dict[str, str] = {}
        self._marks = 0

    def run(self) -> Result:
        try:
            self._begin()
            self._trouble()
            self._heal()
            self._check_replicas()
            self._check_writes()
        except Violation as violation:
            return self._result(violation.promise, str(violation))
        except (NotIdle, OperatorError) as error:
            return self._result("liveness", str(error))
        except Exception as error:  # a worker that ends with a trace has broken an invariant, and the seed must be told
            told = "".join(traceback.format_exception(error)[-6:])
            return self._result("invariant", f"{type(error).__name__}: {error}\n{told}")
        return self._result("", "")

    def _result(self, promise: str, failure: str) -> Result:
        trace = [str(line) for line in self.world.trace] if failure else []
        now_ms = self.world.agenda.now_us // 1000
        return Result(self.seed, self.plan, self.world.fingerprint, now_ms, promise, failure, trace)

    # Phases ----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        chance = self.world.chance("begin")
        for node, drift_ppm in zip(self.world.nodes.values(), self.plan.drift_ppm, strict=True):
            node.clock.drift_ppm = drift_ppm
            self.world.agenda.after(chance.randrange(1_000_000), node.power_on)
        self.world.run_for(2_000)
        self._settle(resources=False)
        if self.configuration:
            first = self.cluster.powered()[0].name
            written = self.cluster.configure(first, to_xml(self.configuration))
            assert written.outcome == "committed", f"the configuration is not accepted: {written.reason}"
        self._settle()

    def _trouble(self) -> None:
        chance = self.trouble.chance
        trouble = self.trouble
        watch = self._watcher(NoRestarts)
        watch.armed = self.plan.profile == "workers"
        for _ in range(self.plan.faults):
            chance.choice(self.plan.troublemakers)(trouble)
            if chance.random() < 0.5:
                self._write_mark(chance)
            self.world.run_until_us(self.world.agenda.now_us + chance.randrange(*FAULT_PAUSE_US))

    def _heal(self) -> None:
        world = self.world
        world.log("operator", "operator", "heal everything")
        world.network.heal_all()
        world.network.silent_pings.clear()
        world.register.repair()
        calm_weather(self.cluster)
        self.cluster.behave()
        for node in world.nodes.values():
            node.disk.slow_share, node.disk.full = 0.0, False
            node.resume()
            for process in list(node.processes.values()):
                process.crash_after = None
                if process.frozen:
                    self.cluster.thaw(node.name, process.name)
        world.run_until_us(max(world.agenda.now_us, self.trouble.undone_us))
        self._switch_on()
        if self.configuration:
            self._settle(resources=False)
            self._take_nodes_back()
        self._settle()

    def _switch_on(self) -> None:
        """Nodes that are off, and those that were told to leave and have left."""
        for node in self.world.nodes.values():
            if node.powered and not node.supervisor.wanted:
                node.power_off("it had left the cluster")
            node.power_on()

    def _take_nodes_back(self) -> None:
        """No node stays in standby."""
        words = [f"node {name} standby=off" for name in self.world.nodes]
        first = next(iter(self.world.nodes))
        written = self.cluster.configure(first, to_xml(words, self.cluster.node_ids(first)))
        assert written.outcome == "committed", f"standby cannot be taken back: {written.reason}"

    def _settle(self, *, resources: bool = True) -> None:
        """Until the cluster is as it should be, or it is clear that it will not be."""
        limit_us = self.world.agenda.now_us + SETTLE_LIMIT_MS * 1000
        while True:
            left_ms = max((limit_us - self.world.agenda.now_us) // 1000, 1)
            self.cluster.run_until_idle(left_ms)
            self._switch_on()
            wrong = self._wrong(resources)
            if not wrong:
                return
            if self.world.agenda.now_us >= limit_us:
                raise NotIdle("; ".join(wrong))
            self.world.run_for(1_000)

    # What must be so -------------------------------------------------------------------------------------------------

    def _wrong(self, resources: bool) -> list[str]:
        return [*self._wrong_membership(), *self._wrong_dc(), *(self._wrong_places() if resources else ())]

    def _wrong_membership(self) -> list[str]:
        views = self._watcher(AgreedViews)
        names = set(self.world.nodes)
        if not views.views:
            return [] if not any(kind.name == "ccm" for kind in self.world.stack.workers) else ["no view yet"]
        wrong = []
        for name in self.world.nodes:
            view = views.newest.get(name)
            seen = views.views[view] if view is not None else None
            if seen is None or {node for node, _ in seen.members} != names or not seen.quorate:
                wrong.append(f"{name} is in view {view}: {seen}")
        if not wrong and len({views.newest[name] for name in names}) > 1:
            wrong.append("the nodes are in different views of all of them")
        return wrong

    def _wrong_dc(self) -> list[str]:
        if not any(kind.name == "crmd" for kind in self.world.stack.workers):
            return []
        try:
            said = {name: self.cluster.state(name).dc for name in self.world.nodes}
        except OperatorError as error:
            return [str(error)]
        return [] if len(set(said.values())) == 1 and "" not in said.values() else [f"DCs: {said}"]

    def _wrong_places(self) -> list[str]:
        places = self.cluster.places()
        return [
            f"{resource} is on {places.get(resource, [])}"
            for resource in self.resources
            if len(places.get(resource, [])) != 1
        ]

    def _watcher(self, kind: type[W]) -> W:
        return next(watcher for watcher in self.world.watchers if isinstance(watcher, kind))

    # Writes ----------------------------------------------------------------------------------------------------------

    def _write_mark(self, chance: Random) -> None:
        """Somebody writes a property by way of some node, and remembers whether it was acknowledged."""
        node = chance.choice(list(self.world.nodes.values()))
        process = node.processes.get("cib")
        if process is None:
            return
        self._marks += 1
        name, value = f"mark-{self._marks}", str(chance.randrange(1_000_000))
        xml = (
            '<crm_config><cluster_property_set id="swarm-marks">'
            f'<nvpair id="swarm-{name}" name="{name}" value="{value}"/></cluster_property_set></crm_config>'
        )

        def heard(message: Message | None) -> None:
            if isinstance(message, Written) and message.outcome == "committed":
                self.acknowledged[name] = value

        program = Program("swarm", process, heard)
        program.say(
            Write(request_id=f"swarm-{name}", operation="modify", scope="crm_config", xml=xml, allow_create=True)
        )

    def _check_replicas(self) -> None:
        """P3: when all is at rest, every node has the same CIB."""
        if "cib" not in next(iter(self.world.nodes.values())).processes:
            return
        whole = {name: self.cluster.query(name).xml for name in self.world.nodes}
        if len(set(whole.values())) > 1:
            raise Violation("P3", f"at rest the CIBs differ: {[(name, len(xml)) for name, xml in whole.items()]}")

    def _check_writes(self) -> None:
        if not self.acknowledged:
            return
        for node in self.world.nodes:
            answer = self.cluster.query(node)
            for name, value in self.acknowledged.items():
                if f'name="{name}" value="{value}"' not in answer.xml:
                    raise Violation("P3", f"the acknowledged write of {name}={value} is gone on {node}")
