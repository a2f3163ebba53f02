# SPDX-License-Identifier: GPL-2.0-or-later
"""stonithd's decisions: which device, on which node, in which order, and when a target counts as fenced.

    crmd, program ──FenceNode──► leader: plan of levels, steps, executors ──RunDevice──► executor of a member
          ▲                        │                                                        │ Fence
          └────────Fenced──────────┴────────────────────DeviceRan───────────────────────────┘

    manager    the machine: takes events apart
    registry   devices, who may use them, what they reach: from the CIB, meta-data and the agents' lists
    leader     requests for a fence that came to this node, each through its plan to its answer
    plan       levels and steps for one target
    executor   what this node's devices do, one action a device at a time, fences first
    history    what was fenced, by whom, for whom
    drills     every device tried before it is needed, harmlessly, on a schedule
    readiness  which device would shoot whom, and what would hinder it
    brake      fences held back: disarmed by a person, or too many nodes lost at once

Rules of this package

* A target counts as fenced only when an agent said so, or a person did (ConfirmFenced).
* A target never carries out its own fence.
* A request repeated after a restart finds what was done for it; no device is told twice (P4).
* What is held back is never taken for done: a node that is not fenced keeps its resources (P1).
* Requests of older views are refused, by the leader and by every executor (P2).
"""

from __future__ import annotations

from ha.machine import Machine
from ha.stonith.core.manager import FenceManager


def build(*, node: str) -> Machine:
    """The stonithd of `node`."""
    return FenceManager(node=node)


__all__ = ["build"]
