# SPDX-License-Identifier: GPL-2.0-or-later
"""The attrd worker."""

from __future__ import annotations

from ha.attrd.core import build
from ha.root import Root
from ha.shell import run_worker


def main(root: Root) -> int:
    """Run until SIGTERM; returns the exit status."""
    settings = {"node": root.node_name()}
    return run_worker("attrd", build(**settings), root=root, settings=settings)
