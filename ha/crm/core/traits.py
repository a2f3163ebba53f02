# SPDX-License-Identifier: GPL-2.0-or-later
"""What an agent's meta-data says of its parameters (OCF 1.1, and 1.0 with `unique` in place of `reloadable`)."""

from __future__ import annotations

from lxml import etree

from ha.crm.msg import AgentTraits
from ha.pe.model.values import boolean

MAX_METADATA_BYTES = 1024 * 1024


def read_traits(text: str) -> AgentTraits | None:
    """None when it is no meta-data: the agent then has no digests but the plain one."""
    data = text.encode()
    if len(data) > MAX_METADATA_BYTES:
        return None
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return None
    parameters = root.findall("parameters/parameter")
    actions = {action.get("name") for action in root.iterfind("actions/action")}
    by_mark = "reload-agent" in actions
    reloadable = [
        p.get("name", "") for p in parameters
        if (boolean(p.get("reloadable")) if by_mark else p.get("unique") is not None and not boolean(p.get("unique")))
    ]
    return AgentTraits(
        parameters=tuple(sorted(p.get("name", "") for p in parameters)),
        reloadable=tuple(sorted(reloadable)),
        private=tuple(sorted(p.get("name", "") for p in parameters if boolean(p.get("private")))),
        reloads=by_mark or "reload" in actions,
    )
