# SPDX-License-Identifier: GPL-2.0-or-later
"""The grammar of a CIB, in RELAX NG of our own writing (one file for each area; cib.rng includes the others)."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from lxml import etree

from ha.cib.model.schema import RNG, Schema


def _grammar(name: str) -> etree._Element:
    data = resources.files(__package__).joinpath(name).read_bytes()
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True, resolve_entities=False, no_network=True)
    root = etree.fromstring(data, parser)
    for include in root.findall(f"{RNG}include"):
        root.remove(include)
        root.extend(list(_grammar(include.get("href", ""))))
    return root


@lru_cache(maxsize=1)
def load() -> Schema:
    """The one schema, read from the package and compiled once in a process."""
    return Schema(_grammar("cib.rng"))
