# SPDX-License-Identifier: GPL-2.0-or-later
"""Agrees with the ccms of the other nodes which nodes form the cluster, and tells the modules of this node.

    membership    the Machine: events, lives, timers
    agreement     what is promised, proposed, accepted, installed, doubted
    reporter      what this node says of itself to the others
    context       what these share: the durable state, the effects
    connectivity  who hears whom, from heartbeat and from the others' reports
    clique        the largest set of nodes that all hear each other
    flapping      who comes and goes is held out for a growing time
    succession    from one view to the next: ages, joined, lost
    quorum        which set may act as the cluster: plug-ins
    tie_breaker   which half goes on after an even split

The protocol

1. Report. Whenever what a node hears changes, or the view it holds, it broadcasts a Reach with its Report (and those
   reports that some listener cannot hear for itself). From equal reports every node computes the same fully connected
   group for itself, and the same coordinator: its most senior member.
2. Propose. A coordinator whose group differs from its view proposes a view of that group at once, without waiting:
   instance one above all that anyone reported. It makes its own promise durable first.
3. Accept. A member whose own group and coordinator are the same, and that promised no such or higher instance, makes
   the promise durable, the proposal with it, and accepts. Until it agrees it answers with its Reach; it keeps the
   proposal and accepts as soon as its own heartbeat has seen what the coordinator has.
4. Install. When all members accepted and nothing higher was promised meanwhile, the coordinator makes the view durable,
   tells its modules and reports it as held. That report is the order to install: whoever promised a view and learns
   that anyone holds it knows that all its members had agreed, whatever became of the coordinator.

A loss that all survivors have seen is thus agreed after two message delays, and everywhere in force after three.
Timers only repeat what may be lost, and give up on a ccm that says nothing at all though its node is heard.

Why it is safe

* One content per id: only the incarnation named in the id makes proposals of that id, each with a new instance that
  was durable before it was sent; incarnations are never reused. So ids are neither (P2).
* Agreed before told: a view is held only after every member had promised it durably, in the life named in the view.
* In order: a promise is strictly greater than every earlier one of that node, and a view is installed only while it
  is the node's latest promise. Instances grow at every node, through crashes too. A member that promised on may skip
  a view, and never goes back to one.
* Majorities of the configured nodes intersect; `quorum` says why two halves of two nodes are never quorate together.
* A restarted worker takes up the view it held only when all its members still hold it, or would, and it has promised
  nothing since; a node in a new life (boot, clean leave) never does.
* A life that left, or whose fencing is confirmed, is never a member again: such a node takes a new life.

Sources: the two-phase agreement with numbered promises is that of single-decree Paxos (Lamport 2001) with all members
as the quorum, as in the virtual synchrony of Isis (Birman 1987); the events are those of Heartbeat's CCM.
"""

from __future__ import annotations

from collections.abc import Mapping

from ha.ccm.core import quorum
from ha.ccm.core.membership import Ccm
from ha.ccm.core.tie_breaker import Kind, TieBreaker
from ha.heartbeat.model.tie_breaker import TieBreakerConfig
from ha.machine import Machine

REPEAT_MS = 50
"""How soon what was not answered is said again; twice as long after each time without progress."""


def build(
    *,
    node: str,
    nodes: tuple[str, ...],
    keepalive_ms: int = 200,
    deadtime_ms: int = 1_000,
    initdead_ms: int = 30_000,
    repeat_ms: int = REPEAT_MS,
    weights: Mapping[str, int] | None = None,
    tie_breaker: TieBreakerConfig | None = None,
    tie_breaker_wait_ms: int = 0,
) -> Machine:
    """The ccm of `node` in a cluster of the configured `nodes` (ha.cf), which include it, and may have weights.

    A ccm that does not answer while its node is heard is given two deadtimes and four keepalives, so that rmd can
    replace a hung one (deadline 1 s, fast profile 300 ms) before its node is cut out for it.

    `tie_breaker_wait_ms`: `HaCf.tie_breaker_wait_ms`. With a `tie_breaker` of kind lease or http the shell serves
    ReadRegister and WriteRegister.
    """
    assert node in nodes
    ccm = Ccm(
        node=node,
        nodes=nodes,
        quorum=quorum.choose(nodes, weights or {}, has_tie_breaker=tie_breaker is not None),
        silence_ms=2 * deadtime_ms + 4 * keepalive_ms,
        initdead_ms=initdead_ms,
        repeat_ms=repeat_ms,
    )
    if tie_breaker is not None:
        kind: Kind = "ping" if tie_breaker.kind == "ping" else "register"
        ping = tie_breaker.target if kind == "ping" else ""
        ccm.context.tie_breaker = TieBreaker(ccm.context, kind, timeout_ms=tie_breaker_wait_ms, ping=ping)
    return ccm


__all__ = ["REPEAT_MS", "build"]
