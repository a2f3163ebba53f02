# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about a node that several stages ask for."""

from __future__ import annotations

from ha.pe.model.node import Node


def shutdown_requested(node: Node) -> bool:
    """Whether the node asked to leave the cluster in good order."""
    return node.attributes.get("shutdown", "0") != "0"
