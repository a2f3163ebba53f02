# SPDX-License-Identifier: GPL-2.0-or-later
"""ForgetResource orders outside of any transition, repeated until the node has done them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.crm.core.context import Context
from ha.crm.msg import Order
from ha.lrm.msg import ForgetResource

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

REPEAT_MS = 500
MAX_PENDING = 100_000
"""More than the resources of the largest cluster on all of its nodes: reaching it is a broken invariant."""


@dataclass(slots=True)
class CleanUp:
    node: str
    what: ForgetResource


class CleanUps:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.pending: dict[str, CleanUp] = {}

    def order(self, node: str, what: ForgetResource) -> None:
        assert len(self.pending) < MAX_PENDING, "clean-ups pile up"
        if not self.pending:
            self.context.arm("clean-ups/repeat", REPEAT_MS)
        self.pending[what.user_data] = CleanUp(node, what)
        self._send(self.pending[what.user_data])

    def _send(self, each: CleanUp) -> None:
        view = self.context.view
        if view is not None and self.crmd.election.is_dc and self.crmd.join.is_confirmed(each.node):
            self.context.tell(each.node, Order(
                view=view.id, term=self.crmd.election.term, transition_key=each.what.user_data, what=each.what))

    def done(self, key: str) -> bool:
        """Whether the key was one of these."""
        if self.pending.pop(key, None) is None:
            return False
        if not self.pending:
            self.context.disarm("clean-ups/repeat")
        return True

    @property
    def busy(self) -> bool:
        return bool(self.pending)

    def node_lost(self, node: str) -> None:
        for key in [key for key, each in self.pending.items() if each.node == node]:
            self.done(key)

    def forget(self) -> None:
        self.pending = {}
        self.context.disarm("clean-ups/repeat")

    def fired(self, timer: str) -> None:
        if not self.pending:
            return
        for each in self.pending.values():
            self._send(each)
        self.context.arm("clean-ups/repeat", REPEAT_MS)
