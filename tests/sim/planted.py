# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs on purpose: wrappers round production cores that misbehave as real bugs would. The swarm must find each.

A bug changes what its core hears or what it wants; the checkers see the world, not the wrapper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import msgspec

from ha.ccm.model.register import Contents, Outdated
from ha.ccm.model.register import Written as Granted
from ha.ccm.model.register import decode as decode_grant
from ha.ccm.model.register import encode as encode_grant
from ha.ccm.msg import MembershipEvent
from ha.cib.model.store import PublishCib
from ha.cib.msg import Answer, Lead, Write, Written
from ha.heartbeat.msg import Deliver, NothingRuns
from ha.lrm.model.execution import Adopted, RunAgent
from ha.lrm.model.records import RESOURCE_PREFIX, ResourceRecord, decode
from ha.lrm.msg import OperationResult, Resource
from ha.machine import (
    Client,
    Effect,
    Event,
    Execute,
    Finished,
    Instant,
    Local,
    Machine,
    Received,
    Reply,
    Send,
    Started,
    Stopping,
)
from ha.stonith.model.execution import FenceAgentResult
from ha.stonith.msg import Fenced, FenceNode


class Planted:
    """A machine with a bug: override `hears` (None: it misses the event) or `wants`."""

    worker = ""
    nodes: tuple[str, ...] | None = None

    def __init__(self, inner: Machine, node: str) -> None:
        self.inner = inner
        self.node = node
        self.chance = Random(node)

    def step(self, event: Event, now: Instant) -> list[Effect]:
        heard = self.hears(event)
        return [] if heard is None else self.wants(heard, self.inner.step(heard, now), now)

    def hears(self, event: Event) -> Event | None:
        return event

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        return effects


@dataclass(frozen=True)
class Plant:
    """`promise` is what the swarm shall see broken, within `seeds` seeds; `ground` needs no layer above ccm.

    `likely` is a seed that has shown it before and is tried first: it saves minutes, and proves nothing by itself.
    """

    name: str
    bug: type[Planted]
    promise: str
    ground: bool = False
    seeds: int = 60
    likely: int = 1

    def wrap(self, node: str, worker: str, machine: Machine) -> Machine:
        wanted = worker == self.bug.worker and (self.bug.nodes is None or node in self.bug.nodes)
        return self.bug(machine, node) if wanted else machine


class ForgetfulCcm(Planted):
    """Does not find what it had persisted: its counter of views begins anew."""

    worker = "ccm"

    def hears(self, event: Event) -> Event | None:
        return replace(event, persisted={}) if isinstance(event, Started) else event


class EverQuorateCcm(Planted):
    """n1's ccm tells its modules of quorum whatever the view."""

    worker = "ccm"
    nodes = ("n1",)

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        return [self._quorate(effect) for effect in effects]

    def _quorate(self, effect: Effect) -> Effect:
        if not isinstance(effect, Send) or not isinstance(effect.message, MembershipEvent):
            return effect
        view = effect.message.view
        if view is None:
            return effect
        told = msgspec.structs.replace(effect.message, view=msgspec.structs.replace(view, quorate=True))
        return replace(effect, message=told)


class FlatteredCcm(Planted):
    """Takes every grant in the tie-breaker's register for an old one, and overwrites it."""

    worker = "ccm"

    def hears(self, event: Event) -> Event | None:
        if isinstance(event, Finished) and isinstance(event.outcome, Contents) and event.outcome.version:
            grant = msgspec.structs.replace(decode_grant(event.outcome.data), instance=0)
            return Finished(event.operation, Contents(event.outcome.version, encode_grant(grant)))
        return event


class CredulousCcm(Planted):
    """Believes of a refused claim that it was written."""

    worker = "ccm"

    def hears(self, event: Event) -> Event | None:
        if isinstance(event, Finished) and isinstance(event.outcome, Outdated):
            return Finished(event.operation, Granted())
        return event


class StutteringHeartbeat(Planted):
    """Delivers a message again, later, as if a repeated packet had not been recognised."""

    worker = "heartbeat"

    def __init__(self, inner: Machine, node: str) -> None:
        super().__init__(inner, node)
        self.kept: Send | None = None

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        if self.kept is not None and self.chance.random() < 0.05:
            effects = [*effects, self.kept]
            self.kept = None
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Deliver) and self.chance.random() < 0.1:
                self.kept = effect
        return effects


class StaleDc(Planted):
    """The crmd of n1 does not take in new views: once DC, it stays DC of its old one."""

    worker = "crmd"
    nodes = ("n1",)

    def __init__(self, inner: Machine, node: str) -> None:
        super().__init__(inner, node)
        self.seen = 0

    def hears(self, event: Event) -> Event | None:
        if isinstance(event, Received) and isinstance(event.message, MembershipEvent):
            self.seen += 1
            return event if self.seen == 1 else None
        return event


class UsurperCrmd(Planted):
    """n2's crmd makes its cib the writer of every view it is told of, whoever is DC."""

    worker = "crmd"
    nodes = ("n2",)

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        if not isinstance(event, Received) or not isinstance(event.message, MembershipEvent):
            return effects
        view = event.message.view
        if view is None:
            return effects
        return [*effects, Send(Local("cib"), Lead(view=view.id, members=view.names()))]


class LosingCib(Planted):
    """Tells a program that its write is committed, and forgets some of them."""

    worker = "cib"

    def step(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Received) and isinstance(event.sender, Client) and isinstance(event.message, Write):
            write = event.message
            if write.request_id.startswith("swarm-") and self.chance.random() < 0.5:
                return [Reply(event.sender, Written(request_id=write.request_id, outcome="committed"))]
        return self.inner.step(event, now)


