# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's configuration in a few words of the crm shell, for scenarios.

    property stonith-enabled=true no-quorum-policy=stop
    primitive web ocf:heartbeat:Dummy params fake=1 meta migration-threshold=3 op monitor interval=10s timeout=20s
    group site ip web
    clone c web meta interleave=true
    location l web 100: n2
    colocation c inf: web ip
    order o ip web
    rsc_defaults resource-stickiness=100
    node n2 standby=on

Source: crmsh's reference of `crm configure`; what is not above is not understood. Everything else can be given as XML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lxml import etree

SCORES = {"inf": "INFINITY", "-inf": "-INFINITY", "mandatory": "INFINITY"}
SECTIONS = ("crm_config", "nodes", "resources", "constraints", "rsc_defaults")


class ConfigurationError(ValueError):
    """A line is not understood; the text names it."""


NO_IDS: Mapping[str, str] = {}


def to_xml(lines: list[str], node_ids: Mapping[str, str] = NO_IDS) -> str:
    """The <configuration> element that the lines describe, sections in order. `node_ids` are the ids that nodes have in
    the CIB; a node that it lacks gets its name for one. Raises ConfigurationError."""
    configuration = etree.Element("configuration")
    for name in SECTIONS:
        etree.SubElement(configuration, name)
    for line in lines:
        words = line.split()
        builder = _BUILDERS.get(words[0])
        if builder is None:
            raise ConfigurationError(f"{line!r}: {words[0]!r} is none of {', '.join(_BUILDERS)}")
        try:
            builder(configuration, words[1:])
        except (IndexError, ValueError) as error:
            raise ConfigurationError(f"{line!r}: {error}") from error
    for node in configuration.iterfind("nodes/node"):
        node.set("id", node_ids.get(node.get("uname", ""), node.get("id", "")))
    for section in list(configuration):
        if len(section) == 0:
            configuration.remove(section)
    return etree.tostring(configuration, encoding="unicode")


def node_ids(cib: str) -> dict[str, str]:
    """Names to ids of the nodes in a CIB, or in a part of one."""
    return {node.get("uname", ""): node.get("id", "") for node in etree.fromstring(cib).iterfind(".//node[@uname]")}


def _section(configuration: etree._Element, name: str) -> etree._Element:
    section = configuration.find(name)
    assert section is not None
    return section


def _nvpairs(parent: etree._Element, kind: str, owner: str, words: list[str]) -> None:
    if not words:
        return
    identity = f"{owner}-{kind.replace('_', '-')}"
    pairs = etree.SubElement(parent, kind, id=identity)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is no NAME=VALUE")
        etree.SubElement(pairs, "nvpair", id=f"{identity}-{name}", name=name, value=value)


def _clauses(words: list[str]) -> list[tuple[str, list[str]]]:
    """Words up to the first keyword belong to "", the others to the keyword before them."""
    clauses: list[tuple[str, list[str]]] = [("", [])]
    for word in words:
        if word in ("params", "meta", "op"):
            clauses.append((word, []))
        else:
            clauses[-1][1].append(word)
    return clauses


def _property(configuration: etree._Element, words: list[str]) -> None:
    section = _section(configuration, "crm_config")
    existing = section.find("cluster_property_set")
    pairs = (
        existing
        if existing is not None
        else etree.SubElement(section, "cluster_property_set", id="cib-bootstrap-options")
    )
    for word in words:
        name, _, value = word.partition("=")
        etree.SubElement(pairs, "nvpair", id=f"cib-bootstrap-options-{name}", name=name, value=value)


def _primitive(configuration: etree._Element, words: list[str]) -> None:
    clauses = _clauses(words)
    identity, agent = clauses[0][1]
    parts = agent.split(":")
    attributes = {"id": identity, "class": parts[0], "type": parts[-1]}
    if len(parts) == 3:
        attributes["provider"] = parts[1]
    primitive = etree.SubElement(_section(configuration, "resources"), "primitive", attributes)
    for keyword, values in clauses[1:]:
        if keyword == "params":
            _nvpairs(primitive, "instance_attributes", identity, values)
        elif keyword == "meta":
            _nvpairs(primitive, "meta_attributes", identity, values)
    _operations(primitive, identity, [values for keyword, values in clauses if keyword == "op"])


def _operations(primitive: etree._Element, identity: str, all_values: list[list[str]]) -> None:
    if not all_values:
        return
    operations = etree.SubElement(primitive, "operations")
    for values in all_values:
        options = dict(value.split("=", 1) for value in values[1:])
        options.setdefault("interval", "0")
        name = values[0]
        etree.SubElement(operations, "op", {"id": f"{identity}-{name}-{options['interval']}", "name": name, **options})


def _group(configuration: etree._Element, words: list[str]) -> None:
    _collection(configuration, "group", words)


def _clone(configuration: etree._Element, words: list[str]) -> None:
    _collection(configuration, "clone", words)


def _collection(configuration: etree._Element, kind: str, words: list[str]) -> None:
    """The members have been defined by earlier lines and move into the collection."""
    clauses = _clauses(words)
    identity, *members = clauses[0][1]
    resources = _section(configuration, "resources")
    collection = etree.SubElement(resources, kind, id=identity)
    for keyword, values in clauses[1:]:
        if keyword == "meta":
            _nvpairs(collection, "meta_attributes", identity, values)
    for member in members:
        found = next((child for child in resources if child.get("id") == member), None)
        if found is None:
            raise ValueError(f"{member} is not defined before this line")
        collection.append(found)


def _score(word: str) -> str:
    if not word.endswith(":"):
        raise ValueError(f"{word!r} is no score: it ends with a colon")
    return SCORES.get(word[:-1].lower(), word[:-1])


def _location(configuration: etree._Element, words: list[str]) -> None:
    identity, resource, score, node = words
    etree.SubElement(
        _section(configuration, "constraints"), "rsc_location",
        {"id": identity, "rsc": resource, "score": _score(score), "node": node},
    )  # fmt: skip


def _colocation(configuration: etree._Element, words: list[str]) -> None:
    identity, score, resource, with_resource = words
    etree.SubElement(
        _section(configuration, "constraints"), "rsc_colocation",
        {"id": identity, "score": _score(score), "rsc": resource, "with-rsc": with_resource},
    )  # fmt: skip


def _order(configuration: etree._Element, words: list[str]) -> None:
    identity, first, then = words
    etree.SubElement(
        _section(configuration, "constraints"), "rsc_order", {"id": identity, "first": first, "then": then}
    )


def _defaults(configuration: etree._Element, words: list[str]) -> None:
    _nvpairs(_section(configuration, "rsc_defaults"), "meta_attributes", "rsc-options", words)


def _node(configuration: etree._Element, words: list[str]) -> None:
    name, *attributes = words
    node = etree.SubElement(_section(configuration, "nodes"), "node", id=name, uname=name)
    _nvpairs(node, "instance_attributes", f"nodes-{name}", attributes)


_BUILDERS: dict[str, Callable[[etree._Element, list[str]], None]] = {
    "property": _property,
    "node": _node,
    "primitive": _primitive,
    "group": _group,
    "clone": _clone,
    "location": _location,
    "colocation": _colocation,
    "order": _order,
    "rsc_defaults": _defaults,
}
