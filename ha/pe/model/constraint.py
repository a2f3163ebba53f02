# SPDX-License-Identifier: GPL-2.0-or-later
"""Location and colocation constraints, and ticket dependencies, as read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from ha.pe.model.node import Candidate, Discovery
from ha.pe.model.roles import Role

if TYPE_CHECKING:
    from ha.pe.model.resource import Resource


@dataclass(slots=True)
class Location:
    """A preference of one resource for some nodes. With a role it holds for instances that will have that role."""

    id: str
    resource: Resource
    discovery: Discovery
    role: Role = Role.UNKNOWN
    candidates: list[Candidate] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Colocation:
    """`dependent` wants (or, with a negative score, shuns) the place of `primary`.

    The place is the value of `node_attribute`. With `influence` the dependent's wishes move an active primary.
    `explicit` tells a configured constraint from one that groups and containers imply.
    """

    id: str
    score: int
    dependent: Resource
    primary: Resource
    dependent_role: Role
    primary_role: Role
    node_attribute: str
    explicit: bool
    influence: bool


class LossPolicy(IntEnum):
    STOP = 0
    DEMOTE = 1
    FENCE = 2
    FREEZE = 3


@dataclass(slots=True)
class Ticket:
    """A ticket of a multi-site cluster: `last_granted` in seconds since the epoch, -1 if never."""

    id: str
    granted: bool = False
    standby: bool = False
    last_granted: int = -1
    state: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class TicketDependency:
    id: str
    ticket: Ticket
    role: Role
    loss_policy: LossPolicy
