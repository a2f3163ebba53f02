# SPDX-License-Identifier: GPL-2.0-or-later
"""When a recovery script is run: after the end of what failed, one at a time, throttled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.msg import ClientEvent
from ha.rmd.core.recoveries import (
    BUSY_RETRY_MS,
    KILL_TIMEOUT_MS,
    MAX_RUNNING,
    MAX_TRACKED,
    EndScript,
    KillProcess,
    Order,
    Recoveries,
    RunScript,
    Tell,
)
from ha.rmd.io.recoveries import RecoveryRunner, _uids_of, _why_not, environment_of
from ha.rmd.model.recoverymgrd import Account, RecoveryAction, RecoveryStanza

UID = 1000
ACCOUNT = Account("media", UID, UID, (UID,), "/home/media", "/bin/sh")

Event = Literal["HUP", "NOHB", "HBAGAIN"]


def action(**settings: Any) -> RecoveryAction:
    stanza = RecoveryStanza("r.conf:1", "media", "media", "/x/player", {"NOHB": "restart", "HUP": None}, **settings)
    return RecoveryAction(stanza, ACCOUNT, frozenset({UID, 0}), None)


def event(kind: Event = "NOHB", pid: int = 7, *, name: str = "player", instance: str = "one", uid: int = UID) -> Any:
    return ClientEvent(
        event=kind, module=f"{name}/{instance}", pid=pid, silent_ms=5, name=name, instance=instance, uid=uid, gid=UID
    )


class World:
    def __init__(self, *actions: RecoveryAction) -> None:
        self.core = Recoveries(actions or (action(),))
        self.now = 1_000_000
        self.orders: list[Order] = []

    def take(self, orders: list[Order]) -> list[Order]:
        self.orders += orders
        return [order for order in orders if not isinstance(order, Tell)]

    def hear(self, said: ClientEvent) -> list[Order]:
        return self.take(self.core.heard(said, self.now))

    def ended(self, instance: str = "one") -> list[Order]:
        return self.take(self.core.ended((0, instance), self.now))

    def finished(self, failure: str = "", instance: str = "one") -> list[Order]:
        return self.take(self.core.finished((0, instance), failure, self.now))

    def wait(self) -> list[Order]:
        """Until the next moment at which something is due."""
        assert self.core.due is not None
        self.now = max(self.now, self.core.due)
        return self.take(self.core.fired(self.now))

    def told(self) -> list[str]:
        return [order.text for order in self.orders if isinstance(order, Tell)]


def test_the_hung_is_killed_then_its_script_runs_and_its_own_hang_up_is_no_failure() -> None:
    world = World()
    assert world.hear(event("NOHB")) == [KillProcess((0, "one"), 7, UID)]
    assert world.hear(event("HUP")) == []
    [run] = world.ended()
    assert isinstance(run, RunScript) and run.event.event == "NOHB"
    assert world.finished() == [] and world.core.due is None


def test_a_hang_up_that_comes_after_the_script_has_ended_is_still_the_killed_ones() -> None:
    world = World()
    world.hear(event("NOHB"))
    world.ended()
    world.finished()
    assert world.hear(event("HUP")) == []
    assert world.hear(event("HUP", pid=8)) == [KillProcess((0, "one"), 8, UID)]


def test_kill_no_leaves_the_process_to_the_script() -> None:
    world = World(action(kill=False))
    [run] = world.hear(event("NOHB"))
    assert isinstance(run, RunScript)
    assert world.hear(event("HUP")) == [], "the script has ended it"


def test_what_does_not_end_is_not_started_again() -> None:
    world = World()
    world.hear(event())
    assert world.core.due == world.now + KILL_TIMEOUT_MS
    assert world.wait() == []
    assert "nothing is started in its place" in world.told()[-1]
    assert world.ended() == [], "it ends late: whoever freed it is there already"


def test_a_failure_during_a_run_is_answered_after_it() -> None:
    world = World(action(kill=False, interval_ms=1))
    world.hear(event(pid=7))
    assert world.hear(event("HUP", pid=8)) == [] == world.hear(event("NOHB", pid=9))
    world.now += 10
    [run] = world.finished("exit status 1")
    assert isinstance(run, RunScript) and run.event.pid == 9
    assert "player/one (pid 7): /x/player failed: exit status 1" in world.told()


def test_runs_are_throttled_by_interval_and_by_number_and_none_is_lost() -> None:
    world = World(action(kill=False, interval_ms=100, max_runs=3, period_ms=60_000))
    begins = []
    for pid in range(1, 6):
        orders = world.hear(event(pid=pid)) or world.wait()
        assert [type(order) for order in orders] == [RunScript]
        begins.append(world.now - 1_000_000)
        world.finished()
    assert begins == [0, 100, 200, 60_000, 60_100]
    assert sum("throttled" in text for text in world.told()) == 4


def test_a_script_that_runs_for_too_long_is_ended_and_only_then_the_next_one_runs() -> None:
    world = World(action(kill=False, timeout_ms=500))
    world.hear(event(pid=7))
    assert world.wait() == [EndScript((0, "one"))]
    assert world.now == 1_000_500 and world.hear(event(pid=8)) == []
    assert world.core.due is None
    world.finished("terminated by SIGKILL")
    [run] = world.wait()
    assert isinstance(run, RunScript) and run.event.pid == 8


def test_others_and_other_events_are_passed_over() -> None:
    world = World(action(instance="one"))
    for other in (
        event(name="other"), event(instance="two"), event(uid=UID + 1), event("HBAGAIN"),
        ClientEvent(event="HUP", module="player/one", pid=7, silent_ms=1),
    ):  # fmt: skip
        assert world.hear(other) == []
    assert world.orders == []


def test_instances_do_not_wait_for_each_other_up_to_a_bound() -> None:
    world = World(action(kill=False))
    started = [world.hear(event(instance=str(number))) for number in range(MAX_RUNNING + 1)]
    assert [len(orders) for orders in started] == [1] * MAX_RUNNING + [0]
    assert world.core.due == world.now + BUSY_RETRY_MS
    assert world.wait() == []
    world.finished(instance="0")
    assert len(world.wait()) == 1


def test_what_is_remembered_is_bounded_and_the_busy_are_not_forgotten() -> None:
    world = World(action())
    for number in range(MAX_TRACKED):
        assert len(world.hear(event(instance=str(number), pid=number + 1))) == 1
    assert world.hear(event(instance="one too many")) == []
    assert "is not recovered" in world.told()[-1]
    world.ended("3")
    world.finished(instance="3")
    assert len(world.hear(event(instance="one too many"))) == 1


@given(st.lists(st.tuples(st.sampled_from(["NOHB", "HUP", "HBAGAIN", "ended", "finished", "wait"]), st.integers(1, 3))))
def test_never_two_scripts_of_one_instance_and_never_one_beside_what_it_replaces(
    steps: list[tuple[str, int]],
) -> None:
    world = World(action(interval_ms=10, max_runs=2, period_ms=100_000, timeout_ms=50))
    running = killing = False
    for word, pid in steps:
        match word:
            case "ended":
                orders = world.ended() if killing else []
                killing = False
            case "finished":
                orders = world.finished() if running else []
                running = False
            case "wait":
                orders = world.wait() if world.core.due is not None else []
            case _:
                orders = world.hear(event(word, pid))  # type: ignore[arg-type]
        if word == "wait" and "does not end" in (world.told() or [""])[-1]:
            killing = False
        for order in orders:
            match order:
                case RunScript():
                    assert not running and not killing
                    running = True
                case KillProcess():
                    assert not running
                    killing = True
                case EndScript():
                    assert running


class StoppingNode:
    """As much of rmd as the runner asks."""

    accepts_starts = False

    def __init__(self) -> None:
        self.said: list[str] = []

    def now(self) -> int:
        return 1_000_000

    def info(self, text: str) -> None:
        self.said.append(text)


def test_a_node_that_stops_begins_nothing_and_does_not_turn_for_it() -> None:
    node = StoppingNode()
    runner = RecoveryRunner(node, [action()])  # type: ignore[arg-type]
    runner.heard(event())
    assert node.said == ["left undone, for the node stops: KillProcess one"]
    assert runner.due is None
    runner.turn()
    node.accepts_starts = True
    assert runner.due == 1_000_000 + KILL_TIMEOUT_MS


# What a script is given, and which is run at all ---------------------------------------------------------------------


def test_the_environment_is_what_stands_here_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/x/evil.so")
    found = environment_of(ACCOUNT, event())
    assert found["HA_APPLICATION"] == "player" and found["HA_EVENT"] == "APPHB_NOHB" and found["HOME"] == "/home/media"
    assert set(found) == {
        "PATH", "HOME", "LOGNAME", "USER", "SHELL", "LANG",
        "HA_APPLICATION", "HA_INSTANCE", "HA_PID", "HA_EVENT", "HA_SILENT_MS",
    }  # fmt: skip


def test_a_script_that_others_could_have_written_is_not_run(tmp_path: Path) -> None:
    me = Account("me", os.geteuid(), os.getegid(), (), "/", "/bin/sh")
    script = tmp_path / "player"
    assert _why_not(str(script), me) == "No such file or directory"
    assert _why_not(str(tmp_path), me) == "it is no file"
    script.touch(mode=0o755)
    assert _why_not(str(script), me) == ""
    script.chmod(0o757)
    assert _why_not(str(script), me) == "others may write to it"
    if os.geteuid() == 0:
        script.chmod(0o755)
        os.chown(script, 65_533, 0)
        assert _why_not(str(script), me) == "it belongs to uid 65533, neither root nor me"


def test_whose_a_process_is() -> None:
    assert _uids_of(os.getpid()) == {os.getuid(), os.geteuid()}
    assert _uids_of(2**22 + 1) == set()
