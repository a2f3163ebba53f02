# SPDX-License-Identifier: GPL-2.0-or-later
"""The troublemakers of the swarm: each does one thing to a cluster, and undoes it after a while where that is needed.

A profile says which of them may act. What no cluster manager can promise against is in none: two copies after a stop
that lied, or after a fence device that lied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ha.cib.msg import Answer, Query, Write
from ha.machine import Message
from ha.sim.agenda import MS, SECOND
from ha.sim.agents import Misbehaviour
from ha.sim.cluster import Cluster
from ha.sim.configuration import node_ids, to_xml
from ha.sim.network import PING_ADDRESS
from ha.sim.node import Node
from ha.sim.power import SwitchFault
from ha.sim.process import Process
from ha.sim.programs import Program

MAX_CRASH_EFFECTS = 40
"""A worker told to die between two effects does so within that many."""


@dataclass
class Trouble:
    """What a troublemaker may use. By `undone_us` every undo that was put off is done."""

    cluster: Cluster
    chance: Random
    resources: tuple[str, ...]
    undone_us: int = 0

    def node(self) -> Node:
        """Rather one that runs something than an idle one: there is more to break."""
        nodes = list(self.cluster.world.nodes.values())
        busy = [node for node in nodes if node.powered and any(map(node.agents.may_be_active, self.resources))]
        return self.chance.choice(busy if busy and self.chance.random() < 0.6 else nodes)

    def worker(self) -> Process | None:
        processes = [p for p in self.node().processes.values() if p.name != "rmd"]
        return self.chance.choice(processes) if processes else None

    def tell(self, words: str) -> None:
        """Change the configuration by way of some node, without waiting for what it says."""
        process = self.node().processes.get("cib")
        if process is None:
            return

        def heard(message: Message | None) -> None:
            if isinstance(message, Answer) and not message.rc:
                program.say(
                    Write(
                        request_id=f"trouble-{self.cluster.request_id()}",
                        operation="modify",
                        scope="configuration",
                        xml=to_xml([words], node_ids(message.xml)),
                        allow_create=True,
                    )
                )

        program = Program("operator", process, heard)
        program.say(Query(request_id=f"trouble-{self.cluster.request_id()}", xpath="/cib/configuration/nodes"))

    def later(self, low_ms: int, high_ms: int, act: Callable[[], None]) -> None:
        self.at(self.chance.randrange(low_ms, high_ms), act)

    def at(self, delay_ms: int, act: Callable[[], None]) -> None:
        at_us = self.cluster.world.agenda.now_us + delay_ms * MS
        self.undone_us = max(self.undone_us, at_us)
        self.cluster.world.agenda.at(at_us, act)


def kill_worker(trouble: Trouble) -> None:
    process = trouble.worker()
    if process is not None:
        trouble.cluster.kill(process.node.name, process.name)


def crash_worker(trouble: Trouble) -> None:
    process = trouble.worker()
    if process is not None:
        trouble.cluster.crash(process.node.name, process.name, trouble.chance.randrange(MAX_CRASH_EFFECTS))


def freeze_worker(trouble: Trouble) -> None:
    process = trouble.worker()
    if process is None or process.frozen:
        return
    node, name = process.node.name, process.name
    trouble.cluster.freeze(node, name)

    def thaw() -> None:
        if process.alive and process.frozen:
            trouble.cluster.thaw(node, name)

    trouble.later(1, 2_000, thaw)


def restart_worker(trouble: Trouble) -> None:
    process = trouble.worker()
    if process is not None and not process.ending and not process.frozen and not process.node.paused:
        trouble.cluster.restart(process.node.name, process.name)


def pull_the_plug(trouble: Trouble) -> None:
    node = trouble.node()
    node.power_off("pulled plug")
    trouble.later(100, 20_000, node.power_on)


def pause_node(trouble: Trouble) -> None:
    node = trouble.node()
    if node.powered and not node.paused:
        node.pause()
        trouble.later(10, 6_000, node.resume)


def shut_down_node(trouble: Trouble) -> None:
    node = trouble.node()
    if "crmd" not in node.processes or node.paused:
        return
    trouble.cluster.world.log(node.name, "operator", "shut down")
    trouble.cluster.shut_down(node.name)

    def boot() -> None:
        node.power_off("the operator switches it off")
        node.power_on()

    trouble.later(10_000, 30_000, boot)


def hurry_node(trouble: Trouble) -> None:
    """A node is told to leave, and its workers are ended before it could: what runs there runs on, unwatched."""
    node = trouble.node()
    if "crmd" not in node.processes or node.paused:
        return
    for resource_id in trouble.resources:
        rule = Misbehaviour("slow", resource_id, "stop", node=node.name, extra_ms=5_000, count=1)
        trouble.cluster.misbehave(rule)
    trouble.cluster.world.log(node.name, "operator", "shut down")
    trouble.cluster.shut_down(node.name)

    def lose_patience() -> None:
        if node.powered and node.supervisor.wanted:
            trouble.cluster.world.log(node.name, "operator", "loses patience: the workers are ended")
            trouble.cluster.end_workers(node.name)

    def boot() -> None:
        node.power_off("the operator switches it off")
        node.power_on()

    trouble.later(10, 3_000, lose_patience)
    trouble.later(10_000, 30_000, boot)


def standby_node(trouble: Trouble) -> None:
    """Somebody puts a node into standby, and takes it back later, whether or not anybody hears it."""
    name = trouble.node().name
    trouble.tell(f"node {name} standby=on")
    trouble.later(1_000, 15_000, lambda: trouble.tell(f"node {name} standby=off"))


def cut_link(trouble: Trouble) -> None:
    names = list(trouble.cluster.world.nodes)
    if len(names) < 2:
        return
    one, other = trouble.chance.sample(names, 2)
    trouble.cluster.cut(one, other, both_ways=trouble.chance.random() < 0.5)
    trouble.later(100, 15_000, lambda: _mend(trouble, one, other))


def flap_link(trouble: Trouble) -> None:
    """A link that goes and comes, about as fast as its loss is noticed."""
    names = list(trouble.cluster.world.nodes)
    one, other = trouble.chance.sample(names, 2)
    both_ways = trouble.chance.random() < 0.5
    at_ms = 0
    for _ in range(trouble.chance.randrange(2, 6)):
        trouble.at(at_ms, lambda: trouble.cluster.cut(one, other, both_ways=both_ways))
        at_ms += trouble.chance.randrange(50, 3_000)
        trouble.at(at_ms, lambda: _mend(trouble, one, other))
        at_ms += trouble.chance.randrange(50, 2_000)


def isolate_node(trouble: Trouble) -> None:
    node = trouble.node()
    for other in trouble.cluster.world.nodes:
        if other != node.name:
            trouble.cluster.cut(node.name, other)
            trouble.later(100, 15_000, lambda other=other: _mend(trouble, node.name, other))  # type: ignore[misc]


def _mend(trouble: Trouble, one: str, other: str) -> None:
    trouble.cluster.world.log("network", "operator", f"mend {one} <-> {other}")
    trouble.cluster.world.network.heal(one, other)
    trouble.cluster.world.network.heal(other, one)


def storm(trouble: Trouble) -> None:
    """Loss, duplication, reordering and delay for some seconds."""
    weather = trouble.cluster.world.network.weather
    weather.loss = trouble.chance.choice((0.0, 0.02, 0.1, 0.3))
    weather.duplication = trouble.chance.choice((0.0, 0.1))
    weather.reordering = trouble.chance.choice((0.0, 0.1))
    weather.jitter_us = trouble.chance.choice((0, 1_000, 20_000))

    def calm() -> None:
        calm_weather(trouble.cluster)

    trouble.later(200, 8_000, calm)


def calm_weather(cluster: Cluster) -> None:
    weather = cluster.world.network.weather
    weather.loss = weather.duplication = weather.reordering = 0.0
    weather.jitter_us = 0


def slow_disk(trouble: Trouble) -> None:
    disk = trouble.node().disk
    disk.slow_share = 0.5

    def quick() -> None:
        disk.slow_share = 0.0

    trouble.later(500, 10_000, quick)


def fill_disk(trouble: Trouble) -> None:
    """The CIB cannot be written there for a while: nothing may be acknowledged that is not safe."""
    node = trouble.node()
    trouble.cluster.fill_disk(node.name, full=True)
    trouble.later(300, 8_000, lambda: trouble.cluster.fill_disk(node.name, full=False))


def turn_clock(trouble: Trouble) -> None:
    trouble.node().set_clock(trouble.chance.randrange(-3_600_000, 3_600_000))


def break_resource(trouble: Trouble) -> None:
    if not trouble.resources:
        return
    resource_id = trouble.chance.choice(trouble.resources)
    for node in trouble.cluster.powered():
        if node.agents.state(resource_id) == "started":
            node.agents.break_resource(resource_id)


def break_agent(trouble: Trouble) -> None:
    """One failed or endless call. Stops that fail need fencing: `break_stop` is another troublemaker."""
    if not trouble.resources:
        return
    kind = trouble.chance.choice(("fails", "hangs", "slow"))
    operation = trouble.chance.choice(("start", "monitor"))
    resource_id = trouble.chance.choice(trouble.resources)
    trouble.cluster.misbehave(Misbehaviour(kind, resource_id, operation, extra_ms=3_000, count=1))  # type: ignore[arg-type]


def break_stop(trouble: Trouble) -> None:
    if not trouble.resources:
        return
    kind = trouble.chance.choice(("fails", "hangs"))
    rule = Misbehaviour(kind, trouble.chance.choice(trouble.resources), "stop", count=1)  # type: ignore[arg-type]
    trouble.cluster.misbehave(rule)


def slow_stop(trouble: Trouble) -> None:
    """Stops that take long, yet end before their timeout: what a grace must cover."""
    if trouble.resources:
        extra_ms = trouble.chance.randrange(500, 15_000)
        rule = Misbehaviour("slow", trouble.chance.choice(trouble.resources), "stop", extra_ms=extra_ms, count=2)
        trouble.cluster.misbehave(rule)


def isolate_slow_node(trouble: Trouble) -> None:
    """Cut a node off that will need long to stop what it runs."""
    for resource_id in trouble.resources:
        extra_ms = trouble.chance.randrange(500, 15_000)
        trouble.cluster.misbehave(Misbehaviour("slow", resource_id, "stop", extra_ms=extra_ms, count=1))
    isolate_node(trouble)


STUCK_MS = 30_000


def isolate_stuck_node(trouble: Trouble) -> None:
    """Cut a node off whose stops hang: its watchdog has to reset it. In the end the operator does, if it has not."""
    node = trouble.node()
    boot = node.boot
    stuck = Misbehaviour("hangs", "", "stop", node=node.name)
    trouble.cluster.misbehave(stuck)
    for other in trouble.cluster.world.nodes:
        if other != node.name:
            trouble.cluster.cut(node.name, other)
            trouble.at(STUCK_MS, lambda other=other: _mend(trouble, node.name, other))  # type: ignore[misc]

    def free() -> None:
        stuck.count = 0
        if node.powered and node.boot == boot:
            node.power_cycle("the operator resets it")

    trouble.at(STUCK_MS - 1, free)


def freeze_host(trouble: Trouble) -> None:
    """Longer than its watchdog lets it: no process runs, and the device does not stand still."""
    node = trouble.node()
    if node.powered and not node.paused:
        node.pause()
        trouble.later(5_000, 40_000, node.resume)


def break_switch(trouble: Trouble) -> None:
    kind = trouble.chance.choice(("fails", "hangs", "slow"))
    fault = SwitchFault(kind, extra_ms=5_000, count=trouble.chance.randrange(1, 3))  # type: ignore[arg-type]
    trouble.cluster.break_switch(fault)


def break_register(trouble: Trouble) -> None:
    """The tie-breaker's register is dead, slow, out of reach of some, or does what it is told without an answer; and
    then the cluster is split, for else nobody asks it."""
    world = trouble.cluster.world
    register, chance = world.register, trouble.chance
    match chance.choice(("dead", "slow", "unreachable", "mute", "well")):
        case "dead":
            register.is_dead = True
        case "slow":
            register.delay_us = chance.randrange(5_000, 3_000_000)
        case "unreachable":
            register.unreachable = {name for name in world.nodes if chance.random() < 0.5}
        case "mute":
            register.lost_answers = 0.5
    world.log("register", "operator", f"is now {register!r}"[:200])
    trouble.later(500, 15_000, register.repair)
    split(trouble)


def silence_ping(trouble: Trouble) -> None:
    """The pinged host is silent for a while, or the way to it is, and the cluster is split."""
    network = trouble.cluster.world.network
    if trouble.chance.random() < 0.5:
        network.silent_pings.add(PING_ADDRESS)
        trouble.later(500, 15_000, lambda: network.silent_pings.discard(PING_ADDRESS))
    else:
        name = trouble.node().name
        network.cut(name, PING_ADDRESS)
        trouble.later(500, 15_000, lambda: network.heal(name, PING_ADDRESS))
    split(trouble)


def split(trouble: Trouble) -> None:
    """Into two halves, which both live."""
    names = list(trouble.cluster.world.nodes)
    half = set(trouble.chance.sample(names, len(names) // 2))
    for one in names:
        for other in names:
            if one in half and other not in half:
                trouble.cluster.cut(one, other)
    mended_ms = trouble.chance.randrange(500, 15_000)
    for one in names:
        for other in names:
            if one in half and other not in half:
                trouble.at(mended_ms, lambda one=one, other=other: _mend(trouble, one, other))  # type: ignore[misc]


Troublemaker = Callable[[Trouble], None]

WORKERS: tuple[Troublemaker, ...] = (kill_worker, crash_worker, freeze_worker, restart_worker)
"""Faults of processes alone: P4 says that no resource notices."""

NETWORK: tuple[Troublemaker, ...] = (cut_link, flap_link, isolate_node, storm, turn_clock, slow_disk, fill_disk)

TIE_BREAKERS: dict[str, tuple[Troublemaker, ...]] = {
    "": (),
    "register": (break_register,) * 4,
    "ping": (silence_ping,) * 4,
}
"""By what decides between halves."""

HARMLESS: tuple[Troublemaker, ...] = (
    *WORKERS, *NETWORK, pull_the_plug, shut_down_node, standby_node, break_resource, break_agent, slow_stop,
    isolate_slow_node,
)  # fmt: skip
"""What a cluster without fencing can promise P1 against, by its grace."""

EVERYTHING: tuple[Troublemaker, ...] = (
    *HARMLESS, pause_node, pause_node, break_stop, break_switch, hurry_node,
)  # fmt: skip
"""With fencing."""

SELF_FENCING: tuple[Troublemaker, ...] = (
    *WORKERS, *NETWORK, pull_the_plug, shut_down_node, standby_node, break_resource, isolate_stuck_node,
    isolate_stuck_node, freeze_host, pause_node,
)  # fmt: skip
"""What watchdogs cover without fencing; but stops that hang on a member, which nobody resets."""

FAULT_PAUSE_US = (20 * MS, 4 * SECOND)
"""Between two faults: short enough that they meet, long enough that recoveries are also seen to end."""
