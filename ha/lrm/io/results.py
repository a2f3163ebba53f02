# SPDX-License-Identifier: GPL-2.0-or-later
"""From the end of a process to the result of an operation."""

from __future__ import annotations

import errno
import os
import signal

from ha.lrm.model import codes
from ha.lrm.model.classes import MAX_OUTPUT_LENGTH, clean, exit_reason, ocf_code
from ha.lrm.model.execution import AgentResult
from ha.runner.model import End

EXEC_ERRORS = {
    errno.ENOENT: (codes.ERR_INSTALLED, "not installed"),
    errno.ENOTDIR: (codes.ERR_INSTALLED, "not installed"),
    errno.EACCES: (codes.ERR_PERM, "error"),
    errno.EPERM: (codes.ERR_PERM, "error"),
    errno.EINVAL: (codes.ERR_ARGS, "invalid"),
    errno.E2BIG: (codes.ERR_ARGS, "invalid"),
}
"""What a failed exec means; any other errno is a soft error. Source: as Pacemaker's executor maps them."""


def agent_result(agent_class: str, operation: str, end: End) -> AgentResult:
    """`agent_class` is one that runs agents: ocf, lsb or heartbeat."""
    stdout = end.stdout.decode("utf-8", "replace")
    stderr = end.stderr.decode("utf-8", "replace")
    rc, status, reason = _fate(agent_class, operation, end, stdout)
    return AgentResult(
        rc=rc,
        status=status,  # type: ignore[arg-type]
        exit_reason=exit_reason(stderr) or reason,
        output=clean(stdout + stderr, MAX_OUTPUT_LENGTH),
        started_ms=end.started_ms,
        exec_ms=end.exec_ms,
        revoked=end.fate == "revoked",
    )


def _fate(agent_class: str, operation: str, end: End, stdout: str) -> tuple[int, str, str]:
    match end.fate:
        case "exited":
            return ocf_code(agent_class, operation, end.code, stdout), "done", ""
        case "signalled":
            return codes.ERR_GENERIC, "error", f"the agent was ended by {signal.Signals(end.code).name}"
        case "timeout":
            return codes.ERR_GENERIC, "timeout", f"{operation} did not end within {end.exec_ms} ms"
        case "not started":
            rc, status = EXEC_ERRORS.get(end.code, (codes.ERR_GENERIC, "error"))
            return rc, status, f"the agent cannot be executed: {os.strerror(end.code)}"
        case "lost":
            return codes.ERR_GENERIC, "error", "the agent's runner died; the agent was killed"
        case "revoked":
            return codes.ERR_GENERIC, "cancelled", ""
