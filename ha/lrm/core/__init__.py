# SPDX-License-Identifier: GPL-2.0-or-later
"""The local resource manager's decisions: what runs when, and what is told of it.

    order (RunOperation) ──► queue of its resource ──► a slot ──► runner ──► result ──► crmd, record
                                 ▲                                    │
                                 └── timer: interval after the end ───┘   recurring operations

Rules of this package

* A result is sent, then recorded, then its job is dropped. A crash between any two leaves enough to send it again,
  and never makes an agent run again.
* An order is known by its user_data. A repeated one is answered, or left to be answered; it is not run twice.
* The newest view is recorded before its first order runs (P2).
* Classes other than stonith are run by io; operations of class stonith are stonithd's, over its link.
"""

from __future__ import annotations

from ha.lrm.core.manager import ResourceManager
from ha.machine import Machine

MIN_PARALLEL = 4


def build(*, node: str, processors: int = 1) -> Machine:
    """The LRM of `node`. At most 4 agents run at once, or as many as half the processors, whichever is more.

    Source: the LRM of cluster-glue (max-children).
    """
    return ResourceManager(node=node, max_parallel=max(MIN_PARALLEL, processors // 2))


__all__ = ["build"]
