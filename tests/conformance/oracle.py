# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.oracle --seeds A..B`: random clusters, decided by an installed crm_simulate and by ours.

The clusters come from the generator beside Pacemaker's cases; the same seeds give the same clusters. Debian's
crm_simulate (2.1.5) is older than the cases; each difference is put down to its age by name, or counted as unexplained
(`old_release`, docs/differences.md). Where there is no crm_simulate, or no generator, it says so and does nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lxml import etree

from tests.conformance.cases import LEVELS, VISIBLE, load_judge, produce
from tests.conformance.old_release import (
    PRACTICES,
    Newer,
    Texts,
    habits_between,
    kind_of,
    present_names,
)

REFERENCE = Path("/usr/sbin/crm_simulate")
NOT_HERE = 0
EQUAL, HABITS_ONLY, AGE, LATER, UNEXPLAINED = "equal", "habits", "age", "later", "unexplained"


@dataclass(slots=True)
class Found:
    """What became of one cluster."""

    case: str
    why: str
    kind: str = ""
    habits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def seed_range(text: str) -> range:
    """`A..B`, both ends included. Raises ValueError."""
    first, dots, last = text.partition("..")
    return range(int(first), int(last if dots else first) + 1)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.conformance.oracle", description=__doc__)
    p.add_argument("--seeds", type=seed_range, required=True, metavar="A..B")
    p.add_argument("--simulate", type=Path, default=REFERENCE, metavar="PROGRAM", help="the reference")
    p.add_argument("--nodes", type=int, default=8, help="at most")
    p.add_argument("--resources", type=int, default=25, help="at most")
    p.add_argument("--features", default="all")
    p.add_argument("--steps", type=int, default=2, help="transitions that the reference plays first, at most")
    p.add_argument("--keep", type=Path, metavar="DIR", help="keep the cases there, and use those already there")
    p.add_argument("--newer", type=Path, metavar="PROGRAM", help="a newer crm_simulate, to be asked about differences")
    p.add_argument("--notes", action="store_true", help="say what is unexplained")
    p.add_argument("--json", type=Path, metavar="FILE", help="write what was found, case by case")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    generator = VISIBLE / "generate_cibs.py"
    for needed in (options.simulate, generator):
        if not needed.exists():
            print(f"skipped: {needed} is not here")
            return NOT_HERE
    judge = load_judge(VISIBLE)
    if options.keep is not None:
        return compare(judge, options.keep, options)
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
        return compare(judge, Path(folder), options)


def compare(judge: ModuleType, folder: Path, options: argparse.Namespace) -> int:
    if not (folder / "cases.json").exists():
        record(folder, options)
        speak_as_now(judge, folder)
        name_nodes(folder)
    cases = judge.CaseSet(folder)
    newer = Newer(options.newer, judge)
    levels: Counter[str] = Counter()
    found: list[Found] = []
    for case in cases.cases:
        out = produce(judge, cases, case)
        verdict = judge.judge(case, cases, out, set(judge.ASPECTS))
        levels.update(level for level in ("ran", *LEVELS) if verdict.passed(level))
        found.append(explain(judge, cases, case, out, verdict, newer))
    if options.newer is not None:
        newer.keep()
    show(found, levels, newer, options)
    if options.json is not None:
        told = {f.case: {"why": f.why, "kind": f.kind, "habits": f.habits, "notes": f.notes} for f in found}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if any(f.why == UNEXPLAINED for f in found) else 0


