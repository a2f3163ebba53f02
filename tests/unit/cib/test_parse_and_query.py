# SPDX-License-Identifier: GPL-2.0-or-later
"""Text from outside: what is taken, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ha.cib.model import parse as limits
from ha.cib.model.document import Document
from ha.cib.model.parse import parse
from ha.cib.model.path import resolve
from ha.cib.model.query import answer, section, select
from ha.cib.model.refusal import Rc, Refusal

BOMB = '<!DOCTYPE c [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><cib>&b;</cib>'


@pytest.mark.parametrize(("text", "line", "rule"), [
    ("", 1, "not well-formed"),
    ("<cib>\n<a></cib>", 2, "not well-formed"),
    (BOMB, 0, "document types"),
    ('<!DOCTYPE c SYSTEM "file:///etc/passwd"><cib/>', 0, "document types"),
    ("<cib>&unknown;</cib>", 1, "not well-formed"),
    ("<cib>\n<a>words</a></cib>", 2, "text 'words'"),
    ("<cib>\n<a/>words</cib>", 1, "text 'words'"),
    ('<x:cib xmlns:x="u"/>', 1, "namespaces"),
    ('<cib xmlns:x="u" x:a="1"/>', 1, "namespaces"),
    ('<?xml version="1.0" encoding="utf-16"?><cib/>', None, "not well-formed"),
    ("<a>" * 300 + "</a>" * 300, 1, "not well-formed"),
    ("<cib a='\x01'/>", 1, "not well-formed"),
])  # fmt: skip
def test_refused(text: str, line: int | None, rule: str) -> None:
    if "utf-16" in text:
        text = text.encode("utf-16").decode("latin-1")
    with pytest.raises(Refusal) as caught:
        parse(text)
    assert caught.value.rc == Rc.DATA
    assert rule in caught.value.rule
    assert line is None or caught.value.line == line


def test_the_size_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DOCUMENT_BYTES", 10)
    with pytest.raises(Refusal, match="the limit is 10"):
        parse("<cib a='1'/>")


@given(st.binary(max_size=200))
def test_garbage_is_refused_not_fatal(data: bytes) -> None:
    try:
        parse(data)
    except Refusal as refusal:
        assert refusal.rc == Rc.DATA


@given(st.text(max_size=60))
def test_garbage_as_xpath_or_path_is_refused_not_fatal(text: str) -> None:
    root = Document.empty().root
    try:
        select(root, text)
    except Refusal as refusal:
        assert refusal.rc == Rc.USAGE
    try:
        resolve(root, text)
    except ValueError as error:
        assert "path" in str(error)


@pytest.mark.parametrize(
    "xpath", ["//*" + "[.//*]" * 60, "x" * 5000, "1+1", "count(//*)", "document('/etc/passwd')", "//[", "//a\0"]
)
def test_costly_or_foreign_xpath_is_refused(xpath: str) -> None:
    with pytest.raises(Refusal) as caught:
        select(Document.empty().root, xpath)
    assert caught.value.rc == Rc.USAGE


def test_answers() -> None:
    root = Document.empty().root

    def text(**question: object) -> str:
        return etree.tostring(answer(root, **question), encoding="unicode")  # type: ignore[arg-type]

    assert text(scope="nodes") == "<nodes/>"
    assert text(xpath="//nodes") == "<nodes/>"
    assert text(xpath="//nodes | //resources") == "<xpath-query><nodes/><resources/></xpath-query>"
    assert text(scope="configuration", no_children=True) == "<configuration/>"
    assert text().startswith("<cib ")
    for nothing in ({"scope": "acls"}, {"xpath": "//primitive"}):
        with pytest.raises(Refusal) as caught:
            answer(root, **nothing)
        assert caught.value.rc == Rc.NO_SUCH


def test_an_answer_does_not_change_the_document() -> None:
    document = Document.empty()
    before = document.snapshot().to_bytes()
    answer(document.root, xpath="//nodes | //resources", no_children=True)
    assert etree.tostring(document.root) == before


def test_parts_joined_are_the_document() -> None:
    document = Document.from_bytes(
        '<cib epoch="1" note="&lt;&quot;&amp;&#10;ä"><configuration><nodes><node id="ä"/></nodes><!-- why -->'
        "</configuration>"
        "<status><node_state id='1'/></status></cib>"
    )
    assert document.snapshot().to_bytes() == etree.tostring(document.root, encoding="utf-8")


def test_a_section_is_told_from_the_text_as_from_the_tree() -> None:
    document = Document.from_bytes(
        '<cib epoch="1"><configuration><crm_config/><nodes/><resources><primitive id="a" class="ocf" type="x"/>'
        '<group id="resources"/></resources></configuration><status><node_state id="1"/><node_state id="2"/></status>'
        "</cib>"
    )
    snapshot = document.snapshot()
    for scope in ("configuration", "crm_config", "nodes", "resources", "status"):
        element = section(document.root, scope)
        assert element is not None
        assert snapshot.section_bytes(scope) == etree.tostring(element), scope
    assert snapshot.section_bytes("constraints") is None
