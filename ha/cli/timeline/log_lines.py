# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of ha-log, as text or JSON (`ha.logd.model` writes them), read from the ends of files with named limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from ha.logd.model import printable
from ha.root import Root

MAX_LOG_BYTES = 32 * 1024 * 1024
"""Of a larger file only the last part is read."""
MAX_LINE_BYTES = 64 * 1024
"""A longer line is none of logd's, which cuts texts at 8,192 characters."""

_TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<node>\S{1,100}) "
    r"(?P<module>[^\s\[]{1,64})\[(?P<pid>\d{1,10})\]: (?P<level>debug|info|notice|warning|error|critical): (?P<text>.*)"
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """`at_ms` is Unix time by the clock of `node`. The text has no control characters."""

    at_ms: int
    node: str
    module: str
    pid: int
    level: str
    text: str


class _JsonLine(msgspec.Struct, frozen=True):
    time: str
    node: str
    module: str
    pid: int
    level: str
    text: str


@dataclass(slots=True)
class LogFile:
    """What was found in one file. `begins_ms` is the stamp of the first line that could be read, None without one."""

    path: Path
    lines: list[LogLine]
    unreadable: int = 0
    """Lines that are none of logd's."""
    is_cut: bool = False
    """The file is larger than was read."""

    @property
    def begins_ms(self) -> int | None:
        return min((line.at_ms for line in self.lines), default=None)


def parse(raw: bytes) -> LogLine | None:
    """One line without its end; None for what logd cannot have written."""
    if len(raw) > MAX_LINE_BYTES:
        return None
    try:
        if raw.startswith(b"{"):
            found = msgspec.json.decode(raw, type=_JsonLine)
            return LogLine(_unix_ms(found.time), printable(found.node), printable(found.module), found.pid,
                           printable(found.level), printable(found.text))  # fmt: skip
        match = _TEXT.fullmatch(raw.decode("utf-8"))
        if match is None:
            return None
        return LogLine(_unix_ms(match["time"]), printable(match["node"]), printable(match["module"]),
                       int(match["pid"]), match["level"], printable(match["text"]))  # fmt: skip
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None


def _unix_ms(stamp: str) -> int:
    """Raises ValueError for what is no time, or one without its zone."""
    moment = datetime.fromisoformat(stamp)
    if moment.tzinfo is None:
        raise ValueError(stamp)
    return round(moment.timestamp() * 1000)


def read_log(path: Path, *, containing: bytes = b"", max_bytes: int = MAX_LOG_BYTES) -> LogFile:
    """The lines of a log, those with `containing` only. Raises OSError when the file cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        is_cut = size > max_bytes
        file.seek(max(0, size - max_bytes))
        data = file.read(max_bytes)
    raws = data.split(b"\n")
    # The last one has no end yet: logd may still be writing it. The first of a part may be half a line.
    raws = raws[1 if is_cut else 0 : -1]
    found = LogFile(path, [], is_cut=is_cut)
    for raw in raws:
        if not raw or containing not in raw:
            continue
        line = parse(raw)
        if line is None:
            found.unreadable += 1
        else:
            found.lines.append(line)
    return found


def own_logs(root: Root) -> Iterator[Path]:
    """This node's log, where ha.cf and logd.cf put it; first the one that logrotate moved away last.

    Raises ha.logd.model.ConfigError.
    """
    from ha.logd.daemon import read_settings

    logfile = read_settings(root).logfile
    if not logfile:
        return
    path = root.path(logfile)
    for candidate in (path.with_name(path.name + ".1"), path):
        if candidate.exists():
            yield candidate
