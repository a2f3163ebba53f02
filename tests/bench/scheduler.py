# SPDX-License-Identifier: GPL-2.0-or-later
"""Deciding, side by side with Pacemaker's crm_simulate: large clusters, growth, memory, and Pacemaker's own cases.

Budgets (design section 11): 32x1000 in 1.5 s (all running), 1.5 s (one node lost) and 2 s (all stopped) from a file,
50 ms after a diff; 64x5000 in 30 s and 3 GB; the cases in one process 8 ms median, 150 ms p99; a process for each
90 ms median. Peer: crm_simulate 2.1.5 2.7 / 3.0 / 35.8 s, 57 / 55 / over 120 s with 3.9 GB, 0.7 and 26 ms, 23 ms.

All of it takes a quarter of an hour. In pieces: --part, --size and --scenario choose, --results FILE keeps what was
measured of the sizes from one piece to the next, so that the last one prints the whole table of growth.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

VISIBLE = Path(__file__).resolve().parents[3] / "shared" / "conformance"
"""Where the generator and the cases are, if they are here at all."""
OURS = (sys.executable, "-m", "ha.cli.crm_simulate")
SIZES = ("3x10", "8x100", "16x500", "32x1000", "64x5000")
SCENARIOS = {"running": "all running", "node-down": "one node lost", "stopped": "all stopped"}
PARTS = ("sizes", "processes", "cases")
DIFFS = ("result", "fail count", "attribute", "standby", "option", "definition")
LIMIT_S = 150
_DURATION = re.compile(r'duration="([\d.]+)"')


@dataclass(frozen=True)
class Run:
    """One process, begun and ended."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    status: int


@dataclass
class Row:
    """One size in one state. A run that took longer than LIMIT_S, or could not be made, is None; `spans` are reading,
    deciding and writing within one process, in CPU seconds, and `diffs` the decisions after a diff by its kind."""

    size: str
    scenario: str
    theirs: Run | None
    ours: Run | None
    spans: list[float]
    diffs: dict[str, float] = field(default_factory=dict)

    @property
    def n(self) -> int:
        nodes, primitives = map(int, self.size.split("x"))
        return nodes * primitives


def run(command: Sequence[str]) -> Run | None:
    """None when it took longer than LIMIT_S of wall time."""
    began = time.monotonic()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(["timeout", str(LIMIT_S), *command], stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - began
    if process.returncode == 124:
        return None
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode)


def from_file(program: Sequence[str], cib: Path, graph: Path) -> Run | None:
    """Reads the file, decides, and writes the graph."""
    return run([*program, "-x", str(cib), "-Q", "-G", str(graph)])


# Large clusters ----------------------------------------------------------------------------------------------------


def measure(size: str, scenario: str, kinds: Sequence[str], peer: str | None, source: Path, folder: Path) -> Row:
    cib = folder / f"{size}-{scenario}.xml"
    arguments = ["scale", "--size", size, "--scenario", scenario, "-o", str(cib)]
    subprocess.run([sys.executable, str(source / "generate_cibs.py"), *arguments], check=True)
    theirs = from_file((peer,), cib, folder / "theirs.xml") if peer else None
    ours = from_file(OURS, cib, folder / "ours.xml")
    assert ours is None or ours.status == 0, f"{cib.name}: exit status {ours.status}"
    command = [sys.executable, "-m", "tests.bench._decisions", str(cib), *kinds]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cib.unlink()
    return Row(size, scenario, theirs, ours, told["spans"], told["diffs"])


def large(
    rows: list[Row],
    wanted: Sequence[tuple[str, str]],
    kinds: Sequence[str],
    peer: str | None,
    source: Path,
    folder: Path,
) -> None:
    print("From a file to the graph, a process each; CPU seconds (wall in brackets), memory at its most")
    print(
        f"{'':24}{'crm_simulate 2.1':>20}{'MB':>6}{'ours':>18}{'MB':>6}{'ratio':>8}{'read':>9}{'decide':>9}{'write':>9}"
    )
    for size, scenario in wanted:
        # Each kind takes two whole decisions more: the first one, and the one that the last is compared with.
        few = kinds if size != SIZES[-1] else kinds[:1]
        row = measure(size, scenario, few, peer, source, folder)
        rows[:] = [other for other in rows if (other.size, other.scenario) != (size, scenario)]
        rows.append(row)
        ratio = f"{row.theirs.cpu_s / row.ours.cpu_s:.2f}" if row.theirs and row.ours else "-"
        spans = "".join(f"{seconds:9.3f}" for seconds in row.spans)
        theirs = shown(row.theirs, 20) if peer else f"{'not here':>20}{'-':>6}"
        print(f"{size:8}{SCENARIOS[scenario]:16}{theirs}{shown(row.ours, 18)}{ratio:>8}{spans}", flush=True)


def shown(run: Run | None, width: int) -> str:
    if run is None:
        return f"{f'over {LIMIT_S} wall':>{width}}{'-':>6}"
    return f"{f'{run.cpu_s:.2f} ({run.wall_s:.2f})':>{width}}{run.peak_mb:6.0f}"


