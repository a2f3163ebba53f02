# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a CIB obeys the grammar, and if not, which element on which line breaks which rule.

libxml2 judges; its messages often name the wrong element, so a refusal is explained by our own reading of the same
grammar: element by element, unknown and missing attributes, values, and children that have no place.

Only what a transaction touched is judged: a section of the configuration, or an entry of the status.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from lxml import etree

from ha.cib.model.document import Document, attributes_of
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import describe, line_of
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.sections import CONTAINERS, SECTIONS
from ha.cib.model.version import COUNTERS

RNG = "{http://relaxng.org/ns/structure/1.0}"
_STATUS_PARTS = ("node_state", "tickets")
_KNOWN_SCHEMAS = re.compile(r"pacemaker-[1-4]\.\d{1,3}")
_PATTERNS = {
    "NCName": r"[A-Za-z_\u0080-\U0010ffff][\w.\-\u0080-\U0010ffff]*",
    "integer": r"[+-]?[0-9]+",
    "nonNegativeInteger": r"\+?[0-9]+",
}
_NAMES = {
    "interval": "a time such as 10s, 2min or PT5M",
    "score": "a score (an integer or INFINITY)",
    "boolean": "true or false",
    "NCName": "a name that begins with a letter",
    "integer": "an integer",
    "nonNegativeInteger": "a number from 0 up",
}


@dataclass(slots=True)
class _Value:
    """What an attribute may hold: `words`, or whatever matches one of `patterns`; with neither, anything."""

    words: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def fits(self, value: str) -> bool:
        if not self.words and not self.patterns:
            return True
        return value in self.words or any(re.fullmatch(pattern, value.strip()) for pattern in self.patterns)

    def __str__(self) -> str:
        words = [f"one of {' '.join(self.words)}"] if self.words else []
        return " or ".join(dict.fromkeys([*words, *self.kinds]))


@dataclass(slots=True)
class _Rule:
    """One element of the grammar, without the finer points of choices and order."""

    attributes: dict[str, _Value] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)
    children: dict[str, etree._Element] = field(default_factory=dict)
    required_children: dict[str, None] = field(default_factory=dict)
    choices: list[list[_Rule]] = field(default_factory=list)
    any_attribute: bool = False


