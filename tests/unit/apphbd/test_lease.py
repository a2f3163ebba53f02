# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's lease on the watchdog: no pet without it, and no reset of a node that still has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.core import build
from ha.apphbd.io import lease_file
from ha.apphbd.model import End
from ha.apphbd.msg import LEASE_MS, Beat, Expect, Lease, LeaseLapsed, ShuttingDown, Watchdog
from ha.machine import (
    Arm,
    Disarm,
    Effect,
    Event,
    Execute,
    Fired,
    Local,
    Note,
    Received,
    Send,
    Started,
    Stopping,
    Tickle,
)
from ha.root import Root

RMD = Local("rmd")
TIMEOUT_MS = 5_000
INTERVAL_MS = 1_000


class Node:
    """apphbd's core, its timers, an rmd that beats, and a device that resets `TIMEOUT_MS` after the last pet."""

    def __init__(self, lease_until: int | None = None, now: int = 0) -> None:
        self.now = now
        self.timers: dict[str, int] = {}
        self.pets: list[int] = []
        self.heard: list[Effect] = []
        self.machine = build(
            rmd_pid=100, watchdog_interval_ms=INTERVAL_MS, watchdog_timeout_ms=TIMEOUT_MS, lease_until=lease_until
        )
        self.step(Started("i", 1, {}))
        self.rmd_beats()

    def step(self, event: Event) -> None:
        for effect in self.machine.step(event, self.now):
            match effect:
                case Arm(timer, deadline):
                    self.timers[timer] = deadline
                case Disarm(timer):
                    self.timers.pop(timer, None)
                case Tickle():
                    self.pets.append(self.now)
                case _:
                    self.heard.append(effect)

    def run_to(self, now: int) -> None:
        while (due := sorted((at, name) for name, at in self.timers.items() if at <= now)) != []:
            at, name = due[0]
            self.now = max(self.now, at)
            del self.timers[name]
            self.step(Fired(name))
        self.now = now
        self.rmd_beats()

    def rmd_beats(self) -> None:
        self.step(Received(RMD, Beat(module="rmd", pid=100, interval_ms=500, warntime_ms=900_000, deadline_ms=900_000)))

    def lease(self, until: int | None) -> None:
        self.step(Received(RMD, Lease(until=until)))

    def said(self, kind: type) -> list[Effect]:
        return [e for e in self.heard if isinstance(e, Send) and isinstance(e.message, kind)]

    @property
    def notes(self) -> str:
        return "\n".join(e.text for e in self.heard if isinstance(e, Note))


def test_rmd_is_told_what_watchdog_there_is() -> None:
    assert Node().said(Watchdog) == [Send(RMD, Watchdog(timeout_ms=TIMEOUT_MS))]


def test_without_a_lease_in_force_it_is_petted_for_ever() -> None:
    node = Node()
    node.run_to(60_000)
    assert len(node.pets) == 61


def test_a_lease_that_runs_out_ends_the_petting_and_rmd_is_the_second_line() -> None:
    node = Node()
    node.lease(2_500)
    node.run_to(2_500 + TIMEOUT_MS - 1)
    assert node.pets == [0, 1_000, 2_000]
    assert "resets this node within 5000 ms" in node.notes and node.said(LeaseLapsed) == []
    node.run_to(20_000)
    assert node.said(LeaseLapsed) == [Send(RMD, LeaseLapsed(late_ms=TIMEOUT_MS))]
    node.lease(22_000)
    node.run_to(25_000)
    assert node.pets[-1] == 2_000, "what has lapsed is not petted again"


def test_one_that_is_renewed_in_time_is_petted_at_once() -> None:
    node = Node()
    node.lease(2_500)
    node.run_to(6_900)
    node.lease(8_000)
    assert node.pets[-1] == 6_900 and "petted again" in node.notes
    node.run_to(9_500)
    assert node.pets[-1] == 7_000


def test_one_that_is_given_back_is_needed_no_more() -> None:
    node = Node()
    node.lease(2_500)
    node.run_to(4_000)
    node.lease(None)
    node.run_to(30_000)
    assert node.pets[-1] == 30_000 and node.said(LeaseLapsed) == []


def test_no_lease_is_longer_than_the_longest() -> None:
    node = Node()
    node.lease(1_000_000)
    node.run_to(20_000)
    assert node.pets[-1] < LEASE_MS


def test_a_new_apphbd_goes_on_with_what_is_left() -> None:
    node = Node(lease_until=900, now=1_000)
    node.run_to(4_000)
    assert node.pets == []
    node.lease(6_000)
    assert node.pets == [4_000]


@pytest.mark.parametrize("with_the_node", [False, True])
@pytest.mark.parametrize(("until", "armed"), [(None, False), (2_500, True)])
def test_the_device_is_closed_in_order_only_without_a_lease(
    until: int | None, armed: bool, with_the_node: bool
) -> None:
    node = Node()
    node.lease(until)
    if with_the_node:
        node.step(Received(RMD, ShuttingDown()))
    node.step(Stopping())
    assert any(isinstance(e, Execute) and isinstance(e.request, End) for e in node.heard) is armed


def test_without_a_device_a_lease_changes_nothing() -> None:
    machine = build(rmd_pid=None)
    machine.step(Started("i", 1, {}), 0)
    machine.step(Received(RMD, Expect(module="crmd", pid=7, deadline_ms=0)), 1)
    assert machine.step(Received(RMD, Lease(until=5)), 2) == []


COURSE = st.tuples(st.integers(1, 3_000), st.sampled_from(["renew", "short", "nothing", "apphbd dies"]))


@given(st.lists(COURSE, max_size=40))
def test_no_pet_after_the_last_lease_and_none_missing_within_it(course: list[tuple[int, str]]) -> None:
    """Whatever comes in between: every pet stands before the end of the newest lease; and within leases no gap between
    two pets is longer than the interval."""
    node, until = Node(), LEASE_MS
    node.lease(until)
    for wait_ms, what in course:
        before = node.now
        node.run_to(node.now + wait_ms)
        alive = before + wait_ms < until + TIMEOUT_MS  # else the node is no more
        assert all(pet < until for pet in node.pets if pet > before)
        if node.now < until:
            assert node.now - node.pets[-1] <= INTERVAL_MS
        if not alive:
            return
        if what == "apphbd dies":
            pets = node.pets
            node = Node(lease_until=until, now=node.now)
            node.pets = [*pets, *node.pets]
        elif what in ("renew", "short"):
            until = node.now + (LEASE_MS if what == "renew" else 300)
            node.lease(until)


def test_the_file_keeps_it_for_successors(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    root.run_dir.mkdir(parents=True)
    assert lease_file.load(root) is None
    lease_file.keep(root, 4_711)
    assert lease_file.load(root) == 4_711
    for garbage in (b"", b"x", b"a b c", b"boot -5", b"\xff\xfe x", b"boot " + b"9" * 300):
        lease_file.path(root).write_bytes(garbage)
        with pytest.raises(lease_file.LeaseFileError):
            lease_file.load(root)
    lease_file.path(root).write_bytes(b"another-boot 5\n")
    assert lease_file.load(root) is None, "a reboot outlives no lease"
    lease_file.keep(root, None)
    lease_file.keep(root, None)
    assert lease_file.load(root) is None
