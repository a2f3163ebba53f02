# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fence agent's meta-data says of it."""

from __future__ import annotations

from lxml import etree

MAX_NAMES = 1_000


class MetadataError(ValueError):
    """The document is no meta-data."""


def parse_metadata(document: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of parameters (but deprecated ones that have a successor) and of actions. Raises MetadataError."""
    try:
        root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise MetadataError(f"the meta-data is no XML: {error}") from error
    if root.tag != "resource-agent":
        raise MetadataError(f"<{root.tag}> is no meta-data of an agent")
    obsoleted = {parameter.get("obsoletes", "") for parameter in root.iter("parameter")}
    parameters = [parameter.get("name", "") for parameter in root.iter("parameter")]
    actions = [action.get("name", "") for action in root.iter("action")]
    return (
        tuple(name for name in parameters if name and name not in obsoleted)[:MAX_NAMES],
        tuple(name for name in actions if name)[:MAX_NAMES],
    )
