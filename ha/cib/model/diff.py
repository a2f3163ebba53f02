# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparing two trees and applying what the comparison says (v2 diffs).

Both go through a Transaction: `reconcile` changes one tree into another in few steps, and the transaction's own diff is
then the difference of the two.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_left

from lxml import etree

from ha.cib.model.document import Document, attributes_of
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import describe, line_of
from ha.cib.model.path import Finder, key_of
from ha.cib.model.refusal import Rc, Refusal

_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def reconcile(transaction: Transaction, old: etree._Element, new: etree._Element) -> None:
    """Make `old` equal to `new` (attributes up to their order) in place. `new` is not changed."""
    if len(old) and etree.tostring(old, with_tail=False) == etree.tostring(new, with_tail=False):
        return  # most of a big CIB stays the same, and libxml2 sees that sooner than we do
    attributes = attributes_of(new)
    present = attributes_of(old)
    if attributes != present:
        kept = {name: attributes[name] for name in present if name in attributes}
        transaction.set_attributes(old, {**kept, **attributes}, line_of(new))
    old_children, new_children = list(old), list(new)
    old_keys, new_keys = [key_of(c) for c in old_children], [key_of(c) for c in new_children]
    if len(set(old_keys)) < len(old_keys) or len(set(new_keys)) < len(new_keys):
        if len(old) != len(new) or not all(same(a, b) for a, b in zip(old, new, strict=True)):
            _replace_children(transaction, old, new)
        return
    wanted = set(new_keys)
    for key, child in zip(old_keys, old_children, strict=True):
        if key not in wanted:
            transaction.remove(child)
    known = dict(zip(old_keys, old_children, strict=True))
    _place_children(transaction, old, known, new_children)
    for key, child in zip(new_keys, new_children, strict=True):
        if key in known and isinstance(child.tag, str):
            reconcile(transaction, known[key], child)


def same(one: etree._Element, other: etree._Element) -> bool:
    """Whether two trees say the same: they differ at most in the order of attributes."""
    return (
        key_of(one) == key_of(other)
        and len(one) == len(other)
        and attributes_of(one) == attributes_of(other)
        and all(same(a, b) for a, b in zip(one, other, strict=True))
    )


def _replace_children(transaction: Transaction, old: etree._Element, new: etree._Element) -> None:
    for child in list(old):
        transaction.remove(child)
    for child in new:
        transaction.append(old, child)


def _place_children(
    transaction: Transaction,
    old: etree._Element,
    known: dict[tuple[str, str | None], etree._Element],
    new_children: list[etree._Element],
) -> None:
    """Bring common children into the new order with the fewest moves, and insert copies of the new ones."""
    ranks = {child: rank for rank, child in enumerate(old)}
    common = [(known[key_of(child)], position) for position, child in enumerate(new_children) if key_of(child) in known]
    staying = _longest_rising([ranks[child] for child, _ in common])
    moving = [place for index, place in enumerate(common) if index not in staying]
    # New and moved ones go in by rising position, so each finds everything before it in place. Moved ones must be
    # out of the way by then: they are told first, at the end of the list, and then at their place.
    arrivals = [(position, child) for position, child in enumerate(new_children) if key_of(child) not in known]
    if moving:
        transaction.rearrange(
            [(child, len(old) - len(moving) + index) for index, (child, _) in enumerate(moving)]
        )
    waiting = sorted([*((p, c, True) for c, p in moving), *((p, c, False) for p, c in arrivals)], key=lambda w: w[0])
    for position, child, is_known in waiting:
        if is_known:
            transaction.rearrange([(child, position)])
        else:
            transaction.insert(old, position, child)


def _longest_rising(ranks: list[int]) -> set[int]:
    """Indices of a longest rising subsequence of distinct numbers (patience sorting)."""
    tails: list[int] = []
    tops: list[int] = []
    before: list[int] = [-1] * len(ranks)
    for index, rank in enumerate(ranks):
        pile = bisect_left(tops, rank)
        before[index] = tails[pile - 1] if pile else -1
        if pile == len(tops):
            tops.append(rank)
            tails.append(index)
        else:
            tops[pile] = rank
            tails[pile] = index
    chosen: set[int] = set()
    index = tails[-1] if tails else -1
    while index >= 0:
        chosen.add(index)
        index = before[index]
    return chosen


