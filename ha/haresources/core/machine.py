# SPDX-License-Identifier: GPL-2.0-or-later
"""The Machine of haresources mode: events in, effects out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ha.haresources.core.conversation import ASK_AGAIN, FAILBACK, FAILED, TRANSFER, UNCLAIMED, Conversation
from ha.haresources.core.lost_peer import FENCE_AGAIN, GRACE, LostPeer
from ha.haresources.core.settings import Settings
from ha.haresources.core.work import PAUSE, Work
from ha.haresources.model.execution import FenceEnd, ScriptEnd
from ha.haresources.model.haresources import Group
from ha.haresources.model.hold import ALL, NOTHING, WORDS, Hold, Kind, word_of
from ha.haresources.msg import Answer, ConfirmDead, GetHolding, GoStandby, GroupLine, Holding, TakeOver
from ha.heartbeat.msg import Announce, Announced, NodeState, NodeStatus, NothingRuns, ResourcesHeld
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Finished,
    Fired,
    Instant,
    Level,
    Local,
    Lost,
    Message,
    Note,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
)
from ha.rmd.msg import LeaveCluster, LeftCluster, ResourcesStopped, StopResources

HEARTBEAT, RMD = Local("heartbeat"), Local("rmd")
RECORD = "holding"


class Record(msgspec.Struct, frozen=True):
    """What survives a restart of the worker: valid in the same boot only."""

    boot_id: str
    owned: str
    promised: str = "none"
    """What a peer with Heartbeat 3.0.6 was let go standby with, in its words. One of ours is asked again."""


class HaresourcesMachine:
    """See `ha.haresources.core.build`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now: Instant = 0
        self.effects: list[Effect] = []
        self.work = Work(settings.haresources, self.effects)
        self.conversation = Conversation(self)
        self.lost = LostPeer(self)
        self.peer_state: NodeState = "init"
        self.peer_generation = 0
        self.looked = False
        self.leave_asked = False
        self.stop_asked = False
        """rmd is in a hurry, or what is needed to say goodbye was given up."""
        self.told = ""
        self.recorded = b""
        self.promised: Hold = NOTHING
        """By an earlier life of this worker."""

    @property
    def peer_alive(self) -> bool:
        return self.peer_state in ("up", "active")

    def step(self, event: Event, now: Instant) -> list[Effect]:
        assert now >= self.now, f"time went back: {self.now} => {now}"
        self.now = self.work.now = now
        self.effects.clear()
        self._EVENTS[type(event)](self, event)
        self._tell_heartbeat()
        self._check()
        return list(self.effects)

    def _check(self) -> None:
        """What may be active here is what we answer for."""
        if self.conversation.phase not in ("looking", "left"):
            assert self._active_kinds() <= self.conversation.owned, (self.conversation.owned, self.work.states)

    def _active_kinds(self) -> Hold:
        kinds: tuple[Kind, ...] = ("local", "foreign")
        return frozenset(kind for kind in kinds if self.work.active(self.groups(frozenset({kind}))))

    def _tell_heartbeat(self) -> None:
        """For cl_status rscstatus."""
        changing = not self.work.idle or self.conversation.phase in ("looking", "waiting", "starting")
        hold = "transition" if changing else word_of(self.conversation.owned)
        if hold != self.told:
            self.told = hold
            self.effects.append(Send(HEARTBEAT, ResourcesHeld(rsc_hold=hold)))

    # What the parts use ----------------------------------------------------------------------------------------------

    def groups(self, kinds: Hold) -> tuple[Group, ...]:
        """In the file's order."""
        node = self.settings.node
        return tuple(
            group for group in self.settings.haresources.groups
            if ("local" if group.node == node else "foreign") in kinds
        )  # fmt: skip

    def note(self, level: Level, text: str) -> None:
        self.effects.append(Note(level, text))

    def announce(self, fields: dict[str, str]) -> None:
        self.effects.append(Send(HEARTBEAT, Announce(fields=fields)))

    def arm(self, timer: str, ms: int) -> None:
        self.effects.append(Arm(timer, self.now + ms))

    def disarm(self, timer: str) -> None:
        self.effects.append(Disarm(timer))

    def persist(self) -> None:
        conversation = self.conversation
        promised = conversation.subject if conversation.phase == "promised" and conversation.peer_is_old else NOTHING
        record = msgspec.json.encode(Record(self.settings.boot_id, word_of(conversation.owned), word_of(promised)))
        if record != self.recorded:
            self.recorded = record
            self.effects.append(Persist(RECORD, record))

    # Start and end ---------------------------------------------------------------------------------------------------

    def _on_started(self, event: Started) -> None:
        try:
            record = msgspec.json.decode(event.persisted.get(RECORD, b"null"), type=Record | None)
        except msgspec.MsgspecError as error:
            self.note("error", f"{RECORD} is unreadable, and what it said is forgotten: {error}")
            record = None
        if record is not None and record.boot_id == self.settings.boot_id:
            self.conversation.owned = WORDS.get(record.owned, NOTHING)
            self.promised = WORDS.get(record.promised, NOTHING)
        self.work.begin(self.work.look(), self._looked)

    def _looked(self) -> None:
        """What runs here without being ours may run elsewhere as well: it is stopped before a word is said."""
        owned = self.conversation.owned
        for group in self.work.active(self.groups(ALL - owned)):
            self.note("critical", f"group {group.key} runs although this node does not hold it: released")
        self.work.begin(self.work.release(self.groups(ALL - owned)), self._take_up)

    def _take_up(self) -> None:
        self.work.begin(self.work.take(self.groups(self.conversation.owned)), self._ready)

    def _ready(self) -> None:
        self.looked = True
        self.conversation.owned |= self._active_kinds()  # what could not be stopped is held
        self.conversation.become("waiting")
        if self.leave_asked:
            self._leave()
        elif self.promised and self.peer_state in ("init", "up", "active"):
            self.conversation.resume_promise(self.promised)
        elif self.peer_alive:
            self.conversation.meet()
        elif self.peer_state != "init":
            self.conversation.peer_gone()

    def _on_stopping(self, _event: Stopping) -> None:
        """Without having left: resources run on, and nothing is said."""

    def _leave(self) -> None:
        self.leave_asked = True
        if not self.looked:
            return
        if self.conversation.phase == "left":
            self._tell_rmd()
        elif self.conversation.phase != "leaving":
            self.note("notice", "leaves the cluster: all resources are released first")
            self.conversation.leave()

    def has_left(self) -> None:
        """Only a node on which nothing runs says goodbye."""
        if self._active_kinds():
            self.note("critical", "leaves with resources that could not be stopped: no goodbye is said")
        else:
            self.effects.append(Send(HEARTBEAT, NothingRuns()))
        self._tell_rmd()

    def _tell_rmd(self) -> None:
        stuck = [group.key for group in self.work.active(self.groups(ALL))]
        if self.stop_asked:
            self.effects.append(Send(RMD, ResourcesStopped(failed=stuck)))
        else:
            self.effects.append(Send(RMD, LeftCluster(nothing_runs=not stuck)))

    # News ------------------------------------------------------------------------------------------------------------

    def _on_connected(self, event: Connected) -> None:
        if event.peer == HEARTBEAT:
            self.effects.append(Send(HEARTBEAT, ResourcesHeld(rsc_hold=self.told or "transition")))

    def _on_received(self, event: Received) -> None:
        match event.sender, event.message:
            case Local("heartbeat"), NodeStatus(node=node) if node == self.settings.peer:
                self._peer(event.message)
            case Local("heartbeat"), Announced(node=node) if node == self.settings.peer:
                self._heard(event.message, old=True)
            case Remote(node=node), Announced() if node == self.settings.peer:
                self._heard(event.message, old=False)
            case Local("rmd"), LeaveCluster() | StopResources():
                self.stop_asked = isinstance(event.message, StopResources)
                self._leave()
            case Client(), _:
                self._asked(event.sender, event.message)

    def _heard(self, message: Announced, old: bool) -> None:
        if self.conversation.phase not in ("looking", "leaving", "left"):
            self.conversation.heard(message.fields, old)
        elif message.fields.get("t") == "starting":
            self.conversation.say_held(stable=False)

    def _peer(self, status: NodeStatus) -> None:
        old, self.peer_state = self.peer_state, status.state
        new_start = status.generation != self.peer_generation
        self.peer_generation = status.generation
        if not self.looked:
            return
        if self.peer_alive:
            self.lost.returned()
            resumed = old == "init" and self.conversation.phase == "promised"
            if (old not in ("up", "active") or new_start) and not resumed:
                self.conversation.meet()
        elif status.state != old:
            self.conversation.peer_gone()

    def _on_fired(self, event: Fired) -> None:
        {
            PAUSE: self.work.resumed,
            TRANSFER: self.conversation.overdue,
            FAILED: self.conversation.group_failed,
            FAILBACK: self.conversation.fail_back,
            ASK_AGAIN: self.conversation.ask_again,
            UNCLAIMED: self.conversation.unclaimed,
            GRACE: self.lost.grace_is_over,
            FENCE_AGAIN: self.lost.consider,
        }[event.timer]()

    def _on_finished(self, event: Finished) -> None:
        if isinstance(event.outcome, FenceEnd):
            self.lost.fenced(event.operation, event.outcome)
        else:
            assert isinstance(event.outcome, ScriptEnd), event.outcome
            self.work.ended(event.operation, event.outcome)

    # Programs --------------------------------------------------------------------------------------------------------

    def _asked(self, client: Client, message: Message) -> None:
        if isinstance(message, GetHolding):
            self.effects.append(Reply(client, self._holding()))
            return
        conversation = self.conversation
        why = f"{type(message).__name__} is nothing that one can ask"
        if isinstance(message, GoStandby):
            why = conversation.go_standby(WORDS[message.what])
        elif isinstance(message, TakeOver):
            why = conversation.why_not()
            if not why:
                conversation.say("hb_takeover", rsc_hold=message.what)
        elif isinstance(message, ConfirmDead):
            known = message.node.lower() == self.settings.peer
            why = self.lost.confirmed() if known else f"{message.node} is not the other node ({self.settings.peer})"
        self.effects.append(Reply(client, Answer(accepted=not why, text=why)))

    def _holding(self) -> Holding:
        peer_hold = self.conversation.peer_hold
        lines = [GroupLine(key=g.key, home=g.node, state=self.work.states[g.key]) for g in self.groups(ALL)]
        return Holding(
            hold=self.told or "transition",
            phase=self.conversation.phase,
            peer=self.settings.peer,
            peer_state=self.peer_state,
            peer_hold="unknown" if peer_hold is None else word_of(peer_hold),
            groups=lines,
        )

    def _ignore(self, _event: Wall | Lost) -> None:
        """No wall clock is needed; who hangs up has had its answer."""

    _EVENTS: dict[type, Callable[[HaresourcesMachine, Any], None]] = {
        Started: _on_started,
        Wall: _ignore,
        Connected: _on_connected,
        Lost: _ignore,
        Received: _on_received,
        Fired: _on_fired,
        Finished: _on_finished,
        Stopping: _on_stopping,
    }
