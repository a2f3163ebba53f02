# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing on the DC: what the graph orders, what a half of two nodes needs, and what others have done.

A fence is believed only when stonithd confirms it. Then, in this order: the status says that the node is down and
nothing runs there, ccm may count it out of the quorum, and TE goes on to what waited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ha.ccm.msg import ConfirmedDown
from ha.crm.core.context import Context
from ha.machine import Instant
from ha.stonith.msg import FenceAction, Fenced, FenceNode
from ha.te.msg import RequestAction

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

DEFAULT_TIMEOUT_MS = 60_000
RETRY_MS = 1_000
MAX_RETRY_MS = 60_000
RANK_DELAY_DEADTIMES = 2
"""In a race of two halves the one that was not DC waits this many deadtimes, so that they do not shoot each other."""


@dataclass(slots=True)
class Shot:
    """`request` is None for a fence that no graph ordered."""

    message: FenceNode
    request: RequestAction | None


class Fencing:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.shots: dict[str, Shot] = {}
        self.confirmed: dict[str, Instant] = {}
        self.early: set[str] = set()
        """Confirmed while they still counted as members: ccm is told once more when they do not."""
        self.tries: dict[str, int] = {}

    def requested(self, request: RequestAction) -> None:
        """TE has come to a fence in the graph."""
        word = request.meta.get("stonith_action", "reboot")
        action: FenceAction = "on" if word == "on" else "off" if word in ("off", "poweroff") else "reboot"
        timeout_ms = max(request.timeout_ms, DEFAULT_TIMEOUT_MS)
        self._shoot(request.node, action, timeout_ms, 0, request)

    def _shoot(
        self, target: str, action: FenceAction, timeout_ms: int, delay_ms: int, request: RequestAction | None
    ) -> None:
        for shot in self.shots.values():
            if (shot.message.target, shot.message.action) == (target, action):
                shot.request = request or shot.request  # under way already: one shot answers both
                return
        number = self.context.request_id()
        message = FenceNode(request_id=number, target=target, action=action, timeout_ms=timeout_ms,
                            delay_ms=delay_ms, view=self.context.view_id)
        self.shots[number] = Shot(message, request)
        self.crmd.timeline.mark("fencing", f"{action} {target}")
        self.context.note("warning", f"fencing {target} ({action})")
        self.context.send("stonithd", message)

    def linked(self) -> None:
        """stonithd is there (again): ask again, by the same ids, in the view of now."""
        if not self.crmd.election.is_dc:
            return
        for shot in self.shots.values():
            shot.message = msgspec.structs.replace(shot.message, view=self.context.view_id)
            self.context.send("stonithd", shot.message)

    def ended(self, message: Fenced) -> None:
        shot = self.shots.pop(message.request_id, None)
        if message.ok and message.action != "on":
            self._confirmed(message)
        if shot is None:
            if message.ok:
                self.crmd.scheduling.news(f"{message.target} was fenced")
            return
        if message.ok:
            self.tries.pop(message.target, None)
            if message.action == "on":
                self._unfenced(message, shot.request)
        else:
            self.context.note("error", f"fencing {message.target} failed: {message.reason}")
        if shot.request is not None:
            self.crmd.transition.fenced(shot.request, message.ok, message.reason)
        elif not message.ok:
            self._retry_later(message.target)

    def _unfenced(self, message: Fenced, request: RequestAction | None) -> None:
        """The policy engine learns when, and by which definitions of the devices: changed ones unfence anew."""
        self.crmd.failures.set(message.target, "#node-unfenced", str(message.at_s or self.context.unix_s()))
        for name, attribute in (("digests_all", "#digests-all"), ("digests_secure", "#digests-secure")):
            if request is not None and name in request.meta:
                self.crmd.failures.set(message.target, attribute, request.meta[name])

    def _confirmed(self, message: Fenced) -> None:
        """Whoever asked for it. A crmd that is not DC keeps it in mind for the day it is."""
        target = message.target
        detail = f"{message.action} {target}" + (f" by {message.device}" if message.device else "")
        self.crmd.timeline.mark("fenced", f"{detail} in {message.exec_ms} ms")
        self.context.note("notice", f"{target} is fenced: {detail}")
        self.confirmed[target] = self.context.now
        if target in self.context.members():
            self.early.add(target)
        self.crmd.join.drop(target)  # it may still count as a member until ccm misses it
        if self.crmd.election.is_dc and self.crmd.ground.loaded:
            self.crmd.node_fenced(target)
        self.context.send("ccm", ConfirmedDown(nodes=(target,)))

    def saw_members(self, members: tuple[str, ...], *, are_all_known: bool) -> None:
        """Who comes from another partition may have had a node in its view that we know as fenced, and have lost it
        since: what we know counts no more (P1). At worst a node is fenced once more."""
        if not are_all_known:
            for node in sorted(self.confirmed.keys() - set(members)):
                self.context.note("info", f"{node} was fenced; whether it was let in since is not known: forgotten")
            self.confirmed.clear()
        for node in members:
            self.confirmed.pop(node, None)
            self.tries.pop(node, None)
            self.context.disarm(f"fencing/{node}")
        for node in sorted(self.early):
            if node in self.confirmed:
                self.context.send("ccm", ConfirmedDown(nodes=(node,)))
        self.early.clear()

    def review(self) -> None:
        """The DC has read the CIB: what was confirmed while another was DC, and what nobody else will order."""
        for node in sorted(self.confirmed):
            record = self.crmd.status.copy.nodes.get(node)
            if record is not None and (record.in_cluster or record.attributes.get("expected") != "down"):
                self.crmd.node_fenced(node)
        for node in sorted(self.crmd.takeover_grace.losses):
            self._fence_the_other_half(node)

    def _fence_the_other_half(self, node: str) -> None:
        """Two nodes: the policy engine may not fence without quorum, and there is none before the fence. A tie-breaker
        says who has quorum, and the half that has none must not shoot the one that has."""
        view, settings = self.context.view, self.context.settings
        assert view is not None, "a DC has a view"
        if (
            len(settings.nodes) != 2 or settings.has_tie_breaker or view.quorate or node in self.confirmed
            or node not in settings.nodes
            or self.crmd.takeover_grace.losses[node].clean
            or not self.crmd.ground.configuration.stonith_enabled
            or f"fencing/{node}" in self._under_way()
        ):
            return
        delay_ms = 0 if self.crmd.was_dc_before else RANK_DELAY_DEADTIMES * settings.deadtime_ms
        self._shoot(node, "reboot", DEFAULT_TIMEOUT_MS, delay_ms, None)

    @property
    def deciding_quorum(self) -> bool:
        """A half of two nodes is being shot: whether we have quorum is known when that has ended."""
        return any(s.request is None and s.message.target not in self.tries for s in self.shots.values())

    def _under_way(self) -> set[str]:
        return {f"fencing/{shot.message.target}" for shot in self.shots.values()} | {
            f"fencing/{node}" for node in self.tries
        }

    def _retry_later(self, node: str) -> None:
        tries = self.tries.get(node, 0)
        self.tries[node] = tries + 1
        self.context.arm(f"fencing/{node}", min(MAX_RETRY_MS, RETRY_MS << min(tries, 10)))

    def fired(self, timer: str) -> None:
        node = timer.partition("/")[2]
        if not self.crmd.election.is_dc or not self.crmd.ground.loaded or node not in self.tries:
            return
        tries = self.tries.pop(node)
        if node in self.crmd.takeover_grace.losses:
            self._fence_the_other_half(node)
            self.tries[node] = tries

    def forget(self) -> None:
        """Not DC any more: who asked TE is gone; the fences themselves go on."""
        self.shots = {}
        for node in sorted(self.tries):
            self.context.disarm(f"fencing/{node}")
        self.tries = {}
