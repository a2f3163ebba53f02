# SPDX-License-Identifier: GPL-2.0-or-later
"""The Machine of heartbeat: events in, effects out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ha.heartbeat.core.api import Api
from ha.heartbeat.core.context import Context
from ha.heartbeat.core.incoming import MAX_FRAME_BYTES
from ha.heartbeat.core.legacy import is_announcement
from ha.heartbeat.core.peers import CCM, HARESOURCES, MEMBERS_TOLD, Peers
from ha.heartbeat.core.pings import Pings, PingState
from ha.heartbeat.core.reception import Reception
from ha.heartbeat.core.reload import merge
from ha.heartbeat.model import AuthKeys, HaCf
from ha.heartbeat.model.authkeys import WatchKeys
from ha.heartbeat.model.ha_cf import PING, WatchHaCf
from ha.heartbeat.model.stream import Frame, is_module_name
from ha.heartbeat.model.wire import Nonces, Value
from ha.heartbeat.model.wire.sealed import SALT_BYTES
from ha.heartbeat.msg import (
    Accusations,
    Announce,
    Announced,
    ApiFrame,
    Deliver,
    GetAccusations,
    GetNodes,
    ModuleStatus,
    NodeFenced,
    NodeLine,
    Nodes,
    NodeState,
    NodeStatus,
    NothingRuns,
    PingStatus,
    ResourcesHeld,
    Transmit,
)
from ha.ipc.codec import encode
from ha.machine import (
    Client,
    Connected,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Instant,
    Local,
    Lost,
    Packet,
    Persist,
    Received,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
    Wire,
)

GENERATION_FILE = "hb_generation"  # decimal, right-aligned in 15 characters, and a newline, as in Heartbeat 3.0.6
UUID_FILE = "hb_uuid"  # 16 bytes, as in Heartbeat 3.0.6
RUN_FILE = "hb_run"  # the boot in which we ran, and whether we stopped cleanly
PROTOCOL = "1"  # of our associations: the field `ha` of a status
CRMD = "crmd"
MANAGERS = (CRMD, HARESOURCES)
"""Who answers for resources on a node: the one or the other runs."""
KEEPALIVE = "keepalive"
KEYS_OPERATION = "authkeys"
HA_CF_OPERATION = "ha.cf"
GOODBYES = 3  # the last words of a node that leaves are said so often


class Heartbeat:
    """See `ha.heartbeat.core.build`."""

    def __init__(self, node: str, ha_cf: HaCf, keys: AuthKeys, boot_id: str, watch_keys: bool) -> None:
        assert node == node.lower()
        self.context = Context(node, ha_cf, keys, boot_id)
        self.peers = Peers(self.context)
        self.reception = Reception(self.context, self.peers)
        self.api = Api(self.context, self.peers)
        self.peers.audience = self.api
        self.pings = Pings(self.context, self._ping_changed)
        self.api.pings = self.pings
        self.punctuality = self.peers.punctuality
        self.watch_keys = watch_keys
        self.started: Started | None = None
        self.began = False
        self.stopping = False
        self.last_status_at: Instant = 0
        self.manager = CRMD
        self.manager_was_here = False
        self.nothing_runs = False

    def step(self, event: Event, now: Instant) -> list[Effect]:
        context = self.context
        assert now >= context.now, f"time went back: {context.now} => {now}"
        context.now = now
        context.effects = []
        if self.stopping:
            return []
        absence_ms = self.punctuality.absence_ms(now)
        if absence_ms:
            self.peers.absence(absence_ms)
            self.pings.absence(absence_ms)
        self._EVENTS[type(event)](self, event)
        if self.began and not self.stopping:
            self._follow_up()
        return context.effects

    def _follow_up(self) -> None:
        """After every event: what has changed is told at once, not with the next keepalive."""
        self._consider_active()
        if self.peers.changed:
            self.peers.changed = False
            self._send_status()

    # Start and end ---------------------------------------------------------------------------------------------------

    def _on_started(self, event: Started) -> None:
        assert self.started is None
        self.started = event
        self.context.random.seed(event.seed)
        for warning in self.context.ha_cf.warnings:
            self.context.note("warning", warning)
        if self.watch_keys:
            self.context.effects.append(Execute(KEYS_OPERATION, WatchKeys(self.context.keys)))
            self.context.effects.append(Execute(HA_CF_OPERATION, WatchHaCf()))

    def _on_wall(self, event: Wall) -> None:
        self.context.transmitter.wall_offset_ms = event.offset_ms
        if not self.began:
            assert self.started is not None
            self._begin(self.started)

    def _begin(self, started: Started) -> None:
        """The clock is known: choose our generation, make it durable, and only then be heard."""
        context = self.context
        restarted = self._restarted(started)
        self.manager_was_here = self.manager_was_here or restarted  # it may have been
        transmitter = context.transmitter
        transmitter.generation = self._next_generation(started)
        start = f"{started.incarnation} {context.boot_id} {transmitter.generation} {started.seed}"
        transmitter.nonces = Nonces(hashlib.sha256(start.encode()).digest()[:SALT_BYTES])
        context.effects.append(Persist(GENERATION_FILE, b"%15d\n" % transmitter.generation))
        uuid = started.persisted.get(UUID_FILE, b"")
        if len(uuid) != 16:
            uuid = context.random.randbytes(16)
            context.effects.append(Persist(UUID_FILE, uuid))
        transmitter.uuid = uuid
        if not restarted:  # else it says so already, and each write costs time in which we are not heard
            context.effects.append(Persist(RUN_FILE, self._run_record(clean=False)))
        self.began = True
        wait_ms = context.times.deadtime_ms if restarted else context.times.initdead_ms
        context.note(
            "notice",
            f"node {context.node} begins: generation {transmitter.generation}, keepalive {context.times.keepalive_ms} "
            f"ms, deadtime {context.times.deadtime_ms} ms, nodes not heard in {wait_ms} ms are dead",
        )
        self.peers.begin(context.now + wait_ms)
        self.pings.begin()
        self._send_status()  # "init" comes first, as from a Heartbeat 3.0.6
        self._become("up")
        for node in self.peers.nodes.values():
            self.peers.tell(self.peers.status(node, "not heard yet"))
        self._on_keepalive()

    def _run_record(self, clean: bool) -> bytes:
        return f"{self.context.boot_id} {'clean' if clean else 'running'}\n".encode()

    def _restarted(self, started: Started) -> bool:
        """We ran in this very boot and did not stop cleanly: our peers are where they were."""
        return started.persisted.get(RUN_FILE) == self._run_record(clean=False)

    def _next_generation(self, started: Started) -> int:
        """One more than ever before. Without a usable record, the time: Heartbeat's own way."""
        record = started.persisted.get(GENERATION_FILE, b"").strip()
        if record.isdigit() and 0 < len(record) <= 12:
            return int(record) + 1
        if record:
            self.context.note("error", f"{GENERATION_FILE} is unreadable: the generation is taken from the clock")
        return (self.context.now + self.context.transmitter.wall_offset_ms) // 1000 + 1

    def _on_stopping(self, _event: Stopping) -> None:
        """A clean leave: peers need no timeout. Persisted after it, so that a dead disk does not delay it.

        Goodbye means that no resource runs here any more (P1), and only the crmd can say that. When it has not, because
        heartbeat alone is restarted or the crmd was too slow to leave, we end without a word.
        """
        context = self.context
        self.stopping = True
        if not self.began:
            return
        if self.manager_was_here and not self.nothing_runs:
            still = "still runs" if self.manager in context.modules.up else "has ended"
            text = f"the {self.manager} {still} and has not said that nothing runs"
            context.note("warning", f"no goodbye to the cluster: {text}")
            return
        context.state = "left"
        goodbye = [*self._status_items("dead"), ("leave", "1")]
        context.broadcast(goodbye, times=GOODBYES)
        context.effects.append(Persist(RUN_FILE, self._run_record(clean=True)))
        context.note("notice", f"node {context.node} leaves the cluster")

    # Our own state ---------------------------------------------------------------------------------------------------

    def _become(self, state: NodeState) -> None:
        context = self.context
        old, context.state = context.state, state
        assert (old, state) in (("init", "up"), ("up", "active"))
        context.note("notice", f"node {context.node} (this one): {old} => {state}")
        self.peers.tell(self._own_status())
        self.api.node_changed(context.node)
        self.peers.changed = True

    def _own_status(self) -> NodeStatus:
        context = self.context
        return NodeStatus(
            node=context.node,
            state=context.state,
            generation=context.generation,
            boot_id=context.boot_id,
            evidence="this node",
        )

    def _consider_active(self) -> None:
        """Every node has been heard or given up: we are a full member."""
        if self.context.state == "up" and all(node.state != "init" for node in self.peers.nodes.values()):
            self._become("active")

    def _status_items(self, state: str) -> list[tuple[str, Value]]:
        context = self.context
        lost = " ".join(
            f"{node.name}:{node.association.session:x}"
            for node in self.peers.nodes.values()
            if node.state == "dead" and node.ours
        )
        return [
            ("t", "status"),
            ("st", state),
            ("dt", f"{context.times.deadtime_ms:x}"),
            ("protocol", "1"),
            ("ha", PROTOCOL),
            ("bootid", context.boot_id),
            *([("lost", lost)] if lost else []),
        ]

    def _send_status(self) -> None:
        self.last_status_at = self.context.now
        self.context.broadcast(self._status_items(self.context.state))

    # Timers ----------------------------------------------------------------------------------------------------------

    def _on_fired(self, event: Fired) -> None:
        kind, _, name = event.timer.partition(":")
        if kind == KEEPALIVE:
            self._on_keepalive()
            return
        node = self.peers.nodes[name]
        if kind == "dead":
            self.peers.overdue(node)
        else:
            assert kind == "association", event.timer
            self.context.fired(event.timer)
            self.peers.flush(node)

    def _on_keepalive(self) -> None:
        context = self.context
        context.fired(KEEPALIVE)
        self._send_status()
        self.peers.changed = False
        self.peers.check_links()
        self.pings.ask()
        for node in self.peers.nodes.values():
            self.reception.legacy.request_missing(node)
        next_at = context.now + context.times.keepalive_ms
        context.wake_by(KEEPALIVE, next_at)
        self.punctuality.expect(next_at)

    # Workers of this node --------------------------------------------------------------------------------------------

    def _on_connected(self, event: Connected) -> None:
        module = event.peer.module
        if module in self.context.modules.up:
            self._hung_up(module)
        if not is_module_name(module):
            self.context.note("error", f"a worker with an impossible name is ignored: {module!a}")
            return
        if module in MANAGERS:
            self.manager = module
            self.manager_was_here, self.nothing_runs = True, False
        held = self.context.modules.signed_on(module)
        if module in MEMBERS_TOLD and self.began:
            known = [
                self._own_status(),
                *(self.peers.status(node, "as it is now") for node in self.peers.nodes.values()),
            ]
            self.context.effects.extend(Send(event.peer, status) for status in known)
        if module == CCM and self.began:
            for ping in self.pings.pings.values():
                self._tell_ping(ping.node.name, ping.state)
        for node in self.peers.nodes.values():
            if module in node.modules:
                status = ModuleStatus(node=node.name, module=module, up=True)
                self.context.effects.append(Send(event.peer, status))
        self.context.effects.extend(held)
        self.peers.submit_to_all(Frame("up", module))

    def _ping_changed(self, name: str, state: PingState) -> None:
        self.api.ping_changed(name, state)
        if CCM in self.context.modules.up:
            self._tell_ping(name, state)

    def _tell_ping(self, name: str, state: PingState) -> None:
        status = PingStatus(name=name, up=state == "ping")
        self.context.effects.append(Send(Local(CCM), status))

    def _on_lost(self, event: Lost) -> None:
        if isinstance(event.peer, Local) and event.peer.module in self.context.modules.up:
            self._hung_up(event.peer.module)
        elif isinstance(event.peer, Client):
            self.api.gone(event.peer)

    def _hung_up(self, module: str) -> None:
        self.context.modules.hung_up(module)
        self.peers.submit_to_all(Frame("down", module))

    # Messages --------------------------------------------------------------------------------------------------------

    def _on_received(self, event: Received) -> None:
        message, sender = event.message, event.sender
        if isinstance(sender, Wire):
            assert isinstance(message, Packet)
            if self.began and sender.medium.startswith(PING):
                self.pings.heard(sender, message.data)
            elif self.began:
                self.reception.packet(sender, message.data)
        elif isinstance(sender, Local):
            if isinstance(message, Transmit):
                self._transmit(sender.module, message)
            elif isinstance(message, NothingRuns) and sender.module in MANAGERS:
                self.nothing_runs = True
            elif isinstance(message, NodeFenced) and sender.module == CCM:
                self.peers.fenced(message.node)
            elif isinstance(message, Announce) and sender.module == HARESOURCES:
                self._announce(message)
            elif isinstance(message, ResourcesHeld) and sender.module == HARESOURCES:
                self.api.rsc_hold = message.rsc_hold
            else:
                self.context.note("error", f"{sender.module} sends {type(message).__name__}, which we do not take")
        elif isinstance(sender, Client):
            self._asked(sender, message)

    def _transmit(self, from_module: str, message: Transmit) -> None:
        context = self.context
        if len(message.body) > MAX_FRAME_BYTES or not is_module_name(message.to_module):
            context.note(
                "error", f"a message of {from_module} to {message.to_module!a} is refused: too large or no name"
            )
            return
        frame = Frame("message", from_module, message.to_module, message.body)
        if message.to_node in (None, context.node):
            deliver = Deliver(from_node=context.node, from_module=from_module, body=message.body)
            context.effects.extend(context.modules.deliver(message.to_module, deliver))
        for node in self.peers.nodes.values():
            if message.to_node not in (None, node.name):
                continue
            if node.alive and node.ours:
                self.peers.submit(node, frame)
            elif message.to_node is not None:
                context.complain(
                    f"to {node.name}", "info", f"a message of {from_module} to {node.name} ({node.state}) is dropped"
                )
                return
        if message.to_node not in (None, context.node) and message.to_node not in self.peers.nodes:
            context.complain(
                "to nobody", "warning", f"a message of {from_module} to {message.to_node!a}, which is no node"
            )

    def _announce(self, message: Announce) -> None:
        """By a numbered packet to a Heartbeat 3.0.6, by the association to one of ours."""
        context = self.context
        if not is_announcement(message.fields):
            context.note("error", f"an announcement that is none is dropped: {sorted(message.fields)!a}"[:200])
            return
        if self.peers.legacy_alive():
            context.broadcast(list(message.fields.items()))
        body = encode(Announced(node=context.node, fields=message.fields))
        self.peers.submit_to_all(Frame("message", HARESOURCES, HARESOURCES, body))

    def _asked(self, client: Client, message: object) -> None:
        if isinstance(message, GetNodes):
            self.context.effects.append(Reply(client, Nodes(nodes=self._node_lines())))
        elif isinstance(message, GetAccusations):
            offset_ms = self.context.transmitter.wall_offset_ms
            lines = self.peers.accusations.about(message.node, offset_ms)
            known = {line.node: line.state for line in self._node_lines()}
            self.context.effects.append(Reply(client, Accusations(lines=lines, known=known)))
        elif isinstance(message, ApiFrame) and self.began:
            self.api.received(client, message.data)
        else:
            self.context.complain(
                "asked", "warning", f"{client.program} sends {type(message).__name__}, which we do not take"
            )

    def _node_lines(self) -> list[NodeLine]:
        own = NodeLine(node=self.context.node, kind="normal", state=self.context.state, links={})
        others = [
            NodeLine(
                node=node.name,
                kind="normal",
                state=node.state,
                links={link.name: link.up for link in node.links.values()},
            )
            for node in self.peers.nodes.values()
        ]
        pings = [
            NodeLine(node=ping.node.name, kind="ping", state="active" if ping.state == "ping" else ping.state, links={})
            for ping in self.pings.pings.values()
        ]
        return sorted([own, *others, *pings], key=lambda line: line.node)

    def _on_finished(self, event: Finished) -> None:
        """New keys or a new ha.cf. What adapters were told to do for programs ends here too: nobody waits for it."""
        if event.operation == HA_CF_OPERATION:
            self._reload(event.outcome)
            return
        if event.operation != KEYS_OPERATION:
            return
        keys = event.outcome
        assert isinstance(keys, AuthKeys)
        context = self.context
        numbers = ", ".join(str(key.number) for key in keys.keys)
        context.note("notice", f"authkeys has changed: keys {numbers} are accepted, key {keys.signing} signs")
        context.keys = context.transmitter.keys = keys
        context.effects.append(Execute(KEYS_OPERATION, WatchKeys(keys)))

    def _reload(self, read: object) -> None:
        assert isinstance(read, HaCf)
        context = self.context
        context.ha_cf, applied, refused = merge(context.ha_cf, read)
        context.transmitter.configure(context.ha_cf)
        self.punctuality.configure(context.times)
        context.note("notice", f"ha.cf was read again: {', '.join(applied) or 'nothing new to apply'}")
        if refused:
            context.note(
                "warning", f"ha.cf: changed, but in force only after a restart of heartbeat: {', '.join(refused)}"
            )
        for warning in read.warnings:
            context.note("warning", warning)
        context.effects.append(Execute(HA_CF_OPERATION, WatchHaCf()))

    _EVENTS: dict[type, Callable[[Heartbeat, Any], None]] = {
        Started: _on_started,
        Wall: _on_wall,
        Connected: _on_connected,
        Lost: _on_lost,
        Received: _on_received,
        Fired: _on_fired,
        Finished: _on_finished,
        Stopping: _on_stopping,
    }
