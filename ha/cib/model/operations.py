# SPDX-License-Identifier: GPL-2.0-or-later
"""The operations on a CIB: what `cibadmin` can order, on a document, within a transaction.

Matching is by tag and id. Behaviour is that of Pacemaker 2.1's cibadmin, observed:

create    puts the operand into its section; 108 when its place is taken
modify    merges the operand into what it matches, anywhere in the scope; missing descendants are added; 105 when
          nothing matches, unless it may be created
replace   puts the operand in place of what it matches; a whole CIB of an older version is refused with 103
delete    removes the first match (tag, id, and all attributes given); without a match it is done already (0)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from lxml import etree

from ha.cib.model.diff import apply_diff, reconcile
from ha.cib.model.document import SCHEMA_DEFAULT, Document, attributes_of
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import describe, line_of, parse
from ha.cib.model.path import key_of
from ha.cib.model.query import container_of, section, select
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.sections import SECTIONS
from ha.cib.model.upgrade import upgrade_acls
from ha.cib.model.version import COUNTERS, MAX_COUNTER, counters, version_of
from ha.cib.msg import Version, Write

INFINITY = 1_000_000
_INCREMENT = re.compile(r"([A-Za-z_][\w.-]*)(?:(\+\+)|\+=(\d{1,9}))\Z")
_SECTION_TAGS = frozenset((*SECTIONS, "status", "configuration"))


def perform(document: Document, write: Write) -> Transaction:
    """Carry out `write`, and raise the version accordingly. Validity is not judged here.

    Returns the transaction, which the caller keeps or rolls back. Raises Refusal with the document as it was.
    """
    operand = parse(write.xml) if write.xml else None
    transaction = Transaction(document)
    try:
        wanted = _wanted_version(operand)
        _OPERATIONS[write.operation](transaction, write, operand)
        if not transaction.is_empty or _is_raised_by_hand(transaction.before, wanted):
            _raise_version(transaction, write, wanted)
    except Refusal:
        transaction.rollback()
        raise
    return transaction


# Versions ------------------------------------------------------------------------------------------------------------


def _is_raised_by_hand(present: Version, wanted: Version | None) -> bool:
    return wanted is not None and (wanted.admin_epoch, wanted.epoch) > (present.admin_epoch, present.epoch)


def _raise_version(transaction: Transaction, write: Write, wanted: Version | None) -> None:
    """epoch rises with the configuration, num_updates with the status; a higher version by hand is kept."""
    before = transaction.before
    if write.operation == "erase":
        version = Version(before.admin_epoch + 1, before.epoch, 0)
    elif transaction.touches_configuration or write.operation in ("bump", "upgrade", "sync"):
        version = Version(before.admin_epoch, before.epoch + 1, 0)
    else:
        version = Version(before.admin_epoch, before.epoch, before.num_updates + 1)
    if wanted is not None and _is_raised_by_hand(before, wanted):
        version = max(version, wanted)
    set_version(transaction, version)


def _wanted_version(operand: etree._Element | None) -> Version | None:
    if operand is None:
        return None
    if operand.tag == "cib":
        return version_of(operand)
    target = operand.find("version/target") if operand.tag == "diff" else None
    return version_of(target) if target is not None else None


def set_version(transaction: Transaction, version: Version) -> None:
    root = transaction.document.root
    transaction.set_attributes(root, {**attributes_of(root), **counters(version)})


def stamp(transaction: Transaction, write: Write, program: str, unix_ms: int) -> None:
    """Say in <cib> when the configuration was changed last, by which program, user and node."""
    root = transaction.document.root
    when = datetime.fromtimestamp(unix_ms / 1000, UTC)
    attributes = attributes_of(root)
    attributes["cib-last-written"] = when.strftime("%a %b %e %H:%M:%S %Y")
    for name, value in (("update-origin", write.origin), ("update-client", program), ("update-user", write.user)):
        if value:
            attributes[name] = value
        else:
            attributes.pop(name, None)
    transaction.set_attributes(root, attributes)


# Operations ----------------------------------------------------------------------------------------------------------


def _required(write: Write, operand: etree._Element | None) -> etree._Element:
    if operand is None:
        raise Refusal(Rc.USAGE, f"{write.operation} needs XML to work with")
    return operand


def _scope(transaction: Transaction, write: Write, operand: etree._Element) -> etree._Element:
    """The element of the scope; created when it is a known section that the document lacks."""
    root = transaction.document.root
    name = write.scope or (operand.tag if operand.tag in _SECTION_TAGS else "")
    found = section(root, name)
    if found is None:
        above = container_of(root, name)
        if above is None:
            raise Refusal(Rc.NO_SUCH, f"the CIB has no place for section {name!r}")
        transaction.append(above, etree.Element(name))
        found = section(root, name)
        assert found is not None, "just created"
    return found


def _hits(transaction: Transaction, write: Write) -> list[etree._Element]:
    hits = select(transaction.document.root, write.xpath)
    if not hits:
        raise Refusal(Rc.NO_SUCH, f"nothing at {write.xpath}")
    return hits


def _create(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    operand = _required(write, operand)
    if write.xpath:
        transaction.append(_hits(transaction, write)[0], operand)
        return
    if operand.tag == "cib":
        _modify(transaction, write, operand)
        return
    place = _scope(transaction, write, operand)
    for child in [*operand] if operand.tag == place.tag else [operand]:
        _create_child(transaction, place, child)


def _create_child(transaction: Transaction, place: etree._Element, child: etree._Element) -> None:
    if any(key_of(other) == key_of(child) for other in place):
        raise Refusal(Rc.EXISTS, f"is already in <{place.tag}>", describe(child), line_of(child))
    transaction.append(place, child)


def _modify(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    operand = _required(write, operand)
    if write.xpath:
        hit = _hits(transaction, write)[0]
        if key_of(hit) != key_of(operand) and not (operand.get("id") is None and hit.tag == operand.tag):
            raise Refusal(Rc.NO_SUCH, f"{describe(hit)} is found instead", describe(operand), line_of(operand))
        _merge(transaction, hit, operand)
        return
    place = _scope(transaction, write, operand) if operand.tag != "cib" else transaction.document.root
    target = _find(place, operand)
    if target is not None:
        _merge(transaction, target, operand)
    elif write.allow_create:
        transaction.append(place, operand)
    else:
        raise Refusal(Rc.NO_SUCH, f"there is none in <{place.tag}>", describe(operand), line_of(operand))


def _merge(transaction: Transaction, target: etree._Element, operand: etree._Element) -> None:
    """Attributes of the operand win; children are merged by tag and id, or added."""
    attributes = attributes_of(target)
    for name, value in attributes_of(operand).items():
        if target is transaction.document.root and name in COUNTERS:
            continue
        attributes[name] = _incremented(attributes.get(name, ""), name, value)
    transaction.set_attributes(target, attributes, line_of(operand))
    known = {key_of(child): child for child in reversed(target)}
    for child in operand:
        match = known.get(key_of(child))
        if match is None:
            transaction.append(target, child)
            known[key_of(child)] = target[-1]
        elif isinstance(child.tag, str):
            _merge(transaction, match, child)


def _incremented(old: str, name: str, value: str) -> str:
    """`value="value++"` and `value="value+=2"` count from the present value, up to INFINITY."""
    step = _INCREMENT.match(value)
    if step is None or step.group(1) != name:
        return value
    present = INFINITY if old in ("INFINITY", "+INFINITY") else int(old) if old.isascii() and old.isdigit() else 0
    result = present + (1 if step.group(2) else int(step.group(3)))
    return "INFINITY" if result >= INFINITY else str(result)


def _find(place: etree._Element, operand: etree._Element) -> etree._Element | None:
    """The first element at or below `place` with the operand's tag and, when it has one, its id."""
    identity = operand.get("id")
    for element in place.iter(operand.tag):
        if identity is None or element.get("id") == identity:
            return element
    return None


