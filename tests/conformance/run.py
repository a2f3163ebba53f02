# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.run CASES`: how many of Pacemaker's cases reach each level.

L1 the same summary and outcome, L2 the same actions, L3 the same graph, L4 the same scores and picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance.cases import LEVELS, RATCHET, case_folders, load_judge, verdicts


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__)
    p.add_argument("cases", type=Path, metavar="CASES", help="a folder of cases, or a folder of such folders")
    p.add_argument("--update", action="store_true", help="make what passes now the ratchet")
    p.add_argument("--failed", action="store_true", help="name the cases that miss a level")
    p.add_argument("--by-group", action="store_true", help="totals of every group of cases")
    p.add_argument("--notes", action="store_true", help="say what is different")
    p.add_argument("-k", "--case", action="append", metavar="NAME", help="only this case")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    folders = case_folders(options.cases) if options.cases.is_dir() else []
    if not folders:
        print(f"{options.cases}: neither a folder with cases.json nor a folder of such folders", file=sys.stderr)
        return 66
    judge = load_judge(options.cases)
    names = frozenset(options.case) if options.case else None
    passing: dict[str, dict[str, list[str]]] = {}
    for folder in folders:
        found = list(verdicts(judge, folder, names))
        passing[folder.resolve().name] = passed_cases(found)
        show(folder.name, found, options)
    if options.update:
        write_ratchet(passing)
    return 0


def passed_cases(found: list[Any]) -> dict[str, list[str]]:
    return {level: sorted(v.case.name for v in found if v.passed(level)) for level in LEVELS}


def show(title: str, found: list[Any], options: argparse.Namespace) -> None:
    print(f"{title}: {len(found)} cases")
    for level in ("ran", "status", *LEVELS, "exact"):
        count = sum(v.passed(level) for v in found)
        print(f"  {level:7}{count:5} {100 * count / max(1, len(found)):6.1f} %")
    if options.by_group:
        groups: dict[str, list[Any]] = defaultdict(list)
        for verdict in found:
            groups[verdict.case.group].append(verdict)
        for group, members in groups.items():
            counts = " ".join(f"{level} {sum(v.passed(level) for v in members):4}" for level in LEVELS)
            print(f"  {group:34} {len(members):4}  {counts}")
    for verdict in found:
        missed = [level for level in ("ran", *LEVELS) if not verdict.passed(level)]
        if missed and (options.failed or options.notes):
            print(f"  {verdict.case.name} ({verdict.case.group}) misses {' '.join(missed)}")
            for note in verdict.notes if options.notes else ():
                print(f"      {note}")


def write_ratchet(passing: dict[str, dict[str, list[str]]]) -> None:
    """Replaces the folders that were run; the others stay."""
    known = json.loads(RATCHET.read_text()) if RATCHET.exists() else {}
    known.update(passing)
    RATCHET.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
