# SPDX-License-Identifier: GPL-2.0-or-later
"""When the policy engine is asked, and what is done with its decision. The DC only; driven by events alone.

    news ──► wait until all is settled ──► Schedule ──► Scheduled ──► transition ──► idle
      ▲        (own writes, joins,            │ news meanwhile: the answer is void
      └──────── fail counts, old transition)  └── nothing to do ──────────────► idle
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.crm.core.context import Context
from ha.pe.msg import Schedule, Scheduled
from ha.te.msg import TransitionDone

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

RETRY_MS = 1_000
MAX_RETRY_MS = 60_000
ANSWER_WAIT_MS = 120_000
"""The policy engine has its own limits; past this the request is repeated."""
MAX_RECHECK_MS = 7 * 24 * 3_600_000


class Scheduling:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.needed = False
        self.reason = ""
        self.request_id = 0
        self.asked = False
        self.holding = False
        self.failed_in_row = 0
        self.resting = False

    def begin(self) -> None:
        """A new term of ours."""
        self.needed, self.reason, self.asked = True, "a new DC", False
        self.failed_in_row, self.resting = 0, False

    def forget(self) -> None:
        self.needed = self.asked = self.resting = False
        for timer in ("schedule/answer", "schedule/retry", "schedule/recheck", "schedule/hold"):
            self.context.disarm(timer)

    def news(self, reason: str) -> None:
        """Something happened that the running transition did not foresee."""
        if not self.crmd.election.is_dc:
            return
        if not self.needed:
            self.reason = reason
        self.needed = True
        self.resting = False
        self.crmd.transition.abort(reason)

    @property
    def idle(self) -> bool:
        return self.crmd.fsm.state == "S_IDLE" and not self.needed and not self.crmd.takeover_grace.waiting

    # Asking ----------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """At the end of every step: ask, if there is need and everything has settled."""
        if not self.needed or self.resting or not self._ready():
            return
        hold_ms = self.crmd.takeover_grace.hold_until() - self.context.now
        if hold_ms > 0:
            if not self.holding:
                self.holding = True
                self.context.note("info", f"waiting up to {hold_ms} ms for configured nodes that were not seen yet")
            self.context.arm("schedule/hold", hold_ms)
            return
        self.holding = False
        self._ask()

    def _ready(self) -> bool:
        crmd = self.crmd
        return (
            crmd.election.is_dc
            and not self.context.in_doubt
            and "pengine" in self.context.linked
            and "tengine" in self.context.linked
            and crmd.ground.settled()
            and crmd.failures.settled()
            and crmd.join.settled()
            and not crmd.transition.busy
            and not crmd.clean_ups.busy
            and not crmd.fencing.deciding_quorum
        )

    def _ask(self) -> None:
        self.needed = False
        self.asked = True
        self.request_id += 1
        if self.crmd.fsm.state == "S_INTEGRATION":
            self.crmd.fsm.become("S_FINALIZE_JOIN", "all members are in")
        self.crmd.fsm.become("S_POLICY_ENGINE", self.reason)
        self.context.disarm("schedule/recheck")
        self.context.send("pengine", Schedule(
            request_id=self.request_id, generation=self.crmd.ground.generation, now_s=self.context.unix_s()))
        self.context.arm("schedule/answer", ANSWER_WAIT_MS)

    # The decision ----------------------------------------------------------------------------------------------------

    def scheduled(self, message: Scheduled) -> None:
        if not self.asked or message.request_id != self.request_id:
            return
        self.context.disarm("schedule/answer")
        self.asked = False
        if self.needed or self.context.in_doubt or not self.crmd.election.is_dc or "tengine" not in self.context.linked:
            self.needed = True
            return
        if message.error:
            self.context.note("error", f"the policy engine cannot decide: {message.error}")
            self.reason = "the last decision failed"
            self._rest()
            return
        self._arm_recheck(message.recheck_at_s)
        self.crmd.timeline.mark("decided", f"generation {message.generation} in {message.took_ms} ms"
                                + (f", input saved in {message.saved_as}" if message.saved_as else ""))
        if "<synapse" not in message.graph:
            self._become_idle("nothing to do")
            return
        self.crmd.fsm.become("S_TRANSITION_ENGINE", f"carrying out the decision on generation {message.generation}")
        self.crmd.transition.start(message.graph)

    def transition_done(self, message: TransitionDone) -> None:
        if not self.crmd.election.is_dc:
            return  # an election is open; whoever wins decides anew
        if message.outcome == "failed":
            self.failed_in_row += 1
            if not self.needed:
                self.reason = f"transition {message.transition_id} failed: {message.reason}"
                if self.failed_in_row > 1:
                    self._rest()
                else:
                    self.news(self.reason)
        elif message.outcome == "complete":
            self.failed_in_row = 0
        if not self.needed:
            self._become_idle(f"transition {message.transition_id} is {message.outcome}")

    def _rest(self) -> None:
        """Fail again, but not at once: 1 s, 2 s, 4 s ... News end the rest."""
        delay_ms = min(MAX_RETRY_MS, RETRY_MS << min(self.failed_in_row, 10))
        self.needed = self.resting = True
        self.context.arm("schedule/retry", delay_ms)
        self.context.note("notice", f"{self.reason}; trying again in {delay_ms} ms")

    def _become_idle(self, why: str) -> None:
        self.crmd.fsm.become("S_IDLE", why)
        self.crmd.timeline.mark("done", why)

    def _arm_recheck(self, recheck_at_s: int) -> None:
        """When the policy engine said that time alone changes its decision, at the latest after the interval."""
        delay_ms = self.crmd.ground.configuration.recheck_interval_ms or MAX_RECHECK_MS
        if recheck_at_s:
            delay_ms = min(delay_ms, max(1_000, recheck_at_s * 1000 - self.context.unix_ms()))
        self.context.arm("schedule/recheck", min(delay_ms, MAX_RECHECK_MS))

    # Time and links --------------------------------------------------------------------------------------------------

    def fired(self, timer: str) -> None:
        if not self.crmd.election.is_dc:
            return
        if timer == "schedule/recheck":
            self.news("time for a recheck")
        elif timer == "schedule/retry":
            self.resting = False
        elif timer == "schedule/answer" and self.asked:
            self.engine_lost()

    def engine_lost(self) -> None:
        """The policy engine's worker is gone or mute: its answer will not come."""
        if self.asked:
            self.asked = False
            self.needed = True
            self.reason = "the policy engine started anew"
