# SPDX-License-Identifier: GPL-2.0-or-later
"""What every kind of test may use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory whose path is short enough for the unix sockets of a node below it."""
    with tempfile.TemporaryDirectory(prefix="ha-", dir="/tmp") as path:
        yield Path(path)
