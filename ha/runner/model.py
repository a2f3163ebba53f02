# SPDX-License-Identifier: GPL-2.0-or-later
"""What a runner is given, and what it leaves behind."""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_JOB_BYTES = 4_000_000
MAX_RESULT_BYTES = 8_000_000
MAX_OUTPUT_BYTES = 65_536
"""What is kept of an agent's standard output (its beginning) and standard error (its end) unless the job says more."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an agent.

    At `timeout_ms` the agent's process group gets SIGTERM and `term_grace_ms` later SIGKILL; with a grace of 0 it gets
    SIGKILL at once, as the OCF API asks. `environment` is the whole of it. `stdin` is the agent's standard input.
    `ticket` is the orderer's own, handed back on adoption. `title` is what `ps` shows. `owner`: the (uid, gid) that the
    agent runs as, with no further groups; None: the runner's.
    `cgroup`: the directory of the control group (v2) that the runner, and with it the agent and all its children, join;
    "" for none.
    """

    id: str
    argv: tuple[str, ...]
    environment: dict[str, str] = {}
    stdin: bytes = b""
    timeout_ms: int
    term_grace_ms: int = 0
    max_stdout_bytes: int = MAX_OUTPUT_BYTES
    max_stderr_bytes: int = MAX_OUTPUT_BYTES
    ticket: bytes = b""
    title: str = ""
    owner: tuple[int, int] | None = None
    cgroup: str = ""


Fate = Literal["exited", "signalled", "timeout", "not started", "lost", "revoked"]


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended.

    exited: `code` is the exit code. signalled: `code` is the signal. timeout: the group was killed. not started:
    `code` is the errno of exec or fork. lost: the runner died without a result; the agent's group was killed.
    revoked: no runner had begun it, and none will. `stdout` is the beginning of the output, `stderr` the end;
    `dropped_bytes` were read and thrown away. `started_ms` is CLOCK_BOOTTIME, `exec_ms` a duration.
    """

    fate: Fate
    code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    dropped_bytes: int = 0
    started_ms: int = 0
    exec_ms: int = 0


class Holder(msgspec.Struct, frozen=True):
    """A process beyond doubt: its id and its start time in clock ticks since boot (proc(5), stat field 22)."""

    pid: int
    start_ticks: int
