# SPDX-License-Identifier: GPL-2.0-or-later
"""Runners as real processes, without a worker around them."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ha.runner.model import End, Holder, Job
from ha.runner.runners import FORK_PATIENCE_MS, FORK_STRIKES, OnEnd, Runners
from ha.runner.server import ForkServer
from ha.runner.spool import Spool
from tests.unit.runner.watching import Waiter


class Bench:
    """A worker's side, and a second one that takes over after the first was "killed"."""

    def __init__(self, directory: Path) -> None:
        self.spool = Spool(directory)
        self.waiter = Waiter()
        self.server = ForkServer.start(self.spool, "ha-runners test")
        self.runners = Runners(self.spool, self.server, self.waiter)
        self.ends: dict[str, End] = {}
        self.serial = 0

    def start(self, script: str, timeout_ms: int = 10_000, **more: object) -> str:
        self.serial += 1
        argv = more.pop("argv", ("/bin/sh", "-c", script))
        job = Job(id=f"j{self.serial}", argv=argv, timeout_ms=timeout_ms, **more)  # type: ignore[arg-type]
        self.runners.start(job, self.note(job.id))
        return job.id

    def note(self, job_id: str) -> OnEnd:
        def on_end(end: End) -> None:
            assert job_id not in self.ends, "one end for each job"
            self.ends[job_id] = end

        return on_end

    def end_of(self, job_id: str) -> End:
        self.waiter.until(lambda: job_id in self.ends)
        return self.ends[job_id]

    def run(self, script: str, **more: object) -> End:
        return self.end_of(self.start(script, **more))  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "spool")
    yield bench
    bench.runners.close()


def test_exit_codes_output_and_input(bench: Bench) -> None:
    end = bench.run("cat; echo err >&2; exit 3", stdin=b"hello", environment={"A": "b"})
    assert (end.fate, end.code, end.stdout, end.stderr) == ("exited", 3, b"hello", b"err\n")
    assert end.started_ms > 0
    assert bench.run("kill -TERM $$").fate == "signalled"
    large = os.urandom(300_000)
    assert bench.run("wc -c", stdin=large).stdout.strip() == b"300000"


@pytest.mark.parametrize(
    ("argv", "code"),
    [(("/nonexistent",), errno.ENOENT), (("/etc/passwd",), errno.EACCES), (("/bin/true", "a\0b"), errno.EINVAL)],
)
def test_what_cannot_be_executed(bench: Bench, argv: tuple[str, ...], code: int) -> None:
    end = bench.run("", argv=argv)
    assert (end.fate, end.code) == ("not started", code)


def test_too_large_an_environment(bench: Bench) -> None:
    end = bench.run("true", environment={"X": "x" * 3_000_000})
    assert (end.fate, end.code) == ("not started", errno.E2BIG)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run an agent as somebody else")
def test_an_agent_of_another_user(bench: Bench) -> None:
    script = "id -u; id -G; ls /proc/self/fd | wc -l; echo $A; kill -TERM $$"
    plain = bench.run(script, environment={"A": "b", "PATH": os.environ["PATH"]})
    end = bench.run(script, environment={"A": "b", "PATH": os.environ["PATH"]}, owner=(65534, 65533))
    uid, groups, *rest = end.stdout.split()
    assert (uid, groups, rest) == (b"65534", b"65533", plain.stdout.split()[-2:])
    assert (end.fate, end.code) == ("signalled", signal.SIGTERM), "what the runner ignores the agent does not"
    assert bench.run("", argv=("/nowhere",), owner=(65534, 65533)).code == errno.ENOENT
    assert bench.run("sleep 60", timeout_ms=200, owner=(65534, 65533)).fate == "timeout"


def test_the_beginning_of_the_output_and_the_end_of_the_errors_are_kept(bench: Bench) -> None:
    end = bench.run("seq 1 1000; seq 1 1000 >&2", max_stdout_bytes=10, max_stderr_bytes=9)
    assert end.stdout == b"1\n2\n3\n4\n5\n"
    assert end.stderr == b"999\n1000\n"
    assert end.dropped_bytes == 2 * 3_893 - 19


