# SPDX-License-Identifier: GPL-2.0-or-later
"""From text to a tree, without trusting the text.

No entities, no document type, no network, nothing but UTF-8; sizes and depth have limits. libxml2's own limits (depth
256, one text or attribute 10 MB) stay on: `huge_tree` is never used.
"""

from __future__ import annotations

from typing import cast

from lxml import etree

from ha.cib.model.refusal import Rc, Refusal

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""A CIB, and any XML that is given to change it. 32 nodes with 1000 resources make 16 MB."""
MAX_DEPTH = 256
"""Nested elements, kept by libxml2; the deepest real ones (rules in sets in a group in a clone) stay under 20."""

_text_between = etree.XPath("//text()[normalize-space()][1]")
_namespaced = etree.XPath("(//*[namespace-uri()] | //*[@*[namespace-uri()]])[1]")


_parser = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    remove_blank_text=True,
    remove_pis=True,
    huge_tree=False,
)


def parse(data: bytes | str, is_own: bool = False) -> etree._Element:
    """The root element of `data`. Raises Refusal (65) with the line for anything that is no plain, bounded XML.

    `is_own` spares text that another cib wrote the search for what no cib would write.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > MAX_DOCUMENT_BYTES:
        raise Refusal(Rc.DATA, f"the XML is {len(data)} bytes long; the limit is {MAX_DOCUMENT_BYTES}")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise Refusal(Rc.DATA, "document types and entities are not accepted")
    try:
        root = etree.fromstring(data.strip(), _parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 0) or 0
        raise Refusal(Rc.DATA, f"not well-formed XML: {getattr(error, 'msg', None) or error}", line=line) from error
    if not is_own:
        _check_shape(root)
    return root


def _check_shape(root: etree._Element) -> None:
    """No namespaces and no text between elements: the CIB has neither, so they are mistakes."""
    texts = cast("list[etree._ElementUnicodeResult]", _text_between(root))
    if texts:
        holder = texts[0].getparent()
        assert holder is not None
        above = holder.getparent()
        if texts[0].is_tail and above is not None:
            holder = above
        rule = f"text {texts[0].strip()[:40]!r} between elements"
        raise Refusal(Rc.DATA, rule, describe(holder), line_of(holder))
    strangers = cast("list[etree._Element]", _namespaced(root))
    if strangers:
        rule = "namespaces are not accepted"
        raise Refusal(Rc.DATA, rule, describe(strangers[0]), line_of(strangers[0]))


def line_of(element: etree._Element) -> int:
    line = element.sourceline
    return line if isinstance(line, int) else 0


def describe(element: etree._Element) -> str:
    """How a message names an element: <primitive id="web">."""
    if not isinstance(element.tag, str):
        return "comment"
    identity = element.get("id")
    return f'<{element.tag} id="{identity}">' if identity is not None else f"<{element.tag}>"
