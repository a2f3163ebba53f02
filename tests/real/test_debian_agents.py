# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's OCF agents through start, monitor, failure, move and stop: those that need no program beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.real.debian_agents import OCF_ROOT

pytestmark = [pytest.mark.real, pytest.mark.lab]

AGENTS = ("heartbeat-Dummy", "heartbeat-Stateful", "heartbeat-anything", "heartbeat-symlink", "heartbeat-Filesystem",
          "heartbeat-IPaddr2", "heartbeat-Route", "pacemaker-Dummy")  # fmt: skip


def test_agents_as_they_are() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("namespaces need root and unshare")
    there = [name for name in AGENTS if (OCF_ROOT / "resource.d" / name.replace("-", "/", 1)).exists()]
    if not there:
        pytest.skip("Debian's resource-agents are not installed")
    command = [sys.executable, "-m", "tests.real.debian_agents", "--at-least", str(len(there)), "--only", *there]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if "Operation not permitted" in done.stderr:
        pytest.skip(f"namespaces cannot be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
