# SPDX-License-Identifier: GPL-2.0-or-later
"""Beside a Heartbeat 3.0.6: what it needs to see of us, and what we make of it.

The peer here says what an independent peer had to say to be called active by real 3.0.6 daemons.
"""

from __future__ import annotations

import pytest

from ha.heartbeat.core.sequence import HISTORY_PACKETS, History, PeerSequence
from ha.heartbeat.model.api import ApiSend
from ha.heartbeat.model.wire import Compression, Fields, compress, decode_unsigned, encode_unsigned, pack, unpack
from ha.heartbeat.msg import ApiFrame
from ha.machine import Client, Packet, Received, Send, Wire
from tests.unit.heartbeat.wire_world import KEYS, World

WIRE = Wire("bcast eth0", "10.0.0.2:40000")
UUID = bytes(range(16))


class OldPeer:
    """Node `b` of the cluster, by hand."""

    def __init__(self, world: World, framing: str = "netstring") -> None:
        self.world, self.framing, self.seq, self.generation = world, framing, 0, 0x6B000000

    def say(self, kind: str, seq: int | None = None, **fields: str) -> list[Fields]:
        """Send one packet; what node a sends in answer."""
        items = [("t", kind), *fields.items(), ("src", "b"), ("srcuuid", UUID)]
        if not kind.startswith("NS_"):
            self.seq = self.seq + 1 if seq is None else max(seq, self.seq)
            items.append(("seq", f"{self.seq if seq is None else seq:x}"))
        items += [("hg", f"{self.generation:x}"), ("ts", "6b02ad3c"), ("ld", "0.1 0.1 0.1 1/1 1"), ("ttl", "3")]
        packet = Packet(data=pack(Fields(items), KEYS, self.framing))  # type: ignore[arg-type]
        effects = self.world.step("a", Received(WIRE, packet))
        return [
            unpack(effect.message.data, KEYS)  # type: ignore[attr-defined]
            for effect in effects
            if isinstance(effect, Send) and isinstance(effect.to, Wire)
        ]

    def status(self, state: str, seq: int | None = None) -> list[Fields]:
        return self.say("status", seq, st=state, dt="fa0", protocol="1")


@pytest.fixture(params=["netstring", "classic"])
def peer(request: pytest.FixtureRequest) -> OldPeer:
    world = World(["a", "b"])
    world.start("a")
    world.run(50)
    return OldPeer(world, request.param)


def of_type(packets: list[Fields], kind: str) -> list[Fields]:
    return [packet for packet in packets if packet.text("t") == kind]


def test_it_becomes_active_by_its_word(peer: OldPeer) -> None:
    for state in ("init", "up", "active"):
        peer.status(state)
    assert [s.state for s in peer.world.hosts["a"].statuses if s.node == "b"] == ["init", "up", "active"]
    assert peer.world.hosts["a"].state_of("a") == "active"
    assert peer.world.hosts["a"].statuses[-1].generation == 0x6B000000


def test_our_first_packets_are_what_it_expects() -> None:
    world = World(["a", "b"])
    sent: list[Fields] = []
    world.travel = lambda _host, _wire, packet: sent.append(unpack(packet.data, KEYS))  # type: ignore[method-assign]
    world.start("a")
    assert [(f.text("t"), f.text("st"), f.hexadecimal("seq"), f.text("protocol")) for f in sent[:2]] == [
        ("status", "init", 1, "1"),
        ("status", "up", 2, "1"),
    ]
    for fields in sent:
        assert fields.text("src") == "a"
        assert len(fields.binary("srcuuid")) == 16
        assert fields.hexadecimal("hg")
        assert fields.hexadecimal("ts")
        assert fields.decimal("ttl") == 3
        assert fields.hexadecimal("dt") == 1000


