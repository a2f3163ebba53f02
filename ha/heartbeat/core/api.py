# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that speak Heartbeat's client protocol (see `ha.heartbeat.model.api`).

A request type is a line of REQUESTS. A program's name is known on all nodes like a module's, with a prefix that no
worker's name has; messages between clients of one name travel in the same associations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ha.heartbeat.core.context import Context
from ha.heartbeat.core.nodes import Node
from ha.heartbeat.core.peers import Peers
from ha.heartbeat.core.pings import Pings
from ha.heartbeat.model.api import (
    ANYBODY,
    BAD_REQUEST,
    CASUAL,
    FAILED,
    MAX_API_CLIENTS,
    MORE,
    OK,
    REQUEST,
    RESPONSE,
    ApiHangUp,
    ApiSend,
)
from ha.heartbeat.model.stream import Frame, is_module_name
from ha.heartbeat.model.wire import Fields, Framing, Value, WireError, decode_unsigned, encode_unsigned
from ha.heartbeat.model.wire.packet import ALGORITHM, PAYLOAD
from ha.heartbeat.msg import ModuleStatus
from ha.machine import Client, Execute

PREFIX = "api-"
VERSION = "3.0.6"  # of the protocol that we speak
DEFAULT_WEIGHT = "100"
_KEEP = 1  # in a filter: events that change something

QUERY_OF_CLIENT, RESPONSE_OF_CLIENT = "query-cstatus", "respond-cstatus"
MAX_LEGACY_MESSAGE_BYTES = 60_000  # one UDP datagram with our fields and the signature
SET_BY_US = ("src", "srcuuid", "from_id", "to_id", "seq", "hg", "ts", "ttl", "auth", ALGORITHM, PAYLOAD)
"""Fields that no client may set: what it says in a compressed payload would be taken for a message of this node."""

OWN_TYPES = (
    "status", "reqnodes", "repnodes", "hbapi-clstat", "query-cstatus", "respond-cstatus", "shutdone", "starting",
    "resource", "ask_resources", "hb_takeover",
)  # fmt: skip
OWN_PREFIXES = ("NS_", "hbapi-")
"""Types of heartbeat's own: from a client, signed by us, they would be orders to other nodes."""

Pairs = list[tuple[str, Value]]


@dataclass(slots=True)
class Session:
    """One connection. `name` is "" before sign-on, the pid for a casual client."""

    client: Client
    name: str = ""
    casual: bool = True
    framing: Framing = "netstring"
    filter: int = _KEEP


class BadRequest(Exception):
    """The request cannot be answered; the text says why."""


