# SPDX-License-Identifier: GPL-2.0-or-later
"""A small cluster around real crmd and tengine cores, under virtual time: their neighbours are scripted stand-ins.

Every stand-in does the least its module's messages promise: the cib applies and publishes writes, the lrmd runs
operations with given results, the policy engine answers from a script. Time advances from event to event.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from ha.attrd import msg as attrd
from ha.ccm.msg import ConfirmedDown, Member, MembershipEvent, View, ViewId
from ha.cib import msg as cib
from ha.crm import msg as crm
from ha.crm.core import Crmd, build, shutdown
from ha.crm.model import FEATURE_SET
from ha.heartbeat.msg import ModuleStatus, NothingRuns
from ha.ipc import codec
from ha.lrm import msg as lrm
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Fired,
    Instant,
    Local,
    Lost,
    Message,
    Note,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Wall,
)
from ha.pe.msg import Schedule, Scheduled
from ha.rmd.msg import LeaveCluster, LeftCluster, StartWorker, StopWorker
from ha.stonith.msg import Fenced, FenceNode
from ha.te.core import Engine
from ha.te.core import build as build_te
from ha.te.msg import RequestAction

WALL_MS = 1_700_000_000_000
NEIGHBOURS = ("rmd", "heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd")
EMPTY_CIB = (
    '<cib admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config/><nodes/><resources/><constraints/>'
    "</configuration><status/></cib>"
)


@dataclass
class Node:
    name: str
    crmd: Crmd | None = None
    te: Engine | None = None
    incarnations: int = 0
    timers: dict[tuple[str, str], Instant] = field(default_factory=dict)
    generation: int = 0
    subscribed: bool = False
    lrm: dict[str, dict[tuple[str, int], lrm.OperationResult]] = field(default_factory=dict)
    by_key: dict[str, lrm.OperationResult] = field(default_factory=dict)
    running: dict[str, lrm.RunOperation] = field(default_factory=dict)
    calls: int = 0
    left: bool = False
    nothing_runs: bool = False
    log: list[str] = field(default_factory=list)


class World:
    """`decide(cib)` is the policy engine: a graph for the CIB as text. `outcome(node, order)` is every agent."""

    def __init__(self, *names: str, decide: Callable[[etree._Element], str] | None = None) -> None:
        self.now: Instant = 1_000
        self.names = names
        self.feature_sets: dict[str, str] = {}
        self.nodes = {name: Node(name) for name in names}
        self.queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.root = etree.fromstring(EMPTY_CIB)
        self.writer: tuple[ViewId, str] | None = None
        self.done_writes: dict[str, cib.Written] = {}
        self.decide = decide or (lambda root: "<transition_graph/>")
        self.outcome: Callable[[str, lrm.RunOperation], int] = lambda node, order: (
            7 if order.operation == "monitor" and order.interval_ms == 0 else 0
        )
        self.agent_ms = 10
        self.fence_ok: Callable[[str], bool] = lambda target: True
        self.fence_ms = 50
        self.net_ms = 1
        self.cut: set[tuple[str, str]] = set()
        self.drop: Callable[[str, str, Message], bool] = lambda source, target, message: False
        self.instance = 0
        self.views: dict[str, View] = {}
        self.replies: list[Message] = []
        self.attributes: list[attrd.UpdateAttribute | attrd.ClearFailures] = []
        self.ran: list[tuple[str, str]] = []
        self.fences: list[str] = []
        self.schedules: list[int] = []
        self.confirmed: list[str] = []
        self.mute: set[str] = set()
        self.wall_ms = WALL_MS
        self.recheck_at_s = 0
        self.crash: tuple[str, int] | None = None
        self.effects = dict.fromkeys(names, 0)

    # Time ------------------------------------------------------------------------------------------------------------

    def at(self, delay_ms: int, call: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + delay_ms, next(self.order), call))

    def run(self, ms: int) -> None:
        end = self.now + ms
        while self.queue and self.queue[0][0] <= end:
            when, _, call = heapq.heappop(self.queue)
            self.now = when
            call()
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ms: int = 600_000) -> int:
        """Virtual ms it took."""
        begun = self.now
        while not condition():
            assert self.queue and self.queue[0][0] <= begun + limit_ms, "it never comes true\n" + self.story()
            when, _, call = heapq.heappop(self.queue)
            self.now = when
            call()
        return self.now - begun

    # Machines --------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """A crmd (again); its links come up in some order, then ccm tells the view."""
        node = self.nodes[name]
        node.incarnations += 1
        node.crmd = build(node=name, nodes=self.names, deadtime_ms=1_000, initdead_ms=5_000,
                          feature_set=self.feature_sets.get(name, FEATURE_SET))
        node.subscribed = node.left = False
        self.step(name, "crmd", Started(incarnation=f"{name}-{node.incarnations}", seed=1))
        self.step(name, "crmd", Wall(WALL_MS))
        for module in NEIGHBOURS:
            self.step(name, "crmd", Connected(Local(module)))
        for other in self.names:
            up = self.nodes[other].crmd is not None
            if other != name and up:
                self.give(name, "heartbeat", ModuleStatus(node=other, module="crmd", up=True))
                self.give(other, "heartbeat", ModuleStatus(node=name, module="crmd", up=True))
        if name in self.views:
            self.give(name, "ccm", self._event(self.views[name]))

    def kill(self, name: str, module: str = "crmd") -> None:
        node = self.nodes[name]
        if module == "tengine":
            node.te = None
            node.timers = {k: v for k, v in node.timers.items() if k[0] != "te"}
            self.step(name, "crmd", Lost(Local("tengine")))
            return
        assert module == "crmd"
        node.crmd = None
        node.timers = {k: v for k, v in node.timers.items() if k[0] == "te"}
        if node.te is not None:
            self.step(name, "te", Lost(Local("crmd")))
            node.te = None
        for other in self.names:
            if other != name and (other, name) not in self.cut:
                self.give(other, "heartbeat", ModuleStatus(node=name, module="crmd", up=False))

    def power_off(self, name: str) -> None:
        node = self.nodes[name]
        node.crmd = node.te = None
        node.timers, node.lrm, node.by_key, node.running = {}, {}, {}, {}
        self.views.pop(name, None)

    def step(self, name: str, module: str, event: Event) -> None:
        node = self.nodes[name]
        machine = node.crmd if module == "crmd" else node.te
        if machine is None:
            return
        effects = machine.step(event, self.now)
        self._carry_out(node, module, effects)

    def _carry_out(self, node: Node, module: str, effects: list[Effect]) -> None:
        for effect in effects:
            if module == "crmd" and self._crashes(node):
                return
            match effect:
                case Note(level, text):
                    node.log.append(f"{self.now:>7} {node.name} {module} {level}: {text}")
                case Arm(timer, deadline):
                    self._arm(node, module, timer, deadline)
                case Disarm(timer):
                    node.timers.pop((module, timer), None)
                case Reply(_, message):
                    codec.decode(codec.encode(message))
                    self.replies.append(message)
                case Send(Local(to), message):
                    message = codec.decode(codec.encode(message))
                    self._local(node, module, to, message)
                case Send(Remote(to, "crmd"), message):
                    message = codec.decode(codec.encode(message))
                    self._remote(node.name, to, message)
                case _:
                    raise AssertionError(f"unexpected {effect!r}")

    def _crashes(self, node: Node) -> bool:
        """Power of the worker fails before its n-th effect: SIGKILL, and rmd starts it again 20 ms later."""
        self.effects[node.name] += 1
        if self.crash != (node.name, self.effects[node.name]):
            return False
        self.kill(node.name)
        self.at(20, lambda: self.start(node.name))
        return True

    def _arm(self, node: Node, module: str, timer: str, deadline: Instant) -> None:
        node.timers[(module, timer)] = deadline
        incarnation = node.incarnations

        def fire() -> None:
            if node.timers.get((module, timer)) == deadline and node.incarnations == incarnation:
                del node.timers[(module, timer)]
                self.step(node.name, module, Fired(timer))

        self.at(max(0, deadline - self.now), fire)

    def give(self, name: str, module: str, message: Message, delay_ms: int = 0) -> None:
        """A message of a neighbour to a crmd, later."""
        incarnation = self.nodes[name].incarnations

        def deliver() -> None:
            if self.nodes[name].incarnations == incarnation:
                self.step(name, "crmd", Received(Local(module), message))

        self.at(delay_ms, deliver)

    def ask(self, name: str, message: Message) -> None:
        self.step(name, "crmd", Received(Client("test", 1, 0), message))

    def _remote(self, source: str, target: str, message: Message) -> None:
        if (source, target) in self.cut or self.drop(source, target, message):
            return
        incarnation = self.nodes[target].incarnations

        def deliver() -> None:
            if self.nodes[target].incarnations == incarnation:
                self.step(target, "crmd", Received(Remote(source, "crmd"), message))

        self.at(self.net_ms, deliver)

    # Membership ------------------------------------------------------------------------------------------------------

    def agree(self, *members: str, quorate: bool | None = None, left: tuple[str, ...] = ()) -> View:
        """A new view, told to its members."""
        self.instance += 1
        before = [n for n in members if n in self.views]
        old = {m for n in before for m in self.views[n].names()}
        ages = {m.node: m.born_on for n in before for m in self.views[n].members}
        listed = sorted(members, key=lambda n: (ages.get(n, self.instance), self.names.index(n)))
        for name in members:
            mine = set(self.views[name].names()) if name in self.views else {name}
            view = View(
                id=ViewId(instance=self.instance, coordinator="c"),
                members=tuple(Member(node=n, born_on=ages.get(n, self.instance)) for n in listed),
                quorate=quorate if quorate is not None else len(members) * 2 > len(self.names),
                joined=tuple(n for n in listed if n not in mine),
                lost=tuple(sorted(mine - set(members))),
                left=left,
                evidence=dict.fromkeys(sorted(old - set(members)), "silence"),
            )
            self.views[name] = view
            self.give(name, "ccm", self._event(view))
        return view

    @staticmethod
    def _event(view: View) -> MembershipEvent:
        return MembershipEvent(event="NEW_MEMBERSHIP" if view.quorate else "INVALID", view=view)

    def lose(self, name: str, quorate: bool | None = None) -> None:
        """Power-off, and the others' view without it."""
        rest = [n for n in self.views if n != name]
        self.power_off(name)
        self.agree(*rest, quorate=quorate)

    # Neighbours ------------------------------------------------------------------------------------------------------

    def _local(self, node: Node, module: str, to: str, message: Message) -> None:
        if module == "te":
            self.at(0, lambda: self.step(node.name, "crmd", Received(Local("tengine"), message)))
        elif to == "tengine":
            self.at(0, lambda: self.step(node.name, "te", Received(Local("crmd"), message)))
        else:
            handler = {"cib": self._cib, "lrmd": self._lrmd, "rmd": self._rmd, "pengine": self._pengine,
                       "heartbeat": self._heartbeat,
                       "stonithd": self._stonithd, "attrd": self._attrd, "ccm": self._ccm}[to]
            incarnation = node.incarnations
            self.at(0, lambda: handler(node, message) if node.incarnations == incarnation else None)

    def _heartbeat(self, node: Node, message: Message) -> None:
        assert isinstance(message, NothingRuns)
        active = [table for table in node.lrm.values() if shutdown.active_resources(list(table.values()))]
        assert not active, f"it is not true: {active}"
        node.nothing_runs = True

    def _rmd(self, node: Node, message: Message) -> None:
        if isinstance(message, StartWorker):
            if message.worker == "tengine" and node.te is None:
                node.te = build_te()
                self.step(node.name, "te", Started(incarnation="te", seed=1))
            if message.worker not in self.mute:
                self.step(node.name, "crmd", Connected(Local(message.worker)))
        elif isinstance(message, StopWorker):
            if message.worker == "tengine":
                node.te = None
            self.step(node.name, "crmd", Lost(Local(message.worker)))
        else:
            assert isinstance(message, LeftCluster)
            node.left = True

    def _ccm(self, node: Node, message: Message) -> None:
        assert isinstance(message, ConfirmedDown)
        self.confirmed += message.nodes
        view = self.views.get(node.name)
        if view is not None and not view.quorate and len(self.names) == 2:
            self.views[node.name] = View(id=view.id, members=view.members, quorate=True, joined=view.joined,
                                         lost=view.lost, left=view.left, evidence=view.evidence)
            self.give(node.name, "ccm", self._event(self.views[node.name]))

    def _pengine(self, node: Node, message: Message) -> None:
        assert isinstance(message, Schedule)
        if "pengine" in self.mute:
            return
        self.schedules.append(message.generation)
        assert message.generation == node.generation, "the newest generation is scheduled"
        graph = self.decide(self.root)
        self.give(node.name, "pengine", Scheduled(request_id=message.request_id, generation=message.generation,
                                                  graph=graph, recheck_at_s=self.recheck_at_s), 2)

    def _stonithd(self, node: Node, message: Message) -> None:
        assert isinstance(message, FenceNode)
        self.fences.append(message.target)
        ok = self.fence_ok(message.target)
        delay_ms = self.fence_ms + message.delay_ms
        answer = Fenced(request_id=message.request_id, target=message.target, action=message.action, ok=ok,
                        device="switch", reason="" if ok else "no answer", exec_ms=self.fence_ms)
        if ok:
            self.at(delay_ms, lambda: self._cut_power(message.target))
        for other in self.names:
            if other == node.name or ok:
                self.give(other, "stonithd", answer, delay_ms)

    def _cut_power(self, target: str) -> None:
        """The switch works; ccm misses the node a little later if it was in the view."""
        was_member = target in self.views
        self.power_off(target)
        if was_member and self.views:
            rest = list(self.views)
            self.at(100, lambda: self.agree(*rest) if target not in self.views else None)

    def _attrd(self, node: Node, message: Message) -> None:
        if isinstance(message, attrd.ClearNode) or "attrd" in self.mute:
            return
        assert isinstance(message, (attrd.UpdateAttribute, attrd.ClearFailures))
        if message not in self.attributes:
            self.attributes.append(message)
            if isinstance(message, attrd.UpdateAttribute):
                self._set_attribute(message)
        self.give(node.name, "attrd", attrd.Updated(request_id=message.request_id), 1)

    def _set_attribute(self, message: attrd.UpdateAttribute) -> None:
        state = self.root.find(f"status/node_state[@uname='{message.node}']")
        if state is None:
            state = etree.SubElement(self._section("status"), "node_state", {"id": message.node, "uname": message.node})
        holder = state.find("transient_attributes/instance_attributes")
        if holder is None:
            outer = etree.SubElement(state, "transient_attributes", {"id": message.node})
            holder = etree.SubElement(outer, "instance_attributes", {"id": f"status-{message.node}"})
        pair = holder.find(f"nvpair[@name='{message.name}']")
        if pair is None:
            pair = etree.SubElement(holder, "nvpair", {"id": f"s-{message.node}-{message.name}", "name": message.name})
        value = message.value or ""
        if value.endswith("++"):
            value = str(int(pair.get("value", "0")) + 1)
        pair.set("value", value)
        self._publish("attrd", f"/cib/status/node_state[@id='{message.node}']/transient_attributes[@id='x']")

    # The cib: one tree for all ---------------------------------------------------------------------------------------

    def _section(self, name: str) -> etree._Element:
        found = self.root.find(name)
        if found is None:
            found = self.root.find(f"configuration/{name}")
        assert found is not None
        return found

    def version(self) -> cib.Version:
        return cib.Version(0, int(self.root.get("epoch", "0")), int(self.root.get("num_updates", "0")))

    def _cib(self, node: Node, message: Message) -> None:
        name = node.name
        match message:
            case cib.Lead():
                view = self.views.get(name)
                if view is not None and view.id == message.view:
                    self.writer = (message.view, name)
                    self.give(name, "cib", cib.Leading(view=message.view, version=self.version()), 2)
            case cib.Follow():
                pass
            case cib.Subscribe():
                node.subscribed = True
                node.generation += 1
                self.give(name, "cib", cib.Changed(generation=node.generation, version=self.version(), digest="d",
                                                   whole=etree.tostring(self.root, encoding="unicode")))
            case cib.Query(scope=scope):
                found = self.root if not scope else self.root.find(scope)
                assert found is not None
                self.give(name, "cib", cib.Answer(request_id=message.request_id, version=self.version(),
                                                  xml=etree.tostring(found, encoding="unicode")))
            case cib.Write():
                self._write(name, message)
            case _:
                raise AssertionError(f"unexpected {message!r}")

    def _write(self, name: str, message: cib.Write) -> None:
        if message.request_id not in self.done_writes:
            if self.writer != (message.view, name):
                self.give(name, "cib", cib.Written(
                    request_id=message.request_id, outcome="refused", rc=103, reason="not the writer"))
                return
            self.done_writes[message.request_id] = self._apply(message)
        self.give(name, "cib", self.done_writes[message.request_id], 1)

    def _apply(self, message: cib.Write) -> cib.Written:
        if message.operation == "delete":
            found = self.root.xpath(message.xpath.replace("/cib/", "/cib/", 1))
            if not found:
                return cib.Written(request_id=message.request_id, outcome="refused", rc=105, reason="no such object")
            for element in found:
                element.getparent().remove(element)
            self._publish("crmd", message.xpath)
        elif message.xpath == "/cib":
            operand = etree.fromstring(message.xml)
            for key, value in operand.attrib.items():
                self.root.set(key, value)
            self._publish("crmd", "/cib")
        else:
            merge(self._section(message.scope), etree.fromstring(message.xml))
            path = "/cib/status" if message.scope == "status" else f"/cib/configuration/{message.scope}"
            self._publish("crmd", path)
        return cib.Written(request_id=message.request_id, outcome="committed", version=self.version())

    def _publish(self, origin: str, path: str) -> None:
        self.root.set("num_updates", str(int(self.root.get("num_updates", "0")) + 1))
        diff = f'<diff format="2"><change operation="modify" path="{path}"/></diff>'
        for node in self.nodes.values():
            node.generation += 1
            if node.subscribed and node.crmd is not None:
                self.give(node.name, "cib", cib.Changed(
                    generation=node.generation, version=self.version(), digest="d", diff=diff, origin=origin))

    def configure(self, xml: str) -> None:
        """An operator replaces the configuration."""
        old = self.root.find("configuration")
        assert old is not None
        new = etree.fromstring(f"<configuration>{xml}</configuration>")
        for section in ("crm_config", "nodes", "resources", "constraints"):
            if new.find(section) is None:
                kept = old.find(section)
                new.append(kept if kept is not None else etree.Element(section))
        self.root.replace(old, new)
        self._publish("cibadmin", "/cib/configuration/resources")

    # The lrmd --------------------------------------------------------------------------------------------------------

    def _lrmd(self, node: Node, message: Message) -> None:
        match message:
            case lrm.GetHistory():
                results = [r for table in node.lrm.values() for r in table.values()]
                self.give(node.name, "lrmd", lrm.History(results=results, running=list(node.running.values())))
            case lrm.RunOperation():
                self._run(node, message)
            case lrm.CancelOperation():
                node.lrm.get(message.resource_id, {}).pop((message.operation, message.interval_ms), None)
                self.give(node.name, "lrmd", lrm.Cancelled(
                    resource_id=message.resource_id, operation=message.operation, interval_ms=message.interval_ms,
                    user_data=message.user_data))
            case lrm.ForgetResource():
                node.lrm.pop(message.resource_id, None)
                self.give(node.name, "lrmd", lrm.Forgotten(resource_id=message.resource_id,
                                                           user_data=message.user_data))
            case lrm.GetMetadata():
                self.give(node.name, "lrmd", lrm.Metadata(request_id=message.request_id, rc=0, xml=METADATA))
            case _:
                raise AssertionError(f"unexpected {message!r}")

    def _run(self, node: Node, order: lrm.RunOperation) -> None:
        if order.user_data in node.by_key:
            self.give(node.name, "lrmd", node.by_key[order.user_data])
            return
        if order.user_data in node.running:
            return
        node.running[order.user_data] = order
        self.ran.append((node.name, f"{order.resource.id}_{order.operation}_{order.interval_ms}"))

        def end() -> None:
            if node.running.pop(order.user_data, None) is not None:
                self.result(node.name, order, self.outcome(node.name, order))

        self.at(self.agent_ms, end)

    def result(self, name: str, order: lrm.RunOperation, rc: int) -> None:
        node = self.nodes[name]
        node.calls += 1
        known = node.lrm.setdefault(order.resource.id, {})
        old = known.get((order.operation, order.interval_ms))
        result = lrm.OperationResult(
            resource=order.resource, operation=order.operation, interval_ms=order.interval_ms,
            call_id=old.call_id if old is not None and order.interval_ms else node.calls, rc=rc, status="done",
            parameters=order.parameters, meta=order.meta, user_data=order.user_data,
            last_rc_change_s=(self.now + self.wall_ms) // 1000,
        )
        node.by_key[order.user_data] = result
        if order.operation == "stop" and rc == 0:
            known.clear()
        elif order.interval_ms == 0:
            for key in [key for key in known if key[1] == 0]:
                del known[key]
        known[(order.operation, order.interval_ms)] = result
        self.give(name, "lrmd", result)

    # Looking ---------------------------------------------------------------------------------------------------------

    def dcs(self) -> list[str]:
        return [n for n, node in self.nodes.items() if node.crmd is not None and node.crmd.election.is_dc]

    def dc(self) -> str:
        found = self.dcs()
        assert len(found) == 1, found
        return found[0]

    def fsm(self, name: str) -> str:
        crmd = self.nodes[name].crmd
        return crmd.fsm.state if crmd is not None else ""

    def idle(self) -> bool:
        """One DC, idle, everybody else its member."""
        alive = [n for n, node in self.nodes.items() if node.crmd is not None and n in self.views]
        return sum(self.fsm(n) == "S_IDLE" for n in alive) == 1 and all(
            self.fsm(n) in ("S_IDLE", "S_NOT_DC") for n in alive
        ) and not any(crmd.scheduling.needed for n in alive if (crmd := self.nodes[n].crmd) is not None)

    def settle(self, limit_ms: int = 600_000) -> int:
        return self.run_until(self.idle, limit_ms)

    def state(self, name: str) -> dict[str, str]:
        found = self.root.find(f"status/node_state[@uname='{name}']")
        return dict(found.attrib) if found is not None else {}

    def operations(self, name: str, resource: str) -> dict[str, dict[str, str]]:
        path = f"status/node_state[@uname='{name}']/lrm/lrm_resources/lrm_resource[@id='{resource}']/lrm_rsc_op"
        return {op.get("id", ""): dict(op.attrib) for op in self.root.iterfind(path)}

    def story(self) -> str:
        lines = sorted((line for node in self.nodes.values() for line in node.log), key=lambda s: int(s[:7]))
        return "\n".join(lines[-60:])


METADATA = (
    '<resource-agent name="Dummy"><parameters><parameter name="state"/><parameter name="fake" reloadable="1"/>'
    '<parameter name="passwd" private="1"/></parameters><actions><action name="start"/><action name="reload-agent"/>'
    "</actions></resource-agent>"
)


def merge(old: etree._Element, new: etree._Element) -> None:
    """Pacemaker's modify: attributes are set, children found by tag and id (or tag alone), missing ones added."""
    for key, value in new.attrib.items():
        old.set(str(key), str(value))
    for child in new:
        identity = child.get("id")
        match = next((c for c in old if c.tag == child.tag and (identity is None or c.get("id") == identity)), None)
        if match is None:
            old.append(child)
        else:
            merge(match, child)


def leave_cluster(world: World, name: str) -> None:
    world.give(name, "rmd", LeaveCluster())


def is_request(message: Message) -> bool:
    return isinstance(message, (RequestAction, crm.Order))