def test_every_tenth_packet_is_acknowledged(peer: OldPeer) -> None:
    acks = [of_type(peer.status("active"), "NS_ackmsg") for _ in range(30)]
    acknowledged = [ack[0].hexadecimal("ackseq") for ack in acks if ack]
    assert len(acknowledged) == 3
    assert {number % 10 for number in acknowledged} == {acknowledged[0] % 10}  # type: ignore[operator]
    assert all(ack[0].text("dest") == "b" for ack in acks if ack)


def test_what_is_missing_is_asked_for_until_it_comes(peer: OldPeer) -> None:
    peer.status("active")
    asked: list[tuple[int | None, int | None]] = []
    travel = peer.world.travel

    def watch(host: object, wire: Wire, packet: Packet) -> None:
        for request in of_type([unpack(packet.data, KEYS)], "NS_rexmit"):
            asked.append((request.decimal("firstseq"), request.decimal("lastseq")))
        travel(host, wire, packet)  # type: ignore[arg-type]

    peer.world.travel = watch  # type: ignore[method-assign]
    peer.status("active", seq=4)
    peer.world.run(900)
    assert set(asked) == {(2, 2), (3, 3)}
    assert 2 <= asked.count((2, 2)) <= 4
    peer.status("up", seq=2)
    peer.say("NS_nak_rexmit", dest="a", firstseq="3", info="gone")
    peer.status("active")
    asked.clear()
    peer.world.run(900)
    assert asked == []
    assert peer.world.hosts["a"].state_of("b") == "active"


def test_it_may_ask_for_our_packets_again(peer: OldPeer) -> None:
    peer.status("active")
    again = of_type(peer.say("NS_rexmit", dest="a", firstseq="1", lastseq="2"), "status")
    assert [fields.hexadecimal("seq") for fields in again] == [1, 2]
    assert of_type(peer.say("NS_rexmit", dest="a", firstseq="1", lastseq="2"), "status") == []
    assert of_type(peer.say("NS_rexmit", dest="other", firstseq="1", lastseq="2"), "status") == []
    refused = of_type(peer.say("NS_rexmit", dest="a", firstseq="7000", lastseq="7000"), "NS_nak_rexmit")
    assert [fields.hexadecimal("firstseq") for fields in refused] == [7000]


def test_it_is_told_the_nodes(peer: OldPeer) -> None:
    peer.status("up")
    answer = of_type(peer.say("reqnodes", dest="a"), "repnodes")
    assert [(f.text("nodelist"), f.text("delnodelist"), f.text("dest")) for f in answer] == [("a b ", " ", "b")]


def test_it_dies_leaves_and_restarts_like_others(peer: OldPeer) -> None:
    peer.status("active")
    peer.world.run(1_100)
    assert peer.world.hosts["a"].state_of("b") == "dead"
    peer.status("active")
    assert peer.world.hosts["a"].state_of("b") == "active"
    peer.status("dead")
    assert peer.world.hosts["a"].state_of("b") == "left"
    peer.generation += 1
    peer.seq = 0
    peer.status("up")
    assert peer.world.hosts["a"].state_of("b") == "up"


