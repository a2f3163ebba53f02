# SPDX-License-Identifier: GPL-2.0-or-later
"""Toy machines for tests of the shell: they bear the names of real workers, so that the table of links holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from ha.crm.msg import Done, GetState, ShutdownNode, State
from ha.machine import (
    Arm,
    Client,
    Connected,
    Effect,
    Event,
    Fired,
    Instant,
    Local,
    Note,
    Persist,
    Received,
    Reply,
    Send,
    Started,
)
from ha.pe.msg import Schedule, Scheduled
from ha.root import Root
from ha.shell import run_worker


@dataclass
class Asker:
    """As crmd: asks pengine to schedule as soon as it is linked, tells a program what came back, keeps a count."""

    starts: int = 0
    answer: str = ""
    fired: int = 0
    waiting: list[tuple[Client, str]] = field(default_factory=list)

    def step(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Started(persisted=persisted):
                self.starts = int(persisted.get("starts", b"0")) + 1
                return [Persist("starts", b"%d" % self.starts), Arm("tick", now + 20)]
            case Fired("tick"):
                self.fired += 1
                return [Arm("tick", now + 20)]
            case Connected(Local("pengine")):
                return [Send(Local("pengine"), Schedule(request_id=7, generation=1, now_s=0))]
            case Received(Local("pengine"), Scheduled(graph=graph)):
                self.answer = graph
                return [Reply(client, self._state(request)) for client, request in self.waiting]
            case Received(Client() as client, GetState(request_id=request)):
                if not self.answer:
                    self.waiting.append((client, request))
                    return []
                return [Reply(client, self._state(request))]
            case Received(Client(), ShutdownNode()):
                raise AssertionError("a broken invariant, as ordered by the test")
        return []

    def _state(self, request_id: str) -> State:
        return State(request_id=request_id, node=f"{self.starts}", fsm=self.answer, transition_id=self.fired)


@dataclass
class Answerer:
    """As pengine: answers every Schedule."""

    def step(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Received(sender, Schedule(request_id=request_id)):
                assert sender == Local("crmd")
                done = Scheduled(request_id=request_id, generation=1, graph=f"<graph request='{request_id}'/>")
                return [Note("notice", "answered"), Send(Local("crmd"), done)]
        return []


def crmd(root: Root) -> int:
    return run_worker("crmd", Asker(), root=root)


def pengine(root: Root) -> int:
    return run_worker("pengine", Answerer(), root=root)


__all__ = ["Done", "crmd", "pengine"]
