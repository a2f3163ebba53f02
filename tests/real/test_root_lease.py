# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd's lease on the watchdog, with a real rmd and apphbd and a file for a device; the test plays the crmd."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ha.apphbd.io import lease_file
from ha.machine import Instant
from ha.rmd.msg import ReleaseLease, RenewLease, WatchdogArmed
from tests.real.lrm_node import WorkerLink
from tests.real.rmd_node import FAST_PAIR, Node
from tests.real.test_root_pair import BEATING, await_new_rmd
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

APPHBD_CF = "watchdog_interval_ms 20\nwatchdog_timeout_ms {timeout_ms}\n"
PETS = 5


def now() -> Instant:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@contextmanager
def node_with_a_watchdog(timeout_ms: int = 60_000) -> Iterator[tuple[Node, Path]]:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR, files={"apphbd.cf": APPHBD_CF.format(timeout_ms=timeout_ms)}) as node:
        device = node.root.path("/watchdog")
        device.touch()
        node.environment["HA_WATCHDOG"] = str(device)
        yield node.start(), device


def crmd_of(node: Node, timeout_ms: int = 60_000) -> WorkerLink:
    crmd = WorkerLink(node.root, "rmd", "crmd")
    assert crmd.receive(WatchdogArmed).timeout_ms == timeout_ms
    return crmd


def pets(device: Path) -> int:
    return device.read_bytes().count(b"1")


def await_pets(device: Path) -> None:
    before = pets(device)
    wait_for(lambda: pets(device) >= before + PETS, "it is petted")


def everything_logged(node: Node) -> str:
    return "".join(path.read_text() for path in node.root.log_dir.rglob("*") if path.is_file())


def await_end_of(node: Node, device: Path, until: Instant) -> int:
    """Until the lease has run out, and apphbd has said so. Returns the pets until then."""
    wait_for(lambda: now() > until and "lease has run out" in everything_logged(node), "the lease runs out")
    return pets(device)


def test_a_lease_that_is_not_renewed_ends_the_petting_also_by_those_who_come_after() -> None:
    with node_with_a_watchdog() as (node, device):
        crmd = crmd_of(node)
        await_pets(device)
        until = now() + 300
        crmd.send(RenewLease(until=until))
        wait_for(lambda: lease_file.load(node.root) == until, "rmd has it")
        before = await_end_of(node, device, until)
        former = node.pid("apphbd")
        os.kill(former, signal.SIGKILL)
        node.await_replacement("apphbd", former)
        rmd = node.rmd_pid
        assert rmd is not None
        os.kill(rmd, signal.SIGKILL)
        await_new_rmd(node, rmd)
        assert pets(device) == before, "nobody has forgotten that this node is to die"
        crmd.close()
        crmd = crmd_of(node)
        crmd.send(RenewLease(until=now() + 2_000))
        await_pets(device)
        crmd.send(ReleaseLease())
        wait_for(lambda: lease_file.load(node.root) is None, "it is given back")
        crmd.close()
        assert node.run("--stop").returncode == 0
        assert device.read_bytes().endswith(b"V")


def test_a_node_that_stops_with_its_lease_in_force_leaves_the_watchdog_running() -> None:
    with node_with_a_watchdog() as (node, device):
        crmd = crmd_of(node)
        until = now() + 2_000
        crmd.send(RenewLease(until=until))
        wait_for(lambda: lease_file.load(node.root) == until, "rmd has it")
        crmd.close()
        node.run("--stop")
        assert b"V" not in device.read_bytes()


def test_a_watchdog_that_does_not_act_has_rmd_for_its_second_line() -> None:
    with node_with_a_watchdog(timeout_ms=2_501) as (node, _):
        crmd = crmd_of(node, 2_501)
        crmd.send(RenewLease(until=now() + 100))
        assert node.process is not None
        assert node.process.wait(30) == 75
        assert "the watchdog has not acted" in node.log()
        crmd.close()
