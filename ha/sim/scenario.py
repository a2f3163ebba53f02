# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios: a sentence of purpose, operator's words in, the cluster's trace out.

A scenario file is a sequence of blocks, separated by blank lines. A block is commands, a line of four dashes, and the
trace they led to: every note of level notice and above, every act of agents, fence devices and power, with the time in
seconds since the world began. Lines that begin with # are for the reader. Indented lines continue a command.

    # The node that runs the service loses power: fenced, then the service runs elsewhere.
    cluster 3 fencing
    start n1 n2 n3
    configure
      primitive web ocf:heartbeat:Dummy op monitor interval=10s
    run until idle
    ----
        0.000 n1           power    on
    ...

The trace is compared word by word. HA_UPDATE_GOLDEN=1 rewrites it: reviewing the difference is the test.
Prior art: etcd's raft interaction tests (datadriven), Proxmox's ha-tester.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ha.cib.msg import Write
from ha.sim.agents import Misbehaviour
from ha.sim.cluster import Cluster, NotIdle, OperatorError
from ha.sim.configuration import ConfigurationError, to_xml
from ha.sim.power import SwitchFault
from ha.sim.world import Stack, Violation, World

DIVIDER = "----"
MAX_SCENARIO_BYTES = 1_000_000
MAX_NODES = 128
DEFAULT_SEED = 1

StackChoice = Callable[[], Stack]


class ScenarioError(Exception):
    """A file or command is not understood; the text names the line."""


@dataclass
class Block:
    """`lines` as written, comments included; `expected` is the trace after the divider, None when there is none yet."""

    number: int
    lines: list[str]
    expected: list[str] | None = None
    actual: list[str] = field(default_factory=list)

    def commands(self) -> list[list[str]]:
        """Each command with its indented continuation lines."""
        commands: list[list[str]] = []
        for line in self.lines:
            if line.startswith("#"):
                continue
            if line[0].isspace():
                if not commands:
                    raise ScenarioError(f"line {self.number}: begins with a continuation")
                commands[-1].append(line.strip())
            else:
                commands.append([line.strip()])
        return commands


def parse(text: str) -> list[Block]:
    if len(text) > MAX_SCENARIO_BYTES:
        raise ScenarioError(f"longer than {MAX_SCENARIO_BYTES} characters")
    blocks: list[Block] = []
    block: Block | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.rstrip()
        if not line:
            block = None
            continue
        if block is None:
            block = Block(number, [])
            blocks.append(block)
        if line == DIVIDER:
            block.expected = []
        elif block.expected is not None:
            block.expected.append(line)
        else:
            block.lines.append(line)
    return blocks


def printed(blocks: list[Block]) -> str:
    """The file with the trace as it is now."""
    parts: list[str] = []
    for block in blocks:
        lines = list(block.lines)
        if block.commands():
            lines += [DIVIDER, *block.actual]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


@dataclass
class Outcome:
    blocks: list[Block]
    fingerprint: str

    @property
    def differences(self) -> list[str]:
        """For each block whose trace is another than expected: its first line that differs."""
        found: list[str] = []
        for block in self.blocks:
            if block.commands() and block.actual != block.expected:
                found.append(f"block at line {block.number}: " + _first_difference(block.expected or [], block.actual))
        return found


def _first_difference(expected: list[str], actual: list[str]) -> str:
    for before, after in zip(expected, actual, strict=False):
        if before != after:
            return f"expected {before!r}, happened {after!r}"
    if len(expected) > len(actual):
        return f"expected also {expected[len(actual)]!r}"
    return f"happened also {actual[len(expected)]!r}"


