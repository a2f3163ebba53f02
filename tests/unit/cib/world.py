# SPDX-License-Identifier: GPL-2.0-or-later
"""Cores of the cib on several nodes, with a network, disks and shared memory whose every step the test decides.

A node's disk keeps what was appended durably; what was appended otherwise survives the worker, not the power.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ha.ccm.msg import Member, MembershipEvent, Synchronized, View, ViewId
from ha.cib.core import Cib, build
from ha.cib.model.acl import User
from ha.cib.model.parse import parse
from ha.cib.model.store import AppendRecords, CheckpointCib, FindUser, KeepDropped, LoadCib, LoadedCib, PublishCib
from ha.cib.model.version import version_of
from ha.cib.msg import Changed, Follow, Lead, Leading, Subscribe, Version, Write, Written
from ha.ipc import codec
from ha.machine import (
    Arm,
    Client,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Local,
    Message,
    Note,
    Received,
    Remote,
    Reply,
    Send,
    Started,
)

CLIENT = Client("cibadmin", 1, 0)


@dataclass
class Disk:
    xml: bytes = b""
    records: list[bytes] = field(default_factory=list)
    synced: int = 0
    generation: int = 0
    shown: bytes = b""
    dropped: list[bytes] = field(default_factory=list)
    is_full: bool = False

    def lose_power(self) -> None:
        del self.records[self.synced :]
        self.generation, self.shown = 0, b""


class Node:
    """One cib worker; `core` is None while it is down."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.disk = Disk()
        self.core: Cib | None = None
        self.timers: dict[str, int] = {}
        self.operations: deque[Execute] = deque()
        self.to_crmd: list[Message] = []
        self.replies: list[Message] = []
        self.synchronized: list[ViewId] = []
        self.notes: list[str] = []

    def start(self) -> None:
        self.core = build(node=self.name)
        self.timers.clear()
        self.operations.clear()
        self.step(Started(f"{self.name}-{self.world.now}", 1))
        self.receive(Local("crmd"), self.world.subscribe)

    def kill(self) -> None:
        """SIGKILL: an operation under way may have been done, or not (here: not)."""
        self.core = None

    def receive(self, sender: Local | Client | Remote, message: Message) -> None:
        self.step(Received(sender, codec.decode(codec.encode(message))))

    def step(self, event: Event) -> None:
        if self.core is None:
            return
        for effect in self.core.step(event, self.world.now):
            self._carry_out(effect)
        self.world.check(self)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(Remote(node, "cib"), message):
                self.world.links[self.name, node].append(message)
            case Send(Local("crmd"), message) if not isinstance(message, Written):
                self.to_crmd.append(message)
                if isinstance(message, Changed):
                    self.world.saw(self.name, message.version, message.digest)
            case Send(Local("ccm"), Synchronized(view=view)):
                self.synchronized.append(view)
            case Reply(_, message) | Send(Local(), message):
                self._judge_shown(message)
                self.replies.append(message)
            case Execute():
                self.operations.append(effect)
            case Arm(timer, deadline):
                self.timers[timer] = deadline
            case Disarm(timer):
                self.timers.pop(timer, None)
            case Note(_, text):
                self.notes.append(text)
            case _:
                raise AssertionError(effect)

    def _judge_shown(self, message: Message) -> None:
        """What is acknowledged is shown in shared memory, unless that is full or this node has not caught up yet and
        would not answer a query with it either."""
        if isinstance(message, Written) and message.outcome == "committed" and not self.disk.is_full:
            assert self.core is not None
            shown, known = version_of(parse(self.disk.shown)), self.core.version
            assert shown >= min(message.version, known), f"{self.name} has acknowledged {known} and shows {shown}"

    def finish_one(self) -> None:
        """The oldest operation ends."""
        effect = self.operations.popleft()
        outcome = self._serve(effect.request)
        self.step(Finished(effect.operation, outcome))

    def _serve(self, request: object) -> object:
        disk = self.disk
        if disk.is_full:
            return OSError(28, "No space left on device")
        match request:
            case LoadCib():
                return LoadedCib(
                    xml=disk.xml, records=tuple(disk.records), generation=disk.generation, published=disk.shown
                )
            case AppendRecords(records, durable):
                disk.records += records
                if durable:
                    disk.synced = len(disk.records)
            case CheckpointCib(xml, records):
                disk.xml, disk.records, disk.synced = xml, list(records), len(records)
            case PublishCib(generation, _, _, parts):
                assert generation == disk.generation + 1
                disk.generation, disk.shown = generation, b"".join(parts)
            case FindUser(uid, _, wanted):
                return User(wanted, privileged=wanted == "") if uid == 0 else User({1007: "alice"}[uid])
            case KeepDropped(_, xml):
                disk.dropped.append(xml)
                return "dropped.xml"
            case _:
                raise AssertionError(request)
        return None

    def written(self, request_id: str) -> Written | None:
        found = [m for m in self.replies if isinstance(m, Written) and m.request_id == request_id]
        return found[-1] if found else None


