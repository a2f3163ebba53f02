# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.play --seeds A..B`: random clusters, every transition played to its end.

A transition must complete, and what the policy engine decides afterwards must come to rest: the second run finds
nothing left to do. The clusters come from the generator beside Pacemaker's cases, and have failures in their status.
Where it is not here, it says so and does nothing. Of what never comes to rest it tells the kind (`restless`), and with
`--simulate PROGRAM` whether another crm_simulate does the same in the same states.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ha.cli.crm_simulate.edited_cib import EditedCib
from ha.cli.plan.cluster_player import ClusterPlayer
from ha.pe.core import decide_on, read
from ha.pe.io.collector import paused_collector
from ha.pe.model.cluster import Cluster
from tests.conformance.cases import VISIBLE
from tests.conformance.oracle import seed_range
from tests.conformance.restless import Turn, decides_alike, kind_of, work_in

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
    turns: list[Turn] = field(default_factory=list)
    """The last three decisions, of which the kind of restlessness is read."""


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
        outcome.turns = [*outcome.turns[-2:], Turn(copy.text(), tuple(sorted(left)))]
        if outcome.runs > 1:
            probes_only = all("_monitor_0@" in action for action in left)
            outcome.notes.append(f"run {outcome.runs}: {', '.join(left[:8])}{' ...' if len(left) > 8 else ''}")
        if not _carried_out(copy, graph, cluster, outcome.notes):
            outcome.verdict = UNFINISHED
            return outcome
    else:
        outcome.verdict = RESTLESS
    if outcome.verdict == FINISHED and outcome.runs > 1:
        outcome.verdict = PROBED if outcome.runs == 2 and probes_only else FOLLOWED
    return outcome


def _carried_out(copy: EditedCib, graph: bytes, cluster: Cluster, notes: list[str]) -> bool:
    """Plays one transition; whether it completed."""

    def is_known(name: str) -> bool:
        return cluster.find(name) is not None

    return ClusterPlayer(copy, graph, (), is_known, lambda _: None, notes.append).play()


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.conformance.play", description=__doc__)
    p.add_argument("--seeds", type=seed_range, required=True, metavar="A..B")
    p.add_argument("--nodes", type=int, default=8, help="at most")
    p.add_argument("--resources", type=int, default=30, help="at most")
    p.add_argument("--features", default="mix", help="as the generator takes them")
    p.add_argument("--simulate", type=Path, metavar="PROGRAM", help="ask this crm_simulate about what is restless")
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
    kinds: dict[str, list[int]] = defaultdict(list)
    for seed in options.seeds:
        outcome, cib = attempt(seed, make, options)
        counts[outcome.verdict] += 1
        if outcome.verdict == RESTLESS:
            kind = kind_of(outcome.turns)
            same = options.simulate is not None and all(decides_alike(options.simulate, t) for t in outcome.turns[-2:])
            kinds[kind + (" (so does the other program)" if same else "")].append(seed)
        if outcome.verdict != FINISHED:
            exceptions.append(outcome)
            print(f"seed {seed}: {outcome.verdict} after {outcome.runs}", *outcome.notes, sep="\n    ", flush=True)
            if options.save is not None:
                options.save.mkdir(parents=True, exist_ok=True)
                (options.save / f"{seed}.xml").write_bytes(cib)
    print(f"{len(options.seeds)} clusters: {dict(counts)}")
    for kind, seeds in sorted(kinds.items()):
        print(f"  {len(seeds):4} {kind}: {' '.join(map(str, seeds))}")
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
