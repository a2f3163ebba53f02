# SPDX-License-Identifier: GPL-2.0-or-later
"""One rmd per root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ha.rmd.io.pidfile import AlreadyRunning, PidFile, holder, read_pid


def test_it_holds_our_number_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "rmd.pid"
    assert holder(path) is None
    with PidFile(path):
        assert read_pid(path) == os.getpid()
        assert holder(path) == os.getpid()
    assert not path.exists()
    assert holder(path) is None


def test_a_second_one_is_told_who_runs(tmp_path: Path) -> None:
    path = tmp_path / "rmd.pid"
    with PidFile(path), pytest.raises(AlreadyRunning, match=f"already running with pid {os.getpid()}"):
        PidFile(path).acquire()


def test_a_stale_file_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rmd.pid"
    path.write_text("1\n")
    assert holder(path) is None
    with PidFile(path):
        assert read_pid(path) == os.getpid()


def test_garbage_in_it_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rmd.pid"
    path.write_bytes(b"\xff\x00 no number" * 100)
    with PidFile(path):
        assert read_pid(path) == os.getpid()


def test_waiting_for_a_holder_that_stays_ends_in_time(tmp_path: Path) -> None:
    path = tmp_path / "rmd.pid"
    with PidFile(path), pytest.raises(AlreadyRunning):
        PidFile(path, wait_ms=50).acquire()
