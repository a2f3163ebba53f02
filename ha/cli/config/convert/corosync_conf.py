# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading corosync.conf: sections in braces, `key: value` lines, comments with #.

Source: the manual page corosync.conf(5) of corosync 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ha.cli.config.convert.model import ConversionError

MAX_COROSYNC_CONF_BYTES = 1024 * 1024
MAX_DEPTH = 8
MAX_LINE_LENGTH = 2000
_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    value: str
    line: int


@dataclass(slots=True)
class Section:
    """`settings` by key, the last of a name wins as in corosync; `sections` in the file's order."""

    name: str
    line: int
    settings: dict[str, Setting] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)

    def get(self, key: str, default: str = "") -> str:
        return self.settings[key].value if key in self.settings else default

    def line_of(self, key: str) -> int:
        return self.settings[key].line if key in self.settings else self.line

    def all(self, name: str) -> Iterator[Section]:
        return (section for section in self.sections if section.name == name)

    def merged(self, name: str) -> Section:
        """All sections of that name as one: a file may open a section twice."""
        merged = Section(name, next((section.line for section in self.all(name)), self.line))
        for section in self.all(name):
            merged.settings |= section.settings
            merged.sections += section.sections
        return merged


def parse(text: str, filename: str) -> Section:
    """The whole file as a section without a name. Raises ConversionError with every mistake."""
    if len(text) > MAX_COROSYNC_CONF_BYTES:
        raise ConversionError((f"{filename}: longer than {MAX_COROSYNC_CONF_BYTES} bytes",))
    problems: list[str] = []
    open_sections = [Section("", 1)]
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            _read(line.strip(), number, open_sections)
        except ValueError as error:
            problems.append(f"{filename}:{number}: {error}")
    for section in open_sections[1:]:
        problems.append(f"{filename}:{section.line}: section {section.name} is not closed")
    if problems:
        raise ConversionError(problems)
    return open_sections[0]


def _read(line: str, number: int, open_sections: list[Section]) -> None:
    if not line or line.startswith("#"):
        return
    if len(line) > MAX_LINE_LENGTH:
        raise ValueError(f"a line of more than {MAX_LINE_LENGTH} characters")
    if line == "}":
        if len(open_sections) == 1:
            raise ValueError("a } that closes nothing")
        open_sections.pop()
    elif line.endswith("{"):
        name = line[:-1].strip()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a section")
        if len(open_sections) > MAX_DEPTH:
            raise ValueError(f"sections in each other deeper than {MAX_DEPTH}")
        section = Section(name, number)
        open_sections[-1].sections.append(section)
        open_sections.append(section)
    else:
        key, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(key.strip()):
            raise ValueError(f"neither a section nor `key: value`: {line[:40]!r}")
        open_sections[-1].settings[key.strip()] = Setting(value.strip(), number)
