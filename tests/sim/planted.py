# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs on purpose: wrappers round production cores that misbehave as real bugs would. The swarm must find each.

A bug changes what its core hears or what it wants; the checkers see the world, not the wrapper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import msgspec

from ha.ccm.msg import MembershipEvent
from ha.heartbeat.msg import Deliver
from ha.machine import Effect, Event, Instant, Machine, Send, Started


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
    """`promise` is what the swarm shall see broken, within `seeds` seeds; `ground` needs no layer above ccm."""

    name: str
    bug: type[Planted]
    promise: str
    ground: bool = False
    seeds: int = 40

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


PLANTS: tuple[Plant, ...] = (
    Plant("view ids used twice", ForgetfulCcm, "P2", ground=True),
    Plant("quorum that only one node believes in", EverQuorateCcm, "P2", ground=True),
    Plant("messages delivered twice", StutteringHeartbeat, "order", ground=True),
)
