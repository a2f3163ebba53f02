# SPDX-License-Identifier: GPL-2.0-or-later
"""What a harmless call of a fence agent proves, and what it gives away.

| Call | Proves | Gives away |
|---|---|---|
| monitor | agent, network, credentials | a dead device, a wrong password |
| list | the device has the outlet a node is mapped to | a missing outlet; an outlet labelled with another node's name |
| status | the outlet can be read | an outlet that is off, of a node that is a member: it is not that node's |

Two nodes' outlets exchanged are found by their labels, or as soon as one of the two is off. Where the device has no
labels and both nodes run, no harmless call can tell: cut the power of one by hand once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

from ha.stonith.model.device import AgentTraits, Device
from ha.stonith.model.execution import STATUS_OFF, FenceAgentResult
from ha.stonith.msg import DrillCheck

SAYS_OFF = re.compile(r"\boff\b", re.IGNORECASE)
MAP_REMEDY = "correct pcmk_host_map (or pcmk_host_list) of {device}, then: ha fencing drill {device}"
REMEDIES = {
    2: "check the options of {device}: stonith_admin --validate --agent {agent} --option NAME=VALUE ...",
    3: "correct login and password of {device}, then: ha fencing drill {device}",
    4: "check the address of {device}, its network and its own power",
    5: "check the address of {device}, its network and its own power; if it is slow, raise pcmk_{action}_timeout",
    10: "give {device} a password (option password, or password_script)",
    11: "give the account that {device} logs in with the right to switch outlets",
}
"""By exit code of the fence-agents library."""
OTHER_REMEDY = "try the agent by hand on that node: {agent} --action={action}, with the options of {device}"


def definition(device: Device) -> str:
    """A short name for agent and options together."""
    text = repr((device.agent, sorted(device.parameters.items())))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def judge_call(device: Device, action: str, result: FenceAgentResult) -> tuple[str, str]:
    """What is wrong with a call that should have succeeded, and the remedy; ("", "") when nothing is."""
    if result.ok:
        return "", ""
    if result.fate == "not installed":
        return result.reason, f"install {device.agent} on that node"
    template = REMEDIES[5] if result.fate == "timeout" else REMEDIES.get(result.rc, OTHER_REMEDY)
    return result.reason, template.format(device=device.id, agent=device.agent, action=action)


def outlets(output: str) -> dict[str, str]:
    """Of the agent's list: outlet -> its label, both in lower case; "" without one."""
    found: dict[str, str] = {}
    for line in output.splitlines():
        port, _, label = line.replace("|", ",").partition(",")
        if port.strip():
            found[port.strip().lower()] = label.partition(",")[0].strip().lower()
    return found


def takes_outlet(device: Device, traits: AgentTraits) -> bool:
    """Whether the agent is told an outlet at all; one machine's own management board is not."""
    return bool(device.host_argument(traits))


def judge_list(device: Device, output: str, targets: Collection[str], nodes: Collection[str]) -> list[DrillCheck]:
    """One check for each target against the list: is its outlet there, and does its label contradict?

    An empty list proves nothing: some agents know the action and have nothing to say.
    """
    listed = outlets(output)
    by_label = {label: port for port, label in listed.items() if label}
    remedy = MAP_REMEDY.format(device=device.id)
    checks = []
    for target in sorted(targets) if listed else ():
        outlet = device.host_map.get(target, target).lower()
        label = listed.get(outlet, "")
        elsewhere = target if target in listed else by_label.get(target, "")
        reason = ""
        if outlet not in listed and outlet not in by_label:
            reason = f"{target} is mapped to outlet {outlet}, which it does not have"
        elif label and label != target and label in nodes:
            reason = f"{target} is mapped to outlet {outlet}, which calls itself {label}: exchanged?"
        elif elsewhere and outlet not in (elsewhere, target, listed.get(elsewhere, "")):
            reason = f"{target} is mapped to outlet {outlet}, but outlet {elsewhere} calls itself {target}: exchanged?"
        checks.append(DrillCheck("list", not reason, target, reason, remedy if reason else ""))
    return checks


def judge_status(device: Device, target: str, result: FenceAgentResult, *, is_member: bool) -> DrillCheck:
    """The outlet must be readable, and not be off while its node is there."""
    reason, remedy = judge_call(device, "status", result)
    # Bad arguments have the same exit code as "off": what the agent printed tells them apart.
    if result.fate == "done" and result.rc == STATUS_OFF and SAYS_OFF.search(f"{result.output} {result.reason}"):
        outlet = device.host_map.get(target, target)
        reason = f"outlet {outlet} is off, but {target} is a member: it is not its outlet" if is_member else ""
        remedy = MAP_REMEDY.format(device=device.id) if reason else ""
    return DrillCheck("status", not reason, target, reason, remedy, result.exec_ms)
