# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets: a round trip for whatever can be said, and nothing but WireError for whatever arrives."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.heartbeat.model import parse_authkeys
from ha.heartbeat.model.stream import Ack, Chunk, Hello, from_fields, to_fields
from ha.heartbeat.model.wire import Fields, WireError, decode_unsigned, pack, unpack
from ha.machine import Packet, Received, Wire
from tests.unit.heartbeat.test_wire import ACK, CRC, STATUS
from tests.unit.heartbeat.wire_world import KEYS, World

KEY = parse_authkeys("auth 1\n1 hmac-sha256 k\n3 crc\n", "authkeys")
names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)
texts = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
values = st.recursive(
    st.one_of(texts, st.binary(max_size=40), st.lists(texts, max_size=4).map(tuple)),
    lambda inner: st.lists(st.tuples(names, inner), max_size=4).map(Fields),
    max_leaves=8,
)


@given(st.lists(st.tuples(names, values), max_size=10).map(Fields))
def test_netstring_round_trip(fields: Fields) -> None:
    assert unpack(pack(fields, KEY), KEY) == fields


@given(st.lists(st.tuples(names.filter(lambda n: n != "auth"), st.one_of(st.binary(max_size=40), names)), max_size=10))
def test_classic_round_trip(items: list[tuple[str, bytes | str]]) -> None:
    fields = Fields(items)
    assert unpack(pack(fields, KEY, "classic"), KEY) == fields


numbers = st.integers(0, 2**60)
modules = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}", fullmatch=True)


@given(
    st.one_of(
        st.builds(Hello, session=numbers, attached=numbers, over=numbers),
        st.builds(
            Chunk, session=numbers, attached=numbers, number=st.integers(5, 2**40), order=st.integers(1, 5),
            acknowledged=numbers, kind=st.just("message"), from_module=modules, to_module=modules,
            remaining=st.integers(0, 1000), push=st.booleans(), data=st.binary(max_size=50),
        ),
        st.builds(
            Ack, session=numbers, attached=numbers, acknowledged=st.integers(0, 5), seen=st.integers(5, 2**40),
            missing=st.lists(st.integers(0, 2**40).map(lambda n: (n, n + 3)), max_size=5).map(tuple),
        ),
    )
)  # fmt: skip
def test_packets_of_an_association_round_trip(packet: Hello | Chunk | Ack) -> None:
    assert from_fields(unpack(pack(Fields(to_fields(packet)), KEY), KEY)) == packet


FIELD_NAMES = ["t", "ss", "ps", "n", "o", "ackseq", "seen", "miss", "k", "from", "to", "b"]
nonsense = st.one_of(texts, st.binary(max_size=9), st.sampled_from(["NS_ha_data", "NS_ha_ack", "1-2"]))


@given(st.dictionaries(st.sampled_from(FIELD_NAMES), nonsense))
def test_nonsense_in_an_association_is_a_wire_error(items: dict[str, str | bytes]) -> None:
    with contextlib.suppress(WireError):
        from_fields(Fields(items.items()))


@given(st.binary(max_size=400))
def test_bytes_from_nowhere(data: bytes) -> None:
    for packet in (data, b"###\n" + data, b">>>\n" + data + b"\n<<<\n\0"):
        with contextlib.suppress(WireError):
            unpack(packet, KEY)
        with contextlib.suppress(WireError):
            decode_unsigned(packet)


mutations = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["change", "drop", "double", "cut", "insert"]), st.integers(0, 255)),
    min_size=1, max_size=6,
)  # fmt: skip


def mutate(packet: bytes, changes: list[tuple[float, str, int]]) -> bytes:
    for place, change, byte in changes:
        position = int(place * len(packet))
        before, here, after = packet[:position], packet[position : position + 1], packet[position + 1 :]
        packet = {
            "change": before + bytes([byte]) + after,
            "drop": before + after,
            "double": before + here * 2 + after,
            "cut": before,
            "insert": before + bytes([byte]) + here + after,
        }[change]
    return packet


@settings(max_examples=300)
@given(st.sampled_from([ACK, STATUS]), mutations)
def test_mutated_real_packets_with_a_true_signature(packet: bytes, changes: list[tuple[float, str, int]]) -> None:
    """An authentic sender that speaks nonsense: signed anew after the mutation, so that parsing gets that far."""
    body = mutate(packet[: packet.index(b"%%%\n")], changes) + b"%%%\n"
    signature = CRC.sign(body).encode()
    with contextlib.suppress(WireError):
        unpack(b"%s%d:%s," % (body, len(signature), signature), CRC)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), mutations)
def test_no_mutated_packet_of_the_cluster_stops_a_core(index: int, changes: list[tuple[float, str, int]]) -> None:
    """Packets of a running cluster, mutated and signed anew with its own key, given to a core: it goes on."""
    world = World(["a", "b"])
    recorded: list[Packet] = []
    travel = world.travel

    def record(sender: object, wire: Wire, packet: Packet) -> None:
        recorded.append(packet)
        travel(sender, wire, packet)  # type: ignore[arg-type]

    world.travel = record  # type: ignore[method-assign]
    world.start()
    world.transmit("b", "a", bytes(3_000))
    world.run(300)
    world.transmit("b", "a", bytes(3_000))
    world.run(3)
    data = recorded[index % len(recorded)].data
    body = mutate(data[: data.index(b"%%%\n")], changes) + b"%%%\n"
    signature = KEYS.sign(body).encode()
    forged = Packet(data=b"%s%d:%s," % (body, len(signature), signature))
    world.step("a", Received(Wire("bcast eth0", "10.0.0.2:694"), forged))
    world.run(500)
    world.transmit("b", "b", b"still here")
    assert world.hosts["b"].bodies("cib", "b")[-1:] == [b"still here"]