def _replace(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    operand = _required(write, operand)
    root = transaction.document.root
    if write.xpath:
        _replace_element(transaction, _hits(transaction, write)[0], operand)
        return
    if operand.tag == "cib" and write.scope in ("", "cib", "all"):
        _refuse_older(transaction.before, version_of(operand))
        reconcile_whole(transaction, operand)
        return
    if operand.tag == "cib":
        inner = section(operand, write.scope)
        if inner is None:
            raise Refusal(Rc.DATA, f"the XML has no section {write.scope!r}", describe(operand), line_of(operand))
        operand = inner
    place = root if operand.tag in _SECTION_TAGS else _scope(transaction, write, operand)
    target = _find(place, operand)
    if target is None and operand.tag in _SECTION_TAGS:
        target = _scope(transaction, write, operand)
    if target is None:
        raise Refusal(Rc.NO_SUCH, f"there is none in <{place.tag}>", describe(operand), line_of(operand))
    _replace_element(transaction, target, operand)


def _replace_element(transaction: Transaction, target: etree._Element, operand: etree._Element) -> None:
    if target is transaction.document.root:
        raise Refusal(Rc.USAGE, "the root is replaced by a whole <cib>, without an XPath")
    if key_of(target) == key_of(operand):
        reconcile(transaction, target, operand)
        return
    parent = target.getparent()
    assert parent is not None, "only the root has none"
    index = parent.index(target)
    transaction.remove(target)
    transaction.insert(parent, index, operand)


def _refuse_older(present: Version, offered: Version) -> None:
    if offered < present:
        raise Refusal(Rc.OLD, f"the CIB given has version {offered}, older than the present {present}")


def reconcile_whole(transaction: Transaction, operand: etree._Element) -> None:
    """Make the document equal to `operand` in all but the counters, which `operand` loses to the present ones."""
    for name, value in counters(transaction.document.version).items():
        operand.set(name, value)
    reconcile(transaction, transaction.document.root, operand)


def _delete(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    if write.xpath:
        hits = select(transaction.document.root, write.xpath)
        for hit in hits if write.operation == "delete-all" else hits[:1]:
            if any(above is transaction.document.root for above in hit.iterancestors()):
                transaction.remove(hit)
        return
    operand = _required(write, operand)
    place = section(transaction.document.root, write.scope)
    if place is None:
        return
    for wanted in [*operand] if operand.tag == place.tag and len(operand) else [operand]:
        matches = list(_matches(place, wanted))
        for match in matches if write.operation == "delete-all" else matches[:1]:
            transaction.remove(match)


def _matches(place: etree._Element, wanted: etree._Element) -> Iterator[etree._Element]:
    """Elements below `place` with the tag and every attribute that `wanted` has."""
    attributes = attributes_of(wanted)
    for element in place.iterdescendants(wanted.tag):
        if all(element.get(name) == value for name, value in attributes.items()):
            yield element


def _erase(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    """Back to an empty CIB that keeps its attributes. Deleting a whole configuration wants `force`."""
    if not write.force:
        raise Refusal(Rc.UNSAFE, "erasing the whole CIB wants --force")
    root = transaction.document.root
    empty = Document.empty().root
    for name in attributes_of(empty):
        del empty.attrib[name]
    for name, value in attributes_of(root).items():
        empty.set(name, value)
    reconcile(transaction, root, empty)


def _patch(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    operand = _required(write, operand)
    source = operand.find("version/source")
    if source is not None and version_of(source) != transaction.before:
        present, made_for = transaction.before, version_of(source)
        raise Refusal(Rc.OLD, f"the patch was made for version {made_for}; the CIB has {present}")
    own = counters(transaction.before)
    apply_diff(transaction, operand)
    root = transaction.document.root
    transaction.set_attributes(root, {**attributes_of(root), **own})


def _bump(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    root = transaction.document.root
    version = transaction.before
    if version.epoch >= MAX_COUNTER:
        raise Refusal(Rc.CONFIG, "the epoch is at its limit; raise admin_epoch")
    bumped = counters(Version(version.admin_epoch, version.epoch + 1, 0))
    transaction.set_attributes(root, {**attributes_of(root), **bumped})


def _upgrade(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    """One grammar takes all schema versions: an upgrade rewrites what has newer words and names the newest version.

    It never names an older one.
    """
    root = transaction.document.root
    if schema_number(root.get("validate-with", "")) < schema_number(SCHEMA_DEFAULT):
        upgrade_acls(transaction)
        transaction.set_attributes(root, {**attributes_of(root), "validate-with": SCHEMA_DEFAULT})


def schema_number(name: str) -> tuple[int, int]:
    """pacemaker-3.9 -> (3, 9); (0, 0) for anything else."""
    match = re.fullmatch(r"pacemaker-(\d{1,3})\.(\d{1,3})", name)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def _sync(transaction: Transaction, write: Write, operand: etree._Element | None) -> None:
    """Give the present content a new epoch, so that every member takes and confirms it."""
    _bump(transaction, write, operand)


_OPERATIONS: dict[str, Callable[[Transaction, Write, etree._Element | None], None]] = {
    "create": _create,
    "modify": _modify,
    "replace": _replace,
    "delete": _delete,
    "delete-all": _delete,
    "erase": _erase,
    "patch": _patch,
    "bump": _bump,
    "upgrade": _upgrade,
    "sync": _sync,
}
