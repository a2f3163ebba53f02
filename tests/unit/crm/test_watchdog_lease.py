# SPDX-License-Identifier: GPL-2.0-or-later
"""When the crmd says that its node's watchdog may be petted, and when it keeps silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.msg import LEASE_MS
from ha.ccm.msg import MembershipEvent
from ha.crm.core import Crmd
from ha.crm.core.watchdog_lease import RENEW_MS
from ha.crm.model.self_fencing import MARGIN_MS, least_wait_ms, wait_of
from ha.lrm.msg import GetHistory, History, OperationResult, Resource, RunOperation
from ha.machine import Connected, Effect, Event, Fired, Local, Lost, Received, Send
from ha.rmd.msg import ReleaseLease, RenewLease, WatchdogArmed
from ha.stonith.msg import GetSelfFencing, SelfFencing
from tests.unit.crm.test_crmd import crmd, notes, sent, view

TIMEOUT_MS = 10_000
WEB = Resource(id="web", agent_class="ocf", provider="heartbeat", agent_type="Dummy")


def take(machine: Crmd, sender: str, message: object) -> list[Effect]:
    return machine.step(Received(Local(sender), message), machine.context.now)  # type: ignore[arg-type]


def leases(effects: list[Effect]) -> list[int]:
    return [e.message.until for e in effects if isinstance(e, Send) and isinstance(e.message, RenewLease)]


def result(operation: str, rc: int = 0, call_id: int = 1) -> OperationResult:
    return OperationResult(resource=WEB, operation=operation, interval_ms=0, call_id=call_id, rc=rc, status="done",
                           last_rc_change_s=1, user_data="x", exec_ms=1, queue_ms=0)  # fmt: skip


def armed(*members: str, wait_ms: int = -1) -> tuple[Crmd, list[Effect]]:
    machine = crmd()
    view(machine, *members)
    effects = take(machine, "rmd", WatchdogArmed(timeout_ms=TIMEOUT_MS))
    assert sent(effects, GetSelfFencing)
    return machine, take(machine, "stonithd", SelfFencing(wait_ms=wait_ms))


def later(machine: Crmd, event: Event | None = None) -> list[Effect]:
    return machine.step(event or Fired("lease/renew"), machine.context.now + RENEW_MS)


def test_a_quorate_member_renews_at_once_and_then_again() -> None:
    machine, effects = armed("n1", "n2")
    now = machine.context.now
    assert leases(effects) == [now + LEASE_MS]
    assert leases(later(machine)) == [now + RENEW_MS + LEASE_MS]


@pytest.mark.parametrize("wait_ms", [0, 15_999])
def test_there_is_none_where_peers_do_not_wait_long_enough(wait_ms: int) -> None:
    _, effects = armed("n1", "n2", wait_ms=wait_ms)
    assert leases(effects) == [] and sent(effects, ReleaseLease)
    assert ("set it to 16000 ms or more" in notes(effects)) is (wait_ms > 0)


def test_one_that_is_switched_off_is_given_back() -> None:
    machine, _ = armed("n1", "n2")
    assert sent(take(machine, "stonithd", SelfFencing(wait_ms=0)), ReleaseLease)
    assert leases(later(machine)) == []


@pytest.mark.parametrize("doubt", ["in doubt", "ccm is gone", "ccm is back and silent", "no quorum", "evicted"])
def test_who_may_be_cut_off_renews_nothing(doubt: str) -> None:
    machine, _ = armed("n1", "n2")
    match doubt:
        case "in doubt":
            take(machine, "ccm", MembershipEvent(event="NOT_PRIMARY", view=None))
        case "ccm is gone":
            machine.step(Lost(Local("ccm")), machine.context.now)
        case "ccm is back and silent":
            machine.step(Lost(Local("ccm")), machine.context.now)
            machine.step(Connected(Local("ccm")), machine.context.now)
        case "no quorum":
            view(machine, "n1", instance=2)
        case _:
            take(machine, "ccm", MembershipEvent(event="EVICTED", view=None))
    effects = later(machine)
    assert leases(effects) == [] and sent(effects, GetHistory)
    assert leases(take(machine, "lrmd", History(results=[result("start")], running=[]))) == []


ACTIVE = History(results=[result("start")], running=[])
STARTING = History(results=[], running=[RunOperation(
    resource=WEB, operation="start", interval_ms=0, timeout_ms=1, parameters={}, user_data="y")])  # fmt: skip
STOPPED = History(results=[result("start"), result("stop", call_id=2)], running=[])
STOP_FAILED = History(results=[result("start"), result("stop", rc=1, call_id=2)], running=[])


EMPTY = History(results=[], running=[])


@pytest.mark.parametrize(
    ("history", "idle"), [(ACTIVE, False), (STARTING, False), (STOP_FAILED, False), (STOPPED, True), (EMPTY, True)]
)
def test_without_quorum_it_is_renewed_when_nothing_is_active(history: History, idle: bool) -> None:
    machine, effects = armed("n1")
    asked_at = machine.context.now
    assert leases(effects) == []
    machine.step(Fired("orders/report"), asked_at + 700)
    assert leases(take(machine, "lrmd", history)) == ([asked_at + LEASE_MS] if idle else [])


def test_what_the_lrm_said_unasked_or_to_others_renews_nothing() -> None:
    machine, _ = armed("n1", "n2")
    assert leases(take(machine, "lrmd", STOPPED)) == []


def test_an_lrm_that_is_gone_is_asked_anew() -> None:
    machine, _ = armed("n1")
    machine.step(Lost(Local("lrmd")), machine.context.now)
    assert not sent(later(machine), GetHistory)
    machine.step(Connected(Local("lrmd")), machine.context.now)
    assert sent(later(machine), GetHistory)


def test_a_new_crmd_gives_back_what_nobody_counts_on_any_more() -> None:
    machine = crmd()
    take(machine, "rmd", WatchdogArmed(timeout_ms=TIMEOUT_MS))
    assert sent(take(machine, "stonithd", SelfFencing(wait_ms=0)), ReleaseLease)


def test_who_leaves_in_order_gives_it_back() -> None:
    machine, _ = armed("n1", "n2")
    machine.shutdown.leave("test")
    assert sent(machine.context.out, ReleaseLease)
    machine, _ = armed("n1", "n2")
    machine.shutdown.leave("resources are still here", nothing_runs=False)
    assert not sent(machine.context.out, ReleaseLease)


@given(deadtime_ms=st.integers(50, 60_000), timeout_ms=st.integers(1_000, 600_000), tie_ms=st.integers(0, 60_000))
def test_the_reset_comes_before_peers_may_start(deadtime_ms: int, timeout_ms: int, tie_ms: int) -> None:
    """The course of docs/timing.md, at its worst: times after the last packet that peers have heard."""
    missed = deadtime_ms
    knows = 2 * deadtime_ms + tie_ms + 1_500
    reset = knows + LEASE_MS + timeout_ms
    assert missed + least_wait_ms(deadtime_ms, timeout_ms, tie_ms) == reset + MARGIN_MS


@pytest.mark.parametrize(("option", "wait"), [(0, 0), (-1, 20_000), (-5_000, 20_000), (7, 7)])
def test_the_option_as_pacemaker_means_it(option: int, wait: int) -> None:
    assert wait_of(option, TIMEOUT_MS) == wait


@pytest.mark.parametrize("nothing_runs", [True, False])
def test_who_has_left_renews_nothing_for_a_new_rmd(nothing_runs: bool) -> None:
    machine, _ = armed("n1", "n2")
    machine.shutdown.leave("test", nothing_runs=nothing_runs)
    effects = take(machine, "rmd", WatchdogArmed(timeout_ms=TIMEOUT_MS))
    assert leases(effects) == [] and bool(sent(effects, ReleaseLease)) is nothing_runs
