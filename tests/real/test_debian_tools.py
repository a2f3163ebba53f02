# SPDX-License-Identifier: GPL-2.0-or-later
"""Pacemaker's own tools, where they are installed, beside ours: the same calls, the same answers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.contract import CIB, SEQUENCES

PACEMAKER = Path("/usr/sbin")
OURS = Path(sys.executable).parent
TOOLS = ("crm_rule", "crm_ticket", "crm_shadow", "iso8601", "crm_error", "crm_failcount", "crm_master")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all((PACEMAKER / tool).exists() for tool in TOOLS), reason="Pacemaker's tools are not installed here"
    ),
]


def answers(tools: Path, command: str, directory: Path) -> tuple[int, str]:
    environment = {
        "PATH": f"{tools}:/usr/sbin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HA_ROOT": "/tmp",
        "CIB_file": str(directory / "cib.xml"), "CIB_shadow_dir": str(directory), "HOME": str(directory),
    }  # fmt: skip
    done = subprocess.run(
        shlex.split(command), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", SEQUENCES)
def test_side_by_side(name: str, tmp_path: Path) -> None:
    version = subprocess.run([PACEMAKER / "crm_error", "--version"], capture_output=True, text=True, check=False).stdout
    if "2.1.5" not in version:
        pytest.skip(f"the answers were recorded from 2.1.5; here is {version.splitlines()[0] if version else '?'}")
    for tools in ("theirs", "ours"):
        directory = tmp_path / tools
        directory.mkdir()
        (directory / "cib.xml").write_text(CIB)
        os.chmod(directory, 0o755)
    for call in SEQUENCES[name]:
        theirs = answers(PACEMAKER, call.command, tmp_path / "theirs")
        ours = answers(OURS, call.command, tmp_path / "ours")
        assert theirs[0] == ours[0] == call.code, f"{call.command}: {theirs} {ours}"
        if call.out is not None:
            assert theirs[1] == ours[1] == call.out, call.command
