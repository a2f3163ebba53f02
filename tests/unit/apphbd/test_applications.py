# SPDX-License-Identifier: GPL-2.0-or-later
"""Applications that have themselves watched: the classic protocol's bytes, and what becomes of each client."""

from __future__ import annotations

import errno
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.core.applications import FIRST_INTERVAL_MS, MAX_APPLICATIONS, MAX_PER_USER
from ha.apphbd.core.programs import RMD
from ha.apphbd.model import ReplaceRmd
from ha.apphbd.model.applications import HEADER, MAGIC, ProtocolError, Requests, answer, encode, error_of
from ha.apphbd.model.registrations import (
    MAX_FILE_BYTES,
    SAVE_DELAY_MS,
    AwaitEnd,
    Ended,
    Registration,
    RegistrationsError,
    decode,
)
from ha.apphbd.model.registrations import encode as encode_registrations
from ha.apphbd.msg import (
    AppAnswer,
    AppBeat,
    AppBoot,
    AppInterval,
    AppUnregister,
    AppWarn,
    ClientEvent,
    Expect,
    ExpectProgram,
    Register,
    ShuttingDown,
    Subscribe,
)
from ha.machine import Client, Execute, Finished, Lost, Message, Received, Reply, Stopping
from tests.unit.apphbd.test_core import World

DEMO = Client("apphb", -1, 0, 0, 4711)


class Applications(World):
    """Without rmd: nothing but applications is watched."""

    def __init__(self, **options: int) -> None:
        super().__init__(rmd_pid=None, **options)

    def say(self, message: Message, program: Client = DEMO) -> int | None:
        """The errno of the answer, None without one."""
        for effect in self.step(Received(program, message)):
            if isinstance(effect, Reply) and isinstance(effect.message, AppAnswer):
                return effect.message.error
        return None

    def register(self, program: Client = DEMO, name: str = "demo") -> int | None:
        return self.say(
            Register(name=name, instance="one", pid=program.pid, uid=program.uid, gid=program.gid), program
        )

    def events(self) -> list[tuple[int, str, bool]]:
        """(when, event, reset) as the subscriber hears it."""
        return [
            (at, effect.message.event, effect.message.reset)
            for at, effect in self.effects
            if isinstance(effect, Reply) and isinstance(effect.message, ClientEvent)
        ]


def subscribed(**options: int) -> Applications:
    world = Applications(**options)
    assert world.say(Subscribe(), Client("watcher", 1, 0, 0, 1)) == 0
    return world


def test_a_client_is_late_then_fails_then_is_back_then_ends() -> None:
    world = subscribed()
    assert world.register() == 0
    assert world.say(AppInterval(interval_ms=1000)) == 0
    assert world.say(AppWarn(warntime_ms=300)) == 0
    world.run_to(1500)
    assert world.say(AppBeat()) is None
    assert world.say(AppUnregister()) == 0
    assert world.events() == [
        (300, "HBWARN", False), (1000, "NOHB", False), (1500, "HBAGAIN", False), (1500, "HBUNREG", False),
    ]  # fmt: skip
    world.step(Lost(DEMO))
    world.run_to(10_000_000)
    assert len(world.events()) == 4


def test_the_first_interval_is_long_and_none_means_never() -> None:
    world = subscribed()
    world.register()
    world.run_to(FIRST_INTERVAL_MS - 1)
    assert world.events() == []
    world.run_to(FIRST_INTERVAL_MS)
    assert world.events() == [(FIRST_INTERVAL_MS, "NOHB", False)]
    world.say(AppInterval(interval_ms=0))
    world.run_to(100 * FIRST_INTERVAL_MS)
    assert len(world.events()) == 1


def test_a_warntime_alone_is_late_and_never_a_failure() -> None:
    world = subscribed()
    world.register()
    world.say(AppInterval(interval_ms=0))
    world.say(AppWarn(warntime_ms=50))
    world.run_to(100_000)
    assert world.events() == [(50, "HBWARN", False)]


def test_a_connection_that_ends_without_a_word_is_a_failure() -> None:
    world = subscribed()
    world.register()
    world.step(Lost(DEMO))
    assert world.events() == [(0, "HUP", False)]


