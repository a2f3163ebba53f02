# SPDX-License-Identifier: GPL-2.0-or-later
"""Who beats, who is late, who is hung, and whether the watchdog may be petted.

Rules of this file

* A client is silent since its last beat, or since apphbd found itself late: a clock that stood still for apphbd itself
  accuses nobody (everyone gets a whole deadline again).
* A beat moves no timer. One timer, `clients`, is armed for the earliest moment at which any client could become late;
  when it fires all are looked at. So a beat costs a table look-up.
* Beats come by datagrams, rmd's words by the pair's own channel: between the two there is no order. A beat of a
  process that rmd has reported Gone counts no more, until rmd expects that process number again.
* The watchdog is petted only while rmd is well, and while the cluster's lease allows it (ha.apphbd.core.lease). It is
  never petted again once rmd could not be replaced.
"""

from __future__ import annotations

from collections import OrderedDict

from ha.apphbd.core.applications import Applications
from ha.apphbd.core.lease import LeaseWatch
from ha.apphbd.core.programs import RMD, Programs
from ha.apphbd.core.watched import EventName, Key, Watched
from ha.apphbd.model import End, ReplaceRmd
from ha.apphbd.model.registrations import SAVE_DELAY_MS, Ended, KeepRegistrations, LoadRegistrations
from ha.apphbd.msg import (
    Beat,
    ClientEvent,
    ClientLine,
    Clients,
    Expect,
    ExpectProgram,
    GetClients,
    Gone,
    Goodbye,
    Lease,
    LeaseLapsed,
    Notice,
    ShuttingDown,
    Watchdog,
)
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Instant,
    Lost,
    Machine,
    Message,
    Note,
    Received,
    Reply,
    Send,
    Started,
    Stopping,
    Tickle,
    Wall,
)

MAX_CLIENTS = 512
"""Registered clients. The beat of one more is refused and noted."""

MAX_GONE = 256
"""Ended processes remembered, so that their beats still under way count no more; the oldest are forgotten."""

LATENESS_TOLERANCE_MS = 50
"""apphbd woken later than this was itself held up: it grants everyone a whole deadline again."""

MAX_SHORT_LIVES = 5
"""Replacements of an rmd that lived less than SHORT_LIFE_MS, one after another. Then apphbd ends and the watchdog, if
there is one, resets the node: an rmd that cannot live is not cured by one more."""

SHORT_LIFE_MS = 3_000

RMD_START_MS = 8_000
"""rmd beats for the first time within this, or is replaced."""


