# SPDX-License-Identifier: GPL-2.0-or-later
"""What matters of a log for the account of an incident: one Event for each line that tells of one.

The forms are those of the modules' own notes: `ha.crm.core.timeline`, `ha.ccm.core.agreement`, stonithd, lrmd,
heartbeat, rmd and apphbd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ha.cli.timeline.log_lines import LogLine

Kind: TypeAlias = Literal[
    "worker", "silent", "in-doubt", "loss-seen", "proposed", "view-agreed", "dc", "decided", "fencing", "fenced",
    "not-fenced", "stopped", "start-ordered", "started", "failed", "done",
]  # fmt: skip
CAUSAL_RANK: dict[Kind, int] = {
    "worker": 0, "silent": 1, "in-doubt": 2, "loss-seen": 3, "failed": 3, "proposed": 4, "view-agreed": 5, "dc": 6,
    "decided": 7, "fencing": 8, "fenced": 9, "not-fenced": 9, "stopped": 10, "start-ordered": 11, "started": 12,
    "done": 13,
}  # fmt: skip
"""The order of events that no clock and no cause tells apart."""

MAX_DOUBT_MS = 600_000
"""A loss may be told so long after it was first seen; a time further back is not believed."""


@dataclass(frozen=True, slots=True)
class Event:
    """`subject` names what it is about: events of one kind and subject are one event, told by several processes.

    `form` is which note told it, `serial` the place among the lines of its process.
    """

    at_ms: int
    node: str
    module: str
    pid: int
    kind: Kind
    subject: tuple[str, ...]
    detail: str
    form: str
    serial: int
    is_retold: bool = False
    """It was seen earlier than it was written: its place in the process's lines says nothing."""

    @property
    def process(self) -> tuple[str, str, int]:
        return self.node, self.module, self.pid


@dataclass(frozen=True, slots=True)
class _Form:
    """How a module tells of something. `subject` takes the match and the node that tells."""

    name: str
    modules: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: Kind
    subject: Callable[[re.Match[str], str], tuple[str, ...]]


def _groups(match: re.Match[str], node: str) -> tuple[str, ...]:
    return tuple(part or "" for part in match.groups())


def _on_this_node(match: re.Match[str], node: str) -> tuple[str, ...]:
    return match[1], node


def _form(name: str, module: str, pattern: str, kind: Kind,
          subject: Callable[[re.Match[str], str], tuple[str, ...]] = _groups) -> _Form:  # fmt: skip
    return _Form(name, tuple(module.split("|")), re.compile(pattern), kind, subject)


_TIMELINE = re.compile(r"timeline ([a-z-]{1,20}) (\d{1,15}): (.*)")
_READY = re.compile(r"(\S+) \(pid (\d{1,10})\) ready after \d+ ms")
_FORMS = (
    _form("silent", "heartbeat", r"node (\S+): \S+ => dead(?:: .*)?", "silent"),
    _form("doubt", "ccm", r"view (\d+) is in doubt: .*", "in-doubt"),
    _form("proposed", "ccm", r"view (\d+) proposed: .*", "proposed"),
    _form("view", "ccm", r"(?:no view|view \d+ \(.*?\)) => view (\d+) \(.*", "view-agreed"),
    _form("evicted", "ccm", r"member => (evicted): .*", "in-doubt", _on_this_node),
    _form("down", "ccm", r"node (\S+) is down: fencing confirmed", "fenced"),
    _form("dc", "crmd", r"state \S+ => S_INTEGRATION: DC of view (\d+)", "dc", _on_this_node),
    _form("is-fenced", "crmd", r"(\S+) is fenced: .*", "fenced"),
    _form("not-fenced", "crmd", r"fencing (\S+) failed: .*", "not-fenced"),
    _form("asked", "stonithd", r"\w+ of (\S+) is asked for by .*", "fencing"),
    _form("confirmed", "stonithd", r"\w+ of (\S+) confirmed by .*", "fenced"),
    _form("stopped", "lrmd", r"(?:stop|demote) of (\S+): done, rc 0, \d+ ms", "stopped", _on_this_node),
    _form("started", "lrmd", r"(?:start|promote) of (\S+): done, rc [08], \d+ ms", "started", _on_this_node),
    _form("failed", "lrmd", r"(?:start|promote|stop|demote) of (\S+): .*, rc -?\d+, \d+ ms", "failed", _on_this_node),
)
_OF_TIMELINE: dict[str, re.Pattern[str]] = {
    "loss-seen": re.compile(r"([^(]+?)(?: \(.*)?"),
    "view-agreed": re.compile(r"(\d+): .*"),
    "fencing": re.compile(r"\w+ (\S+)"),
    "fenced": re.compile(r"\w+ (\S+) .*"),
    "decided": re.compile(r"(generation \d+) .*"),
    "start-ordered": re.compile(r"(\S+) on (\S+)"),
    "started": re.compile(r"(\S+) on (\S+)"),
    "done": re.compile(r"(.*)"),
}
"""Phases of the crmd, with how their detail names the subject."""


