# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell as real processes: links, durable state, timers, programs, strangers, hang-ups."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.crm.msg import GetState, ShutdownNode, State
from ha.ipc import codec
from ha.ipc.client import Connection, NotConnected
from ha.ipc.frames import frame
from ha.ipc.hello import PROTOCOL, Hello
from ha.ipc.limits import MAX_FRAME_BYTES
from ha.root import Root
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real


@pytest.fixture
def root(short_path: Path) -> Root:
    root = Root.choose(short_path / "n1")
    root.config_dir.mkdir(parents=True)
    (root.config_dir / "nodeinfo").write_text("n1\n")
    return root


@contextlib.contextmanager
def running(root: Root, worker: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ha.shell", f"tests.real.toys:{worker}", "--root", root.prefix],
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def ask(root: Root) -> State:
    def connected() -> Connection | None:
        with contextlib.suppress(NotConnected):
            return Connection.open(root, "crmd", program="test")
        return None

    with wait_for(connected, "the toy crmd answers") as link:
        answer = link.ask(GetState(request_id=link.new_request_id()), timeout_ms=10_000)
    assert isinstance(answer, State)
    return answer


def test_workers_find_each_other_and_a_program_gets_the_answer(root: Root) -> None:
    with running(root, "crmd"), running(root, "pengine"):
        assert ask(root).fsm == "<graph request='7'/>"


def test_a_restarted_worker_is_linked_again_and_has_its_durable_state(root: Root) -> None:
    with running(root, "pengine"):
        with running(root, "crmd"):
            assert ask(root).node == "1"
        with running(root, "crmd"):
            assert ask(root).node == "2"


def test_timers_fire(root: Root) -> None:
    with running(root, "crmd"), running(root, "pengine"):
        wait_for(lambda: ask(root).transition_id >= 3, "the timer has fired three times")


def test_sigterm_ends_a_worker_in_good_order(root: Root) -> None:
    with running(root, "crmd") as process, running(root, "pengine"):
        ask(root)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not root.socket("crmd").exists()


def test_a_broken_invariant_ends_the_worker(root: Root) -> None:
    with running(root, "crmd") as process, running(root, "pengine"):
        ask(root)
        with Connection.open(root, "crmd", program="test") as link, pytest.raises(NotConnected):
            link.ask(ShutdownNode(request_id="x"), timeout_ms=10_000)
        assert process.wait(10) == 1


def raw(root: Root) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(str(root.socket("crmd")))  # blocking: waits for its turn when many have come before
    stream.settimeout(10)
    return stream


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        frame(os.urandom(2000), 4096),
        frame(codec.encode(Hello(protocol=PROTOCOL, kind="worker", name="cib")), 4096),
        frame(codec.encode(Hello(protocol=PROTOCOL + 1, kind="program", name="newer")), 4096),
        frame(codec.encode(GetState(request_id="no hello before")), 4096),
        (MAX_FRAME_BYTES).to_bytes(4, "big") + b"x" * 100_000,
    ],
    ids=["http", "ff", "noise", "not in the table of links", "protocol", "no hello", "a giant"],
)
def test_a_stranger_is_shown_the_door_and_the_worker_lives_on(root: Root, said: bytes) -> None:
    with running(root, "crmd") as process, running(root, "pengine"):
        ask(root)
        with raw(root) as stream:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                stream.sendall(said)
            with contextlib.suppress(ConnectionResetError):
                while stream.recv(4096):
                    pass
        assert ask(root).fsm
        assert process.poll() is None


def test_programs_that_hang_up_right_after_their_hello_do_no_harm(root: Root) -> None:
    hello = frame(codec.encode(Hello(protocol=PROTOCOL, kind="program", name="hasty")), 4096)
    with running(root, "crmd") as process, running(root, "pengine"):
        ask(root)
        for _ in range(300):
            with raw(root) as stream:
                stream.sendall(hello)
        assert ask(root).fsm
        assert process.poll() is None


def test_a_program_that_asks_nobody_running_is_told_so(root: Root) -> None:
    with pytest.raises(NotConnected, match="not running"):
        Connection.open(root, "crmd", program="test")
