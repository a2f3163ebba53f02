# SPDX-License-Identifier: GPL-2.0-or-later
"""Who was said to be dead, by whom, and on what evidence: kept so that it can be asked for afterwards."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ha.heartbeat.core.nodes import Node
from ha.heartbeat.msg import AccusationLine
from ha.machine import Instant

MAX_ACCUSATIONS = 200


@dataclass(frozen=True, slots=True)
class Accusation:
    at: Instant
    accuser: str
    node: str
    evidence: str
    links: tuple[str, ...]
    late_ms: int


class Accusations:
    def __init__(self) -> None:
        self.kept: deque[Accusation] = deque(maxlen=MAX_ACCUSATIONS)
        self.standing: set[tuple[str, str]] = set()
        """(accuser, node) of what other nodes say at present: it is kept once, not with each of their packets."""

    def ours(self, own: str, node: Node, evidence: str, late_ms: int, now: Instant) -> None:
        """This node calls `node` dead. `late_ms`: how late our own loop was at worst within deadtime."""
        links = tuple(
            f"{link.name}: {'up' if link.up else 'dead'}, last heard status {link.last_seq}, "
            f"{now - link.last_heard} ms ago"
            for link in node.links.values()
        )
        self.kept.append(Accusation(now, own, node.name, evidence, links, late_ms))

    def others(self, accuser: str, named: list[str], now: Instant) -> None:
        """A status of `accuser` names all nodes that it has lost."""
        said = {(accuser, node) for node in named}
        for pair in sorted(said - self.standing):
            self.kept.append(Accusation(now, accuser, pair[1], "its status says so", (), 0))
        self.standing = {pair for pair in self.standing if pair[0] != accuser} | said

    def about(self, node: str, wall_offset_ms: int) -> list[AccusationLine]:
        return [
            AccusationLine(
                at_ms=accusation.at + wall_offset_ms,
                accuser=accusation.accuser,
                node=accusation.node,
                evidence=accusation.evidence,
                links=list(accusation.links),
                late_ms=accusation.late_ms,
            )
            for accusation in self.kept
            if node in ("", accusation.node)
        ]
