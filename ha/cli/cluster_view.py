# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster as the policy engine reads it from a CIB: nodes, resources, where they run, what failed."""

from __future__ import annotations

from ha.pe.model.cluster import Cluster


def view_of(cib: bytes, now_s: int) -> Cluster:
    """Raises `ha.pe.model.document.CibError` for a text that is no CIB."""
    from ha.pe.core import read

    return read(cib, now_s)
