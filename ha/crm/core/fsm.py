# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd's state, by the names that Pacemaker's tools show, as a table; it is set nowhere else.

NOT_DC and PENDING are a member with and without a DC; INTEGRATION to IDLE are a DC at work.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ha.crm.core.context import Context

State: TypeAlias = Literal[
    "S_STARTING", "S_PENDING", "S_ELECTION", "S_NOT_DC", "S_INTEGRATION", "S_FINALIZE_JOIN",
    "S_POLICY_ENGINE", "S_TRANSITION_ENGINE", "S_IDLE", "S_STOPPING", "S_TERMINATE",
]  # fmt: skip

DC_STATES: tuple[State, ...] = (
    "S_INTEGRATION", "S_FINALIZE_JOIN", "S_POLICY_ENGINE", "S_TRANSITION_ENGINE", "S_IDLE",
)  # fmt: skip

_LEAVE: tuple[State, ...] = ("S_PENDING", "S_ELECTION", "S_STOPPING")
MAY_BECOME: dict[State, tuple[State, ...]] = {
    "S_STARTING": _LEAVE,
    "S_PENDING": ("S_ELECTION", "S_NOT_DC", "S_INTEGRATION", "S_STOPPING"),
    "S_ELECTION": ("S_PENDING", "S_NOT_DC", "S_INTEGRATION", "S_STOPPING"),
    "S_NOT_DC": _LEAVE,
    "S_INTEGRATION": (*_LEAVE, "S_NOT_DC", "S_FINALIZE_JOIN"),
    "S_FINALIZE_JOIN": (*_LEAVE, "S_NOT_DC", "S_INTEGRATION", "S_POLICY_ENGINE", "S_IDLE"),
    "S_POLICY_ENGINE": (*_LEAVE, "S_NOT_DC", "S_INTEGRATION", "S_TRANSITION_ENGINE", "S_IDLE"),
    "S_TRANSITION_ENGINE": (*_LEAVE, "S_NOT_DC", "S_INTEGRATION", "S_POLICY_ENGINE", "S_IDLE"),
    "S_IDLE": (*_LEAVE, "S_NOT_DC", "S_INTEGRATION", "S_POLICY_ENGINE"),
    "S_STOPPING": ("S_TERMINATE",),
    "S_TERMINATE": (),
}


class Fsm:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.state: State = "S_STARTING"

    def become(self, state: State, why: str) -> None:
        """Does nothing when that is the state already; an arrival that the table lacks is a broken invariant."""
        if state == self.state or self.ended:
            return
        assert state in MAY_BECOME[self.state], f"protocol error: {self.state} => {state} ({why})"
        self.context.note("info", f"state {self.state} => {state}: {why}")
        self.state = state

    @property
    def ended(self) -> bool:
        """Nothing of the cluster's is done here any more."""
        return self.state == "S_TERMINATE"
