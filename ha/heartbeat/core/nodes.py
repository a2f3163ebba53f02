# SPDX-License-Identifier: GPL-2.0-or-later
"""What we hold of each node: its state, its links, who it is in this generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from ha.heartbeat.core.association import Association
from ha.heartbeat.core.detector import Silence
from ha.heartbeat.core.sequence import PeerSequence
from ha.heartbeat.model.wire import Fields
from ha.heartbeat.msg import NodeState
from ha.machine import Instant

TRANSITIONS: dict[NodeState, tuple[NodeState, ...]] = {
    # init: never heard in a way that proves it is alive now.
    "init": ("up", "active", "dead", "left"),
    # up: alive, but it has not yet heard of all nodes.
    "up": ("active", "dead", "left"),
    "active": ("dead", "left"),
    # dead: silent for deadtime, or it does not hear us, or its machine was booted anew.
    "dead": ("up", "active", "left"),
    # left: said goodbye.
    "left": ("up", "active", "dead"),
}

ALIVE: tuple[NodeState, ...] = ("up", "active")


@dataclass(slots=True)
class Link:
    """One way to a node."""

    name: str
    last_heard: Instant
    last_seq: int
    """Numbers up to this one prove nothing on this link: a replay could bring them."""
    up: bool = True


@dataclass(slots=True)
class Node:
    """A node other than this one."""

    name: str
    silence: Silence
    sequence: PeerSequence
    association: Association
    state: NodeState = "init"
    announced: NodeState = "init"
    """What it says of itself."""
    ours: bool = True
    """It speaks our association; else it is a Heartbeat 3.0.6."""
    generation: int = 0
    boot_id: str = ""
    uuid: bytes = b""
    links: dict[str, Link] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    """Per medium, which of our addresses is this node's."""
    via: dict[str, str] = field(default_factory=dict)
    """Per medium, by which of its own addresses this node has reached us."""
    modules: dict[str, None] = field(default_factory=dict)
    """Its modules that are signed on."""
    held: dict[int, Fields] = field(default_factory=dict)
    """By number, messages of a Heartbeat 3.0.6's clients that wait for earlier packets."""
    greeting: bool = False
    """Heard, but not yet proved alive by an association."""

    @property
    def alive(self) -> bool:
        return self.state in ALIVE

    def forget_addresses(self) -> None:
        self.targets.clear()
        self.via.clear()

    def become(self, state: NodeState) -> NodeState:
        """Change state; returns the old one. What TRANSITIONS does not list is a broken invariant."""
        assert state in TRANSITIONS[self.state], f"{self.name}: {self.state} => {state}"
        old, self.state = self.state, state
        return old
