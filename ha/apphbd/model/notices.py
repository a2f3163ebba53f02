# SPDX-License-Identifier: GPL-2.0-or-later
"""A datagram of the notify protocol, as systemd's services speak it: lines of `NAME=value`.

Understood are READY=1, WATCHDOG=1, WATCHDOG=trigger, WATCHDOG_USEC, STOPPING=1, STATUS and MAINPID. The protocol wants
every other assignment passed over: RELOADING, ERRNO, FDSTORE, BARRIER and whatever is invented later.

Source: sd_notify(3).
"""

from __future__ import annotations

from ha.apphbd.msg import Notice

MAX_NOTICE_BYTES = 4096
"""A longer datagram is refused. Source: NOTIFY_BUFFER_MAX of systemd is PIPE_BUF."""

MAX_STATUS_LENGTH = 255
"""Characters of STATUS that are kept."""

MIN_WATCHDOG_MS = 10
MAX_WATCHDOG_MS = 7 * 86_400_000
"""A longer interval is as good as none, and taken for a week."""

USEC_INFINITY = 2**64 - 1
MAX_PID = 2**22
"""PID_MAX_LIMIT of 64-bit Linux, proc(5)."""


class NoticeError(ValueError):
    """The datagram is no notice at all; the text says why."""


def parse(data: bytes, module: str, pid: int) -> tuple[Notice, list[str]]:
    """A notice of the program `module`, which rmd runs as `pid`; and what of it cannot be obeyed, as sentences.

    The last of several equal names counts. Raises NoticeError.
    """
    if len(data) > MAX_NOTICE_BYTES:
        raise NoticeError(f"longer than {MAX_NOTICE_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoticeError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    said: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            said[name] = value
        elif line:
            raise NoticeError(f"{line[:40]!r} is no assignment")
    wrong: list[str] = []
    watchdog_us = _number(said, "WATCHDOG_USEC", USEC_INFINITY, wrong)
    return Notice(
        module=module,
        pid=pid,
        ready=_is_one_of(said, "READY", ("1",), wrong) == "1",
        watchdog=_is_one_of(said, "WATCHDOG", ("1", "trigger"), wrong),
        stopping=_is_one_of(said, "STOPPING", ("1",), wrong) == "1",
        status=_status(said.get("STATUS")),
        watchdog_ms=None if watchdog_us is None else _watchdog_ms(watchdog_us, wrong),
        main_pid=_number(said, "MAINPID", MAX_PID, wrong) or None,
    ), wrong


def _is_one_of(said: dict[str, str], name: str, words: tuple[str, ...], wrong: list[str]) -> str:
    value = said.get(name, "")
    if value and value not in words:
        wrong.append(f"{name} is {' or '.join(words)}, not {value[:40]!r}")
        return ""
    return value


def _number(said: dict[str, str], name: str, high: int, wrong: list[str]) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > len(str(high)) or int(value) > high:
        wrong.append(f"{name} is a number up to {high}, not {value[:40]!r}")
        return None
    return int(value)


def _watchdog_ms(usec: int, wrong: list[str]) -> int | None:
    """0: watched no more."""
    if usec in (0, USEC_INFINITY):
        return 0
    if usec < MIN_WATCHDOG_MS * 1000:
        wrong.append(f"WATCHDOG_USEC {usec} is less than {MIN_WATCHDOG_MS} ms")
        return None
    return min(usec // 1000, MAX_WATCHDOG_MS)


def _status(text: str | None) -> str | None:
    """For a terminal: nothing in it may move the cursor."""
    if text is None:
        return None
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_STATUS_LENGTH])
