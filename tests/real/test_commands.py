# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command as a process: it explains itself, and ends quietly when nobody reads on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ha.cli.manuals.content import DAEMON_METADATA, commands
from tests.real.waiting import wait_for
from tests.unit.cli.contract import CIB

pytestmark = pytest.mark.real

BIN = Path(sys.executable).parent
QUIET = (0, 1, 128 + signal.SIGPIPE)
"""click ends with 1, as it does for all it cannot say."""


@pytest.mark.parametrize("name", commands())
def test_a_command_whose_reader_has_gone_says_nothing(name: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head -0` would, but surely before the command writes
    try:
        done = subprocess.run([BIN / name, "metadata" if name in DAEMON_METADATA else "--help"], stdout=writing,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr == "" and done.returncode in QUIET, done


@pytest.mark.parametrize("call", ["cibadmin -Q", "crm_mon -1", "crm_mon --output-as=xml", "crm_resource --list",
                                  "crm_resource --list-standards", "crm_verify -L -VVV", "ha status"])  # fmt: skip
def test_so_does_one_that_answers(call: str, tmp_path: Path) -> None:
    (tmp_path / "cib.xml").write_text(CIB)
    name, *rest = call.split()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([BIN / name, *rest], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60,
                              env={**os.environ, "CIB_file": str(tmp_path / "cib.xml")}, check=False)  # fmt: skip
    finally:
        os.close(writing)
    assert "Broken pipe" not in done.stderr and "Traceback" not in done.stderr, done
    assert done.returncode in QUIET, done


@pytest.mark.parametrize("name", [name for name in commands() if name not in DAEMON_METADATA])
def test_a_command_explains_itself(name: str) -> None:
    done = subprocess.run([BIN / name, "--help"], text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and name in done.stdout.split("\n")[0] and not done.stderr, done


def test_crm_mon_keeps_a_file_up_to_date_in_the_background(tmp_path: Path) -> None:
    """As the agent ClusterMon runs it."""
    cib, page, pid = tmp_path / "cib.xml", tmp_path / "page.html", tmp_path / "pid"
    cib.write_text(CIB)
    environment = {**os.environ, "CIB_file": str(cib), "HA_ROOT": "/tmp/ha-none"}
    command = [BIN / "crm_mon", "-d", "-i", "1", "-p", pid, "-h", page]
    done = subprocess.run(command, timeout=60, check=True, env=environment, capture_output=True)
    assert not done.stderr, done
    background = int(wait_for(lambda: pid.exists() and pid.read_text().strip(), "it names itself"))
    try:
        wait_for(lambda: page.exists() and "n2" in page.read_text(), "the page is written")
        cib.write_text(CIB.replace('uname="n2"', 'uname="somebody"'))
        wait_for(lambda: "somebody" in page.read_text(), "the page follows")
    finally:
        os.kill(background, signal.SIGTERM)
    wait_for(lambda: not pid.exists(), "it ends by the signal and takes its pid file away")
    refused = subprocess.run([BIN / "crm_mon", "-d"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 64 and "needs a file" in refused.stderr
