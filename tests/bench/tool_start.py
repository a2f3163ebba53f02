# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the tools take as whole processes: live on a playground, and beside Pacemaker's on the same CIB in a file.

Calls alternate, so that both have the same machine; medians in ms. Pacemaker's tools cannot ask our cluster: where a
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


def timed_ms(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return (time.perf_counter() - began) * 1000


def measure(call: str, live: dict[str, str], on_a_file: dict[str, str]) -> str:
    name, *rest = call.split()
    theirs = THEIRS / name
    runs: dict[str, list[float]] = {"live": [], "file": [], "theirs": []}
    for _ in range(ROUNDS + 1):  # the first fills the page cache, and is left out
        runs["live"].append(timed_ms([str(BIN / name), *rest], live))
        runs["file"].append(timed_ms([str(BIN / name), *rest], on_a_file))
        if theirs.exists():
            runs["theirs"].append(timed_ms([str(theirs), *rest], on_a_file))
    medians = [f"{statistics.median(ms[1:]):7.1f}" if ms else "      -" for ms in runs.values()]
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
            print(f"{'median of ' + str(ROUNDS) + ' calls, ms':58}    ours  on a file  pacemaker on the file")
            print(f"{'python -c pass':58} {measure_python(live):7.1f}")
            for call in CALLS:
                print(measure(call, live, {**os.environ, "CIB_file": str(file)}), flush=True)
        finally:
            control.order(place, "quit")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_python(environment: dict[str, str]) -> float:
    """What no tool in Python can be faster than."""
    return statistics.median(timed_ms([sys.executable, "-c", "pass"], environment) for _ in range(ROUNDS))


if __name__ == "__main__":
    main()
