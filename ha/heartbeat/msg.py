# SPDX-License-Identifier: GPL-2.0-or-later
"""What heartbeat says to the modules of its node: who is there, and what came for them."""

from __future__ import annotations

from typing import Literal

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"heartbeat.{name}"):
    """Base of heartbeat's messages."""


class Transmit(Message, frozen=True, kw_only=True):
    """From a module's shell: carry `body` to `to_module` on `to_node`, or on every node when that is None.

    Delivery is reliable and in the sender's order while both heartbeat workers live. `body` is an encoded message.
    """

    to_node: str | None
    to_module: str
    body: bytes


class Deliver(Message, frozen=True, kw_only=True):
    """To a module's shell: `from_module` on `from_node` sent this. Authenticated by the cluster's keys."""

    from_node: str
    from_module: str
    body: bytes


class NothingRuns(Message, frozen=True, kw_only=True):
    """From the crmd (or the haresources worker) that has left: no resource is active here, so a goodbye would be true
    (P1).

    Void as soon as it signs on anew.
    """


MAX_ANNOUNCED_FIELDS, MAX_ANNOUNCED_LENGTH = 20, 1000
"""How many fields a message about resources may have, and how long each of them may be."""


class Announce(Message, frozen=True, kw_only=True):
    """From the haresources worker: tell its namesake on the other node, whichever program runs there. The field `t` is
    the type: starting, resource, ask_resources, hb_takeover, shutdone or stonith."""

    fields: dict[str, str]


class Announced(Message, frozen=True, kw_only=True):
    """To the haresources worker: what `node` announces. From a Heartbeat 3.0.6 it is what its packet said."""

    node: str
    fields: dict[str, str]


class ResourcesHeld(Message, frozen=True, kw_only=True):
    """From the haresources worker, for programs that ask (`cl_status rscstatus`): none, local, foreign, all or
    transition."""

    rsc_hold: str


NodeState = Literal["init", "up", "active", "dead", "left"]


class NodeStatus(Message, frozen=True, kw_only=True):
    """To ccm (and programs that ask): a node's state has changed, or is as follows after Connected.

    `left` is a signed clean leave, `dead` is silence for deadtime. `generation` grows with each start of the node's
    heartbeat; `boot_id` changes with each boot of its machine only. `evidence` says in words what was seen: which
    link, the last packet, how late we were ourselves.
    """

    node: str
    state: NodeState
    generation: int = 0
    boot_id: str = ""
    evidence: str = ""


class NodeFenced(Message, frozen=True, kw_only=True):
    """From ccm: the power of `node` was cut, as an agent or a person confirmed, while it still counted as alive.

    It is dead after a few keepalives of silence from here on, not after deadtime. Who is heard again, was started anew.
    """

    node: str


class LinkStatus(Message, frozen=True, kw_only=True):
    """A link to a node has come up or gone silent."""

    node: str
    link: str
    up: bool


class PingStatus(Message, frozen=True, kw_only=True):
    """To ccm: a ping node answers, or does so no longer."""

    name: str
    up: bool


class ModuleStatus(Message, frozen=True, kw_only=True):
    """To the same module on every node: the module's worker on `node` signed on (after a restart too) or hung up.

    Nothing said before a sign-on counts for the new worker.
    """

    node: str
    module: str
    up: bool


class GetNodes(Message, frozen=True, kw_only=True):
    """From a program: answer with Nodes."""


class NodeLine(ha.machine.Message, frozen=True, kw_only=True, tag="heartbeat.NodeLine"):
    node: str
    kind: Literal["normal", "ping"]
    state: NodeState
    links: dict[str, bool]


class Nodes(Message, frozen=True, kw_only=True):
    nodes: list[NodeLine]


class GetAccusations(Message, frozen=True, kw_only=True):
    """From a program: answer with Accusations about `node`, or about all when it is ""."""

    node: str = ""


class AccusationLine(ha.machine.Message, frozen=True, kw_only=True, tag="heartbeat.AccusationLine"):
    """`accuser` called `node` dead at `at_ms` (Unix time). `links`: what each of them had heard when. `late_ms`: how
    late the accuser's own loop was at worst within the last deadtime, as far as it could know."""

    at_ms: int
    accuser: str
    node: str
    evidence: str
    links: list[str]
    late_ms: int


class Accusations(Message, frozen=True, kw_only=True):
    """The oldest first. `known` is every node that heartbeat knows, with its present state."""

    lines: list[AccusationLine]
    known: dict[str, NodeState]


class ApiFrame(Message, frozen=True, kw_only=True):
    """From and to a program at the classic register socket: one message of Heartbeat's client protocol, unsigned.

    Its field names and values are in `ha.heartbeat.model.api`.
    """

    data: bytes
