# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cib is asked and what it answers: queries, writes, who may write, and what has changed."""

from __future__ import annotations

from typing import Literal

import msgspec

import ha.machine
from ha.ccm.msg import ViewId


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"cib.{name}"):
    """Base of the cib's messages."""


class Version(msgspec.Struct, frozen=True, order=True):
    """admin_epoch.epoch.num_updates, compared in that order. Two CIBs of equal version are byte-equal (P3)."""

    admin_epoch: int
    epoch: int
    num_updates: int

    def __str__(self) -> str:
        return f"{self.admin_epoch}.{self.epoch}.{self.num_updates}"


Operation = Literal[
    "create", "modify", "replace", "delete", "delete-all", "erase", "patch", "bump", "upgrade", "sync"
]


class Write(Message, frozen=True, kw_only=True):
    """Change the CIB, on whatever node the writer is. Answered by exactly one Written per caller and request.

    `request_id` is chosen by the caller, unique for ever: a repeated one is answered again, not done again.
    `scope` is a section ("configuration", "resources", "status" ...), `xpath` selects instead of it; `xml` is the
    operand. `view`, when given, makes the write void in any other view (the crmd always gives it).
    """

    request_id: str
    operation: Operation
    scope: str = ""
    xpath: str = ""
    xml: str = ""
    allow_create: bool = False
    force: bool = False
    dry_run: bool = False
    view: ViewId | None = None
    origin: str = ""
    user: str = ""


class Written(Message, frozen=True, kw_only=True):
    """The fate of a Write. `rc` is an exit code of the tools (0, 78 schema, 103 old, 105 no such object, 106 quorum,
    108 exists ...); `reason` names element, line and rule. `unknown`: repeat with the same request_id to learn it.
    """

    request_id: str
    outcome: Literal["committed", "refused", "unknown"]
    rc: int = 0
    reason: str = ""
    version: Version | None = None
    xml: str = ""


class Query(Message, frozen=True, kw_only=True):
    """Read this node's CIB: the whole, a section, or what an XPath selects. Answered by Answer.

    `user`: with whose rights; only root and hacluster may name another than their own.
    """

    request_id: str
    scope: str = ""
    xpath: str = ""
    no_children: bool = False
    user: str = ""


class Answer(Message, frozen=True, kw_only=True):
    """rc 0 with `xml` (several XPath hits wrapped in <xpath-query>), or 105 with `reason`."""

    request_id: str
    rc: int = 0
    xml: str = ""
    reason: str = ""
    generation: int = 0
    version: Version | None = None


class Subscribe(Message, frozen=True, kw_only=True):
    """Tell me of every new version from now on; the first Changed comes at once."""


class Changed(Message, frozen=True, kw_only=True):
    """A new version is published in shared memory in `generation` (this node's own count), which shows it or, when
    several were committed together, the last of them; each of those has its own Changed, in order.

    `diff` is the v2 patch from the version before, empty when the whole was replaced; `sections` names what it
    touches ("crm_config", "nodes", "resources", "constraints", "status" ...). `whole` carries the full CIB in the first
    Changed after Subscribe and when there is no diff. `digest` is that of the result.
    """

    generation: int
    version: Version
    digest: str
    diff: str = ""
    whole: str = ""
    sections: tuple[str, ...] = ()
    origin: str = ""


class Lead(Message, frozen=True, kw_only=True):
    """From the local crmd that has become DC: be the cluster's one writer in `view` for its `members`.

    The cib collects all members' states, adopts the greatest, has it persisted by all and commits an epoch of its own;
    then it answers Leading.
    """

    view: ViewId
    members: tuple[str, ...]


class Leading(Message, frozen=True, kw_only=True):
    """To the local crmd: the writer of `view` is ready; its CIB has this version on every member."""

    view: ViewId
    version: Version


class Follow(Message, frozen=True, kw_only=True):
    """From the local crmd: the writer of `view` is on node `writer` ("" when there is none yet)."""

    view: ViewId
    writer: str


