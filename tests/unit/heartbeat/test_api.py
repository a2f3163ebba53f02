# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat's client protocol: requests and answers, who may, events, and nonsense."""

from __future__ import annotations

import pytest

from ha.heartbeat.model.api import MAX_API_CLIENTS, ApiHangUp, ApiSend
from ha.heartbeat.model.wire import Fields, Framing, decode_unsigned, encode_unsigned
from ha.heartbeat.msg import ApiFrame
from ha.machine import Client, Execute, Lost, Note, Received
from tests.unit.heartbeat.wire_world import World

ROOT, NOBODY = 0, 65534


@pytest.fixture
def world() -> World:
    world = World(["a", "b"], config="apiauth ipfail uid=100\ndeadtime 4\nmsgfmt netstring")
    world.start()
    world.run(1_000)
    return world


def client(serial: int = -1, uid: int = ROOT) -> Client:
    return Client("register", serial, uid, uid, 4000 - serial)


def answers(effects: list[object], serial: int) -> list[Fields]:
    return [
        decode_unsigned(effect.request.data)[0]
        for effect in effects
        if isinstance(effect, Execute) and isinstance(effect.request, ApiSend) and effect.request.serial == serial
    ]


def say(
    world: World, who: Client, fields: dict[str, str], framing: Framing = "netstring", at: str = "a"
) -> list[Fields]:
    data = encode_unsigned(Fields(fields.items()), framing)
    return answers(world.step(at, Received(who, ApiFrame(data=data))), who.serial)


def ask(world: World, who: Client, reqtype: str, at: str = "a", **fields: str) -> list[dict[str, object]]:
    request = {"t": "hbapi-req", "reqtype": reqtype, "from_id": str(who.pid), **fields}
    return [dict(answer) for answer in say(world, who, request, at=at)]


def signed_on(world: World, serial: int = -1, name: str = "", at: str = "a") -> Client:
    who = client(serial)
    answer = ask(world, who, "signon", at, **({"from_id": name} if name else {}))
    assert answer[0]["result"] == "OK"
    return who


def test_signing_on_tells_times_and_node(world: World) -> None:
    answer = ask(world, client(), "signon", pid="4001", uid="0", gid="0")
    assert answer == [
        {
            "t": "hbapi-resp", "reqtype": "signon", "result": "OK", "deadtime": "fa0", "keepalive": "c8", "node": "a",
            "logfacility": "", "hbversion": "3.0.6", "pacemaker": "off",
        }
    ]  # fmt: skip


def test_an_answer_has_the_framing_of_its_request(world: World) -> None:
    data = encode_unsigned(Fields([("t", "hbapi-req"), ("reqtype", "signon")]), "classic")
    effects = world.step("a", Received(client(), ApiFrame(data=data)))
    sent = [e.request.data for e in effects if isinstance(e, Execute) and isinstance(e.request, ApiSend)]
    assert decode_unsigned(sent[0])[1] == "classic"


@pytest.mark.parametrize(
    ("reqtype", "fields", "answer"),
    [
        ("nodestatus", {"node": "b"}, {"st": "active"}),
        ("nodestatus", {"node": "A"}, {"st": "active"}),
        ("nodetype", {"node": "b"}, {"nodetype": "normal"}),
        ("nodeweight", {"node": "b"}, {"weight": "100"}),
        ("nodesite", {"node": "b"}, {"site": ""}),
        ("numnodes", {}, {"numnodes": "2"}),
        ("iflist", {"node": "b"}, {"ifname": "eth0"}),
        ("ifstatus", {"node": "b", "ifname": "eth0"}, {"st": "up"}),
        ("clientstatus", {"node": "b", "cn": "cib"}, {"cs": "online"}),
        ("clientstatus", {"node": "a", "cn": "cib"}, {"cs": "online"}),
        ("clientstatus", {"node": "b", "cn": "crmd"}, {"cs": "offline"}),
        ("getparm", {"pname": "deadtime"}, {"pvalue": "4"}),
        ("getparm", {"pname": "keepalive"}, {"pvalue": "200ms"}),
        ("getrsc", {}, {"rsc_hold": "none"}),
        ("setfilter", {"fmask": "1"}, {}),
        ("setsignal", {"signal": "10"}, {}),
        ("set_sendqlen", {"sendqlen": "64"}, {}),
    ],
)
def test_requests(world: World, reqtype: str, fields: dict[str, str], answer: dict[str, str]) -> None:
    got = ask(world, signed_on(world), reqtype, **fields)
    assert len(got) == 1
    assert got[0]["result"] == "OK"
    assert answer.items() <= got[0].items()


def test_lists_come_in_several_messages(world: World) -> None:
    got = ask(world, signed_on(world), "nodelist")
    assert [(g["node"], g["nodetype"], g["st"], g["result"]) for g in got] == [
        ("a", "normal", "active", "ok/more"),
        ("b", "normal", "active", "OK"),
    ]


def test_names_and_uuids(world: World) -> None:
    who = signed_on(world)
    uuid = ask(world, who, "getuuid", queryname="b")[0]["queryuuid"]
    assert isinstance(uuid, bytes)
    assert len(uuid) == 16
    fields = Fields([("t", "hbapi-req"), ("reqtype", "getnodename"), ("queryuuid", uuid)])
    got = answers(world.step("a", Received(who, ApiFrame(data=encode_unsigned(fields)))), who.serial)
    assert got[0].text("queryname") == "b"