class Schema:
    """A compiled grammar. `grammar` is one <grammar> without includes."""

    def __init__(self, grammar: etree._Element) -> None:
        self._grammar = grammar
        self._defines = {str(define.get("name")): define for define in grammar.iterchildren(f"{RNG}define")}
        self._compiled: dict[str, etree.RelaxNG] = {}
        self._rules: dict[etree._Element, _Rule] = {}

    def _relaxng(self, start: str) -> etree.RelaxNG:
        """The grammar that begins with the definition `start`."""
        if start not in self._compiled:
            grammar = copy.deepcopy(self._grammar)
            for old in grammar.findall(f"{RNG}start"):
                grammar.remove(old)
            begin = etree.SubElement(grammar, f"{RNG}start")
            etree.SubElement(begin, f"{RNG}ref", {"name": start})
            self._compiled[start] = etree.RelaxNG(grammar)
        return self._compiled[start]

    def check(self, document: Document) -> Refusal | None:
        """The first breach in the whole document; None when it obeys, or asks for no validation."""
        unknown = _check_name(document.root)
        if unknown is not None or _is_off(document.root):
            return unknown
        return _doubled_section(document.root) or self._judge("cib", document.root)

    def check_changes(self, transaction: Transaction) -> Refusal | None:
        """As `check`, for what `transaction` touched. The document was valid before it."""
        root = transaction.document.root
        if _is_off(root):
            return None
        if self._changes_outline(transaction):
            refusal = _check_name(root) or _doubled_section(root) or self._judge("cib", _outline(root))
            if refusal is not None:
                return refusal
        for part in self._touched(transaction):
            start = str(part.tag)
            refusal = self._judge(start, part, transaction.line) if start in self._defines else None
            if refusal is not None:
                return refusal
        return None

    def _changes_outline(self, transaction: Transaction) -> bool:
        """Whether the frame around the parts may have changed, or a part may be where it does not belong."""
        if "configuration" in transaction.sections or any(n not in COUNTERS for n in transaction.root_changes()):
            return True
        for part in self._touched(transaction):
            above = part.getparent()
            in_status = above is not None and above.tag == "status"
            if part.tag not in (_STATUS_PARTS if in_status else SECTIONS) or (
                not in_status and transaction.is_added(part)
            ):
                return True
        return False

    def _touched(self, transaction: Transaction) -> Iterator[etree._Element]:
        for part in transaction.parts():
            if isinstance(part.tag, str) and part.getparent() is not None:
                yield part

    def _judge(
        self, start: str, element: etree._Element, line: Callable[[etree._Element], int] = line_of
    ) -> Refusal | None:
        relaxng = self._relaxng(start)
        if relaxng.validate(element):
            return None
        explained = self._explain(self._element_of(start), element, line)
        if explained is not None:
            return explained
        errors = [entry for entry in relaxng.error_log if entry.path]
        last = errors[0] if errors else None
        culprit = _at(element, last.path) if last is not None else None
        rule = last.message if last is not None else "does not fit the schema"
        culprit = culprit if culprit is not None else element
        return Refusal(Rc.CONFIG, rule, describe(culprit), line(culprit))

    # Explaining ------------------------------------------------------------------------------------------------------

    def _element_of(self, name: str) -> etree._Element:
        found = self._defines[name].find(f"{RNG}element")
        assert found is not None, f"{name} defines no element"
        return found

    def _rule(self, pattern: etree._Element) -> _Rule:
        if pattern not in self._rules:
            rule = self._rules[pattern] = _Rule()
            self._read(pattern, rule, required=True)
        return self._rules[pattern]

    def _read(self, pattern: etree._Element, rule: _Rule, required: bool) -> None:
        for node in pattern:
            kind = etree.QName(node).localname
            if kind == "ref":
                self._read(self._defines[str(node.get("name"))], rule, required)
            elif kind == "element":
                rule.children[str(node.get("name"))] = node
                if required:
                    rule.required_children[str(node.get("name"))] = None
            elif kind == "attribute" and node.get("name") is None:
                rule.any_attribute = True
            elif kind == "attribute":
                name = str(node.get("name"))
                self._read_value(node, rule.attributes.setdefault(name, _Value()))
                if required:
                    rule.required[name] = None
            else:
                self._read(node, rule, required and kind in ("group", "oneOrMore"))
                if kind == "choice" and required:
                    rule.choices.append([self._alternative(option) for option in node])

    def _alternative(self, option: etree._Element) -> _Rule:
        rule = _Rule()
        wrapper = etree.Element("option")
        wrapper.append(copy.deepcopy(option))
        self._read(wrapper, rule, required=True)
        return rule

    def _read_value(self, pattern: etree._Element, value: _Value) -> None:
        for node in pattern:
            kind = etree.QName(node).localname
            if kind == "value":
                value.words.append(node.text or "")
            elif kind == "data":
                given = node.find(f"{RNG}param")
                datatype = str(node.get("type"))
                value.patterns.append((given.text or "") if given is not None else _PATTERNS[datatype])
                value.kinds.append(_NAMES.get(datatype, str(node.get("type"))))
            elif kind == "ref":
                name = str(node.get("name"))
                before = len(value.kinds)
                self._read_value(self._defines[name], value)
                if name != "id":
                    value.kinds[before:] = [_NAMES.get(name, f"a {name}")] * len(value.kinds[before:])
            else:
                self._read_value(node, value)

    def _explain(
        self, pattern: etree._Element, element: etree._Element, line: Callable[[etree._Element], int]
    ) -> Refusal | None:
        rule = self._rule(pattern)
        fault = _attribute_fault(rule, element)
        if fault:
            return Refusal(Rc.CONFIG, fault, describe(element), line(element))
        for child in element.iterchildren(etree.Element):
            if isinstance(child.tag, str) and child.tag not in rule.children:
                allowed = ", ".join(rule.children) or "nothing"
                fault = f"has no place in {describe(element)}, which may hold {allowed}"
                return Refusal(Rc.CONFIG, fault, describe(child), line(child))
            refusal = self._explain(rule.children[str(child.tag)], child, line)
            if refusal is not None:
                return refusal
        missing = _missing(rule, element)
        return Refusal(Rc.CONFIG, missing, describe(element), line(element)) if missing else None


