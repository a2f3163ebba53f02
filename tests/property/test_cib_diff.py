# SPDX-License-Identifier: GPL-2.0-or-later
"""A diff applied to what it was made from gives what it was made for, byte for byte; undoing leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ha.cib.model.diff import apply_diff, diff_of, reconcile, same
from ha.cib.model.document import Document
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import parse

_TAGS = ("primitive", "group", "nvpair", "attribute")
_VALUES = st.sampled_from(["", "a", "b & <c>", "it's", 'say "x"', "ä\n"])


def _element(children: st.SearchStrategy[list[etree._Element]]) -> st.SearchStrategy[etree._Element]:
    def build(
        tag: str, identity: str | None, attributes: dict[str, str], inner: list[etree._Element]
    ) -> etree._Element:
        element = etree.Element(tag, {**({"id": identity} if identity is not None else {}), **attributes})
        element.extend(copy.deepcopy(child) for child in inner)
        return element

    identity = st.one_of(st.sampled_from(["1", "2", "3", "4", "5", "it's"]), st.none())
    attributes = st.dictionaries(st.sampled_from(["name", "value", "score"]), _VALUES, max_size=3)
    return st.builds(build, st.sampled_from(_TAGS), identity, attributes, children)


_comment = st.builds(etree.Comment, st.sampled_from(["one", "two"]))
_trees = st.recursive(
    _element(st.just([])), lambda inner: _element(st.lists(st.one_of(inner, _comment), max_size=6)), max_leaves=25
)


@st.composite
def _documents(draw: Callable[[st.SearchStrategy[list[etree._Element]]], list[etree._Element]]) -> Document:
    document = Document.empty()
    for section in document.root.iter("crm_config", "resources", "status"):
        section.extend(copy.deepcopy(child) for child in draw(st.lists(_trees, max_size=6)))
    return Document(parse(etree.tostring(document.root)))


@settings(max_examples=60, deadline=None)
@given(_documents(), _documents())
def test_diff_then_apply(old: Document, new: Document) -> None:
    before = old.snapshot()
    diff = diff_of(old, new)
    assert old.snapshot() == before
    if diff is None:
        return
    transaction = Transaction(old)
    apply_diff(transaction, parse(etree.tostring(diff)))
    assert same(old.root, new.root)
    assert old.snapshot().to_bytes() == etree.tostring(old.root, encoding="utf-8")
    assert old.snapshot().digest == Document.from_bytes(old.snapshot().to_bytes()).snapshot().digest
    transaction.rollback()
    assert old.snapshot() == before


@settings(max_examples=60, deadline=None)
@given(_documents(), _documents(), _documents())
def test_the_transactions_diff_repeats_it_elsewhere(first: Document, second: Document, third: Document) -> None:
    """Several changes on top of one another; a replica that gets the diff has the same bytes."""
    replica = Document.from_bytes(first.snapshot().to_bytes())
    transaction = Transaction(first)
    reconcile(transaction, first.root, second.root)
    reconcile(transaction, first.root, third.root)
    diff = transaction.diff()
    if diff is not None:
        apply_diff(Transaction(replica), parse(etree.tostring(diff)))
        assert replica.snapshot() == first.snapshot()


@given(_documents())
def test_equal_documents_have_an_empty_diff(document: Document) -> None:
    diff = diff_of(document, Document.from_bytes(document.snapshot().to_bytes()))
    assert diff is not None
    assert diff.find("change") is None
