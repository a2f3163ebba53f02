# SPDX-License-Identifier: GPL-2.0-or-later
"""stonithd's machine: takes events apart and hands them to registry, leader and executor."""

from __future__ import annotations

import random
from collections import OrderedDict, deque

from ha.ccm.msg import MembershipEvent, ViewId
from ha.cib.msg import Answer, Changed, Subscribe
from ha.heartbeat.msg import ModuleStatus
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Instant,
    Local,
    Lost,
    Message,
    Note,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
    Wire,
)
from ha.stonith.core.drills import DrillMaster
from ha.stonith.core.executor import Executor, Task
from ha.stonith.core.history import FenceLog
from ha.stonith.core.leader import EVERY_STONITHD, Leader
from ha.stonith.core.readiness import findings, node_fencing
from ha.stonith.core.registry import CIB, Registry
from ha.stonith.model.device import Device
from ha.stonith.model.execution import (
    AdoptedFenceJob,
    AdoptedFences,
    AdoptFenceAgents,
    AwaitFenceAgent,
    DropFenceJob,
    FenceAgentResult,
    FenceDone,
    FenceMetadata,
    KeepFenceRecord,
    KillFenceAgent,
)
from ha.stonith.model.records import (
    DRILLS,
    HISTORY,
    OUTCOMES,
    REGISTERED,
    VIEW,
    Outcomes,
    RecordError,
    Registered,
    Ticket,
    decode,
    encode,
)
from ha.stonith.msg import (
    ConfirmFenced,
    DeviceOperation,
    DeviceOperationDone,
    DeviceRan,
    Devices,
    DrillDevices,
    DrillOrder,
    DrillReport,
    DrillsBegun,
    Fenced,
    FenceEvent,
    FenceHistory,
    FenceNode,
    FenceReport,
    FencingStatus,
    ForgetFenceHistory,
    GetFenceHistory,
    GetFencingStatus,
    GetSelfFencing,
    KnownFences,
    ListDevices,
    RunDevice,
    SelfFencing,
)

CCM = Local("ccm")
CRMD = Local("crmd")
LRMD = Local("lrmd")
OCF_SUCCESS, OCF_ERR_GENERIC, OCF_ERR_UNIMPLEMENTED, OCF_ERR_INSTALLED, OCF_NOT_RUNNING = 0, 1, 3, 5, 7

MAX_OUTCOMES = 100
MAX_HELD_MESSAGES = 1_000
"""Messages that wait for the adoption of earlier jobs to end. Beyond it they are dropped: askers repeat."""
LIST_TIMEOUT_MS = 60_000
ADOPTED_TIMEOUT_MS = 300_000
"""How long an adopted fence is waited for; its runner enforces the real limit."""


