# SPDX-License-Identifier: GPL-2.0-or-later
"""Membership under half-failures, 3 to 128 nodes: prints a table. `python -m tests.sim.stability [N ...] [--fast]`

The ground alone (heartbeat and ccm, the production cores) in the simulator, one medium, 0.3 ms a packet with 0.2 ms of
jitter. Per cluster size and event: how many healthy nodes were ever left out of a view with quorum, how many views with
quorum the healthy nodes were told (the most of any; one for an event that costs members, and one more where they
return), the time from the event to the first agreed view at the last healthy node (detection by deadtime is part of
it), and bytes a node sent per second, at rest and through the event.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ha.ccm.msg import MembershipEvent
from ha.machine import Effect, Packet, Send
from ha.sim.cluster import Cluster
from ha.sim.process import Process
from ha.sim.stack import make_world
from ha.sim.world import Watcher, World

SIZES = (3, 8, 16, 32, 64, 128)
REST_MS = 5_000


class Views(Watcher):
    """What each node was told, and what each heartbeat has sent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[tuple[int, str, MembershipEvent]] = []
        self.bytes: dict[str, int] = dict.fromkeys(world.nodes, 0)

    def carrying_out(self, process: Process, effect: Effect) -> None:
        if not isinstance(effect, Send):
            return
        if isinstance(effect.message, Packet):
            self.bytes[process.node.name] += len(effect.message.data)
        elif process.name == "ccm" and isinstance(effect.message, MembershipEvent):
            self.told.append((self.world.agenda.now_us // 1000, process.node.name, effect.message))


@dataclass
class Case:
    """`act` begins the event on a cluster; `sick` are the nodes that it strikes; the run goes on for `lasts_ms`."""

    name: str
    act: Callable[[Cluster], None]
    sick: Callable[[list[str]], set[str]]
    lasts_ms: int = 10_000
    lossy: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    nodes: int
    case: str
    left_out: int
    views: int
    agreed_ms: int | None
    rest_bytes_s: float
    event_bytes_s: float
    took_s: float


def _names(cluster: Cluster) -> list[str]:
    return list(cluster.world.nodes)


def _one_way(cluster: Cluster) -> None:
    """The last node is not heard by the first any more; it hears all."""
    names = _names(cluster)
    cluster.cut(names[-1], names[0], both_ways=False)


def _flip_flop(cluster: Cluster) -> None:
    """The last node's cable is out and in by turns, 20 s each time, for two minutes."""
    names = _names(cluster)
    last = names[-1]

    def out() -> None:
        for name in names[:-1]:
            cluster.cut(last, name)

    for turn in range(3):
        cluster.world.agenda.after(turn * 40_000_000, out)
        cluster.world.agenda.after(turn * 40_000_000 + 20_000_000, cluster.heal)


def _loss(cluster: Cluster) -> None:
    last = _names(cluster)[-1]
    cluster.world.network.lossy_nodes[last] = 0.8


def _crashes(cluster: Cluster) -> None:
    """As many at once as leave a majority, at most a quarter."""
    for name in _crashing(_names(cluster)):
        cluster.power_off(name)


def _crashing(names: list[str]) -> list[str]:
    return names[-max(1, len(names) // 4) :]


def _switch_reboots(cluster: Cluster) -> None:
    """Nothing passes for 30 s."""
    cluster.world.network.weather.loss = 1.0

    def back() -> None:
        cluster.world.network.weather.loss = 0.0

    cluster.world.agenda.after(30_000_000, back)


CASES = (
    Case("one-way loss", _one_way, lambda names: {names[-1], names[0]}),
    Case("flip-flop of 20 s", _flip_flop, lambda names: {names[-1]}, lasts_ms=130_000),
    Case("80 % loss on one node", _loss, lambda names: {names[-1]}, lasts_ms=30_000),
    Case("a quarter crashes at once", _crashes, lambda names: set(_crashing(names))),
    Case("switch reboots, 30 s", _switch_reboots, lambda names: set(), lasts_ms=45_000),
)


def measure(count: int, case: Case, profile: str) -> Figures:
    began = time.monotonic()
    names = [f"n{number}" for number in range(1, count + 1)]
    world = make_world(names, {"layers": "ground", "profile": profile}, 1)
    world.network.weather.jitter_us = 200
    views = Views(world)
    world.watch(views)
    cluster = Cluster(world)
    cluster.start(names)
    world.run_for(15_000)
    whole = [event for _, _, event in views.told if event.view is not None and len(event.view.members) == count]
    assert len({event.view.id for event in whole if event.view}) == 1, f"{count} nodes do not begin in one view"
    before = sum(views.bytes.values())
    world.run_for(REST_MS)
    rest_bytes = sum(views.bytes.values()) - before
    started_ms = world.agenda.now_us // 1000
    views.told.clear()
    before = sum(views.bytes.values())
    case.act(cluster)
    world.run_for(case.lasts_ms)
    event_bytes = sum(views.bytes.values()) - before
    healthy = set(names) - case.sick(names)
    return Figures(
        nodes=count,
        case=case.name,
        left_out=_left_out(views, healthy),
        views=_most_views(views, healthy),
        agreed_ms=_agreed_ms(views, healthy, started_ms),
        rest_bytes_s=rest_bytes / count / (REST_MS / 1000),
        event_bytes_s=event_bytes / count / (case.lasts_ms / 1000),
        took_s=time.monotonic() - began,
    )


def _quorate(views: Views, healthy: set[str]) -> list[tuple[int, str, MembershipEvent]]:
    return [told for told in views.told if told[1] in healthy and told[2].event == "NEW_MEMBERSHIP"]


def _left_out(views: Views, healthy: set[str]) -> int:
    gone = [healthy - set(event.view.names()) for _, _, event in _quorate(views, healthy) if event.view is not None]
    return len(set().union(*gone))


def _most_views(views: Views, healthy: set[str]) -> int:
    told = [name for _, name, _ in _quorate(views, healthy)]
    return max((told.count(name) for name in healthy), default=0)


def _agreed_ms(views: Views, healthy: set[str], started_ms: int) -> int | None:
    first: dict[str, int] = {}
    for at_ms, name, _ in _quorate(views, healthy):
        first.setdefault(name, at_ms - started_ms)
    return max(first.values()) if first else None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.stability", description=__doc__.split("\n")[0])
    parser.add_argument("sizes", metavar="N", type=int, nargs="*", help="numbers of nodes (default: 3 to 128)")
    parser.add_argument("--fast", action="store_true", help="profile fast")
    parser.add_argument("--case", default="", help="only cases whose name has this in it")
    options = parser.parse_args(arguments)
    print("| nodes | event | healthy left out | views | agreed after, ms | bytes/s a node, at rest | through it |")
    print("|---|---|---|---|---|---|---|")
    for count in options.sizes or SIZES:
        for case in CASES:
            if options.case in case.name:
                row = measure(count, case, "fast" if options.fast else "default")
                agreed = "-" if row.agreed_ms is None else str(row.agreed_ms)
                print(
                    f"| {row.nodes} | {row.case} | {row.left_out} | {row.views} | {agreed} | {row.rest_bytes_s:.0f} "
                    f"| {row.event_bytes_s:.0f} |", flush=True,
                )  # fmt: skip
                print(f"{row.nodes} {row.case}: {row.took_s:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