def diff_of(old: Document, new: Document, with_version: bool = True) -> etree._Element | None:
    """The v2 diff that turns `old` into `new`; one without <change> when they are equal.

    None when no diff can tell it. Neither document is changed.
    """
    work = Document(copy.deepcopy(old.root))
    transaction = Transaction(work)
    reconcile(transaction, work.root, new.root)
    return transaction.diff(with_version)


def apply_diff(transaction: Transaction, diff: etree._Element) -> None:
    """Carry out a v2 diff. Versions are the caller's business, except where <cib> itself is modified.

    Raises Refusal: 65 for what is no v2 diff, 105 when a path does not exist, 104 when the diff does not fit the
    document in another way. The caller rolls back.
    """
    if diff.tag != "diff" or diff.get("format") != "2":
        raise Refusal(Rc.DATA, 'a patch is a <diff format="2">', describe(diff), line_of(diff))
    moves: list[tuple[int, etree._Element, etree._Element | None, etree._Element]] = []
    finder = Finder(transaction.document.root)
    for change in diff.iterchildren("change"):
        target = _target(finder, change)
        operation = change.get("operation")
        if operation == "delete":
            if target is transaction.document.root:
                raise Refusal(Rc.DIGEST, "the root cannot be deleted", describe(change), line_of(change))
            finder.gone(target)
            transaction.remove(target)
        elif operation == "modify":
            result = _result(change, target)
            if result.get("id") != target.get("id"):
                finder.renamed(target)
            transaction.set_attributes(target, result, line_of(change))
        elif operation == "create":
            moves.append((_position(change), target, _operand(change), change))
        elif operation == "move":
            moves.append((_position(change), target, None, change))
        else:
            raise Refusal(Rc.DATA, f"unknown operation {operation!r}", describe(change), line_of(change))
    _apply_places(transaction, moves)


def _apply_places(
    transaction: Transaction, places: list[tuple[int, etree._Element, etree._Element | None, etree._Element]]
) -> None:
    places.sort(key=lambda place: place[0])
    moved = [place[1] for place in places if place[2] is None]
    if any(element.getparent() is None for element in moved) or len(set(moved)) != len(moved):
        raise Refusal(Rc.DIGEST, "an element is moved twice, or was deleted", line=line_of(places[0][3]))
    parents = {element: element.getparent() for element in moved}
    transaction.rearrange([(element, _end(element, moved)) for element in moved])
    for position, target, operand, change in places:
        parent = target if operand is not None else parents[target]
        assert parent is not None, "checked above"
        size = len(parent) - (operand is None)
        if position > size:
            raise Refusal(Rc.DIGEST, f"position {position} of {size}", describe(change), line_of(change))
        if operand is not None:
            transaction.insert(parent, position, operand)
        else:
            transaction.rearrange([(target, position)])


def _end(element: etree._Element, moved: list[etree._Element]) -> int:
    """Where to park an element that is moved: behind all that stay, in order."""
    parent = element.getparent()
    assert parent is not None, "checked by the caller"
    siblings = [other for other in moved if other.getparent() is parent]
    return len(parent) - len(siblings) + siblings.index(element)


def _target(finder: Finder, change: etree._Element) -> etree._Element:
    try:
        target = finder.resolve(change.get("path", ""))
    except ValueError as error:
        raise Refusal(Rc.DATA, str(error), describe(change), line_of(change)) from error
    if target is None:
        raise Refusal(Rc.NO_SUCH, f"no element at {change.get('path')}", describe(change), line_of(change))
    return target


def _result(change: etree._Element, target: etree._Element) -> dict[str, str]:
    """The attributes after a modify: those of <change-result>, else the present ones as <change-list> changes them."""
    result = change.find("change-result")
    if result is not None and len(result) == 1:
        return attributes_of(result[0])
    attributes = attributes_of(target)
    for item in change.iterfind("change-list/change-attr"):
        name = item.get("name", "")
        if item.get("operation") == "unset":
            attributes.pop(name, None)
        elif _NAME.fullmatch(name):
            attributes[name] = item.get("value", "")
        else:
            raise Refusal(Rc.DATA, f"{name[:80]!r} is no name of an attribute", describe(item), line_of(item))
    return attributes


def _operand(change: etree._Element) -> etree._Element:
    if len(change) != 1:
        raise Refusal(Rc.DATA, "a create holds one element", describe(change), line_of(change))
    return change[0]


def _position(change: etree._Element) -> int:
    text = change.get("position", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(Rc.DATA, f"position {text!r} is no number", describe(change), line_of(change))
    return int(text)
