# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha timeline` on logs of real nodes: n1 lost its power, was fenced, and its service started on n3."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ha.cli.ha import main
from ha.cli.timeline.causality import in_order
from ha.cli.timeline.events import MAX_DOUBT_MS, recognise
from ha.cli.timeline.incidents import Incident, incidents_in, phases_of
from ha.cli.timeline.log_lines import MAX_LINE_BYTES, LogLine, parse, read_log
from ha.logd.model import json_line, stamp, text_line
from ha.logd.msg import Record

LOGS = Path(__file__).parent / "node_loss_logs"
STORY = [
    "silent", "in-doubt", "loss-seen", "proposed", "view-agreed", "dc", "decided", "fencing", "start-ordered",
    "stopped", "fenced", "start-ordered", "started", "started", "done",
]  # fmt: skip


def lines_of(*nodes: str) -> list[LogLine]:
    return [line for node in nodes for line in read_log(LOGS / f"{node}.log").lines]


def the_only(lines: Iterable[LogLine]) -> Incident:
    (incident,) = incidents_in(lines)
    return incident


def slowed(lines: Iterable[LogLine], ms: int) -> list[LogLine]:
    """As if the node's clock were behind."""
    found = []
    for line in lines:
        text = line.text
        if text.startswith("timeline "):
            words = text.split(" ", 3)
            text = " ".join([*words[:2], f"{int(words[2][:-1]) - ms}:", words[3]])
        found.append(LogLine(line.at_ms - ms, line.node, line.module, line.pid, line.level, text))
    return found


def run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["timeline", "--root", str(root), *words])


# The account ---------------------------------------------------------------------------------------------------------


def test_the_story_is_told_once_in_order() -> None:
    incident = the_only(lines_of("n1", "n2", "n3"))
    assert [entry.kind for entry in incident.entries] == STORY
    assert incident.lost == ["n1"]
    assert incident.skews == []
    by_kind = {entry.kind: entry for entry in incident.entries}
    assert by_kind["silent"].nodes == ["n2", "n3"]
    assert by_kind["fenced"].nodes == ["n2", "n3"]
    assert {event.module for event in by_kind["fenced"].events} == {"crmd", "ccm", "stonithd"}


def test_phases_are_measured_by_the_dc_alone() -> None:
    phases = phases_of(the_only(lines_of("n3", "n1", "n2")).events())
    assert phases is not None
    assert phases.node == "n2"
    assert phases.since_loss_ms() == {
        "loss-seen": 0, "view-agreed": 57, "decided": 247, "fencing": 289, "fenced": 603, "start-ordered": 608,
        "started": 778, "done": 794,
    }  # fmt: skip


def test_one_log_alone_tells_what_its_node_knows() -> None:
    incident = the_only(lines_of("n3"))
    assert [entry.kind for entry in incident.entries] == [
        "silent", "in-doubt", "loss-seen", "view-agreed", "fenced", "started",
    ]  # fmt: skip
    phases = phases_of(incident.events())
    assert phases is not None
    assert phases.since_loss_ms() == {"loss-seen": 0, "view-agreed": 91}
    assert incidents_in(lines_of("n1")) == []


def test_the_same_log_twice_says_no_more() -> None:
    once = the_only(lines_of("n2", "n3"))
    twice = the_only(lines_of("n2", "n3", "n2", "n3"))
    assert [entry.events for entry in twice.entries] == [entry.events for entry in once.entries]


@pytest.mark.parametrize("ms", [-7_000, -900, 900, 7_000])
def test_causes_come_first_whatever_the_clocks_say(ms: int) -> None:
    incident = the_only([*lines_of("n1", "n2"), *slowed(lines_of("n3"), ms)])
    place = {(entry.kind, entry.first.subject): n for n, entry in enumerate(incident.entries)}
    assert place["start-ordered", ("guarded", "n3")] < place["started", ("guarded", "n3")]
    assert place["fencing", ("n1",)] < place["fenced", ("n1",)] < place["start-ordered", ("guarded", "n3")]
    assert place["proposed", ("2",)] < place["view-agreed", ("2",)]
    assert place["started", ("guarded", "n3")] < place["done", ("transition 1 is complete",)]
    assert incident.skews
    for skew in incident.skews:
        assert (skew.slow if ms > 0 else skew.fast) == "n3"
        assert 0.6 * abs(ms) <= skew.ms <= abs(ms), "a part of it hides behind what really took time"