class Purge(Message, frozen=True, kw_only=True):
    """From rmd or a test: sweep shared memory left by a dead worker."""


# From cib to cib -----------------------------------------------------------------------------------------------------


class Ballot(msgspec.Struct, frozen=True, order=True):
    """Names one writer's term. A cib that promised a ballot obeys none that is lower.

    `round` tells terms of the same view apart (the writer's cib restarted, or the DC changed without a new view).
    """

    view: ViewId
    round: int
    writer: str


OPENING = 1
"""Number of the entry that each ballot begins with: who has it has all that was acknowledged before."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change on its way: what every member applies, persists and acknowledges.

    `before` and `digest` are those of the document without and with it; `diff` is a v2 diff, `whole` the document when
    no diff can tell it. `quorate` is whether the ballot's view had quorum. `committed` is the newest version that the
    writer knew to be committed. `configuration` is whether it must be on stable storage before the acknowledgement.
    """

    seq: int
    ballot: Ballot
    quorate: bool
    version: Version
    before: str
    digest: str
    configuration: bool
    diff: str = ""
    whole: str = ""
    sections: tuple[str, ...] = ()
    request_id: str = ""
    origin: str = ""
    committed: Version | None = None


class Known(msgspec.Struct, frozen=True):
    """A request that was carried out, and the version it led to: kept so that a repetition is answered, not done."""

    request_id: str
    version: Version


class Forward(Message, frozen=True, kw_only=True):
    """A write, from the cib that was asked to the writer's. `module` is whether a worker asked, not a program.

    `groups` are those of `write.user`; `privileged` is whether ACLs are not for that user (root, hacluster).
    """

    write: Write
    program: str = ""
    module: bool = False
    groups: tuple[str, ...] = ()
    privileged: bool = False


class Forwarded(Message, frozen=True, kw_only=True):
    """The writer's verdict on a Forward."""

    written: Written


class Collect(Message, frozen=True, kw_only=True):
    """From a writer: promise me this ballot and tell what you have. Answered by Have or Outvoted; repeated."""

    ballot: Ballot


class Have(Message, frozen=True, kw_only=True):
    """A member's durable state: the ballot of its newest quorate entry (None: never any), version and digest."""

    ballot: Ballot
    state: Ballot | None
    version: Version
    digest: str


class Outvoted(Message, frozen=True, kw_only=True):
    """To a writer whose ballot is too low: this is the one that was promised, or the view that is in force."""

    ballot: Ballot


class Fetch(Message, frozen=True, kw_only=True):
    """From the writer to the member whose state is the greatest: send it. Answered by Whole."""

    ballot: Ballot


class Whole(Message, frozen=True, kw_only=True):
    """A whole CIB with what belongs to it: to the writer as answer to Fetch, and from it to members that differ."""

    ballot: Ballot
    state: Ballot | None
    seq: int
    digest: str
    xml: str
    requests: tuple[Known, ...] = ()


class Propose(Message, frozen=True, kw_only=True):
    """Entries for a member to apply and persist. They follow the seq `after`; without any, that is where the member
    stands. `committed` is the seq up to which all members have everything.
    """

    ballot: Ballot
    after: int
    entries: tuple[Entry, ...]
    committed: int


class Accepted(Message, frozen=True, kw_only=True):
    """A member has persisted everything up to `seq` of this ballot."""

    ballot: Ballot
    seq: int


class Commit(Message, frozen=True, kw_only=True):
    """Every member has persisted everything up to `seq`: publish it."""

    ballot: Ballot
    seq: int


# Requests to adapters ------------------------------------------------------------------------------------------------


class ReadCib(msgspec.Struct, frozen=True):
    """A request to `Execute`: read the CIB from this node's shared memory, without the cib worker's help.

    `generation` 0 means the newest. Outcome: CibCopy, or CibGone when that generation is not kept any more.
    """

    generation: int = 0


class CibCopy(msgspec.Struct, frozen=True):
    generation: int
    version: Version
    xml: bytes


class CibGone(msgspec.Struct, frozen=True):
    reason: str