class Chat:
    """A program on node a that signed on as `chat`, and what it was sent."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, Client("register", -1, 0, 0, 77)
        self.heard: list[Fields] = []
        self.say(t="hbapi-req", reqtype="signon", from_id="chat", pid="77", uid="0", gid="0")

    def say(self, **fields: str) -> list[Fields]:
        """Send; what node a puts on the wire for it."""
        frame = ApiFrame(data=encode_unsigned(Fields(fields.items())))
        effects = self.world.step("a", Received(self.client, frame))
        return [unpack(e.message.data, KEYS) for e in effects if isinstance(e, Send) and isinstance(e.to, Wire)]  # type: ignore[attr-defined]

    def read(self) -> list[Fields]:
        executed, self.world.hosts["a"].executed = self.world.hosts["a"].executed, []
        sent = [e.request.data for e in executed if isinstance(e.request, ApiSend)]
        return [decode_unsigned(data)[0] for data in sent]


def test_messages_of_its_clients_come_in_order_and_once(peer: OldPeer) -> None:
    peer.status("active")
    chat = Chat(peer.world)
    chat.read()
    talk = {"from_id": "chat", "to_id": "chat"}
    peer.say("hello", n="1", **talk)
    peer.say("hello", n="3", seq=4, **talk)
    peer.say("hello", n="3", seq=4, **talk)
    peer.say("hello", n="for b", seq=5, dest="b", **talk)
    assert [m.text("n") for m in chat.read()] == ["1"]
    peer.say("hello", n="2", seq=3, **talk)
    heard = chat.read()
    assert [(m.text("t"), m.text("n"), m.text("src")) for m in heard] == [("hello", "2", "b"), ("hello", "3", "b")]
    peer.say("hello", n="5", seq=7, **talk)
    assert chat.read() == []
    peer.say("NS_nak_rexmit", dest="a", firstseq="6", info="gone")
    assert [m.text("n") for m in chat.read()] == ["5"]


def test_messages_of_ours_reach_its_clients(peer: OldPeer) -> None:
    peer.status("active")
    chat = Chat(peer.world)
    (sent,) = chat.say(t="hello", n="1", src="forged", to_id="other")
    assert [sent.text(name) for name in ("t", "n", "src", "from_id", "to_id")] == ["hello", "1", "a", "chat", "chat"]
    assert sent.hexadecimal("seq")
    again = of_type(
        peer.say("NS_rexmit", dest="a", firstseq=str(sent.hexadecimal("seq")), lastseq=str(sent.hexadecimal("seq"))),
        "hello",
    )
    assert [m.text("n") for m in again] == ["1"]
    assert chat.say(t="hello", dest="a") == []
    assert [m.text("dest") for m in chat.say(t="hello", dest="b")] == ["b"]
    assert chat.say(t="hello", text="x" * 100_000) == []
    assert any("too large" in note.text for _, note in peer.world.hosts["a"].notes)


@pytest.mark.parametrize("kind", ["status", "reqnodes", "NS_rexmit", "NS_ha_hello", "hbapi-clstat", "respond-cstatus"])
def test_a_client_cannot_speak_for_heartbeat(peer: OldPeer, kind: str) -> None:
    peer.status("active")
    assert Chat(peer.world).say(t=kind, st="dead", leave="1", protocol="1", dest="b") == []


def test_a_client_cannot_hide_a_message_of_heartbeat_in_a_compressed_one(peer: OldPeer) -> None:
    peer.status("active")
    chat = Chat(peer.world)
    hidden = compress(
        Fields([("t", "status"), ("st", "dead"), ("src", "b"), ("hg", "ff")]), Compression("zlib", 0, True)
    )
    frame = ApiFrame(data=encode_unsigned(Fields([("t", "hello"), *hidden])))
    effects = peer.world.step("a", Received(chat.client, frame))
    sent = [unpack(e.message.data, KEYS) for e in effects if isinstance(e, Send) and isinstance(e.to, Wire)]  # type: ignore[attr-defined]
    assert [(packet.text("t"), packet.text("src"), packet.text("st")) for packet in sent] == [("hello", "a", "")]


def test_clients_hear_of_each_other(peer: OldPeer) -> None:
    peer.status("active")
    chat = Chat(peer.world)
    chat.read()
    peer.say("hbapi-clstat", st="join", from_id="other", to_id="other", info="signon", client_gen="0")
    assert [(m.text("t"), m.text("st"), m.text("from_id")) for m in chat.read()] == [("hbapi-clstat", "join", "other")]
    (answer,) = of_type(peer.say("query-cstatus", dest="a", cn="chat", from_id="41"), "respond-cstatus")
    assert [answer.text(name) for name in ("to_id", "cn", "cs", "dest")] == ["41", "chat", "online", "b"]
    asked = chat.say(t="hbapi-req", reqtype="clientstatus", from_id="chat", node="b", cn="other")
    assert [(m.text("t"), m.text("dest"), m.text("cn"), m.text("from_id")) for m in asked] == [
        ("query-cstatus", "b", "other", "chat")
    ]
    peer.say("respond-cstatus", dest="a", result="OK", cn="other", to_id="chat", cs="online")
    assert [(m.text("t"), m.text("cs")) for m in chat.read()] == [("respond-cstatus", "online")]
    chat.say(t="hbapi-req", reqtype="clientstatus", from_id="chat", node="a", cn="chat")
    assert [(m.text("subt"), m.text("cs")) for m in chat.read()] == [("respond-cstatus", "online")]
    chat.say(t="query-cstatus", cn="chat", dest="a")
    assert [(m.text("t"), m.text("cs")) for m in chat.read()] == [("respond-cstatus", "online")]


def test_loss_delays_acknowledgements_but_does_not_lose_them() -> None:
    sequence = PeerSequence(0)
    for seq in (1, 2, 4, *range(5, 31)):
        sequence.receive(seq, 0)
        assert sequence.acknowledge() == 0
    sequence.receive(3, 0)
    assert sequence.acknowledge() == 30
    assert sequence.acknowledge() == 0


def test_it_leaves_when_it_has_released_its_resources(peer: OldPeer) -> None:
    peer.status("active")
    peer.say("resource", rsc_hold="none", isstable="0", info="shutdown")
    assert peer.world.hosts["a"].state_of("b") == "active"
    peer.say("shutdone", st="dead")
    assert peer.world.hosts["a"].state_of("b") == "left"


def test_what_is_held_behind_its_goodbye_is_dropped(peer: OldPeer) -> None:
    peer.status("active")
    chat = Chat(peer.world)
    chat.read()
    peer.say("shutdone", st="dead", seq=3)
    peer.say("hello", n="1", seq=4, from_id="chat", to_id="chat")
    assert peer.world.hosts["a"].state_of("b") == "active"
    peer.say("hello", n="0", seq=2, from_id="chat", to_id="chat")
    assert peer.world.hosts["a"].state_of("b") == "left"
    assert [m.text("n") for m in chat.read() if m.text("t") == "hello"] == ["0"]


def test_modules_cannot_reach_it(peer: OldPeer) -> None:
    peer.status("active")
    peer.world.transmit("a", "b", b"x")
    assert any("a message of cib to b (active) is dropped" in n.text for _, n in peer.world.hosts["a"].notes)


@pytest.mark.parametrize(
    "fields",
    [{"t": "status", "st": "odd"}, {"t": "status"}, {"t": "NS_rexmit", "dest": "a"},
     {"t": "NS_rexmit", "dest": "a", "firstseq": "9", "lastseq": "1"}, {"t": "NS_nak_rexmit", "dest": "a"},
     {"t": "whatever"}, {"t": "NS_whatever"}, {"t": "crmd", "dest": "a", "xml": "<x/>"}],
)  # fmt: skip
def test_odd_messages_change_nothing(peer: OldPeer, fields: dict[str, str]) -> None:
    peer.status("active")
    kind = fields["t"]
    peer.say(kind, **{name: value for name, value in fields.items() if name != "t"})
    assert peer.world.hosts["a"].state_of("b") == "active"


def test_a_huge_jump_starts_over() -> None:
    sequence = PeerSequence(3)
    assert [sequence.receive(seq, 0) for seq in (1, 2, 2, 5, 3, 3, 400, 4)] == [
        "new", "new", "duplicate", "new", "late", "duplicate", "new", "duplicate",
    ]  # fmt: skip
    assert sequence.requests(10**6, 250) == []


def test_history_is_bounded() -> None:
    history = History(250)
    for seq in range(1, 3 * HISTORY_PACKETS):
        history.keep(seq, [("seq", str(seq))])
    assert len(history.packets) == HISTORY_PACKETS
    assert history.repeat(1, 3, 0) == ([], [1, 2, 3])
    found, _ = history.repeat(3 * HISTORY_PACKETS - 1 - 200, 3 * HISTORY_PACKETS, 0)
    assert len(found) == 50
