# SPDX-License-Identifier: GPL-2.0-or-later
"""Beside a Heartbeat 3.0.6: what such a node must hear from us, and what its programs and ours say to each other.

It numbers every broadcast packet and expects that gaps are asked for (NS_rexmit), answered or refused
(NS_nak_rexmit), and that every tenth packet is acknowledged (NS_ackmsg). Messages of its clients come as numbered
packets too; they are handed over in order, so one that follows a gap waits until the gap is closed or given up.

Source: Heartbeat 3.0.6 as observed on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ha.heartbeat.core.context import Context
from ha.heartbeat.core.nodes import Node
from ha.heartbeat.core.peers import Peers
from ha.heartbeat.model.stream import is_module_name
from ha.heartbeat.model.wire import Fields, Value, WireError
from ha.heartbeat.msg import MAX_ANNOUNCED_FIELDS, MAX_ANNOUNCED_LENGTH

CLIENT_STATUS = "hbapi-clstat"
QUERY, RESPONSE = "query-cstatus", "respond-cstatus"
SHUT_DOWN = "shutdone"
MAX_CLIENTS = 100  # of one node
RESOURCES = ("starting", "resource", "ask_resources", "hb_takeover", "shutdone", "stonith")
"""What the haresources workers say to each other."""
_PASSED_ON = ("t", "rsc_hold", "rtype", "isstable", "info", "st", "node", "result")
SERVICE = ("status", "reqnodes", "repnodes")
"""Numbered types that are heartbeat's own and wait for no gap."""


def is_announcement(fields: Mapping[str, str]) -> bool:
    """Whether the haresources worker may have these fields sent."""
    return (
        fields.get("t") in RESOURCES
        and len(fields) <= MAX_ANNOUNCED_FIELDS
        and set(fields) <= set(_PASSED_ON)
        and all(len(value) <= MAX_ANNOUNCED_LENGTH and value.isprintable() for value in fields.values())
    )


class Legacy:
    def __init__(self, context: Context, peers: Peers) -> None:
        self.context = context
        self.peers = peers

    # Repeats ---------------------------------------------------------------------------------------------------------

    def received(self, node: Node, seq: int, kind: str, fields: Fields) -> None:
        """A numbered packet of the node that is no duplicate."""
        assert not node.ours
        self._acknowledge(node)
        self.request_missing(node)
        if kind not in SERVICE:
            node.held[seq] = fields
        self._release(node)

    def _acknowledge(self, node: Node) -> None:
        number = node.sequence.acknowledge()
        if number:
            self._answer(node, [("t", "NS_ackmsg"), ("ackseq", f"{number:x}")])

    def request_missing(self, node: Node) -> None:
        delay_ms = self.context.ha_cf.max_rexmit_delay_ms
        for number in node.sequence.requests(self.context.now, delay_ms) if not node.ours else ():
            self._answer(node, [("t", "NS_rexmit"), ("firstseq", str(number)), ("lastseq", str(number))])

    def _answer(self, node: Node, items: list[tuple[str, Value]]) -> None:
        transmitter = self.context.transmitter
        self.context.effects.extend(transmitter.to_node([*items, ("dest", node.name)], node, self.context.now))

    def repeat(self, node: Node, fields: Fields) -> None:
        """NS_rexmit: the node misses packets of ours."""
        first, last = fields.decimal("firstseq"), fields.decimal("lastseq")
        if first is None or last is None or first > last:
            raise WireError("a request for nothing")
        found, gone = self.context.history.repeat(first, last, self.context.now)
        transmitter, now = self.context.transmitter, self.context.now
        for items in found:
            self.context.effects.extend(transmitter.to_node([*items, ("srcuuid", transmitter.uuid)], node, now))
        for number in gone[:1]:
            self._answer(node, [("t", "NS_nak_rexmit"), ("firstseq", f"{number:x}"), ("info", "unknown or too old")])

    def give_up(self, node: Node, fields: Fields) -> None:
        """NS_nak_rexmit: what we asked for is gone."""
        number = fields.hexadecimal("firstseq")
        if number is None:
            raise WireError("a refusal of nothing")
        node.sequence.give_up(number)
        self._acknowledge(node)
        self._release(node)

    # Messages of clients ---------------------------------------------------------------------------------------------

    def _release(self, node: Node) -> None:
        """Hand over what no gap precedes any more."""
        gap = min(node.sequence.missing, default=node.sequence.last + 1)
        for seq in sorted(number for number in node.held if number < gap):
            fields = node.held.pop(seq, None)
            if fields is None:
                break  # the node has left by the message before
            if fields.text("dest") in ("", self.context.node):
                self._handle(node, fields)
        assert len(node.held) <= node.sequence.last - gap + 1, (gap, node.sequence.last, list(node.held))

    def _handle(self, node: Node, fields: Fields) -> None:
        kind = fields.text("t")
        handler = HANDLERS.get(kind)
        if kind in RESOURCES:
            self.peers.announced(node, {name: fields.text(name) for name in _PASSED_ON if name in fields})
        if handler is not None:
            handler(self, node, fields)
        elif fields.text("to_id") and kind not in RESOURCES:
            self.peers.audience.legacy_message(fields.text("to_id"), fields)

    def _client_status(self, node: Node, fields: Fields) -> None:
        name, state = fields.text("from_id"), fields.text("st")
        if not is_module_name(f"api-{name}") or state not in ("join", "leave"):
            raise WireError("news of a client that is none")
        if state == "join" and len(node.modules) < MAX_CLIENTS:
            node.modules[f"api-{name}"] = None
        elif state == "leave":
            node.modules.pop(f"api-{name}", None)
        self.peers.audience.program_changed(node.name, f"api-{name}", state == "join")

    def _query(self, node: Node, fields: Fields) -> None:
        client, asker = fields.text("cn"), fields.text("from_id")
        there = self.context.modules.names()
        online = client in there or f"api-{client}" in there
        self.context.broadcast(
            [
                ("t", RESPONSE),
                ("dest", node.name),
                ("result", "OK"),
                ("cn", client),
                ("to_id", asker),
                ("cs", "online" if online else "offline"),
            ]
        )

    def _shut_down(self, node: Node, fields: Fields) -> None:
        """Said in haresources mode once its resources are released. With a CRM it stops without a word."""
        if fields.text("st") == "dead":
            self.peers.leave(node)

    def _response(self, _node: Node, fields: Fields) -> None:
        self.peers.audience.legacy_response(fields.text("to_id"), fields)


Handler = Callable[[Legacy, Node, Fields], None]

HANDLERS: dict[str, Handler] = {
    CLIENT_STATUS: Legacy._client_status,
    QUERY: Legacy._query,
    RESPONSE: Legacy._response,
    SHUT_DOWN: Legacy._shut_down,
}
