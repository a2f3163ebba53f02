# SPDX-License-Identifier: GPL-2.0-or-later
"""Fence devices, who may use them, and topology levels, from the CIB's configuration.

Of the scheduler's rules for placing resources the ones that keep a device from a node are repeated here, as far as
they need nothing but node names: a score of -INFINITY, plainly or by a rule on #uname. Rules on attributes, dates and
roles bind the scheduler, which starts the device's monitor elsewhere; stonithd may still use the device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree

from ha.stonith.model.device import Device
from ha.stonith.model.options import FencingOptions, read_options

MAX_CONFIGURATION_BYTES = 64_000_000
MAX_REGEX_LENGTH = 1_000
MINUS_INFINITY = -1_000_000
MIN_LEVEL, MAX_LEVEL = 1, 9
ABSENT: frozenset[str] = frozenset()


class ConfigurationError(ValueError):
    """The text is no CIB."""


@dataclass(frozen=True, slots=True)
class Level:
    """Devices that must all succeed, for targets that match exactly one of name, pattern and attribute."""

    index: int
    devices: tuple[str, ...]
    target: str = ""
    pattern: str = ""
    attribute: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    devices: dict[str, Device] = field(default_factory=dict)
    levels: tuple[Level, ...] = ()
    node_attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    options: FencingOptions = field(default_factory=FencingOptions)

    def levels_of(self, target: str) -> list[tuple[str, ...]]:
        """The devices of each level for the target, in order of index; empty without a topology for it.

        A name goes before a pattern, a pattern before an attribute. Source: Pacemaker's fenced.
        """
        for matches in (
            lambda level: level.target == target,
            lambda level: bool(level.pattern) and re.search(level.pattern, target) is not None,
            lambda level: level.attribute is not None
            and self.node_attributes.get(target, {}).get(level.attribute[0]) == level.attribute[1],
        ):
            found = [level for level in self.levels if matches(level)]
            if found:
                return [level.devices for level in sorted(found, key=lambda level: level.index)]
        return []


def parse_configuration(text: str | bytes) -> Configuration:
    """From a <cib> or a <configuration>. Raises ConfigurationError for anything else."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > MAX_CONFIGURATION_BYTES:
        raise ConfigurationError(f"the configuration is larger than {MAX_CONFIGURATION_BYTES} bytes")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ConfigurationError(f"the configuration is no XML: {error}") from error
    configuration = root if root.tag == "configuration" else root.find("configuration")
    if configuration is None:
        raise ConfigurationError(f"<{root.tag}> holds no configuration")
    nodes = _node_attributes(configuration)
    levels, complaints = _levels(configuration)
    devices = _devices(configuration, _bans(configuration))
    options, mistakes = read_options(configuration)
    return Configuration(devices, levels, nodes, (*complaints, *mistakes), options)


def _devices(configuration: etree._Element, bans: dict[str, frozenset[str]]) -> dict[str, Device]:
    devices: dict[str, Device] = {}
    templates = {str(template.get("id")): template for template in configuration.iterfind("resources//template")}
    for primitive in configuration.iterfind("resources//primitive"):
        template = templates.get(primitive.get("template", ""))
        sources = [primitive] if template is None else [primitive, template]
        kind = next((source.get("class") for source in sources if source.get("class")), "")
        agent = next((source.get("type") for source in sources if source.get("type")), "")
        device_id = primitive.get("id", "")
        if kind != "stonith" or not agent or not device_id or _is_stopped(configuration, primitive, sources):
            continue
        parameters: dict[str, str] = {}
        for source in sources:
            for name, value in _attributes(configuration, source, "instance_attributes").items():
                parameters.setdefault(name, value)
        banned = bans.get(device_id, ABSENT)
        for ancestor in primitive.iterancestors("group", "clone"):
            banned |= bans.get(ancestor.get("id", ""), ABSENT)
        devices[device_id] = Device(device_id, agent, parameters, banned)
    return dict(sorted(devices.items()))


def _is_stopped(configuration: etree._Element, primitive: etree._Element, sources: list[etree._Element]) -> bool:
    """The innermost target-role decides."""
    for source in [*sources, *primitive.iterancestors("group", "clone")]:
        role = _attributes(configuration, source, "meta_attributes").get("target-role", "")
        if role:
            return role.lower() == "stopped"
    return False


