# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.play --seeds A..B`: random clusters, every transition played to its end.

A transition must complete, and what the policy engine decides afterwards must come to rest: the second run finds
nothing left to do. The clusters come from the generator beside Pacemaker's cases, and have failures in their status.
Where it is not here, it says so and does nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from lxml import etree

from ha.cli.crm_simulate.edited_cib import EditedCib
from ha.cli.crm_simulate.play import Player
from ha.pe.core import decide_on, read
from ha.pe.io.collector import paused_collector
from tests.conformance.cases import VISIBLE
from tests.conformance.oracle import seed_range

NOW_S = 1_700_000_000
"""The generator's execution date."""
MOST_RUNS = 6
FINISHED, PROBED, FOLLOWED, UNFINISHED, RESTLESS, CRASHED = (
    "finished", "probed afterwards", "followed up", "unfinished", "restless", "crashed"
)  # fmt: skip
"""`probed afterwards`: the second transition has only probes and what they decide, on nodes that the first brought up.
`followed up`: more than that was left, but it came to rest within MOST_RUNS. `restless`: it did not."""


@dataclass(slots=True)
class Outcome:
    """What became of one cluster. `runs` counts the transitions up to the first empty one."""

    seed: int
    verdict: str
    runs: int = 0
    notes: list[str] = field(default_factory=list)


class ClusterPlayer(Player):
    """Does also what crm_simulate only mentions, as a cluster would: without it nothing could come to rest."""

    def _do(self, action: etree._Element) -> None:
        if action.get("operation") == "cancel" and action.tag == "rsc_op":
            self.done.add(str(action.get("id")))
        else:
            super()._do(action)
        task, node = str(action.get("operation")), action.get("on_node")
        for down in action.iterfind("downed/node"):
            self._lose(str(down.get("id")))
        if action.tag == "pseudo_event" or node is None:
            return
        if task == "do_shutdown":
            self.cib.set_node(node, up=False)
            self.cib.forget_node(node)
        elif task in ("delete", "lrm_delete"):
            self._forget(action, node)
        elif task == "cancel":
            self._cancel(action, node)
        elif task == "stop":
            self._end_recurring(action, node)
        elif task == "start":
            self._gain(action)
        elif task == "clear_failcount":
            self._clear_failures(action, node)

    def _lose(self, id: str) -> None:
        """A node that goes down takes its history along."""
        states = [s for s in self.cib.status.iterchildren("node_state") if s.get("id") == id]
        for state in states:
            name = str(state.get("uname", id))
            self.cib.set_node(name, up=False)
            self.cib.forget_node(name)

    def _gain(self, action: etree._Element) -> None:
        """The start of a connection brings up a remote or guest node, with nothing on it that is known."""
        primitive = action.find("primitive")
        assert primitive is not None
        if primitive.get("type") != "remote" or primitive.get("provider") != "pacemaker":
            return
        name = str(primitive.get("id"))
        self.cib.forget_node(name)
        self.cib.set_node(name, up=True)

    def _end_recurring(self, action: etree._Element, node: str) -> None:
        """The executor runs no monitor of what it has stopped, and says so."""
        for history in self._histories(action, node):
            for op in history.findall("lrm_rsc_op"):
                if op.get("interval", "0") != "0":
                    history.remove(op)

    def _histories(self, action: etree._Element, node: str) -> list[etree._Element]:
        primitive = action.find("primitive")
        assert primitive is not None
        state = self.cib.node_state(node, action.get("on_node_uuid"))
        names = (primitive.get("id"), primitive.get("long-id"))
        return [e for e in state.iterfind("lrm/lrm_resources/lrm_resource") if e.get("id") in names]

    def _forget(self, action: etree._Element, node: str) -> None:
        for history in self._histories(action, node):
            self.cib.forget_history(node, history)

    def _cancel(self, action: etree._Element, node: str) -> None:
        attributes = action.find("attributes")
        assert attributes is not None
        interval, task = attributes.get("CRM_meta_interval"), attributes.get("CRM_meta_operation")
        for history in self._histories(action, node):
            for op in history.findall("lrm_rsc_op"):
                if op.get("interval") == interval and op.get("operation") == task:
                    history.remove(op)

    def _clear_failures(self, action: etree._Element, node: str) -> None:
        primitive = action.find("primitive")
        assert primitive is not None
        state = self.cib.node_state(node, action.get("on_node_uuid"))
        names = {str(primitive.get("id")), str(primitive.get("long-id"))}
        for pair in list(state.iterfind("transient_attributes/instance_attributes/nvpair")):
            kind, _, rest = str(pair.get("name")).partition("-")
            about = str(pair.get("name")).removeprefix("fail-count-").removeprefix("last-failure-").partition("#")[0]
            if kind in ("fail", "last") and rest and about in names:
                parent = pair.getparent()
                assert parent is not None
                parent.remove(pair)
        for history in self._histories(action, node):
            for op in history.findall("lrm_rsc_op"):
                if str(op.get("id")).endswith("_last_failure_0"):
                    history.remove(op)


