# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fence agent's meta-data says of it."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

MAX_NAMES = 1_000


class MetadataError(ValueError):
    """The document is no meta-data."""


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """Names of parameters (but deprecated ones that have a successor) and of actions.

    `unfences`: its action `on` is automatic. `on_target`: it works on the node itself only.
    """

    parameters: tuple[str, ...]
    actions: tuple[str, ...]
    unfences: bool
    on_target: bool


def parse_metadata(document: bytes) -> AgentDescription:
    """Raises MetadataError."""
    try:
        root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise MetadataError(f"the meta-data is no XML: {error}") from error
    if root.tag != "resource-agent":
        raise MetadataError(f"<{root.tag}> is no meta-data of an agent")
    obsoleted = {parameter.get("obsoletes", "") for parameter in root.iter("parameter")}
    parameters = [parameter.get("name", "") for parameter in root.iter("parameter")]
    actions = [action.get("name", "") for action in root.iter("action")]
    on = [action for action in root.iter("action") if action.get("name") == "on"]
    return AgentDescription(
        parameters=tuple(name for name in parameters if name and name not in obsoleted)[:MAX_NAMES],
        actions=tuple(name for name in actions if name)[:MAX_NAMES],
        unfences=any(_is_true(action.get("automatic")) or _is_true(action.get("required")) for action in on),
        on_target=any(_is_true(action.get("on_target")) for action in on),
    )


def _is_true(word: str | None) -> bool:
    return (word or "").lower() in ("1", "true", "yes", "on", "y")
