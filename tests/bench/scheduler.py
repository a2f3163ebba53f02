# SPDX-License-Identifier: GPL-2.0-or-later
"""Deciding, side by side with Pacemaker's crm_simulate: large clusters, growth, memory, and Pacemaker's own cases.

Budgets (design section 11): 32x1000 in 1.5 s (all running), 1.5 s (one node lost) and 2 s (all stopped) from a file,
50 ms after a diff; 64x5000 in 30 s and 3 GB; the cases in one process 8 ms median, 150 ms p99; a process for each
90 ms median. Peer: crm_simulate 2.1.5 2.7 / 3.0 / 35.8 s, 57 / 55 / over 120 s with 3.9 GB, 0.7 and 26 ms, 23 ms.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VISIBLE = Path(__file__).resolve().parents[3] / "shared" / "conformance"
"""Where the generator and the cases are, if they are here at all."""
OURS = (sys.executable, "-m", "ha.cli.crm_simulate")
SIZES = ("3x10", "8x100", "16x500", "32x1000")
LARGEST = "64x5000"
SCENARIOS = {"running": "all running", "node-down": "one node lost", "stopped": "all stopped"}
NOW_S = 1_700_000_000
LIMIT_S = 150
DIFFS = 5


@dataclass(frozen=True)
class Run:
    """One process, begun and ended."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    status: int


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


# In process --------------------------------------------------------------------------------------------------------


def in_process(cib: Path) -> None:
    """What one process sees, as JSON in CPU seconds; a process of its own, so that its memory is its own, too."""
    from ha.pe.core import read
    from ha.pe.core.graph import write_graph
    from ha.pe.core.graph_text import graph_text
    from ha.pe.core.stages import decide
    from ha.pe.io.collector import paused_collector

    sys.setrecursionlimit(100_000)
    text = cib.read_bytes()
    clock = time.process_time
    with paused_collector():
        at = [clock()]
        cluster = read(text, NOW_S)
        at.append(clock())
        decide(cluster)
        at.append(clock())
        graph = graph_text(*write_graph(cluster))
        at.append(clock())
    actions = len(cluster.actions)
    del cluster
    spans = [later - earlier for earlier, later in itertools.pairwise(at)]
    after_diff = statistics.median(times_after_diffs(text, graph))
    print(json.dumps({"spans": spans, "after_diff": after_diff, "actions": actions}))


def times_after_diffs(text: bytes, graph: bytes) -> list[float]:
    """From a diff as published to the graph, as the pengine does it; the graph must be that of the text."""
    from lxml import etree

    from ha.cib.model.diff import apply_diff
    from ha.cib.model.document import Document, attributes_of
    from ha.cib.model.edit import Transaction
    from ha.cib.model.parse import parse
    from ha.pe.core.kept import KeptModel
    from ha.pe.io.collector import paused_collector

    document = Document.from_bytes(text)
    sender = Document.from_bytes(text)
    document.snapshot()
    model = KeptModel(document.root)
    model.schedule(NOW_S)
    times = []
    for number in range(DIFFS):
        state = sender.root.findall("status/node_state")[-1]
        place = next(state.iter("lrm_rsc_op"), state)
        change = Transaction(sender)
        change.set_attributes(place, {**attributes_of(place), "crm-debug-origin": f"bench-{number}"})
        diff = change.diff()
        assert diff is not None
        published = etree.tostring(diff)
        with paused_collector():
            began = time.process_time()
            transaction = Transaction(document)
            apply_diff(transaction, parse(published))
            document.snapshot()
            model.touch(transaction.parts())
            decision = model.schedule(NOW_S)
            times.append(time.process_time() - began)
        assert decision.graph_xml == graph
        del decision
    return times


# Large clusters ----------------------------------------------------------------------------------------------------


