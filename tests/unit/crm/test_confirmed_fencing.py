# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a crmd that is not DC keeps in mind that a node was fenced."""

from __future__ import annotations

from ha.machine import Local, Received
from ha.stonith.msg import Fenced
from tests.unit.crm.test_crmd import crmd
from tests.unit.crm.test_takeover_grace import saw

FENCED = Fenced(request_id="1", target="n3", action="reboot", ok=True)


def test_it_is_kept_for_the_day_this_node_is_dc() -> None:
    machine = crmd()
    saw(machine, 10, "n1", "n2", "n3")
    machine.step(Received(Local("stonithd"), FENCED), 1_000)
    saw(machine, 2_000, "n1", "n2", lost=("n3",))
    assert list(machine.fencing.confirmed) == ["n3"]
    saw(machine, 3_000, "n1", "n2", "n3")
    assert not machine.fencing.confirmed


def test_it_is_forgotten_when_others_may_have_let_the_node_in_and_lost_it_since() -> None:
    machine = crmd()
    saw(machine, 10, "n1", "n2", "n3")
    machine.step(Received(Local("stonithd"), FENCED), 1_000)
    saw(machine, 2_000, "n1", "n2", lost=("n3",))
    saw(machine, 3_000, "n1", lost=("n2",))
    saw(machine, 60_000, "n1", "n2")
    assert not machine.fencing.confirmed
