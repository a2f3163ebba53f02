# SPDX-License-Identifier: GPL-2.0-or-later
"""The notify protocol: what its datagrams say, what follows for the watch, and who may speak."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.io.ancestry import descends
from ha.apphbd.io.notices import MAX_NOTICES_PER_TURN, PAUSE_MS, Notices
from ha.apphbd.model.notices import MAX_NOTICE_BYTES, MAX_STATUS_LENGTH, MAX_WATCHDOG_MS, NoticeError, parse
from ha.apphbd.msg import Clients, ExpectProgram, GetClients, Gone, Notice, Promised
from ha.machine import Client, Received, Reply, Send
from tests.unit.apphbd.test_core import World

# Datagrams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"READY=1", {"ready": True}),
        (b"READY=1\nSTATUS=serving\nWATCHDOG=1\n", {"ready": True, "status": "serving", "watchdog": "1"}),
        (b"WATCHDOG=trigger", {"watchdog": "trigger"}),
        (b"WATCHDOG_USEC=2000000", {"watchdog_ms": 2000}),
        (b"WATCHDOG_USEC=0", {"watchdog_ms": 0}),
        (b"WATCHDOG_USEC=18446744073709551615", {"watchdog_ms": 0}),
        (b"WATCHDOG_USEC=9999999999999999", {"watchdog_ms": MAX_WATCHDOG_MS}),
        (b"STOPPING=1\nMAINPID=77", {"stopping": True, "main_pid": 77}),
        (b"STATUS=a=b\x1b[2J", {"status": "a=b?[2J"}),
        (b"STATUS=", {"status": ""}),
        (b"STATUS=" + b"x" * 1000, {"status": "x" * MAX_STATUS_LENGTH}),
        (b"STATUS=one\nSTATUS=two", {"status": "two"}),
        (b"RELOADING=1\nMONOTONIC_USEC=1\nFDSTORE=1\nBARRIER=1", {}),
        (b"", {}),
    ],
)
def test_what_is_understood(data: bytes, said: dict[str, object]) -> None:
    assert parse(data, "player", 7) == (Notice(module="player", pid=7, **said), [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"READY=0", "READY is 1, not '0'"),
        (b"WATCHDOG=often", "WATCHDOG is 1 or trigger, not 'often'"),
        (b"WATCHDOG_USEC=-1", "WATCHDOG_USEC is a number up to"),
        (b"WATCHDOG_USEC=", "WATCHDOG_USEC is a number up to"),
        (b"WATCHDOG_USEC=9999", "less than 10 ms"),
        (b"MAINPID=99999999999999999999999999", "MAINPID is a number up to"),
        ("MAINPID=\u0663".encode(), "MAINPID is a number up to"),
    ],
)
def test_one_bad_assignment_does_not_lose_the_others(data: bytes, complaint: str) -> None:
    notice, [said] = parse(data + b"\nSTATUS=well", "player", 7)
    assert complaint in said
    assert notice == Notice(module="player", pid=7, status="well")


@pytest.mark.parametrize("data", [b"hello", b"READY=1\n\xff", b"x" * (MAX_NOTICE_BYTES + 1)])
def test_what_is_no_notice_is_refused(data: bytes) -> None:
    with pytest.raises(NoticeError):
        parse(data, "player", 7)


NAMES = st.sampled_from(["READY", "WATCHDOG", "WATCHDOG_USEC", "STOPPING", "STATUS", "MAINPID", "X", ""])


@given(st.binary(max_size=200) | st.lists(st.tuples(NAMES, st.text(max_size=30))).map(
    lambda pairs: "\n".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "replace")
))  # fmt: skip
def test_garbage_is_refused_or_bounded(data: bytes) -> None:
    try:
        notice, _ = parse(data, "player", 7)
    except NoticeError:
        return
    assert notice.watchdog_ms is None or 0 <= notice.watchdog_ms <= MAX_WATCHDOG_MS
    assert notice.main_pid is None or 0 < notice.main_pid <= 2**22
    assert notice.status is None or (notice.status.isprintable() and len(notice.status) <= MAX_STATUS_LENGTH)


# What follows --------------------------------------------------------------------------------------------------------


class Service(World):
    """An apphbd that rmd has told of a program `player`, pid 7."""

    def __init__(self, *, start_deadline_ms: int = 500, watchdog_ms: int = 1000) -> None:
        super().__init__()
        self.beat_of_rmd(deadline=1_000_000)
        self.order(expectation(start_deadline_ms=start_deadline_ms, watchdog_ms=watchdog_ms))

    def says(self, text: str) -> None:
        self.hear(parse(text.encode(), "player", 7)[0])

    def shown(self) -> tuple[str, int, str]:
        [reply] = self.step_of(GetClients())
        assert isinstance(reply, Reply) and isinstance(reply.message, Clients)
        [line] = [line for line in reply.message.clients if line.module == "player"]
        assert line.kind == "program"
        return line.state, line.deadline_ms, line.status

    def step_of(self, message: GetClients) -> list[object]:
        return list(self.step(Received(Client("ha", 1, 0), message)))

    def promises(self) -> list[Promised]:
        return [e.message for _, e in self.effects if isinstance(e, Send) and isinstance(e.message, Promised)]


def expectation(
    *, pid: int = 7, access: Literal["main", "all"] = "main", start_deadline_ms: int = 0, watchdog_ms: int = 0
) -> ExpectProgram:
    return ExpectProgram(
        module="player", pid=pid, main_pid=pid, access=access,
        start_deadline_ms=start_deadline_ms, watchdog_ms=watchdog_ms,
    )  # fmt: skip


def test_it_is_ready_when_it_says_so_late_after_three_quarters_and_hung_after_all_of_its_interval() -> None:
    service = Service()
    service.run_to(400)
    service.says("READY=1\nSTATUS=serving")
    assert service.shown() == ("well", 1000, "serving")
    service.run_to(900)
    service.says("WATCHDOG=1")
    service.run_to(5000)
    assert service.told("player") == [(400, "HBREG"), (1650, "HBWARN"), (1900, "NOHB")]
    service.says("WATCHDOG=1")
    assert service.told("player")[-1] == (5000, "HBAGAIN")


def test_a_service_that_never_says_ready_is_hung_and_one_that_only_beats_is_ready_by_its_first_beat() -> None:
    silent = Service()
    silent.run_to(5000)
    assert silent.told("player") == [(500, "NOHB")]
    beating = Service()
    beating.run_to(100)
    beating.says("WATCHDOG=1")
    assert beating.told("player") == [(100, "HBREG")]
    assert beating.shown()[1] == 1000


def test_a_status_alone_is_no_sign_of_life() -> None:
    service = Service()
    service.run_to(400)
    service.says("STATUS=still loading")
    service.run_to(600)
    assert service.told("player") == [(500, "NOHB")]


def test_nothing_is_expected_of_a_program_that_promised_nothing_until_it_promises() -> None:
    service = Service(start_deadline_ms=0, watchdog_ms=0)
    service.run_to(1_000_000)
    assert service.told("player") == [] and service.shown() == ("well", 0, "")
    service.says("READY=1\nWATCHDOG=1\nWATCHDOG_USEC=200000")
    service.run_to(1_000_500)
    assert service.told("player") == [(1_000_150, "HBWARN"), (1_000_200, "NOHB")]
    assert service.promises() == [Promised(module="player", pid=7, main_pid=7, watchdog_ms=200)]


def test_a_changed_interval_and_a_new_main_process_are_told_to_rmd_once() -> None:
    service = Service()
    service.says("MAINPID=9\nWATCHDOG_USEC=300000")
    service.says("MAINPID=9\nREADY=1")
    assert service.promises() == [Promised(module="player", pid=7, main_pid=9, watchdog_ms=300)]
    assert service.shown()[1] == 300
    service.says("WATCHDOG_USEC=0")
    service.run_to(100_000)
    assert service.told("player") == [(0, "HBREG")]


def test_trigger_is_a_hang_at_once_and_only_once() -> None:
    service = Service()
    service.says("READY=1")
    service.says("WATCHDOG=trigger")
    service.says("WATCHDOG=trigger")
    assert service.told("player") == [(0, "HBREG"), (0, "NOHB")]


def test_who_stops_is_watched_no_more_whatever_it_says_then_but_shown_until_it_has_ended() -> None:
    service = Service()
    service.says("READY=1")
    service.says("STOPPING=1")
    service.says("WATCHDOG_USEC=20000\nWATCHDOG=1\nREADY=1")
    service.run_to(100_000)
    assert service.told("player") == [(0, "HBREG"), (0, "HBUNREG")]
    assert service.shown() == ("well", 0, "stopping")
    service.order(Gone(module="player", pid=7))
    with pytest.raises(ValueError, match="not enough values"):
        service.shown()


def test_a_notice_of_an_unknown_or_ended_process_changes_nothing() -> None:
    service = Service()
    service.hear(Notice(module="player", pid=8, ready=True))
    service.hear(Notice(module="cib", pid=1, watchdog="trigger"))
    service.order(Gone(module="player", pid=7))
    service.says("READY=1")
    assert service.told() == []


# Who may speak -------------------------------------------------------------------------------------------------------


class Host:
    def __init__(self) -> None:
        self.time = 0
        self.readers: dict[int, Callable[[], None]] = {}
        self.heard: list[Notice] = []
        self.refused: list[str] = []

    def now(self) -> int:
        return self.time

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        self.readers[fd] = on_readable

    def unwatch(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def noticed(self, notice: Notice) -> None:
        self.heard.append(notice)

    def note(self, level: str, text: str) -> None:
        self.refused.append(text)


class Program:
    """This process is the program; its socket is a pair's end."""

    def __init__(self, access: Literal["main", "all"] = "main", pid: int = 0) -> None:
        self.host = Host()
        self.notices = Notices(self.host)
        self.said, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        heard.setblocking(False)
        self.said.setblocking(False)
        self.pid = pid or os.getpid()
        self.notices.ordered(expectation(pid=self.pid, access=access), heard.detach())

    def turn(self) -> None:
        for reader in list(self.host.readers.values()):
            reader()

    def close(self) -> None:
        self.notices.ordered(Gone(module="player", pid=self.pid), None)
        self.said.close()


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()
    assert program.host.readers == {}


