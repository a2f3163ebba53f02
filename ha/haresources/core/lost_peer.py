# SPDX-License-Identifier: GPL-2.0-or-later
"""When what a lost node held may be started here (P1).

A node that said goodbye, or `shutdone`, has released everything. One that fell silent may still run all of it: it is
fenced first, by the stonith_host lines of ha.cf, until a device confirms it. Without a device an operator confirms
(`hb_takeover --dead NODE`). `unfenced_takeover TIME` in ha.cf has it done after that time without any proof, as
Heartbeat 3.0.6 does at once: two copies are possible then, and the log says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.haresources.model.execution import FenceEnd, FencePeer
from ha.haresources.model.hold import ALL
from ha.machine import Fence

if TYPE_CHECKING:
    from ha.haresources.core.machine import HaresourcesMachine

RETRY_MS = 10_000
SOON_MS = 200
"""A Heartbeat 3.0.6 that was started anew is dead for a moment."""
RACE_MS = 500
"""Head start of the first by name: two nodes that lose each other shall not both be shot."""
GRACE, FENCE_AGAIN = "grace", "fence-again"


class LostPeer:
    def __init__(self, machine: HaresourcesMachine) -> None:
        self.machine = machine
        self.fencing = False
        self.attempts = 0
        self.waits = False
        """For an operator's word."""
        self.target_generation = 0
        """Of the peer's heartbeat, when it was fenced last."""

    def returned(self) -> None:
        self.waits = False
        for timer in (GRACE, FENCE_AGAIN):
            self.machine.disarm(timer)

    def soon(self) -> None:
        settings = self.machine.settings
        race_ms = RACE_MS if settings.devices and settings.node > settings.peer else 0
        self.machine.arm(FENCE_AGAIN, SOON_MS + race_ms)

    def consider(self) -> None:
        """The peer is dead, or was never heard."""
        machine, settings = self.machine, self.machine.settings
        if machine.conversation.owned == ALL or machine.peer_state != "dead" or self.fencing or not machine.looked:
            return
        if settings.devices:
            self._fence()
        elif settings.unfenced_takeover_ms >= 0:
            machine.note(
                "critical", f"node {settings.peer} is lost and nothing can fence it: what it held is started here in "
                f"{settings.unfenced_takeover_ms} ms, whether or not it still runs there (unfenced_takeover)",
            )  # fmt: skip
            machine.arm(GRACE, settings.unfenced_takeover_ms)
        elif not self.waits:
            self.waits = True
            machine.note(
                "critical", f"node {settings.peer} is lost and may still run its resources: nothing can fence it. Make "
                f"sure that it is off, then: hb_takeover --dead {settings.peer}",
            )  # fmt: skip

    def _fence(self) -> None:
        devices = self.machine.settings.devices
        device = devices[self.attempts % len(devices)]
        self.attempts += 1
        self.fencing = True
        self.target_generation = self.machine.peer_generation
        operation = f"fence:{self.attempts}"
        self.machine.note("warning", f"node {self.machine.settings.peer} is lost: fenced by {device.plugin}")
        self.machine.effects.append(Fence(operation, FencePeer(device, self.machine.settings.peer)))

    def fenced(self, operation: str, end: FenceEnd) -> None:
        assert operation == f"fence:{self.attempts}"
        self.fencing = False
        machine, peer = self.machine, self.machine.settings.peer
        result = "OK" if end.confirmed else "bad"
        machine.announce({"t": "stonith", "node": peer, "result": result})
        if end.confirmed and machine.peer_state == "dead" and machine.peer_generation == self.target_generation:
            machine.note("notice", f"node {peer} was fenced")
            self._take("it was fenced")
        elif end.confirmed:
            machine.note("notice", f"node {peer} was fenced, but has been there again since")
            self.consider()
        else:
            machine.note("error", f"node {peer} could not be fenced: {end.text}; tried again in {RETRY_MS} ms")
            machine.arm(FENCE_AGAIN, RETRY_MS)

    def confirmed(self) -> str:
        """By an operator. Returns why not, or ""."""
        machine = self.machine
        if machine.peer_state != "dead":
            return f"node {machine.settings.peer} is {machine.peer_state}, not lost"
        if not machine.looked:
            return "this node has just started: ask again"
        self.waits = False
        self._take("an operator has made sure that it is off")
        return ""

    def grace_is_over(self) -> None:
        if self.machine.peer_state == "dead":
            self._take("nothing can fence it (unfenced_takeover)")

    def _take(self, why: str) -> None:
        if self.machine.conversation.phase not in ("leaving", "left"):
            self.machine.conversation.take(ALL, f"node {self.machine.settings.peer} is lost: {why}")
