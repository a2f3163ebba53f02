# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner: starts one agent, bounds its time and its output, writes how it ended. It lives for one job.

It is forked by the fork server and never returns from `run`. It leads a session of its own, in which the agent is, and
ignores the polite signals: only SIGKILL ends it, and then whoever finds its claim without a result kills the session.

What an agent leaves behind in the background belongs to the resource and is let alone, unless the agent timed out.
Such a process may hold the agent's standard output open: the job ends with the agent, not with its pipes.

Source for the agent's surroundings: OCF Resource Agent API 1.1; Pacemaker's executor as measured (agents.md).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import NoReturn

import setproctitle

from ha.runner.model import End, Fate, Holder, Job
from ha.runner.spool import Spool

READ_BYTES = 65_536
MAX_STAT_BYTES = 4_096
MAX_LAST_READS = 16
"""Reads of what is left in a pipe after the agent's end; a background child may go on writing for ever."""
KILL_WAIT_MS = 1_000
"""How long a killed agent may take to disappear before the end is reported without it (uninterruptible sleep)."""
IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
DEFAULT_SIGNALS = (*IGNORED_SIGNALS, signal.SIGXFSZ)
"""For the agent. What is ignored stays so over exec: a shell would then never learn that its pipe is closed."""


@dataclass(slots=True)
class Capture:
    """Bounded output: the first `limit` bytes, or the last when `keep_end`."""

    limit: int
    keep_end: bool
    kept: bytearray = field(default_factory=bytearray)
    dropped_bytes: int = 0

    def add(self, data: bytes) -> None:
        self.kept += data
        excess = len(self.kept) - self.limit
        if excess > 0:
            self.dropped_bytes += excess
            if self.keep_end:
                del self.kept[:excess]
            else:
                del self.kept[self.limit :]
        assert len(self.kept) <= self.limit


@dataclass(frozen=True, slots=True)
class Child:
    """A started agent, and our ends of its pipes."""

    pid: int
    pidfd: int
    stdout: int
    stderr: int


def boottime_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def start_ticks(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot (proc(5)); None when there is no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def has_ended(pidfd: int) -> bool:
    """Whether the process is gone, or a zombie."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _stat(pid: int | str) -> list[bytes]:
    """The fields of /proc/PID/stat from the third, the state, on; none when there is no such process."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        # The second field, the command in parentheses, may itself hold blanks and parentheses.
        return os.read(descriptor, MAX_STAT_BYTES).rpartition(b")")[2].split()
    except ProcessLookupError:
        return []
    finally:
        os.close(descriptor)


def kill_session(leader: Holder) -> None:
    """SIGKILL what is left of the session that `leader`, dead by now, led: agents without their runner.

    The kernel does not give a pid away while it names a session. Should there be a process of that number with
    another start time, then the session had ended, and this is a stranger's.
    """
    if start_ticks(leader.pid) not in (None, leader.start_ticks):
        return
    for entry in os.listdir("/proc"):
        fields = _stat(entry) if entry.isdigit() else []
        if fields and int(fields[3]) == leader.pid and int(fields[19]) >= leader.start_ticks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry), signal.SIGKILL)


def run(spool: Spool, job_id: str) -> NoReturn:
    """Be the runner of `job_id`, in a process forked for it. Exit codes tell tests only; the spool tells the worker."""
    os.setsid()
    for name in IGNORED_SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    own_ticks = start_ticks(os.getpid())
    assert own_ticks is not None
    if not spool.claim(job_id, Holder(os.getpid(), own_ticks)):
        os._exit(1)
    job = spool.read_job(job_id)
    os.umask(0o022)
    os.chdir("/")
    if job.cgroup:
        _join(job.cgroup)
    spool.write_result(job_id, call(job))
    os._exit(0)


def _join(cgroup: str) -> None:
    """Before the agent is started, so that none of its children can escape. An agent without a group is a lesser evil
    than a service that is not started: that is said, and goes on."""
    try:
        descriptor = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)
    except OSError as error:
        os.write(2, f"the control group {cgroup} cannot be joined: {error.strerror}\n".encode())


