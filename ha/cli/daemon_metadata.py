# SPDX-License-Identifier: GPL-2.0-or-later
"""`pacemaker-schedulerd metadata` and its like: the cluster options, as pcs and crmsh learn them.

The policy engine's part is made from its own table (`ha.pe.model.options`), so that what clients may set is what is
heeded. Options of Pacemaker's other daemons that nothing here depends on are listed and say so: a client refuses to
set what it does not know, and configurations carry them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.cli.exit_codes import Exit

if TYPE_CHECKING:
    from lxml import etree

VERSION = "1.1"
TYPES = {"boolean": "boolean", "duration": "time", "count": "integer", "score": "integer", "word": "select",
         "text": "string"}  # fmt: skip
"""Unit of an option -> the type that clients check values by."""
NO_EFFECT = "accepted, without effect here"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option: `type` is a name of TYPES' values, `words` what a select allows."""

    name: str
    type: str
    default: str
    meaning: str
    words: tuple[str, ...] = ()


CONTROLLER = (
    Parameter("dc-version", "string", "none", "Version of the DC; written by the cluster"),
    Parameter("cluster-infrastructure", "string", "heartbeat", "The messaging layer; written by the cluster"),
    Parameter("cluster-recheck-interval", "time", "15min", "How often the policy engine looks again without an event"),
    Parameter("shutdown-escalation", "time", "20min", "How long a node that shuts down waits for its resources"),
    Parameter("takeover-grace", "string", "auto", "Without fencing: how long peers wait for a cut-off node to stop its "
              "resources; auto computes it, 0 does not wait (two copies are then possible)"),
    Parameter("fencing-drill-interval", "time", "1h", "How often each node tries the fence devices that it may use; 0 "
              "never does (ha fencing status shows the results)"),
    Parameter("fencing-disarmed-until", "integer", "0", "Until this Unix time the cluster fences nobody, and resources "
              "of lost nodes are started nowhere else; set by ha fencing disarm"),
    Parameter("fencing-mass-limit", "integer", "0", "When more nodes than this are lost within a minute, fencing the "
              "further ones waits for fencing-mass-hold; 0 never waits"),
    Parameter("fencing-mass-hold", "time", "5min", "How long a fence held back by fencing-mass-limit waits for the "
              "node to come back"),
    Parameter("dc-deadtime", "time", "20s", f"How long to wait for other nodes during start-up ({NO_EFFECT})"),
    Parameter("load-threshold", "string", "80%", f"Utilization above which fewer actions are started ({NO_EFFECT})"),
    Parameter("node-action-limit", "integer", "0", f"Actions at once on a node ({NO_EFFECT})"),
    Parameter("fence-reaction", "select", "stop", f"What a node does that learns of its own fencing ({NO_EFFECT})",
              ("stop", "panic")),
    Parameter("election-timeout", "time", "2min", f"Longest election of the DC ({NO_EFFECT})"),
    Parameter("join-integration-timeout", "time", "3min", f"Longest integration of a node ({NO_EFFECT})"),
    Parameter("join-finalization-timeout", "time", "30min", f"Longest end of a join ({NO_EFFECT})"),
    Parameter("transition-delay", "time", "0s", f"Pause before a transition ({NO_EFFECT})"),
    Parameter("crmd-transition-delay", "time", "0s", f"Older name of transition-delay ({NO_EFFECT})"),
    Parameter("stonith-watchdog-timeout", "time", "0", "When a node that is lost counts as reset by its watchdog; "
              "-1: twice the watchdog's timeout, 0: nodes do not fence themselves"),
    Parameter("stonith-max-attempts", "integer", "10", f"Failed fencings before giving up ({NO_EFFECT})"),
)  # fmt: skip

BASE = (
    Parameter("enable-acl", "boolean", "false", "Enable access control lists (ACLs) for the CIB"),
    Parameter("cluster-ipc-limit", "integer", "500", f"Backlog of a client before it is cut off ({NO_EFFECT})"),
)

