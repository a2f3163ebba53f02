# SPDX-License-Identifier: GPL-2.0-or-later
"""The file haresources: which groups of resources there are, and at which node each is at home.

`NODE RESOURCE RESOURCE ...` is one group. `\\` at the end of a line joins the next one to it, `#` begins a comment.
A group is started from left to right and stopped from right to left. `Script::arg1::arg2` runs `Script arg1 arg2
ACTION`; an address `A.B.C.D[/mask[/interface][/broadcast]]` stands for `IPaddr` with that argument. Names of nodes are
compared without regard to case. A group is called by its first resource, its key.

Source: Heartbeat 3.0.6, as documented and observed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HARESOURCES_BYTES = 1024 * 1024
MAX_GROUPS = 500
MAX_RESOURCES = 100  # of one group
MAX_RESOURCE_LENGTH = 1000  # of one resource, with its arguments
ADDRESS_SCRIPT = "IPaddr"
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+(/.*)?", re.ASCII)
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
_NODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Resource:
    """A script of resource.d or init.d and its arguments. `text` is what the file has."""

    text: str
    script: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """`node` is in lower case. `line` counts from 1."""

    node: str
    resources: tuple[Resource, ...]
    line: int

    @property
    def key(self) -> str:
        return self.resources[0].text


@dataclass(frozen=True, slots=True)
class Haresources:
    groups: tuple[Group, ...] = ()

    def at_home_on(self, node: str) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if group.node == node)

    def elsewhere_than(self, node: str) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if group.node != node)

    def group(self, key: str) -> Group | None:
        return next((group for group in self.groups if group.key == key), None)


class HaresourcesError(ValueError):
    """The file cannot be used. `problems` lists every mistake as "FILE:LINE: TEXT"."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse(text: str, filename: str) -> Haresources:
    """All groups, in the file's order. Raises HaresourcesError with all mistakes."""
    if len(text) > MAX_HARESOURCES_BYTES:
        raise HaresourcesError((f"{filename}: longer than {MAX_HARESOURCES_BYTES} bytes",))
    groups: list[Group] = []
    problems: list[str] = []
    owners: dict[str, int] = {}
    for number, words in logical_lines(text):
        try:
            group = _group(words, number)
            for resource in group.resources:
                if resource.text in owners:
                    raise ValueError(f"{resource.text} is on line {owners[resource.text]} already")
                owners[resource.text] = number
            groups.append(group)
        except ValueError as error:
            problems.append(f"{filename}:{number}: {error}")
    if len(groups) > MAX_GROUPS:
        problems.append(f"{filename}: more than {MAX_GROUPS} groups")
    if problems:
        raise HaresourcesError(tuple(problems))
    return Haresources(tuple(groups))


def logical_lines(text: str) -> list[tuple[int, list[str]]]:
    """(number of the first line, words) of every group; comments left out, joined lines joined."""
    found: list[tuple[int, list[str]]] = []
    joined, start = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        start = start or number
        joined += line.split("#", 1)[0]
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        if joined.split():
            found.append((start, joined.split()))
        joined, start = "", 0
    if joined.split():
        found.append((start, joined.split()))
    return found


def _group(words: list[str], line: int) -> Group:
    if not _NODE.fullmatch(words[0]):
        raise ValueError(f"{words[0]!r} is no name of a node")
    if len(words) == 1:
        raise ValueError(f"no resource follows node {words[0]}")
    if len(words) > MAX_RESOURCES + 1:
        raise ValueError(f"more than {MAX_RESOURCES} resources in a group")
    return Group(words[0].lower(), tuple(map(parse_resource, words[1:])), line)


def parse_resource(text: str) -> Resource:
    """Raises ValueError."""
    if len(text) > MAX_RESOURCE_LENGTH:
        raise ValueError(f"a resource of more than {MAX_RESOURCE_LENGTH} characters: {text[:40]}...")
    if "\0" in text:
        raise ValueError(f"a NUL byte in resource {text!r}")
    if _ADDRESS.fullmatch(text):
        return Resource(text, ADDRESS_SCRIPT, (text,))
    script, *arguments = text.split("::")
    if not _SCRIPT.fullmatch(script):
        raise ValueError(f"{script!r} is no name of a script")
    return Resource(text, script, tuple(arguments))
