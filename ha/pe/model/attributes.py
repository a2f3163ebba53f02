# SPDX-License-Identifier: GPL-2.0-or-later
"""Attribute sets: name/value pairs in blocks with scores and rules.

Of several blocks the one with the higher score goes first, of equal ones the later; a name keeps the first value it
was given.
Source: Pacemaker Explained, "Rules".
"""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.model.document import Document
from ha.pe.model.rules import RuleInput, evaluate
from ha.pe.model.scores import parse_or


def read_blocks(
    document: Document,
    parent: Element | None,
    tag: str,
    given: RuleInput,
    values: dict[str, str],
    first_id: str | None = None,
) -> None:
    """Adds the pairs of `parent`'s blocks `tag` to `values`, where their rules pass and the name is still free.

    The block with id `first_id` goes before all others.
    """
    if parent is None:
        return
    blocks = document.children(parent, tag)
    if len(blocks) > 1:
        blocks.reverse()
        blocks.sort(key=lambda block: (block.get("id") != first_id, -parse_or(block.get("score"))))
    for block in blocks:
        rule = block.find("rule")
        if rule is not None and not evaluate(rule, given):
            continue
        first = block[0] if len(block) else None
        source = first if first is not None and first.tag == "attributes" else block
        _read_pairs(document, source, values)


def _read_pairs(document: Document, block: Element, values: dict[str, str]) -> None:
    for pair in block.iterchildren("nvpair"):
        resolved = document.resolve(pair)
        if resolved is None:
            continue
        # A reference may give the value of another pair a name of its own.
        name = pair.get("name") or resolved.get("name")
        value = resolved.get("value")
        if name is None or value is None:
            continue
        if value.lower() == "#default":
            values.pop(name, None)
        elif name not in values:
            values[name] = value
