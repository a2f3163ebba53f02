# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of `ha.ccm.io`: one register for all nodes, with compare-and-swap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.ccm.model.register import Contents, Failed, Outdated, ReadRegister, WriteRegister, Written
from ha.sim.agenda import SECOND

if TYPE_CHECKING:
    from ha.sim.process import Process
    from ha.sim.world import Service

URL = "http://192.0.2.253/ha/grant"
TIMEOUT_US = 2 * SECOND
"""As the real one, which gives up after the time in ha.cf."""


def serve(process: Process, operation: str, request: object) -> None:
    """Carried out half way through: what the asker dies of later is done all the same."""
    assert isinstance(request, (ReadRegister, WriteRegister))
    world = process.world
    register = world.register
    if register.is_dead or process.node.name in register.unreachable:
        _answer(process, operation, Failed(f"{URL}: timed out"), TIMEOUT_US)
        return
    is_lost = world.chance("register").random() < register.lost_answers
    way_us = register.delay_us // 2

    def arrived() -> None:
        outcome = _carried_out(process, request)
        if is_lost:
            _answer(process, operation, Failed(f"{URL}: timed out"), TIMEOUT_US - way_us)
        else:
            _answer(process, operation, outcome, way_us)

    world.agenda.after(way_us, arrived)


def _carried_out(process: Process, request: ReadRegister | WriteRegister) -> Contents | Written | Outdated:
    register = process.world.register
    if isinstance(request, ReadRegister):
        return Contents(str(register.version) if register.version else "", register.data)
    if request.version != (str(register.version) if register.version else ""):
        return Outdated()
    register.version += 1
    register.data = request.data
    process.world.log("register", "register", f"granted to {process.node.name}: {request.data.decode()}")
    return Written()


def _answer(process: Process, operation: str, outcome: object, delay_us: int) -> None:
    process.world.agenda.after(max(delay_us, 0), lambda: process.finish(operation, outcome))


SERVICES: dict[type, Service] = {ReadRegister: serve, WriteRegister: serve}
