# SPDX-License-Identifier: GPL-2.0-or-later
"""The XML answer of a command: `<pacemaker-result>` with a `<status>` at its end, also when it failed.

Source: the API schema that pcs validates against (api-version 2.25 is what Debian 12's clients know).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from lxml import etree

API_VERSION = "2.25"
NOT_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\ud800-\udfff\ufffe\uffff]")
"""A character that XML cannot hold: of a command line, of the name of a file. (The few that it cannot, not all but the
many that it can: that one took 6 ms of each command's start to compile, this one 0.6.)"""


class XmlResult:
    """Collects what a command has to say and prints it once."""

    def __init__(self, request: Sequence[str]) -> None:
        asked = as_xml(shlex.join(request))
        self.root = etree.Element("pacemaker-result", {"api-version": API_VERSION, "request": asked})

    def finish(self, code: int, message: str, errors: Sequence[str] = ()) -> str:
        """The whole document. To be called once, as the last thing."""
        status = etree.SubElement(self.root, "status", {"code": str(code), "message": message})
        if errors:
            listed = etree.SubElement(status, "errors")
            for text in errors:
                etree.SubElement(listed, "error").text = as_xml(text)
        return etree.tostring(self.root, encoding="unicode", pretty_print=True)


def as_xml(text: str) -> str:
    """The text with what XML cannot hold by its number."""
    return NOT_XML.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def yes_no(value: bool) -> str:
    """A boolean as XML attributes carry it."""
    return "true" if value else "false"