class Api:
    def __init__(self, context: Context, peers: Peers) -> None:
        self.context = context
        self.peers = peers
        self.sessions: dict[int, Session] = {}
        self.pings: Pings
        """Set by the machine."""
        self.rsc_hold = "none"
        """As the haresources worker says."""
        self.sent = 0
        self.signed_on = 0

    # Connections -----------------------------------------------------------------------------------------------------

    def received(self, client: Client, data: bytes) -> None:
        session = self.sessions.get(client.serial)
        if session is None:
            if len(self.sessions) >= MAX_API_CLIENTS:
                self._hang_up(client.serial, "too many clients")
                return
            session = self.sessions[client.serial] = Session(client)
        try:
            fields, session.framing = decode_unsigned(data)
            if fields.text("t") == REQUEST:
                self._request(session, fields)
            else:
                self._pass_on(session, fields)
        except WireError as error:
            self._hang_up(client.serial, str(error))
            self.gone(client)

    def gone(self, client: Client) -> None:
        session = self.sessions.pop(client.serial, None)
        if session is not None and session.name and not session.casual:
            self._sign_off(session)

    def _hang_up(self, serial: int, why: str) -> None:
        self.context.complain("api", "warning", f"a program at the register socket is hung up on: {why}")
        self._execute(ApiHangUp(serial))

    def _execute(self, request: ApiSend | ApiHangUp) -> None:
        self.sent += 1
        self.context.effects.append(Execute(f"api:{self.sent}", request))

    def _send(self, session: Session, items: Pairs) -> None:
        self._execute(ApiSend(session.client.serial, encode_unsigned(Fields(items), session.framing)))

    # Requests --------------------------------------------------------------------------------------------------------

    def _request(self, session: Session, fields: Fields) -> None:
        kind = fields.text("reqtype")
        handler = REQUESTS.get(kind)
        try:
            if handler is None:
                raise BadRequest(f"unknown request {kind[:40]!a}")
            if not session.name and kind != "signon":
                raise BadRequest("sign on first")
            answers = handler(self, session, fields)
        except BadRequest as error:
            text = str(error)
            self._respond(session, kind, BAD_REQUEST, [("failreason", text), ("info", text)])
            return
        for number, (result, items) in enumerate(answers, start=1):
            more = result == OK and number < len(answers)
            self._respond(session, kind, MORE if more else result, items)

    def _respond(self, session: Session, kind: str, result: str, items: Pairs) -> None:
        self._send(session, [("t", RESPONSE), ("reqtype", kind), ("result", result), *items])

    def _signon(self, session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        client, name = session.client, fields.text("from_id")
        if session.name:
            raise BadRequest("signed on already")
        for field, true in (("pid", client.pid), ("uid", client.uid), ("gid", client.gid)):
            if fields.decimal(field) not in (None, true):
                raise BadRequest(f"{field} is not what the kernel says of you")
        casual = name in ("", str(client.pid))
        if not self._authorized(CASUAL if casual else name, client):
            raise BadRequest(
                f"uid {client.uid} may not sign on as {'a casual client' if casual else name}: see apiauth"
            )
        if not casual and not is_module_name(PREFIX + name):
            raise BadRequest("that is no name of a client")
        if not casual and PREFIX + name in self.context.modules.programs:
            raise BadRequest(f"{name} is signed on already")
        if not casual:
            self.context.modules.programs[PREFIX + name] = None
            self._program_here(PREFIX + name, up=True)
        session.name, session.casual = name or str(client.pid), casual
        times = self.context.times
        answer: Pairs = [
            ("deadtime", f"{times.deadtime_ms:x}"),
            ("keepalive", f"{times.keepalive_ms:x}"),
            ("node", self.context.node),
            ("logfacility", self.context.ha_cf.logfacility),
            ("hbversion", VERSION),
            ("pacemaker", self.context.ha_cf.crm),
        ]
        return [(OK, answer)]

    def _authorized(self, name: str, client: Client) -> bool:
        """apiauth in numbers: names were resolved when the file was read. root always may."""
        rules = self.context.ha_cf.apiauth
        rule = rules.get(name) or rules.get(ANYBODY) or rules.get(CASUAL)
        if client.uid == 0:
            return True
        return rule is not None and (str(client.uid) in rule.uids or str(client.gid) in rule.gids)

    def _signoff(self, session: Session, _fields: Fields) -> list[tuple[str, Pairs]]:
        self.gone(session.client)
        return []

    def _sign_off(self, session: Session) -> None:
        name = PREFIX + session.name
        self.context.modules.programs.pop(name, None)
        self._program_here(name, up=False)

    def _program_here(self, module: str, up: bool) -> None:
        """A program of this node signed on or off: all nodes hear of it."""
        self.peers.submit_to_all(Frame("up" if up else "down", module))
        self.program_changed(self.context.node, module, up)
        if self.peers.legacy_alive():
            self.signed_on += 1
            self.context.broadcast([*_client_status(module, up), ("client_gen", str(self.signed_on))])

    def _nodelist(self, _session: Session, _fields: Fields) -> list[tuple[str, Pairs]]:
        names = sorted([self.context.node, *self.peers.nodes])
        names += sorted(self.pings.pings)
        return [(OK, [("node", name), ("nodetype", self._type(name)), ("st", self._state(name))]) for name in names]

    def _type(self, name: str) -> str:
        return "ping" if name in self.pings.pings else "normal"

    def _state(self, name: str) -> str:
        """As Heartbeat names it: a node that has left is dead to its clients."""
        if name in self.pings.pings:
            return self.pings.pings[name].state
        node = self.peers.nodes.get(name)
        state = node.state if node is not None else self.context.state
        return "dead" if state == "left" else state

    def _node(self, fields: Fields) -> str:
        name = fields.text("node").lower()
        if name != self.context.node and name not in self.peers.nodes and name not in self.pings.pings:
            raise BadRequest(f"{name!a} is no node")
        return name

    def _links(self, name: str) -> dict[str, bool]:
        if name in self.pings.pings:
            return {name: self.pings.pings[name].state == "ping"}
        node = self.peers.nodes.get(name)
        links = dict.fromkeys(self.context.transmitter.links.values(), node is None)
        if node is not None:
            links.update({link.name: link.up for link in node.links.values()})
        return links

    def _iflist(self, _session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        links = self._links(self._node(fields))
        if not links:
            return [(FAILED, [("failreason", "no links")])]
        return [(OK, [("ifname", link)]) for link in links]

    def _ifstatus(self, _session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        link = self._links(self._node(fields)).get(fields.text("ifname"))
        if link is None:
            raise BadRequest(f"{fields.text('ifname')[:40]!a} is no link of that node")
        return [(OK, [("ifname", fields.text("ifname")), ("st", "up" if link else "dead")])]

    def _clientstatus(self, session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        """Of another node the answer is a message of its own, because Heartbeat 3.0.6 asks that node first."""
        name, client = self._node(fields), fields.text("cn")
        node = self.peers.nodes.get(name)
        if node is None:
            there = self.context.modules.names()
            online = client in there or PREFIX + client in there
            return [(OK, [("subt", RESPONSE_OF_CLIENT), *_client_state(name, client, online)])]
        self._client_of(session, name, client)
        return []

    def _client_of(self, session: Session, name: str, client: str) -> None:
        node = self.peers.nodes.get(name)
        if node is not None and node.alive and not node.ours:
            self.context.broadcast([("t", QUERY_OF_CLIENT), ("dest", name), ("cn", client), ("from_id", session.name)])
            return
        there = list(node.modules) if node is not None else self.context.modules.names()
        online = client in there or PREFIX + client in there
        answer: Pairs = [("t", RESPONSE_OF_CLIENT), ("dest", self.context.node), ("result", OK)]
        self._send(session, [*answer, ("to_id", session.name), *_client_state(name, client, online), ("src", name)])

    def _getparm(self, _session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        name, ha_cf = fields.text("pname"), self.context.ha_cf
        times = self.context.times
        computed = {
            "hbversion": VERSION,
            "hopfudge": str(ha_cf.hopfudge),
            "deadping": f"{ha_cf.deadping_ms}ms",
            "baud": "19200",
            "auto_failback": "legacy",
            "hbgenmethod": "file",
            "realtime": "true" if ha_cf.realtime else "false",
            "debug": "0",
            "keepalive": f"{times.keepalive_ms}ms",
            "warntime": f"{times.warntime_ms}ms",
            "deadtime": f"{times.deadtime_ms}ms",
            "initdead": f"{times.initdead_ms}ms",
            "udpport": str(ha_cf.udpport),
            "cluster": ha_cf.cluster,
            "msgfmt": ha_cf.framing,
        }
        value = ha_cf.parameters.get(name, computed.get(name))
        if value is None:
            return [(FAILED, [("failreason", f"{name[:40]} is not set")])]
        return [(OK, [("pname", name), ("pvalue", value)])]

    def _getuuid(self, _session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        name = fields.text("queryname").lower()
        node = self.peers.nodes.get(name)
        uuid = self.context.transmitter.uuid if name == self.context.node else node.uuid if node else b""
        if not uuid:
            return [(FAILED, [("failreason", "not known")])]
        return [(OK, [("queryname", name), ("queryuuid", uuid)])]

    def _getnodename(self, _session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        uuid = fields.binary("queryuuid")
        known = {node.uuid: node.name for node in self.peers.nodes.values() if node.uuid}
        known[self.context.transmitter.uuid] = self.context.node
        if uuid not in known:
            return [(FAILED, [("failreason", "not known")])]
        return [(OK, [("queryuuid", uuid), ("queryname", known[uuid])])]

    def _numnodes(self, _session: Session, _fields: Fields) -> list[tuple[str, Pairs]]:
        return [(OK, [("numnodes", str(len(self.peers.nodes) + 1))])]

    def _setfilter(self, session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        session.filter = fields.hexadecimal("fmask") or 0
        return [(OK, [])]

    def _accept(self, _session: Session, _fields: Fields) -> list[tuple[str, Pairs]]:
        """Understood, and without effect here: our queues are bounded, and events come without a signal."""
        return [(OK, [])]

    def _getrsc(self, _session: Session, _fields: Fields) -> list[tuple[str, Pairs]]:
        """What the haresources worker says that it holds; a CRM places resources itself."""
        if self.context.ha_cf.crm != "off":
            raise BadRequest("Resource is managed by crm. Use crm tool to query resource")  # cl_status knows the text
        return [(OK, [("rsc_hold", self.rsc_hold)])]

    # Between clients -------------------------------------------------------------------------------------------------

    def _pass_on(self, session: Session, fields: Fields) -> None:
        """A message of a signed-on client to its namesakes."""
        if not session.name or session.casual:
            raise WireError("a message from a program that has not signed on by name")
        name, dest = PREFIX + session.name, fields.text("dest").lower()
        if fields.text("t") == QUERY_OF_CLIENT:
            self._queried(session, fields.text("cn"), dest)
            return
        items = [(field, value) for field, value in fields if field not in SET_BY_US]
        addressed: Pairs = [*items, ("from_id", session.name), ("to_id", session.name)]
        body = encode_unsigned(Fields([*addressed, ("src", self.context.node)]))
        if dest in ("", self.context.node):
            self.arrived(Frame("message", name, name, body))
        for node in self.peers.alive():
            if node.ours and dest in ("", node.name):
                self.peers.submit(node, Frame("message", name, name, body))
        kind = fields.text("t")
        if kind in OWN_TYPES or kind.startswith(OWN_PREFIXES):
            self.context.complain("own type", "warning", f"{session.name} may not send {kind[:40]!a} to other nodes")
            return
        addressee = self.peers.nodes.get(dest)
        if self.peers.legacy_alive() and (not dest or (addressee is not None and not addressee.ours)):
            self._to_legacy(session, addressed)

    def _queried(self, session: Session, client: str, dest: str) -> None:
        """A client asks by a message, of one node or of all: we know the answer for nodes of our kind."""
        for name in [self.context.node, *(node.name for node in self.peers.alive())]:
            if dest in ("", name):
                self._client_of(session, name, client)

    def _to_legacy(self, session: Session, items: Pairs) -> None:
        """By a numbered packet, as a Heartbeat 3.0.6 sends it: one datagram, so its size is limited."""
        if len(encode_unsigned(Fields(items))) > MAX_LEGACY_MESSAGE_BYTES:
            text = f"a message of {session.name} is too large for nodes that run Heartbeat 3.0.6"
            self.context.complain("legacy size", "error", f"{text} (limit {MAX_LEGACY_MESSAGE_BYTES} bytes)")
            return
        self.context.broadcast(items)

    def arrived(self, frame: Frame) -> None:
        """A message for the client of that name on this node. Without one it is dropped, as in Heartbeat."""
        name = frame.to_module.removeprefix(PREFIX)
        for session in self.sessions.values():
            if session.name == name and not session.casual:
                self._execute(ApiSend(session.client.serial, frame.body))

    def legacy_message(self, client: str, fields: Fields) -> None:
        """The same, from a Heartbeat 3.0.6."""
        for session in self.sessions.values():
            if session.name == client and not session.casual:
                self._send(session, list(fields))

    def legacy_response(self, client: str, fields: Fields) -> None:
        """A Heartbeat 3.0.6 answers what `clientstatus` asked it; casual clients go by their pid."""
        for session in self.sessions.values():
            if session.name == client:
                self._send(session, list(fields))

    # Events ----------------------------------------------------------------------------------------------------------

    def _event(self, items: Pairs) -> None:
        for session in self.sessions.values():
            if session.name and not session.casual and session.filter & _KEEP:
                self._send(session, items)

    def node_changed(self, node: str) -> None:
        self._event([("t", "status"), ("src", node), ("st", self._state(node))])

    def ping_changed(self, name: str, state: str) -> None:
        self._event([("t", "NS_st"), ("src", name), ("st", state), ("info", "ping")])

    def link_changed(self, node: Node, link: str, up: bool) -> None:
        self._event([("t", "ifstat"), ("node", node.name), ("ifname", link), ("st", "up" if up else "dead")])

    def module_changed(self, status: ModuleStatus) -> None:
        if status.module.startswith(PREFIX):
            self.program_changed(status.node, status.module, status.up)

    def program_changed(self, node: str, module: str, up: bool) -> None:
        self._event([*_client_status(module, up), ("src", node)])


def _client_status(module: str, up: bool) -> Pairs:
    name = module.removeprefix(PREFIX)
    state, why = ("join", "signon") if up else ("leave", "signoff")
    return [("t", "hbapi-clstat"), ("st", state), ("from_id", name), ("to_id", name), ("info", why)]


def _client_state(node: str, client: str, online: bool) -> Pairs:
    return [("node", node), ("cn", client), ("cs", "online" if online else "offline")]


Handler = Callable[[Api, Session, Fields], list[tuple[str, Pairs]]]


def _about_node(field: str, value: Callable[[Api, str], str]) -> Handler:
    """The handler of a request about one node with one answer."""

    def handle(api: Api, _session: Session, fields: Fields) -> list[tuple[str, Pairs]]:
        name = api._node(fields)
        return [(OK, [("node", name), (field, value(api, name))])]

    return handle


REQUESTS: dict[str, Handler] = {
    "signon": Api._signon,
    "signoff": Api._signoff,
    "setfilter": Api._setfilter,
    "setsignal": Api._accept,
    "set_sendqlen": Api._accept,
    "nodelist": Api._nodelist,
    "nodestatus": _about_node("st", Api._state),
    "nodeweight": _about_node("weight", lambda _api, _name: DEFAULT_WEIGHT),
    "nodesite": _about_node("site", lambda _api, _name: ""),
    "nodetype": _about_node("nodetype", Api._type),
    "numnodes": Api._numnodes,
    "iflist": Api._iflist,
    "ifstatus": Api._ifstatus,
    "clientstatus": Api._clientstatus,
    "getparm": Api._getparm,
    "getrsc": Api._getrsc,
    "getuuid": Api._getuuid,
    "getnodename": Api._getnodename,
}