def from_a_child(program: Program, text: bytes) -> int:
    """Returns the child, which lives on."""
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        program.said.send(text)
        os.write(say, b"x")
        signal.pause()
    os.read(ready, 1)
    os.close(ready)
    os.close(say)
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_main_process_is_heard(program: Program) -> None:
    program.said.send(b"READY=1")
    program.turn()
    assert program.host.heard == [Notice(module="player", pid=os.getpid(), ready=True)]
    assert program.host.refused == []


@pytest.mark.parametrize(("access", "heard"), [("main", 0), ("all", 1)])
def test_a_child_is_heard_where_all_may_speak(access: Literal["main", "all"], heard: int) -> None:
    program = Program(access)
    child = from_a_child(program, b"READY=1")
    try:
        program.turn()
    finally:
        end(child)
        program.close()
    assert len(program.host.heard) == heard
    refusals = [f"player (pid {os.getpid()}): a notice is refused: pid {child} may not speak for it (HA_NOTIFY main)"]
    assert program.host.refused == ([] if heard else refusals)


def test_a_stranger_is_refused_also_where_all_may_speak() -> None:
    program = Program("all", pid=from_a_child(Program(), b""))
    program.said.send(b"READY=1")
    program.turn()
    end(program.pid)
    program.close()
    assert program.host.heard == [] and len(program.host.refused) == 1


