# SPDX-License-Identifier: GPL-2.0-or-later
"""When a node that fell out of the view counts as lost (P1).

* It left in good order: at once, and as down.
* Fencing is enabled: at once; the policy engine makes it unclean and has it fenced before its resources move.
* Fencing is not enabled: only after the takeover grace. Until then the status keeps it as it was, and orders for it
  wait. `takeover-grace=auto` is the detection skew, a worker that hangs on the cut-off node when it should stop, and
  the longest ordered chain of stops by timeouts; and not less than stonith-watchdog-timeout: then a node that fences
  itself has been reset, whatever became of its stops. 0 is the operator's explicit choice to risk two copies, warned
  of.

Every crmd notes when it saw a node go, so that a new DC does not begin the grace anew. But where two partitions meet,
the node may have been with the other one since, and have been lost from it only now: then it is lost now, for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.ccm.msg import View
from ha.crm.core.context import Context
from ha.crm.model.self_fencing import wait_of
from ha.crm.model.takeover import HUNG_WORKER_MS, SKEW_DEADTIMES
from ha.machine import Instant

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd


@dataclass(slots=True)
class Loss:
    since: Instant
    clean: bool


class TakeoverGrace:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.losses: dict[str, Loss] = {}
        self.waiting: dict[str, Instant] = {}
        self.seen: set[str] = set()
        self._former: set[str] = set()
        """Members of the view before this one."""

    def saw(self, view: View) -> None:
        """Every crmd, DC or not, at every view."""
        names = view.names()
        if not set(names) <= self._former:
            for loss in self.losses.values():
                loss.since, loss.clean = self.context.now, False
        self._former = set(names)
        for node in (*view.lost, *view.left):
            if node not in names:
                self.losses.setdefault(node, Loss(self.context.now, node in view.left))
                self.losses[node].clean = self.losses[node].clean or node in view.left
        for node in names:
            self.seen.add(node)
            self.losses.pop(node, None)
            if self.waiting.pop(node, None) is not None:
                self.context.disarm(f"grace/{node}")
                self.context.note("notice", f"{node} is back before its takeover grace ran out")

    def grace_ms(self) -> int:
        configuration = self.crmd.ground.configuration
        if configuration.takeover_grace_ms is not None:
            return configuration.takeover_grace_ms
        settings = self.context.settings
        skew_ms = SKEW_DEADTIMES * settings.deadtime_ms + settings.tie_breaker_wait_ms
        stopped_ms = skew_ms + HUNG_WORKER_MS + configuration.stop_chain_ms
        return max(stopped_ms, wait_of(configuration.watchdog_wait_ms, self.crmd.lease.watchdog_timeout_ms or 0))

    def review(self) -> None:
        """The DC, whenever it has read the CIB or the view changed: who of the status is not in the view?"""
        members = self.context.members()
        for node in sorted(self.crmd.status.copy.nodes):
            record = self.crmd.status.copy.nodes[node]
            if node in members or not record.in_cluster:
                continue
            wait_ms = self.hold_until() - self.context.now
            if node in self.unseen() and wait_ms > 0:
                self.context.arm(f"grace/{node}", wait_ms)
                continue
            loss = self.losses.setdefault(node, Loss(self.context.now, False))
            self._judge(node, loss)

    def _judge(self, node: str, loss: Loss) -> None:
        expected = self.crmd.status.copy.nodes[node].attributes.get("expected")
        if loss.clean or expected == "down":  # it was told to leave when all had been stopped there
            self.crmd.node_left(node)
        elif self.crmd.ground.configuration.stonith_enabled:
            self._lost(node, "fencing is enabled")
        else:
            grace_ms = self.grace_ms()
            left_ms = loss.since + grace_ms - self.context.now
            if left_ms <= 0:
                self._lost(node, f"takeover grace of {grace_ms} ms is over")
            else:
                self.waiting[node] = loss.since + grace_ms
                self.context.arm(f"grace/{node}", left_ms)
                self.context.note(
                    "notice", f"{node} is lost; without fencing its resources move only in {left_ms} ms "
                    "(takeover-grace), when it must have stopped them itself")

    def _lost(self, node: str, why: str) -> None:
        self.waiting.pop(node, None)
        if self.grace_ms() == 0 and not self.crmd.ground.configuration.stonith_enabled:
            self.context.note(
                "warning", f"takeover-grace=0 without fencing: resources of {node} move although it may still run them")
        self.crmd.node_lost(node, why)

    def confirmed_down(self, node: str) -> None:
        if self.waiting.pop(node, None) is not None:
            self.context.disarm(f"grace/{node}")

    def is_waiting(self, node: str) -> bool:
        return node in self.waiting

    def fired(self, timer: str) -> None:
        if self.crmd.election.is_dc and self.crmd.ground.loaded:
            self.review()

    def forget(self) -> None:
        """Not DC any more: the losses stay known, their waits are the next DC's."""
        for node in sorted(self.waiting):
            self.context.disarm(f"grace/{node}")
        self.waiting = {}

    # Cold start ------------------------------------------------------------------------------------------------------

    def unseen(self) -> list[str]:
        """Nodes that may just be starting: never in a view nor lost from one since this crmd began, and not known to
        be out. A status that says they are in is from before the whole cluster stopped."""
        known = self.crmd.status.copy.nodes
        names = dict.fromkeys((*self.context.settings.nodes, *known))
        return [n for n in names if n not in self.seen and n not in self.losses
                and (n not in known or known[n].in_cluster)]

    def hold_until(self) -> Instant:
        """Until when scheduling waits for the unseen (initdead, from this crmd's start).

        Without it the first two of three nodes would fence the third while it is still starting.
        """
        return self.context.started_at + self.context.settings.initdead_ms if self.unseen() else 0
