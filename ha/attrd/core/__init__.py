# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the transient attributes of all nodes, the same on every node, and brings them into the CIB's status.

    attrd       the Machine: requests, owners, gathering the table after a start
    table       the attributes; merging what others know
    cib_writer  one request at the cib at a time

Each node's attributes have one owner: the node's own attrd, or the oldest member's while the node is no member. Only
the owner changes them, so counting is not lost between two askers; it stamps each value, spreads it to every attrd and
writes it into the CIB. After a split the greater stamp wins. A caller is answered when the CIB has the value (at once
for private and dampened ones).

A node that starts a new life (boot, clean leave) has no attributes; the restart of its attrd alone loses none: the
others know them, and the CIB does.
"""

from __future__ import annotations

from ha.attrd.core.attrd import Attrd
from ha.machine import Machine


def build(*, node: str) -> Machine:
    """The attrd of `node`."""
    return Attrd(node=node)


__all__ = ["build"]
