# SPDX-License-Identifier: GPL-2.0-or-later
"""Durable data: what was saved is loaded, half-written files are not, overlong ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha import whole_file
from ha.ipc.limits import MAX_PERSISTED_BYTES
from ha.shell import durable


def test_an_absent_folder_is_an_empty_state(tmp_path: Path) -> None:
    assert durable.load(tmp_path / "nothing") == {}


def test_the_last_save_wins_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    durable.save(folder, "view", b"one")
    durable.save(folder, "view", b"two")
    assert durable.load(folder) == {"view": b"two"}
    assert (folder / "view").stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_half_written_is_not_loaded(tmp_path: Path) -> None:
    durable.save(tmp_path, "view", b"whole")
    (tmp_path / ("view" + whole_file.SUFFIX)).write_bytes(b"hal")
    assert durable.load(tmp_path) == {"view": b"whole"}
    assert [path.name for path in tmp_path.iterdir()] == ["view"]


def test_a_file_that_cannot_be_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "view"
    with path.open("wb") as file:
        file.truncate(MAX_PERSISTED_BYTES + 1)
    with pytest.raises(durable.DurableError, match="view"):
        durable.load(tmp_path)
