# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat's own client of apphbd, unchanged, against ours; and applications that speak to the door."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ha.apphbd.client import Application, Refused
from ha.apphbd.model.applications import HEADER, MAGIC, SOCKET
from ha.apphbd.msg import ClientEvent, Clients, GetClients, Subscribe
from ha.ipc.client import Connection
from tests.real.rmd_node import Node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

BEATING = {"command": "tests.real.workers:beating"}
APPHBTEST = Path("/usr/libexec/heartbeat/apphbtest")
CLASSIC_SOCKET = Path(SOCKET)


def request(kind: bytes, rest: bytes = b"") -> bytes:
    body = kind.ljust(8, b"\0") + rest
    return HEADER.pack(len(body), MAGIC) + body


def registration(name: bytes) -> bytes:
    identity = struct.pack("=iII", os.getpid(), os.geteuid(), os.getegid())
    return request(b"reg", name.ljust(256, b"\0") + b"one".ljust(256, b"\0") + bytes(256) + identity)


def ask(link: socket.socket, data: bytes) -> int:
    """The errno in the answer."""
    link.sendall(data)
    answer = link.recv(HEADER.size + 4, socket.MSG_WAITALL)
    return int(struct.unpack_from("=i", answer, HEADER.size)[0])


def dial(node: Node) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(20)
    link.connect(str(node.root.path(SOCKET)))
    return link


def test_an_application_is_watched_and_everybody_is_told() -> None:
    with Node({"one": BEATING}).start() as node, Connection.open(node.root, "apphbd", program="test") as watcher:
        watcher.ask(Subscribe(), 5000)
        with dial(node) as link:
            assert ask(link, request(b"setint", struct.pack("@L", 50))) == errno.ESRCH
            assert ask(link, registration(b"demo")) == 0
            assert ask(link, registration(b"demo")) == errno.EEXIST
            assert ask(link, request(b"setint", struct.pack("@L", 50))) == 0
            silent = watcher.receive(20_000)
            assert isinstance(silent, ClientEvent) and silent.event == "NOHB" and silent.module == "demo/one"
            link.sendall(request(b"hb"))
            back = watcher.receive(20_000)
            assert isinstance(back, ClientEvent) and back.event == "HBAGAIN"
            assert ask(link, request(b"setint", struct.pack("@L", 0))) == 0
            shown = watcher.ask(GetClients(), 5000)
            assert isinstance(shown, Clients) and "demo/one" in {line.module for line in shown.clients}
        gone = watcher.receive(20_000)
        assert isinstance(gone, ClientEvent) and gone.event == "HUP"
        wait_for(lambda: "demo/one" in node.log() and "HUP" in node.log(), "rmd wrote it down")


def test_nonsense_ends_the_connection_and_nothing_else() -> None:
    with Node({"one": BEATING}).start() as node:
        pid = node.pid("apphbd")
        with dial(node) as link:
            link.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert link.recv(1) == b""
        with dial(node) as link:
            assert ask(link, registration(b"after")) == 0
        assert node.pid("apphbd") == pid


