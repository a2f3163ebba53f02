# SPDX-License-Identifier: GPL-2.0-or-later
"""Which groups a node holds, in Heartbeat's words: local are those at home on it, foreign the others."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["local", "foreign"]
Hold: TypeAlias = frozenset[Kind]

NOTHING: Hold = frozenset()
LOCAL: Hold = frozenset({"local"})
FOREIGN: Hold = frozenset({"foreign"})
ALL: Hold = LOCAL | FOREIGN
WORDS: dict[str, Hold] = {"none": NOTHING, "local": LOCAL, "foreign": FOREIGN, "all": ALL}
_NAMES = {hold: word for word, hold in WORDS.items()}


def word_of(hold: Hold) -> str:
    return _NAMES[hold]


def seen_from_peer(hold: Hold) -> Hold:
    """What is local to one of two nodes is foreign to the other."""
    other: dict[Kind, Kind] = {"local": "foreign", "foreign": "local"}
    return frozenset(other[kind] for kind in hold)
