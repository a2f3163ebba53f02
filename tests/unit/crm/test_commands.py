# SPDX-License-Identifier: GPL-2.0-or-later
"""crmadmin and crm_node against small stand-ins for the workers they ask, over real sockets."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ha.ccm.msg import GetMembership, Member, MembershipEvent, View, ViewId
from ha.cib.msg import Answer, Query
from ha.cli import crm_node, crmadmin
from ha.crm.msg import Done, GetState, RemoveNode, State
from ha.ipc import codec
from ha.ipc.frames import FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello, Welcome
from ha.ipc.limits import MAX_FRAME_BYTES
from ha.machine import Message

NODES = '<nodes><node id="n1" uname="n1"/><node id="7" uname="n2"/></nodes>'


def answer(message: Message) -> Message | None:
    match message:
        case Hello():
            return Welcome(protocol=PROTOCOL, name="w", incarnation="i", node="n1")
        case GetState(node="n9"):
            return State(request_id=message.request_id, node="n9", fsm="", dc="n1")
        case GetState():
            return State(request_id=message.request_id, node=message.node or "n1", fsm="S_IDLE", dc="n1", idle=True)
        case RemoveNode(node="n2"):
            return Done(request_id=message.request_id)
        case RemoveNode():
            return Done(request_id=message.request_id, rc=105, reason="there is no node n9")
        case GetMembership():
            view = View(id=ViewId(instance=1, coordinator="c"), members=(Member(node="n1", born_on=1),), quorate=True)
            return MembershipEvent(event="NEW_MEMBERSHIP", view=view)
        case Query():
            return Answer(request_id=message.request_id, xml=NODES)
    return None


def serve(listener: socket.socket) -> None:
    while True:
        try:
            stream, _ = listener.accept()
        except OSError:
            return  # closed: the test is over
        reader = FrameReader(MAX_FRAME_BYTES)
        with stream:
            while data := stream.recv(65536):
                for body in reader.feed(data):
                    reply = answer(codec.decode(body))
                    if reply is not None:
                        stream.sendall(frame(codec.encode(reply), MAX_FRAME_BYTES))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="ha-"))  # a unix socket's path must be short; pytest's are not
    folder = root / "run/heartbeat"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HA_ROOT", str(root))
    monkeypatch.delenv("CIB_file", raising=False)
    monkeypatch.delenv("CIB_shadow", raising=False)
    listeners = []
    for name in ("crmd", "ccm", "cib"):
        path = folder / f"{name}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        listeners.append(listener)
    yield root
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("main", "words", "code", "out"),
    [
        (crmadmin.main, ["-D"], 0, "Designated Controller is: n1\n"),
        (crmadmin.main, ["-q", "-D", "-t", "500"], 0, "n1\n"),
        (crmadmin.main, ["-S", "n2"], 0, "Controller on n2 in state S_IDLE: ok\n"),
        (crmadmin.main, ["-S", "n9"], 102, ""),
        (crmadmin.main, ["-N"], 0, "cluster node: n1 (n1)\ncluster node: n2 (7)\n"),
        (crmadmin.main, ["-N", "remote"], 0, ""),
        (crmadmin.main, ["-N", "wild"], 64, ""),
        (crmadmin.main, ["-B", "-N"], 0, "export n1=n1\nexport n2=7\n"),
        (crmadmin.main, ["-D", "-t", "soon"], 64, ""),
        (crmadmin.main, ["-P"], 102, ""),
        (crm_node.main, ["-n"], 0, "n1\n"),
        (crm_node.main, ["-i"], 0, "1\n"),
        (crm_node.main, ["-l"], 0, "1 n1 member\n7 n2 lost\n"),
        (crm_node.main, ["-p"], 0, "n1\n"),
        (crm_node.main, ["-q"], 0, "1\n"),
        (crm_node.main, ["-N", "7"], 0, "n2\n"),
        (crm_node.main, ["-N", "8"], 105, ""),
        (crm_node.main, ["--force", "--remove", "n2"], 0, ""),
        (crm_node.main, ["-f", "-R", "n9"], 105, ""),
    ],
)
def test_what_the_commands_print(
    workers: Path, capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], words: list[str], code: int,
    out: str,
) -> None:
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == out
    assert bool(printed.err) == bool(code)


@pytest.mark.parametrize(("main", "words"), [(crmadmin.main, ["-D"]), (crmadmin.main, ["-N"]), (crm_node.main, ["-l"])])
def test_without_a_cluster_they_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], int], words: list[str],
) -> None:
    monkeypatch.setenv("HA_ROOT", "/nonexistent/ha")
    monkeypatch.delenv("CIB_file", raising=False)
    assert main(words) == 102
    assert "not running" in capsys.readouterr().err