def recognise(lines: Iterable[LogLine]) -> list[Event]:
    """The events of one log, in its order."""
    found = []
    workers: dict[tuple[str, int, str], str] = {}
    for serial, line in enumerate(lines):
        event = _of_crmd(line, serial) or _of_supervisor(line, serial, workers) or _of_form(line, serial)
        if event is not None:
            found.append(event)
    return found


def _event(line: LogLine, serial: int, kind: Kind, subject: tuple[str, ...], form: str) -> Event:
    return Event(line.at_ms, line.node, line.module, line.pid, kind, subject, line.text, form, serial)


def _of_crmd(line: LogLine, serial: int) -> Event | None:
    if line.module != "crmd" or (match := _TIMELINE.fullmatch(line.text)) is None:
        return None
    what, at_ms, detail = match[1], int(match[2]), match[3]
    pattern = _OF_TIMELINE.get(what)
    of = None if pattern is None else pattern.fullmatch(detail)
    if of is None:
        return None
    believed = -1000 <= line.at_ms - at_ms <= MAX_DOUBT_MS
    return Event(
        at_ms=at_ms if believed else line.at_ms,
        node=line.node, module=line.module, pid=line.pid,
        kind=what,  # type: ignore[arg-type]  # a key of _OF_TIMELINE
        subject=_groups(of, line.node), detail=detail, form="timeline", serial=serial,
        is_retold=what == "loss-seen",
    )  # fmt: skip


def _of_supervisor(line: LogLine, serial: int, workers: dict[tuple[str, int, str], str]) -> Event | None:
    """A worker that is replaced, and what rmd and apphbd complain of."""
    if line.module not in ("rmd", "apphbd"):
        return None
    if line.level in ("warning", "error", "critical"):
        return _event(line, serial, "worker", (line.node, line.text), "supervisor")
    ready = _READY.fullmatch(line.text)
    if ready is None or line.module != "rmd":
        return None
    place = (line.node, line.pid, ready[1])
    before, workers[place] = workers.get(place), ready[2]
    # PE and TE come and go with the DC's office.
    if before is None or before == ready[2] or ready[1] in ("pengine", "tengine"):
        return None
    return _event(line, serial, "worker", (line.node, ready[1], ready[2]), "replaced")


def _of_form(line: LogLine, serial: int) -> Event | None:
    for form in _FORMS:
        if line.module in form.modules and (match := form.pattern.fullmatch(line.text)):
            event = _event(line, serial, form.kind, form.subject(match, line.node), form.name)
            if line.module == "lrmd":  # which says no node, being there
                detail = line.text.replace(f" of {match[1]}:", f" of {match[1]} on {line.node}:", 1)
                event = replace(event, detail=detail)
            return event
    return None
