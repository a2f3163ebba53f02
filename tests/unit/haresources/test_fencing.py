# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing by the program `stonith`: only its success is a proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.haresources.io.fencing import fence
from ha.haresources.model.execution import FenceDevice, FencePeer

REQUEST = FencePeer(FenceDevice("*", "external/switch", "alpha beta"), "beta")


@pytest.mark.parametrize(
    ("script", "confirmed", "text"),
    [
        ('echo "$@" >&2; exit 0', True, "-t external/switch -p alpha beta -T reset beta"),
        ("echo no power >&2; exit 1", False, "no power"),
        ("exit 5", False, "exit code 5"),
    ],
)
def test_the_programs_word_counts(
    script: str, confirmed: bool, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "stonith"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    end = fence(REQUEST)
    assert (end.confirmed, end.text) == (confirmed, text)


def test_without_the_program_nothing_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not fence(REQUEST).confirmed