def test_a_second_loss_is_an_incident_of_its_own() -> None:
    later = slowed(lines_of("n1", "n2", "n3"), -3_600_000)
    first, second = incidents_in([*lines_of("n1", "n2", "n3"), *later])
    assert [entry.kind for entry in first.entries] == [entry.kind for entry in second.entries] == STORY


def test_a_recovery_that_follows_at_once_is_an_incident_of_its_own() -> None:
    lines = lines_of("n2")
    again = [line for line in slowed(lines, -2_000) if line.text.startswith("timeline")]
    assert len(incidents_in([*lines, *again])) == 2


def test_a_restart_on_the_same_node_is_not_mixed_up_with_the_start_before() -> None:
    """The start that nobody lost anything for is 25 s older, and of the same resource on the same node."""
    notes = [
        (0, "lrmd", "start of a: done, rc 0, 40 ms"),
        (25_000, "crmd", "timeline loss-seen {}: a monitor on n1 gave rc 7, done"),
        (25_100, "crmd", "timeline start-ordered {}: a on n1"),
        (25_300, "crmd", "timeline started {}: a on n1"),
        (25_304, "lrmd", "start of a: done, rc 0, 41 ms"),
        (25_400, "crmd", "timeline done {}: transition 17 is complete"),
    ]
    began = 1_795_824_000_000
    incident = the_only(LogLine(began + ms, "n1", module, 7, "info", text.format(began + ms))
                        for ms, module, text in notes)  # fmt: skip
    assert [entry.kind for entry in incident.entries] == ["loss-seen", "start-ordered", "started", "done"]
    phases = phases_of(incident.events())
    assert phases is not None
    assert phases.since_loss_ms()["started"] == 300


def test_a_worker_that_was_replaced_is_told() -> None:
    notes = ["crmd (pid 10) ready after 17 ms", "pengine (pid 11) ready after 17 ms", "crmd (pid 12) ready after 9 ms",
             "pengine (pid 13) ready after 17 ms"]  # fmt: skip
    incident = the_only(LogLine(1000 + n, "n1", "rmd", 1, "info", note) for n, note in enumerate(notes))
    assert [(entry.kind, entry.detail) for entry in incident.entries] == [("worker", "crmd (pid 12) ready after 9 ms")]


def test_a_time_that_cannot_be_is_not_believed() -> None:
    told = LogLine(2 * MAX_DOUBT_MS, "n1", "crmd", 1, "notice", "timeline loss-seen 7: n2")
    (event,) = recognise([told])
    assert event.at_ms == told.at_ms
    assert event.is_retold


def test_words_of_another_module_are_no_phase() -> None:
    assert recognise([LogLine(1, "n1", "lrmd", 1, "notice", "timeline loss-seen 1: n2")]) == []


# Reading -------------------------------------------------------------------------------------------------------------


def test_both_forms_of_the_log_are_read() -> None:
    record = Record(at_ms=1_795_809_997_885, boot_ms=5, module="crmd", node="n2", pid=7, level="notice", text="a: b")
    expected = LogLine(record.at_ms, "n2", "crmd", 7, "notice", "a: b")
    assert parse(text_line(record).encode()) == expected
    assert parse(json_line(record).encode()) == expected


GARBAGE = [
    b"heartbeat[1200]: 2026/11/23_19:00:00 info: Heartbeat generation: 1",
    b"2026-11-27T20:06:37.885Z n2 crmd[x]: notice: text",
    b"2026-13-27T20:06:37.885Z n2 crmd[1]: notice: no such month",
    b"@-62135596800001ms n2 crmd[1]: notice: text",
    b'{"time": "2026-11-27T20:06:37.885Z"}',
    b'{"time": "2026-11-27T20:06:37.885", "node": "a", "module": "b", "pid": 1, "level": "info", "text": "no zone"}',
    b"\xff\xfe\x00",
    b"{" * 200,
    b"2026-11-27T20:06:37.885Z n2 crmd[1]: notice: " + b"x" * MAX_LINE_BYTES,
]


