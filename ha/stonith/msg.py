# SPDX-License-Identifier: GPL-2.0-or-later
"""What stonithd is asked to shoot, and what is known of it afterwards."""

from __future__ import annotations

from typing import Literal

import msgspec

import ha.machine
from ha.ccm.msg import ViewId


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"stonith.{name}"):
    """Base of stonithd's messages."""


FenceAction = Literal["on", "off", "reboot"]


class FenceNode(Message, frozen=True, kw_only=True):
    """From the DC's crmd, or a program: fence `target`. Answered by Fenced, once, whatever happens.

    Equal requests under way are merged. A request of an older view than the newest known is refused (P2).
    """

    request_id: str
    target: str
    action: FenceAction
    timeout_ms: int
    delay_ms: int = 0
    view: ViewId | None = None


class Fenced(Message, frozen=True, kw_only=True):
    """To the asker, and to every connected crmd when `ok`: the confirmed fate of the target.

    `ok` is said only after the device confirmed. `at_s` is Unix time; `exec_ms` the fence agent's own time.
    """

    request_id: str
    target: str
    action: FenceAction
    ok: bool
    device: str = ""
    executor: str = ""
    reason: str = ""
    at_s: int = 0
    exec_ms: int = 0


class ConfirmFenced(Message, frozen=True, kw_only=True):
    """From a program: a person vouches that `target` is down (stonith_admin --confirm). Answered by Fenced."""

    request_id: str
    target: str


class ListDevices(Message, frozen=True, kw_only=True):
    """From a program: devices that can fence `target`, all of them when "". Answered by Devices."""

    request_id: str
    target: str = ""


class Devices(Message, frozen=True, kw_only=True):
    request_id: str
    devices: list[str]


class GetFenceHistory(Message, frozen=True, kw_only=True):
    request_id: str
    target: str = ""


class FenceEvent(msgspec.Struct, frozen=True):
    target: str
    action: FenceAction
    client: str
    origin: str
    device: str
    executor: str
    state: Literal["pending", "success", "failed"]
    at_s: int
    reason: str = ""
    exec_ms: int = 0


class FenceHistory(Message, frozen=True, kw_only=True):
    request_id: str
    events: list[FenceEvent]


class DeviceOperation(Message, frozen=True, kw_only=True):
    """From the local lrmd: a resource operation of class stonith.

    start registers the device here and tries it (the agent's monitor action), stop unregisters it, monitor tries it,
    and is "not running" (7) when it isn't registered. Answered by DeviceOperationDone; repeatable by request_id.
    """

    request_id: str
    device: str
    agent: str
    operation: str
    timeout_ms: int
    parameters: dict[str, str] = {}


class DeviceOperationDone(Message, frozen=True, kw_only=True):
    """To the local lrmd. `rc` is an OCF code; `timed_out` tells a timeout from a failure."""

    request_id: str
    rc: int
    timed_out: bool = False
    exit_reason: str = ""
    exec_ms: int = 0


class RunDevice(Message, frozen=True, kw_only=True):
    """From the stonithd that leads a fence to one that shall carry it out: use `device` against `target`.

    Answered by DeviceRan with the same `key`; a repeated one is answered again, not done again. The receiver refuses
    an older view than its newest, itself as the target, and devices it does not know or may not use.
    `confirms`: with this step the target counts as fenced, so an executor may say so in place of a leader that is
    itself the target, or gone.
    """

    key: str
    device: str
    action: FenceAction
    target: str
    timeout_ms: int
    view: ViewId | None = None
    confirms: bool = False


class DeviceRan(Message, frozen=True, kw_only=True):
    """To the stonithd that asked. `ok` only after the agent confirmed."""

    key: str
    ok: bool
    reason: str = ""
    exec_ms: int = 0


class FenceReport(Message, frozen=True, kw_only=True):
    """From the stonithd that led a fence to those of all nodes, at its end: for their history and their crmd.

    From the executor instead when the leader was the target, or has left before it could be told.
    """

    fenced: Fenced
    event: FenceEvent


class ForgetFenceHistory(Message, frozen=True, kw_only=True):
    """From a program: drop the history of `target`, of all when "". Answered by FenceHistory with what is left."""

    request_id: str
    target: str = ""


class KnownFences(Message, frozen=True, kw_only=True):
    """From the stonithd of the least member to one that has just come: the history it may have missed."""

    events: list[FenceEvent]


class GetSelfFencing(Message, frozen=True, kw_only=True):
    """From the local crmd, where there is a watchdog. Answered by SelfFencing once the configuration is known."""


class SelfFencing(Message, frozen=True, kw_only=True):
    """To the local crmd that has asked, and when it changes: peers take a lost node for reset by its watchdog after
    `wait_ms` (stonith-watchdog-timeout); -1: twice the watchdog's timeout, 0: never."""

    wait_ms: int


# Drills --------------------------------------------------------------------------------------------------------------


class DrillCheck(msgspec.Struct, frozen=True):
    """One harmless call of a fence agent: `monitor`, `list`, or `status` of `target`. `reason` says what is wrong."""

    action: Literal["monitor", "list", "status"]
    ok: bool
    target: str = ""
    reason: str = ""
    remedy: str = ""
    exec_ms: int = 0


class DeviceDrill(msgspec.Struct, frozen=True):
    """What trying `device` from `node` gave. `at_s`, `proved_at_s` (when all was well last; 0: never) are Unix times.

    `definition` names the agent and options that were tried, so that a drill of a former definition proves nothing.
    """

    device: str
    node: str
    definition: str
    at_s: int
    exec_ms: int
    checks: list[DrillCheck]
    proved_at_s: int = 0

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


class DrillDevices(Message, frozen=True, kw_only=True):
    """From a program: have `device` ("": all) tried now by every member that may use it. Answered by DrillsBegun."""

    request_id: str
    device: str = ""


class DrillsBegun(Message, frozen=True, kw_only=True):
    """`expected`: device and node of each drill. They are over when FencingStatus names each with `order`."""

    request_id: str
    order: str
    expected: list[tuple[str, str]]


class DrillOrder(Message, frozen=True, kw_only=True):
    """Between stonithds: try `device` ("": all) now."""

    order: str
    device: str = ""


class DrillReport(Message, frozen=True, kw_only=True):
    """To the stonithds of all nodes: a drill is over. `order` is the DrillOrder it answers, if any."""

    drill: DeviceDrill
    order: str = ""


class GetFencingStatus(Message, frozen=True, kw_only=True):
    """From a program. Answered by FencingStatus."""

    request_id: str


class Finding(msgspec.Struct, frozen=True):
    """Something that would hinder a fence; `node`, `device` are "" when it concerns all of them."""

    what: str
    remedy: str
    node: str = ""
    device: str = ""


class NodeFencing(msgspec.Struct, frozen=True):
    """Which devices would shoot `node`: levels in their order, within a level all of them."""

    node: str
    levels: list[list[str]]
    last_fence: FenceEvent | None = None


class FencingStatus(Message, frozen=True, kw_only=True):
    """`disarmed_until_s` (Unix time) is 0 while fencing is armed; `held` are targets that the brake holds back.

    `orders` are the DrillOrders answered so far, with device and node.
    """

    request_id: str
    enabled: bool
    nodes: list[NodeFencing]
    drills: list[DeviceDrill]
    findings: list[Finding]
    drill_interval_ms: int
    disarmed_until_s: int = 0
    held: list[str] = []
    orders: list[tuple[str, str, str]] = []