def explain(judge: ModuleType, cases: Any, case: Any, out: Any, verdict: Any, newer: Newer) -> Found:
    """Why our answer differs from the old release's, if it does."""
    if all(verdict.passed(level) for level in LEVELS):
        return Found(case.name, EQUAL)
    notes = list(verdict.notes)
    ours = Texts(out.summary, out.graph, out.scores, out.dot)
    wanted = Texts(*(cases.expected(case, part) for part in ("summary", "exp", "scores", "dot")))
    if out.trouble:
        return Found(case.name, UNEXPLAINED, "ours did not run", notes=notes)
    habits = habits_between(judge, case, wanted, ours)
    if habits is not None:
        return Found(case.name, HABITS_ONLY, habits=[habit.name for habit in habits])
    kind = kind_of(judge, wanted, ours)
    cib = cases.path(case, "xml")
    if newer.agrees_with(case, cib, ours):
        return Found(case.name, AGE, kind, notes=notes)
    for practice, before in PRACTICES:
        with before():
            then = produce(judge, cases, case)
        if newer.agrees_with(case, cib, Texts(then.summary, then.graph, then.scores, then.dot)):
            return Found(case.name, LATER, practice, notes=notes)
    return Found(case.name, UNEXPLAINED, kind, notes=notes)


def show(found: list[Found], levels: Counter[str], newer: Newer, options: argparse.Namespace) -> None:
    print(f"seeds {options.seeds.start}..{options.seeds.stop - 1}: {len(found)} cases")
    print("  " + ", ".join(f"{level} {levels[level]}" for level in ("ran", *LEVELS)))
    by = {why: [f for f in found if f.why == why] for why in (EQUAL, HABITS_ONLY, AGE, LATER, UNEXPLAINED)}
    print(f"{len(by[EQUAL])} equal")
    print(f"{len(by[HABITS_ONLY])} differ in habits of the old release only:")
    for name, count in Counter(name for f in by[HABITS_ONLY] for name in f.habits).most_common():
        print(f"  {count:5} {name}")
    print(f"{len(by[AGE])} decided otherwise by the old release, and as by us by {newer.release}:")
    for kind, count in Counter(f.kind for f in by[AGE]).most_common():
        print(f"  {count:5} {kind}")
    print(f"{len(by[LATER])} decided otherwise by both, for a change that came later (with it undone, as by us):")
    for kind, count in Counter(f.kind for f in by[LATER]).most_common():
        print(f"  {count:5} {kind}")
    print(f"{len(by[UNEXPLAINED])} unexplained")
    for f in by[UNEXPLAINED]:
        print(f"  {f.case}: {f.kind}")
        for note in f.notes if options.notes else ():
            print(f"      {note}")


def record(folder: Path, options: argparse.Namespace) -> None:
    """Lets the reference decide. Clusters that it cannot finish, or fails on, are left out and counted."""
    seeds: range = options.seeds
    command = [
        sys.executable, str(VISIBLE / "generate_cibs.py"), "record", "--simulate", str(options.simulate),
        "--seed", str(seeds.start), "--count", str(len(seeds)), "--nodes", str(options.nodes),
        "--resources", str(options.resources), "--features", options.features, "--evolve", str(options.steps),
        "--out", str(folder),
    ]  # fmt: skip
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print("\n".join(line for line in told.splitlines() if not line.startswith("cases with")))


def speak_as_now(judge: ModuleType, folder: Path) -> None:
    """Gives what an older release calls otherwise its present name, in everything recorded."""
    for aspect in ("exp", "scores"):
        for path in sorted((folder / aspect).iterdir()):
            path.write_text(present_names(judge, aspect, path.read_text()))


def name_nodes(folder: Path) -> None:
    """Says of each operation on which node it was, in the inputs that we are given.

    What an older crm_simulate injects lacks on_node. To it such an operation is one of the node in whose history it
    stands; to the newest it is one of no known node, so that the order of a history would be another.
    """
    for path in sorted((folder / "xml").iterdir()):
        cib = etree.parse(path)
        for operation in cib.iterfind("status/node_state//lrm_rsc_op"):
            if operation.get("on_node") is None:
                operation.set("on_node", str(next(operation.iterancestors("node_state")).get("uname")))
        cib.write(path)


if __name__ == "__main__":
    sys.exit(main())