@pytest.mark.skipif(not APPHBTEST.exists(), reason="Heartbeat 3's apphbtest is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one's own for the compiled-in path needs root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare (util-linux) is not installed")
def test_heartbeats_own_test_program_is_served() -> None:
    """Its socket's path is compiled in: it runs where our node's run directory is bound to that place."""
    if not CLASSIC_SOCKET.parent.is_dir() or not may_unshare():
        pytest.skip(f"{CLASSIC_SOCKET.parent} cannot be bound to another place here")
    with Node({"one": BEATING}).start() as node, Connection.open(node.root, "apphbd", program="test") as watcher:
        watcher.ask(Subscribe(), 5000)
        done = subprocess.run(
            [
                "unshare", "--mount", "sh", "-c",
                f"mount --bind {node.root.run_dir} {CLASSIC_SOCKET.parent} && exec {APPHBTEST} -n 3 -p 2 -i 200 -d",
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "failure" not in done.stdout + done.stderr, done.stdout + done.stderr
        said = [watcher.receive(20_000), watcher.receive(20_000)]
        assert {message.event for message in said if isinstance(message, ClientEvent)} <= {"HBUNREG", "HUP", "NOHB"}


def may_unshare() -> bool:
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


def test_ha_apphb_shows_everyone_and_says_by_its_status_whether_all_are_well() -> None:
    with Node({"one": BEATING}).start() as node:
        well = ha(node, "apphb", "status")
        assert well.returncode == 0, well.stderr
        assert {line.split()[0] for line in well.stdout.splitlines()} == {"client", "rmd", "one"}
        with dial(node) as link:
            assert ask(link, registration(b"demo")) == 0
            assert ask(link, request(b"setint", struct.pack("@L", 1))) == 0
            ill = wait_for(lambda: failing(ha(node, "apphb", "status", "--output-as", "json")), "it is seen")
        assert {"demo/one": "hung"}.items() <= {line["module"]: line["state"] for line in json.loads(ill)}.items()
        node.power_off()
        gone = ha(node, "apphb", "status")
        assert gone.returncode == 102
        assert "the cluster is not running on this node" in gone.stderr


def failing(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout if done.returncode == 1 else ""


def ha(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("ha")
    command = [str(program), *arguments, "--root", node.root.prefix]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_python_program_is_watched_until_it_leaves_in_good_order() -> None:
    with Node({"one": BEATING}).start() as node, Connection.open(node.root, "apphbd", program="test") as watcher:
        watcher.ask(Subscribe(), 5000)
        with Application.register(node.root, "backup", "nightly", interval_ms=60_000, warntime_ms=30_000) as backup:
            backup.beat()
        left = watcher.receive(20_000)
        assert isinstance(left, ClientEvent) and (left.module, left.event) == ("backup/nightly", "HBUNREG")
        with (
            pytest.raises(ZeroDivisionError),
            Application.register(node.root, "backup", "nightly", interval_ms=60_000),
        ):
            raise ZeroDivisionError
        failed = watcher.receive(20_000)
        assert isinstance(failed, ClientEvent) and (failed.module, failed.event) == ("backup/nightly", "HUP")
        with pytest.raises(Refused, match="Register: Invalid argument"):
            Application.register(node.root, "backup", "n" * 300, interval_ms=60_000)


@pytest.mark.parametrize("victim", ["apphbd", "rmd"])
def test_a_python_program_registers_again_when_the_pair_was_replaced(victim: str) -> None:
    with Node({"one": BEATING}).start() as node:
        application = Application.register(node.root, "backup", "nightly", interval_ms=600_000)
        wait_for((node.root.run_dir / "applications").exists, "the registration is kept")
        kill_and_await(node, victim)

        def is_watched() -> bool:
            application.beat()
            return watched(node).get("backup/nightly") == ""

        wait_for(is_watched, "it is watched again")
        kill_and_await(node, victim)
        application.unregister()
        assert "backup/nightly" not in watched(node)


def kill_and_await(node: Node, victim: str) -> None:
    former, rmd = node.pid("apphbd"), node.rmd_pid
    assert rmd is not None
    os.kill(rmd if victim == "rmd" else former, signal.SIGKILL)
    node.await_replacement("apphbd", former)


def watched(node: Node) -> dict[str, str]:
    """By name, what is said of it."""
    with Connection.open(node.root, "apphbd", program="test") as link:
        shown = link.ask(GetClients(), 5000)
    assert isinstance(shown, Clients)
    return {line.module: line.status for line in shown.clients}


CLASSIC = """
import os, signal, socket, struct, sys
if len(sys.argv) > 2:
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
pid, uid, gid = os.getpid(), os.geteuid(), os.getegid()
body = b"reg".ljust(8, bytes(1)) + struct.pack("=256s256s256siII", b"demo", b"one", b"", pid, uid, gid)
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
link.sendall(struct.pack("=II", len(body), 0xABCD) + body)
print(struct.unpack_from("=i", link.recv(12, socket.MSG_WAITALL), 8)[0], flush=True)
signal.pause()
"""


def test_a_classic_client_is_recovered_although_apphbd_was_replaced(tmp_path: Path) -> None:
    """It does not know how to register again: its end is seen by its process."""
    script = tmp_path / "demo"
    script.write_text(f"#!/bin/sh\necho $* >>{tmp_path}/recovered\n")
    script.chmod(0o755)
    account = f"{pwd.getpwuid(os.geteuid()).pw_name}:{grp.getgrgid(os.getegid()).gr_name}"
    recoveries = f'{account} {script} {{\n APPHB_HUP = "restart"\n}}\n'
    with Node({"one": BEATING}, files={"recoverymgrd.conf": recoveries}).start() as node:
        client = start_classic(node)
        wait_for((node.root.run_dir / "applications").exists, "the registration is kept")
        kill_and_await(node, "apphbd")
        assert "registers again" in wait_for(lambda: watched(node).get("demo/one") or "", "it is known")
        kill_and_await(node, "rmd")
        wait_for(lambda: watched(node).get("demo/one"), "it is known still")
        assert not (tmp_path / "recovered").exists()
        client.kill()
        client.wait(20)
        wait_for((tmp_path / "recovered").exists, f"it is recovered: {node.log()}")


def start_classic(node: Node, *user: int) -> subprocess.Popen[bytes]:
    """A client that registers as demo/one, and then does nothing."""
    command = [sys.executable, "-I", "-c", CLASSIC, str(node.root.path(SOCKET)), *map(str, user)]
    client = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == b"0\n"
    return client


NOBODY = 65534

TRIES = """
import os, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path) if path.endswith(".sock") else open(path, "rb")
    except PermissionError:
        print("refused")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's program needs root")
def test_any_users_application_is_watched_and_comes_no_further() -> None:
    with Node({"one": BEATING}).start() as node:
        Path(node.root.prefix).chmod(0o711)
        client = start_classic(node, NOBODY)
        wait_for((node.root.run_dir / "applications").exists, "the registration is kept")
        assert "demo/one" in watched(node)
        client.kill()
        client.wait(20)
        names = ("rmd.sock", "apphbd.sock", "supervisor.sock", "rmd.pid", "stacks/one")
        paths = [str(node.root.run_dir / name) for name in names]
        done = subprocess.run([sys.executable, "-I", "-c", TRIES, *paths], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["refused"] * len(names)
