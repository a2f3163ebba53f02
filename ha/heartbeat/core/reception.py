# SPDX-License-Identifier: GPL-2.0-or-later
"""What arrives on the wire: checked, then given to the handler of its type.

A new type of message is a new line in HANDLERS.
"""

from __future__ import annotations

from collections.abc import Callable

from ha.heartbeat.core.context import Context
from ha.heartbeat.core.legacy import Legacy
from ha.heartbeat.core.nodes import Node
from ha.heartbeat.core.peers import Peers
from ha.heartbeat.core.transmitter import UNNUMBERED, VIA
from ha.heartbeat.model.stream import ACK, DATA, HELLO, from_fields
from ha.heartbeat.model.wire import Fields, WireError, unpack
from ha.heartbeat.msg import NodeState
from ha.machine import Wire

MAX_ANNOUNCED_LOST = 100
MAX_VIA_LENGTH = 64  # of a peer's name on a medium
_ANNOUNCED: dict[str, NodeState] = {"init": "init", "up": "up", "active": "active", "dead": "dead"}


class Reception:
    def __init__(self, context: Context, peers: Peers) -> None:
        self.context = context
        self.peers = peers
        self.legacy = Legacy(context, peers)

    def packet(self, wire: Wire, data: bytes) -> None:
        """Whatever came from the network. What is no authentic packet of the cluster is counted and dropped."""
        try:
            self._authentic(wire, unpack(data, self.context.keys))
        except WireError as error:
            if self.context.ha_cf.log_badpack:
                text = f"bad packet of {len(data)} bytes from {wire.peer or '?'} on {wire.medium}: {error}"
                self.context.complain(f"bad {wire.medium} {wire.peer}", "warning", text)

    def _authentic(self, wire: Wire, fields: Fields) -> None:
        source, kind, generation = fields.text("src"), fields.text("t"), fields.hexadecimal("hg") or 0
        if not source or not kind or not fields.hexadecimal("ts"):
            raise WireError("a packet without src, t or ts")
        if source == self.context.node:
            self._own(fields, wire)
            return
        node = self.peers.known(source)
        if node is None:
            self.context.complain(f"unknown {source}", "warning", f"packet of {source!a}, which is no node of ha.cf")
            return
        if generation < node.generation:
            text = f"packet of generation {generation} of node {source}, now {node.generation}: a replay?"
            self.context.complain(f"replay {source}", "error", text)
            return
        if kind.startswith(UNNUMBERED):
            if generation == node.generation:
                self._handle(node, kind, fields, wire)
            return
        self._numbered(node, kind, fields, wire, generation)

    def _own(self, fields: Fields, wire: Wire) -> None:
        """Our own packet, come back by broadcast; or somebody else uses our name."""
        uuid = fields.value("srcuuid")
        if isinstance(uuid, bytes) and uuid != self.context.transmitter.uuid:
            self.context.complain(
                "own name",
                "critical",
                f"another machine calls itself {self.context.node} ({wire.peer} on {wire.medium})",
            )

    def _numbered(self, node: Node, kind: str, fields: Fields, wire: Wire, generation: int) -> None:
        seq = fields.hexadecimal("seq")
        if not seq:
            raise WireError("a packet without seq")
        if generation > node.generation:
            if kind != "status":
                return  # what is known of its new generation comes with a status
            self.peers.new_generation(node, generation, fields.text("bootid"), "ha" in fields)
        arrival = node.sequence.receive(seq, self.context.now)
        if kind == "status" and seq == node.sequence.last:
            self.peers.heard_on_link(node, wire, seq)
        if arrival == "duplicate":
            return
        if not node.ours:
            self.legacy.received(node, seq, kind, fields)
        if kind == "status" and arrival == "new":
            self._status(node, fields, wire)
        elif kind != "status":
            self._handle(node, kind, fields, wire)

    def _handle(self, node: Node, kind: str, fields: Fields, wire: Wire) -> None:
        dest = fields.text("dest")
        handler = HANDLERS.get(kind)
        if handler is not None and dest in ("", self.context.node):
            handler(self, node, fields, wire)

    def _status(self, node: Node, fields: Fields, wire: Wire) -> None:
        announced = _ANNOUNCED.get(fields.text("st"))
        if announced is None:
            raise WireError("a status that is none")
        if announced == "dead":
            self.peers.leave(node)
            return
        self.peers.heard(node, wire)
        node.uuid = fields.binary("srcuuid")
        entries = [entry.partition(":") for entry in fields.text("lost").split(" ")[:MAX_ANNOUNCED_LOST] if entry]
        known = [name for name, _, _ in entries if name == self.context.node or name in self.peers.nodes]
        self.peers.accusations.others(node.name, known, self.context.now)
        for name, _, session in entries:
            if name == self.context.node:
                self.peers.lost_us(node, Fields([("session", session)]).hexadecimal("session") or 0)
        self.peers.announce(node, announced)

    def _rexmit(self, node: Node, fields: Fields, _wire: Wire) -> None:
        self.legacy.repeat(node, fields)

    def _nak_rexmit(self, node: Node, fields: Fields, _wire: Wire) -> None:
        self.legacy.give_up(node, fields)

    def _reqnodes(self, node: Node, _fields: Fields, _wire: Wire) -> None:
        names = "".join(f"{name} " for name in sorted([*self.peers.nodes, self.context.node]))
        self.context.broadcast([("t", "repnodes"), ("dest", node.name), ("nodelist", names), ("delnodelist", " ")])

    def _hello(self, node: Node, fields: Fields, wire: Wire) -> None:
        hello, via = from_fields(fields), fields.text("via")
        if len(via) > MAX_VIA_LENGTH or VIA in via:
            raise WireError("an address that is none")
        self.peers.greeted(node, wire.medium, via, fields.text("reached"))
        self.peers.stream(node, hello)

    def _stream(self, node: Node, fields: Fields, _wire: Wire) -> None:
        self.peers.stream(node, from_fields(fields))

    def _pass_by(self, _node: Node, _fields: Fields, _wire: Wire) -> None:
        """Understood, and nothing to do: NS_ackmsg (our history is bounded without it), repnodes (ha.cf decides)."""


Handler = Callable[[Reception, Node, Fields, Wire], None]

HANDLERS: dict[str, Handler] = {
    HELLO: Reception._hello,
    DATA: Reception._stream,
    ACK: Reception._stream,
    "NS_rexmit": Reception._rexmit,
    "NS_nak_rexmit": Reception._nak_rexmit,
    "NS_ackmsg": Reception._pass_by,
    "reqnodes": Reception._reqnodes,
    "repnodes": Reception._pass_by,
}

__all__ = ["HANDLERS", "Reception"]
