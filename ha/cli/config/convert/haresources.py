# SPDX-License-Identifier: GPL-2.0-or-later
"""haresources and ha.cf of a cluster without a CRM => a CIB, and an ha.cf that starts the CRM.

What auto_failback said becomes resource-stickiness; fence devices of ha.cf become primitives of class stonith; times
that ha.cf leaves open get what they meant to Heartbeat 3.0.6, which is longer than here. Monitors are new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from ha.cib.model.upgrade import free_id
from ha.cli.config.convert.agent_arguments import ADDRESS_AGENT, ocf_parameters
from ha.cli.config.convert.cib_text import add_pairs, check_valid, new_cib, option, section, text_of
from ha.cli.config.convert.legacy_ha_cf import HaCfRewrite, rewrite
from ha.cli.config.convert.model import Conversion, ConversionError, Remarks
from ha.haresources.model.haresources import Group, Haresources, HaresourcesError, Resource, parse

HOME_SCORE = "100"
MONITOR = {"interval": "120s", "timeout": "60s"}
ADDRESS_MONITOR = {"interval": "5s", "timeout": "20s"}
STONITH_MONITOR = {"interval": "120s", "timeout": "60s"}
_OLD_CONVERTER_ORDERS = re.compile(r"#\s*(rsc_order|rsc_colocation|clone:|rsc_location)")
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the conversion cannot know from the files. `scripts`: names in resource.d; `stonith_parameters`: of a
    Linux-HA stonith plug-in, the names of its parameters in order (None: not known)."""

    scripts: frozenset[str] = frozenset()
    stonith_parameters: Callable[[str], tuple[str, ...] | None] = field(default=lambda _plugin: None)
    monitors: bool = True


def convert(
    haresources: tuple[str, str], ha_cf: tuple[str, str], surroundings: Surroundings | None = None
) -> Conversion:
    """Each file as (name, text). Raises ConversionError when one of them cannot be used."""
    around = surroundings or Surroundings()
    remarks = Remarks()
    try:
        parsed = parse(haresources[1], haresources[0])
    except HaresourcesError as error:
        raise ConversionError(error.problems) from error
    old = rewrite(ha_cf[1], ha_cf[0], remarks)
    _notice_orders(haresources, remarks)
    _check_nodes(parsed, old, haresources[0], remarks)
    builder = _Builder(new_cib(), haresources[0], around, remarks)
    builder.options(old)
    for group in parsed.groups:
        builder.group(group)
    builder.fencing(old)
    check_valid(builder.root, "the result")
    return Conversion({"cib.xml": text_of(builder.root), "ha.cf": old.text}, tuple(remarks.made))


def _notice_orders(haresources: tuple[str, str], remarks: Remarks) -> None:
    """haresources2cib of old took orders from comments."""
    for number, line in enumerate(haresources[1].split("\n"), start=1):
        if _OLD_CONVERTER_ORDERS.search(line):
            advice = "add the constraint or clone to the result"
            remarks.lost(f"{haresources[0]}:{number}", f"an order in a comment: {line.strip()[:80]}", advice)


def _check_nodes(parsed: Haresources, old: HaCfRewrite, filename: str, remarks: Remarks) -> None:
    for group in parsed.groups:
        if group.node not in old.nodes:
            remarks.changed(
                f"{filename}:{group.line}", f"node {group.node} is none of ha.cf's: {', '.join(old.nodes)}",
                "its group prefers a node that never comes: correct the name in the result",
            )  # fmt: skip


