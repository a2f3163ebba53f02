# SPDX-License-Identifier: GPL-2.0-or-later
"""From fields to signed packets on the media that reach a node."""

from __future__ import annotations

from collections.abc import Sequence

from ha.heartbeat.core.nodes import Node
from ha.heartbeat.model import AuthKeys, HaCf
from ha.heartbeat.model.wire import Compression, Fields, Nonces, Value, compress, pack
from ha.heartbeat.model.wire.sealed import SALT_BYTES
from ha.machine import Instant, Packet, Send, Wire

LOOPBACK_FRAGMENT_BYTES = 32 * 1024
ETHERNET_FRAGMENT_BYTES = 1200  # fits an MTU of 1500 with IP, UDP, our fields and the signature

UNNUMBERED = "NS_"  # types that begin so carry no seq

VIA = "|"  # between entries of `reached`; no medium's or peer's name has it


class Transmitter:
    """Knows the media, signs, and adds the fields that every packet has."""

    def __init__(self, node: str, ha_cf: HaCf, keys: AuthKeys) -> None:
        self.node = node
        self.keys = keys
        self.configure(ha_cf)
        self.ttl = str(ha_cf.hopfudge + len(ha_cf.nodes))
        self.generation = 0
        self.uuid = b""
        self.nonces = Nonces(bytes(SALT_BYTES))
        self.wall_offset_ms = 0
        self.links: dict[str, str] = {}
        """The link's name of each medium."""
        self.peers: dict[str, list[str]] = {}
        """The addresses of each medium: one per ucast line, else one that all listen on."""
        for medium in ha_cf.media:
            self.links[medium.name] = medium.link
            peers = self.peers.setdefault(medium.name, [])
            if medium.peer not in peers:
                peers.append(medium.peer)

    def configure(self, ha_cf: HaCf) -> None:
        """What may change while we run."""
        self.framing = ha_cf.framing
        self.compression = Compression(
            ha_cf.compression, ha_cf.compression_threshold_kib * 1024, ha_cf.traditional_compression
        )

    def _packet(self, items: Sequence[tuple[str, Value]], now: Instant) -> Packet:
        assert self.generation > 0
        common: list[tuple[str, Value]] = [
            ("src", self.node),
            ("hg", f"{self.generation:x}"),
            ("ts", f"{(now + self.wall_offset_ms) // 1000:x}"),
            ("ttl", self.ttl),
        ]
        fields = Fields([*items, *common])
        if not fields.text("t").startswith(UNNUMBERED):  # those of our associations are never compressed on this loop
            fields = compress(fields, self.compression)
        return Packet(data=pack(fields, self.keys, self.framing, self.nonces))

    def to_all(self, items: Sequence[tuple[str, Value]], now: Instant) -> list[Send]:
        packet = self._packet(items, now)
        return [Send(Wire(medium, peer), packet) for medium, peers in self.peers.items() for peer in peers]

    def to_node(self, items: Sequence[tuple[str, Value]], node: Node, now: Instant, bulk: bool = False) -> list[Send]:
        """By every medium, or by one that works when `bulk`. Others that listen there see it and pass it by."""
        packet = self._packet(items, now)
        media = list(self.peers)
        if bulk:
            working = [medium for medium in media if self._works(node, medium)]
            media = sorted(working, key=lambda medium: medium.startswith("serial "))[:1] or media  # the slow ones last
        return [Send(Wire(medium, peer), packet) for medium in media for peer in self._addresses(node, medium)]

    def greet(self, items: Sequence[tuple[str, Value]], node: Node, now: Instant) -> list[Send]:
        """A hello to each address, which it names in `via`: the node says in `reached` which of them are its own.

        A ucast address may lead through a relay, so where packets come from does not tell where to send them.
        """
        said = [*items, ("reached", VIA.join(f"{medium} {peer}" for medium, peer in node.via.items()))]
        return [
            Send(Wire(medium, peer), self._packet([*said, ("via", peer)], now))
            for medium, peers in self.peers.items()
            for peer in peers
        ]

    def reached(self, node: Node, text: str) -> None:
        """The node tells by which of our addresses it was reached. What is none of ours is passed over."""
        for entry in text.split(VIA):
            medium, _, peer = entry.rpartition(" ")
            if peer in self.peers.get(medium, ()):
                node.targets[medium] = peer

    def _works(self, node: Node, medium: str) -> bool:
        link = node.links.get(self.links[medium])
        return link is not None and link.up

    def _addresses(self, node: Node, medium: str) -> list[str]:
        target = node.targets.get(medium)
        return [target] if target is not None else self.peers[medium]

    def learn(self, node: Node, wire: Wire) -> None:
        """A fresh packet of a Heartbeat 3.0.6 came from there: the one peer's address on that host is the node's."""
        peers = self.peers.get(wire.medium, [])
        host = wire.peer.rpartition(":")[0]  # it sends from a port of its own
        same_host = [peer for peer in peers if peer.rpartition(":")[0] == host]
        if len(same_host) == 1:
            node.targets[wire.medium] = same_host[0]


def fragment_bytes(ha_cf: HaCf) -> int:
    """How much of a frame one packet carries: as ha.cf says, else what the media take without being split."""
    if ha_cf.fragment_bytes:
        return ha_cf.fragment_bytes
    on_loopback = all(medium.interface == "lo" for medium in ha_cf.media)
    return LOOPBACK_FRAGMENT_BYTES if on_loopback else ETHERNET_FRAGMENT_BYTES
