# SPDX-License-Identifier: GPL-2.0-or-later
"""Encrypted packets: what opens them, what does not, and nonces that never repeat."""

from __future__ import annotations

import random

import pytest

from ha.heartbeat.model import AuthKeys, AuthKeysError, parse_authkeys
from ha.heartbeat.model.authkeys import render
from ha.heartbeat.model.wire import BadSignature, Fields, Nonces, WireError, pack, unpack
from ha.heartbeat.model.wire.sealed import HEADER, START
from ha.machine import Packet, Received, Send, Started, Wall, Wire
from tests.unit.heartbeat.wire_world import WALL_OFFSET_MS, World

SECRET, OTHER = "00112233445566778899aabbccddeeff" * 2, "ff" * 32
FIELDS = Fields([("t", "status"), ("st", "active"), ("secret", "of-a-fence-device"), ("src", "a"), ("hg", "5")])


def keys(text: str) -> AuthKeys:
    return parse_authkeys(text, "authkeys")


@pytest.fixture(params=["chacha20-poly1305", "aes-256-gcm"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def salted(salt: int = 1) -> Nonces:
    return Nonces(bytes([salt]) * 16)


def test_there_and_back_and_unreadable_between(method: str) -> None:
    own = keys(f"auth 2\n1 sha1 old\n2 {method} {SECRET}\n")
    packet = pack(FIELDS, own, nonces=salted())
    assert b"fence" not in packet
    assert b"status" not in packet
    assert unpack(packet, own) == FIELDS
    assert unpack(packet, keys(f"auth 1\n1 sha1 old\n2 {method} {SECRET}\n")) == FIELDS


@pytest.mark.parametrize(
    "others", ["1 sha1 old", "2 sha1 old", "2 {method} {OTHER}", "3 {method} {SECRET}", "2 hmac-sha256 {SECRET}"]
)
def test_no_other_key_opens_it(method: str, others: str) -> None:
    packet = pack(FIELDS, keys(f"auth 2\n2 {method} {SECRET}\n"), nonces=salted())
    other = others.format(method=method, OTHER=OTHER, SECRET=SECRET)
    with pytest.raises(BadSignature):
        unpack(packet, keys(f"auth {other[0]}\n{other}\n"))


def test_a_key_that_encrypts_never_vouches_for_plain_packets(method: str) -> None:
    own = keys(f"auth 2\n2 {method} {SECRET}\n")
    for attempt in ("1 sha1 x", f"2 sha1 {SECRET}", "2 crc"):
        with pytest.raises(BadSignature):
            unpack(pack(FIELDS, keys(f"auth {attempt[0]}\n{attempt}\n")), own)


def test_every_changed_byte_is_noticed(method: str) -> None:
    own = keys(f"auth 2\n2 {method} {SECRET}\n")
    packet = pack(FIELDS, own, nonces=salted())
    for position in range(len(packet)):
        forged = bytearray(packet)
        forged[position] ^= 1
        with pytest.raises(WireError):
            unpack(bytes(forged), own)
    for length in range(len(packet)):
        with pytest.raises(WireError):
            unpack(packet[:length], own)


def test_garbage_is_a_wire_error(method: str) -> None:
    own, dice = keys(f"auth 2\n2 {method} {SECRET}\n"), random.Random(1)
    for _ in range(2_000):
        with pytest.raises(WireError):
            unpack(START + dice.randbytes(dice.randrange(200)), own)


@pytest.mark.parametrize("word", ["", "short", SECRET[:-1], SECRET + "00", "zz" * 32])
def test_a_weak_or_broken_key_is_refused_without_being_quoted(method: str, word: str) -> None:
    with pytest.raises(AuthKeysError) as caught:
        keys(f"auth 1\n1 {method} {word}\n")
    assert "authkeys:2" in str(caught.value)
    assert not word or word not in str(caught.value)


def test_a_file_is_rendered_as_it_is_read(method: str) -> None:
    text = f"auth 2\n1 crc\n2 {method} {SECRET}\n3 hmac-sha256 word\n"
    assert render(keys(text)) == text


# In the machine -------------------------------------------------------------------------------------------------------


def nonces_of(packets: list[bytes]) -> list[tuple[bytes, int]]:
    """(what the packet's subkey is made of, the count in it)."""
    found = []
    for packet in packets:
        number, length, _, generation, salt, count = HEADER.unpack_from(packet, len(START))
        name = packet[len(START) + HEADER.size :][:length]
        found.append((bytes([number]) + name + generation.to_bytes(8, "big") + salt, count))
    return found


def encrypted_world(names: list[str]) -> tuple[World, list[tuple[str, Wire, bytes]]]:
    """A cluster that encrypts, and everything that any node has put on the wire: sender, wire, packet."""
    world = World(names, keys=keys(f"auth 1\n1 chacha20-poly1305 {SECRET}\n"))
    heard: list[tuple[str, Wire, bytes]] = []
    travel = world.travel

    def listen(host, wire, packet):  # type: ignore[no-untyped-def]
        heard.append((host.name, wire, packet.data))
        travel(host, wire, packet)

    world.travel = listen  # type: ignore[method-assign]
    return world, heard


def test_nonces_never_repeat_across_restarts_boots_and_restored_disks() -> None:
    world, heard = encrypted_world(["a", "b"])
    world.start()
    world.run(3_000)
    copy = dict(world.hosts["b"].persisted)
    for number in range(6):
        world.kill("b")
        if number % 2:
            world.hosts["b"].persisted = dict(copy)  # the disk of long ago
        if number == 4:
            world.hosts["b"].persisted.clear()
        world.boot("b")
        world.run(3_000)
    used = [nonce for packet in {packet for _, _, packet in heard} for nonce in nonces_of([packet])]
    assert len(used) > 200
    assert len(set(used)) == len(used)


def test_an_old_recording_moves_nothing_after_both_restarted() -> None:
    """All that was ever said is said again to nodes that remember none of it: nobody lives, leaves or dies by it."""
    world, heard = encrypted_world(["a", "b", "c"])
    world.start()
    world.run(3_000)
    world.transmit("b", "a", b"an order of long ago")
    world.run(500)
    world.stop("b")
    world.run(500)
    recorded = [(wire, packet) for name, wire, packet in heard if name == "b"]
    assert len(recorded) > 20
    world.kill("a")
    world.boot("a")
    world.hosts["a"].statuses.clear()
    for wire, packet in recorded:
        world.step("a", Received(Wire(wire.medium, "10.0.0.2:694"), Packet(data=packet)))
        world.run(20)
    assert {s.state for s in world.hosts["a"].statuses if s.node == "b"} <= {"init", "dead"}
    assert world.hosts["a"].bodies("cib", "b") == []
    world.boot("b")
    world.run_until(lambda: world.hosts["a"].state_of("b") == "active", 15_000)
    for wire, packet in recorded:
        world.step("a", Received(Wire(wire.medium, "10.0.0.2:694"), Packet(data=packet)))
    world.run(100)
    assert world.hosts["a"].state_of("b") == "active"
    assert world.hosts["a"].bodies("cib", "b") == []


def test_one_packet_on_two_media_has_one_nonce_and_one_text() -> None:
    world, _ = encrypted_world(["a", "b"])
    world.hosts["a"].media = "bcast eth0 eth1"
    world.hosts["a"].life = 0
    from ha.heartbeat.core import build
    from ha.heartbeat.model import parse

    core = build(node="a", ha_cf=parse("node a b\nbcast eth0 eth1\n", "ha.cf"), keys=world.keys, boot_id="boot")
    core.step(Started("a-1", 7, {}), 1_000)
    effects = core.step(Wall(WALL_OFFSET_MS), 1_000)
    sent = [e.message.data for e in effects if isinstance(e, Send) and isinstance(e.message, Packet)]
    by_nonce: dict[tuple[bytes, int], set[bytes]] = {}
    for packet in sent:
        by_nonce.setdefault(nonces_of([packet])[0], set()).add(packet)
    assert len(sent) > len(by_nonce)
    assert all(len(texts) == 1 for texts in by_nonce.values())
