# SPDX-License-Identifier: GPL-2.0-or-later
"""The same CIB gives the same graph to the byte, whatever the interpreter's hash seed."""

from __future__ import annotations

import subprocess
import sys

from ha.pe.core import schedule
from tests.unit.pe.small_cib import NOW, cib, primitive

RESOURCES = (
    "".join(primitive(f"R{i}") for i in range(6))
    + f'<clone id="C">{primitive("P")}</clone><group id="G">{primitive("X")}{primitive("Y")}</group>'
)
TEXT = cib(nodes=[f"n{i}" for i in range(5)], resources=RESOURCES, transient={"n1": {"a": "1", "b": "2"}})
PROGRAM = (
    "import sys; from ha.pe.core import schedule; "
    "sys.stdout.buffer.write(schedule(sys.stdin.buffer.read(), 1700000000).graph_xml)"
)


def test_two_runs_agree() -> None:
    assert schedule(TEXT, NOW).graph_xml == schedule(TEXT, NOW).graph_xml


def test_the_hash_seed_does_not_matter() -> None:
    here = schedule(TEXT, NOW).graph_xml
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=TEXT, capture_output=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert there.stdout == here
