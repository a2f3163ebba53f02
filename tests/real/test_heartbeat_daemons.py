# SPDX-License-Identifier: GPL-2.0-or-later
"""Real heartbeat processes over real sockets on loopback: start, death, freeze, leave, messages, media, garbage."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import select
import signal
import socket
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ha.cli import cl_status
from ha.cli.ha import main
from ha.heartbeat.io.api_client import ApiClient
from ha.heartbeat.model.api import HEADER, MAGIC
from tests.real.heartbeat_node import HeartbeatNode, Module, all_active, free_ports
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real
CONFIG = "keepalive 100ms\ndeadtime 600ms\ninitdead 10"


@contextlib.contextmanager
def running(nodes: list[HeartbeatNode], start: bool = True) -> Iterator[list[HeartbeatNode]]:
    try:
        for node in nodes if start else ():
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def ucast(folder: Path, count: int = 2) -> list[HeartbeatNode]:
    """The same ucast lines for all: each ignores the one that names itself."""
    ports = free_ports(count)
    names = [f"n{number}" for number in range(1, count + 1)]
    lines = [f"ucast lo 127.0.0.1:{port}" for port in ports]
    return [
        HeartbeatNode(folder, name, names, [f"bindaddr 127.0.0.1:{port}", *lines], CONFIG)
        for name, port in zip(names, ports, strict=True)
    ]


@pytest.fixture
def pair(short_path: Path) -> Iterator[list[HeartbeatNode]]:
    with running(ucast(short_path)) as nodes:
        all_active(nodes)
        yield nodes


def test_messages_of_all_sizes_between_modules(pair: list[HeartbeatNode]) -> None:
    here, there = Module(pair[0].root, "cib"), Module(pair[1].root, "cib")
    here.wait_for_namesake("n2")
    bodies = [os.urandom(size) for size in (0, 1, 1500, 70_000, 5 * 1024 * 1024, 10)]
    for body in bodies:
        here.transmit("n2", "cib", body)
    assert [there.next_delivery().body for _ in bodies] == bodies
    there.transmit(None, "cib", b"to all")
    assert [module.next_delivery().body for module in (here, there)] == [b"to all", b"to all"]
    here.close()
    there.close()


def test_messages_wait_for_a_module_that_restarts(pair: list[HeartbeatNode]) -> None:
    here, there = Module(pair[0].root, "cib"), Module(pair[1].root, "cib")
    here.wait_for_namesake("n2")
    there.close()
    here.transmit("n2", "cib", b"while you were away")
    again = Module(pair[1].root, "cib")
    assert again.next_delivery().body == b"while you were away"
    here.close()
    again.close()


def test_a_killed_node_is_dead_and_comes_back(pair: list[HeartbeatNode]) -> None:
    pair[1].kill()
    wait_for(lambda: pair[0].state_of("n2") == "dead", "n2 is dead for n1")
    assert "active => dead: silent for" in pair[0].said()
    told = CliRunner().invoke(main, ["membership", "why", "n2", "--root", pair[0].root.prefix])
    assert told.exit_code == 0, told.output
    assert "n2 is dead now" in told.output
    assert "n1 called n2 dead: silent for" in told.output
    assert "link lo: " in told.output
    assert CliRunner().invoke(main, ["membership", "why", "n9", "--root", pair[0].root.prefix]).exit_code == 105
    pair[1].start()
    all_active(pair)


def test_a_restarted_heartbeat_keeps_its_place(pair: list[HeartbeatNode]) -> None:
    """Back well within deadtime (which is long here, because the test's machine may be slow)."""
    for node in pair:
        node.kill()
        node.root.ha_cf.write_text(node.root.ha_cf.read_text().replace("600ms", "20").replace("initdead 10", ""))
        node.start()
    all_active(pair)
    pair[1].kill()
    pair[1].start()
    wait_for(lambda: "stays active: its heartbeat restarted" in pair[0].said(), "n1 hears of the restart")
    all_active(pair)
    assert "active => dead" not in pair[0].said()


def test_a_frozen_node_accuses_nobody_when_it_wakes(pair: list[HeartbeatNode]) -> None:
    pair[1].signal(signal.SIGSTOP)
    wait_for(lambda: pair[0].state_of("n2") == "dead", "n2 is dead for n1")
    pair[1].signal(signal.SIGCONT)
    all_active(pair)
    wait_for(lambda: "our own loop was away for" in pair[1].said(), "n2 knows that it was away")
    assert "dead: silent" not in pair[1].said()


def test_a_node_that_leaves_says_goodbye(pair: list[HeartbeatNode]) -> None:
    assert pair[1].stop() == 0
    wait_for(lambda: "active => left: it said goodbye" in pair[0].said(), "n1 hears the goodbye")


def test_cl_status(pair: list[HeartbeatNode], capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str]:
        status = cl_status.main(["--root", pair[0].root.prefix, *words])
        return status, capsys.readouterr().out

    assert run("hbstatus") == (0, "Heartbeat is running on this machine.\n")
    assert run("listnodes") == (0, "n1\nn2\n")
    assert run("listnodes", "-n") == (0, "n1\nn2\n")
    assert run("listnodes", "-p") == (0, "")
    assert run("nodestatus", "n2") == (0, "active\n")
    assert run("-m", "nodestatus", "n2") == (0, "The cluster node n2 is active\n")
    assert run("nodetype", "n2") == (0, "normal\n")
    assert run("nodeweight", "n2") == (0, "100\n")
    assert run("listhblinks", "n2") == (0, "\tlo\n")
    assert run("hblinkstatus", "n2", "lo") == (0, "up\n")
    assert run("clientstatus", "n2", "ccm") == (1, "offline\n")
    assert run("rscstatus") == (0, "none\n")
    assert run("hbparameter", "-p", "deadtime") == (0, "600ms\n")
    assert run("nodestatus", "nobody")[0] == 11
    with pytest.raises(SystemExit) as caught:
        run("dance")
    assert caught.value.code == 11
    pair[1].kill()
    wait_for(lambda: pair[0].state_of("n2") == "dead", "n2 is dead for n1")
    assert run("nodestatus", "n2") == (1, "dead\n")
    pair[0].kill()
    assert run("hbstatus") == (1, "Heartbeat is stopped on this machine.\n")
    assert run("listnodes") == (1, "")


@pytest.mark.parametrize("new", ["2 hmac-sha256 the-next-secret", f"2 chacha20-poly1305 {'5a' * 32}"])
def test_the_key_is_changed_without_an_interruption(pair: list[HeartbeatNode], new: str) -> None:
    """Under traffic: every message arrives, in order, while the key changes."""
    here, there = Module(pair[0].root, "cib"), Module(pair[1].root, "cib")
    here.wait_for_namesake("n2")
    old, sent = "1 hmac-sha256 a-secret-of-the-tests", 0

    def both_say(says: str) -> bool:
        nonlocal sent
        here.transmit("n2", "cib", b"%d" % sent)
        sent += 1
        return all(says in node.said() for node in pair)

    for lines, says in (
        (["auth 1", old, new], "keys 1, 2 are accepted, key 1 signs"),
        (["auth 2", old, new], "keys 1, 2 are accepted, key 2 signs"),
        (["auth 2", new], "keys 2 are accepted, key 2 signs"),
    ):
        for node in pair:
            node.root.authkeys.write_text("\n".join(lines) + "\n")
        wait_for(lambda: both_say(says), f"both say: {says}")  # noqa: B023 (called at once)
    assert [there.next_delivery().body for _ in range(sent)] == [b"%d" % number for number in range(sent)]
    all_active(pair)
    assert not any(words in node.said() for node in pair for words in ("=> dead", "bad packet", "begun anew"))
    here.close()
    there.close()


@pytest.mark.parametrize("medium", ["bcast", "mcast"])
def test_media_that_speak_to_all(short_path: Path, medium: str) -> None:
    (port,) = free_ports(1)
    lines = {"bcast": [f"udpport {port}", "bcast lo"], "mcast": [f"mcast lo 239.255.77.1 {port} 1 1"]}[medium]
    names = ["n1", "n2"]
    with running([HeartbeatNode(short_path, name, names, lines, CONFIG) for name in names]) as nodes:
        all_active(nodes)
        here, there = Module(nodes[0].root, "cib"), Module(nodes[1].root, "cib")
        here.wait_for_namesake("n2")
        body = os.urandom(300_000)
        here.transmit("n2", "cib", body)
        assert there.next_delivery().body == body
        here.close()
        there.close()


def have_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not have_ipv6(), reason="the loopback interface has no IPv6 address")
def test_ucast6(short_path: Path) -> None:
    first, second = free_ports(2)
    names = ["n1", "n2"]
    addresses = [f"ucast6 lo [::1]:{first}", f"ucast6 lo [::1]:{second}"]
    lines = {"n1": [f"bindaddr [::1]:{first}", *addresses], "n2": [f"bindaddr [::1]:{second}", *addresses]}
    with running([HeartbeatNode(short_path, name, names, lines[name], CONFIG) for name in names]) as nodes:
        all_active(nodes)
        here, there = Module(nodes[0].root, "cib"), Module(nodes[1].root, "cib")
        here.wait_for_namesake("n2")
        body = os.urandom(100_000)
        here.transmit("n2", "cib", body)
        assert there.next_delivery().body == body
        here.close()
        there.close()


