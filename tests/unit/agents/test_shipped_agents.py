# SPDX-License-Identifier: GPL-2.0-or-later
"""The agents in resource.d by their contracts, as an executor calls them."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.root import shipped

RESOURCES = shipped("resource.d")
OCF_AGENTS = ("Address", "Dummy", "WebPage")


class Agent:
    """Calls one agent; parameters are kept between calls."""

    def __init__(self, directory: Path, kind: str, name: str, node: str = "n1", **parameters: str) -> None:
        self.path = RESOURCES / kind / name
        self.environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HA_PYTHON": sys.executable,
            "HA_CURHOST": node,
            "HA_ROOT": f"/{node}",
            "HA_RSCTMP": str(directory / node),
            "OCF_RESOURCE_INSTANCE": "r1",
            "TMPDIR": str(directory),
            **{f"OCF_RESKEY_{name}": value for name, value in parameters.items()},
        }

    def __call__(self, *arguments: str) -> int:
        self.done = subprocess.run(
            [self.path, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=30
        )
        return self.done.returncode

    @property
    def reason(self) -> str:
        return self.done.stderr.rpartition("ocf-exit-reason:")[2].strip()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("name", OCF_AGENTS)
def test_metadata_is_complete(tmp_path: Path, name: str) -> None:
    agent = Agent(tmp_path, "ocf/heartbeat", name)
    assert agent("meta-data") == 0
    document = ElementTree.fromstring(agent.done.stdout)
    assert document.get("name") == name
    actions = {action.get("name") for action in document.iter("action")}
    assert {"start", "stop", "monitor", "meta-data", "validate-all"} <= actions
    for parameter in document.iter("parameter"):
        assert parameter.findtext("shortdesc")
        assert parameter.find("content") is not None


@pytest.mark.parametrize(
    ("name", "parameters"), [("Dummy", {}), ("WebPage", {"port": "PORT"}), ("Address", {"ip": "127.0.0.77"})]
)
def test_every_action_is_idempotent(tmp_path: Path, name: str, parameters: dict[str, str]) -> None:
    parameters = {key: free_port() if value == "PORT" else value for key, value in parameters.items()}
    agent = Agent(tmp_path, "ocf/heartbeat", name, **parameters)
    expected = [("monitor", 7), ("stop", 0), ("start", 0), ("start", 0), ("monitor", 0), ("validate-all", 0),
                ("stop", 0), ("stop", 0), ("monitor", 7), ("no-such-action", 3)]  # fmt: skip
    assert [(action, agent(action)) for action, _ in expected] == expected


@pytest.mark.parametrize("name", ["Dummy", "WebPage", "IPaddr"])
def test_heartbeat_scripts_say_their_status(tmp_path: Path, name: str) -> None:
    arguments = {"Dummy": ["x"], "WebPage": ["127.0.0.1", free_port()], "IPaddr": ["127.0.0.78/32/lo"]}[name]
    agent = Agent(tmp_path, "heartbeat", name)
    said = []
    for action in ("status", "start", "start", "status", "stop", "status"):
        assert agent(*arguments, action) == 0
        said.append(agent.done.stdout.strip())
    assert said == ["stopped", "", "", "running", "", "stopped"]
    assert agent(*arguments, "nonsense") == 1


def test_a_shell_without_bash_suffices() -> None:
    for path in sorted(RESOURCES.rglob("*")):
        if not path.is_file() or not os.access(path, os.X_OK):
            continue
        text = path.read_text()
        assert text.startswith("#!/bin/sh\n"), path
        if "\nexec " not in text:  # what follows is not for the shell
            subprocess.run(["/bin/sh", "-n", path], check=True)


# Dummy ---------------------------------------------------------------------------------------------------------------


def test_dummy_writes_down_what_it_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    dummy = Agent(tmp_path, "ocf/heartbeat", "Dummy", log=str(log))
    dummy("start")
    dummy("monitor")
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == [
        "n1 r1 start begin", "n1 r1 start rc 0", "n1 r1 monitor begin", "n1 r1 monitor rc 0",
    ]  # fmt: skip


def test_dummy_migrates(tmp_path: Path) -> None:
    source, target = (Agent(tmp_path, "ocf/heartbeat", "Dummy", node=node) for node in ("n1", "n2"))
    source("start")
    assert [source("migrate_to"), target("migrate_from"), source("stop")] == [0, 0, 0]
    assert [source("monitor"), target("monitor")] == [7, 0]


@pytest.mark.parametrize("value", ["x", "1;reboot", "", "."])
def test_dummy_refuses_nonsense(tmp_path: Path, value: str) -> None:
    dummy = Agent(tmp_path, "ocf/heartbeat", "Dummy", op_sleep=value)
    assert dummy("start") == (0 if value == "" else 6)


# WebPage -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path, "ocf/heartbeat", "WebPage", ip="127.0.0.5", port=free_port(), text="<b>&")
    yield agent
    assert agent("stop") == 0


def fetch(agent: Agent) -> str:
    url = f"http://{agent.environment['OCF_RESKEY_ip']}:{agent.environment['OCF_RESKEY_port']}/"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read().decode())


def kill(pid: int) -> None:
    """SIGKILL, and wait until it has taken effect: kill(2) returns before that on another processor."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ended, _, _ = select.select([pidfd], [], [], 10)
        assert ended, f"process {pid} outlives SIGKILL"
    finally:
        os.close(pidfd)