def test_sigterm_first_when_there_is_a_grace(bench: Bench) -> None:
    script = 'trap "echo bye; exit 0" TERM; while :; do sleep 0.01; done'
    assert bench.run(script, timeout_ms=100, term_grace_ms=5_000).stdout == b"bye\n"
    assert bench.run(script, timeout_ms=100).stdout == b""
    end = bench.run('trap "" TERM; while :; do sleep 0.01; done', timeout_ms=100, term_grace_ms=100)
    assert end.fate == "timeout"
    assert end.exec_ms >= 200


def test_a_child_that_holds_the_pipe_does_not_hold_the_end(bench: Bench) -> None:
    end = bench.run("sleep 100 & echo $!; exit 0")
    assert (end.fate, end.code) == ("exited", 0)
    os.kill(int(end.stdout), signal.SIGKILL)


def test_a_hundred_at_once(bench: Bench) -> None:
    jobs = [bench.start(f"echo {n}") for n in range(100)]
    assert [int(bench.end_of(job).stdout) for job in jobs] == list(range(100))


def test_kill(bench: Bench, tmp_path: Path) -> None:
    job = bench.start(f"echo $$ >{tmp_path}/pid; sleep 1000")
    bench.waiter.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    bench.runners.kill(job)
    assert bench.end_of(job).fate == "lost"
    pid = int((tmp_path / "pid").read_text())
    bench.waiter.until(lambda: is_dead(pid))


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_a_stuck_fork_server_is_killed_and_ends_the_worker(bench: Bench, tmp_path: Path) -> None:
    os.kill(bench.server.pid, signal.SIGSTOP)
    job = bench.start(f"echo ran >>{tmp_path}/ran")
    with pytest.raises(ChildProcessError, match="stuck"):
        bench.end_of(job)
    os.waitid(os.P_PID, bench.server.pid, os.WEXITED | os.WNOWAIT)
    other = successor(bench)
    other.await_end(job, bench.note(job))
    assert bench.ends[job].fate == "revoked"
    assert not (tmp_path / "ran").exists()


class SlowServer:
    """In the fork server's place: it refuses each job, when the test says so."""

    def __init__(self) -> None:
        self.socket, self._other = socket.socketpair()
        self.asked: list[str] = []
        self.answers: list[tuple[str, int, int]] = []
        self.killed = False

    def request(self, job_id: str) -> None:
        self.asked.append(job_id)

    def answer(self) -> tuple[str, int, int] | None:
        return self.answers.pop(0) if self.answers else None

    def kill(self) -> None:
        self.killed = True


class Hours:
    """A watcher whose time the test lets pass."""

    def __init__(self) -> None:
        self.time_ms = 0
        self.calls: list[tuple[int, Callable[[], None]]] = []
        self.readable: Callable[[], None] = lambda: None

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        self.readable = on_readable

    def now(self) -> int:
        return self.time_ms

    def call_at(self, deadline: int, call: Callable[[], None]) -> None:
        self.calls.append((deadline, call))

    def advance(self, duration_ms: int) -> None:
        self.time_ms += duration_ms
        due = [call for deadline, call in self.calls if deadline <= self.time_ms]
        self.calls = [entry for entry in self.calls if entry[0] > self.time_ms]
        for call in due:
            call()


def test_a_fork_server_that_is_slow_but_at_work_is_not_stuck(tmp_path: Path) -> None:
    server, hours = SlowServer(), Hours()
    runners = Runners(Spool(tmp_path / "spool"), server, hours)  # type: ignore[arg-type]
    ends: list[str] = []
    for number in range(5):
        job = Job(id=f"j{number}", argv=("/bin/true",), timeout_ms=1_000)
        runners.start(job, lambda end: ends.append(end.fate))
    for job_id in server.asked[:4]:
        hours.advance(FORK_PATIENCE_MS)
        server.answers.append((job_id, -1, errno.EAGAIN))
        hours.readable()
    assert ends == ["not started"] * 4
    assert not server.killed
    with pytest.raises(ChildProcessError, match="no runner for j4"):
        for _ in range(FORK_STRIKES + 1):
            hours.advance(FORK_PATIENCE_MS)
    assert server.killed