def may_ping() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP):
            return True
    return False


@pytest.mark.skipif(not may_ping(), reason="no ICMP socket is permitted here (net.ipv4.ping_group_range, CAP_NET_RAW)")
def test_ping_nodes(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """127.0.0.1 answers; 240.0.0.1 (reserved, RFC 1112) cannot."""
    (node,) = ucast(short_path, 1)
    node.root.ha_cf.write_text(
        node.root.ha_cf.read_text() + "bcast lo\ndeadping 300ms\nping 127.0.0.1\nping_group far 240.0.0.1\n"
    )
    with running([node]):
        wait_for(lambda: node.state_of("127.0.0.1") == "ping", "127.0.0.1 answers")
        wait_for(lambda: node.state_of("far") == "dead", "240.0.0.1 does not answer")
        assert cl_status.main(["--root", node.root.prefix, "listnodes", "-p"]) == 0
        assert capsys.readouterr().out == "127.0.0.1\nfar\n"
        assert cl_status.main(["--root", node.root.prefix, "nodetype", "far"]) == 0
        assert capsys.readouterr().out == "ping\n"


class Cable:
    """A null-modem cable between two pseudo-terminals, whose ends have names that stay when the cable is changed."""

    def __init__(self, folder: Path) -> None:
        self.names = [folder / "ttyA", folder / "ttyB"]
        self.fds: list[int] = []
        self.pulled = threading.Event()
        self.carrier = threading.Thread()

    def plug(self) -> None:
        pairs = [pty.openpty(), pty.openpty()]
        self.fds = [fd for pair in pairs for fd in pair]
        for name, (_, terminal) in zip(self.names, pairs, strict=True):
            tty.setraw(terminal)
            name.unlink(missing_ok=True)
            name.symlink_to(os.ttyname(terminal))
        self.pulled.clear()
        self.carrier = threading.Thread(target=self._carry, args=(pairs[0][0], pairs[1][0]), daemon=True)
        self.carrier.start()

    def _carry(self, one: int, two: int) -> None:
        other = {one: two, two: one}
        while not self.pulled.is_set():
            for end in select.select(list(other), [], [], 0.05)[0]:
                os.write(other[end], os.read(end, 4096))

    def pull(self) -> None:
        self.pulled.set()
        self.carrier.join()  # before its files are closed: their numbers are given to others
        for fd in self.fds:
            os.close(fd)


def test_a_serial_cable_that_is_pulled_and_returns(short_path: Path) -> None:
    """Beside loopback: the link dies and comes back, the nodes live on by the other medium; then the cable alone."""
    cable = Cable(short_path)
    cable.plug()
    nodes = ucast(short_path)
    for node, name in zip(nodes, cable.names, strict=True):
        node.root.ha_cf.write_text(node.root.ha_cf.read_text() + f"baud 115200\nserial {name}\n")

    def link(state: str) -> bool:
        with ApiClient(nodes[0].root) as heartbeat:
            found = heartbeat.ask("ifstatus", node="n2", ifname=str(cable.names[0]))[0].text("st")
        return found == state

    with running(nodes):
        all_active(nodes)
        wait_for(lambda: link("up"), "the serial link is up")
        cable.pull()
        wait_for(lambda: link("dead"), "the serial link is dead")
        assert nodes[0].state_of("n2") == "active"
        cable.plug()
        wait_for(lambda: link("up"), "the serial link is back")
        assert "=> dead: silent" not in nodes[0].said()
    cable.pull()


def test_sighup_applies_what_can_change_and_names_what_cannot(pair: list[HeartbeatNode]) -> None:
    node, path = pair[0], pair[0].root.ha_cf
    text = path.read_text()
    changed = text.replace("keepalive 100ms", "keepalive 50ms").replace("deadtime 600ms", "deadtime 9")
    path.write_text(f"{changed}bcast lo\n")
    node.signal(signal.SIGHUP)
    wait_for(lambda: "ha.cf was read again: keepalive 50 ms" in node.said(), "the times are applied")
    assert "in force only after a restart of heartbeat: media" in node.said()
    with ApiClient(node.root) as heartbeat:
        assert heartbeat.signon.text("deadtime") == f"{9_000:x}"
    path.write_text("keepalive never\n")
    node.signal(signal.SIGHUP)
    wait_for(lambda: "the configuration that we have stays in force" in node.said(), "a broken file is refused")
    path.write_text(text)
    node.signal(signal.SIGHUP)
    wait_for(lambda: "a shorter deadtime" in node.said(), "a shorter deadtime is named")
    all_active(pair)
    assert "=> dead" not in pair[0].said() + pair[1].said()


def test_a_medium_that_cannot_be_opened_is_tried_again(short_path: Path) -> None:
    nodes = ucast(short_path)
    port = int(nodes[0].root.ha_cf.read_text().split("bindaddr 127.0.0.1:")[1].split()[0])
    squatter = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    squatter.bind(("127.0.0.1", port))
    with running(nodes), squatter:
        wait_for(lambda: "medium ucast lo cannot be opened" in nodes[0].said(), "n1 says that the port is busy")
        squatter.close()
        all_active(nodes)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("ha.cf", "node n1 n2\nbcast lo\nkeepalive 1s\n", "ha.cf:3: keepalive: '1s' is no time"),
        ("ha.cf", "node other\nbcast lo\n", "n1, which is none of the nodes of ha.cf"),
        ("authkeys", "auth 1\n", "auth names key 1"),
    ],
)
def test_a_bad_configuration_ends_it_with_a_clear_sentence(short_path: Path, name: str, text: str, says: str) -> None:
    node = ucast(short_path)[0]
    (node.root.config_dir / name).write_text(text)
    node.start()
    assert node.process is not None
    assert node.process.wait(20) == os.EX_CONFIG
    assert says in node.said()