def diffs(rows: Sequence[Row]) -> None:
    """The peer keeps nothing between two decisions: its figure is the one from the file."""
    print("\nFrom a diff to the graph, the model kept; CPU milliseconds, by what the diff tells (goal 50 at 32x1000)")
    print(f"{'':24}" + "".join(f"{kind:>12}" for kind in DIFFS))
    for row in rows:
        told = [row.diffs.get(kind) for kind in DIFFS]
        figures = "".join(f"{'-' if seconds is None else f'{seconds * 1000:.1f}':>12}" for seconds in told)
        print(f"{row.size:8}{SCENARIOS[row.scenario]:16}{figures}")


def growth(rows: Sequence[Row]) -> None:
    print("\nGrowth from size to size, n = nodes x primitives: times as long / times n log n; at most 1 is the goal")
    for scenario, words in SCENARIOS.items():
        steps = []
        for small, big in itertools.pairwise(row for row in rows if row.scenario == scenario):
            expected = big.n * math.log(big.n) / (small.n * math.log(small.n))
            longer = sum(big.spans) / sum(small.spans)
            steps.append(f"{small.n} to {big.n}: {longer:.1f} / {expected:.1f} = {longer / expected:.2f}")
        if steps:
            print(f"  {words:16}{';  '.join(steps)}")


def kept_rows(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    return [
        Row(**{**told, **{who: Run(**told[who]) if told[who] else None for who in ("theirs", "ours")}})
        for told in json.loads(path.read_text())
    ]


# Pacemaker's cases -------------------------------------------------------------------------------------------------


def case_files(source: Path, folder: Path) -> list[Path]:
    """The visible cases, unpacked into a folder of their own."""
    from tests.conformance.cases import load_judge

    listed = load_judge(source).CaseSet(source / "scheduler")
    try:
        return [Path(shutil.copy(listed.path(case, "xml"), folder)) for case in listed.cases]
    finally:
        listed.close()


def in_one_process(programs: dict[str, Sequence[str]], folder: Path) -> None:
    """Each program times its own decisions (--profile), reading included, by its CPU time."""
    print("\nPacemaker's cases, all in one process (--profile), CPU")
    for name, program in programs.items():
        command = [*program, "--profile", str(folder), "--output-as=xml"]
        told = subprocess.run(command, check=False, capture_output=True, text=True)
        times = [float(seconds) for seconds in _DURATION.findall(told.stdout)]
        print(f"  {name:24} {len(times)} cases: {quantiles(times) if times else told.stderr.strip()[-200:]}")


def a_process_each(programs: dict[str, Sequence[str]], cases: Sequence[Path], folder: Path) -> None:
    print("\nPacemaker's cases, a process for each: from its start to the graph in a file")
    for name, program in programs.items():
        tried = [from_file(program, path, folder / "graph.xml") for path in cases]
        # The peer is older than some of the cases, and refuses their schema.
        runs = [run for run in tried if run is not None and run.status == 0]
        if runs:
            wall, cpu = quantiles([run.wall_s for run in runs]), quantiles([run.cpu_s for run in runs])
            print(f"  {name:24} {len(runs)} of {len(cases)} cases: wall {wall}; CPU {cpu}", flush=True)
        else:
            print(f"  {name:24} no case was decided")


def quantiles(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"median {statistics.median(ordered) * 1000:.1f} ms, p99 {ordered[len(ordered) * 99 // 100] * 1000:.1f} ms"


# The command -------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--part", action="append", choices=PARTS, help="these parts only")
    p.add_argument("--size", action="append", metavar="NODESxPRIMITIVES", help=f"these only (of {', '.join(SIZES)})")
    p.add_argument("--scenario", action="append", choices=SCENARIOS, help="these only")
    p.add_argument("--diff", action="append", choices=DIFFS, help="these kinds of diffs only")
    p.add_argument(
        "--results", type=Path, metavar="FILE", help="what was measured of the sizes, kept for the next piece"
    )
    p.add_argument("--cases", type=Path, default=VISIBLE, metavar="DIR", help="generator and cases (%(default)s)")
    p.add_argument("--every", type=int, default=1, metavar="N", help="a process for each Nth case only")
    p.add_argument("--also", action="append", default=[], metavar="COMMAND", help="another crm_simulate for the cases")
    p.add_argument("--no-peer", action="store_true", help="without crm_simulate of Pacemaker")
    return p


def main() -> int:
    options = parser().parse_args()
    if not options.cases.is_dir():
        print(f"skipped: neither generator nor cases are here ({options.cases})")
        return 0
    parts = options.part or PARTS
    peer = None if options.no_peer else shutil.which("crm_simulate", path="/usr/sbin:/usr/bin")
    programs = {"crm_simulate 2.1": (peer,)} if peer else {}
    programs |= {"ours": OURS, **{command: tuple(shlex.split(command)) for command in options.also}}
    with tempfile.TemporaryDirectory(prefix="scheduler-") as name:
        folder = Path(name)
        if "sizes" in parts:
            rows = kept_rows(options.results)
            wanted = list(itertools.product(options.size or SIZES, options.scenario or SCENARIOS))
            large(rows, wanted, options.diff or DIFFS, peer, options.cases, folder)
            rows.sort(key=lambda row: (row.n, list(SCENARIOS).index(row.scenario)))
            if options.results:
                options.results.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
            diffs(rows)
            growth(rows)
        if "cases" in parts or "processes" in parts:
            unpacked = folder / "cases"
            unpacked.mkdir()
            cases = case_files(options.cases, unpacked)
            if "cases" in parts:
                in_one_process(programs, unpacked)
            if "processes" in parts:
                a_process_each(programs, cases[:: options.every], folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
