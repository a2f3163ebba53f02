# SPDX-License-Identifier: GPL-2.0-or-later
"""An LRM in virtual time: its machine, a spool that survives it, agents that take as long as told, and a crmd's ear.

The world can kill the machine after any effect. Agents go on meanwhile, as under real runners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from ha.lrm.core import build
from ha.lrm.model.execution import (
    AdoptAgents,
    Adopted,
    AdoptedJob,
    AgentResult,
    AgentsFound,
    AwaitAgent,
    Done,
    DropJob,
    EvidenceKept,
    FindAgents,
    FindProcess,
    GatherEvidence,
    KeepRecord,
    KillAgent,
    KillProcesses,
    MetadataRead,
    ProcessEnded,
    ProcessesKilled,
    ProcessFound,
    ProcessUnknown,
    ReadMetadata,
    RunAgent,
    UnwatchProcess,
    WatchProcess,
)
from ha.lrm.msg import Message, OperationResult, Resource, RunOperation
from ha.machine import (
    Arm,
    Connected,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Local,
    Note,
    Persist,
    Received,
    Reply,
    Send,
    Started,
    Wall,
)
from ha.machine import Message as AnyMessage

CRMD = Local("crmd")
WALL_OFFSET_MS = 1_700_000_000_000


@dataclass(slots=True)
class Run:
    """One execution of an agent. `end_ms` None: it hangs until killed."""

    job: str
    resource_id: str
    operation: str
    begin_ms: int
    end_ms: int | None
    result: AgentResult


@dataclass(slots=True)
class SpoolJob:
    ticket: bytes
    run: Run | None  # None: no runner has begun it


@dataclass(slots=True)
class Behaviour:
    duration_ms: int | None = 10
    result: AgentResult = field(default_factory=lambda: AgentResult(rc=0))


class Killed(Exception):
    """The machine was killed after the effect that was asked for."""


@dataclass
class World:
    behave: Callable[[RunAgent], Behaviour] = lambda request: Behaviour()
    processors: int = 2
    now: int = 1_000
    sent: list[AnyMessage] = field(default_factory=list)
    to_stonithd: list[AnyMessage] = field(default_factory=list)
    to_rmd: list[AnyMessage] = field(default_factory=list)
    replies: list[AnyMessage] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    jobs: dict[str, SpoolJob] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    durable: dict[str, bytes] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    metadata: dict[str, MetadataRead] = field(default_factory=dict)
    metadata_reads: int = 0
    processes: dict[str, int] = field(default_factory=dict)
    """Of resources that name one: its pid, negative once it is dead."""
    members: dict[str, int] = field(default_factory=dict)
    """How many processes a resource has left; none by default."""
    unkillable: int = 0
    evidence: list[str] = field(default_factory=list)
    effects_left: int | None = None
    """Kill the machine after so many more effects."""
    forks_lag: bool = False
    """Runners begin only when time goes on, so that a kill meanwhile leaves their jobs to be revoked."""

    def __post_init__(self) -> None:
        self.lives = 0
        self.start()

    # Life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.lives += 1
        self.machine = build(node="n1", processors=self.processors)
        self.timers: dict[str, int] = {}
        self.awaited: dict[str, str] = {}  # job -> operation of Finished
        self.forks: list[tuple[str, RunAgent]] = []
        self.watched: dict[str, int] = {}  # operation -> pid
        self.events: list[Event] = []
        self.give(Started(incarnation=f"life{self.lives}", seed=self.lives, persisted=dict(self.durable)))
        self.give(Wall(WALL_OFFSET_MS))

    def restart(self) -> None:
        """As after SIGKILL: what was not begun is not begun; agents run on."""
        self.effects_left = None
        self.start()

    def give(self, event: Event) -> None:
        self.events.append(event)
        while self.events:
            for effect in self.machine.step(self.events.pop(0), self.now):
                self.carry_out(effect)
                self.maybe_die()

    def maybe_die(self) -> None:
        if self.effects_left is not None:
            self.effects_left -= 1
            if self.effects_left <= 0:
                raise Killed

    def crmd_says(self, *messages: Message) -> None:
        for message in messages:
            self.give(Received(CRMD, message))

    def rmd_says(self, message: AnyMessage) -> None:
        self.give(Received(Local("rmd"), message))

    def stonithd_connects(self) -> None:
        self.give(Connected(Local("stonithd")))

    # Time ------------------------------------------------------------------------------------------------------------

    def advance(self, duration_ms: int) -> None:
        until = self.now + duration_ms
        while True:
            self.fork_all()
            moments = [*self.timers.values(), *(run.end_ms for run in self.running() if run.end_ms is not None)]
            due = [moment for moment in moments if moment <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            self.happen()
        self.now = until

    def happen(self) -> None:
        """All that is due now: ends of agents that are awaited, then timers."""
        for job in list(self.awaited):
            spooled = self.jobs[job]
            if spooled.run is not None and spooled.run.end_ms is not None and spooled.run.end_ms <= self.now:
                self.finish_job(job)
        for timer, deadline in sorted(self.timers.items(), key=lambda item: (item[1], item[0])):
            if deadline <= self.now and self.timers.get(timer) == deadline:
                del self.timers[timer]
                self.give(Fired(timer))

    def running(self) -> list[Run]:
        """Agents whose end somebody still awaits."""
        return [run for job in self.awaited if (run := self.jobs[job].run) is not None]

    def fork_all(self) -> None:
        forks, self.forks = self.forks, []
        for job, request in forks:
            self.fork(job, request)

    # Effects ---------------------------------------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(Local("crmd"), message):
                self.sent.append(message)
            case Send(Local("stonithd"), message):
                self.to_stonithd.append(message)
            case Send(Local("rmd"), message):
                self.to_rmd.append(message)
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
            case Execute(operation, request):
                self.execute(operation, request)
            case _:
                raise AssertionError(f"the LRM has no use for {effect}")

    def execute(self, operation: str, request: object) -> None:
        match request:
            case RunAgent():
                assert request.job not in self.jobs, "a job's name is used once"
                self.jobs[request.job] = SpoolJob(request.ticket, None)
                self.awaited[request.job] = operation
                self.forks.append((request.job, request))
                if not self.forks_lag:
                    self.fork_all()
            case AwaitAgent(job=job):
                self.awaited[job] = operation
                run = self.jobs[job].run
                if run is None:
                    del self.awaited[job]
                    self.events.append(Finished(operation, AgentResult(rc=1, status="cancelled", revoked=True)))
                elif run.end_ms is not None and run.end_ms <= self.now:
                    del self.awaited[job]
                    self.events.append(Finished(operation, run.result))
            case KillAgent(job=job):
                run = self.jobs[job].run
                assert run is not None
                run.end_ms, run.result = self.now, AgentResult(rc=1, status="error", exit_reason="killed")
                self.events.append(Finished(operation, Done()))
            case DropJob(job=job):
                self.drop(job)
                self.events.append(Finished(operation, Done()))
            case KeepRecord():
                self.keep(request)
                self.events.append(Finished(operation, Done()))
            case AdoptAgents():
                jobs = tuple(AdoptedJob(job=job, ticket=spooled.ticket) for job, spooled in sorted(self.jobs.items()))
                self.events.append(Finished(operation, Adopted(records=dict(self.records), jobs=jobs)))
            case ReadMetadata():
                self.metadata_reads += 1
                read = self.metadata[request.agent_type]
                if request.known and read.checksum == request.known:
                    read = MetadataRead(rc=0, checksum=read.checksum, unchanged=True)
                self.events.append(Finished(operation, read))
            case GatherEvidence(resource_id=resource_id, text=text):
                self.evidence.append(text)
                members = self.members.get(resource_id, 0)
                self.events.append(Finished(operation, EvidenceKept(path="/evidence", members=members)))
            case KillProcesses(resource_id=resource_id):
                killed = self.members.pop(resource_id, 0) - self.unkillable
                self.events.append(Finished(operation, ProcessesKilled(killed=killed, left=self.unkillable)))
            case FindProcess():
                self.events.append(Finished(operation, self.find_process(request.resource.id)))
            case WatchProcess(pid=pid):
                if pid in self.processes.values():
                    self.watched[operation] = pid
                else:
                    self.events.append(Finished(operation, ProcessEnded()))
            case UnwatchProcess(watch=watch):
                self.watched.pop(watch, None)
                self.events.append(Finished(operation, Done()))
            case FindAgents():
                self.events.append(Finished(operation, AgentsFound(("Dummy",))))
            case _:
                raise AssertionError(request)

    def find_process(self, resource_id: str) -> ProcessFound | ProcessUnknown:
        pid = self.processes.get(resource_id)
        if pid is None:
            return ProcessUnknown(reason="no pid file")
        return ProcessFound(pid=pid, start_ticks=1) if pid > 0 else ProcessUnknown(reason="dead", dead=True)

    def process_dies(self, resource_id: str) -> None:
        pid = self.processes[resource_id]
        self.processes[resource_id] = -pid
        for operation in [watch for watch, watched in self.watched.items() if watched == pid]:
            del self.watched[operation]
            self.give(Finished(operation, ProcessEnded()))

    def fork(self, job: str, request: RunAgent) -> None:
        how = self.behave(request)
        end_ms = None if how.duration_ms is None else self.now + how.duration_ms
        result = msgspec.structs.replace(how.result, started_ms=self.now)
        run = Run(job, request.resource.id, request.operation, self.now, end_ms, result)
        for other in self.runs:
            alone = other.resource_id != run.resource_id or (other.end_ms is not None and other.end_ms <= self.now)
            assert alone, f"{run} begins beside {other}"
        self.runs.append(run)
        self.jobs[job].run = run

    def finish_job(self, job: str) -> None:
        run = self.jobs[job].run
        assert run is not None
        self.give(Finished(self.awaited.pop(job), run.result))

    def drop(self, job: str) -> None:
        run = self.jobs[job].run
        assert run is None or (run.end_ms is not None and run.end_ms <= self.now), f"{job} still runs"
        del self.jobs[job]

    def keep(self, request: KeepRecord) -> None:
        self.kept.append(request.name)
        if request.data is None:
            self.records.pop(request.name, None)
        else:
            self.records[request.name] = request.data
        if request.drop:
            self.maybe_die()  # between the two halves
            self.drop(request.drop)

    # What a test looks at --------------------------------------------------------------------------------------------

    def results(self) -> list[OperationResult]:
        return [message for message in self.sent if isinstance(message, OperationResult)]

    def ran(self) -> list[str]:
        return [f"{run.resource_id} {run.operation}" for run in self.runs]


def resource(resource_id: str, agent_class: str = "ocf") -> Resource:
    provider = "heartbeat" if agent_class == "ocf" else ""
    return Resource(resource_id, agent_class, "Dummy" if agent_class != "stonith" else "fence_test", provider)


def order(resource_id: str, operation: str, key: str = "", **more: object) -> RunOperation:
    """An order whose user_data is `key`, by default resource and operation."""
    more.setdefault("timeout_ms", 20_000)
    kind = str(more.pop("agent_class", "ocf"))
    fields = {"resource": resource(resource_id, kind), "operation": operation, **more}
    return RunOperation(user_data=key or f"{resource_id}:{operation}", **fields)  # type: ignore[arg-type]


def told(world: World) -> list[str]:
    """The results told to the crmd, short: "web start 0 done"."""
    return [f"{r.resource.id} {r.operation} {r.rc} {r.status}" for r in world.results()]


def lasting(durations: dict[str, int | None]) -> Callable[[RunAgent], Behaviour]:
    """Agents whose actions take as long as told, by operation."""
    return lambda request: Behaviour(duration_ms=durations.get(request.operation, 10))


def sequence(results: Iterable[AgentResult]) -> Callable[[RunAgent], Behaviour]:
    """Agents that give these results, one after another."""
    source = iter(results)
    return lambda request: Behaviour(result=next(source))