class Apphbd:
    def __init__(
        self, *, rmd_pid: int | None, watchdog_interval_ms: int | None, watchdog_timeout_ms: int, short_lives: int,
        lease_until: Instant | None,
    ) -> None:  # fmt: skip
        """See `build`."""
        self._rmd_pid = rmd_pid
        self._short_lives = short_lives
        self._started: Instant = 0
        self._watchdog_interval_ms = watchdog_interval_ms
        self._lease = LeaseWatch(lease_until, watchdog_timeout_ms)
        self._clients: dict[Key, Watched] = {}
        self._applications = Applications(self._clients)
        self._programs = Programs(self._clients)
        self._gone: OrderedDict[Key, None] = OrderedDict()
        self._armed: dict[str, Instant] = {}
        self._shutting_down = False
        self._replacing = False
        self._refused = 0
        self._doomed = False
        """Somebody whose failure must reset the node has failed: the watchdog is petted no more."""

    def step(self, event: Event, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        match event:
            case Started():
                self._start(now, effects)
            case Received(sender=Client() as program, message=GetClients()):
                effects.append(Reply(program, self._lines(now)))
            case Received(sender=Client() as program, message=message) if self._applications.understand(message):
                for client, report, silent_ms in self._applications.heard(program, message, now, effects):
                    self._report(client, report, silent_ms, effects)
            case Received(sender=Client() as program, message=message):
                effects.append(Note("warning", f"{program.program} may not say {type(message).__name__} to apphbd"))
            case Received(message=Beat() as beat):
                if self._beat(beat, now, effects):
                    return effects
            case Received(message=Goodbye() as goodbye):
                self._goodbye(goodbye, now, effects)
            case Received(message=Notice() as notice):
                self._notice(notice, now, effects)
            case Received(sender=sender, message=message):
                assert sender == RMD, f"{sender} may not say {type(message).__name__}"
                self._obey(message, now, effects)
            case Fired(timer):
                self._fired(timer, now, effects)
            case Lost(peer) if peer == RMD:
                self._rmd_died(now, effects)
            case Lost(peer=Client() as program):
                for client, report, silent_ms in self._applications.hung_up(program, now):
                    self._report(client, report, silent_ms, effects)
            case Finished("registrations", tuple() as registrations):
                self._applications.adopt(registrations, now, effects)
            case Finished(operation, Ended()):
                for client, report, silent_ms in self._applications.ended(operation, now):
                    self._report(client, report, silent_ms, effects)
            case Finished(outcome=outcome):
                text = f"rmd could not be replaced: {outcome}; the watchdog is petted no more"
                effects.append(Note("critical", text))
            case Stopping():
                self._stop(effects)
            case Wall() | Connected() | Lost():
                pass
        self._arm_clients(now, effects)
        if self._applications.changed and "registrations" not in self._armed:
            self._arm("registrations", now + SAVE_DELAY_MS, effects)
        return effects

    def _stop(self, effects: list[Effect]) -> None:
        if self._shutting_down:
            effects.append(Execute("keep", KeepRegistrations(())))  # what is stopped with the node is no failure
        if self._watchdog_interval_ms is not None and self._lease.in_force:
            text = "resources may be active, and the cluster's lease was not given back: the watchdog runs on"
            effects += [Note("critical", text), Execute("end", End())]

    def _obey(self, message: Message, now: Instant, effects: list[Effect]) -> None:
        match message:
            case Expect():
                self._expect(message, now)
            case ExpectProgram(module=module, pid=pid):
                self._gone.pop((module, pid), None)
                self._programs.expect(message, now)
            case Gone(module=module, pid=pid):
                self._forget((module, pid))
            case ShuttingDown():
                self._shutting_down = True
            case Lease():
                self._leased(message, now, effects)
            case _:
                effects.append(Note("error", f"rmd said {type(message).__name__}, which apphbd does not know"))

    # Clients ---------------------------------------------------------------------------------------------------------

    def _start(self, now: Instant, effects: list[Effect]) -> None:
        self._started = now
        if self._rmd_pid is not None:
            self._expect(Expect(module="rmd", pid=self._rmd_pid, deadline_ms=RMD_START_MS), now)
        if self._watchdog_interval_ms is not None:
            self._pet(now, effects)
            self._arm_lease(now, effects)
            if self._rmd_pid is not None and self._lease.timeout_ms:
                effects.append(Send(RMD, Watchdog(timeout_ms=self._lease.timeout_ms)))
        effects.append(Execute("registrations", LoadRegistrations()))

    def _expect(self, expect: Expect, now: Instant) -> None:
        key = (expect.module, expect.pid)
        self._gone.pop(key, None)
        client = self._clients.get(key)
        if client is None:
            client = Watched(expect.module, expect.pid, "starting", now, deadline_ms=expect.deadline_ms)
            self._clients[key] = client
        client.expected = True

    def _beat(self, beat: Beat, now: Instant, effects: list[Effect]) -> bool:
        """True when no client can have become due any earlier by it: most beats."""
        key = (beat.module, beat.pid)
        if key in self._gone:
            return True
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:
                self._refuse(beat, effects)
                return True
            client = Watched(beat.module, beat.pid, "starting", now)
            self._clients[key] = client
        silent_ms = now - client.since
        report = client.beat(now)
        self._promise(client, beat)
        if self._is_rmd(client):
            effects.append(Send(RMD, self._beat_back(beat)))
        if report is not None:
            self._report(client, report, silent_ms, effects)
        armed = self._armed.get("clients")
        return armed is not None and now + client.warntime_ms >= armed

    def _refuse(self, beat: Beat, effects: list[Effect]) -> None:
        self._refused += 1
        if self._refused == 1:
            effects.append(Note("error", f"{beat.module} (pid {beat.pid}) is not watched: {MAX_CLIENTS} clients are"))

    def _goodbye(self, goodbye: Goodbye, now: Instant, effects: list[Effect]) -> None:
        client = self._clients.get((goodbye.module, goodbye.pid))
        if client is not None:
            self._report(client, "HBUNREG", now - client.since, effects)
            self._forget((goodbye.module, goodbye.pid))

    def _notice(self, notice: Notice, now: Instant, effects: list[Effect]) -> None:
        for client, report, silent_ms in self._programs.heard(notice, now, effects):
            self._report(client, report, silent_ms, effects)

    def _forget(self, key: Key) -> None:
        self._clients.pop(key, None)
        self._programs.forget(key)
        self._gone[key] = None
        self._gone.move_to_end(key)
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)

    @staticmethod
    def _promise(client: Watched, beat: Beat) -> None:
        client.interval_ms = beat.interval_ms
        client.warntime_ms = min(beat.warntime_ms, beat.deadline_ms)
        client.deadline_ms = beat.deadline_ms

    def _become_late(self, client: Watched, now: Instant, effects: list[Effect]) -> None:
        client.state = "late"
        effects.append(Note("info", f"{client.label}: late heartbeat: {now - client.since} ms"))
        self._report(client, "HBWARN", now - client.since, effects)

    def _become_hung(self, client: Watched, now: Instant, effects: list[Effect]) -> None:
        client.state = "hung"
        silent_ms = now - client.since
        effects.append(Note("warning", f"{client.label}: no heartbeat for {silent_ms} ms: hung"))
        if self._is_rmd(client):
            self._replace_rmd(f"no heartbeat for {silent_ms} ms", now, effects)
        else:
            self._report(client, "NOHB", silent_ms, effects)

    def _report(self, client: Watched, event: EventName, silent_ms: int, effects: list[Effect]) -> None:
        reset = client.reset and event in {"NOHB", "HUP"}
        who = client.registered
        message = ClientEvent(
            event=event,
            module=client.module,
            pid=client.pid,
            silent_ms=silent_ms,
            deadline_ms=client.deadline_ms,
            reset=reset,
            name=who.name if who else "",
            instance=who.instance if who else "",
            uid=who.uid if who else -1,
            gid=who.gid if who else -1,
        )
        if self._rmd_pid is not None and not self._is_rmd(client):
            effects.append(Send(RMD, message))
        if reset:
            self._doomed = True
            effects.append(Note("critical", f"{client.label} has failed, and asked for a reset of the node then"))
        effects += [Reply(subscriber, message) for subscriber in self._applications.subscribers]

    def _lines(self, now: Instant) -> Clients:
        return Clients(
            clients=[
                ClientLine(
                    module=client.module,
                    pid=client.pid,
                    interval_ms=client.interval_ms,
                    deadline_ms=client.deadline_ms,
                    silent_ms=now - client.since,
                    state=client.state,
                    kind=client.kind,
                    status=client.status,
                )
                for client in self._clients.values()
            ]
        )

    # Time ------------------------------------------------------------------------------------------------------------

    def _fired(self, timer: str, now: Instant, effects: list[Effect]) -> None:
        late_ms = now - self._armed.pop(timer)
        if late_ms > LATENESS_TOLERANCE_MS:
            self._grant_everyone(now, late_ms, effects)
        match timer:
            case "clients":
                self._judge(now, effects)
            case "watchdog":
                self._pet(now, effects)
            case "lease":
                self._lease_ran_out(now, effects)
            case "registrations":
                effects.append(Execute("keep", self._applications.kept()))
            case _:
                raise AssertionError(timer)

    def _grant_everyone(self, now: Instant, late_ms: int, effects: list[Effect]) -> None:
        effects.append(Note("notice", f"apphbd itself was held up for {late_ms} ms: nobody's silence counts so far"))
        for client in self._clients.values():
            if client.state != "hung":
                client.since = now

    def _judge(self, now: Instant, effects: list[Effect]) -> None:
        for client in list(self._clients.values()):
            due = client.due()
            if due is None or now < due:
                continue
            match client.state:
                case "well" if not client.deadline_ms or now < client.since + client.deadline_ms:
                    self._become_late(client, now, effects)
                case "starting" | "well" | "late":
                    self._become_hung(client, now, effects)
                case "hung":
                    self._forget((client.module, client.pid))

    def _arm(self, timer: str, deadline: Instant, effects: list[Effect]) -> None:
        self._armed[timer] = deadline
        effects.append(Arm(timer, deadline))

    def _arm_clients(self, now: Instant, effects: list[Effect]) -> None:
        judged = [due for client in self._clients.values() if (due := client.due()) is not None]
        armed = self._armed.get("clients")
        if not judged:
            if armed is not None:
                del self._armed["clients"]
                effects.append(Disarm("clients"))
        elif armed is None or min(judged) < armed:
            self._arm("clients", max(min(judged), now), effects)

    # rmd and the watchdog --------------------------------------------------------------------------------------------

    @staticmethod
    def _beat_back(beat: Beat) -> Beat:
        """apphbd beats as often as rmd does, and needs no clock of its own for it."""
        # rmd knows the process it forked and judges by its own deadline: number and times are left to the shell.
        interval_ms = beat.interval_ms
        return Beat(module="apphbd", pid=0, interval_ms=interval_ms, warntime_ms=interval_ms, deadline_ms=interval_ms)

    def _pet(self, now: Instant, effects: list[Effect]) -> None:
        assert self._watchdog_interval_ms is not None
        if self._may_pet(now):
            effects.append(Tickle())
        self._arm("watchdog", now + self._watchdog_interval_ms, effects)

    def _may_pet(self, now: Instant) -> bool:
        return self._rmd_is_well() and not self._doomed and self._lease.allows(now)

    def _leased(self, lease: Lease, now: Instant, effects: list[Effect]) -> None:
        if self._watchdog_interval_ms is None:
            return  # there is nothing to pet
        was_allowed = self._lease.allows(now)
        self._lease.told(lease, now, effects)
        if not was_allowed and self._may_pet(now):
            effects.append(Tickle())  # it has run down for a while: not only at the next interval
        self._arm_lease(now, effects)

    def _arm_lease(self, now: Instant, effects: list[Effect]) -> None:
        due = self._lease.due()
        if due is not None:
            self._arm("lease", max(due, now), effects)
        elif self._armed.pop("lease", None) is not None:
            effects.append(Disarm("lease"))

    def _lease_ran_out(self, now: Instant, effects: list[Effect]) -> None:
        if self._lease.fired(now, effects):
            until = self._lease.until
            assert until is not None
            effects.append(Note("critical", "self-fencing: the watchdog has not reset this node: rmd is told to"))
            if self._rmd_pid is not None:
                effects.append(Send(RMD, LeaseLapsed(late_ms=now - until)))
        self._arm_lease(now, effects)

    def _rmd_is_well(self) -> bool:
        if self._rmd_pid is None:
            return True
        client = self._clients.get(("rmd", self._rmd_pid))
        return client is not None and client.state != "hung" and not self._replacing

    def _rmd_died(self, now: Instant, effects: list[Effect]) -> None:
        assert self._rmd_pid is not None
        self._forget(("rmd", self._rmd_pid))
        if self._shutting_down:
            effects.append(Note("critical", "rmd died while it stopped the node: apphbd ends, the watchdog runs on"))
            effects.append(Execute("end", End()))
        else:
            self._replace_rmd("it died", now, effects)

    def _is_rmd(self, client: Watched) -> bool:
        return client.module == "rmd" and client.pid == self._rmd_pid

    def _replace_rmd(self, reason: str, now: Instant, effects: list[Effect]) -> None:
        assert self._rmd_pid is not None
        if self._replacing:
            return
        self._replacing = True
        short_lives = self._short_lives + 1 if now - self._started < SHORT_LIFE_MS else 0
        if short_lives > MAX_SHORT_LIVES:
            text = f"rmd (pid {self._rmd_pid}): {reason}, like {self._short_lives} before it: apphbd starts no more"
            effects.append(Note("critical", text))
            effects.append(Execute("end", End()))
            return
        # Applications are no children of rmd: they outlive it, and nobody waits for their end.
        children = (client for client in self._clients.values() if client.expected and client.kind != "application")
        workers = tuple(client.pid for client in children if not self._is_rmd(client))
        effects.append(Note("critical", f"rmd (pid {self._rmd_pid}): {reason}: apphbd replaces it"))
        if self._applications.changed:
            effects.append(Execute("keep", self._applications.kept()))
        effects.append(Execute("replace-rmd", ReplaceRmd(self._rmd_pid, workers, reason, short_lives)))


def build(
    *, rmd_pid: int | None = None, watchdog_interval_ms: int | None = None, watchdog_timeout_ms: int = 0,
    short_lives: int = 0, lease_until: Instant | None = None,
) -> Machine:  # fmt: skip
    """`rmd_pid` is None when apphbd runs alone, `watchdog_interval_ms` is None without a watchdog device, whose timeout
    may be unknown (0: then no lease is ever given); `short_lives` counts the rmds before this one that apphbds had to
    replace soon after their start; `lease_until` is the lease that a former pair has left, None: none is in force."""
    return Apphbd(
        rmd_pid=rmd_pid, watchdog_interval_ms=watchdog_interval_ms, watchdog_timeout_ms=watchdog_timeout_ms,
        short_lives=short_lives, lease_until=lease_until,
    )  # fmt: skip
