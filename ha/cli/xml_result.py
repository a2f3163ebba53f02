# SPDX-License-Identifier: GPL-2.0-or-later
"""The XML answer of a command: `<pacemaker-result>` with a `<status>` at its end, also when it failed.

Source: the API schema that pcs validates against (api-version 2.25 is what Debian 12's clients know).
"""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

API_VERSION = "2.25"


class XmlResult:
    """Collects what a command has to say and prints it once."""

    def __init__(self, request: Sequence[str]) -> None:
        self.root = etree.Element("pacemaker-result", {"api-version": API_VERSION, "request": " ".join(request)})

    def finish(self, code: int, message: str, errors: Sequence[str] = ()) -> str:
        """The whole document. To be called once, as the last thing."""
        status = etree.SubElement(self.root, "status", {"code": str(code), "message": message})
        if errors:
            listed = etree.SubElement(status, "errors")
            for text in errors:
                etree.SubElement(listed, "error").text = text
        return etree.tostring(self.root, encoding="unicode", pretty_print=True)


def yes_no(value: bool) -> str:
    """A boolean as XML attributes carry it."""
    return "true" if value else "false"
