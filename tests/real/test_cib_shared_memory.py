# SPDX-License-Identifier: GPL-2.0-or-later
"""Writers of the CIB's shared memory are killed at any instruction; readers and the other writers never notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ha.cib.io.publisher import purge
from ha.cib.io.reader import CibReader
from ha.cib.msg import CibCopy
from ha.root import Root
from tests.real.cib_kills import kill_many
from tests.real.cib_writer import content
from tests.real.waiting import wait_for

KILLS = 25
CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.real


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    root = Root(str(tmp_path))
    yield root
    purge(root)


def _start(root: Root) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.real.cib_writer", root.prefix]
    writer = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def test_killed_writers_stop_nobody_and_tear_nothing(root: Root) -> None:
    """Three writers that share a lock; one is killed again and again, wherever it is just then."""
    chance = Random(7)
    writers = [_start(root) for _ in range(3)]
    reader = CibReader(root)
    reads = 0
    try:
        for _ in range(KILLS):
            victim = chance.randrange(3)
            before = reader.generation()
            wait_for(lambda before=before: reader.generation() > before, "the writers go on")
            for _ in range(chance.randrange(40)):
                found = reader.read()
                assert isinstance(found, CibCopy)
                assert found.xml == content(found.generation)
                reads += 1
            os.kill(writers[victim].pid, signal.SIGKILL)
            writers[victim].wait()
            writers[victim] = _start(root)
        assert reads > KILLS
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def test_kills_at_any_instruction_lose_nothing_that_was_acknowledged(root: Root, tmp_path: Path) -> None:
    root.run_dir.mkdir(parents=True)
    tally = kill_many(root, tmp_path, kills=60, seed=5)
    assert tally.faults() == []
    assert tally.kills == 60
    assert tally.acknowledged > 0


def test_readers_go_on_when_every_writer_is_dead_or_frozen(root: Root) -> None:
    writer = _start(root)
    reader = CibReader(root)
    wait_for(lambda: reader.generation() > 3, "something is published")
    os.kill(writer.pid, signal.SIGSTOP)
    stat = Path(f"/proc/{writer.pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it stands still")
    frozen = reader.read()
    assert isinstance(frozen, CibCopy)
    assert frozen.xml == content(frozen.generation)
    writer.kill()
    writer.wait()
    assert reader.read() == frozen