def test_the_failure_of_one_who_asked_for_it_ends_the_petting() -> None:
    world = subscribed(watchdog_interval_ms=200)
    world.register()
    assert world.say(AppBoot(reset=True)) == 0
    world.run_to(500)
    world.step(Lost(DEMO))
    world.run_to(2000)
    assert world.events() == [(500, "HUP", True)]
    assert world.pets() == [0, 200, 400]


def test_only_root_may_ask_for_a_reset() -> None:
    world = Applications()
    other = Client("apphb", -2, 1000, 1000, 12)
    world.register(other)
    assert world.say(AppBoot(reset=True), other) == errno.EPERM
    assert world.say(AppBoot(reset=False), other) == 0


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Register(name="demo", instance="one", pid=4711, uid=0, gid=0), errno.EEXIST),
        (Register(name="other", instance="one", pid=4711, uid=0, gid=0), errno.EEXIST),
        (AppInterval(interval_ms=5), 0),
    ],
)
def test_who_has_registered_may_not_do_so_again(message: Message, expected: int) -> None:
    world = Applications()
    world.register()
    assert world.say(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Register(name="", instance="one", pid=4711, uid=0, gid=0), errno.EINVAL),
        (Register(name="x" * 256, instance="one", pid=4711, uid=0, gid=0), errno.EINVAL),
        (Register(name="a\nb", instance="one", pid=4711, uid=0, gid=0), errno.EINVAL),
        (Register(name="demo", instance="one", pid=1, uid=0, gid=0), errno.EINVAL),
        (Register(name="demo", instance="one", pid=4711, uid=5, gid=0), errno.EINVAL),
        (AppInterval(interval_ms=5), errno.ESRCH),
        (AppUnregister(), errno.ESRCH),
        (AppBeat(), None),
    ],
)
def test_what_a_stranger_may_not_say(message: Message, expected: int | None) -> None:
    assert Applications().say(message) == expected


def test_places_are_bounded_for_each_user_and_for_all() -> None:
    world = Applications()
    user = [world.register(Client("apphb", -n, 1000, 1000, n)) for n in range(1, MAX_PER_USER + 2)]
    assert user == [0] * MAX_PER_USER + [errno.ENOSPC]
    root = [world.register(Client("apphb", -n, 0, 0, n)) for n in range(1000, 1000 + MAX_APPLICATIONS)]
    assert root.count(0) == MAX_APPLICATIONS - MAX_PER_USER


# Bytes ---------------------------------------------------------------------------------------------------------------


def packet(kind: bytes, rest: bytes = b"") -> bytes:
    body = kind.ljust(8, b"\0") + rest
    return HEADER.pack(len(body), MAGIC) + body


REGISTER = packet(
    b"reg", b"demo".ljust(256, b"\0") + b"inst1".ljust(256, b"\0") + b"/tmp".ljust(256, b"\0")
    + struct.pack("=iII", 15, 0, 7),
)  # fmt: skip


def test_each_request_is_understood_wherever_the_stream_is_cut() -> None:
    stream = REGISTER + packet(b"hb") + packet(b"setint", struct.pack("@L", 500))
    stream += packet(b"setwarn", struct.pack("@L", 300)) + packet(b"setboot", struct.pack("@L", 1)) + packet(b"unreg")
    expected = [
        Register(name="demo", instance="inst1", pid=15, uid=0, gid=7), AppBeat(), AppInterval(interval_ms=500),
        AppWarn(warntime_ms=300), AppBoot(reset=True), AppUnregister(),
    ]  # fmt: skip
    assert Requests().feed(stream) == expected
    one_by_one = Requests()
    assert [request for byte in stream for request in one_by_one.feed(bytes([byte]))] == expected


def test_an_answer_has_a_header() -> None:
    assert answer(3) == HEADER.pack(4, MAGIC) + struct.pack("=i", 3)


@pytest.mark.parametrize(
    "data",
    [b"\0" * 8, HEADER.pack(5000, MAGIC), packet(b"reg", b"short"), packet(b"dance"), packet(b"setint", b"\1"),
     HEADER.pack(3, MAGIC)],
)  # fmt: skip
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Requests().feed(data)


@given(st.lists(st.binary(max_size=1000), max_size=5), st.integers(0, len(REGISTER)), st.binary(max_size=4))
def test_any_bytes_are_requests_or_a_protocol_error(chunks: list[bytes], at: int, change: bytes) -> None:
    requests = Requests()
    try:
        for chunk in [REGISTER[:at] + change + REGISTER[at + len(change) :], *chunks]:
            requests.feed(chunk)
    except ProtocolError as error:
        assert str(error)


