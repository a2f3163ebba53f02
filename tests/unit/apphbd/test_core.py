# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd's table of clients: who is late, hung, back; and what that means for rmd and the watchdog."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.core import (
    LATENESS_TOLERANCE_MS,
    MAX_CLIENTS,
    MAX_SHORT_LIVES,
    RMD,
    RMD_START_MS,
    SHORT_LIFE_MS,
    build,
)
from ha.apphbd.core.watched import FORGET_MS
from ha.apphbd.model import End, ReplaceRmd
from ha.apphbd.model.registrations import KeepRegistrations, LoadRegistrations, Registration
from ha.apphbd.msg import Beat, ClientEvent, Clients, Expect, GetClients, Gone, Goodbye, ShuttingDown
from ha.machine import (
    Arm,
    Client,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Local,
    Lost,
    Machine,
    Message,
    Note,
    Received,
    Reply,
    Send,
    Started,
    Tickle,
)

RMD_PID = 100


class World:
    """Runs the core as its loop does: timers fire exactly, or later when the loop is held up."""

    def __init__(
        self, *, rmd_pid: int | None = RMD_PID, watchdog_interval_ms: int | None = None, short_lives: int = 0
    ) -> None:
        self.machine: Machine = build(
            rmd_pid=rmd_pid, watchdog_interval_ms=watchdog_interval_ms, short_lives=short_lives
        )
        self.now = 0
        self.timers: dict[str, int] = {}
        self.effects: list[tuple[int, Effect]] = []
        self.kept: tuple[Registration, ...] = ()
        self.step(Started("i", 1, {}))

    def step(self, event: Event) -> list[Effect]:
        effects = self.machine.step(event, self.now)
        for effect in effects:
            match effect:
                case Arm(timer, deadline):
                    self.timers[timer] = deadline
                case Disarm(timer):
                    self.timers.pop(timer, None)
                case Execute(request=KeepRegistrations(registrations)):
                    self.kept = registrations
                case Execute(request=LoadRegistrations()):
                    pass  # there are none, unless a test says so
                case _:
                    self.effects.append((self.now, effect))
        return effects

    def run_to(self, now: int, *, held_up: bool = False) -> None:
        """`held_up`: nothing runs before `now`."""
        while (due := [(at, name) for name, at in self.timers.items() if at <= now]) != []:
            at, name = min(due)
            self.now = now if held_up else max(self.now, at)
            del self.timers[name]
            self.step(Fired(name))
        self.now = now

    def hear(self, message: Message, sender: str = "") -> None:
        self.step(Received(Local(sender or getattr(message, "module", "rmd")), message))

    def beat(self, module: str = "cib", pid: int = 1, *, warn: int = 300, deadline: int = 500) -> None:
        self.hear(Beat(module=module, pid=pid, interval_ms=100, warntime_ms=warn, deadline_ms=deadline))

    def beat_of_rmd(self, deadline: int = 1000) -> None:
        self.beat("rmd", RMD_PID, warn=deadline, deadline=deadline)

    def order(self, message: Message) -> None:
        self.hear(message, "rmd")

    def told(self, module: str = "") -> list[tuple[int, str]]:
        """(when, event) of what rmd was told."""
        return [
            (at, effect.message.event)
            for at, effect in self.effects
            if isinstance(effect, Send) and isinstance(effect.message, ClientEvent)
            if not module or effect.message.module == module
        ]

    def requests(self) -> list[object]:
        return [effect.request for _, effect in self.effects if isinstance(effect, Execute)]

    def pets(self) -> list[int]:
        return [at for at, effect in self.effects if isinstance(effect, Tickle)]


def test_a_client_goes_from_first_beat_to_late_to_hung_exactly_at_its_times() -> None:
    world = World()
    world.now = 10
    world.beat()
    world.run_to(2000)
    assert world.told() == [(10, "HBREG"), (310, "HBWARN"), (510, "NOHB")]


def test_a_beat_in_time_keeps_it_well() -> None:
    world = World()
    for now in range(0, 3000, 250):
        world.run_to(now)
        world.beat()
    assert world.told() == [(0, "HBREG")]


def test_a_late_client_that_beats_is_well_again_without_more_ado() -> None:
    world = World()
    world.beat()
    world.run_to(400)
    world.beat()
    world.run_to(650)
    assert world.told() == [(0, "HBREG"), (300, "HBWARN")]


def test_a_hung_client_that_beats_has_resumed() -> None:
    world = World()
    world.beat()
    world.run_to(600)
    world.beat()
    assert world.told()[-1] == (600, "HBAGAIN")


def test_a_worker_that_never_beats_is_hung_at_its_start_deadline() -> None:
    world = World()
    world.order(Expect(module="cib", pid=5, deadline_ms=700))
    world.run_to(1000)
    assert world.told() == [(700, "NOHB")]