def server_pid(agent: Agent) -> int:
    return int((Path(agent.environment["HA_RSCTMP"]) / "WebPage-r1.pid").read_text().split()[0])


def test_the_page_is_there_when_start_returns_and_names_the_node(page: Agent) -> None:
    assert page("start") == 0
    text = fetch(page)
    assert "<span id='node'>n1</span>" in text
    assert "&lt;b&gt;&amp;" in text
    assert page("stop") == 0
    with pytest.raises(urllib.error.URLError):
        fetch(page)


@pytest.mark.parametrize(
    ("request_bytes", "beginning"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.0 200"),
        (b"HEAD / HTTP/1.0\n\n", b"HTTP/1.0 200"),
        (b"POST / HTTP/1.0\r\n\r\n", b"HTTP/1.0 501"),
        (b"\x00" * 20_000 + b"\n\n", b"HTTP/1.0 501"),
        (b"GET / HTTP/1.0\n" + b"X: y\n" * 200, b"HTTP/1.0 200"),
    ],
)
def test_the_server_answers_nonsense_and_lives_on(page: Agent, request_bytes: bytes, beginning: bytes) -> None:
    page("start")
    with socket.create_connection(("127.0.0.5", int(page.environment["OCF_RESKEY_port"])), timeout=10) as link:
        link.sendall(request_bytes)
        link.shutdown(socket.SHUT_WR)
        assert link.recv(1_000).startswith(beginning)
    assert page("monitor") == 0


def test_a_page_can_be_fetched_without_curl(page: Agent, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("uname", "mkdir", "mkfifo", "cat", "rm", "sleep", "tail", "id"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    page.environment["PATH"] = str(tools)
    assert [page("start"), page("monitor"), page("stop"), page("monitor")] == [0, 0, 0, 7]


def test_a_killed_server_is_not_running_and_can_be_started_again(page: Agent) -> None:
    page("start")
    pid = server_pid(page)
    kill(pid)
    assert page("monitor") == 7
    assert page("start") == 0
    assert server_pid(page) != pid


def test_a_frozen_server_is_a_failure_and_can_be_stopped(page: Agent) -> None:
    page("start")
    os.kill(server_pid(page), signal.SIGSTOP)
    assert page("stop") == 0
    assert page("monitor") == 7


def test_a_busy_port_is_said(page: Agent) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.5", int(page.environment["OCF_RESKEY_port"])))
        other.listen()
        assert page("start") == 1
        assert "Address already in use" in page.reason


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "80; reboot"])
def test_no_port(tmp_path: Path, port: str) -> None:
    agent = Agent(tmp_path, "ocf/heartbeat", "WebPage", port=port)
    assert agent("start") == 6
    assert "port" in agent.reason


def test_a_stale_note_of_another_process_is_not_believed(page: Agent) -> None:
    note = Path(page.environment["HA_RSCTMP"]) / "WebPage-r1.pid"
    note.parent.mkdir(parents=True)
    note.write_text(f"{os.getpid()} 1\n")
    assert page("monitor") == 7
    assert page("stop") == 0  # and this test lives to say so


