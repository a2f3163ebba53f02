# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of the media between heartbeat workers: delay, jitter, loss, duplication, reordering, cuts in one direction.

Every node has one interface on every medium. A Wire without a peer reaches all others that listen on the medium; one
with a peer reaches the node whose address it is (`ADDRESS:PORT`, the address alone counts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.machine import Packet, Received, Wire

if TYPE_CHECKING:
    from random import Random

    from ha.sim.node import Node
    from ha.sim.world import World

MAX_PACKET_BYTES = 65_507
"""The payload of a UDP datagram over IPv4; a longer one is a bug of the sender."""

PORT = 694

PING_ADDRESS = "192.0.2.254"
"""The router, where a configuration has a ping node."""


@dataclass
class Weather:
    """How the network behaves while nothing is cut. Shares are probabilities per packet."""

    delay_us: int = 300
    jitter_us: int = 0
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    reordering_us: int = 30_000

    @property
    def calm(self) -> bool:
        """Nothing is left to chance: all receivers have a packet at the same time."""
        return not (self.jitter_us or self.loss or self.duplication or self.reordering)


class Network:
    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        self.chance = chance
        self.weather = Weather()
        self.cuts: set[tuple[str, str, str]] = set()
        """(from node, to node, medium or "" for all media): nothing passes."""
        self.silent_pings: set[str] = set()
        """Addresses of ping nodes that do not answer."""
        self.lossy_nodes: dict[str, float] = {}
        """Nodes with a bad cable: the share of packets lost on it, to them and from them."""
        self.sent = 0
        self.lost = 0

    def cut(self, sender: str, receiver: str, medium: str = "") -> None:
        self.cuts.add((sender, receiver, medium))

    def heal(self, sender: str, receiver: str) -> None:
        self.cuts = {cut for cut in self.cuts if cut[:2] != (sender, receiver)}

    def heal_all(self) -> None:
        self.cuts.clear()

    def is_cut(self, sender: str, receiver: str, medium: str) -> bool:
        return (sender, receiver, "") in self.cuts or (sender, receiver, medium) in self.cuts

    def send(self, sender: Node, wire: Wire, data: bytes) -> None:
        assert len(data) <= MAX_PACKET_BYTES, f"{sender.name} sends a packet of {len(data)} bytes"
        self.world.digest(data)
        if wire.medium.startswith("ping "):
            self._echo(sender, wire, data)
            return
        receivers = self._receivers(sender, wire)
        self.sent += len(receivers)
        if self.cuts:
            reached = [node for node in receivers if not self.is_cut(sender.name, node.name, wire.medium)]
            self.lost += len(receivers) - len(reached)
            receivers = reached
        source, packet = Wire(wire.medium, sender.endpoint), Packet(data=data)
        if self.weather.calm and not self.lossy_nodes:
            self.world.agenda.after(self.weather.delay_us, lambda: self._arrive(receivers, source, packet))
            return
        for receiver in receivers:
            if self.chance.random() < self.weather.loss or self._lost_on_cables(sender.name, receiver.name):
                self.lost += 1
                continue
            self._carry(receiver, source, packet)
            if self.weather.duplication and self.chance.random() < self.weather.duplication:
                self._carry(receiver, source, packet)

    def _lost_on_cables(self, sender: str, receiver: str) -> bool:
        lossy = self.lossy_nodes
        return bool(lossy) and any(self.chance.random() < lossy[name] for name in (sender, receiver) if name in lossy)

    def _echo(self, sender: Node, wire: Wire, data: bytes) -> None:
        """A ping node answers with what it was sent, unless it is silent or the way to it is cut."""
        self.sent += 1
        if wire.peer in self.silent_pings or self.is_cut(sender.name, wire.peer, wire.medium):
            self.lost += 1
            return
        packet = Packet(data=data)
        self.world.agenda.after(2 * self.weather.delay_us, lambda: self._arrive([sender], wire, packet))

    def _receivers(self, sender: Node, wire: Wire) -> list[Node]:
        nodes = self.world.nodes.values()
        if not wire.peer:
            return [node for node in nodes if node is not sender]
        address = wire.peer.rsplit(":", 1)[0]
        return [node for node in nodes if node.address == address]

    def _carry(self, receiver: Node, source: Wire, packet: Packet) -> None:
        delay_us = self.weather.delay_us
        if self.weather.jitter_us:
            delay_us += self.chance.randrange(self.weather.jitter_us)
        if self.weather.reordering and self.chance.random() < self.weather.reordering:
            delay_us += self.chance.randrange(self.weather.reordering_us)
        self.world.agenda.after(delay_us, lambda: self._arrive([receiver], source, packet))

    def _arrive(self, receivers: list[Node], source: Wire, packet: Packet) -> None:
        for receiver in receivers:
            heartbeat = receiver.processes.get("heartbeat")
            if heartbeat is not None:
                heartbeat.post(Received(source, packet))
