# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeats of workers and applications, and what apphbd makes of them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import ha.machine

BEATS_VARIABLE = "HA_BEATS"
"""In the environment of a worker and of apphbd: the descriptor of its end of the socket pair for Beat and Goodbye.

rmd makes the pair and hands it down, so that nobody else can fill it. Programs dial the stream socket `apphbd`.
"""


LEASE_MS = 3_000
"""The longest that one renewal of the cluster's lease is good for. A crmd that hangs is killed after 1000 ms, and its
successor knows its quorum within 500: no lease ends for that, let alone the watchdog's time after it."""


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"apphbd.{name}"):
    """Base of apphbd's messages."""


class Beat(Message, frozen=True, kw_only=True):
    """A worker's loop went round with its queue drained. The first Beat of a pid registers it.

    `interval_ms` is how often it promises to beat, `deadline_ms` the silence after which it is hung. `steps` counts
    the machine's steps so far; `queued` the events that wait.
    """

    module: str
    pid: int
    interval_ms: int
    warntime_ms: int
    deadline_ms: int
    steps: int = 0
    queued: int = 0


class Goodbye(Message, frozen=True, kw_only=True):
    """The worker ends on purpose."""

    module: str
    pid: int


class ClientEvent(Message, frozen=True, kw_only=True):
    """To rmd and subscribers. Names as in Heartbeat: HBWARN late, NOHB hung, HBAGAIN resumed, HUP connection lost,
    HBUNREG goodbye. HBREG, the first beat of a client, is our addition: it is what makes a worker ready."""

    event: Literal["HBREG", "HBWARN", "NOHB", "HBAGAIN", "HUP", "HBUNREG"]
    module: str
    pid: int
    silent_ms: int
    deadline_ms: int = 0
    """What the client promised, 0 before its first beat."""
    reset: bool = False
    """It asked for a reset of the node when it fails, and this is its failure (NOHB, HUP)."""
    name: str = ""
    """Of an application, as which it registered; with its instance, and whose the kernel said that it was. Of workers
    and programs: empty."""
    instance: str = ""
    uid: int = -1
    gid: int = -1


class GetClients(Message, frozen=True, kw_only=True):
    """From a program: answer with Clients."""


class ClientLine(ha.machine.Message, frozen=True, kw_only=True, tag="apphbd.ClientLine"):
    module: str
    pid: int
    interval_ms: int
    deadline_ms: int
    silent_ms: int
    state: Literal["starting", "well", "late", "hung"]
    kind: Literal["worker", "application", "program"] = "worker"
    """Who beats: a worker of the cluster; an application that registered; a stanza's program, by NOTIFY_SOCKET."""
    status: str = ""
    """What a program says of itself (STATUS=)."""


class Clients(Message, frozen=True, kw_only=True):
    clients: list[ClientLine]


class Expect(Message, frozen=True, kw_only=True):
    """From rmd: a worker was forked and owes its first Beat within `deadline_ms`; 0: it runs and never beats.

    All are repeated to a restarted apphbd.
    """

    module: str
    pid: int
    deadline_ms: int


class Gone(Message, frozen=True, kw_only=True):
    """From rmd: this process has ended; beats of it that are still under way count no more."""

    module: str
    pid: int


# Programs of stanzas, by the notify protocol (ha.apphbd.model.notices) ------------------------------------------------


class ExpectProgram(Message, frozen=True, kw_only=True):
    """From rmd: a program was executed as `pid`. The socket on which it is heard comes along as a descriptor.

    READY=1 or WATCHDOG=1 is due within `start_deadline_ms` (0: it need not, or has said so already), then WATCHDOG=1
    within `watchdog_ms` (0: never). `access` says who may speak: the main process alone, or all that descend from
    `pid`. The main process is `main_pid`: `pid`, or what MAINPID said. All are repeated to a restarted apphbd.
    """

    module: str
    pid: int
    main_pid: int
    access: Literal["main", "all"]
    start_deadline_ms: int
    watchdog_ms: int


class Notice(Message, frozen=True, kw_only=True):
    """What a program has said in one datagram; None: nothing of that. `pid` is the process that rmd executed.

    Made by apphbd itself from what the socket heard; nobody sends it.
    """

    module: str
    pid: int
    ready: bool = False
    watchdog: str = ""
    """"1" for a beat, "trigger" for a hang that the program has found itself."""
    stopping: bool = False
    status: str | None = None
    watchdog_ms: int | None = None
    main_pid: int | None = None


class Promised(Message, frozen=True, kw_only=True):
    """To rmd: what holds for a program from now on, by its own word. It belongs into the next ExpectProgram."""

    module: str
    pid: int
    main_pid: int
    watchdog_ms: int


class Watchdog(Message, frozen=True, kw_only=True):
    """To rmd: a watchdog is petted that resets the node `timeout_ms` after its last pet."""

    timeout_ms: int


class Lease(Message, frozen=True, kw_only=True):
    """From rmd: the watchdog may be petted until then (an Instant, ms); None: always, no lease is in force.

    Repeated to a restarted apphbd.
    """

    until: int | None


class LeaseLapsed(Message, frozen=True, kw_only=True):
    """To rmd: the lease has run out, the watchdog should have reset the node since, and has not."""

    late_ms: int


class ShuttingDown(Message, frozen=True, kw_only=True):
    """From rmd: the node is being stopped in good order. Should rmd end now, it is not started again."""


# Applications: over the stream socket `apphbd`, or by the classic protocol (ha.apphbd.model.applications) ------------


class Register(Message, frozen=True, kw_only=True):
    """From an application, first: watch me. `pid`, `uid` and `gid` must be what the kernel says of it.

    Answered by AppAnswer, as every request but AppBeat: 0, EEXIST when this connection has registered, EINVAL for a
    name or identity that cannot be, ENOSPC when too many are watched.
    """

    name: str
    instance: str
    pid: int
    uid: int
    gid: int


class AppBeat(Message, frozen=True, kw_only=True):
    """I am well. Not answered."""


class AppInterval(Message, frozen=True, kw_only=True):
    """Silence of so long is a failure (APPHB_NOHB); 0: never."""

    interval_ms: int


class AppWarn(Message, frozen=True, kw_only=True):
    """Silence of so long is late; 0: never."""

    warntime_ms: int


class AppBoot(Message, frozen=True, kw_only=True):
    """Whether the node is to be reset when this client fails or hangs up. EPERM to all but root."""

    reset: bool


class AppUnregister(Message, frozen=True, kw_only=True):
    """Watch me no more."""


class AppAnswer(Message, frozen=True, kw_only=True):
    """An errno, 0 for success. ESRCH to whoever has not registered."""

    error: int


AppRequest: TypeAlias = Register | AppBeat | AppInterval | AppWarn | AppBoot | AppUnregister


class Subscribe(Message, frozen=True, kw_only=True):
    """From a program: from now on every ClientEvent is sent to it."""
