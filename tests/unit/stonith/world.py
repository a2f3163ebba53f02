# SPDX-License-Identifier: GPL-2.0-or-later
"""stonithds of several nodes in virtual time, with fence agents that do as told and spools that outlive a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.cib.msg import Answer, Changed, Query, Subscribe, Version
from ha.heartbeat.msg import ModuleStatus
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Everyone,
    Execute,
    Fence,
    Finished,
    Fired,
    Local,
    Machine,
    Message,
    Note,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Wall,
)
from ha.stonith.core import build
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
    ReadFenceMetadata,
    RunFenceAgent,
)
from ha.stonith.msg import DeviceOperation, DeviceOperationDone, Fenced, FenceNode

CRMD, LRMD = Local("crmd"), Local("lrmd")
WALL_OFFSET_MS = 1_700_000_000_000
METADATA = FenceMetadata(
    parameters=("action", "plug", "ip"),
    actions=("on", "off", "reboot", "status", "list", "monitor", "metadata"),
)


@dataclass(slots=True)
class Call:
    """One run of a fence agent. `end_ms` None: it hangs until killed."""

    node: str
    job: str
    request: RunFenceAgent
    begin_ms: int
    end_ms: int | None
    result: FenceAgentResult

    def __str__(self) -> str:
        return f"{self.node}: {self.request.device} {self.request.action} {self.request.target}".strip()


@dataclass(slots=True)
class Behaviour:
    duration_ms: int | None = 100
    result: FenceAgentResult = field(default_factory=lambda: FenceAgentResult(ok=True))


OK = Behaviour()
FAILS = Behaviour(result=FenceAgentResult(ok=False, rc=1, reason="failed (exit code 1)"))
HANGS = Behaviour(duration_ms=None)


class Killed(Exception):
    """The machine was killed after the effect that was asked for."""


class Node:
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.durable: dict[str, bytes] = {}
        self.records: dict[str, bytes] = {}
        self.jobs: dict[str, tuple[bytes, Call]] = {}
        self.told: list[Message] = []
        self.replies: list[Message] = []
        self.lrmd: list[DeviceOperationDone] = []
        self.notes: list[Note] = []
        self.lives = 0
        self.up = True
        self.effects_left: int | None = None
        self.start()

    def start(self) -> None:
        self.lives += 1
        self.effects_left = None
        self.machine: Machine = build(node=self.name)
        self.timers: dict[str, int] = {}
        self.awaited: dict[str, str] = {}
        self.events: list[Event] = []
        self.busy = False
        self.give(Started(f"{self.name}.{self.lives}", seed=self.lives, persisted=dict(self.durable)))
        self.give(Wall(WALL_OFFSET_MS))
        self.give(Connected(Local("cib")))
        self.give(Received(Local("ccm"), self.world.membership()))

    def give(self, event: Event) -> None:
        self.events.append(event)
        if self.busy:
            return
        self.busy = True
        try:
            while self.events:
                for effect in self.machine.step(self.events.pop(0), self.world.now):
                    self.carry_out(effect)
                    self.maybe_die()
        finally:
            self.busy = False

    def maybe_die(self) -> None:
        if self.effects_left is not None:
            self.effects_left -= 1
            if self.effects_left <= 0:
                raise Killed

    def fences(self, target: str, action: str = "reboot", key: str = "f1", **more: object) -> None:
        more.setdefault("timeout_ms", 60_000)
        more.setdefault("view", self.world.view_id)
        request = FenceNode(request_id=key, target=target, action=action, **more)  # type: ignore[arg-type]
        self.give(Received(CRMD, request))

    def device(self, operation: str, key: str, device: str = "power", timeout_ms: int = 20_000) -> None:
        request = DeviceOperation(
            request_id=key, device=device, agent="fence_test", operation=operation, timeout_ms=timeout_ms
        )
        self.give(Received(LRMD, request))

    def program(self, message: Message, serial: int = 1) -> None:
        self.give(Received(Client("stonith_admin", serial, 0), message))

    def fenced(self) -> list[Fenced]:
        return [message for message in self.told if isinstance(message, Fenced)]

    # Effects ---------------------------------------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(Local("crmd"), message):
                self.told.append(message)
            case Send(Local("lrmd"), DeviceOperationDone() as message):
                self.lrmd.append(message)
            case Send(Local("cib"), Subscribe()):
                self.events.append(Received(Local("cib"), self.world.changed(whole=True)))
            case Send(Local("cib"), Query() as query):
                answer = Answer(request_id=query.request_id, xml=self.world.configuration)
                self.events.append(Received(Local("cib"), answer))
            case Send(Remote(node, "stonithd"), message):
                self.world.mail.append((self.name, node, message))
            case Send(Everyone("stonithd"), message):
                self.world.mail += [(self.name, node, message) for node in self.world.nodes]
            case Reply(_, message):
                self.replies.append(message)
            case Arm(timer, deadline):
                self.timers[timer] = deadline
            case Disarm(timer):
                self.timers.pop(timer, None)
            case Persist(name, data):
                self.durable[name] = data
            case Note():
                self.notes.append(effect)
            case Fence(operation, request):
                acts = isinstance(request, RunFenceAgent) and request.action not in ("list", "monitor", "status")
                assert acts or isinstance(request, AwaitFenceAgent)
                self.execute(operation, request)
            case Execute(operation, request):
                assert not isinstance(request, RunFenceAgent) or request.action in ("list", "monitor", "status")
                self.execute(operation, request)
            case _:
                raise AssertionError(effect)

    def execute(self, operation: str, request: object) -> None:
        match request:
            case RunFenceAgent():
                how = self.world.behave(self.name, request)
                duration_ms, result = how.duration_ms, how.result
                if duration_ms is None or duration_ms > request.timeout_ms:
                    duration_ms = request.timeout_ms
                    result = FenceAgentResult(ok=False, rc=1, fate="timeout", reason="the agent did not end")
                call = Call(self.name, request.job, request, self.world.now, self.world.now + duration_ms, result)
                assert request.target != self.name or request.action in ("on", "status")
                self.world.calls.append(call)
                self.jobs[request.job] = (request.ticket, call)
                self.awaited[request.job] = operation
            case AwaitFenceAgent(job=job):
                self.awaited[job] = operation
            case KillFenceAgent(job=job):
                call = self.jobs[job][1]
                call.end_ms = self.world.now
                call.result = FenceAgentResult(ok=False, rc=1, fate="error", reason="killed")
                self.events.append(Finished(operation, FenceDone()))
            case DropFenceJob(job=job):
                del self.jobs[job]
                self.events.append(Finished(operation, FenceDone()))
            case KeepFenceRecord():
                self.records[request.name] = request.data
                if request.drop:
                    self.maybe_die()  # between the two halves
                    del self.jobs[request.drop]
                self.events.append(Finished(operation, FenceDone()))
            case AdoptFenceAgents():
                jobs = tuple(AdoptedFenceJob(job=job, ticket=ticket) for job, (ticket, _) in sorted(self.jobs.items()))
                self.events.append(Finished(operation, AdoptedFences(records=dict(self.records), jobs=jobs)))
            case ReadFenceMetadata():
                if self.world.answers_metadata:
                    self.events.append(Finished(operation, self.world.metadata))
            case _:
                raise AssertionError(request)

    def left_jobs(self) -> list[Call]:
        """Jobs that have ended, or never will, and were not dropped."""
        calls = [call for _, call in self.jobs.values()]
        return [call for call in calls if call.end_ms is None or call.end_ms <= self.world.now]

    def due_ms(self) -> list[int]:
        ends = [self.jobs[job][1].end_ms for job in self.awaited]
        return [*self.timers.values(), *(end for end in ends if end is not None)]

    def happen(self) -> None:
        for job in list(self.awaited):
            call = self.jobs[job][1]
            if job in self.awaited and call.end_ms is not None and call.end_ms <= self.world.now:
                self.give(Finished(self.awaited.pop(job), call.result))
        for timer, deadline in sorted(self.timers.items(), key=lambda item: (item[1], item[0])):
            if deadline <= self.world.now and self.timers.get(timer) == deadline:
                del self.timers[timer]
                self.give(Fired(timer))


class World:
    """Nodes n1 ... with one configuration, all in one view unless told otherwise."""

    def __init__(
        self,
        resources: str,
        names: tuple[str, ...] = ("n1", "n2", "n3"),
        behave: Callable[[str, RunFenceAgent], Behaviour] = lambda node, request: OK,
        constraints: str = "",
        topology: str = "",
        **options: str,
    ) -> None:
        self.now = 1_000
        self.behave = behave
        self.metadata = METADATA
        self.answers_metadata = True
        self.configuration = (
            "<configuration><crm_config>"
            + properties(**options)
            + "</crm_config><nodes>"
            + "".join(f'<node id="{index}" uname="{name}"/>' for index, name in enumerate(names))
            + f"</nodes><resources>{resources}</resources><constraints>{constraints}</constraints>"
            f"<fencing-topology>{topology}</fencing-topology></configuration>"
        )
        self.instance = 1
        self.members = names
        self.mail: list[tuple[str, str, Message]] = []
        self.lost_mail: Callable[[str, str, Message], bool] = lambda sender, to, message: False
        self.calls: list[Call] = []
        self.generation = 0
        self.nodes = {name: Node(self, name) for name in names}
        self.settle()

    @property
    def view_id(self) -> ViewId:
        return ViewId(self.instance, "ccm")

    def membership(self) -> MembershipEvent:
        members = tuple(Member(name, 1) for name in self.members)
        return MembershipEvent(event="NEW_MEMBERSHIP", view=View(self.view_id, members, True))

    def changed(self, *, whole: bool, sections: tuple[str, ...] = ()) -> Changed:
        self.generation += 1
        text = f"<cib>{self.configuration}</cib>" if whole else ""
        return Changed(generation=self.generation, version=Version(0, 1, 0), digest="", whole=text, sections=sections)

    def configure(self, resources: str) -> None:
        """A new resources section, told to all as a diff."""
        before, _, rest = self.configuration.partition("<resources>")
        self.configuration = f"{before}<resources>{resources}</resources>{rest.partition('</resources>')[2]}"
        for node in self.nodes.values():
            node.give(Received(Local("cib"), self.changed(whole=False, sections=("resources",))))
        self.settle()

    def set_options(self, **options: str) -> None:
        """Other cluster options; underscores stand for hyphens."""
        _, _, rest = self.configuration.partition("</crm_config>")
        self.configuration = f"<configuration><crm_config>{properties(**options)}</crm_config>{rest}"
        for node in self.nodes.values():
            node.give(Received(Local("cib"), self.changed(whole=False, sections=("crm_config",))))
        self.settle()

    def new_view(self, *members: str) -> None:
        self.instance += 1
        self.members = members
        for name in members:
            if self.nodes[name].up:
                self.nodes[name].give(Received(Local("ccm"), self.membership()))
        self.settle()

    def lose(self, name: str) -> None:
        """Its stonithd says and hears nothing any more; the others agree on a view without it."""
        self.nodes[name].up = False
        self.new_view(*(member for member in self.members if member != name))

    def settle(self) -> None:
        while self.mail:
            sender, to, message = self.mail.pop(0)
            up = self.nodes[to].up and self.nodes[sender].up
            if up and not self.lost_mail(sender, to, message):
                self.nodes[to].give(Received(Remote(sender, "stonithd"), message))

    def restart(self, name: str) -> None:
        """Its stonithd was replaced, and signs on again."""
        self.nodes[name].start()
        for other in self.nodes.values():
            if other.up:
                other.give(Received(Local("heartbeat"), ModuleStatus(node=name, module="stonithd", up=True)))
        self.settle()

    def advance(self, duration_ms: int) -> None:
        until = self.now + duration_ms
        while True:
            self.settle()
            due = [moment for node in self.nodes.values() if node.up for moment in node.due_ms() if moment <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            for node in self.nodes.values():
                if node.up:
                    node.happen()
        self.now = until

    def called(self) -> list[str]:
        return [str(call) for call in self.calls if call.request.action not in ("list", "monitor", "status")]


def properties(**options: str) -> str:
    pairs = "".join(
        f'<nvpair id="o-{name}" name="{name.replace("_", "-")}" value="{value}"/>' for name, value in options.items()
    )
    return f'<cluster_property_set id="cib-bootstrap-options">{pairs}</cluster_property_set>'


def primitive(device: str, agent: str = "fence_test", **parameters: str) -> str:
    pairs = "".join(
        f'<nvpair id="{device}-{name}" name="{name}" value="{value}"/>' for name, value in sorted(parameters.items())
    )
    return (
        f'<primitive id="{device}" class="stonith" type="{agent}">'
        f'<instance_attributes id="{device}-i">{pairs}</instance_attributes></primitive>'
    )


POWER = primitive("power", pcmk_host_list="n1 n2 n3", ip="10.0.0.1")