def load_generator(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cibs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_cibs"] = module
    spec.loader.exec_module(module)
    return module


def play(seed: int, cib: bytes) -> Outcome:
    """Plays transitions until there is nothing to do. One must be enough."""
    copy = EditedCib(cib)
    outcome = Outcome(seed, FINISHED)
    probes_only = False
    while outcome.runs < MOST_RUNS:
        cluster = read(copy.text(), NOW_S)
        graph = decide_on(cluster).graph_xml
        left = work_in(graph)
        if not left:
            break
        outcome.runs += 1
        if outcome.runs > 1:
            probes_only = all("_monitor_0@" in action for action in left)
            outcome.notes.append(f"run {outcome.runs}: {', '.join(left[:8])}{' ...' if len(left) > 8 else ''}")
        complete = ClusterPlayer(copy, graph, (), lambda name, known=cluster: known.find(name) is not None,
                          lambda _: None, outcome.notes.append).play()  # fmt: skip
        if not complete:
            outcome.verdict = UNFINISHED
            return outcome
    else:
        outcome.verdict = RESTLESS
    if outcome.verdict == FINISHED and outcome.runs > 1:
        outcome.verdict = PROBED if outcome.runs == 2 and probes_only else FOLLOWED
    return outcome


def work_in(graph: bytes) -> list[str]:
    """The actions of a graph, by key and node. Marks alone are no work."""
    actions = etree.fromstring(graph).iterfind("synapse/action_set/*")
    return [f"{a.get('operation_key')}@{a.get('on_node', '')}" for a in actions if a.tag != "pseudo_event"]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.conformance.play", description=__doc__)
    p.add_argument("--seeds", type=seed_range, required=True, metavar="A..B")
    p.add_argument("--nodes", type=int, default=8, help="at most")
    p.add_argument("--resources", type=int, default=30, help="at most")
    p.add_argument("--features", default="mix", help="as the generator takes them")
    p.add_argument("--save", type=Path, metavar="DIR", help="write the clusters that are exceptions there")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the exceptions there")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    generator = VISIBLE / "generate_cibs.py"
    if not generator.exists():
        print(f"skipped: {generator} is not here")
        return 0
    make = load_generator(generator).make_random
    exceptions: list[Outcome] = []
    counts: Counter[str] = Counter()
    for seed in options.seeds:
        outcome, cib = attempt(seed, make, options)
        counts[outcome.verdict] += 1
        if outcome.verdict != FINISHED:
            exceptions.append(outcome)
            print(f"seed {seed}: {outcome.verdict} after {outcome.runs}", *outcome.notes, sep="\n    ", flush=True)
            if options.save is not None:
                options.save.mkdir(parents=True, exist_ok=True)
                (options.save / f"{seed}.xml").write_bytes(cib)
    print(f"{len(options.seeds)} clusters: {dict(counts)}")
    if options.json is not None:
        found = [{"seed": o.seed, "verdict": o.verdict, "runs": o.runs, "notes": o.notes} for o in exceptions]
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if exceptions else 0


def attempt(seed: int, make: Callable[..., str], options: argparse.Namespace) -> tuple[Outcome, bytes]:
    """One cluster. A crash is an outcome to be counted, with its place."""
    span = max(1, options.nodes - 1)
    nodes, resources = 2 + seed % span, 3 + seed * 7 % max(1, options.resources - 2)
    cib = make(seed, nodes, resources, options.features, "2.1").encode()
    try:
        with paused_collector():
            return play(seed, cib), cib
    except Exception:
        return Outcome(seed, CRASHED, 0, traceback.format_exc().splitlines()[-6:]), cib


if __name__ == "__main__":
    sys.exit(main())
