# SPDX-License-Identifier: GPL-2.0-or-later
"""What the workers of this node say, each asked on its own: who does not answer in time is down, and costs nobody else.

ha_up says of every source whether it answered; what it would have told is left out otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ha.apphbd.msg import ClientLine, Clients, GetClients
from ha.ccm.msg import GetMembership, MembershipEvent
from ha.cli.metrics.openmetrics import Family
from ha.crm.msg import GetState, State
from ha.ipc.client import Connection, NotConnected
from ha.ipc.links import PROGRAMS_MAY_DIAL, WORKERS
from ha.machine import Message
from ha.rmd.msg import GetWorkers, Workers
from ha.root import Root

ANSWER_TIMEOUT_MS = 2_000
"""For the connection and for the answer. Prometheus waits 10 s for all."""
ASKED = tuple(worker for worker in WORKERS if worker in PROGRAMS_MAY_DIAL)
STATES = ("starting", "well", "late", "hung")
"""Of a client of apphbd, from the best to the worst; `starting` has not beaten yet."""

M = TypeVar("M", bound=Message)


def ask_all(root: Root, timeout_ms: int = ANSWER_TIMEOUT_MS) -> dict[str, Message | None]:
    """The answers of all workers that live: None of those that are not asked more than whether they let us in."""
    with ThreadPoolExecutor(len(ASKED)) as pool:
        asked = {worker: pool.submit(_ask, root, worker, timeout_ms) for worker in ASKED}
    return {worker: answer for worker, (lives, answer) in ((w, f.result()) for w, f in asked.items()) if lives}


def _ask(root: Root, worker: str, timeout_ms: int) -> tuple[bool, Message | None]:
    try:
        with Connection.open(root, worker, program="ha", timeout_ms=timeout_ms) as link:
            match worker:
                case "apphbd":
                    return True, link.ask(GetClients(), timeout_ms)
                case "rmd":
                    return True, link.ask(GetWorkers(), timeout_ms)
                case "ccm":
                    return True, link.ask(GetMembership(), timeout_ms)
                case "crmd":
                    return True, link.ask(GetState(request_id=link.new_request_id()), timeout_ms)
            return True, None
    except NotConnected:
        return False, None


def families_of(answers: dict[str, Message | None], sources: dict[str, bool]) -> Iterator[Family]:
    """`sources` are what else was read, and whether it could be."""
    up = Family("ha_up", "Whether a worker of this node answers, or a source of these metrics could be read.")
    for worker in ASKED:
        up.add(worker in answers, module=worker)
    for source, was_read in sources.items():
        up.add(was_read, module=source)
    yield up
    if (membership := _of(answers, "ccm", MembershipEvent)) is not None:
        yield from _membership(membership)
    if (state := _of(answers, "crmd", State)) is not None:
        yield from _crmd(state)
    if (clients := _of(answers, "apphbd", Clients)) is not None:
        yield from _clients(clients.clients)
    if (workers := _of(answers, "rmd", Workers)) is not None:
        restarts = Family("ha_worker_restarts", "How often rmd has restarted a worker.", "counter")
        for line in workers.workers:
            restarts.add(line.restarts, module=line.worker)
        yield restarts


def _of(answers: dict[str, Message | None], worker: str, kind: type[M]) -> M | None:
    """None also for a worker of another release that answers in words of its own."""
    answer = answers.get(worker)
    return answer if isinstance(answer, kind) else None


def _membership(event: MembershipEvent) -> Iterator[Family]:
    quorate = event.view is not None and event.view.quorate
    for name in ("ha_membership_quorate", "ha_cluster_corosync_quorate"):
        family = Family(name, "Whether this node is in a view with quorum.")
        family.add(quorate)
        yield family
    doubt = Family("ha_membership_in_doubt", "Whether a member of the view in force is missed: nothing new is begun.")
    doubt.add(event.event == "NOT_PRIMARY")
    yield doubt
    number = Family("ha_membership_view", "The number of the view in force, 0 without one.")
    number.add(event.view.id.instance if event.view is not None else 0)
    yield number
    member = Family("ha_membership_member", "The members of the view in force; always 1.")
    for name in event.view.names() if event.view is not None else ():
        member.add(1, node=name)
    count = Family("ha_membership_members", "How many members the view in force has.")
    count.add(len(member.samples))
    yield count
    yield member


def _crmd(state: State) -> Iterator[Family]:
    dc = Family("ha_crmd_is_dc", "Whether this node is the DC.")
    dc.add(state.dc == state.node and bool(state.dc))
    yield dc
    known = Family("ha_crmd_has_dc", "Whether this node knows a DC.")
    known.add(bool(state.dc))
    yield known
    idle = Family("ha_crmd_idle", "Whether there is nothing to do for the crmd of this node.")
    idle.add(state.idle)
    yield idle


def _clients(lines: list[ClientLine]) -> Iterator[Family]:
    """Of several clients with one name the one that is worst counts: it is what somebody has to look at."""
    worst: dict[tuple[str, str], ClientLine] = {}
    for line in sorted(lines, key=lambda line: (STATES.index(line.state), line.silent_ms)):
        worst[line.module, line.kind] = line
    states = Family("ha_worker_state", "How well apphbd finds a client; one line for each state, 1 for what holds.")
    silent = Family("ha_worker_silent_milliseconds", "Time since the last beat of a client.", unit="milliseconds")
    for (module, kind), line in sorted(worst.items()):
        for state in STATES:
            states.add(state == line.state, module=module, kind=kind, state=state)
        silent.add(line.silent_ms, module=module, kind=kind)
    yield states
    yield silent