# Address -------------------------------------------------------------------------------------------------------------


def test_two_nodes_of_a_machine_cannot_have_the_same_address(tmp_path: Path) -> None:
    one, two = (Agent(tmp_path, "ocf/heartbeat", "Address", node=node, ip="127.0.0.79") for node in ("n1", "n2"))
    assert one("start") == 0
    assert (two("monitor"), two("start")) == (7, 1)
    assert two.reason == "127.0.0.79 is active on n1@/n1 already"
    assert two("stop") == 0
    assert one("monitor") == 0
    assert one("stop") == 0
    assert two("start") == 0
    assert two("stop") == 0


def test_the_claim_of_a_node_without_power_is_void(tmp_path: Path) -> None:
    one, two = (Agent(tmp_path, "ocf/heartbeat", "Address", node=node, ip="127.0.0.80") for node in ("n1", "n2"))
    one("start")
    (claim,) = tmp_path.glob("ha-addresses-*/127.0.0.80")
    kill(int(claim.read_text().split()[0]))
    assert one("monitor") == 7
    assert two("start") == 0
    assert two("monitor") == 0
    assert two("stop") == 0
    assert list(claim.parent.iterdir()) == []


@pytest.mark.parametrize(
    "parameters", [{}, {"ip": "10.0.0.1/24"}, {"ip": "x"}, {"ip": "127.0.0.1", "cidr_netmask": "x"}]
)
def test_no_address(tmp_path: Path, parameters: dict[str, str]) -> None:
    agent = Agent(tmp_path, "ocf/heartbeat", "Address", **parameters)
    assert agent("start") == 6
    assert agent.reason