@pytest.mark.parametrize(
    ("reqtype", "fields", "result"),
    [
        ("nodestatus", {"node": "zz"}, "badreq"),
        ("nodestatus", {}, "badreq"),
        ("ifstatus", {"node": "b", "ifname": "eth9"}, "badreq"),
        ("getparm", {"pname": "nothing"}, "fail"),
        ("getuuid", {"queryname": "zz"}, "fail"),
        ("getnodename", {}, "fail"),
        ("signon", {}, "badreq"),
        ("dance", {}, "badreq"),
        ("", {}, "badreq"),
    ],
)
def test_what_cannot_be_answered_says_why(world: World, reqtype: str, fields: dict[str, str], result: str) -> None:
    got = ask(world, signed_on(world), reqtype, **fields)
    assert [answer["result"] for answer in got] == [result]
    assert got[0]["failreason"]


def test_nothing_is_answered_before_sign_on(world: World) -> None:
    assert ask(world, client(), "nodelist")[0]["failreason"] == "sign on first"


@pytest.mark.parametrize(("field", "value"), [("pid", "1"), ("uid", "7"), ("gid", "7")])
def test_who_lies_about_itself_is_refused(world: World, field: str, value: str) -> None:
    assert ask(world, client(), "signon", **{field: value})[0]["result"] == "badreq"


def test_apiauth_decides(world: World) -> None:
    assert ask(world, client(-1, uid=100), "signon", from_id="ipfail")[0]["result"] == "OK"
    assert ask(world, client(-2, uid=101), "signon", from_id="ipfail")[0]["result"] == "badreq"
    assert ask(world, client(-3, uid=NOBODY), "signon")[0]["result"] == "badreq"
    assert ask(world, client(-4, uid=100), "signon", from_id="other")[0]["result"] == "badreq"


def test_a_name_is_taken_once_and_free_again_after_the_hang_up(world: World) -> None:
    first = signed_on(world, -1, "ipfail")
    assert ask(world, client(-2), "signon", from_id="ipfail")[0]["result"] == "badreq"
    world.step("a", Lost(first))
    assert ask(world, client(-3), "signon", from_id="ipfail")[0]["result"] == "OK"


def test_clients_see_each_other_on_other_nodes(world: World) -> None:
    watcher = signed_on(world, -1, "watcher", at="b")
    signed_on(world, -1, "ipfail", at="a")
    world.hosts["b"].executed.clear()
    world.run(20)
    events = answers(list(world.hosts["b"].executed), watcher.serial)
    assert [(e.text("t"), e.text("st"), e.text("src"), e.text("from_id")) for e in events] == [
        ("hbapi-clstat", "join", "a", "ipfail")
    ]
    assert ask(world, watcher, "clientstatus", "b", node="b", cn="ipfail")[0]["cs"] == "offline"
    assert ask(world, watcher, "clientstatus", "b", node="a", cn="ipfail")[0]["cs"] == "online"


def test_clients_of_one_name_speak_to_each_other(world: World) -> None:
    here, there = signed_on(world, -1, "ipfail", at="a"), signed_on(world, -1, "ipfail", at="b")
    world.run(20)
    world.hosts["b"].executed.clear()
    own = say(world, here, {"t": "num_ping_nodes", "num_ping": "3", "src": "forged"})
    world.run(20)
    heard = [m for m in answers(list(world.hosts["b"].executed), there.serial) if m.text("t") == "num_ping_nodes"]
    assert [(m.text("num_ping"), m.text("src"), m.text("from_id")) for m in heard] == [("3", "a", "ipfail")]
    assert [m.text("src") for m in own] == ["a"]
    world.hosts["b"].executed.clear()
    say(world, here, {"t": "only", "dest": "a"})
    world.run(20)
    assert answers(list(world.hosts["b"].executed), there.serial) == []


def test_named_clients_are_told_of_nodes_and_links(world: World) -> None:
    who, casual = signed_on(world, -1, "watcher"), signed_on(world, -2)
    world.hosts["a"].executed.clear()
    world.kill("b")
    world.run(6_000)
    events = [dict(e) for e in answers(list(world.hosts["a"].executed), who.serial)]
    assert {"t": "status", "src": "b", "st": "dead"} in events
    assert {"t": "ifstat", "node": "b", "ifname": "eth0", "st": "dead"} in events
    assert answers(list(world.hosts["a"].executed), casual.serial) == []


def test_a_filter_stops_events(world: World) -> None:
    who = signed_on(world, -1, "watcher")
    ask(world, who, "setfilter", fmask="4")
    world.hosts["a"].executed.clear()
    world.kill("b")
    world.run(6_000)
    assert answers(list(world.hosts["a"].executed), who.serial) == []


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"###\n", b">>>\nt=x\n", bytes(1000), encode_unsigned(Fields([("t", "x")])),
             encode_unsigned(Fields([("t", b"binary")]))]
)  # fmt: skip
def test_nonsense_is_hung_up_on(world: World, data: bytes) -> None:
    effects = world.step("a", Received(client(), ApiFrame(data=data)))
    assert [e.request for e in effects if isinstance(e, Execute)] == [ApiHangUp(-1)]
    assert len([e for e in effects if isinstance(e, Note)]) == 1


def test_clients_are_limited(world: World) -> None:
    for number in range(1, MAX_API_CLIENTS + 1):
        signed_on(world, -number)
    data = encode_unsigned(Fields([("t", "hbapi-req"), ("reqtype", "signon")]))
    effects = world.step("a", Received(client(-1000), ApiFrame(data=data)))
    assert [e.request for e in effects if isinstance(e, Execute)] == [ApiHangUp(-1000)]
