# SPDX-License-Identifier: GPL-2.0-or-later
"""The three counters of a CIB as attributes of an element (`<cib>`, `<source>`, `<target>`)."""

from __future__ import annotations

from lxml import etree

from ha.cib.model.parse import describe, line_of
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.msg import Version

COUNTERS = ("admin_epoch", "epoch", "num_updates")
MAX_COUNTER = 2**62


def _counter(element: etree._Element, name: str) -> int:
    text = element.get(name, "0")
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > MAX_COUNTER:
        raise Refusal(Rc.CONFIG, f"{name}={text!r} is no counter", describe(element), line_of(element))
    return int(text)


def version_of(element: etree._Element) -> Version:
    """An absent counter is 0. Raises Refusal (78) for anything but digits."""
    return Version(
        _counter(element, "admin_epoch"), _counter(element, "epoch"), _counter(element, "num_updates")
    )


def counters(version: Version) -> dict[str, str]:
    """The attributes that say `version`."""
    return {
        "admin_epoch": str(version.admin_epoch),
        "epoch": str(version.epoch),
        "num_updates": str(version.num_updates),
    }
