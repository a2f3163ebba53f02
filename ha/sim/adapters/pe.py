# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of `ha.pe.io`: the policy engine decides at once and its answer takes a fixed time; inputs are not saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.pe.core import CibError, schedule
from ha.pe.model.requests import Decide, Decided
from ha.sim.agenda import MS

if TYPE_CHECKING:
    from ha.sim.process import Process
    from ha.sim.world import Service

DECIDE_US = 8 * MS
"""Median of the conformance cases in one process (design section 11)."""


def serve(process: Process, operation: str, request: object) -> None:
    assert isinstance(request, Decide)
    decided = decide(request)
    process.world.agenda.after(DECIDE_US, lambda: process.finish(operation, decided))


def decide(request: Decide) -> Decided:
    try:
        decision = schedule(request.cib_xml, request.now_s)
    except CibError as error:
        return Decided(error=str(error))
    return Decided(graph=decision.graph_xml.decode(), recheck_at_s=decision.recheck_at_s or 0, took_ms=DECIDE_US // MS)


SERVICES: dict[type, Service] = {Decide: serve}
