# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract between what decides and what acts.

Every module of the cluster manager decides in a Machine: a pure object that is given one event and the present
moment, and returns the effects it wants. It reaches no clock, socket, file, process or source of chance. A shell
(`ha.shell` in production, `ha.sim` under virtual time) owns the world: it turns what happens into events and carries
the effects out. The same cores run in both.

Rules of this file

* Effects are carried out in the order of the list, and the lists in the order of the steps. That order is the
  safety argument: what is listed after a `Persist` is not carried out before the data is on stable storage.
* A crash may fall between any two effects.
* Messages to a worker of the same node, and to another node, arrive in the order sent while both ends and both
  heartbeat workers live. A restarted worker or heartbeat may lose what was under way: whoever needs an answer
  repeats its request by a timer, and every request can be repeated without harm.
* An event that a core does not expect is either named in its tables as ignored, or a broken invariant.

Prior art: etcd's raft (`Ready`), h11, TigerBeetle's state machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import msgspec

Instant: TypeAlias = int
"""Milliseconds of CLOCK_BOOTTIME. Deadlines and leases are reckoned in it and in nothing else."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """What one module says to another. Each module's `msg` derives its own base with a tag such as `cib.Write`.

    Decoding ignores unknown fields and refuses unknown types (`ha.ipc.codec`).
    """


# Addresses -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Local:
    """A worker of this node, by its module's name: `cib`, `crmd`, `lrmd`, `rmd` ..."""

    module: str


@dataclass(frozen=True, slots=True, order=True)
class Remote:
    """A module on a named node, reached through heartbeat. One's own node may be named: heartbeat loops it back."""

    node: str
    module: str


@dataclass(frozen=True, slots=True, order=True)
class Everyone:
    """A module on every node that heartbeat knows, this one included, in one order per sender."""

    module: str


@dataclass(frozen=True, slots=True, order=True)
class Client:
    """One connection of a program (`cibadmin`, `crm_mon` ...). `serial` is never used twice by one worker.

    `program` is what the peer calls itself; `uid`, `gid` and `pid` are what the kernel says of it (SO_PEERCRED).
    """

    program: str
    serial: int
    uid: int
    gid: int = -1
    pid: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Wire:
    """A communication medium of the node (only heartbeat uses it), and where on it.

    `medium` names the link as ha.cf does (`ucast lo`, `bcast eth0` ...); `peer` is the medium's own notation of the
    other end, such as `127.0.0.1:6941`, empty for all who listen.
    """

    medium: str
    peer: str = ""


Address: TypeAlias = Local | Remote | Everyone | Client | Wire


class Packet(Message, frozen=True, kw_only=True, tag="wire.Packet"):
    """Bytes as they travel on a Wire."""

    data: bytes


# Events --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of every machine.

    `incarnation` is unique to this run of the worker. `seed` feeds what chance the core needs (`random.Random(seed)`).
    `persisted` holds the last durable data of every name that earlier incarnations gave to `Persist`.
    """

    incarnation: str
    seed: int
    persisted: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wall:
    """The wall clock, as milliseconds to add to an Instant to get Unix time. Sent after Started and on every change.

    It decides no lease and no deadline: logs, date rules and failure-timeout are its only uses.
    """

    offset_ms: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The link to a worker of this node stands, after start or after its restart; nothing said before counts."""

    peer: Local


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker of this node or a program hung up. A worker comes back: Connected tells when."""

    peer: Local | Client


@dataclass(frozen=True, slots=True)
class Received:
    """A validated message. `sender` is authentic: the kernel vouches for Local and Client, authkeys for Remote."""

    sender: Local | Remote | Client | Wire
    message: Message


@dataclass(frozen=True, slots=True)
class Fired:
    """An armed timer has run out. Each Arm fires at most once; a timer that was re-armed fires for the last Arm."""

    timer: str


@dataclass(frozen=True, slots=True)
class Finished:
    """An Execute or Fence has ended. `outcome` is what the adapter documents for the request's type."""

    operation: str
    outcome: object


@dataclass(frozen=True, slots=True)
class Stopping:
    """The worker was asked to end (SIGTERM). The effects of this step are its last words."""


Event: TypeAlias = Started | Wall | Connected | Lost | Received | Fired | Finished | Stopping


# Effects -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    to: Local | Remote | Everyone | Wire
    message: Message


@dataclass(frozen=True, slots=True)
class Reply:
    """Say something to a program that is connected; without effect when it has hung up."""

    to: Client
    message: Message


@dataclass(frozen=True, slots=True)
class Arm:
    """Fire `timer` at the Instant `deadline`, replacing an earlier Arm of the same name."""

    timer: str
    deadline: Instant


@dataclass(frozen=True, slots=True)
class Disarm:
    timer: str


@dataclass(frozen=True, slots=True)
class Persist:
    """Replace the durable data of `name` (a file name without a path). Every later effect waits until it is safe."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Execute:
    """Have an adapter do something that takes time. The adapter is found by the type of `request`.

    Ends in exactly one Finished with the same `operation`, unless the worker dies first.
    """

    operation: str
    request: object


@dataclass(frozen=True, slots=True)
class Fence:
    """Have a fence agent run: an Execute of its own kind, so that tests and checkers can see every one."""

    operation: str
    request: object


@dataclass(frozen=True, slots=True)
class Tickle:
    """Pet the node's watchdog (apphbd only)."""


Level: TypeAlias = Literal["debug", "info", "notice", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Note:
    """A fact for the log: one line an operator can act on, state changes as "old => new"."""

    level: Level
    text: str


Effect: TypeAlias = Send | Reply | Arm | Disarm | Persist | Execute | Fence | Tickle | Note


class Machine(Protocol):
    """A pure decider. `step` is total over events; `now` never goes back from one step to the next."""

    def step(self, event: Event, now: Instant) -> list[Effect]: ...
