# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.oracle --seeds A..B`: random clusters, decided by an installed crm_simulate and by ours.

The clusters come from the generator beside Pacemaker's cases; the same seeds give the same clusters. Debian's
crm_simulate (2.1.5) is older than the cases: docs/differences.md tells what is due to its age. Where there is no
crm_simulate, or no generator, it says so and does nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lxml import etree

from tests.conformance.cases import LEVELS, VISIBLE, load_judge, verdicts

REFERENCE = Path("/usr/sbin/crm_simulate")
DIALECT = "pacemaker-2.1"
NOT_HERE = 0
ASPECT_FOLDERS = {"exp": "exp", "scores": "scores"}


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
    p.add_argument("--notes", action="store_true", help="say what is different")
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
    found = list(verdicts(judge, folder))
    print(f"seeds {options.seeds.start}..{options.seeds.stop - 1}: {len(found)} cases")
    for level in ("ran", *LEVELS, "exact"):
        print(f"  {level:7}{sum(v.passed(level) for v in found):5}")
    kinds: Counter[str] = Counter()
    for verdict in found:
        if all(verdict.passed(level) for level in LEVELS):
            continue
        kinds[first_missed(verdict)] += 1
        print(f"  {verdict.case.name} misses {' '.join(level for level in LEVELS if not verdict.passed(level))}")
        for note in verdict.notes if options.notes else ():
            print(f"      {note}")
    if options.json is not None:
        options.json.write_text(json.dumps({v.case.name: list(v.notes) for v in found}, indent=1) + "\n")
    return 1 if kinds else 0


def first_missed(verdict: Any) -> str:
    return next(level for level in LEVELS if not verdict.passed(level))


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
    for aspect, pattern, replacement in judge.DIALECTS[DIALECT]:
        for path in sorted((folder / ASPECT_FOLDERS[aspect]).iterdir()):
            path.write_text(re.sub(pattern, replacement, path.read_text(), flags=re.MULTILINE))


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
