# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving in good order: resources move off first, then the DC says that this node may go.

LeaveCluster or ShutdownNode -> transient attribute `shutdown` (Unix seconds, as Pacemaker's) -> the policy engine
moves everything away and puts do_shutdown into the graph -> Leave -> LeftCluster to rmd, Done to the programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.attrd.msg import UpdateAttribute, Updated
from ha.crm.core.context import Context
from ha.crm.msg import Done, ShutdownNode
from ha.lrm.msg import GetHistory, History, OperationResult
from ha.machine import Client, Reply
from ha.rmd.msg import LeftCluster

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

REPEAT_MS = 1_000
MAX_ASKERS = 64
ACTIVE_AFTER = ("start", "promote", "demote", "monitor", "migrate_from", "reload", "reload-agent")


class Shutdown:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.wanted = False
        self.has_left = False
        self.may_leave = False
        self.askers: list[tuple[Client, str]] = []
        self.request: UpdateAttribute | None = None
        self.told = False
        self.looking = False

    def asked(self, client: Client | None, message: ShutdownNode | None) -> None:
        """By rmd (None) or a program."""
        if client is not None and message is not None:
            if self.has_left or len(self.askers) >= MAX_ASKERS:
                reason = "" if self.has_left else f"{MAX_ASKERS} programs ask already"
                self.context.out.append(Reply(client, Done(request_id=message.request_id, reason=reason,
                                                           rc=0 if self.has_left else 1)))
                return
            self.askers.append((client, message.request_id))
        if self.has_left:
            self.context.send("rmd", LeftCluster())
            return
        if self.wanted:
            return
        self.wanted = True
        self.context.note("notice", "leaving the cluster: resources move off this node first")
        self.request = UpdateAttribute(request_id=self.context.request_id(), name="shutdown",
                                       value=str(self.context.unix_s()), node=self.context.node)
        self.context.arm("shutdown/repeat", REPEAT_MS)
        self.context.arm("shutdown/escalate", self.crmd.ground.configuration.shutdown_escalation_ms)
        self.tell()

    def tell(self) -> None:
        if self.request is not None and not self.told:
            self.context.send("attrd", self.request)

    def updated(self, message: Updated) -> bool:
        if self.request is None or message.request_id != self.request.request_id:
            return False
        self.told = message.rc == 0
        return True

    def fired(self, timer: str) -> None:
        if not self.wanted or self.has_left:
            return
        if timer == "shutdown/escalate":
            self.context.note("critical", "shutdown-escalation is over and resources are still here; leaving anyway")
            self.leave("shutdown-escalation is over")
            return
        self.tell()
        if not self.crmd.election.leader:
            self.looking = True
            self.context.send("lrmd", GetHistory())
        self.context.arm("shutdown/repeat", REPEAT_MS)

    def history(self, message: History) -> None:
        """Nobody leads and nothing runs here: there is nothing to wait for."""
        if not self.looking:
            return
        self.looking = False
        if not self.has_left and not self.crmd.election.leader and not message.running:
            active = sorted(active_resources(message.results))
            if not active:
                self.leave("there is no DC, and no resource is active here")

    def ordered(self) -> None:
        """Leave, says the DC. If that is us, the rest of the transition (starts elsewhere) is carried out first."""
        self.may_leave = True
        if not self.crmd.transition.busy:
            self.leave("the DC says that all resources are gone from here")

    def transition_done(self) -> None:
        if self.may_leave:
            self.leave("the DC says that all resources are gone from here")

    def leave(self, why: str) -> None:
        if self.has_left:
            return
        self.has_left = True
        self.context.note("notice", f"left the cluster: {why}")
        for timer in ("shutdown/repeat", "shutdown/escalate"):
            self.context.disarm(timer)
        self.context.send("rmd", LeftCluster())
        for client, request_id in self.askers:
            self.context.out.append(Reply(client, Done(request_id=request_id)))
        self.askers = []
        self.crmd.terminate(why)

    def tell_rmd(self, module: str) -> None:
        """rmd is there again after we have left: it may not have heard."""
        if module == "rmd":
            self.context.send("rmd", LeftCluster())

    def client_gone(self, client: Client) -> None:
        self.askers = [(c, r) for c, r in self.askers if c != client]


def active_resources(results: list[OperationResult]) -> set[str]:
    """Resources whose last operation leaves them running, by call id."""
    state: dict[str, bool] = {}
    for result in sorted(results, key=lambda r: r.call_id):
        if result.operation == "stop" and result.rc == 0:
            state[result.resource.id] = False
        elif result.operation in ACTIVE_AFTER:
            state[result.resource.id] = result.rc != 7 and not (result.operation == "monitor" and result.rc == 5)
    return {name for name, active in state.items() if active}
