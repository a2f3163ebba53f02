# SPDX-License-Identifier: GPL-2.0-or-later
"""crm_simulate prints and writes the same bytes whatever the interpreter's hash seed, however equal text is written.

Some cases; `python -m tests.conformance.determinism` takes all of them.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.cases import VISIBLE, load_judge
from tests.conformance.determinism import equal_text

CASES = ("random-000001", "random-000285", "random-000410")
SEEDS = ("0", "1", "4711")


def outputs(xml: Path, seed: str, folder: Path) -> tuple[bytes, bytes, bytes, bytes]:
    """Standard output of a simulation, then the scores, the graph and the picture."""
    command = [sys.executable, "-m", "ha.cli.crm_simulate", "-x", str(xml)]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "UTC"}
    graph, dot = folder / f"{seed}.exp", folder / f"{seed}.dot"
    played = subprocess.run([*command, "-S"], capture_output=True, check=True, env=environment)
    shown = subprocess.run(
        [*command, "-sSQ", "-G", str(graph), "-D", str(dot)], capture_output=True, check=True, env=environment
    )
    return played.stdout, shown.stdout, graph.read_bytes(), dot.read_bytes()


@pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"Pacemaker's cases are not here: {VISIBLE}")
@pytest.mark.parametrize("name", CASES)
def test_the_hash_seed_does_not_matter(name: str, tmp_path: Path) -> None:
    cases = load_judge(VISIBLE).CaseSet(VISIBLE / "random")
    try:
        case = next(case for case in cases.cases if case.name == name)
        xml = Path(cases.path(case, "xml"))
        found = {outputs(xml, seed, tmp_path) for seed in SEEDS}
        otherwise = tmp_path / "otherwise.xml"
        otherwise.write_bytes(equal_text(xml.read_bytes(), random.Random(name)))
        assert otherwise.read_bytes() != xml.read_bytes()
        found.add(outputs(otherwise, SEEDS[0], tmp_path))
    finally:
        cases.close()
    assert len(found) == 1