def _missing(rule: _Rule, element: etree._Element) -> str:
    """What `element` lacks: a child, or all of every alternative."""
    for tag in rule.required_children:
        if element.find(tag) is None:
            return f"holds no <{tag}>"
    for options in rule.choices:
        if not any(_is_met(option, element) for option in options):
            wants = [text for text in map(_wants, options) if text]
            return f"lacks {', or '.join(wants)}"
        excess = [option for option in options if _is_met(option, element)]
        if len(excess) > 1 and all(option.required for option in excess):
            return f"must have only one of {', or '.join(map(_wants, excess))}"
    return ""


def _is_met(option: _Rule, element: etree._Element) -> bool:
    return all(name in element.attrib for name in option.required) and all(
        element.find(tag) is not None for tag in option.required_children
    )


def _wants(option: _Rule) -> str:
    return " and ".join([*(repr(name) for name in option.required), *(f"<{tag}>" for tag in option.required_children)])


def _attribute_fault(rule: _Rule, element: etree._Element) -> str:
    for name, value in attributes_of(element).items():
        if name not in rule.attributes:
            if rule.any_attribute:
                continue
            return f"has no attribute {name!r}; it may have {', '.join(rule.attributes)}"
        if not rule.attributes[name].fits(value):
            return f"{name}={value!r} is not allowed: it must be {rule.attributes[name]}"
    for name in rule.required:
        if name not in element.attrib:
            return f"lacks the attribute {name!r}"
    return ""


def _check_name(root: etree._Element) -> Refusal | None:
    name = root.get("validate-with")
    if name is None or name == "none" or _KNOWN_SCHEMAS.fullmatch(name):
        return None
    rule = f"validate-with={name!r} is no schema known here (pacemaker-1.0 to pacemaker-4.0, or none)"
    return Refusal(Rc.CONFIG, rule, describe(root), line_of(root))


def _is_off(root: etree._Element) -> bool:
    return root.get("validate-with") == "none"


def _outline(root: etree._Element) -> etree._Element:
    """The root with its containers and sections, all of them empty: the grammar allows every section to be empty."""
    outline = etree.Element(root.tag, attributes_of(root))
    for child in root.iterchildren(etree.Element):
        copied = etree.SubElement(outline, child.tag, attributes_of(child))
        if child.tag in CONTAINERS:
            for grandchild in child.iterchildren(etree.Element):
                if child.tag != "status" or grandchild.tag not in _STATUS_PARTS:
                    etree.SubElement(copied, grandchild.tag, attributes_of(grandchild))
    return outline


def _doubled_section(root: etree._Element) -> Refusal | None:
    seen: set[str] = set()
    for section in root.iterfind("configuration/*"):
        if section.tag in seen:
            rule = "there is such a section already: merge with --modify, or replace it"
            return Refusal(Rc.CONFIG, rule, describe(section), line_of(section))
        seen.add(str(section.tag))
    return None


def _at(element: etree._Element, path: str) -> etree._Element | None:
    try:
        found = element.getroottree().xpath(path)
    except etree.XPathError:
        return None
    hits: Iterable[object] = found if isinstance(found, list) else ()
    return next((hit for hit in hits if isinstance(hit, etree._Element)), None)
