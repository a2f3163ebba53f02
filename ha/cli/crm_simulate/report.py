# SPDX-License-Identifier: GPL-2.0-or-later
"""What a simulation tells, as it goes: as lines for people, or as one XML document for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

from ha.cli.exit_codes import words
from ha.pe.model.cluster import Cluster

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

PROGRAM = "crm_simulate"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_AMOUNTS: Mapping[str, int] = MappingProxyType({})
_NOT_IN_A_TAG = re.compile(r"[^\w.-]")


class Item(NamedTuple):
    """One thing that is told. `text` is its line for people; for programs it is the element `tag`, with a child for
    each of `amounts`. Without a tag, the attributes belong to the section's own element."""

    text: str
    tag: str = ""
    attributes: Mapping[str, str] = _NOTHING
    amounts: Mapping[str, int] = _NO_AMOUNTS


class Section(NamedTuple):
    """`tag` is its element. An `essential` one is told to those as well who want it quiet."""

    title: str
    tag: str
    essential: bool = False


BEFORE = Section("Current cluster status", "cluster_status")
MODIFICATIONS = Section("Performing Requested Modifications", "modifications")
SCORES = Section("Assignment Scores", "allocations", essential=True)
UTILIZATION = Section("Utilization Information", "utilizations", essential=True)
SCORES_AND_UTILIZATION = Section(
    "Assignment Scores and Utilization Information", "allocations_utilizations", essential=True
)
ACTIONS = Section("Transition Summary", "actions")
TRANSITION = Section("Executing Cluster Transition", "transition")
AFTER = Section("Revised Cluster Status", "revised_cluster_status")
TIMINGS = Section("Timings", "timings", essential=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a cluster's status has beside nodes and resources."""

    attributes: bool = False
    failcounts: bool = False


class Report(Protocol):
    """`notice` is a sentence about the input, for people alone. `warn` says what is wrong although the simulation goes
    on. `items` go into the section begun last. `finish` is called once, at the end; `errors` are why `code` is what
    it is."""

    def notice(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def begin(self, section: Section) -> None: ...

    def item(self, item: Item) -> None: ...

    def status(self, section: Section, cluster: Cluster) -> None: ...

    def finish(self, code: int, errors: Sequence[str]) -> None: ...


class TextReport:
    """Lines, printed at once; warnings and errors go to standard error."""

    def __init__(self, out: TextIO, shown: Shown, *, quiet: bool) -> None:
        self.out = out
        self.shown = shown
        self.quiet = quiet
        self._told_before = False
        self._muted = False

    def notice(self, text: str) -> None:
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        print(f"{PROGRAM}: {text}", file=sys.stderr)

    def begin(self, section: Section) -> None:
        self._muted = self.quiet and not section.essential
        if not self.quiet:
            self._space()
            self._line(f"{section.title}:")
            self._told_before = True

    def item(self, item: Item) -> None:
        if not self._muted:
            self._line(item.text if self.quiet else f"  * {item.text}")

    def status(self, section: Section, cluster: Cluster) -> None:
        if self.quiet:
            return
        from ha.cli.crm_simulate.status import lines

        if section is BEFORE:
            self._remarks(cluster)
        self.begin(section)
        for line in lines(cluster, self.shown, pending=section is BEFORE):
            self._line(f"  {line}" if line else "")

    def finish(self, code: int, errors: Sequence[str]) -> None:
        for text in errors:
            self.warn(text)

    def _remarks(self, cluster: Cluster) -> None:
        from ha.cli.output.status_text import resource_counts

        if cluster.in_maintenance:
            self._line("\n              *** Resource management is DISABLED ***")
            self._line("  The cluster will not attempt to start, stop or recover services")
            self._told_before = True
        total, disabled, blocked = resource_counts(cluster)
        if disabled or blocked:
            self._space()
            self._line(
                f"{disabled} of {total} resource instances DISABLED and "
                f"{blocked} BLOCKED from further action due to failure"
            )
            self._told_before = True

    def _space(self) -> None:
        if self._told_before:
            self._line("")

    def _line(self, text: str) -> None:
        self.out.write(f"{text}\n")


class XmlReport:
    """One document, written at the end: also when the simulation failed. There is nothing to leave out of it for those
    who want it quiet."""

    def __init__(self, out: TextIO, shown: Shown, request: Sequence[str]) -> None:
        from ha.cli.output.xml_result import XmlResult

        self.out = out
        self.shown = shown
        self.result = XmlResult(request)
        self._section: Element | None = None
        self._warnings: list[str] = []

    def notice(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def begin(self, section: Section) -> None:
        self._section = _append(self.result.root, section.tag, _NOTHING)

    def item(self, item: Item) -> None:
        assert self._section is not None
        if not item.tag:
            for name, value in item.attributes.items():
                self._section.set(name, value)
            return
        element = _append(self._section, item.tag, item.attributes)
        for name, amount in item.amounts.items():
            _append(element, _tag_for(name), _NOTHING).text = str(amount)

    def status(self, section: Section, cluster: Cluster) -> None:
        from ha.cli.crm_simulate.status import append

        self.begin(section)
        assert self._section is not None
        append(self._section, cluster, self.shown)

    def finish(self, code: int, errors: Sequence[str]) -> None:
        self.out.write(self.result.finish(code, words(code), [*self._warnings, *errors]))


def _append(parent: Element, tag: str, attributes: Mapping[str, str]) -> Element:
    from lxml import etree

    return etree.SubElement(parent, tag, dict(attributes))


def _tag_for(name: str) -> str:
    """A name that a configuration gives need not be one that XML allows for an element."""
    safe = _NOT_IN_A_TAG.sub("_", name)
    return safe if safe and (safe[0].isalpha() or safe[0] == "_") else f"_{safe}"
