# SPDX-License-Identifier: GPL-2.0-or-later
"""An incident told for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from ha.cli.timeline.events import Kind
from ha.cli.timeline.incidents import Incident, Phases, phases_of
from ha.logd.model import stamp

DETAIL_CHARACTERS = 160
"""Of a longer detail people see the beginning; JSON has all of it."""

WORDS: dict[Kind, str] = {
    "worker": "worker", "silent": "not heard", "in-doubt": "view in doubt", "loss-seen": "loss seen",
    "proposed": "view proposed", "view-agreed": "view agreed", "dc": "leader found", "decided": "decided",
    "fencing": "fencing", "fenced": "fenced", "not-fenced": "FENCING FAILED", "stopped": "stopped",
    "start-ordered": "start ordered", "started": "started", "failed": "FAILED", "done": "done",
}  # fmt: skip


def told(incident: Incident) -> Iterator[str]:
    """Lines: a headline, the entries in the order of causes, the phases, and what makes them doubtful."""
    yield headline(incident)
    begins_ms = incident.begins_ms
    width = max(len(", ".join(entry.nodes)) for entry in incident.entries)
    for entry in incident.entries:
        nodes = ", ".join(entry.nodes)
        yield f"{entry.at_ms - begins_ms:>9} ms  {nodes:<{width}}  {WORDS[entry.kind]:<14}  {shortened(entry.detail)}"
    phases = phases_of(incident.events())
    if phases is not None:
        yield f"  Phases of the recovery, by the clock of {phases.node}:"
        yield from _phase_lines(phases)
    for skew in incident.skews:
        yield (
            f"  The clock of {skew.slow} is at least {skew.ms} ms behind that of {skew.fast}: what caused what is in "
            "order, times of different nodes do not compare (mend NTP)"
        )


def headline(incident: Incident) -> str:
    what = "; ".join(dict.fromkeys(incident.lost)) or incident.entries[0].detail
    phases = phases_of(incident.events())
    outcome = ""
    if phases is not None:
        since_ms = phases.since_loss_ms()
        outcome = f"; recovered {since_ms['done']} ms after it was seen" if "done" in since_ms else (
            "; these logs do not tell the end of the recovery")  # fmt: skip
    return f"{stamp(incident.begins_ms)}  {shortened(what)}{outcome}"


def _phase_lines(phases: Phases) -> Iterator[str]:
    before = 0
    for kind, since_ms in sorted(phases.since_loss_ms().items(), key=lambda item: item[1]):
        yield f"{since_ms:>9} ms  {WORDS[kind]:<14}  {f'+{since_ms - before} ms':>10}"
        before = since_ms


def shortened(text: str) -> str:
    return text if len(text) <= DETAIL_CHARACTERS else f"{text[:DETAIL_CHARACTERS]} ..."


def as_builtins(incident: Incident) -> dict[str, object]:
    """Times are Unix milliseconds, each by its node's clock; `phases` milliseconds since the loss was seen."""
    phases = phases_of(incident.events())
    return {
        "begins_ms": incident.begins_ms,
        "ends_ms": incident.ends_ms,
        "lost": incident.lost,
        "phases": {} if phases is None else dict(phases.since_loss_ms()),
        "phases_by": None if phases is None else phases.node,
        "clock_skews": [{"slow": skew.slow, "fast": skew.fast, "at_least_ms": skew.ms} for skew in incident.skews],
        "events": [
            {
                "at_ms": entry.at_ms,
                "what": entry.kind,
                "subject": list(entry.first.subject),
                "detail": entry.detail,
                "told_by": [
                    {"node": e.node, "module": e.module, "pid": e.pid, "at_ms": e.at_ms} for e in entry.events
                ],
            }
            for entry in incident.entries
        ],
    }