class SloppyCib(Planted):
    """n2 publishes other bytes under the same version, as if it had applied a change differently."""

    worker = "cib"
    nodes = ("n2",)

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        return [self._other(effect) for effect in effects]

    def _other(self, effect: Effect) -> Effect:
        if not isinstance(effect, Execute) or not isinstance(effect.request, PublishCib):
            return effect
        if effect.request.version.num_updates % 5 != 4:
            return effect
        return replace(effect, request=msgspec.structs.replace(effect.request, parts=(*effect.request.parts, b"\n")))


class HastyStonith(Planted):
    """Says that a node is fenced before any device has confirmed it, and has the device told afterwards."""

    worker = "stonithd"

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        if isinstance(event, Received) and event.sender == Local("crmd") and isinstance(event.message, FenceNode):
            request = event.message
            fenced = Fenced(request_id=request.request_id, target=request.target, action=request.action, ok=True)
            return [*effects, Send(Local("crmd"), fenced)]
        return effects


class CredulousStonith(Planted):
    """Takes what its device says when it fails or hangs for a confirmation."""

    worker = "stonithd"

    def hears(self, event: Event) -> Event | None:
        if not isinstance(event, Finished) or not isinstance(event.outcome, FenceAgentResult):
            return event
        if event.outcome.fate in ("revoked", "not installed"):
            return event
        return replace(event, outcome=msgspec.structs.replace(event.outcome, ok=True, rc=0, fate="done"))


class PoliteHeartbeat(Planted):
    """Says goodbye whenever it is stopped, whatever still runs on the node."""

    worker = "heartbeat"

    def step(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Stopping):
            self.inner.step(Received(Local("crmd"), NothingRuns()), now)
        return super().step(event, now)


class TrustingCrmd(Planted):
    """Takes every loss for a goodbye: no grace, no fencing."""

    worker = "crmd"

    def hears(self, event: Event) -> Event | None:
        if not isinstance(event, Received) or not isinstance(event.message, MembershipEvent):
            return event
        view = event.message.view
        if view is None:
            return event
        told = msgspec.structs.replace(event.message, view=msgspec.structs.replace(view, left=view.lost))
        return replace(event, message=told)


class ImpatientCrmd(Planted):
    """Knows nothing of watchdogs that its peers have to be given time for."""

    worker = "crmd"

    def hears(self, event: Event) -> Event | None:
        if not isinstance(event, Received) or not isinstance(event.message, Answer):
            return event
        xml = event.message.xml.replace('name="stonith-watchdog-timeout" value="-1"', 'name="forgotten" value="-1"')
        return replace(event, message=msgspec.structs.replace(event.message, xml=xml))


class TidyLrmd(Planted):
    """A restarted LRM stops what its predecessor had started, to begin anew with a clean table."""

    worker = "lrmd"

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        if not isinstance(event, Finished) or not isinstance(event.outcome, Adopted):
            return effects
        records = [
            decode(data, ResourceRecord)
            for name, data in sorted(event.outcome.records.items())
            if name.startswith(RESOURCE_PREFIX)
        ]
        stops = [
            Execute(f"planted {record.resource.id}", self._stop(record.resource, now))
            for record in records
            if record.resource.agent_class == "ocf"
        ]
        return [*effects, *stops]

    def _stop(self, resource: Resource, now: Instant) -> RunAgent:
        return RunAgent(
            job=f"planted-{resource.id}-{now}", resource=resource, operation="stop", interval_ms=0, timeout_ms=1_000
        )

    def step(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Finished) and event.operation.startswith("planted "):
            return []
        return super().step(event, now)


class DeafLrmd(Planted):
    """Does not report a recurring operation that failed."""

    worker = "lrmd"

    def wants(self, event: Event, effects: list[Effect], now: Instant) -> list[Effect]:
        return [effect for effect in effects if not self._is_failed_monitor(effect)]

    def _is_failed_monitor(self, effect: Effect) -> bool:
        message = effect.message if isinstance(effect, Send) else None
        return isinstance(message, OperationResult) and message.interval_ms > 0 and message.rc != 0


PLANTS: tuple[Plant, ...] = (
    Plant("view ids used twice", ForgetfulCcm, "P2", ground=True, likely=25),
    Plant("quorum that only one node believes in", EverQuorateCcm, "P2", ground=True, likely=4),
    Plant("a tie-breaker that both halves overwrite", FlatteredCcm, "P2", ground=True, likely=3),
    Plant("a tie-breaker that refused taken for one that granted", CredulousCcm, "P2", ground=True, likely=3),
    Plant("messages delivered twice", StutteringHeartbeat, "order", ground=True),
    Plant("a stale DC", StaleDc, "P2", likely=2),
    Plant("two DCs in a view", UsurperCrmd, "P2"),
    Plant("a lost acknowledgement", LosingCib, "P3", likely=4),
    Plant("equal versions with different bytes", SloppyCib, "P3"),
    Plant("a start before the fence is confirmed", HastyStonith, "P1", likely=5),
    Plant("a fence device that failed taken for one that confirmed", CredulousStonith, "P1", likely=15),
    Plant("a goodbye while resources run", PoliteHeartbeat, "P4", likely=8),
    Plant("a loss taken for a goodbye", TrustingCrmd, "P1", likely=36),
    Plant("a start before the watchdog has acted", ImpatientCrmd, "P1", likely=82),
    Plant("an LRM that begins anew", TidyLrmd, "P4", likely=8),
    Plant("a failure that nobody hears of", DeafLrmd, "liveness", likely=9),
)
