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
from ha.cli.plan.cluster_player import ClusterPlayer
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