class World:
    """`links` are ordered and lose nothing unless an end is down or `cut`."""

    def __init__(self, *names: str, make: Callable[[str, World], Node] = Node) -> None:
        self.subscribe = Subscribe()
        self.now = 1000
        self.instance = 0
        self.seen: dict[Version, tuple[str, str]] = {}
        self.nodes = {name: make(name, self) for name in names}
        self.links: dict[tuple[str, str], deque[Message]] = {(a, b): deque() for a in names for b in names}
        self.views: dict[str, tuple[View, str]] = {}
        for node in self.nodes.values():
            node.start()
        self.requests = 0

    # What must always hold -------------------------------------------------------------------------------------------

    def saw(self, node: str, version: Version, digest: str) -> None:
        """P3: equal version, equal bytes, wherever and whenever it is shown."""
        first, known = self.seen.setdefault(version, (node, digest))
        assert known == digest, f"CIB {version} is {known} on {first}, and {digest} on {node}"

    def check(self, node: Node) -> None:
        assert node.core is not None
        self.saw(node.name, node.core.version, node.core.digest)

    # Membership ------------------------------------------------------------------------------------------------------

    def view(self, *names: str, writer: str = "", quorate: bool | None = None) -> ViewId:
        """These nodes form a view, with `writer` (default: the first) as DC. Quorate by majority unless said."""
        self.instance += 1
        writer = writer or names[0]
        quorum = len(names) * 2 > len(self.nodes) if quorate is None else quorate
        view = View(ViewId(self.instance, f"ccm-{names[0]}"), tuple(Member(name, 1) for name in names), quorum)
        for name in names:
            self.views[name] = (view, writer)
            self.introduce(name)
        return view.id

    def introduce(self, name: str) -> None:
        """What ccm and crmd tell a cib when the view changes, or when it has connected."""
        known = self.views.get(name)
        if known is None:
            return
        view, writer = known
        node = self.nodes[name]
        event = "NEW_MEMBERSHIP" if view.quorate else "INVALID"
        node.receive(Local("ccm"), MembershipEvent(event=event, view=view))
        if name == writer:
            node.receive(Local("crmd"), Lead(view=view.id, members=view.names()))
        else:
            node.receive(Local("crmd"), Follow(view=view.id, writer=writer))

    def restart(self, name: str, power: bool = False) -> None:
        """Kill the worker (or the whole node) and start it again. Messages on their way to it are lost."""
        node = self.nodes[name]
        node.kill()
        if power:
            node.disk.lose_power()
        for (_, to), queue in self.links.items():
            if to == name:
                queue.clear()
        node.start()
        self.introduce(name)

    # Time ------------------------------------------------------------------------------------------------------------

    def connected(self, one: str, other: str) -> bool:
        """Nodes speak when they are in the same view."""
        return one in self.views and other in self.views and self.views[one][0] == self.views[other][0]

    def choices(self) -> list[tuple[str, str]]:
        """Everything that can happen next, apart from timers."""
        messages = [link for link, queue in self.links.items() if queue]
        operations = [(name, "") for name, node in self.nodes.items() if node.operations and node.core]
        return messages + operations

    def happen(self, choice: tuple[str, str]) -> None:
        one, other = choice
        if not other:
            self.nodes[one].finish_one()
            return
        message = self.links[one, other].popleft()
        if self.connected(one, other):
            self.nodes[other].receive(Remote(one, "cib"), message)

    def settle(self, seconds: int = 3) -> None:
        """Until nothing happens any more, with timers firing for so long."""
        end = self.now + seconds * 1000
        while True:
            choices = self.choices()
            if choices:
                self.happen(choices[0])
                continue
            due = [(d, n, t) for n, node in self.nodes.items() if node.core for t, d in node.timers.items()]
            if not due or min(due)[0] > end:
                self.now = end
                return
            deadline, name, timer = min(due)
            self.now = max(self.now, deadline)
            del self.nodes[name].timers[timer]
            self.nodes[name].step(Fired(timer))

    # Writing ---------------------------------------------------------------------------------------------------------

    def option(self, name: str, option: str, value: str, view: ViewId | None = None) -> str:
        """Ask a node to set a cluster option; returns the request_id."""
        xml = (
            f'<cluster_property_set id="opts"><nvpair id="opts-{option}" name="{option}" value="{value}"/>'
            "</cluster_property_set>"
        )
        return self.write(name, Write(
            request_id="", operation="modify", scope="crm_config", xml=xml, allow_create=True, view=view
        ))  # fmt: skip

    def node_state(self, name: str, value: str, caller: Local | Client = Local("crmd")) -> str:  # noqa: B008
        xml = f'<node_state id="{name}" uname="{name}" crmd="{value}"/>'
        write = Write(request_id="", operation="modify", scope="status", xml=xml, allow_create=True)
        return self.write(name, write, caller)

    def write(self, name: str, write: Write, caller: Local | Client = CLIENT) -> str:
        self.requests += 1
        request_id = write.request_id or f"r{self.requests}"
        fields = {field: getattr(write, field) for field in write.__struct_fields__}
        self.nodes[name].receive(caller, Write(**{**fields, "request_id": request_id}))
        return request_id

    def digests(self, *names: str) -> set[tuple[Version, str]]:
        cores = [self.nodes[name].core for name in names or self.nodes]
        return {(core.version, core.digest) for core in cores if core is not None}

    def leading(self, name: str) -> list[Leading]:
        return [message for message in self.nodes[name].to_crmd if isinstance(message, Leading)]
