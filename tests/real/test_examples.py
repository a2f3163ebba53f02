# SPDX-License-Identifier: GPL-2.0-or-later
"""Every example of README.md and docs/*.md is executed as it stands there, on a playground, or says why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import REPOSITORY, Block, all_blocks
from tests.real import cluster
from tests.real.cluster import TestCluster

pytestmark = pytest.mark.real

RUN = [block for block in all_blocks() if block.kind == "console" and not block.reason]
OWN = [block for block in RUN if any("playground up" in command for command in block.commands)]
"""These bring their own cluster."""


def execute(block: Block, environment: dict[str, str]) -> None:
    script = "set -e\n" + "\n".join(block.commands).replace("/tmp/incident", environment["EXAMPLES"] + "/incident")
    done = subprocess.run(["bash", "-c", script], cwd=REPOSITORY, text=True, capture_output=True, timeout=180,
                          check=False, env=environment)  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, f"{block}\n{script}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="ha-", dir="/tmp") as folder:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        found = {**os.environ, "PATH": path, "HA_PLAYGROUND": f"{folder}/p", "EXAMPLES": folder}
        yield found
        subprocess.run(["ha", "playground", "down"], env=found, capture_output=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def running() -> Iterator[TestCluster]:
    with cluster.running(3) as made:
        made.settle()
        yield made


@pytest.mark.parametrize("block", OWN, ids=str)
def test_an_example_with_a_cluster_of_its_own(block: Block, environment: dict[str, str]) -> None:
    execute(block, environment)


@pytest.mark.parametrize("block", [block for block in RUN if block not in OWN], ids=str)
def test_an_example_on_a_node(block: Block, running: TestCluster, environment: dict[str, str]) -> None:
    execute(block, {**environment, "HA_ROOT": running.layout.root(running.layout.nodes[0]).prefix})


def test_there_are_examples() -> None:
    assert OWN and len(RUN) > len(OWN)
    assert shutil.which("bash"), "the examples are for a shell"
