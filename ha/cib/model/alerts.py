# SPDX-License-Identifier: GPL-2.0-or-later
"""What the grammar cannot say of alerts: an agent that can be called, a time that is one, parameters that can be told.

A write may not add a breach; what an older CIB brings along is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml import etree

from ha.cib.model.parse import describe, line_of
from ha.cib.model.refusal import Rc, Refusal

RESERVED_PREFIX = "CRM_alert_"
MAX_TIMESTAMP_FORMAT = 256

_TIME = re.compile(r"\s*[0-9]+(\.[0-9]+)?\s*(ms|msec|us|usec|s|sec|m|min|h|hr)?\s*|P[0-9YMWDTHS.,]+")
_BOOLEAN = re.compile(r"true|false|on|off|yes|no|y|n|1|0", re.IGNORECASE)
_VARIABLE = re.compile(r"[^\x00-\x20=]{1,256}")


def breaches(root: etree._Element, line: Callable[[etree._Element], int] = line_of) -> dict[tuple[str, str], Refusal]:
    """Faults of the alerts section, by (element, rule)."""
    found: dict[tuple[str, str], Refusal] = {}
    for element in root.iterfind("configuration/alerts//*"):
        rule = _fault(element)
        if rule:
            found[describe(element), rule] = Refusal(Rc.CONFIG, rule, describe(element), line(element))
    return found


def _fault(element: etree._Element) -> str:
    if element.tag == "alert":
        path = element.get("path", "")
        return "" if path.startswith("/") else f"path={path!r} is not allowed: it must be an absolute path"
    if element.tag == "select":
        return "" if next(element.itersiblings("select", preceding=True), None) is None else "its alert has one already"
    if element.tag != "nvpair":
        return ""
    holder = element.getparent()
    name, value = element.get("name", ""), element.get("value", "")
    if holder is not None and holder.tag == "instance_attributes":
        return _parameter_fault(name)
    return _meta_fault(name, value)


def _parameter_fault(name: str) -> str:
    if not name:
        return ""  # a reference: the name is where it leads to
    if name.startswith(RESERVED_PREFIX):
        return f"name={name!r} is not allowed: {RESERVED_PREFIX}* is what the cluster tells the agent"
    if not _VARIABLE.fullmatch(name):
        return f"name={name!r} is not allowed: it becomes an environment variable, without blanks and '='"
    return ""


def _meta_fault(name: str, value: str) -> str:
    if name == "timeout" and not _TIME.fullmatch(value):
        return f"timeout={value!r} is not allowed: it must be a time such as 30s or 2min"
    if name == "enabled" and not _BOOLEAN.fullmatch(value):
        return f"enabled={value!r} is not allowed: it must be true or false"
    if name == "timestamp-format" and not 0 < len(value) <= MAX_TIMESTAMP_FORMAT:
        return f"timestamp-format has {len(value)} characters; it must have 1 to {MAX_TIMESTAMP_FORMAT}"
    return ""
