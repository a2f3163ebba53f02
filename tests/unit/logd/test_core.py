# SPDX-License-Identifier: GPL-2.0-or-later
"""logd's decisions: what is written where, what is dropped, what is said about it afterwards."""

from __future__ import annotations

import errno
import json

import pytest

from ha.logd.core import MAX_QUEUED_LINES, build
from ha.logd.model import Settings, Write, Written
from ha.logd.msg import GetLevels, Levels, Record, Reopen, SetLevel
from ha.machine import (
    Arm,
    Client,
    Effect,
    Execute,
    Finished,
    Fired,
    Level,
    Local,
    Machine,
    Received,
    Reply,
    Stopping,
    Wall,
)

PROGRAM = Client("ha", 1, 0)


def record(text: str, *, level: Level = "info", module: str = "cib", dropped: int = 0) -> Record:
    return Record(
        at_ms=1_700_000_000_123, boot_ms=5, module=module, node="n1", pid=7, level=level, text=text, dropped=dropped
    )


def machine(settings: Settings | None = None) -> Machine:
    built = build(node="n1", pid=99, settings=settings or Settings())
    built.step(Wall(1_700_000_000_000), 0)
    return built


def take(logd: Machine, *records: Record) -> list[Effect]:
    return [effect for one in records for effect in logd.step(Received(Local(one.module), one), 10)]


def written(effects: list[Effect]) -> list[tuple[str, str]]:
    """(target, line) of every Write among the effects."""
    requests = [effect.request for effect in effects if isinstance(effect, Execute)]
    return [(r.target, line) for r in requests if isinstance(r, Write) for line in r.lines]


def test_a_line_carries_time_node_module_pid_level_and_text() -> None:
    assert written(take(machine(), record("joined"))) == [
        ("log", "2023-11-14T22:13:20.123Z n1 cib[7]: info: joined"),
    ]


def test_debug_lines_go_to_the_debug_file_and_only_when_asked_for() -> None:
    logd = machine()
    assert written(take(logd, record("detail", level="debug"))) == []
    logd.step(Received(PROGRAM, SetLevel(module="cib", level="debug")), 10)
    assert [target for target, _ in written(take(logd, record("detail", level="debug")))] == ["debug"]
    assert written(take(logd, record("other", level="debug", module="crmd"))) == []


@pytest.mark.parametrize(
    ("threshold", "level", "appears"),
    [
        ("info", "info", True),
        ("warning", "notice", False),
        ("warning", "warning", True),
        ("critical", "error", False),
        ("critical", "critical", True),
    ],
)
def test_thresholds(threshold: Level, level: Level, appears: bool) -> None:
    logd = machine(Settings(level=threshold))
    assert bool(written(take(logd, record("x", level=level)))) is appears


def test_setting_the_level_of_all_replaces_those_of_single_modules() -> None:
    logd = machine()
    logd.step(Received(PROGRAM, SetLevel(module="cib", level="error")), 10)
    effects = logd.step(Received(PROGRAM, SetLevel(level="notice")), 10)
    assert Reply(PROGRAM, Levels(levels={"": "notice"}, dropped={})) in effects


def test_a_change_of_level_is_logged_as_old_and_new() -> None:
    lines = written(machine().step(Received(PROGRAM, SetLevel(module="cib", level="error")), 10))
    assert lines[0][1].endswith("logd[99]: notice: level of cib: info => error (ha, uid 0)")


def test_json_lines_can_be_read_back() -> None:
    [(_, line)] = written(take(machine(Settings(format="json")), record('a "quoted"\nthing')))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "node": "n1",
        "module": "cib",
        "pid": 7,
        "level": "info",
        "text": 'a "quoted"\nthing',
        "boot_ms": 5,
    }


def test_a_text_cannot_forge_a_second_line_or_reach_the_terminal() -> None:
    [(_, line)] = written(take(machine(), record("one\nNov 1 n1 cib: error: forged\x1b[2J")))
    assert "\n" not in line
    assert "\x1b" not in line
    assert "one\\n" in line


def test_an_endless_text_is_cut_and_says_so() -> None:
    [(_, line)] = written(take(machine(), record("x" * 100_000)))
    assert line.endswith("(100000 characters)")
    assert len(line) < 9_000


def test_syslog_gets_facility_and_severity() -> None:
    logd = machine(Settings(logfile="", facility="local3"))
    assert written(take(logd, record("bad", level="error"))) == [("syslog", "<155>ha-cib[7]: error: bad")]


def test_lines_that_come_during_a_write_are_the_next_batch() -> None:
    logd = machine()
    first = take(logd, record("1"), record("2"), record("3"))
    assert [line[-1] for _, line in written(first)] == ["1"]
    second = logd.step(Finished("log", Written()), 11)
    assert [line[-1] for _, line in written(second)] == ["2", "3"]
    assert written(logd.step(Finished("log", Written()), 12)) == []


def test_lines_a_worker_dropped_are_counted_and_told() -> None:
    logd = machine()
    effects = take(logd, record("after the flood", dropped=17))
    assert "17 lines of cib were dropped: its queue was full" in written(effects)[0][1]
    replies = logd.step(Received(PROGRAM, GetLevels()), 10)
    assert replies == [Reply(PROGRAM, Levels(levels={"": "info"}, dropped={"cib": 17}))]


def test_a_flood_is_bounded_counted_and_told() -> None:
    logd = machine()
    take(logd, *[record("x")] * (MAX_QUEUED_LINES + 6))
    effects = logd.step(Finished("log", Written()), 11)
    assert "5 lines were dropped" in written(effects)[0][1]


def test_a_full_disk_is_told_when_it_recovers_and_retried_meanwhile() -> None:
    logd = machine()
    full = OSError(errno.ENOSPC, "No space left on device")
    take(logd, record("lost 1"))
    assert Arm("log", 1011) in logd.step(Finished("log", full), 11)
    retry = logd.step(Fired("log"), 1011)
    assert len(written(retry)) == 1  # only the confession
    assert "1 lines were lost: No space left on device" in written(retry)[0][1]
    logd.step(Finished("log", full), 1012)
    again = take(logd, record("lost 2"))
    confession = "1 lines were lost: No space left on device"
    assert [line.split(": ", 2)[-1] for _, line in written(again)] == [confession, "lost 2"]
    logd.step(Finished("log", full), 1013)
    last = logd.step(Fired("log"), 2013)
    assert "2 lines were lost" in written(last)[0][1]
    logd.step(Finished("log", Written()), 2014)
    assert [line[-4:] for _, line in written(take(logd, record("fine")))] == ["fine"]


def test_one_target_in_trouble_does_not_hold_up_another() -> None:
    logd = machine(Settings(facility="daemon"))
    take(logd, record("1"))
    logd.step(Finished("log", OSError(errno.EIO, "I/O error")), 11)
    logd.step(Finished("syslog", Written()), 11)
    assert "syslog" in [target for target, _ in written(take(logd, record("2")))]


def test_reopen_is_carried_out_and_its_end_expected() -> None:
    logd = machine()
    [effect] = logd.step(Received(Local("logd"), Reopen()), 10)
    assert isinstance(effect, Execute)
    assert logd.step(Finished(effect.operation, Written()), 11) == []


def test_the_last_lines_are_written_behind_the_write_under_way() -> None:
    logd = machine()
    take(logd, record("1"), record("2"))
    assert [line[-1] for _, line in written(logd.step(Stopping(), 11))] == ["2"]
