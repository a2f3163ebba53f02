# SPDX-License-Identifier: GPL-2.0-or-later
"""The power supply of a playground's nodes. Off is what a pulled plug is: SIGKILL to every process, memory gone."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from ha.cli.playground.layout import Layout
from ha.root import Root

MAX_SWEEPS = 100
"""Rounds of stopping all processes until no new one appears; each round halves what can still fork."""


def parents() -> dict[int, int]:
    """pid -> parent of every living process on the machine (proc(5)); zombies are dead."""
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                found[int(entry)] = int(parent)
    return found


def family(ancestor: int) -> list[int]:
    """The process and all its living descendants, parents before children."""
    parent_of = parents()
    if ancestor not in parent_of:
        return []
    children: dict[int, list[int]] = {}
    for pid, parent in sorted(parent_of.items()):
        children.setdefault(parent, []).append(pid)
    members = [ancestor]
    for pid in members:
        members.extend(children.get(pid, ()))
    return members


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class PowerSupply:
    """Nodes are children of the process that holds this object (the hub), which must be a subreaper."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._inits: dict[str, subprocess.Popen[bytes]] = {}
        self.frozen: set[str] = set()

    def is_on(self, node: str) -> bool:
        init = self._inits.get(node)
        return init is not None and init.poll() is None

    def on(self, node: str) -> None:
        if self.is_on(node):
            return
        root = self._layout.root(node)
        root.log_dir.mkdir(parents=True, exist_ok=True)
        # Each power-on is a boot of its own, though the machine's kernel stays the same.
        (root.run_dir / "boot_id").write_text(f"{uuid.uuid4()}\n")
        with (root.log_dir / "console.log").open("ab") as console:
            self._inits[node] = subprocess.Popen(
                [sys.executable, "-m", "ha.cli.playground.node", root.prefix],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def off(self, node: str) -> None:
        """Returns when every process of the node is dead."""
        init = self._inits.get(node)
        if init is None:
            return
        members = self._stop_all(init.pid)
        signal_all(members, signal.SIGKILL)
        init.wait()
        self._await_death(members)
        del self._inits[node]
        self.frozen.discard(node)
        forget_memory(self._layout.root(node))

    def freeze(self, node: str) -> None:
        if init := self._inits.get(node):
            self._stop_all(init.pid)
            self.frozen.add(node)

    def thaw(self, node: str) -> None:
        if init := self._inits.get(node):
            signal_all(family(init.pid), signal.SIGCONT)
            self.frozen.discard(node)

    def pids(self, node: str) -> list[int]:
        init = self._inits.get(node)
        return family(init.pid) if init else []

    @staticmethod
    def _stop_all(init: int) -> list[int]:
        stopped: list[int] = []
        for _ in range(MAX_SWEEPS):
            new = [pid for pid in family(init) if pid not in stopped]
            if not new:
                return stopped
            signal_all(new, signal.SIGSTOP)
            stopped += new
        raise AssertionError(f"processes below {init} appear faster than they can be stopped")

    @staticmethod
    def _await_death(pids: list[int]) -> None:
        """Wait until each is dead, then reap those that came to the hub as orphans."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError), open(os.pidfd_open(pid), "rb", buffering=0) as death:
                select.select([death], [], [])
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def segments(root: Root) -> Iterator[Path]:
    """What the node has in the machine's shared memory."""
    prefix = root.shared_memory("").lstrip("/")
    yield from sorted(Path("/dev/shm").glob(f"{prefix}*"))
    yield from sorted(Path("/dev/shm").glob(f"sem.{prefix}*"))


def forget_memory(root: Root) -> None:
    """What a machine without power forgets: shared memory and everything below /run."""
    for path in segments(root):
        path.unlink(missing_ok=True)
    shutil.rmtree(root.path("/run"), ignore_errors=True)
    root.run_dir.mkdir(parents=True)