def test_a_program_that_never_beats_by_agreement_is_never_hung() -> None:
    world = World()
    world.order(Expect(module="prog", pid=5, deadline_ms=0))
    world.run_to(100_000)
    assert world.told("prog") == []


@pytest.mark.parametrize("beat_first", [True, False])
def test_beat_and_expectation_may_come_in_either_order(beat_first: bool) -> None:
    world = World()
    steps = [lambda: world.beat(pid=5), lambda: world.order(Expect(module="cib", pid=5, deadline_ms=700))]
    for step in steps if beat_first else reversed(steps):
        step()
    assert world.told() == [(0, "HBREG")]


def test_beats_of_a_process_that_is_gone_count_no_more() -> None:
    world = World()
    world.beat(pid=5)
    world.order(Gone(module="cib", pid=5))
    world.beat(pid=5)
    world.run_to(2000)
    assert world.told() == [(0, "HBREG")]


def test_a_process_number_may_come_back() -> None:
    world = World()
    world.beat(pid=5)
    world.order(Gone(module="cib", pid=5))
    world.order(Expect(module="cib", pid=5, deadline_ms=700))
    world.beat(pid=5)
    assert world.told() == [(0, "HBREG"), (0, "HBREG")]


def test_goodbye_ends_the_watch() -> None:
    world = World()
    world.beat()
    world.hear(Goodbye(module="cib", pid=1))
    world.run_to(2000)
    assert world.told() == [(0, "HBREG"), (0, "HBUNREG")]


def test_held_up_itself_it_accuses_nobody_and_grants_a_whole_deadline() -> None:
    world = World()
    world.beat()
    world.run_to(10_000, held_up=True)
    assert world.told() == [(0, "HBREG")]
    world.run_to(11_000)
    assert world.told()[1:] == [(10_300, "HBWARN"), (10_500, "NOHB")]


def test_a_little_lateness_is_no_excuse() -> None:
    world = World()
    world.beat(warn=500)
    world.run_to(500 + LATENESS_TOLERANCE_MS, held_up=True)
    assert world.told()[-1] == (550, "NOHB")


def test_held_up_itself_it_does_not_kill_rmd() -> None:
    world = World()
    world.beat_of_rmd()
    world.run_to(20_000, held_up=True)
    assert world.requests() == []


def test_a_silent_rmd_is_replaced_once_with_its_workers_named() -> None:
    world = World()
    world.beat_of_rmd()
    world.order(Expect(module="cib", pid=5, deadline_ms=10_000))
    world.run_to(5_000)
    assert world.requests() == [ReplaceRmd(RMD_PID, (5,), "no heartbeat for 1000 ms", 1)]


def test_rmd_is_never_reported_to_itself() -> None:
    world = World()
    world.beat_of_rmd()
    world.run_to(5_000)
    assert world.told() == []


def test_an_rmd_that_never_beats_is_replaced() -> None:
    world = World()
    world.run_to(RMD_START_MS)
    assert [type(request) for request in world.requests()] == [ReplaceRmd]


def test_an_rmd_that_died_is_replaced_at_once() -> None:
    world = World()
    world.beat_of_rmd()
    world.now = 77
    world.step(Lost(RMD))
    assert world.requests() == [ReplaceRmd(RMD_PID, (), "it died", 1)]


@pytest.mark.parametrize(
    ("lived_ms", "before", "expected"),
    [
        (SHORT_LIFE_MS - 1, 2, ReplaceRmd(RMD_PID, (), "it died", 3)),
        (SHORT_LIFE_MS, 2, ReplaceRmd(RMD_PID, (), "it died", 0)),
        (1, MAX_SHORT_LIVES - 1, ReplaceRmd(RMD_PID, (), "it died", MAX_SHORT_LIVES)),
        (1, MAX_SHORT_LIVES, End()),
        (SHORT_LIFE_MS, MAX_SHORT_LIVES, ReplaceRmd(RMD_PID, (), "it died", 0)),
    ],
)
def test_an_rmd_that_cannot_live_is_not_replaced_for_ever(lived_ms: int, before: int, expected: object) -> None:
    world = World(short_lives=before)
    world.beat_of_rmd(deadline=60_000)
    world.run_to(lived_ms)
    world.step(Lost(RMD))
    assert world.requests() == [expected]


def test_an_rmd_that_died_while_it_stopped_the_node_is_not_started_again() -> None:
    world = World()
    world.beat_of_rmd()
    world.order(ShuttingDown())
    world.step(Lost(RMD))
    assert world.requests() == [End()]


