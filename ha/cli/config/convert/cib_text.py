# SPDX-License-Identifier: GPL-2.0-or-later
"""Building and printing a CIB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lxml import etree

from ha.cib.model.document import Document
from ha.cib.model.references import dangling, duplicates
from ha.cib.model.upgrade import free_id
from ha.cib.schema import load as load_schema
from ha.cli.config.convert.model import ConversionError


def new_cib() -> etree._Element:
    """An empty, valid CIB of the present schema."""
    root = Document.empty().root
    configuration = root.find("configuration")
    assert configuration is not None
    etree.SubElement(configuration, "rsc_defaults")
    return root


def section(root: etree._Element, tag: str) -> etree._Element:
    """A section of the configuration, made when it is not there."""
    configuration = root.find("configuration")
    assert configuration is not None
    found = configuration.find(tag)
    return found if found is not None else etree.SubElement(configuration, tag)


def add_pairs(parent: etree._Element, tag: str, identity: str, pairs: Mapping[str, str]) -> None:
    """A set of nvpairs, each called IDENTITY-NAME. None when there are no pairs."""
    if not pairs:
        return
    holder = etree.SubElement(parent, tag, {"id": identity})
    for name, value in pairs.items():
        etree.SubElement(holder, "nvpair", {"id": f"{identity}-{name}", "name": name, "value": value})


def option(root: etree._Element, tag: str, name: str, value: str) -> None:
    """Set an option in the first set of a section (crm_config, rsc_defaults, op_defaults)."""
    set_tag = "cluster_property_set" if tag == "crm_config" else "meta_attributes"
    holder = section(root, tag).find(set_tag)
    if holder is None:
        identity = "cib-bootstrap-options" if tag == "crm_config" else f"{tag}-options"
        holder = etree.SubElement(section(root, tag), set_tag, {"id": free_id(root, identity)})
    for pair in holder.iterchildren("nvpair"):
        if pair.get("name") == name:
            pair.set("value", value)
            return
    identity = free_id(root, f"{holder.get('id')}-{name}")
    etree.SubElement(holder, "nvpair", {"id": identity, "name": name, "value": value})


def take(element: etree._Element, name: str) -> str | None:
    """The value of an attribute, which the element has no longer."""
    value = element.get(name)
    if value is not None:
        del element.attrib[name]
    return value


def text_of(root: etree._Element) -> str:
    etree.indent(root)
    return etree.tostring(root, encoding="unicode", pretty_print=True)


def check_valid(root: etree._Element, filename: str) -> None:
    """The result obeys our own schema, ids and references included. Raises ConversionError."""
    copy = Document.from_bytes(etree.tostring(root))
    refusal = load_schema().check(copy)
    problems = [refusal] if refusal is not None else []
    problems += [*duplicates(copy.root), *dangling(copy.root).values()]
    if problems:  # without the line, which is none of the text that was given
        raise ConversionError(f"{filename}: not a valid CIB: {replace(problem, line=0)}" for problem in problems)