def _attributes(configuration: etree._Element, holder: etree._Element, kind: str) -> dict[str, str]:
    """Name-value pairs of the holder's sets, by score; the first value of a name wins. References are followed."""
    blocks: list[etree._Element] = []
    for own in holder.iterfind(kind):
        referred = own.get("id-ref")
        block = _by_id(configuration, kind, referred) if referred else own
        if block is not None and block.find("rule") is None:
            blocks.append(block)
    found: dict[str, str] = {}
    for block in sorted(blocks, key=lambda block: -_score(block.get("score", "0"))):
        for pair in block.iterfind("nvpair"):
            referred = pair.get("id-ref")
            real = _by_id(configuration, "nvpair", referred) if referred else pair
            name = pair.get("name") or (real.get("name") if real is not None else None)
            if real is not None and name:
                found.setdefault(name, real.get("value", ""))
    return found


def _by_id(configuration: etree._Element, tag: str, wanted: str) -> etree._Element | None:
    return next((element for element in configuration.iter(tag) if element.get("id") == wanted), None)


def _bans(configuration: etree._Element) -> dict[str, frozenset[str]]:
    """Resource -> nodes that it may never run on."""
    names = [node.get("uname", "").lower() for node in configuration.iterfind("nodes/node")]
    bans: dict[str, frozenset[str]] = {}
    for constraint in configuration.iterfind("constraints/rsc_location"):
        resource = constraint.get("rsc", "")
        banned = _banned(constraint, names)
        if resource and banned:
            bans[resource] = bans.get(resource, ABSENT) | banned
    return bans


def _banned(constraint: etree._Element, names: list[str]) -> frozenset[str]:
    if constraint.get("node") and _score(constraint.get("score", "0")) <= MINUS_INFINITY:
        return frozenset({constraint.get("node", "").lower()})
    banned: set[str] = set()
    for rule in constraint.iterfind("rule"):
        if _score(rule.get("score", "0")) <= MINUS_INFINITY:
            banned |= {name for name in names if _matches(rule, name)}
    return frozenset(banned)


def _matches(rule: etree._Element, name: str) -> bool:
    """Whether the rule holds for the node, as far as its name decides; what else it asks counts as false."""
    verdicts = [
        (expression.get("value", "").lower() == name) == (expression.get("operation") == "eq")
        if expression.get("attribute") == "#uname" and expression.get("operation") in ("eq", "ne")
        else False
        for expression in rule.iterfind("expression")
    ]
    if not verdicts or len(verdicts) != len(rule):
        return False
    return any(verdicts) if rule.get("boolean-op") == "or" else all(verdicts)


def _score(text: str) -> int:
    word = text.strip().upper()
    if word in ("-INFINITY", "-INF"):
        return MINUS_INFINITY
    if word in ("INFINITY", "+INFINITY", "INF", "+INF"):
        return -MINUS_INFINITY
    try:
        return max(MINUS_INFINITY, min(-MINUS_INFINITY, int(word)))
    except ValueError:
        return 0


def _levels(configuration: etree._Element) -> tuple[tuple[Level, ...], list[str]]:
    levels: list[Level] = []
    complaints: list[str] = []
    for element in configuration.iterfind("fencing-topology/fencing-level"):
        label = element.get("id", "?")
        index = element.get("index", "")
        devices = tuple(name for name in re.split(r"[,\s]+", element.get("devices", "")) if name)
        if not index.isascii() or not index.isdigit() or not MIN_LEVEL <= int(index) <= MAX_LEVEL or not devices:
            complaints.append(f"fencing-level {label} is ignored: index {index!r}, devices {len(devices)}")
            continue
        attribute = element.get("target-attribute")
        pattern = element.get("target-pattern", "")
        if not _is_pattern(pattern):
            complaints.append(f"fencing-level {label} is ignored: {pattern!r} is no pattern")
            continue
        levels.append(
            Level(
                int(index),
                devices,
                target=element.get("target", "").lower(),
                pattern=pattern,
                attribute=(attribute, element.get("target-value", "")) if attribute else None,
            )
        )
    return tuple(levels), complaints


def _is_pattern(text: str) -> bool:
    if len(text) > MAX_REGEX_LENGTH:
        return False
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _node_attributes(configuration: etree._Element) -> dict[str, dict[str, str]]:
    return {
        node.get("uname", "").lower(): _attributes(configuration, node, "instance_attributes")
        for node in configuration.iterfind("nodes/node")
    }
