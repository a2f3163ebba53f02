# SPDX-License-Identifier: GPL-2.0-or-later
"""Which resources a change of a node_state is about, told from its text before and after."""

from __future__ import annotations

import re

from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.core.families import PER_RESOURCE

_ENTRY = b"<lrm_resource "
_END = b"</lrm_resources>"
_ID = re.compile(rb'(?:^|\s)id="([^"&]*)"')
MEANINGLESS = ("crm-debug-origin",)
"""Attributes of a node_state by which nothing is decided."""


def text_of(state: Element) -> bytes:
    return etree.tostring(state, with_tail=False)


def changed_names(before: bytes, after: bytes) -> set[str] | None:
    """The names, in history or of fail counts, of the resources it is about; None if it may be about all."""
    old_head, old_entries, old_rest = _split(before)
    new_head, new_entries, new_rest = _split(after)
    changed = set(old_entries) ^ set(new_entries)
    names: set[str] = set()
    for entry in changed:
        match = _ID.search(entry[: entry.find(b">")])
        if match is None:
            return None
        names.add(match.group(1).decode())
    if (old_head, old_rest) == (new_head, new_rest):
        return names
    attributes = _changed_attributes(old_head + old_rest, new_head + new_rest)
    return None if attributes is None else names | attributes


def _split(text: bytes) -> tuple[bytes, list[bytes], bytes]:
    """(what is before the history, its entries, what is behind it)."""
    end = text.find(_END)
    if end < 0:
        return text, [], b""
    head, *entries = text[:end].split(_ENTRY)
    return head, entries, text[end:]


def _changed_attributes(before: bytes, after: bytes) -> set[str] | None:
    """Of two node_states without history: the resources whose own attributes differ; None if anything else does."""
    one, other = etree.fromstring(before), etree.fromstring(after)
    pairs, other_pairs = _take_pairs(one), _take_pairs(other)
    if pairs is None or other_pairs is None or etree.tostring(one) != etree.tostring(other):
        return None
    names: set[str] = set()
    for name in [name for name in {**pairs, **other_pairs} if pairs.get(name) != other_pairs.get(name)]:
        prefix = next((prefix for prefix in PER_RESOURCE if name.startswith(prefix)), None)
        if prefix is None:
            return None
        names.add(name[len(prefix) :].partition("#")[0])
    return names


def _take_pairs(state: Element) -> dict[str, str | None] | None:
    """The transient attributes, which are taken out; None where they are not simply pairs in one set."""
    for passing in MEANINGLESS:
        state.attrib.pop(passing, "")
    pairs: dict[str, str | None] = {}
    for block in list(state.iterfind("transient_attributes/instance_attributes")):
        for pair in list(block):
            name = pair.get("name")
            if pair.tag != "nvpair" or name is None or name in pairs or len(pair):
                return None
            pairs[name] = pair.get("value")
            block.remove(pair)
    return pairs