class _Builder:
    def __init__(self, root: etree._Element, filename: str, around: Surroundings, remarks: Remarks) -> None:
        self.root = root
        self.filename = filename
        self.around = around
        self.remarks = remarks
        self.groups = 0
        self.claimed: set[str] = set()

    def options(self, old: HaCfRewrite) -> None:
        root = self.root
        option(root, "crm_config", "cluster-name", old.cluster)
        option(root, "crm_config", "symmetric-cluster", "true")
        option(root, "crm_config", "no-quorum-policy", "stop")
        option(root, "crm_config", "stonith-enabled", "true" if old.stonith else "false")
        option(root, "rsc_defaults", "resource-stickiness", old.stickiness)
        if not old.stonith:
            self.remarks.changed(
                old.filename, "there is no stonith line, so the result has stonith-enabled=false",
                "configure fencing: without it a node that hangs may still write to shared data",
            )  # fmt: skip

    def group(self, group: Group) -> None:
        """A line: one primitive, or a group of them, and where it is at home."""
        resources = section(self.root, "resources")
        made = [self.primitive(resource, f"{self.filename}:{group.line}") for resource in group.resources]
        primitives = [primitive for primitive in made if primitive is not None]
        if not primitives:
            return
        if len(group.resources) == 1:
            resources.append(primitives[0])
            identity = primitives[0].get("id", "")
        else:
            self.groups += 1
            identity = free_id(self.root, f"group_{self.groups}")
            holder = etree.SubElement(resources, "group", {"id": identity})
            holder.extend(primitives)
        self.location(identity, group.node)
        if len(primitives) < len(group.resources):
            self._hold_back(identity, group)

    def _hold_back(self, identity: str, group: Group) -> None:
        """Half a group may do harm: a file system without its lock or its disk."""
        for element in section(self.root, "resources"):
            if element.get("id") == identity:
                meta = etree.Element("meta_attributes", {"id": f"{identity}-meta"})
                pair = {"id": f"{identity}-meta-target-role", "name": "target-role", "value": "Stopped"}
                etree.SubElement(meta, "nvpair", pair)
                element.insert(0, meta)
        self.remarks.changed(
            f"{self.filename}:{group.line}", f"{identity} has target-role=Stopped, because a part of it is missing",
            f"complete it, then: crm_resource -r {identity} -m -p target-role -v Started",
        )  # fmt: skip

    def location(self, identity: str, node: str) -> None:
        attributes = {"id": free_id(self.root, f"{identity}_home"), "rsc": identity, "score": HOME_SCORE, "node": node}
        etree.SubElement(section(self.root, "constraints"), "rsc_location", attributes)

    def primitive(self, resource: Resource, where: str) -> etree._Element | None:
        known = ocf_parameters(resource)
        if known is not None:
            agent, parameters = known
            what = {"class": "ocf", "provider": "heartbeat", "type": agent}
        elif resource.script in self.around.scripts:
            what = {"class": "heartbeat", "type": resource.script}
            parameters = {str(number): argument for number, argument in enumerate(resource.arguments, start=1)}
        elif resource.arguments:
            self.remarks.lost(
                where, f"{resource.text}: an init script takes no arguments, and resource.d has no {resource.script}",
                f"write an agent for it, or convert where /etc/ha.d/resource.d/{resource.script} is",
            )  # fmt: skip
            return None
        else:
            what, parameters = {"class": "lsb", "type": resource.script}, {}
            self.remarks.changed(where, f"{resource.script} is taken for an init script",
                                 "use class systemd if there is a unit instead")  # fmt: skip
        identity = self._free(_name_of(resource, parameters))
        element = etree.Element("primitive", {"id": identity, **what})
        add_pairs(element, "instance_attributes", f"{identity}-parameters", parameters)
        if self.around.monitors:
            times = ADDRESS_MONITOR if what["type"] == ADDRESS_AGENT else MONITOR
            operations = etree.SubElement(element, "operations")
            etree.SubElement(operations, "op", {"id": f"{identity}-monitor", "name": "monitor", **times})
        return element

    def _free(self, wanted: str) -> str:
        """An id that nothing has yet; claimed, because the element is not in the document so far."""
        identity, number = wanted, 1
        while identity in self.claimed:
            number += 1
            identity = f"{wanted}_{number}"
        self.claimed.add(identity)
        return identity

    def fencing(self, old: HaCfRewrite) -> None:
        for device in old.stonith:
            where = f"{old.filename}:{device.line}"
            names = self.around.stonith_parameters(device.plugin)
            if names is None or not names or len(names) > len(device.values):
                expected = "are not known here" if names is None else f"are {len(names)}, not {len(device.values)}"
                self.remarks.lost(where, f"fence device {device.plugin}: its parameters {expected}",
                                  "configure a fence agent: crm_resource --list-agents stonith")  # fmt: skip
                continue
            last = len(names) - 1  # which takes all that is left, such as a list of hosts
            values = (*device.values[:last], " ".join(device.values[last:]))
            parameters: Mapping[str, str] = dict(zip(names, values, strict=True))
            self._stonith(device.plugin, parameters, device.host)
            self.remarks.changed(where, f"fence device {device.plugin} is a Linux-HA plug-in",
                                 "try it with stonith_admin before you rely on it")  # fmt: skip

    def _stonith(self, plugin: str, parameters: Mapping[str, str], host: str) -> None:
        identity = self._free(_NOT_IN_AN_ID.sub("_", f"stonith_{plugin}"))
        element = etree.SubElement(
            section(self.root, "resources"), "primitive", {"id": identity, "class": "stonith", "type": plugin}
        )
        add_pairs(element, "instance_attributes", f"{identity}-parameters", parameters)
        operations = etree.SubElement(element, "operations")
        etree.SubElement(operations, "op", {"id": f"{identity}-monitor", "name": "monitor", **STONITH_MONITOR})
        if host != "*":
            self.location(identity, host.lower())


def _name_of(resource: Resource, parameters: Mapping[str, str]) -> str:
    """IPaddr_192_0_2_1 of an address; else the script's name."""
    name = f"{resource.script}_{parameters['ip'].replace('.', '_')}" if "ip" in parameters else resource.script
    name = _NOT_IN_AN_ID.sub("_", name)
    return name if name[0].isalpha() or name[0] == "_" else f"rsc_{name}"
