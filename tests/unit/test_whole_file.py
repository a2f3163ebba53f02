# SPDX-License-Identifier: GPL-2.0-or-later
"""Files replaced as a whole: contents, mode, and nothing left beside them when it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ha import whole_file


@pytest.mark.parametrize("durable", [True, False])
def test_the_last_one_wins_with_its_mode_whatever_the_umask(tmp_path: Path, durable: bool) -> None:
    target = tmp_path / "file"
    before = os.umask(0o077)
    try:
        whole_file.replace(target, b"one", durable=durable)
        whole_file.replace(target, b"two", mode=0o644, durable=durable)
    finally:
        os.umask(before)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    whole_file.replace(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        whole_file.replace(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_that_somebody_put_in_the_way_is_not_followed(tmp_path: Path) -> None:
    target, bystander = tmp_path / "file", tmp_path / "bystander"
    bystander.write_bytes(b"mine")
    target.with_name(f"file.{os.getpid()}{whole_file.SUFFIX}").symlink_to(bystander)
    with pytest.raises(OSError, match="symbolic"):
        whole_file.replace(target, b"new")
    assert bystander.read_bytes() == b"mine"
