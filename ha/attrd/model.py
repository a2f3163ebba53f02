# SPDX-License-Identifier: GPL-2.0-or-later
"""Names and values of transient attributes, and their place in the CIB.

Place, names and the arithmetic of values are Pacemaker's: /cib/status/node_state[@uname=N]/transient_attributes/
instance_attributes/nvpair, fail counts as `fail-count-RESOURCE#OPERATION_INTERVAL`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from lxml import etree

NAME_LIMIT = 256
VALUE_LIMIT = 65_536
INFINITY = 1_000_000

_NAME = re.compile(r"[^\s'\"<>&\x00-\x1f]+")
_NOT_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\ud800-\udfff\ufffe\uffff]")
_COUNT = re.compile(r"(?P<prefix>.*?)(?:(?P<one>\+\+)|\+=(?P<step>[+-]?(?:\d{1,9}|INFINITY)))", re.DOTALL)


class BadAttribute(ValueError):
    """A name, node or value cannot be an attribute's; says why."""


def check(node: str, name: str, value: str | None, set_id: str = "") -> None:
    """Raises BadAttribute unless all are fit for the CIB."""
    for what, text in (("node name", node), ("attribute name", name), ("set id", set_id or "-")):
        if not _NAME.fullmatch(text):
            raise BadAttribute(f"{text[:NAME_LIMIT]!r} is no {what}: no blanks, quotes, <, > or &")
        if len(text) > NAME_LIMIT:
            raise BadAttribute(f"a {what} of {len(text)} characters, the limit is {NAME_LIMIT}")
    if value is not None and len(value) > VALUE_LIMIT:
        raise BadAttribute(f"a value of {len(value)} characters, the limit is {VALUE_LIMIT}")
    if value is not None and _NOT_XML.search(value):
        raise BadAttribute(f"the value of {name} has a character that XML cannot carry")


def score(text: str | None) -> int:
    """A score's number: INFINITY is 1000000 and the bound, what is no number counts 0."""
    if text is None:
        return 0
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits == "INFINITY":
        return sign * INFINITY
    number = sign * int(digits) if re.fullmatch(r"[0-9]{1,18}", digits) else 0
    return max(-INFINITY, min(INFINITY, number))


def print_score(number: int) -> str:
    if abs(number) >= INFINITY:
        return "INFINITY" if number > 0 else "-INFINITY"
    return str(number)


def expand(name: str, value: str | None, present: str | None) -> str | None:
    """The value meant by `NAME++`, `value++`, `NAME+=3` ..., counted from the present one; any other as it is."""
    match = _COUNT.fullmatch(value) if value is not None else None
    if match is None or match["prefix"] not in (name, "value", ""):
        return value
    step = 1 if match["one"] else score(match["step"])
    before = score(present)
    # Infinity stays infinite, whatever is taken from it.
    return print_score(before if abs(before) >= INFINITY else max(-INFINITY, min(INFINITY, before + step)))


def is_failure_of(name: str, resource_id: str, operation: str, interval_ms: int) -> bool:
    """Whether the attribute counts or dates a failure: of any resource (""), of any operation ("")."""
    for prefix in ("fail-count-", "last-failure-"):
        if name.startswith(prefix):
            about, _, suffix = name.removeprefix(prefix).partition("#")
            of_resource = resource_id in ("", about)
            return of_resource and (not operation or suffix == f"{operation}_{interval_ms}")
    return False


def state_path(node: str) -> str:
    return f"/cib/status/node_state[@uname='{node}']"


def set_path(node: str) -> str:
    return f"{state_path(node)}/transient_attributes"


def pairs_path(node: str, names: Iterable[str]) -> str:
    """The nvpairs of these names, wherever below the node's transient attributes."""
    wanted = " or ".join(f"@name='{name}'" for name in names)
    return f"{set_path(node)}/instance_attributes/nvpair[{wanted}]"


def to_xml(node_id: str, pairs: Iterable[tuple[str, str, str]]) -> str:
    """A node_state holding (set id or "", name, value) each, to be merged into the node's own."""
    sets: dict[str, list[str]] = {}
    for set_id, name, value in pairs:
        set_id = set_id or f"status-{node_id}"
        pair_id = re.sub(r"[^A-Za-z0-9_.-]", ".", f"{set_id}-{name}")
        pair = f"<nvpair id={quoteattr(pair_id)} name={quoteattr(name)} value={_quote(value)}/>"
        sets.setdefault(set_id, []).append(pair)
    inner = "".join(
        f"<instance_attributes id={quoteattr(set_id)}>{''.join(texts)}</instance_attributes>"
        for set_id, texts in sets.items()
    )
    return f"<node_state><transient_attributes id={quoteattr(node_id)}>{inner}</transient_attributes></node_state>"


def _quote(value: str) -> str:
    return quoteattr(value, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def read_state(xml: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """A node_state's id and its attributes: name -> (set id, value). ValueError for what is no node_state."""
    try:
        state = etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise ValueError(f"no XML: {error}") from error
    if state.tag != "node_state" or not state.get("id"):
        raise ValueError(f"a <{state.tag}> instead of a node_state with an id")
    pairs = {}
    for place in state.iterfind("transient_attributes/instance_attributes"):
        for pair in place.iterfind("nvpair"):
            pairs[pair.get("name", "")] = (place.get("id", ""), pair.get("value", ""))
    return state.get("id", ""), pairs