@pytest.mark.parametrize("raw", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_no_line(raw: bytes) -> None:
    assert parse(raw) is None


def test_escape_sequences_of_a_foreign_log_do_not_reach_the_terminal() -> None:
    line = parse(b"2026-11-27T20:06:37.885Z n2 crmd[1]: notice: \x1b[2J")
    assert line is not None
    assert line.text == "\\x1b[2J"


def test_garbage_between_the_lines_changes_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    paths = []
    for node in ("n1", "n2", "n3"):
        raws = (LOGS / f"{node}.log").read_bytes().splitlines()
        for raw in [*GARBAGE, *(chance.randbytes(60).replace(b"\n", b"") for _ in range(50))]:
            raws.insert(chance.randrange(len(raws)), raw)
        path = tmp_path / f"{node}.log"
        path.write_bytes(b"\n".join(raws) + b"\n")
        paths.append(path)
    logs = [read_log(path) for path in paths]
    assert all(log.unreadable >= len(GARBAGE) for log in logs)
    incident = the_only(line for log in logs for line in log.lines)
    assert [entry.kind for entry in incident.entries] == STORY


def test_lines_that_contradict_each_other_are_told_all_the_same() -> None:
    """A forged log: each process says that the other's view was proposed before its own."""
    notes = [("n1", "view 2 (n1) => view 3 (n1) x", 3), ("n1", "view 4 proposed: n1", 4),
             ("n2", "view 2 (n1) => view 4 (n1) x", 1), ("n2", "view 3 proposed: n1", 2),
             ("n2", "view 9 is in doubt: n1 lost", 5)]  # fmt: skip
    events = recognise(LogLine(at_ms, node, "ccm", 1, "info", text) for node, text, at_ms in notes)
    ordered, _ = in_order(events)
    assert sorted(event.serial for event in ordered) == list(range(5))
    assert ordered.index(events[2]) < ordered.index(events[3]) < ordered.index(events[4]), "as n2 wrote them"


def test_of_a_large_log_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ha-log"
    path.write_bytes(b"".join(text_line(Record(at_ms=n, boot_ms=n, module="crmd", node="n1", pid=1, level="info",
                                               text=str(n))).encode() + b"\n" for n in range(1, 1000)))  # fmt: skip
    found = read_log(path, max_bytes=1000)
    assert found.is_cut
    assert found.unreadable == 0, "the half line at the cut is not counted"
    assert [line.text for line in found.lines] == [str(n) for n in range(1000 - len(found.lines), 1000)]


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "ha-log"
    path.write_bytes((LOGS / "n2.log").read_bytes()[:-5])
    assert read_log(path).unreadable == 0


# The command ---------------------------------------------------------------------------------------------------------


def three_logs() -> list[str]:
    return [word for node in ("n1", "n2", "n3") for word in ("--log", str(LOGS / f"{node}.log"))]


def test_people_are_told(short_path: Path) -> None:
    result = run(short_path, *three_logs())
    assert result.exit_code == 0
    assert result.output.startswith("2026-11-27T20:06:37.814Z  n1; recovered 794 ms after it was seen\n")
    assert "Phases of the recovery, by the clock of n2:" in result.output
    assert result.output.splitlines()[-1] == (
        "1 incident in the logs of n1, n2, n3, which begin at 2026-11-27T20:06:28.695Z"
    )


def test_programs_are_told(short_path: Path) -> None:
    document = json.loads(run(short_path, *three_logs(), "--output-as=json", "--last").output)
    (incident,) = document["incidents"]
    assert [event["what"] for event in incident["events"]] == STORY
    assert incident["phases"]["done"] == 794
    assert sorted(log["nodes"] for log in document["logs"]) == [["n1"], ["n2"], ["n3"]]


def test_this_nodes_own_log_is_read_where_ha_cf_puts_it_and_the_rotated_one_too(short_path: Path) -> None:
    (short_path / "etc/ha.d").mkdir(parents=True)
    (short_path / "etc/ha.d/ha.cf").write_text("logfile /var/log/mine\n")
    (short_path / "var/log").mkdir(parents=True)
    raws = (LOGS / "n2.log").read_bytes().splitlines(keepends=True)
    (short_path / "var/log/mine.1").write_bytes(b"".join(raws[:50]))
    (short_path / "var/log/mine").write_bytes(b"".join(raws[50:]))
    result = run(short_path)
    assert result.exit_code == 0
    assert "n1; recovered 794 ms" in result.output


def test_what_is_long_past_is_left_out(short_path: Path) -> None:
    assert stamp(0).startswith("1970")
    result = run(short_path, "--since", "1ms", *three_logs())
    assert result.output.startswith("No incident in the logs of n1, n2, n3")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 66, "this node has no ha-log"),
        (["--log", "/nonexistent"], 66, "/nonexistent: No such file"),
        (["--since", "yesterday", "--log", "/dev/null"], 64, "not a length of time"),
        (["--playground", "/nonexistent"], 66, "no playground"),
        (["--log", "/dev/null"] * 65, 64, "at most 64"),
    ],
)
def test_mistakes_are_named(short_path: Path, words: list[str], status: int, says: str) -> None:
    result = run(short_path, *words)
    assert result.exit_code == status
    assert says in result.output
