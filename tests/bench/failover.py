# SPDX-License-Identifier: GPL-2.0-or-later
"""Power-off to the agent's start elsewhere, three lab hosts, beside Pacemaker in the same run (root, the lab).

    python -m tests.bench.failover [--reps 20] [--profile default] [--no-pacemaker]

Cells: the victim is the DC or is not; (a) with a fence agent that confirms, (b) with the grace explicitly 0 and no
fencing, as Pacemaker runs without it. Prints min / median / max in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.lab_stack import LAB

PACEMAKER_LABS = 3
"""Its time is timers, not work: several clusters side by side do not disturb one another (the lab's own advice)."""


def measure(stack: str, victim: str, reps: int, settings: list[str]) -> list[dict[str, float]]:
    """Samples of one cell."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as out:
        command = [
            sys.executable, "-m", "tests.bench.lab_stack", "failover", "--stack", stack, "--victim", victim,
            "--reps", str(reps), "--out", out.name, "--labs", str(PACEMAKER_LABS if stack == "pacemaker" else 1),
        ]  # fmt: skip
        for setting in settings:
            command += ["--set", setting]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line)["sample"] for line in Path(out.name).read_text().splitlines()]


def spread(samples: list[dict[str, float]]) -> str:
    totals = [sample["total"] * 1000 for sample in samples]
    return f"{min(totals):8.0f} / {statistics.median(totals):8.0f} / {max(totals):8.0f}   n={len(totals)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=20)
    parser.add_argument("--profile", default="default", choices=["default", "fast"])
    parser.add_argument("--no-pacemaker", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0 or not (LAB / "lab.py").is_file():
        print(f"skipped: needs root and the lab at {LAB}")
        return 0
    profile = f"profile={options.profile}"
    cells = [
        (f"ours, {options.profile}, fencing confirmed", "ours", [profile, "fencing=yes"]),
        (f"ours, {options.profile}, grace 0, no fencing", "ours", [profile, "fencing=no"]),
    ]
    if not options.no_pacemaker:
        cells.append(("pacemaker, defaults, no fencing", "pacemaker", []))
    print("power-off to the agent's start elsewhere, ms: min / median / max")
    for name, stack, settings in cells:
        for victim in ("other", "dc"):
            who = "DC" if victim == "dc" else "not DC"
            print(f"{name + ', ' + who:<52}{spread(measure(stack, victim, options.reps, settings))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