# Adoption ------------------------------------------------------------------------------------------------------------


def successor(bench: Bench) -> Runners:
    """Another worker's side on the same spool, as after a restart; the first one's looks no longer."""
    bench.runners.close()
    bench.ends.clear()
    bench.runners = Runners(bench.spool, ForkServer.start(bench.spool, "ha-runners test 2"), bench.waiter)
    return bench.runners


def test_a_job_that_no_runner_has_taken_is_revoked_for_ever(bench: Bench, tmp_path: Path) -> None:
    job = Job(id="late", argv=("/bin/sh", "-c", f"echo ran >{tmp_path}/ran"), timeout_ms=1_000)
    bench.spool.write_job(job)
    bench.runners.await_end("late", bench.note("late"))
    assert bench.ends["late"].fate == "revoked"
    # The runner comes now, too late.
    bench.server.request("late")
    bench.waiter.unwatch(bench.server.socket.fileno())
    answers = []
    bench.waiter.watch(bench.server.socket.fileno(), lambda: answers.append(bench.server.answer()))
    bench.waiter.until(lambda: answers)
    _, pidfd, _ = answers[0]
    gone: list[bool] = []
    bench.waiter.watch(pidfd, lambda: gone.append(True))
    bench.waiter.until(lambda: gone)
    bench.waiter.unwatch(pidfd)
    os.close(pidfd)
    assert not (tmp_path / "ran").exists()


def test_a_running_job_is_taken_over(bench: Bench, tmp_path: Path) -> None:
    job = bench.start(f"while [ ! -e {tmp_path}/gate ]; do sleep 0.01; done; echo done")
    bench.waiter.until(lambda: bench.spool.claimant(job))
    other = successor(bench)
    other.await_end(job, bench.note(job))
    assert job not in bench.ends
    (tmp_path / "gate").touch()
    assert bench.end_of(job).stdout == b"done\n"
    other.drop(job)
    assert bench.spool.jobs() == []


def test_a_claimant_that_is_gone_means_a_lost_job(bench: Bench) -> None:
    bench.spool.write_job(Job(id="x", argv=("/bin/true",), timeout_ms=1))
    bench.spool.claim("x", Holder(os.getpid(), 1))  # this process, but not of that start time
    bench.runners.await_end("x", bench.note("x"))
    assert bench.ends["x"].fate == "lost"


def test_a_damaged_result_is_a_lost_job(bench: Bench) -> None:
    bench.spool.write_job(Job(id="x", argv=("/bin/true",), timeout_ms=1))
    bench.spool.claim("x", Holder(2**22 + 1, 1))
    (bench.spool.directory / "x.result").write_bytes(b"\xc1")
    bench.runners.await_end("x", bench.note("x"))
    assert bench.ends["x"].fate == "lost"
    assert b"x.result" in bench.ends["x"].stderr


def test_a_stranger_with_the_pid_of_a_former_runner_is_not_killed(bench: Bench) -> None:
    bench.spool.write_job(Job(id="x", argv=("/bin/true",), timeout_ms=1))
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        bench.spool.claim("x", Holder(stranger.pid, 1))  # a session of that number, but led by a later process
        bench.runners.await_end("x", bench.note("x"))
        assert bench.ends["x"].fate == "lost"
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("pid", [0, -7])
def test_a_claim_that_names_no_process_means_a_lost_job(bench: Bench, pid: int) -> None:
    bench.spool.write_job(Job(id="x", argv=("/bin/true",), timeout_ms=1))
    bench.spool.claim("x", Holder(pid, 1))  # pid 0: as seen from a session whose leader is outside the container
    bench.runners.await_end("x", bench.note("x"))
    assert bench.ends["x"].fate == "lost"