def test_an_application_outlives_rmd_and_is_not_waited_for_when_that_is_replaced() -> None:
    world = World()
    world.order(Expect(module="cib", pid=5, deadline_ms=1000))
    world.order(
        ExpectProgram(module="player", pid=6, main_pid=6, access="main", start_deadline_ms=0, watchdog_ms=0)
    )
    world.step(Received(DEMO, Register(name="demo", instance="one", pid=DEMO.pid, uid=DEMO.uid, gid=DEMO.gid)))
    world.step(Lost(RMD))
    [request] = world.requests()
    assert isinstance(request, ReplaceRmd) and request.workers == (5, 6)


# Of a former apphbd --------------------------------------------------------------------------------------------------

KEPT = Registration(name="demo", instance="one", pid=4711, uid=0, gid=0, interval_ms=1000, warntime_ms=0, reset=False)
LIFE = "life 4711 demo/one"


def successor(*kept: Registration) -> Applications:
    world = subscribed()
    world.step(Finished("registrations", kept))
    return world


def test_what_there_is_is_kept_for_a_successor() -> None:
    world = subscribed()
    world.register()
    world.say(AppInterval(interval_ms=1000))
    assert not world.kept
    world.run_to(SAVE_DELAY_MS)
    assert list(world.kept) == [KEPT]
    world.say(AppUnregister())
    world.run_to(2 * SAVE_DELAY_MS)
    assert not world.kept


def test_of_a_former_apphbds_application_the_end_alone_is_a_failure() -> None:
    world = successor(KEPT)
    assert (0, Execute(LIFE, AwaitEnd(4711, 0))) in world.effects
    world.run_to(100_000)
    assert world.events() == []
    assert list(world.kept) == [KEPT]  # should this apphbd be replaced too
    world.step(Finished(LIFE, Ended()))
    assert world.events() == [(100_000, "HUP", False)]
    world.run_to(101_000)
    assert not world.kept


def test_one_that_registers_again_is_watched_as_before() -> None:
    world = successor(KEPT)
    assert world.register() == 0
    world.say(AppInterval(interval_ms=1000))
    world.step(Finished(LIFE, Ended()))
    assert world.events() == []
    world.step(Lost(DEMO))
    assert world.events() == [(0, "HUP", False)]


def test_the_place_of_one_that_is_awaited_is_nobody_elses() -> None:
    world = successor(KEPT)
    assert world.register(Client("apphb", -2, 33, 33, 4711)) == errno.EEXIST
    assert world.register(Client("apphb", -3, 0, 0, 4712)) == 0


def test_one_that_wanted_the_node_reset_still_does() -> None:
    world = successor(msgspec.structs.replace(KEPT, reset=True))
    world.step(Finished(LIFE, Ended()))
    assert world.events() == [(0, "HUP", True)]


def test_an_orderly_stop_of_the_node_leaves_nothing_to_its_next_start() -> None:
    world = World()
    world.order(ShuttingDown())
    world.kept = (KEPT,)
    world.step(Stopping())
    assert not world.kept


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[{}]", b"[1]", b'[{"name": 1}]', b"[" * 10_000, b" " * (MAX_FILE_BYTES + 1)]
)
def test_a_file_of_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(RegistrationsError):
        decode(data)


def test_registrations_are_read_as_they_were_written() -> None:
    assert decode(encode_registrations((KEPT,))) == (KEPT,)


@pytest.mark.parametrize(
    "request_",
    [
        Register(name="a", instance="n\xe4chtlich", pid=1, uid=2, gid=3),
        AppInterval(interval_ms=5), AppWarn(warntime_ms=6), AppBoot(reset=True), AppBeat(), AppUnregister(),
    ],
)  # fmt: skip
def test_a_request_is_understood_as_it_was_said(request_: Register) -> None:
    assert Requests().feed(encode(request_)) == [request_]


def test_an_answer_is_understood_and_garbage_is_none() -> None:
    assert error_of(answer(errno.EPERM)) == errno.EPERM
    with pytest.raises(ProtocolError):
        error_of(bytes(12))