class FenceManager:
    """See `ha.stonith.core`."""

    def __init__(self, *, node: str) -> None:
        self._node = node
        self._registry = Registry()
        self._log = FenceLog()
        self._leader = Leader(node=node, registry=self._registry, log=self._log, run_here=self._run_here)
        self._drills = DrillMaster(node=node, registry=self._registry, hands=self._hands)
        self._disarmed = False
        self._asks_self_fencing = False
        """The crmd here has: it is told of changes."""
        self._told_wait_ms: int | None = None
        self._executor: Executor | None = None
        self._held: deque[Event] | None = deque()  # None once adoption is over
        self._outcomes: OrderedDict[str, DeviceRan] = OrderedDict()
        self._registered: set[str] = set()
        self._abandoned: set[str] = set()  # adopted jobs that nobody waits for

    def step(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Started():
                return self._start(event)
            case Wall(offset_ms):
                self._leader.wall_offset_ms = self._drills.wall_offset_ms = offset_ms
                return []
            case Finished("adopt", AdoptedFences() as adopted):
                return self._adopt(adopted, now)
            case Lost() | Stopping():
                return []  # runners go on; who comes back asks
            case Received() | Connected() if self._held is not None:
                return self._hold(event)
            case Received(sender, message):
                return self._receive(sender, message, now)
            case Connected(peer):
                return [Send(CIB, Subscribe())] if peer == CIB else []
            case Fired(timer):
                return self._fired(timer, now)
            case Finished(operation, outcome):
                return self._finish(operation, outcome, now)

    # Start -----------------------------------------------------------------------------------------------------------

    def _start(self, event: Started) -> list[Effect]:
        assert self._executor is None
        chance = random.Random(event.seed)
        self._executor = Executor(
            node=self._node, incarnation=event.incarnation, chance=chance, registry=self._registry
        )
        effects = self._log.restore(event.persisted.get(HISTORY))
        effects += self._drills.restore(event.persisted.get(DRILLS))
        if VIEW in event.persisted:
            try:
                self._leader.newest_view = decode(event.persisted[VIEW], ViewId)
            except RecordError as error:
                effects.append(Note("error", f"the newest view cannot be read, any view will be obeyed: {error}"))
        return [*effects, Execute("adopt", AdoptFenceAgents())]

    def _hold(self, event: Received | Connected) -> list[Effect]:
        assert self._held is not None
        if len(self._held) >= MAX_HELD_MESSAGES:
            return [Note("error", f"an event is dropped: {MAX_HELD_MESSAGES} wait already")]
        self._held.append(event)
        return []

    def _adopt(self, adopted: AdoptedFences, now: Instant) -> list[Effect]:
        effects: list[Effect] = [Note("error", complaint) for complaint in adopted.complaints]
        effects += self._restore(adopted.records)
        for job in adopted.jobs:
            effects += self._adopt_job(job, now)
        held, self._held = self._held, None
        assert held is not None
        for event in held:
            effects += self.step(event, now)
        return effects

    def _restore(self, records: dict[str, bytes]) -> list[Effect]:
        try:
            if OUTCOMES in records:
                for outcome in decode(records[OUTCOMES], Outcomes).newest_last:
                    self._outcomes[outcome.key] = outcome
            if REGISTERED in records:
                self._registered = set(decode(records[REGISTERED], Registered).devices)
        except RecordError as error:
            return [Note("error", f"what was done before the restart is forgotten: {error}")]
        return []

    def _adopt_job(self, job: AdoptedFenceJob, now: Instant) -> list[Effect]:
        """A fence is awaited; monitors and lists are ended, whoever wants them asks again."""
        try:
            ticket = decode(job.ticket, Ticket)
        except RecordError as error:
            return [Note("error", f"job {job.job} is none of ours: {error}"), *self._abandon(job.job)]
        if ticket.kind != "fence":
            return self._abandon(job.job)
        if ticket.key in self._outcomes:
            return [Execute(f"drop {job.job}", DropFenceJob(job=job.job))]
        device = Device(ticket.device, "")
        task = Task(
            kind="fence", key=ticket.key, device=device, action=ticket.action, target=ticket.target,
            timeout_ms=ADOPTED_TIMEOUT_MS, requester=ticket.requester, on_end=self._nothing,
        )  # fmt: skip
        task.on_end = lambda result, at: self._fence_ended(task, result, at)
        text = f"{ticket.action} of {ticket.target} by {ticket.device} of an earlier stonithd is taken up"
        return [Note("notice", text), *self._hands().adopt(job.job, task, now)]

    def _abandon(self, job: str) -> list[Effect]:
        self._abandoned.add(job)
        return [
            Execute(f"run {job}", AwaitFenceAgent(job=job)),
            Execute(f"kill {job}", KillFenceAgent(job=job)),
        ]

    def _nothing(self, result: FenceAgentResult, now: Instant) -> list[Effect]:
        raise AssertionError("replaced before use")

    def _hands(self) -> Executor:
        assert self._executor is not None
        return self._executor

    # Messages --------------------------------------------------------------------------------------------------------

    def _receive(self, sender: Local | Remote | Client | Wire, message: Message, now: Instant) -> list[Effect]:
        match sender, message:
            case Local("cib"), Changed():
                return [*self._registry.changed(message, now), *self._configured(now)]
            case Local("cib"), Answer():
                return [*self._registry.answered(message, now), *self._configured(now)]
            case Local("ccm"), MembershipEvent():
                return self._membership(message, now)
            case Local("heartbeat"), ModuleStatus():
                is_back = message.up and message.module == "stonithd"
                return self._peer_is_back(message.node, now) if is_back else []
            case Local("heartbeat"), _:
                return []  # nodes and links are ccm's affair
            case Local("lrmd"), DeviceOperation():
                return self._device_operation(message, now)
            case (Local("crmd") | Client()), FenceNode():
                return [*self._learn_view(message.view), *self._leader.fence(message, sender, now)]
            case Local("crmd"), GetSelfFencing():
                self._asks_self_fencing, self._told_wait_ms = True, None
                return self._tell_self_fencing()
            case Client(), _:
                return self._receive_from_program(sender, message, now)
            case Remote(node, "stonithd"), RunDevice():
                return [*self._learn_view(message.view), *self._run_for(message, node, now)]
            case Remote(node, "stonithd"), DeviceRan():
                return self._leader.ran(message, node, now)
            case Remote(node, "stonithd"), FenceReport():
                return self._reported(message, node)
            case Remote(_, "stonithd"), KnownFences(events=events):
                return self._log.merge(events)
            case Remote(node, "stonithd"), DrillOrder(order=order, device=device):
                return self._drills.ordered(order, device, now) if node != self._node else []
            case Remote(node, "stonithd"), DrillReport():
                # Our own comes back too, and tells nothing new.
                return self._drills.reported(message.drill, message.order, now) if node == message.drill.node else []
            case Remote(node, "stonithd"), ForgetFenceHistory():
                return self._log.forget(message.target) if node != self._node else []
        return [Note("warning", f"{type(message).__name__} from {sender} ignored: not for stonithd to do")]

    def _receive_from_program(self, client: Client, message: Message, now: Instant) -> list[Effect]:
        match message:
            case ConfirmFenced():
                return self._leader.confirm(message.request_id, message.target, client, now)
            case ListDevices():
                return [Reply(client, Devices(request_id=message.request_id, devices=self._devices(message.target)))]
            case GetFenceHistory():
                return [Reply(client, self._history(message.request_id, message.target, now))]
            case ForgetFenceHistory():
                forgotten = [*self._log.forget(message.target), Send(EVERY_STONITHD, message)]
                return [*forgotten, Reply(client, self._history(message.request_id, "", now))]
            case DrillDevices(request_id=request_id, device=device):
                order = f"{client.program} {self._node} {now} {request_id}"
                begun = DrillsBegun(request_id=request_id, order=order, expected=self._drills.expected(device))
                said = Send(EVERY_STONITHD, DrillOrder(order=order, device=device))
                return [Reply(client, begun), said, *self._drills.ordered(order, device, now)]
            case GetFencingStatus():
                return [Reply(client, self._status(message.request_id, now))]
        return [Note("warning", f"{type(message).__name__} from {client.program} ignored: not for stonithd to do")]

    def _status(self, request_id: str, now: Instant) -> FencingStatus:
        configuration = self._registry.configuration
        nodes = sorted({*configuration.node_attributes, *self._leader.members})
        unix_s = (now + self._leader.wall_offset_ms) // 1_000
        options = configuration.options
        return FencingStatus(
            request_id=request_id,
            enabled=options.enabled,
            nodes=node_fencing(self._registry, self._log, nodes),
            drills=[drill for _, drill in sorted(self._drills.known.items())],
            findings=list(findings(self._registry, self._drills, nodes, unix_s)),
            drill_interval_ms=options.drill_interval_ms,
            disarmed_until_s=options.disarmed_until_s if options.disarmed_at(unix_s) else 0,
            held=self._leader.held(),
            orders=list(self._drills.answered),
        )

    def _devices(self, target: str) -> list[str]:
        if not target:
            return list(self._registry.configuration.devices)
        return [device.id for device in self._registry.able(target.lower())]

    def _history(self, request_id: str, target: str, now: Instant) -> FenceHistory:
        pending = [event for event in self._leader.pending(now) if target in ("", event.target)]
        return FenceHistory(request_id=request_id, events=[*self._log.of(target), *pending])

    def _reported(self, message: FenceReport, node: str) -> list[Effect]:
        """Another leader's. Our own comes back too: the crmd here has heard it, and it is in the history."""
        if node == self._node:
            return []
        told = [Send(CRMD, message.fenced)] if message.fenced.ok else []
        return [*told, *self._log.add(message.event)]

    def _peer_is_back(self, node: str, now: Instant) -> list[Effect]:
        """A stonithd that has come or was restarted: repeat our orders, and tell it what it may have missed."""
        effects = self._leader.executor_is_back(node, now)
        if node == self._node:
            return effects
        peer = Remote(node, "stonithd")
        effects += [Send(peer, report) for report in self._drills.own()]
        others = sorted(member for member in self._leader.members if member != node)
        if others[:1] == [self._node] and self._log.of(""):
            effects.append(Send(peer, KnownFences(events=self._log.of(""))))
        return effects

    # Views -----------------------------------------------------------------------------------------------------------

    def _learn_view(self, view: ViewId | None) -> list[Effect]:
        if view is None or (self._leader.newest_view is not None and view <= self._leader.newest_view):
            return []
        self._leader.newest_view = view
        return [Persist(VIEW, encode(view))]

    def _membership(self, message: MembershipEvent, now: Instant) -> list[Effect]:
        self._leader.quorate = message.view is not None and message.view.quorate
        if message.view is None:
            return []  # evicted: whoever fences now knows its members from its own node's ccm
        effects = self._learn_view(message.view.id)
        self._leader.members = self._drills.members = message.view.names()
        return effects + self._leader.members_changed(now)

    # The configuration -----------------------------------------------------------------------------------------------

    def _configured(self, now: Instant) -> list[Effect]:
        """After any reading: ask devices that say themselves what they reach, then begin what waited for this."""
        effects: list[Effect] = []
        effects += self._tell_self_fencing()
        for device in self._registry.wants_list(self._node):
            if self._hands().find(f"list {device.id}") is None:
                effects += self._hands().submit(self._list_task(device), now)
        effects += self._drills.configured(now) + self._watch_disarming(now)
        return effects + self._leader.begin_held(now)

    def _tell_self_fencing(self) -> list[Effect]:
        wait_ms = self._registry.configuration.options.watchdog_wait_ms
        if not self._asks_self_fencing or not self._registry.known or wait_ms == self._told_wait_ms:
            return []
        self._told_wait_ms = wait_ms
        return [Send(CRMD, SelfFencing(wait_ms=wait_ms))]

    def _watch_disarming(self, now: Instant) -> list[Effect]:
        """Say it when fencing is disarmed, and when it is armed again."""
        options = self._registry.configuration.options
        left_ms = options.disarmed_until_s * 1_000 - (now + self._leader.wall_offset_ms)
        was, self._disarmed = self._disarmed, left_ms > 0
        if self._disarmed:
            text = f"fencing is DISARMED for {left_ms // 1000} s: a lost node's resources are started nowhere else"
            return [*([] if was else [Note("error", text)]), Arm("armed", now + left_ms)]
        return [Disarm("armed"), Note("notice", "fencing is armed again")] if was else []

    def _list_task(self, device: Device) -> Task:
        def on_end(result: FenceAgentResult, now: Instant) -> list[Effect]:
            if result.ok:
                self._registry.listed(device.id, result.output)
                return []
            return [Note("warning", f"fence device {device.id} does not say which nodes it reaches: {result.reason}")]

        return Task(
            kind="list", key=f"list {device.id}", device=device, action="list", target="",
            timeout_ms=device.timeout_ms("list", LIST_TIMEOUT_MS), requester=self._node, on_end=on_end,
        )  # fmt: skip

    # Fences carried out here -----------------------------------------------------------------------------------------

    def _run_here(self, order: RunDevice, now: Instant) -> list[Effect]:
        return self._run_for(order, self._node, now)

    def _run_for(self, order: RunDevice, requester: str, now: Instant) -> list[Effect]:
        done = self._outcomes.get(order.key)
        if done is not None:
            return self._tell_requester(requester, done, now)
        task = self._hands().find(order.key)
        if task is not None:
            task.requester = requester
            return []
        refusal = self._refusal(order)
        if refusal:
            return self._tell_requester(requester, DeviceRan(key=order.key, ok=False, reason=refusal), now)
        device = self._registry.device(order.device)
        assert device is not None
        task = Task(
            kind="fence", key=order.key, device=device, action=order.action, target=order.target,
            timeout_ms=max(1, order.timeout_ms), requester=requester, on_end=self._nothing,
        )  # fmt: skip
        task.on_end = lambda result, at: [
            *self._speak_for_leader(order, task.requester, result, at),
            *self._fence_ended(task, result, at),
        ]
        return self._hands().submit(task, now)

    def _speak_for_leader(
        self, order: RunDevice, leader: str, result: FenceAgentResult, now: Instant
    ) -> list[Effect]:
        """A leader that was the target, or has left, tells nobody that the fence is confirmed: we do, at once."""
        is_silent = leader == order.target or leader not in self._leader.members
        if not (result.ok and order.confirms and is_silent) or leader == self._node:
            return []
        at_s = (now + self._leader.wall_offset_ms) // 1000
        told = Fenced(
            request_id=order.key, target=order.target, action=order.action, ok=True, device=order.device,
            executor=self._node, at_s=at_s, exec_ms=result.exec_ms,
        )  # fmt: skip
        event = FenceEvent(
            target=order.target, action=order.action, client="stonithd", origin=leader, device=order.device,
            executor=self._node, state="success", at_s=at_s,
        )  # fmt: skip
        text = f"{order.action} of {order.target} for {leader} confirmed by {order.device} on {self._node}"
        report = Send(EVERY_STONITHD, FenceReport(fenced=told, event=event))
        return [Note("notice", text), Send(CRMD, told), report, *self._log.add(event)]

    def _refusal(self, order: RunDevice) -> str:
        newest = self._leader.newest_view
        if order.view is not None and newest is not None and order.view < newest:
            return f"refused: view {order.view.instance} is older than {newest.instance}"
        if order.target == self._node and order.action != "on":
            return "refused: no node carries out its own fence"
        device = self._registry.device(order.device)
        if device is None:
            return f"device {order.device} is not known here"
        if not device.may_run_on(self._node):
            return f"device {order.device} may not be used here"
        return ""

    def _fence_ended(self, task: Task, result: FenceAgentResult, now: Instant) -> list[Effect]:
        """Tell, record, drop: in this order. What was revoked never ran, and may be asked for again."""
        if result.fate == "revoked":
            return [Execute(f"drop {task.job}", DropFenceJob(job=task.job))]
        outcome = DeviceRan(key=task.key, ok=result.ok, reason=result.reason, exec_ms=result.exec_ms)
        self._outcomes[task.key] = outcome
        if len(self._outcomes) > MAX_OUTCOMES:
            self._outcomes.popitem(last=False)
        kept = KeepFenceRecord(
            name=OUTCOMES, data=encode(Outcomes(list(self._outcomes.values()))), drop=task.job
        )
        return [*self._tell_requester(task.requester, outcome, now), Execute(f"keep {task.job}", kept)]

    def _tell_requester(self, requester: str, outcome: DeviceRan, now: Instant) -> list[Effect]:
        if requester == self._node:
            return self._leader.ran(outcome, self._node, now)
        return [Send(Remote(requester, "stonithd"), outcome)]

    # Devices as resources --------------------------------------------------------------------------------------------

    def _device_operation(self, message: DeviceOperation, now: Instant) -> list[Effect]:
        if self._hands().find(message.request_id) is not None:
            return []
        match message.operation:
            case "start":
                return self._monitor_device(message, now, register=True)
            case "stop":
                return [*self._register(message.device, False), _done(message, OCF_SUCCESS)]
            case "monitor" | "status":
                if message.device not in self._registered:
                    return [_done(message, OCF_NOT_RUNNING)]
                return self._monitor_device(message, now, register=False)
        reason = f"a fence device knows no {message.operation!r}"
        return [_done(message, OCF_ERR_UNIMPLEMENTED, reason=reason)]

    def _monitor_device(self, message: DeviceOperation, now: Instant, *, register: bool) -> list[Effect]:
        device = Device(message.device, message.agent, message.parameters)

        def on_end(result: FenceAgentResult, at: Instant) -> list[Effect]:
            rc = OCF_SUCCESS if result.ok else OCF_ERR_INSTALLED if result.fate == "not installed" else OCF_ERR_GENERIC
            registering = self._register(message.device, True) if register and result.ok else []
            timed_out = result.fate == "timeout"
            return [*registering, _done(message, rc, result.reason, timed_out=timed_out, exec_ms=result.exec_ms)]

        task = Task(
            kind="monitor", key=message.request_id, device=device, action="monitor", target="",
            timeout_ms=min(max(1, message.timeout_ms), device.timeout_ms("monitor", message.timeout_ms) or 1),
            requester=self._node, on_end=on_end,
        )  # fmt: skip
        return self._hands().submit(task, now)

    def _register(self, device_id: str, registered: bool) -> list[Effect]:
        if registered == (device_id in self._registered):
            return []
        (self._registered.add if registered else self._registered.discard)(device_id)
        record = KeepFenceRecord(name=REGISTERED, data=encode(Registered(sorted(self._registered))))
        return [Execute("keep registered", record)]

    # Timers and ends -------------------------------------------------------------------------------------------------

    def _fired(self, timer: str, now: Instant) -> list[Effect]:
        kind, _, name = timer.partition(" ")
        match kind:
            case "begin":
                return self._leader.begin(name, now)
            case "expire":
                return self._leader.expire(name, now)
            case "repeat":
                return self._leader.repeat(name, now)
            case "delay":
                return self._hands().delay_over(timer, now)
            case "guard":
                return self._hands().overdue(name)
            case "drill":
                return self._drills.fired(name, now)
            case "armed":
                return self._watch_disarming(now)
            case "query":
                return self._registry.query_overdue(now)
            case _:
                raise AssertionError(f"no timer of stonithd: {timer}")

    def _finish(self, operation: str, outcome: object, now: Instant) -> list[Effect]:
        kind, _, name = operation.partition(" ")
        match kind, outcome:
            case "run", FenceAgentResult():
                if name in self._abandoned:
                    self._abandoned.discard(name)
                    return [Execute(f"drop {name}", DropFenceJob(job=name))]
                return self._hands().ended(name, outcome, now)
            case "metadata", FenceMetadata():
                return [*self._registry.metadata_read(name, outcome), *self._configured(now)]
            case ("keep" | "drop" | "kill"), FenceDone():
                return []
            case ("keep" | "drop" | "kill"), OSError():
                return [Note("error", f"stonithd's own records cannot be written ({operation}): {outcome}")]
        raise AssertionError(f"{operation} ended in {outcome!r}")


def _done(
    request: DeviceOperation, rc: int, reason: str = "", *, timed_out: bool = False, exec_ms: int = 0
) -> Effect:
    answer = DeviceOperationDone(
        request_id=request.request_id, rc=rc, timed_out=timed_out, exit_reason=reason, exec_ms=exec_ms
    )
    return Send(LRMD, answer)