def large(sizes: Sequence[str], peer: str | None, folder: Path) -> None:
    print("CPU seconds (wall in brackets); read, decide, graph and after a diff are within one process")
    columns = "".join(f"{word:>8}" for word in ("read", "decide", "graph", "diff"))
    print(f"{'':24}{'crm_simulate 2.1':>22}{'ours, whole':>18}{columns}   MB: peer, ours")
    totals: dict[str, list[tuple[int, float]]] = {scenario: [] for scenario in SCENARIOS}
    for size in sizes:
        for scenario, words in SCENARIOS.items():
            cib = folder / f"{size}-{scenario}.xml"
            generate(["scale", "--size", size, "--scenario", scenario, "-o", str(cib)])
            theirs = from_file((peer,), cib, folder / "theirs.xml") if peer else None
            ours = from_file(OURS, cib, folder / "ours.xml")
            assert ours is not None, f"more than {LIMIT_S} s"
            assert ours.status == 0, f"{cib.name}: exit status {ours.status}"
            inside = subprocess.run(
                [sys.executable, "-m", "tests.bench.scheduler", "--in-process", str(cib)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            told = json.loads(inside.stdout)
            figures = "".join(f"{seconds:8.3f}" for seconds in (*told["spans"], told["after_diff"]))
            print(
                f"{size:8}{words:16}{shown(theirs, peer):>22}{shown(ours, 'ours'):>18}{figures}"
                f"   {'-' if theirs is None else round(theirs.peak_mb)}, {ours.peak_mb:.0f}",
                flush=True,
            )
            nodes, primitives = map(int, size.split("x"))
            totals[scenario].append((nodes * primitives, sum(told["spans"])))
            cib.unlink()
    growth(totals)


def shown(run: Run | None, program: str | None) -> str:
    if program is None:
        return "not here"
    return f"over {LIMIT_S}" if run is None else f"{run.cpu_s:.2f} ({run.wall_s:.2f})"


def growth(totals: dict[str, list[tuple[int, float]]]) -> None:
    print("\ngrowth of read + decide + graph from size to size, n = nodes x primitives; 1 is n log n")
    for scenario, words in SCENARIOS.items():
        rows = totals[scenario]
        steps = []
        for (small, before), (big, after) in itertools.pairwise(rows):
            expected = big * math.log(big) / (small * math.log(small))
            steps.append(f"{small} to {big}: {after / before / expected:.2f}")
        print(f"  {words:16}{',  '.join(steps)}")


def generate(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, str(VISIBLE / "generate_cibs.py"), *arguments], check=True)


# Pacemaker's cases -------------------------------------------------------------------------------------------------


def cases(peer: str | None, folder: Path, processes: int) -> None:
    from ha.pe.core import schedule
    from tests.conformance.cases import load_judge

    listed = load_judge(VISIBLE).CaseSet(VISIBLE / "scheduler")
    try:
        paths = [Path(listed.path(case, "xml")) for case in listed.cases]
        times = []
        for path in paths:
            text = path.read_bytes()
            began = time.process_time()
            schedule(text, NOW_S)
            times.append(time.process_time() - began)
        print(f"\n{len(paths)} cases in one process, CPU: {quantiles(times)}")
        some = paths[:: max(1, len(paths) // processes)]
        programs = {"crm_simulate": (peer,) if peer else (), "ours": OURS}
        for name, program in programs.items():
            if program:
                tried = [from_file(program, path, folder / "graph.xml") for path in some]
                # The peer is older than some of the cases, and refuses their schema.
                runs = [run for run in tried if run is not None and run.status == 0]
                assert runs, f"{name}: no case was decided"
                wall, cpu = quantiles([run.wall_s for run in runs]), quantiles([run.cpu_s for run in runs])
                print(f"{len(runs)} of {len(some)} cases, a process for each, {name}: wall {wall}; CPU {cpu}")
    finally:
        listed.close()


def quantiles(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"median {statistics.median(ordered) * 1000:.1f} ms, p99 {ordered[len(ordered) * 99 // 100] * 1000:.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", action="store_true", help=f"{LARGEST} as well: minutes, and gigabytes")
    parser.add_argument("--size", action="append", metavar="NODESxPRIMITIVES", help="these sizes only")
    parser.add_argument("--no-peer", action="store_true", help="without crm_simulate of Pacemaker")
    parser.add_argument("--processes", type=int, default=100, metavar="N", help="cases run as a process each")
    parser.add_argument("--in-process", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process is not None:
        in_process(options.in_process)
        return 0
    if not VISIBLE.is_dir():
        print(f"skipped: neither generator nor cases are here ({VISIBLE})")
        return 0
    peer = None if options.no_peer else shutil.which("crm_simulate", path="/usr/sbin:/usr/bin")
    with tempfile.TemporaryDirectory(prefix="scheduler-") as name:
        large(options.size or (*SIZES, *((LARGEST,) if options.largest else ())), peer, Path(name))
        cases(peer, Path(name), options.processes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