class Scenario:
    """Carries the commands of one file out. `make_world` gets the number of nodes, the options and the seed."""

    def __init__(self, make_world: Callable[[list[str], dict[str, str], int], World], folder: Path) -> None:
        self.make_world = make_world
        self.folder = folder
        self._cluster: Cluster | None = None
        self._shown = 0
        self._left_out = False

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            raise ScenarioError("the first command must be `cluster N`")
        return self._cluster

    @property
    def world(self) -> World:
        return self.cluster.world

    def run(self, text: str) -> Outcome:
        blocks = parse(text)
        for block in blocks:
            for command in block.commands():
                self._carry_out(command)
                block.actual += self._new_lines()
                if self._left_out:
                    block.actual = [f"    ({len(block.actual)} lines left out)"]
                    self._left_out = False
        return Outcome(blocks, self.world.fingerprint if self._cluster else "")

    def _new_lines(self) -> list[str]:
        lines = [str(line).rstrip() for line in self.world.lines()]
        new = lines[self._shown :]
        self._shown = len(lines)
        return new

    def leave_out(self) -> None:
        """What happened in this block so far is told in another scenario."""
        self._left_out = True

    def _carry_out(self, command: list[str]) -> None:
        for pattern, act in _VERBS:
            match = re.fullmatch(pattern, command[0])
            if match:
                self._guarded(act, match, command)
                return
        raise ScenarioError(f"{command[0]!r} is no command; see docs/simulator.md")

    def _guarded(self, act: Act, match: re.Match[str], command: list[str]) -> None:
        try:
            act(self, match, command[1:])
        except (OperatorError, NotIdle, ConfigurationError) as error:
            if self._cluster is None:
                raise ScenarioError(f"{command[0]!r}: {error}") from error
            self.world.log("operator", "operator", f"{command[0]}: {error}")
        except Violation as violation:
            self.world.log("operator", "violation", str(violation))
            raise ScenarioError(f"{command[0]!r}: {violation}") from violation

    def note(self, text: str) -> None:
        self.world.log("operator", "operator", text)


Act = Callable[[Scenario, re.Match[str], list[str]], None]
_VERBS: list[tuple[str, Act]] = []


def verb(pattern: str) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        _VERBS.append((pattern, act))
        return act

    return register


def _names(text: str) -> list[str]:
    return text.split()


# Building ------------------------------------------------------------------------------------------------------------


