# SPDX-License-Identifier: GPL-2.0-or-later
"""One node's rmd in a root of its own, started and observed as an operator would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xmlrpc.client
from pathlib import Path
from types import TracebackType
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from ha.rmd.io.pidfile import holder
from ha.root import Root
from tests.real.waiting import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]

APPHBD = {"command": "ha.apphbd.daemon:main"}
FAST_PAIR = "pair_interval_ms 50\npair_deadline_ms 400\n"


class Node:
    """A context manager: on leaving, everything of the node is ended, whatever state it is in."""

    def __init__(
        self,
        stanzas: dict[str, dict[str, str]],
        *,
        rmd_cf: str = "",
        environment: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        """Stanzas by name in start order; apphbd comes first of itself. `files`: below /etc/ha.d."""
        self.root = Root(tempfile.mkdtemp(prefix="ha-"))
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})}
        config = self.root.config_dir
        self.root.supervisor_dir.mkdir(parents=True)
        for name, text in {"nodeinfo": "n1\n", "rmd.cf": rmd_cf, **(files or {})}.items():
            (config / name).write_text(text)
        self._priority = 0
        for name, stanza in {"apphbd": APPHBD, **stanzas}.items():
            self.add_stanza(name, stanza)
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.root.path("/rmd.out")

    # Configuration ---------------------------------------------------------------------------------------------------

    def add_stanza(self, name: str, stanza: dict[str, str]) -> None:
        self._priority += 1
        lines = [f"[program:{name}]", f"priority={self._priority}", *(f"{k}={v}" for k, v in stanza.items())]
        (self.root.supervisor_dir / f"{self._priority:03d}-{name}.conf").write_text("\n".join(lines) + "\n")

    def remove_stanza(self, name: str) -> None:
        for path in self.root.supervisor_dir.glob(f"*-{name}.conf"):
            path.unlink()

    # Life ------------------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ha.rmd", "--root", self.root.prefix, *arguments]

    def start(self) -> Node:
        self.start_without_waiting()
        wait_for(self.is_ready, f"rmd serves {self.root.prefix}: {self.output.read_text()}")
        return self

    def start_without_waiting(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command("--foreground"), env=self.environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output,
            )  # fmt: skip

    def is_ready(self) -> bool:
        """Every worker that is started by itself runs, or has been given up."""
        assert self.process is None or self.process.poll() is None or self.rmd_pid, self.output.read_text()
        try:
            return all(info["statename"] in {"RUNNING", "STOPPED", "FATAL", "EXITED"} for info in self.infos().values())
        except OSError:
            return False

    def run(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=timeout_s,
            check=False,
        )  # fmt: skip

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_off()
        if kind is None:
            shutil.rmtree(self.root.prefix)

    def power_off(self) -> None:
        """End everything of the node; frozen rmd first, so that nothing is started again meanwhile."""
        while (pid := self.rmd_pid) is not None:
            _signal(pid, signal.SIGSTOP)
            children = children_of(pid)
            for child in children:
                _signal(child, signal.SIGKILL)
            _signal(pid, signal.SIGKILL)
            wait_for(lambda pids=(pid, *children): not any(map(alive, pids)), f"{pid} and {children} end")
        if self.process is not None:
            self.process.wait(20)

    # Observation -----------------------------------------------------------------------------------------------------

    @property
    def rmd_pid(self) -> int | None:
        return holder(self.root.run_dir / "rmd.pid")

    @property
    def rpc(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.root.socket('supervisor')}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def infos(self) -> dict[str, dict[str, Any]]:
        return {info["name"]: info for info in self.rpc.getAllProcessInfo()}

    def state(self, name: str) -> str:
        try:
            return str(self.infos()[name]["statename"])
        except OSError:
            return "no rmd"

    def pid(self, name: str) -> int:
        """0 while it does not run."""
        try:
            return int(self.infos()[name]["pid"])
        except OSError:
            return 0

    def await_replacement(self, name: str, former: int) -> int:
        """The number of the process that runs instead of `former`, once it is ready."""

        def replaced() -> int:
            try:
                info = self.infos()[name]
            except OSError:
                return 0
            return int(info["pid"]) if info["statename"] == "RUNNING" and info["pid"] != former else 0

        return wait_for(replaced, f"{name} ({former}) is replaced; log:\n{self.log()}")

    def log(self, name: str = "rmd") -> str:
        try:
            return (self.root.log_dir / f"{name}.log").read_text()
        except FileNotFoundError:
            return ""

    def supervisorctl(self, *arguments: str) -> str:
        """What stock supervisorctl prints."""
        program = Path(sys.executable).with_name("supervisorctl")
        done = subprocess.run(
            [str(program), "-c", str(self.root.run_dir / "supervisorctl.conf"), *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def alive(pid: int) -> bool:
    """A zombie that nobody reaps is dead."""
    return stat_of(pid)[0] not in {"", "Z", "X"}


def stat_of(pid: int) -> tuple[str, int]:
    """(state, parent); ("", 0) for a process that is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0], int(fields[1])


def children_of(pid: int) -> list[int]:
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if stat_of(number)[1] == pid]


def title_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode()
