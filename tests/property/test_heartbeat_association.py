# SPDX-License-Identifier: GPL-2.0-or-later
"""Two ends of an association over a wire that does anything, and ends that break off whenever they like.

Whatever happens: what is handed over was sent in the sender's present session, in order, each message once. And when
the wire heals, both ends agree on a session and everything sent in it arrives.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.heartbeat.core.association import Association, Began
from ha.heartbeat.model.stream import Chunk, Frame, StreamPacket, from_fields, to_fields
from ha.heartbeat.model.wire import Fields

FRAGMENT_BYTES = 8
MODULES = ("ccm", "cib")


@dataclass
class End:
    association: Association
    sent: dict[int, list[Frame]] = field(default_factory=dict)
    """By session, what was submitted in it."""
    received: dict[int, list[Frame]] = field(default_factory=dict)
    """By the peer's session, what was handed over."""

    def __post_init__(self) -> None:
        self.known = (self.association.session, self.association.outgoing)

    def follow(self) -> None:
        """A session that only got a new number takes along what was submitted in it."""
        session, outgoing = self.known
        self.known = (self.association.session, self.association.outgoing)
        if outgoing is self.association.outgoing and session != self.association.session:
            self.sent[self.association.session] = self.sent.pop(session, [])

    def submit(self, frame: Frame) -> None:
        self.association.submit(frame)
        self.sent.setdefault(self.association.session, []).append(frame)


class Wire:
    def __init__(self, seed: int, loss: float, doubling: float, delay_ms: int) -> None:
        self.random = random.Random(seed)
        self.loss, self.doubling, self.delay_ms = loss, doubling, delay_ms
        self.now = 1000
        self.ends = {name: End(Association(generation << 24 | 1, FRAGMENT_BYTES, 250))
                     for name, generation in (("a", 5), ("b", 900))}  # fmt: skip
        self.under_way: list[tuple[int, int, str, StreamPacket]] = []
        self.replayable: list[tuple[str, StreamPacket]] = []
        self.count = 0
        for end in self.ends.values():
            end.association.begin(self.now, [])

    def turn(self) -> None:
        """One millisecond."""
        self.now += 1
        arrived = sorted(entry for entry in self.under_way if entry[0] <= self.now)
        self.under_way = [entry for entry in self.under_way if entry[0] > self.now]
        for _, _, to, packet in arrived:
            self.hand_over(to, packet)
        for name, end in self.ends.items():
            for outbound in end.association.due(self.now):
                self.send("b" if name == "a" else "a", outbound.packet)

    def send(self, to: str, packet: StreamPacket) -> None:
        packet = from_fields(Fields(to_fields(packet)))
        self.replayable.append((to, packet))
        for _ in range(2 if self.random.random() < self.doubling else 1):
            if self.random.random() >= self.loss:
                self.count += 1
                self.under_way.append((self.now + self.random.randint(1, self.delay_ms), self.count, to, packet))

    def hand_over(self, to: str, packet: StreamPacket) -> None:
        end = self.ends[to]
        broken = end.association.breaks
        for arrival in end.association.receive(packet, self.now, []):
            if isinstance(arrival, Began):
                assert end.association.attached not in end.received, "attached to a session twice"
                end.received[end.association.attached] = []
            else:
                assert end.association.breaks == broken or not isinstance(packet, Chunk)
                end.received[packet.session].append(arrival)
        end.follow()
        self.check()

    def check(self) -> None:
        for here, there in (("a", "b"), ("b", "a")):
            for session, frames in self.ends[here].received.items():
                sent = self.ends[there].sent.get(session, [])
                for module in MODULES:
                    got = [frame for frame in frames if frame.from_module == module]
                    assert got == [frame for frame in sent if frame.from_module == module][: len(got)]

    def heal(self) -> None:
        self.loss = self.doubling = 0.0
        self.delay_ms = 3

    def converged(self) -> bool:
        a, b = self.ends["a"], self.ends["b"]
        return all(
            here.association.established
            and here.association.attached == there.association.session
            and len(here.received.get(there.association.session, []))
            == len(there.sent.get(there.association.session, []))
            for here, there in ((a, b), (b, a))
        )


frames = st.builds(
    Frame,
    kind=st.just("message"),
    from_module=st.sampled_from(MODULES),
    to_module=st.just("cib"),
    body=st.binary(max_size=5 * FRAGMENT_BYTES),
)
orders = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("ab"), frames),
        st.tuples(st.just("run"), st.integers(1, 80), st.none()),
        st.tuples(st.just("break"), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("replay"), st.one_of(st.integers(0, 6), st.integers(0, 10_000)), st.none()),
        st.tuples(st.just("blackout"), st.integers(1, 400), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.5),
    doubling=st.floats(0, 0.3),
    delay_ms=st.integers(1, 40),
    orders=orders,
)
def test_in_order_once_and_only_of_the_present_session(
    seed: int, loss: float, doubling: float, delay_ms: int, orders: list[tuple[str, object, object]]
) -> None:
    wire = Wire(seed, loss, doubling, delay_ms)
    for order, first, second in orders:
        if order == "submit":
            wire.ends[str(first)].submit(second)  # type: ignore[arg-type]
        elif order == "run":
            for _ in range(int(str(first))):
                wire.turn()
        elif order == "break":
            wire.ends[str(first)].association.break_off(wire.now, [])
            wire.ends[str(first)].follow()
        elif order == "replay" and wire.replayable:
            to, packet = wire.replayable[int(str(first)) % len(wire.replayable)]
            wire.hand_over(to, packet)
        elif order == "blackout":
            wire.loss, kept = 1.0, wire.loss
            for _ in range(int(str(first))):
                wire.turn()
            wire.loss = kept
    wire.heal()
    for name in "ab":
        wire.ends[name].submit(Frame("message", "ccm", "cib", b"the last"))
    for _ in range(5_000):
        wire.turn()
        if wire.converged():
            break
    assert wire.converged()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.3), size=st.integers(0, 6_000))
def test_a_long_message_arrives_whole(seed: int, loss: float, size: int) -> None:
    wire = Wire(seed, loss, 0.1, 10)
    body = random.Random(seed).randbytes(size)
    wire.ends["a"].submit(Frame("message", "cib", "cib", body))
    for _ in range(60_000):
        wire.turn()
        if wire.converged():
            break
    assert [frame.body for frame in wire.ends["b"].received[wire.ends["a"].association.session]] == [body]
