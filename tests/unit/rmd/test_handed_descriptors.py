# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker inherits from rmd: the descriptors it was handed, at their places, and no other."""

from __future__ import annotations

import fcntl
import os
import socket

import pytest

from ha.apphbd.io.beats import inherited_line
from ha.rmd.io.child import FIRST_HANDED, prepare_descriptors
from ha.rmd.io.pair import BeatLine
from ha.rmd.model import APPHBD
from ha.shell.beats import Beater, BeatTimes

MORE_THAN_A_NAMED_SOCKET_QUEUES = 100
"""net.unix.max_dgram_qlen is 10 where nobody has raised it."""

FAR_FROM_THE_HANDED = 100


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "crossed"])
def test_handed_descriptors_get_their_numbers_also_where_those_are_taken_by_each_other(order: tuple[int, int]) -> None:
    report_in, report_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(1, _in_the_fork(order, report_out))
        finally:
            os._exit(0)
    os.close(report_out)
    with os.fdopen(report_in, "rb") as report:
        assert report.read() == b"first second nothing"
    os.waitpid(pid, 0)


def _in_the_fork(order: tuple[int, int], report: int) -> bytes:
    files = [fcntl.fcntl(os.memfd_create(name), fcntl.F_DUPFD, FAR_FROM_THE_HANDED) for name in ("first", "second")]
    for file, name in zip(files, ("first", "second"), strict=True):
        os.write(file, name.encode())
    # "first" is at the number where it belongs only if they are handed in order.
    for file, number in zip(files, order, strict=True):
        os.dup2(file, FIRST_HANDED + number)
    null = fcntl.fcntl(os.open(os.devnull, os.O_RDWR), fcntl.F_DUPFD, FAR_FROM_THE_HANDED)
    report = fcntl.fcntl(report, fcntl.F_DUPFD, FAR_FROM_THE_HANDED)
    pipes = {"child_stdin": null, "child_stdout": report, "child_stderr": null}
    prepare_descriptors(pipes, redirect_stderr=False, handed=[FIRST_HANDED + number for number in order])
    said = [os.pread(FIRST_HANDED + number, 100, 0) for number in range(2)]
    os.closerange(FIRST_HANDED, FIRST_HANDED + 2)
    left = [number for number in range(FIRST_HANDED, 2 * FAR_FROM_THE_HANDED) if _is_open(number)]
    return b" ".join([*said, b"nothing" if not left else repr(left).encode()])


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_the_line_takes_the_beats_of_many_workers_while_apphbd_is_away_and_a_full_one_is_tried_again() -> None:
    line = BeatLine()
    with socket.socket(fileno=os.dup(line.end_of("cib"))) as end:
        beater = Beater("cib", end, BeatTimes())
        for _ in range(MORE_THAN_A_NAMED_SOCKET_QUEUES):
            beater.beat(0, 0, 0)
        assert beater.due == BeatTimes().interval_ms
        while beater.due == BeatTimes().interval_ms:
            beater.beat(0, 0, 0)
        waits = [beater.due]
        for _ in range(5):
            beater.beat(0, 0, 0)
            waits.append(beater.due)
        assert waits == [20, 40, 80, 160, 320, 330]
        line.drain()
        beater.beat(0, 0, 0)
        assert beater.due == BeatTimes().interval_ms
        with socket.socket(fileno=os.dup(line.end_of(APPHBD))) as heard:
            assert len(heard.recv(4096)) > 0
            with pytest.raises(BlockingIOError):
                heard.recv(4096)


def test_a_worker_takes_its_line_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no agent is told of a descriptor that it does not have."""
    made = BeatLine()
    monkeypatch.setenv("HA_BEATS", str(os.dup(made.end_of("cib"))))
    line = inherited_line()
    assert line is not None
    line.close()
    assert "HA_BEATS" not in os.environ
    assert inherited_line() is None