def call(job: Job) -> End:
    """Run the agent to its end."""
    started_ms = boottime_ms()
    try:
        child = _start(job)
    except OSError as error:
        return End(fate="not started", code=error.errno or errno.EIO, started_ms=started_ms)
    except ValueError:  # a NUL in an argument or in the environment
        return End(fate="not started", code=errno.EINVAL, started_ms=started_ms)
    setproctitle.setproctitle(job.title or f"ha-runner {job.id}")
    stdout = Capture(job.max_stdout_bytes, keep_end=False)
    stderr = Capture(job.max_stderr_bytes, keep_end=True)
    timed_out = not _attend(child, job, stdout, stderr)
    fate, code = _reap(child, timed_out)
    return End(
        fate=fate,
        code=code,
        stdout=bytes(stdout.kept),
        stderr=bytes(stderr.kept),
        dropped_bytes=stdout.dropped_bytes + stderr.dropped_bytes,
        started_ms=started_ms,
        exec_ms=boottime_ms() - started_ms,
    )


def _start(job: Job) -> Child:
    """Start the agent: own process group, the given input, pipes for output. Raises OSError when it cannot be executed.

    posix_spawn shares our memory until the exec instead of copying the interpreter's: a quarter of fork's time.
    """
    stdin = _input(job.stdin)
    stdout, stdout_end = os.pipe()
    stderr, stderr_end = os.pipe()
    os.set_blocking(stdout, False)
    os.set_blocking(stderr, False)
    if job.owner is not None:
        pid = _start_as(job, job.owner, stdin, stdout_end, stderr_end)
    else:
        pid = os.posix_spawn(
            job.argv[0],
            list(job.argv),
            dict(job.environment),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, end, target) for target, end in enumerate((stdin, stdout_end, stderr_end))
            ],
            setpgroup=0,
            setsigmask=(),
            setsigdef=DEFAULT_SIGNALS,
        )
    for used in (stdin, stdout_end, stderr_end):
        os.close(used)
    return Child(pid, os.pidfd_open(pid), stdout, stderr)


def _start_as(job: Job, owner: tuple[int, int], stdin: int, stdout: int, stderr: int) -> int:
    """As another user, which posix_spawn cannot. The runner has one thread, so that code may run before the exec."""

    def defaults() -> None:
        for name in DEFAULT_SIGNALS:
            signal.signal(name, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    uid, gid = owner
    child = subprocess.Popen(
        job.argv, env=job.environment, stdin=stdin, stdout=stdout, stderr=stderr, user=uid, group=gid, extra_groups=(),
        process_group=0, preexec_fn=defaults,  # noqa: PLW1509
    )  # fmt: skip
    child.returncode = 0  # the runner reaps it itself
    return child.pid


def _input(data: bytes) -> int:
    """A descriptor that reads `data` and then its end, without anyone having to feed a pipe."""
    if not data:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("agent-stdin", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _attend(child: Child, job: Job, stdout: Capture, stderr: Capture) -> bool:
    """Read what the agent says until it ends; False when it had to be killed for its time."""
    if _watch(child, job.timeout_ms, stdout, stderr):
        return True
    if job.term_grace_ms > 0:
        kill_group(child.pid, signal.SIGTERM)
        _watch(child, job.term_grace_ms, stdout, stderr)
    kill_group(child.pid, signal.SIGKILL)
    _watch(child, KILL_WAIT_MS, stdout, stderr)
    return False


def _watch(child: Child, limit_ms: int, stdout: Capture, stderr: Capture) -> bool:
    """Gather output for at most `limit_ms`; True once the agent has ended."""
    deadline_ms = boottime_ms() + limit_ms
    captures = {child.stdout: stdout, child.stderr: stderr}
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    for descriptor in captures:
        poll.register(descriptor, select.POLLIN)
    while True:
        left_ms = deadline_ms - boottime_ms()
        if left_ms <= 0:
            return False
        ready = dict(poll.poll(left_ms))
        for descriptor in sorted(captures.keys() & ready.keys()):
            if not _read_once(descriptor, captures[descriptor]):
                poll.unregister(descriptor)
                del captures[descriptor]
        if child.pidfd in ready:
            for descriptor, capture in sorted(captures.items()):
                _read_rest(descriptor, capture)
            return True


def _read_once(descriptor: int, capture: Capture) -> bool:
    """False at the end of the pipe."""
    try:
        data = os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return True
    capture.add(data)
    return bool(data)


def _read_rest(descriptor: int, capture: Capture) -> None:
    for _ in range(MAX_LAST_READS):
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            return
        capture.add(data)


def _reap(child: Child, timed_out: bool) -> tuple[Fate, int]:
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if timed_out:
        return "timeout", 0
    assert pid == child.pid
    if os.WIFSIGNALED(status):
        return "signalled", os.WTERMSIG(status)
    return "exited", os.WEXITSTATUS(status)


def kill_group(group: int, signum: int) -> None:
    """Signal a process group; that it is gone already is what was wanted."""
    assert group > 1
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signum)