@verb(r"cluster (?P<count>\d+)(?P<options>( [\w-]+=\S+)*)")
def _cluster(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    count = int(match["count"])
    if not 1 <= count <= MAX_NODES or scenario._cluster is not None:
        raise ScenarioError(f"one cluster of 1 to {MAX_NODES} nodes, once")
    options = dict(word.split("=", 1) for word in _names(match["options"]))
    names = [f"n{number}" for number in range(1, count + 1)]
    seed = int(options.pop("seed", DEFAULT_SEED))
    scenario._cluster = Cluster(scenario.make_world(names, options, seed))


@verb(r"start (?P<nodes>[\w ]+)")
def _start(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.start(_names(match["nodes"]))


@verb(r"configure(?: (?P<file>\S+))?(?: on (?P<node>\w+))?")
def _configure(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    door = _door(scenario, match["node"])
    if match["file"]:
        xml = (scenario.folder / match["file"]).read_text(encoding="utf-8")
    elif more and more[0].startswith("<"):
        xml = "".join(more)
    else:
        ids = scenario.cluster.node_ids(door) if any(line.startswith("node ") for line in more) else {}
        xml = to_xml(more, ids)
    scenario.cluster.configure(door, xml)


@verb(r"delete (?P<xpath>\S+)(?: on (?P<node>\w+))?")
def _delete(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    write = Write(request_id=scenario.cluster.request_id(), operation="delete", xpath=match["xpath"])
    scenario.cluster.write(_door(scenario, match["node"]), write)


def _door(scenario: Scenario, node: str | None) -> str:
    """The node by way of which the CIB is changed: the named one, or the first that is on."""
    powered = scenario.cluster.powered()
    if not powered and node is None:
        raise OperatorError("no node is on")
    return node or powered[0].name


# Time ----------------------------------------------------------------------------------------------------------------


@verb(r"run until idle(?P<quietly> quietly)?")
def _run_until_idle(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.run_until_idle()
    if match["quietly"]:
        scenario.leave_out()


@verb(r"run (?P<amount>[\d.]+) (?P<unit>ms|s|min)")
def _run(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    factor = {"ms": 1, "s": 1000, "min": 60_000}[match["unit"]]
    scenario.world.run_for(round(float(match["amount"]) * factor))


# Faults --------------------------------------------------------------------------------------------------------------


@verb(r"power off (?P<nodes>[\w ]+)")
def _power_off(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    for name in _names(match["nodes"]):
        scenario.cluster.power_off(name)


@verb(r"shut down (?P<node>\w+)")
def _shut_down(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.note(f"shut down {match['node']}")
    scenario.cluster.shut_down(match["node"])


@verb(r"end workers of (?P<node>\w+)")
def _end_workers(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.note(f"end the workers of {match['node']}")
    scenario.cluster.end_workers(match["node"])


@verb(r"disk of (?P<node>\w+) (?P<what>is full|has room)")
def _disk(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.fill_disk(match["node"], full=match["what"] == "is full")


@verb(r"(?P<what>pause|resume) (?P<node>\w+)")
def _pause(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    node = scenario.cluster.node(match["node"])
    if match["what"] == "pause":
        node.pause()
    else:
        node.resume()


@verb(r"cut (?P<one>\w+) (?P<arrow>-> )?(?P<other>\w+)(?: on (?P<medium>.+))?")
def _cut(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.cut(match["one"], match["other"], both_ways=match["arrow"] is None, medium=match["medium"] or "")


@verb(r"heal")
def _heal(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.heal()


@verb(r"loss (?P<share>[\d.]+)%")
def _loss(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.world.network.weather.loss = float(match["share"]) / 100


@verb(r"(?P<what>kill|restart|freeze|thaw) (?P<node>\w+) (?P<worker>\w+)")
def _signal(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    getattr(scenario.cluster, match["what"])(match["node"], match["worker"])


@verb(r"crash (?P<node>\w+) (?P<worker>\w+) after (?P<effects>\d+) effects")
def _crash(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.crash(match["node"], match["worker"], int(match["effects"]))


@verb(r"clock of (?P<node>\w+) is off by (?P<skew>-?\d+) s")
def _skew(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.node(match["node"]).set_clock(int(match["skew"]) * 1000)


# Agents and fence devices --------------------------------------------------------------------------------------------


@verb(r"agent (?P<resource>[\w.-]+) (?P<kind>fails|hangs|lies) on (?P<operation>start|stop|monitor|promote|demote)"
      r"(?: on (?P<node>n\d+))?(?: with rc (?P<rc>\d+))?(?P<once> once)?")  # fmt: skip
def _agent(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.misbehave(
        Misbehaviour(
            match["kind"],  # type: ignore[arg-type]
            match["resource"],
            match["operation"],
            match["node"] or "",
            rc=int(match["rc"] or 1),
            count=1 if match["once"] else None,
        )
    )


@verb(r"agent (?P<resource>[\w.-]+) takes (?P<extra>\d+) s longer to (?P<operation>start|stop|monitor)")
def _slow_agent(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    rule = Misbehaviour("slow", match["resource"], match["operation"], extra_ms=int(match["extra"]) * 1000)
    scenario.cluster.misbehave(rule)


@verb(r"(?P<resource>[\w.-]+) dies on (?P<node>\w+)")
def _dies(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.node(match["node"]).agents.break_resource(match["resource"])


@verb(r"fence device (?P<kind>fails|hangs|lies)(?: for (?P<node>\w+))?(?P<once> once)?")
def _fence(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    fault = SwitchFault(match["kind"], match["node"] or "", count=1 if match["once"] else None)  # type: ignore[arg-type]
    scenario.cluster.break_switch(fault)


@verb(r"fence (?P<node>\w+) by hand on (?P<at>\w+)")
def _fence_by_hand(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.fence(match["node"], match["at"])


@verb(r"repair")
def _repair(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    scenario.cluster.behave()


# Looking -------------------------------------------------------------------------------------------------------------


@verb(r"where")
def _where(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    places = scenario.cluster.places()
    for resource_id, nodes in places.items():
        scenario.note(f"{resource_id} is on {' '.join(nodes)}")
    if not places:
        scenario.note("nothing runs")


@verb(r"expect (?P<resource>[\w.:-]+) on (?P<nodes>[\w ]+)")
def _expect(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    actual = scenario.cluster.places().get(match["resource"], [])
    if actual != _names(match["nodes"]):
        raise ScenarioError(f"{match['resource']} is on {' '.join(actual) or 'no node'}, not on {match['nodes']}")


@verb(r"expect (?P<resource>[\w.:-]+) nowhere")
def _expect_nowhere(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    actual = scenario.cluster.places().get(match["resource"], [])
    if actual:
        raise ScenarioError(f"{match['resource']} is on {' '.join(actual)}")


@verb(r"expect dc (?P<dc>\w+)(?: on (?P<nodes>[\w ]+))?")
def _expect_dc(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    names = _names(match["nodes"]) if match["nodes"] else [node.name for node in scenario.cluster.powered()]
    for name in names:
        dc = scenario.cluster.state(name).dc or "none"
        if dc != match["dc"]:
            raise ScenarioError(f"the DC is {dc} by the word of {name}, not {match['dc']}")


@verb(r"show (?P<xpath>\S+) on (?P<node>\w+)")
def _show(scenario: Scenario, match: re.Match[str], more: list[str]) -> None:
    answer = scenario.cluster.query(match["node"], match["xpath"])
    scenario.note(answer.xml if answer.rc == 0 else f"{answer.rc}: {answer.reason}")
