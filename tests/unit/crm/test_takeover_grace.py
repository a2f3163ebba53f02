# SPDX-License-Identifier: GPL-2.0-or-later
"""From when on a node counts as lost: the last moment at which any member may have had it in its view."""

from __future__ import annotations

from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.crm.core import Crmd
from ha.crm.core.takeover_grace import Loss
from ha.machine import Local, Received
from tests.unit.crm.test_crmd import crmd


def saw(machine: Crmd, now: int, *members: str, lost: tuple[str, ...] = (), left: tuple[str, ...] = ()) -> None:
    found = View(
        id=ViewId(instance=now, coordinator="c"), quorate=len(members) > 1,
        members=tuple(Member(node=n, born_on=1) for n in members), lost=lost, left=left,
    )  # fmt: skip
    machine.step(Received(Local("ccm"), MembershipEvent(event="NEW_MEMBERSHIP", view=found)), now)


def test_a_loss_is_as_old_as_it_was_seen() -> None:
    machine = crmd()
    saw(machine, 10, "n1", "n2", "n3")
    saw(machine, 1_000, "n1", "n2", lost=("n3",))
    saw(machine, 5_000, "n1", lost=("n2",))
    assert machine.takeover_grace.losses == {"n3": Loss(1_000, False), "n2": Loss(5_000, False)}


def test_who_comes_from_another_partition_may_have_seen_it_later() -> None:
    """Found by the swarm (seed 70): n2 was cut off while n1 and n3 went on, and came back as n1 lost n3."""
    machine = crmd()
    saw(machine, 10, "n1", "n2", "n3")
    saw(machine, 1_000, "n1", lost=("n2", "n3"))
    saw(machine, 20_000, "n1", "n2")
    assert machine.takeover_grace.losses == {"n3": Loss(20_000, False)}


def test_a_goodbye_counts_no_more_once_others_may_have_taken_the_node_in_again() -> None:
    machine = crmd()
    saw(machine, 10, "n1", "n2", "n3")
    saw(machine, 1_000, "n1", "n2", left=("n3",))
    assert machine.takeover_grace.losses == {"n3": Loss(1_000, True)}
    saw(machine, 2_000, "n1", lost=("n2",))
    saw(machine, 20_000, "n1", "n2")
    assert machine.takeover_grace.losses == {"n3": Loss(20_000, False)}
    saw(machine, 21_000, "n1", "n2", "n3")
    assert machine.takeover_grace.losses == {}
