# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading ha.cf: every line through the table of directives, then the checks that concern the whole file."""

from __future__ import annotations

from ha.heartbeat.model.directives import DIRECTIVES, Draft
from ha.heartbeat.model.ha_cf import MAX_HA_CF_BYTES, PROFILES, HaCf, HaCfError, Times

SAFE_INITDEAD_MS = 10_000  # below this a node that is slow to boot may be taken for dead


def parse(text: str, filename: str) -> HaCf:
    """The checked content of an ha.cf. Raises HaCfError with all mistakes, each with file and line."""
    if len(text) > MAX_HA_CF_BYTES:
        raise HaCfError((f"{filename}: longer than {MAX_HA_CF_BYTES} bytes",))
    draft = Draft()
    problems: list[str] = []
    warnings: list[str] = []
    lines: dict[str, int] = {}
    values: dict[str, str] = {}
    passive: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        name, where = words[0], f"{filename}:{number}"
        try:
            _read_line(draft, name, words[1:], lines)
        except ValueError as error:
            problems.append(f"{where}: {name}: {error}")
            continue
        lines[name] = number
        values[name] = f"{values[name]} {' '.join(words[1:])}" if name in values else " ".join(words[1:])
        passive += [(name, where)] if DIRECTIVES[name].acted_on is not True else []
    warnings += _passive(passive, has_crm=draft.settings.get("crm", "off") != "off")
    times = _times(draft)
    problems += _check_times(times, draft, filename, lines)
    problems += _check_whole(draft, filename, lines)
    if problems:
        raise HaCfError(tuple(problems))
    if times.initdead_ms < SAFE_INITDEAD_MS:
        warnings.append(
            f"{filename}:{lines['initdead']}: initdead under {SAFE_INITDEAD_MS // 1000} s: "
            "a node that is slow to boot may be taken for dead"
        )
    return HaCf(
        nodes=tuple(draft.nodes),
        media=tuple(draft.media),
        times=times,
        deadping_ms=draft.times.get("deadping_ms", times.deadtime_ms),
        apiauth=draft.apiauth,
        respawn=tuple(draft.respawn),
        stonith_hosts=tuple(draft.stonith_hosts),
        ping=tuple(draft.ping),
        environment=draft.environment,
        parameters=values,
        warnings=tuple(warnings),
        **draft.settings,
    )


def _passive(found: list[tuple[str, str]], has_crm: bool) -> list[str]:
    """Warnings of directives that have no effect, in a cluster with a CRM or in one without."""
    said = []
    for name, where in found:
        acted_on = DIRECTIVES[name].acted_on
        if acted_on is False or acted_on == ("off" if has_crm else "on"):
            why = "" if acted_on is False else f" {'with' if has_crm else 'without'} a CRM"
            said.append(f"{where}: {name} is understood but not acted on{why}")
    return said


def _read_line(draft: Draft, name: str, words: list[str], lines: dict[str, int]) -> None:
    directive = DIRECTIVES.get(name)
    if directive is None:
        raise ValueError("no such directive")
    if len(words) < directive.least or (directive.most is not None and len(words) > directive.most):
        raise ValueError(f"takes {_count(directive.least, directive.most)}, not {len(words)}")
    if directive.once and name in lines:
        raise ValueError(f"is given twice, first in line {lines[name]}")
    directive.read(draft, words)


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} word{'s'[: least > 1]}"
    return f"{least} word{'s'[: least > 1]}" if least == most else f"{least} to {most} words"


def _times(draft: Draft) -> Times:
    """What the file says, else what its profile says; warntime and initdead follow an explicit deadtime."""
    profile = PROFILES[draft.settings.get("profile", "default")]
    given = draft.times
    deadtime_ms = given.get("deadtime_ms", profile.deadtime_ms)
    warntime_ms = deadtime_ms // 2 if "deadtime_ms" in given else profile.warntime_ms
    return Times(
        keepalive_ms=given.get("keepalive_ms", profile.keepalive_ms),
        warntime_ms=given.get("warntime_ms", warntime_ms),
        deadtime_ms=deadtime_ms,
        initdead_ms=given.get("initdead_ms", max(profile.initdead_ms, deadtime_ms)),
    )


def _check_times(times: Times, draft: Draft, filename: str, lines: dict[str, int]) -> list[str]:
    def where(*names: str) -> str:
        """The last line of those that the file has."""
        return f"{filename}:{max(lines.get(name, 0) for name in names)}"

    problems = []
    if times.deadtime_ms <= 2 * times.keepalive_ms:
        problems.append(
            f"{where('deadtime', 'keepalive', 'profile')}: deadtime ({times.deadtime_ms} ms) must be more than twice "
            f"keepalive ({times.keepalive_ms} ms): set both"
        )
    if times.warntime_ms > times.deadtime_ms:
        problems.append(
            f"{where('warntime', 'deadtime')}: warntime ({times.warntime_ms} ms) must not exceed "
            f"deadtime ({times.deadtime_ms} ms)"
        )
    if times.initdead_ms < times.deadtime_ms:
        problems.append(
            f"{where('initdead', 'deadtime')}: initdead ({times.initdead_ms} ms) must not be less than "
            f"deadtime ({times.deadtime_ms} ms)"
        )
    deadping_ms = draft.times.get("deadping_ms")
    if deadping_ms is not None and deadping_ms <= 2 * times.keepalive_ms:
        problems.append(f"{where('deadping')}: deadping ({deadping_ms} ms) must be more than twice keepalive")
    return problems


def _check_whole(draft: Draft, filename: str, lines: dict[str, int]) -> list[str]:
    problems = []
    if not draft.media:
        problems.append(f"{filename}: no medium: add a line ucast, mcast or bcast")
    if not draft.nodes and draft.settings.get("autojoin") != "any":
        problems.append(f"{filename}: no nodes: add a line `node NAME...`, or `autojoin any`")
    weights = draft.settings.get("weights", {})
    strangers = [name for name in weights if name not in draft.nodes]
    if strangers:
        problems.append(f"{filename}: node_weight of {', '.join(strangers)}: not in a `node` line")
    tie_breaker = draft.settings.get("tie_breaker")
    if tie_breaker is not None and tie_breaker.kind == "ping":
        names = [ping.name for ping in draft.ping]
        if tie_breaker.target not in names:
            where = f"{filename}:{lines['tie_breaker']}"
            problems.append(f"{where}: tie_breaker ping {tie_breaker.target}: no line ping or ping_group names it")
    if draft.nodes and all(weights.get(name, 1) == 0 for name in draft.nodes):
        problems.append(f"{filename}: every node has the weight 0: nobody could ever have quorum")
    return problems
