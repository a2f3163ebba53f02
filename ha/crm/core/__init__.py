# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd: the brain of a node, and as DC of the cluster.

    election        which member is DC of a view
    join            how the others become its members
    ground          the DC's CIB: leading it, writing, hearing of changes
    status          who is in and what ran where, into the CIB
    failures        fail counts, through attrd
    takeover_grace  when a node that fell out counts as lost (P1)
    scheduling      when the policy engine is asked
    transition      orders of a running transition, and their results
    fencing         who is shot, and when that is believed
    clean_ups       histories to be forgotten
    alerts          whom to tell of what happened
    orders          a member's side: the LRM's work for the DC
    shutdown        leaving in good order
    requests        what programs ask
    timeline        what took how long
    fsm             the state that tools show

    crmd            the Machine: each event goes to the part that is named for it
"""

from __future__ import annotations

from ha.crm.core.context import Settings
from ha.crm.core.crmd import Crmd
from ha.crm.model import FEATURE_SET

DEFAULT_DEADTIME_MS = 1_000
DEFAULT_INITDEAD_MS = 30_000


def build(
    *,
    node: str,
    nodes: tuple[str, ...],
    deadtime_ms: int = DEFAULT_DEADTIME_MS,
    initdead_ms: int = DEFAULT_INITDEAD_MS,
    feature_set: str = FEATURE_SET,
    has_tie_breaker: bool = False,
    tie_breaker_wait_ms: int = 0,
) -> Crmd:
    """The crmd of `node`; `nodes` are the configured members in the order of ha.cf, times are ha.cf's."""
    assert node in nodes, f"{node} is not one of the configured nodes {', '.join(nodes)}"
    return Crmd(
        Settings(
            node=node, nodes=nodes, deadtime_ms=deadtime_ms, initdead_ms=initdead_ms, feature_set=feature_set,
            has_tie_breaker=has_tie_breaker, tie_breaker_wait_ms=tie_breaker_wait_ms,
        )
    )  # fmt: skip


__all__ = ["Crmd", "build"]
