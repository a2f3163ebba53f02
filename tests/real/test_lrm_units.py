# SPDX-License-Identifier: GPL-2.0-or-later
"""Class systemd: a real lrmd, a real dbus-daemon, and a stand-in for systemd behind it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jeepney import new_method_return

from ha.lrm.msg import Agents, GetMetadata, ListAgents, Metadata
from tests.real.lrm_node import LrmNode, lrm_node
from tests.real.unit_manager import Manager, Unit, bus

pytestmark = pytest.mark.real


@pytest.fixture
def daemon(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with bus(short_path) as (address, daemon):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address, daemon


@pytest.fixture
def manager(daemon: tuple[str, subprocess.Popen[bytes]]) -> Iterator[Manager]:
    manager = Manager(daemon[0], {"web.service": Unit()})
    yield manager
    manager.stop()


@pytest.fixture
def node(short_path: Path, daemon: object) -> Iterator[LrmNode]:
    with lrm_node(short_path) as node:
        yield node


def drop_in(node: LrmNode, unit: str = "web.service") -> Path:
    return node.root.path("/run/systemd/system") / f"{unit}.d" / "50-heartbeat.conf"


def test_the_life_of_a_unit(node: LrmNode, manager: Manager) -> None:
    seen_at_reload: list[bool] = []
    manager.on_reload = lambda: seen_at_reload.append(drop_in(node).exists())
    assert node.run("monitor", "web", "systemd").rc == 7
    assert node.run("start", "web", "systemd").rc == 0
    assert manager.units["web.service"].state == "active"
    text = drop_in(node).read_text()
    assert "Restart=no" in text
    assert "Before=heartbeat.service" in text
    assert node.run("monitor", "web.service", "systemd").rc == 0
    assert node.run("restart", "web", "systemd").rc == 0
    assert node.run("stop", "web", "systemd").rc == 0
    assert not drop_in(node).parent.exists()
    assert node.run("monitor", "web", "systemd").rc == 7
    assert seen_at_reload == [True, False]  # systemd read it before it started the unit, and was told when it went
    assert node.run("stop", "web", "systemd", user_data="again").rc == 0
    assert manager.count("Reload") == 2
    assert node.run("promote", "web", "systemd").rc == 3


def test_units_that_are_not_there(node: LrmNode, manager: Manager) -> None:
    for operation, rc in (("start", 5), ("monitor", 5), ("stop", 0)):
        assert node.run(operation, "absent", "systemd").rc == rc
    result = node.run("start", "../../etc/passwd", "systemd")
    assert (result.rc, result.status) == (5, "not installed")


def test_states_and_jobs(node: LrmNode, manager: Manager) -> None:
    unit = manager.units["web.service"]
    unit.state, unit.passing_answers = "active", 3
    assert node.run("monitor", "web", "systemd").rc == 0  # only once it was no longer activating
    unit.state = "failed"
    result = node.run("monitor", "web", "systemd")
    assert (result.rc, result.exit_reason) == (7, "web.service is in state failed")
    result = node.run("start", "web", "systemd")
    assert (result.rc, "state failed" in result.exit_reason) == (1, True)
    unit.state, unit.job_result = "inactive", "dependency"
    result = node.run("start", "web", "systemd")
    assert (result.rc, "dependency" in result.exit_reason) == (1, True)
    unit.job_result, manager.tells_jobs = "done", False
    assert node.run("start", "web", "systemd").rc == 0  # found by the state, since nobody told


def test_service_is_a_unit_where_there_is_one_else_a_script(node: LrmNode, manager: Manager) -> None:
    node.agent("web", 'say script "$1"', kind="lsb")
    node.agent("old", 'say script "$1"', kind="lsb")
    assert node.run("start", "web", "service").rc == 0
    assert manager.units["web.service"].state == "active"
    assert node.run("start", "old", "service", id="r2").rc == 0
    assert node.logged() == ["script start"]


def test_lists_and_metadata(node: LrmNode, manager: Manager) -> None:
    assert node.crmd is not None
    node.crmd.send(ListAgents(request_id="1", agent_class="systemd"))
    assert node.crmd.receive(Agents).names == ["idle", "web"]
    node.crmd.send(ListAgents(request_id="2"))
    assert "systemd" in node.crmd.receive(Agents).names
    for _ in range(2):
        node.crmd.send(GetMetadata(request_id="3", agent_class="systemd", agent_type="web"))
        assert '<action name="monitor" timeout="100s" interval="60s"/>' in node.crmd.receive(Metadata).xml
    node.crmd.send(GetMetadata(request_id="4", agent_class="systemd", agent_type="absent"))
    assert node.crmd.receive(Metadata).rc == 5


@pytest.mark.parametrize("method", ["LoadUnit", "StartUnit", "Reload", "Get"])
def test_a_manager_that_never_answers_costs_the_timeout_and_nobody_else(
    node: LrmNode, manager: Manager, method: str
) -> None:
    manager.silent.add(method)
    result = node.run("start", "web", "systemd", timeout_ms=400)
    assert (result.rc, result.status) == (1, "timeout")
    assert method in result.exit_reason
    node.agent("Test", "exit 0")
    assert node.run("monitor", id="r2").rc == 0
    manager.silent.clear()
    assert node.run("start", "web", "systemd", user_data="again").rc == 0


def test_answers_of_the_wrong_form(node: LrmNode, manager: Manager) -> None:
    manager.instead["LoadUnit"] = lambda message: new_method_return(message, "s", ("no path",))
    result = node.run("start", "web", "systemd")
    assert (result.rc, result.status) == (1, "error")
    assert "no object of the bus" in result.exit_reason
    manager.instead = {"Get": lambda message: new_method_return(message, "u", (7,))}
    assert node.run("monitor", "web", "systemd").status == "error"
    manager.instead.clear()
    assert node.run("start", "web", "systemd", user_data="again").rc == 0


def test_a_bus_that_dies_meanwhile(
    node: LrmNode, manager: Manager, daemon: tuple[str, subprocess.Popen[bytes]]
) -> None:
    manager.instead["StartUnit"] = lambda message: (daemon[1].kill(), new_method_return(message))[1]
    result = node.run("start", "web", "systemd")
    assert (result.rc, result.status) == (1, "error")
    assert "hung up" in result.exit_reason
    result = node.run("monitor", "web", "systemd")
    assert (result.rc, "cannot be reached" in result.exit_reason) == (1, True)


GARBAGE = {
    "no handshake": [b"what?\r\n"],
    "endless line": [b"x" * 100_000],
    "hangs up": [b""],
    "noise": [b"OK 1234\r\n", b"\x00\xff" * 5_000],
    "a message of 120 MB": [b"OK 1234\r\n", b"l\x02\x00\x01\x00\x0e\x27\x07\x01" + b"\0" * 64],
    "a message of nonsense": [b"OK 1234\r\n", b"l\x02\x00\x01\x08\0\0\0\x01\0\0\0\x10\0\0\0" + b"\xfe" * 64],
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_on_the_bus(short_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[bytes]) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(short_path / "bus"))
    listener.listen()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={short_path / 'bus'}")

    def speak() -> None:
        stream, _ = listener.accept()
        for data in said:
            stream.recv(4_096)
            stream.sendall(data)
        if said == [b""]:
            stream.close()
        else:
            with contextlib.suppress(ConnectionResetError):  # it hangs up with our words unread
                while stream.recv(4_096):
                    pass
            stream.close()

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    with lrm_node(short_path) as node:
        result = node.run("start", "web", "systemd", timeout_ms=5_000)
        assert (result.rc, result.status) == (1, "error")
        assert result.exit_reason
        node.agent("Test", "exit 0")
        assert node.run("monitor", id="r2").rc == 0
    listener.close()
    speaker.join()


def test_a_node_without_systemd(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    with lrm_node(short_path) as node:
        result = node.run("start", "web", "systemd")
        assert (result.rc, result.status) == (5, "not installed")
        assert node.crmd is not None
        node.crmd.send(ListAgents(request_id="1"))
        assert "systemd" not in node.crmd.receive(Agents).names
