# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes of a resource: who they are, what they do when a stop has failed, and their end.

A process belongs to the resource when it is in the resource's control group, or when its environment carries the marks
that the resource's agent was started with (HA_RESOURCE, HA_CURHOST, HA_ROOT): children inherit both. A daemon that
cleans its environment, on a node without control groups, is not found.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from urllib.parse import quote

from ha.lrm.io.cgroups import Cgroups
from ha.lrm.model.execution import EvidenceKept, GatherEvidence, KillProcesses, ProcessesKilled
from ha.root import Root

MARK = "HA_RESOURCE"
MAX_ENVIRONMENT_BYTES = 262_144
MAX_EVIDENCE_FILES = 20
MAX_EVIDENCE_BYTES = 262_144
MAX_DESCRIBED = 200
KILL_WAIT_MS = 2_000
FILES = ("status", "wchan", "stack", "cgroup")
PRIVATE_MODE = 0o600


class Members:
    """Its methods run in a thread: /proc may be slow when a machine is in trouble."""

    def __init__(self, root: Root, node: str, cgroups: Cgroups) -> None:
        self._root = root
        self._node = node
        self._cgroups = cgroups

    def of(self, resource_id: str) -> set[int]:
        marks = self._marks(resource_id)
        found = self._cgroups.members(resource_id)
        for entry in os.listdir("/proc"):
            if entry.isdigit() and _carries(int(entry), marks):
                found.add(int(entry))
        alive = {pid for pid in found if _state(pid) not in ("", "Z", "X")}
        return alive - {1, os.getpid()}

    def _marks(self, resource_id: str) -> set[bytes]:
        marks = {f"{MARK}={resource_id}".encode(), f"HA_CURHOST={self._node}".encode()}
        if self._root.prefix:
            marks.add(f"HA_ROOT={self._root.prefix}".encode())
        return marks

    def gather(self, request: GatherEvidence) -> EvidenceKept:
        """Write down what the resource's processes do, and what the machine cannot interrupt. Raises OSError."""
        members = sorted(self.of(request.resource_id))
        parts = [request.text, f"{len(members)} processes of {request.resource_id}: {members}"]
        parts += [_describe(pid) for pid in members[:MAX_DESCRIBED]]
        stuck = [int(e) for e in os.listdir("/proc") if e.isdigit() and _state(int(e)) == "D" and int(e) not in members]
        parts += ["other processes in uninterruptible sleep:", *(_describe(pid) for pid in stuck[:MAX_DESCRIBED])]
        directory = self._root.state_dir / "evidence"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        resource = quote(request.resource_id, safe="")[:100]
        name = f"stop-{resource}-{stamp}-{time.time_ns() % 10**9}.txt"
        path = directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as stream:
            stream.write("\n\n".join(parts)[:MAX_EVIDENCE_BYTES] + "\n")
        for old in sorted(directory.glob("stop-*.txt"), key=lambda p: p.stat().st_mtime_ns)[:-MAX_EVIDENCE_FILES]:
            old.unlink(missing_ok=True)
        return EvidenceKept(path=str(path), members=len(members))

    def kill(self, request: KillProcesses) -> ProcessesKilled:
        """SIGKILL to the resource's processes, and to those that they fork meanwhile, until none is left."""
        killed: set[int] = set()
        deadline = time.monotonic() + KILL_WAIT_MS / 1000
        while (members := self.of(request.resource_id)) and time.monotonic() < deadline:
            self._cgroups.kill(request.resource_id)
            for pid in members:
                self._kill(pid, request.resource_id, deadline)
            killed |= members
        return ProcessesKilled(killed=len(killed), left=len(members))

    def _kill(self, pid: int, resource_id: str, deadline: float) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            # Looked at once more, now that nobody else can get the number.
            if pid in self._cgroups.members(resource_id) or _carries(pid, self._marks(resource_id)):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.poll(max(0, (deadline - time.monotonic()) * 1000))
        except ProcessLookupError:
            return
        finally:
            os.close(pidfd)


def _carries(pid: int, marks: set[bytes]) -> bool:
    return marks <= set(_read(f"/proc/{pid}/environ", MAX_ENVIRONMENT_BYTES).split(b"\0"))


def _describe(pid: int) -> str:
    command = _read(f"/proc/{pid}/cmdline", 4_096).replace(b"\0", b" ").decode("utf-8", "replace")
    lines = [f"--- process {pid}: {command}"]
    for name in FILES:
        text = _read(f"/proc/{pid}/{name}", 4_096).decode("utf-8", "replace").strip()
        lines.append(f"{name}: {text}")
    return "\n".join(lines)


def _state(pid: int) -> str:
    fields = _read(f"/proc/{pid}/stat", 4_096).rpartition(b")")[2].split()
    return fields[0].decode("ascii") if fields else ""


def _read(path: str, limit: int) -> bytes:
    """What can be read of it; nothing of a process that is gone or not ours to see."""
    try:
        with open(Path(path), "rb", buffering=0) as stream:
            parts = []
            while limit > 0 and (part := stream.read(limit)):
                parts.append(part)
                limit -= len(part)
            return b"".join(parts)
    except OSError:
        return b""
