# SPDX-License-Identifier: GPL-2.0-or-later
"""What writers were told, held against the CIB that came of it: every acknowledged write is there, or superseded.

A history is a list of Fates: who asked for which value when, and what was answered when. Each value is written once.
The rules are those of a register that is written by many (linearizability, Herlihy and Wing 1990), with the versions
that the answers name as the order of the writes:

* two acknowledged writes have different versions, none greater than that of the final CIB;
* a write that was answered before another one was asked for has the lower version;
* each name has at last the value of its acknowledged write of the greatest version, or one whose fate is unknown;
* a refused value is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ha.cib.msg import Version


@dataclass(frozen=True, slots=True)
class Fate:
    """`asked` and `answered` count in one clock; `answered` is None, and the outcome unknown, without an answer."""

    name: str
    value: str
    asked: int
    answered: int | None = None
    outcome: Literal["committed", "refused", "unknown"] = "unknown"
    version: Version | None = None


def breaches(history: Sequence[Fate], values: Mapping[str, str], version: Version) -> list[str]:
    """Each breach of the rules above, in words. `values` and `version` are those of the final CIB."""
    committed = [fate for fate in history if fate.outcome == "committed"]
    return [
        *_of_versions(committed, version),
        *_of_order(committed),
        *(line for name in sorted({fate.name for fate in history}) for line in _of_value(name, history, values)),
    ]


def _version(fate: Fate) -> Version:
    assert fate.version is not None, f"{fate} was acknowledged with a version"
    return fate.version


def _of_versions(committed: Sequence[Fate], final: Version) -> list[str]:
    found: list[str] = []
    taken: dict[Version, Fate] = {}
    for fate in committed:
        version = _version(fate)
        if version in taken:
            other = taken[version]
            found.append(f"{fate.name}={fate.value} and {other.name}={other.value} are both {version}")
        if version > final:
            found.append(f"{fate.name}={fate.value} is {version}, and the CIB only {final}")
        taken[version] = fate
    return found


def _of_order(committed: Sequence[Fate]) -> list[str]:
    """By the moment of asking, everyone must be newer than all that were answered by then."""
    found: list[str] = []
    answered = sorted(committed, key=lambda fate: fate.answered or 0)
    newest: Fate | None = None
    at = 0
    for fate in sorted(committed, key=lambda fate: fate.asked):
        while at < len(answered) and (answered[at].answered or 0) < fate.asked:
            if newest is None or _version(answered[at]) > _version(newest):
                newest = answered[at]
            at += 1
        if newest is not None and newest is not fate and _version(newest) >= _version(fate):
            found.append(f"{fate.name}={fate.value} ({fate.version}) was asked after {newest.version} was answered")
    return found


def _of_value(name: str, history: Sequence[Fate], values: Mapping[str, str]) -> list[str]:
    own = [fate for fate in history if fate.name == name]
    committed = [fate for fate in own if fate.outcome == "committed"]
    allowed: set[str | None] = {fate.value for fate in own if fate.outcome == "unknown"}
    allowed.add(max(committed, key=_version).value if committed else None)
    found = values.get(name)
    if found in allowed:
        return []
    expected = " or ".join(sorted(str(value) for value in allowed))
    return [f"{name} is {found}, and should be {expected}"]
