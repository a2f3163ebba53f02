# SPDX-License-Identifier: GPL-2.0-or-later
"""The LRM's machine: takes events apart and hands them to the queues, the slots and the restart's adoption."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from ha.lrm.core.adoption import Adoption
from ha.lrm.core.alerts import ALERT_TIMER, Alerts
from ha.lrm.core.departure import RMD, Departure
from ha.lrm.core.metadata import Asker, MetadataCache
from ha.lrm.core.slots import Slots
from ha.lrm.model.execution import (
    AdoptAgents,
    Adopted,
    AgentResult,
    AgentsFound,
    Done,
    EvidenceKept,
    FindAgents,
    MetadataRead,
    ProcessEnded,
    ProcessesKilled,
    ProcessFound,
    ProcessUnknown,
)
from ha.lrm.msg import (
    Agents,
    CancelOperation,
    ForgetResource,
    GetHistory,
    GetMetadata,
    History,
    ListAgents,
    Metadata,
    RunAlert,
    RunOperation,
)
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
    Message,
    Note,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
    Wire,
)
from ha.rmd.msg import StopResources
from ha.stonith.msg import DeviceOperationDone

CRMD = Local("crmd")
STONITHD = Local("stonithd")
MAX_HELD_MESSAGES = 10_000
"""Messages that wait for the adoption of earlier jobs to end (milliseconds). Beyond it they are refused in the log:
the crmd repeats them."""


class ResourceManager:
    """See `ha.lrm.core`."""

    def __init__(self, *, node: str, max_parallel: int) -> None:
        self._node = node
        self._max_parallel = max_parallel
        self._slots: Slots | None = None
        self._alerts: Alerts | None = None
        self._adoption: Adoption | None = None
        self._departure: Departure | None = None
        self._held: deque[Received] = deque()
        self._metadata = MetadataCache()
        self._searches: dict[int, tuple[Asker, str]] = {}
        self._search_serial = 0
        self._wall_offset_ms: int | None = None
        self._found: Adopted | None = None  # what was found before the wall clock was known

    def step(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Started():
                return self._start(event)
            case Wall(offset_ms):
                return self._set_wall(offset_ms, now)
            case Received(sender, message):
                if self._is_adopting():
                    return self._hold(event)
                return self._receive(sender, message, now)
            case Fired(timer):
                if timer.startswith(ALERT_TIMER):
                    return self._running_alerts().overdue(timer.removeprefix(ALERT_TIMER))
                return self._running_slots().fired(timer, now)
            case Finished(operation, outcome):
                return self._finish(operation, outcome, now)
            case Connected(peer):
                return self._running_slots().stonithd_connected() if peer == STONITHD and self._slots else []
            case Lost() | Stopping():
                # Whoever comes back asks; runners go on without us.
                return []

    # Start -----------------------------------------------------------------------------------------------------------

    def _start(self, event: Started) -> list[Effect]:
        assert self._slots is None
        self._slots = Slots(
            incarnation=event.incarnation,
            chance=random.Random(event.seed),
            max_parallel=self._max_parallel,
        )
        self._alerts = Alerts(event.incarnation)
        self._departure = Departure(self._slots)
        self._adoption = Adoption(self._slots)
        return [Execute("adopt", AdoptAgents())]

    def _is_adopting(self) -> bool:
        return self._adoption is not None

    def _hold(self, event: Received) -> list[Effect]:
        if len(self._held) >= MAX_HELD_MESSAGES:
            return [Note("error", f"{type(event.message).__name__} dropped: {MAX_HELD_MESSAGES} messages wait already")]
        self._held.append(event)
        return []

    def _running_slots(self) -> Slots:
        assert self._slots is not None
        return self._slots

    def _running_alerts(self) -> Alerts:
        assert self._alerts is not None
        return self._alerts

    def _running_departure(self) -> Departure:
        assert self._departure is not None
        return self._departure

    # Messages --------------------------------------------------------------------------------------------------------

    def _receive(self, sender: Local | Remote | Client | Wire, message: Message, now: Instant) -> list[Effect]:
        if isinstance(sender, (Remote, Wire)):
            return [Note("warning", f"{type(message).__name__} from {sender} ignored: the LRM obeys its own node only")]
        slots = self._running_slots()
        from_crmd: dict[type[Message], Callable[[], list[Effect]]] = {
            RunOperation: lambda: slots.run(message, now),  # type: ignore[arg-type]
            CancelOperation: lambda: slots.cancel(message),  # type: ignore[arg-type]
            ForgetResource: lambda: slots.forget(message, now),  # type: ignore[arg-type]
            GetHistory: lambda: [Send(CRMD, self._history())],
            RunAlert: lambda: self._running_alerts().run(message, now),  # type: ignore[arg-type]
        }
        match message:
            case GetMetadata():
                return self._read_metadata(message, sender)
            case ListAgents():
                return self._find_agents(message, sender)
            case GetHistory() if isinstance(sender, Client):
                return [Reply(sender, self._history())]
            case DeviceOperationDone() if sender == STONITHD:
                return slots.device_done(message, now)
            case StopResources() if sender == RMD:
                return self._running_departure().begin(now)
            case ForgetResource() if self._running_departure().has_begun:
                return []  # what is being stopped is not forgotten; the crmd asks again
            case _ if sender == CRMD and type(message) in from_crmd:
                return from_crmd[type(message)]()
            case _:
                return [Note("warning", f"{type(message).__name__} from {sender} ignored: not for the LRM to do")]

    def _history(self) -> History:
        results, running = self._running_slots().history()
        return History(results=results, running=running)

    # What has ended --------------------------------------------------------------------------------------------------

    def _finish(self, operation: str, outcome: object, now: Instant) -> list[Effect]:
        kind, _, name = operation.partition(" ")
        match kind, outcome:
            case "adopt", Adopted():
                return self._adopt(outcome, now)
            case "run", AgentResult():
                effects = self._running_slots().ended(name, outcome, now)
                return effects + self._running_departure().proceed(now)
            case "alert", AgentResult():
                return self._running_alerts().ended(name, outcome, now)
            case "find", ProcessFound() | ProcessUnknown():
                return self._running_slots().watches.found(int(name), outcome, now)
            case "watch", ProcessEnded():
                return self._running_slots().watches.ended(int(name), now)
            case "evidence", EvidenceKept() | OSError():
                effects = self._running_slots().ladder.evidence_kept(name, outcome, now)
                return effects + self._running_departure().proceed(now)
            case "slay", ProcessesKilled() | OSError():
                effects = self._running_slots().ladder.killed(name, outcome, now)
                return effects + self._running_departure().proceed(now)
            case "metadata", MetadataRead():
                return self._tell_metadata(int(name), outcome)
            case "agents", AgentsFound():
                asker, request_id = self._searches.pop(int(name))
                return [_answer(asker, Agents(request_id=request_id, names=list(outcome.names)))]
            case "agents", OSError():
                asker, request_id = self._searches.pop(int(name))
                return [
                    _answer(asker, Agents(request_id=request_id, names=[])),
                    Note("warning", f"agents cannot be listed: {outcome}"),
                ]
            case ("keep" | "drop" | "kill" | "unwatch"), Done():
                return []
            case ("keep" | "drop" | "kill"), OSError():
                return [Note("error", f"the LRM's own records cannot be written ({operation}): {outcome}")]
            case _:
                raise AssertionError(f"{operation} ended in {outcome!r}")

    def _set_wall(self, offset_ms: int, now: Instant) -> list[Effect]:
        self._wall_offset_ms = offset_ms
        self._running_slots().wall_offset_ms = offset_ms
        found, self._found = self._found, None
        return self._adopt(found, now) if found is not None else []

    def _adopt(self, adopted: Adopted, now: Instant) -> list[Effect]:
        if self._wall_offset_ms is None:
            self._found = adopted  # results among it are dated
            return []
        assert self._adoption is not None
        effects = self._adoption.take_up(adopted, now)
        self._adoption = None
        while self._held:
            event = self._held.popleft()
            effects += self._receive(event.sender, event.message, now)
        return effects

    # Agents on disk --------------------------------------------------------------------------------------------------

    def _read_metadata(self, request: GetMetadata, asker: Asker) -> list[Effect]:
        reading = self._metadata.ask(request, asker)
        if reading is None:
            return []
        serial, what = reading
        return [Execute(f"metadata {serial}", what)]

    def _tell_metadata(self, serial: int, read: MetadataRead) -> list[Effect]:
        waiting, rc, xml, reason = self._metadata.answered(serial, read)
        return [
            _answer(asker, Metadata(request_id=request_id, rc=rc, xml=xml, reason=reason))
            for asker, request_id in waiting
        ]

    def _find_agents(self, request: ListAgents, asker: Asker) -> list[Effect]:
        self._search_serial += 1
        self._searches[self._search_serial] = (asker, request.request_id)
        what = FindAgents(agent_class=request.agent_class, provider=request.provider)
        return [Execute(f"agents {self._search_serial}", what)]


def _answer(asker: Asker, message: Message) -> Effect:
    return Reply(asker, message) if isinstance(asker, Client) else Send(asker, message)