def can_make_a_network() -> bool:
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_make_a_network(), reason="needs the privilege to make a network namespace")
def test_a_real_address(tmp_path: Path) -> None:
    agent = Agent(tmp_path, "ocf/heartbeat", "Address", ip="192.0.2.7", nic="lo", cidr_netmask="24")
    script = (
        "ip link set lo up; A=$0; $A monitor; echo $?; $A start; echo $?; $A start; echo $?; $A monitor; echo $?;"
        "ip -o addr show dev lo | grep -c 192.0.2.7/24; $A stop; echo $?; $A stop; echo $?; $A monitor; echo $?"
    )
    done = subprocess.run(
        ["unshare", "-n", "/bin/sh", "-c", script, agent.path],
        env=agent.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["7", "0", "0", "0", "1", "0", "0", "7"]


# The playground's power switch ---------------------------------------------------------------------------------------


class Switch:
    def __init__(self, path: Path, answers: dict[str, str]) -> None:
        self.heard: list[str] = []
        self.answers = answers
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream:
                line = stream.recv(1_000).decode().strip()
                self.heard.append(line)
                stream.sendall(self.answers.get(line, "error there is no such node\n").encode())


def fence(short_path: Path, answers: dict[str, str], **options: str) -> tuple[int, str, str, list[str]]:
    path = short_path / "switch"
    path.unlink(missing_ok=True)
    switch = Switch(path, answers)
    lines = "".join(f"{name}={value}\n" for name, value in {"socket": str(path), **options}.items())
    done = subprocess.run(
        [RESOURCES / "stonith" / "fence_playground"],
        input=lines, env={"HA_PYTHON": sys.executable}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    switch.listener.close()
    return done.returncode, done.stdout, done.stderr, switch.heard


@pytest.mark.parametrize(
    ("options", "answers", "code", "heard"),
    [
        ({"action": "off", "plug": "n1"}, {"off n1": "ok\n", "status n1": "ok off\n"}, 0, ["off n1", "status n1"]),
        ({"action": "off", "plug": "n1"}, {"off n1": "ok\n", "status n1": "ok on\n"}, 7, ["off n1", "status n1"]),
        ({"action": "reboot", "port": "n1"}, {"reboot n1": "ok rebooted\n"}, 0, ["reboot n1"]),
        ({"plug": "n1"}, {"reboot n1": "ok\n"}, 0, ["reboot n1"]),
        ({"action": "on", "plug": "n9"}, {}, 1, ["on n9"]),
        ({"action": "status", "plug": "n1"}, {"status n1": "ok on\n"}, 0, ["status n1"]),
        ({"action": "status", "plug": "n1"}, {"status n1": "ok frozen\n"}, 0, ["status n1"]),
        ({"action": "status", "plug": "n1"}, {"status n1": "ok off\n"}, 2, ["status n1"]),
        ({"action": "monitor"}, {"list": "ok n1 n2\n"}, 0, ["list"]),
        ({"action": "monitor"}, {"list": "garbage\n"}, 1, ["list"]),
        ({"action": "monitor"}, {"list": ""}, 4, ["list"]),
        ({"action": "off"}, {}, 2, []),
        ({"action": "off", "plug": "n1 n2"}, {}, 2, []),
        ({"action": "explode", "plug": "n1"}, {}, 2, []),
        ({"action": "monitor", "socket": "/nowhere"}, {}, 4, []),
    ],
)
def test_fence_playground(
    short_path: Path, options: dict[str, str], answers: dict[str, str], code: int, heard: list[str]
) -> None:
    returned, _, stderr, said = fence(short_path, answers, **options)
    assert (returned, said) == (code, heard), stderr
    failed = code != 0 and not (options["action"] == "status" and code == 2)
    assert bool(stderr) == failed


def test_fence_playground_lists_and_describes_itself(short_path: Path) -> None:
    assert fence(short_path, {"list": "ok n1 n2\n"}, action="list")[1] == "n1,\nn2,\n"
    _, metadata, stderr, _ = fence(short_path, {}, action="metadata", strange="1")
    assert "unknown option strange is ignored" in stderr
    document = ElementTree.fromstring(metadata)
    assert {"on", "off", "reboot", "status", "list", "monitor", "metadata"} <= {
        action.get("name") for action in document.iter("action")
    }
    assert {"socket", "plug", "action"} <= {parameter.get("name") for parameter in document.iter("parameter")}


# alert_file.sh --------------------------------------------------------------------------------------------------------

RESOURCE_ALERT = {"kind": "resource", "rsc": "web", "task": "monitor", "interval": "10000", "node": "n1",
                  "desc": "not running", "rc": "7", "target_rc": "0"}


def alert(recipient: str | None, said: dict[str, str], **parameters: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "CRM_alert_timestamp": "12:00", **parameters}
    environment |= {f"CRM_alert_{name}": value for name, value in said.items()}
    if recipient is not None:
        environment["CRM_alert_recipient"] = recipient
    path = RESOURCES / "alerts" / "alert_file.sh"
    return subprocess.run([path], env=environment, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"kind": "node", "node": "n2", "desc": "lost"}, "node n2 is now lost"),
        ({"kind": "fencing", "node": "n2", "desc": "it's \"OK\" $(id)"}, "fencing of n2: it's \"OK\" $(id)"),
        (RESOURCE_ALERT, "web: monitor every 10000 ms on n1: not running (rc 7, expected 0)"),
        ({**RESOURCE_ALERT, "interval": "0", "task": "start", "rc": "0", "desc": "ok"}, "web: start on n1: ok"),
        ({"kind": "attribute", "node": "n1", "attribute_name": "pingd", "attribute_value": "%s"},
         "attribute pingd of n1 is now '%s'"),
        ({"kind": "of tomorrow"}, "event of the unknown kind 'of tomorrow'"),
    ],
)  # fmt: skip
def test_alerts_in_a_file(tmp_path: Path, said: dict[str, str], line: str) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    done = alert(str(log), said)
    assert (done.returncode, done.stderr) == (0, "")
    assert log.read_text() == f"before\n12:00 {line}\n"


def test_alerts_in_a_file_by_kind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert alert(str(log), RESOURCE_ALERT, kinds="node fencing").returncode == 0
    assert not log.exists()


@pytest.mark.parametrize("recipient", [None, "", "relative", "/no/such/folder/log"])
def test_alerts_in_no_file(recipient: str | None) -> None:
    done = alert(recipient, RESOURCE_ALERT)
    assert done.returncode != 0 and done.stderr