def test_garbage_from_the_network_changes_nothing(pair: list[HeartbeatNode]) -> None:
    port = int(pair[0].root.ha_cf.read_text().split("bindaddr 127.0.0.1:")[1].split()[0])
    dice = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3_000):
            start = dice.choice([b"", b"###\n", b">>>\n", b"###\n11:(0)t=status,"])
            sender.sendto(start + dice.randbytes(dice.choice([0, 10, 500, 60_000])), ("127.0.0.1", port))
    all_active(pair)
    wait_for(lambda: "bad packet" in pair[0].said(), "the bad packets are noted")
    assert pair[0].said().count("bad packet") < 10
    assert "=> dead" not in pair[0].said()


def test_garbage_at_the_register_socket_is_hung_up_on(pair: list[HeartbeatNode]) -> None:
    path = str(pair[0].root.path("/run/heartbeat/register"))
    dice = random.Random(1)
    garbage = [
        b"x" * 100,
        HEADER.pack(2**32 - 1, MAGIC),
        HEADER.pack(5, MAGIC) + b"hello",
        HEADER.pack(0, MAGIC) * 10,
        *(dice.randbytes(10_000) for _ in range(20)),
    ]
    for data in garbage:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as program:
            program.settimeout(10)
            program.connect(path)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                program.sendall(data)
                assert program.recv(1) == b""
    assert pair[0].state_of("n1") == "active"
