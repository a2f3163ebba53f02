# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the tools take as whole processes: live on a playground, and beside Pacemaker's on the same CIB in a file.

Calls alternate, so that both have the same machine; medians in ms, of wall time and of processor time, which says more
where other jobs run. Pacemaker's tools cannot ask our cluster: where a
call needs one, theirs is how long they take to find out that there is none.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ha.cli.playground import cluster, control

BIN = Path(sys.executable).parent
THEIRS = Path("/usr/sbin")
CALLS = (
    "crm_mon -1",
    "cibadmin -Q",
    "crm_resource --list",
    "crm_resource --locate -r web-page",
    "crm_resource --list-ocf-alternatives Dummy",
    "crm_attribute -t crm_config -n stonith-enabled -G -q",
    "crm_node -n",
    "crm_node -l",
    "attrd_updater -Q -n nothing",
    "crm_master -Q -r web-page -N n1",
    "crm_verify -L",
    "crmadmin -D",
)
ROUNDS = 15
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "web-page.xml"


def timed_ms(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall time and processor time of the whole process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    process.returncode = 0  # it is reaped: Popen need not look for it
    return wall_ms, (used.ru_utime + used.ru_stime) * 1000


def measure(call: str, live: dict[str, str], on_a_file: dict[str, str]) -> str:
    name, *rest = call.split()
    theirs = THEIRS / name
    runs: dict[str, list[tuple[float, float]]] = {"live": [], "file": [], "theirs": []}
    for _ in range(ROUNDS + 1):  # the first fills the page cache, and is left out
        runs["live"].append(timed_ms([str(BIN / name), *rest], live))
        runs["file"].append(timed_ms([str(BIN / name), *rest], on_a_file))
        if theirs.exists():
            runs["theirs"].append(timed_ms([str(theirs), *rest], on_a_file))
    medians = [median(times[1:]) for times in runs.values()]
    return f"{call:58} {'  '.join(medians)}"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ha-", dir="/tmp"))
    try:
        place = cluster.up(folder / "p", 3, "default", lambda text: None)
        try:
            cluster.load_configuration(place, EXAMPLE.read_bytes(), str(EXAMPLE))
            cluster.await_cluster(place, place.nodes)
            live = control.environment(place, "n1")
            file = folder / "cib.xml"
            file.write_bytes(subprocess.run([BIN / "cibadmin", "-Q"], env=live, capture_output=True, check=True).stdout)
            print(f"{f'median of {ROUNDS} calls, ms: wall (processor)':58}  {'ours':>15}  {'on a file':>15}  "
                  f"{'pacemaker':>15}")  # fmt: skip
            print(f"{'python -c pass':58} {measure_python(live)}")
            for call in CALLS:
                print(measure(call, live, {**os.environ, "CIB_file": str(file)}), flush=True)
        finally:
            control.order(place, "quit")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_python(environment: dict[str, str]) -> str:
    """What no tool in Python can be faster than."""
    return median([timed_ms([sys.executable, "-c", "pass"], environment) for _ in range(ROUNDS)])


def median(times: list[tuple[float, float]]) -> str:
    if not times:
        return f"{'-':>15}"
    wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
    return f"{wall:7.1f} ({processor:5.1f})"


if __name__ == "__main__":
    main()
