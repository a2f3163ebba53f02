# SPDX-License-Identifier: GPL-2.0-or-later
"""An association with one peer: two numbered streams, between sessions that both ends have agreed on.

Each end names its session by a number that it never uses twice (its generation and a count) and says in every packet
which session of the other it is attached to. Rules:

1. An end attaches only to sessions it was never attached to. While it is attached to nothing, the packet must also
   say "attached to nothing" or "attached to yours": else the peer's session began with somebody before us.
2. An end attached to a session leaves it for a newer one. Unless that one is attached to the end's present session,
   the peer has lost or given up what was under way, so the end breaks off too: its own session gets a new number and
   its queue is dropped.
3. Data and acknowledgements count only when both ends are attached to each other's present session. A packet that
   says otherwise is answered by a hello.
4. An end whose session is over for the peer, though nothing was ever exchanged in it, gives it a new number.
5. Each session begins with the news which modules are signed on. So a module learns of every break: its counterpart
   signs on anew.

Together: whatever is handed over was sent in the peer's present session, in its module's order, each message once.

Prior art: SCTP's verification tags (RFC 9260), TCP's handshake; the numbers here are ordered, so old packets are
known for what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from ha.heartbeat.core.incoming import Incoming, Violation
from ha.heartbeat.core.outgoing import Outgoing, QueueFull
from ha.heartbeat.model.stream import Ack, Chunk, Frame, Hello, StreamPacket
from ha.machine import Instant

FIRST_HELLO_MS = 20  # repeated after this, then twice as long, up to MAX_HELLO_MS
MAX_HELLO_MS = 250
MIN_HELLO_INTERVAL_MS = 5  # hellos in answer to packets


@dataclass(frozen=True, slots=True)
class Outbound:
    """A packet to send. `bulk` may take one link only; the rest goes by all of them."""

    packet: StreamPacket
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Began:
    """The peer's stream begins anew: nothing it said before counts."""


class Association:
    """`first_session` is greater than any session number of this node before."""

    def __init__(self, first_session: int, fragment_bytes: int, max_repeat_ms: int) -> None:
        assert first_session > 0
        self.session = first_session
        self.attached = 0
        self.over = 0
        """Sessions of the peer up to this one are over."""
        self.established = False
        self.breaks = 0
        self.fragment_bytes = fragment_bytes
        self.max_repeat_ms = max_repeat_ms
        self.outgoing = Outgoing(fragment_bytes, max_repeat_ms)
        self.incoming = Incoming()
        self.hello_at: Instant | None = None
        self.hello_wait_ms = FIRST_HELLO_MS
        self.last_hello_at: Instant | None = None

    @property
    def newest_seen(self) -> int:
        """The peer's newest session that we have been attached to."""
        return max(self.attached, self.over)

    def begin(self, now: Instant, up_modules: list[str]) -> None:
        """The peer is there: say hello, and which of our modules are."""
        self.hello_at = now
        self.hello_wait_ms = FIRST_HELLO_MS
        for module in up_modules:
            self.outgoing.submit(Frame("up", module))

    def break_off(self, now: Instant, up_modules: list[str] | None = None) -> None:
        """Give up what is under way in both directions. With `up_modules`, begin anew at once."""
        self.session += 1
        self.over = max(self.over, self.attached)
        self.attached = 0
        self.established = False
        self.breaks += 1
        self.outgoing = Outgoing(self.fragment_bytes, self.max_repeat_ms)
        self.incoming = Incoming()
        self.hello_at = None
        if up_modules is not None:
            self.begin(now, up_modules)

    def submit(self, frame: Frame) -> None:
        """Raises QueueFull: then only breaking off is left."""
        self.outgoing.submit(frame)

    def receive(self, packet: StreamPacket, now: Instant, up_modules: list[str]) -> list[Began | Frame]:
        """What the packet brings, in order. Raises incoming.Violation."""
        arrivals: list[Began | Frame] = []
        if isinstance(packet, Hello) and not self.established and packet.over >= self.session:
            self.session = packet.over + 1
            self.hello_at = now
        if not self._attach(packet, now, up_modules, arrivals):
            return arrivals
        if packet.attached != self.session:
            self._answer_hello(now)
            return arrivals
        self.established = True
        if isinstance(packet, Hello):
            return arrivals
        seen, missing = (packet.seen, packet.missing) if isinstance(packet, Ack) else (packet.acknowledged, ())
        if not self.outgoing.acknowledge(packet.acknowledged, seen, missing, now):
            raise Violation(f"acknowledges chunk {seen} that was never sent")
        if isinstance(packet, Chunk):
            arrivals += self.incoming.receive(packet, now)
        return arrivals

    def _attach(self, packet: StreamPacket, now: Instant, up_modules: list[str], arrivals: list[Began | Frame]) -> bool:
        """Rules 1 and 2. False when the packet is of a session that is over."""
        if packet.session == self.attached:
            return True
        if packet.session < self.attached:
            return False
        if self.attached and packet.attached != self.session:
            self.break_off(now, up_modules)
        if packet.session <= self.over or (not self.attached and packet.attached not in (0, self.session)):
            self._answer_hello(now)  # it does not know of our present session
            return False
        self.over = max(self.over, self.attached)
        self.attached = packet.session
        self.incoming = Incoming()
        self.hello_at = now
        arrivals.append(Began())
        return True

    def _answer_hello(self, now: Instant) -> None:
        if self.last_hello_at is None or now >= self.last_hello_at + MIN_HELLO_INTERVAL_MS:
            self.hello_at = now

    def due(self, now: Instant) -> list[Outbound]:
        """The packets to send now."""
        packets: list[Outbound] = []
        if self.hello_at is not None and now >= self.hello_at:
            self.last_hello_at = now
            packets.append(Outbound(Hello(self.session, self.attached, self.over)))
            self.hello_at = None if self.established else now + self.hello_wait_ms
            self.hello_wait_ms = min(self.hello_wait_ms * 2, MAX_HELLO_MS)
        if not self.attached:
            return packets
        packets += self._data(now)
        if self.incoming.ack_at is not None and now >= self.incoming.ack_at:
            seen, missing = self.incoming.gaps()
            packets.append(Outbound(Ack(self.session, self.attached, self.incoming.acknowledged, seen, missing)))
            self.incoming.acknowledgement_sent()
        return packets

    def _data(self, now: Instant) -> list[Outbound]:
        packets = []
        for piece, push in self.outgoing.due(now):
            frame = piece.frame
            chunk = Chunk(
                session=self.session,
                attached=self.attached,
                number=piece.number,
                order=piece.order,
                acknowledged=self.incoming.acknowledged,
                kind=frame.kind,
                from_module=frame.from_module,
                to_module=frame.to_module,
                remaining=piece.remaining,
                push=push,
                data=frame.body[piece.start : piece.stop],
            )
            packets.append(Outbound(chunk, bulk=piece.repeats == 0 and len(frame.body) > self.fragment_bytes))
        if packets and not self.incoming.ahead:
            self.incoming.acknowledgement_sent()  # the chunks carry it
        return packets

    def deadline(self) -> Instant | None:
        """When `due` must be asked again though nothing has arrived."""
        moments = [self.hello_at]
        if self.attached:
            moments += [self.incoming.ack_at, self.outgoing.deadline()]
        return min((moment for moment in moments if moment is not None), default=None)


__all__ = ["Association", "Began", "Outbound", "QueueFull", "Violation"]