def test_after_mainpid_the_new_main_process_speaks_and_a_foreign_one_is_refused(program: Program) -> None:
    program.said.send(b"MAINPID=1")
    child = from_a_child(program, b"")
    program.said.send(b"MAINPID=%d" % child)
    program.said.send(b"WATCHDOG=1")
    program.turn()
    end(child)
    assert [notice.main_pid for notice in program.host.heard] == [child]
    assert len(program.host.refused) == 3, "pid 1, the child before it was named, the former main process"


def test_bad_datagrams_are_refused_and_the_next_is_heard(program: Program) -> None:
    for data in (b"x" * (MAX_NOTICE_BYTES + 1), b"\xff", b"nonsense"):
        program.said.send(data)
    program.said.send(b"WATCHDOG=1")
    program.turn()
    assert len(program.host.refused) == 3
    assert [notice.watchdog for notice in program.host.heard] == ["1"]


def test_descriptors_that_come_along_are_closed_which_is_what_a_barrier_waits_for(program: Program) -> None:
    read, write = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(program.said, [b"BARRIER=1"], [write])
    os.close(write)
    program.turn()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert os.read(read, 1) == b""
    os.close(read)


def test_a_flood_is_read_in_bounded_portions_with_pauses(program: Program) -> None:
    def flood() -> None:
        try:
            while True:
                program.said.send(b"STATUS=flood")
        except BlockingIOError:
            return

    flood()
    queued = 0
    portions = []
    while program.host.readers or program.notices.due is not None:
        program.turn()
        portions.append(len(program.host.heard) - queued)
        queued = len(program.host.heard)
        assert program.host.readers == {}, "it rests"
        assert program.notices.due == program.host.time + PAUSE_MS
        program.host.time += PAUSE_MS
        program.notices.hear_the_rest()
        if len(program.host.heard) == queued:
            break
    assert max(portions) <= 2 * MAX_NOTICES_PER_TURN and sum(portions) > 0


def test_a_descriptor_without_a_program_is_closed() -> None:
    host = Host()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    Notices(host).ordered(Gone(module="player", pid=1), theirs.detach())
    with pytest.raises(ConnectionError):
        ours.send(b"READY=1")
    ours.close()


def test_descent_is_followed_to_the_root_and_not_beyond() -> None:
    assert descends(os.getpid(), os.getpid()) and descends(os.getpid(), os.getppid())
    assert not descends(os.getppid(), os.getpid())
    assert not descends(2**22 - 1, os.getpid()) or Path(f"/proc/{2**22 - 1}").exists()
    assert not descends(0, os.getpid())