def test_a_longer_silence_can_be_announced() -> None:
    world = World()
    world.beat_of_rmd(deadline=1000)
    world.beat_of_rmd(deadline=60_000)
    world.run_to(50_000)
    assert world.requests() == []


def test_apphbd_beats_back_as_often_as_rmd_beats() -> None:
    world = World()
    world.beat_of_rmd()
    for now in range(100, 1001, 100):
        world.run_to(now)
        world.beat_of_rmd()
    beats = [at for at, effect in world.effects if isinstance(effect, Send) and isinstance(effect.message, Beat)]
    assert beats == list(range(0, 1001, 100))


def test_the_watchdog_is_petted_from_the_start_and_while_rmd_is_well() -> None:
    world = World(watchdog_interval_ms=200)
    for now in range(0, 1000, 100):
        world.run_to(now)
        world.beat_of_rmd()
    assert world.pets() == [0, 200, 400, 600, 800]


def test_the_watchdog_is_not_petted_once_rmd_is_hung_or_dead() -> None:
    world = World(watchdog_interval_ms=200)
    world.beat_of_rmd()
    world.run_to(3000)
    assert world.pets() == [0, 200, 400, 600, 800]
    world = World(watchdog_interval_ms=200)
    world.beat_of_rmd()
    world.step(Lost(RMD))
    world.step(Finished("replace-rmd", "pid 100 did not end"))
    world.run_to(3000)
    assert world.pets() == [0]


def test_a_failed_replacement_is_said() -> None:
    world = World()
    [note] = [e for e in world.step(Finished("replace-rmd", "pid 5 did not end")) if isinstance(e, Note)]
    assert note.level == "critical"
    assert "pid 5 did not end" in note.text


def test_without_a_watchdog_nothing_is_petted() -> None:
    world = World()
    world.run_to(3000)
    assert world.pets() == []


def test_a_program_is_told_who_is_watched() -> None:
    world = World(rmd_pid=None)
    world.beat()
    world.run_to(350)
    program = Client("ha", 1, 0)
    [reply] = world.step(Received(program, GetClients()))
    assert isinstance(reply, Reply)
    assert isinstance(reply.message, Clients)
    [line] = reply.message.clients
    assert (line.module, line.state, line.silent_ms) == ("cib", "late", 350)


def test_a_program_may_not_speak_as_rmd() -> None:
    world = World()
    world.beat(pid=5)
    effects = world.step(Received(Client("evil", 1, 1000), Gone(module="cib", pid=5)))
    assert [type(effect) for effect in effects] == [Note]
    world.run_to(1000)
    assert world.told()[-1] == (500, "NOHB")


def test_another_client_called_rmd_is_not_taken_for_it() -> None:
    world = World()
    world.beat_of_rmd()
    world.beat("rmd", 666)
    for now in range(0, 2000, 200):
        world.run_to(now)
        world.beat_of_rmd()
    assert world.requests() == []


def test_the_number_of_clients_is_bounded() -> None:
    world = World(rmd_pid=None)
    for pid in range(MAX_CLIENTS + 10):
        world.beat("app", pid)
    notes = [effect for _, effect in world.effects if isinstance(effect, Note)]
    assert len(notes) == 1
    program = Client("ha", 1, 0)
    [reply] = [e for e in world.step(Received(program, GetClients())) if isinstance(e, Reply)]
    assert isinstance(reply.message, Clients)
    assert len(reply.message.clients) == MAX_CLIENTS


def test_a_hung_application_is_forgotten_in_the_end() -> None:
    world = World(rmd_pid=None)
    world.beat("app", 5)
    world.run_to(FORGET_MS + 1)
    program = Client("ha", 1, 0)
    [reply] = [e for e in world.step(Received(program, GetClients())) if isinstance(e, Reply)]
    assert reply.message == Clients(clients=[])


moves = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 700)),
        st.tuples(st.just("beat"), st.integers(1, 4)),
        st.tuples(st.just("expect"), st.integers(1, 4)),
        st.tuples(st.just("gone"), st.integers(1, 4)),
    ),
    max_size=60,
)


@given(moves)
def test_nobody_is_called_hung_before_its_deadline(history: list[tuple[str, int]]) -> None:
    world = World()
    for move, value in history:
        world.beat_of_rmd(deadline=10_000_000)
        match move:
            case "pass":
                world.run_to(world.now + value)
            case "beat":
                world.beat("w", value)
            case "expect":
                world.order(Expect(module="w", pid=value, deadline_ms=500))
            case "gone":
                world.order(Gone(module="w", pid=value))
    reports = [effect.message for _, effect in world.effects if isinstance(effect, Send)]
    hung = [report for report in reports if isinstance(report, ClientEvent) and report.event == "NOHB"]
    assert all(report.silent_ms >= 500 for report in hung)
