# SPDX-License-Identifier: GPL-2.0-or-later
"""What two nodes say to each other about who holds what, in Heartbeat's words.

    both start      starting / resource rsc_hold=none isstable=0; each takes what is at home on it; resource isstable=1
    standby X       ask_resources X me => ask_resources X other => (the first releases) resource isstable=0,
                    ask_resources X done => (the other acquires) resource isstable=1, ask_resources X done
    takeover X      hb_takeover X: the other one goes standby with the same groups, in its own words
    leave           (releases all) resource rsc_hold=none isstable=0 info=shutdown, shutdone

P1: groups are taken when the other node has said last that it does not hold them, has left, or is known to be dead
(`lost_peer`). What cannot be stopped is still held, and said to be held: no `done` follows then.

A Heartbeat 3.0.6 that is about to release groups says before that it does not hold them, and isstable=1 in between if
it is asked: with such a peer a release is proved by `done` or `shutdone` alone.

Source: packets between Heartbeat 3.0.6 nodes, and its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from ha.haresources.model.hold import ALL, FOREIGN, LOCAL, NOTHING, WORDS, Hold, seen_from_peer, word_of
from ha.machine import Level

if TYPE_CHECKING:
    from ha.haresources.core.machine import HaresourcesMachine

Phase: TypeAlias = Literal[
    "looking",  # at what runs here
    "waiting",  # for news of the peer
    "starting",  # the peer is there; who holds what?
    "stable",
    "asked",  # we want to go standby
    "giving",  # ... and release
    "given",  # ... and the peer acquires
    "promised",  # the peer wants to go standby and releases
    "taking",  # ... and we acquire
    "leaving",
    "left",
]
QUIET: tuple[Phase, ...] = ("waiting", "starting", "stable", "asked", "given", "promised")
"""In which no work is under way here."""
ANSWER_MS = 10_000  # for the first answer to ask_resources, as in Heartbeat 3.0.6
TRANSFER_MS = 60 * 60_000  # for the resource work that follows, as in Heartbeat 3.0.6
FAILED_GROUP_MS = 30_000  # from a failed start to standby, as in Heartbeat 3.0.6
SETTLE_MS = 2_000  # before what the peer lacks is given back to it
ASK_AGAIN_MS = 5_000
OLD_PEER_MS = 10_000  # of two that start, until what nobody claims is taken, as in Heartbeat 3.0.6
TRANSFER, FAILED, FAILBACK, ASK_AGAIN = "transfer", "failed", "failback", "ask-again"
UNCLAIMED = "unclaimed"


class Conversation:
    """`owned`: the kinds we answer for. `peer_hold`: what the peer holds, in its own words; None: it has not said."""

    def __init__(self, machine: HaresourcesMachine) -> None:
        self.machine = machine
        self.phase: Phase = "looking"
        self.owned: Hold = NOTHING
        self.peer_hold: Hold | None = None
        self.peer_stable = False
        self.subject: Hold = NOTHING
        """What the transfer under way is about, in the words of the node that goes standby."""
        self.peer_is_old = False
        """It speaks as a Heartbeat 3.0.6."""
        self.peer_is_leaving = False

    # Speaking --------------------------------------------------------------------------------------------------------

    def say(self, kind: str, **fields: str) -> None:
        self.machine.announce({"t": kind, **fields})

    def say_held(self, stable: bool, info: str = "") -> None:
        fields = {"rsc_hold": word_of(self.owned), "rtype": "full", "isstable": "1" if stable else "0"}
        self.say("resource", **fields, **({"info": info} if info else {}))

    def note(self, level: Level, text: str) -> None:
        self.machine.note(level, text)

    def become(self, phase: Phase) -> None:
        if phase != self.phase:
            self.note("info", f"{self.phase} => {phase}")
            self.phase = phase

    def stable(self) -> None:
        """Nothing is under way: say what we hold, and see what is left to do."""
        self.subject = NOTHING
        self.machine.disarm(TRANSFER)
        self.become("stable")
        self.machine.persist()
        self.say_held(stable=True)
        self.consider()

    # The peer comes and goes -----------------------------------------------------------------------------------------

    def meet(self) -> None:
        """The peer is there: it is asked what it holds, and told what we hold."""
        if self.phase == "promised" and self.peer_is_old:
            return  # its packets are numbered and repeated: `done` comes
        self.peer_hold, self.peer_stable, self.peer_is_leaving = None, False, False
        if self.phase in QUIET:
            self._break_off()
            self.become("starting")
            self._greet()
        else:
            self.subject = NOTHING  # the work goes on, and is not for the peer any more

    def _break_off(self) -> None:
        """What was said of a transfer may be lost, by a restart here or there. `consider` finds what was released."""
        self.subject = NOTHING
        self.machine.disarm(TRANSFER)
        self.machine.disarm(UNCLAIMED)

    def _greet(self) -> None:
        self.say("starting")
        self.say_held(stable=bool(self.owned))
        self.machine.arm(ASK_AGAIN, ASK_AGAIN_MS)

    def ask_again(self) -> None:
        """What was said may have been said before the peer's worker was there."""
        if self.phase == "starting" and self.machine.peer_alive:
            self._greet()

    def peer_gone(self) -> None:
        """It is dead, or has left."""
        self.peer_hold, self.peer_stable = None, False
        if self.phase in QUIET:
            self._break_off()
            self._alone()

    def _alone(self) -> None:
        """A peer that has left has released everything before; of a lost one that must be found out."""
        if self.owned == ALL:
            self.become("stable")
        elif self.machine.peer_state == "left":
            self.take(ALL, "the other node has left")
        else:
            self.become("waiting")
            self.machine.lost.soon()

    # Hearing ---------------------------------------------------------------------------------------------------------

    def heard(self, fields: Mapping[str, str], old: bool) -> None:
        """`old`: from a Heartbeat 3.0.6."""
        self.peer_is_old = old
        kind = fields.get("t", "")
        if kind == "starting":
            self._peer_starts()
        elif kind == "resource":
            self._resource(fields)
        elif kind == "ask_resources":
            self._ask(fields)
        elif kind == "hb_takeover":
            self._takeover(fields)

    def _peer_starts(self) -> None:
        """Or its worker was restarted: what it had agreed to, it has forgotten."""
        self.peer_stable = False
        if self.phase in ("asked", "given", "promised"):
            self.note("notice", "the other node starts anew: the transfer is broken off")
            self._break_off()
            self.become("stable")
        self.subject = NOTHING
        self.say_held(stable=self.phase == "stable")

    def _resource(self, fields: Mapping[str, str]) -> None:
        """What its scripts say in passing lacks isstable and is not the whole of what the node holds."""
        hold, stable = WORDS.get(fields.get("rsc_hold", "")), fields.get("isstable")
        if hold is None or stable not in ("0", "1"):
            return
        self.peer_hold, self.peer_stable = hold, stable == "1"
        self.peer_is_leaving = fields.get("info") == "shutdown"
        if self.phase == "starting" and self.peer_is_old and not self.peer_stable:
            self.machine.disarm(ASK_AGAIN)
            self.machine.arm(UNCLAIMED, OLD_PEER_MS)
        elif self.phase == "starting":
            self._settle()
        elif self.phase == "promised" and self.peer_stable and not self.peer_is_old:
            self.note("warning", "the other node has given up going standby")
            self.stable()
        elif self.phase == "stable":
            self.consider()

    def unclaimed(self) -> None:
        """Neither has become stable: each takes what is at home on it, unless the other claims it or still releases."""
        if self.phase == "starting" and self.peer_hold is not None and not self.peer_is_leaving:
            self._settle()

    def _settle(self) -> None:
        """The peer has said what it holds: what is at home here is ours, unless the peer has it."""
        self.machine.disarm(ASK_AGAIN)
        self.machine.disarm(UNCLAIMED)
        free = LOCAL - seen_from_peer(self.peer_hold or NOTHING)
        self.take(free | self.owned, "both nodes are there")

    def consider(self) -> None:
        """After every change of who holds what."""
        if self.phase != "stable" or self.peer_hold is None or not self.peer_stable or not self.machine.peer_alive:
            return
        theirs = seen_from_peer(self.peer_hold)
        twice = self.owned & theirs
        if "foreign" in twice:
            self.note("critical", "both nodes hold what is at home on the other: released here")
            self.become("giving")
            self.subject = NOTHING
            self.give(FOREIGN)
        elif LOCAL - self.owned - theirs:
            self.take(self.owned | LOCAL, "nobody holds what is at home here")
        elif "foreign" in self.owned and self.machine.settings.auto_failback:
            self.machine.arm(FAILBACK, SETTLE_MS)

    def fail_back(self) -> None:
        if self.phase == "stable" and "foreign" in self.owned:
            self.go_standby(FOREIGN)

    # Standby ---------------------------------------------------------------------------------------------------------

    def why_not(self) -> str:
        """Why groups cannot change hands now; "" when they can."""
        if not self.machine.peer_alive:
            return "the other node is not there"
        if self.phase != "stable":
            return f"this node is {self.phase}, not stable"
        if not self.peer_stable:
            return "the other node is not stable"
        return ""

    def go_standby(self, what: Hold) -> str:
        """Returns why not, or ""."""
        why = self.why_not()
        if why:
            return why
        self.subject = what
        self.become("asked")
        self.say("ask_resources", rsc_hold=word_of(what), info="me")
        self.machine.arm(TRANSFER, ANSWER_MS)
        return ""

    def _ask(self, fields: Mapping[str, str]) -> None:
        what, info = WORDS.get(fields.get("rsc_hold", "")), fields.get("info", "")
        if not what:
            return
        if info == "me":
            self._asked(what)
        elif info == "other" and self.phase == "asked" and what == self.subject:
            self.machine.arm(TRANSFER, TRANSFER_MS)
            self.become("giving")
            self.give(what)
        elif info == "done" and self.phase == "promised" and what == self.subject:
            self._acquire()
        elif info == "done" and self.phase == "given" and what == self.subject:
            self.peer_hold = (self.peer_hold or NOTHING) | seen_from_peer(what)  # an old peer says so only after it
            self.stable()

    def _asked(self, what: Hold) -> None:
        if self.phase == "asked" and self.machine.settings.node < self.machine.settings.peer:
            return  # both ask at once: the first by name goes on
        if self.phase not in ("stable", "asked") or not self.machine.peer_alive:
            self.note("notice", f"the other node wants to go standby, but this one is {self.phase}")
            return
        self.subject = what
        self.become("promised")
        self.machine.persist()  # a restarted worker waits for `done` as well
        self.say("ask_resources", rsc_hold=word_of(what), info="other")
        self.machine.arm(TRANSFER, TRANSFER_MS)

    def _acquire(self) -> None:
        """The peer has released, unless it contradicts itself."""
        wanted = seen_from_peer(self.subject)
        if self.peer_hold is not None and wanted & seen_from_peer(self.peer_hold):
            self.note("critical", "the other node says that it is done, and that it holds what it was to release")
            self.stable()
            return
        self.become("taking")
        self.take(self.owned | wanted, "the other node goes standby")

    def _takeover(self, fields: Mapping[str, str]) -> None:
        what = WORDS.get(fields.get("rsc_hold", ""))
        if what:
            why = self.go_standby(seen_from_peer(what))
            if why:
                self.note("notice", f"the other node wants to take over, but {why}")

    def overdue(self) -> None:
        """The transfer has taken too long."""
        if self.phase == "asked":
            self.note("warning", f"no answer in {ANSWER_MS} ms: nobody goes standby")
            self.stable()
        elif self.phase in ("given", "promised"):
            self.note("warning", f"the other node was not done in {TRANSFER_MS} ms")
            self.peer_hold, self.peer_stable = None, False  # what it said before its work counts no more
            self.stable()

    # Work ------------------------------------------------------------------------------------------------------------

    def take(self, kinds: Hold, why: str) -> None:
        """Start all groups of these kinds that do not run here. Durable first: who is restarted goes on with it."""
        self.become("taking")
        if kinds - self.owned:
            self.note("notice", f"takes {word_of(kinds - self.owned)} resources: {why}")
        self.owned |= kinds
        self.machine.persist()
        self.machine.work.begin(self.machine.work.take(self.machine.groups(kinds)), self._taken)

    def resume_promise(self, subject: Hold) -> None:
        """An earlier life of this worker let the peer go standby."""
        self.subject = subject
        self.become("promised")
        self.machine.arm(TRANSFER, TRANSFER_MS)

    def _taken(self) -> None:
        if self.phase != "taking":
            return  # it leaves now
        if any(state == "failed" for state in self.machine.work.states.values()):
            self.machine.arm(FAILED, FAILED_GROUP_MS)
        if not self.machine.peer_alive:
            self.subject = NOTHING
            self._alone()
            return
        subject = self.subject
        self.stable()
        if subject:
            self.say("ask_resources", rsc_hold=word_of(subject), info="done")

    def group_failed(self) -> None:
        """Some time after a start that failed: let the other node try."""
        for kind in (LOCAL, FOREIGN):
            failed = [g for g in self.machine.groups(kind) if self.machine.work.states[g.key] == "failed"]
            if failed and kind <= self.owned:
                why = self.go_standby(kind)
                if why:
                    self.note("warning", f"group {failed[0].key} could not be started here and stays down: {why}")
                return

    def give(self, kinds: Hold) -> None:
        """Release all groups of these kinds that may be active here."""
        self.machine.work.begin(self.machine.work.release(self.machine.groups(kinds)), lambda: self._given(kinds))

    def _given(self, kinds: Hold) -> None:
        stuck = self._disown(kinds)
        if self.phase != "giving":
            return  # it leaves now
        if not self.machine.peer_alive:
            self.subject = NOTHING
            self._alone()
        elif stuck or not self.subject:
            self.stable()
        else:
            self.become("given")
            self.say_held(stable=False, info="standby")
            self.say("ask_resources", rsc_hold=word_of(self.subject), info="done")

    def _disown(self, kinds: Hold) -> bool:
        """Answer no longer for what was released. True when some of it could not be."""
        stuck = frozenset(kind for kind in kinds if self.machine.work.active(self.machine.groups(frozenset({kind}))))
        self.owned -= kinds - stuck
        self.machine.persist()
        return bool(stuck)

    def leave(self) -> None:
        """Release everything, after what is under way."""
        self.become("leaving")
        self.machine.work.begin(self.machine.work.release(self.machine.groups(ALL)), self._left)

    def _left(self) -> None:
        stuck = self._disown(ALL)
        self.become("left")
        if not stuck:
            self.say_held(stable=False, info="shutdown")
            self.say("shutdone", st="dead")
        self.machine.has_left()