DEVICE = (
    Parameter("pcmk_host_argument", "string", "port", "The agent's parameter that names the machine to be fenced, if "
              "not port or plug; none to give no such parameter"),
    Parameter("pcmk_host_map", "string", "", "The device's own names of nodes: n1:1;n2:2,3 is port 1 for n1, 2 and 3 "
              "for n2"),
    Parameter("pcmk_host_list", "string", "", "Nodes that this device can fence: n1,n2,n3"),
    Parameter("pcmk_host_check", "string", "dynamic-list", "How to learn which nodes it can fence. Allowed values: "
              "dynamic-list (ask the device for its list), static-list (pcmk_host_list), status (ask for the status of "
              "the node), none (it can fence every node)"),
    Parameter("pcmk_delay_max", "time", "0s", "A random delay up to this before reboot and off, so that two nodes do "
              "not fence each other"),
    Parameter("pcmk_delay_base", "string", "0s", "A fixed delay before reboot and off, or one for each node: "
              "n1:1s;n2:5"),
    Parameter("pcmk_action_limit", "integer", "1", "Actions at once on this device; -1 is no limit"),
)  # fmt: skip
FENCE_ACTIONS = ("reboot", "off", "on", "list", "monitor", "status")


def scheduler() -> Iterator[Parameter]:
    """The policy engine's options, under their older names, too, which clients of Pacemaker 2.1 know."""
    from ha.pe.model.options import OPTIONS

    for option in OPTIONS.values():
        words = tuple(getattr(option.allows, "words", ()))
        meaning = option.meaning[0].upper() + option.meaning[1:]
        for name in filter(None, (option.older_name, option.name)):
            yield Parameter(name, TYPES[option.unit], option.default, meaning, words)


def fence_devices() -> Iterator[Parameter]:
    """What every fence device may be told, whatever its agent."""
    yield from DEVICE
    for action in FENCE_ACTIONS:
        yield Parameter(f"pcmk_{action}_action", "string", action, f"What the agent calls '{action}'")
        yield Parameter(f"pcmk_{action}_timeout", "time", "60s", f"Its own timeout for '{action}'")
        yield Parameter(f"pcmk_{action}_retries", "integer", "2", f"How often '{action}' is tried within the timeout")


def metadata(daemon: str, text: str, parameters: Iterator[Parameter]) -> str:
    """The document that `DAEMON metadata` prints."""
    from lxml import etree

    root = etree.Element("resource-agent", name=daemon, version=VERSION)
    _text(root, "version", VERSION, language=False)
    _text(root, "longdesc", text)
    _text(root, "shortdesc", text)
    listed = etree.SubElement(root, "parameters")
    for parameter in parameters:
        element = etree.SubElement(listed, "parameter", name=parameter.name)
        allowed = f"  Allowed values: {', '.join(parameter.words)}" if parameter.words else ""
        _text(element, "longdesc", parameter.meaning + allowed)
        _text(element, "shortdesc", parameter.meaning.partition(":")[0])
        content = etree.SubElement(element, "content", type=parameter.type, default=parameter.default)
        for word in parameter.words:
            etree.SubElement(content, "option", value=word)
    return etree.tostring(root, encoding="unicode", pretty_print=True)


def _text(parent: etree._Element, tag: str, text: str, *, language: bool = True) -> None:
    from lxml import etree

    etree.SubElement(parent, tag, {"lang": "en"} if language else {}).text = text


def _main(daemon: str, text: str, parameters: Iterator[Parameter]) -> int:
    if sys.argv[1:] == ["version"]:
        from ha.cli.pacemakerd import COMPATIBLE_VERSION

        print(f"CRM Version: {COMPATIBLE_VERSION} (Heartbeat)")
        return Exit.OK
    if sys.argv[1:] != ["metadata"]:
        print(f"usage: {daemon} metadata | version", file=sys.stderr)
        print(f"{daemon} prints the cluster options; the work is done by rmd's workers.", file=sys.stderr)
        return Exit.USAGE
    print('<?xml version="1.0"?>')
    print(metadata(daemon, text, parameters), end="")
    return Exit.OK


def schedulerd() -> int:
    return _main("pacemaker-schedulerd", "Cluster options of the policy engine", scheduler())


def controld() -> int:
    return _main("pacemaker-controld", "Cluster options of the crmd", iter(CONTROLLER))


def based() -> int:
    return _main("pacemaker-based", "Cluster options of the cib", iter(BASE))


def fenced() -> int:
    return _main("pacemaker-fenced", "Instance attributes of every fence device", fence_devices())
