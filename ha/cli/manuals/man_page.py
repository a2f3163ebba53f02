# SPDX-License-Identifier: GPL-2.0-or-later
"""A manual as troff with the macros of man(7), section 8."""

from __future__ import annotations

from collections.abc import Iterator

from ha import __version__
from ha.cli.manuals.content import Item, Manual

SECTION = 8


def man_page(manual: Manual) -> str:
    return "\n".join(_lines(manual)) + "\n"


def _lines(manual: Manual) -> Iterator[str]:
    yield f'.TH "{manual.name.upper()}" "{SECTION}" "" "Heartbeat {__version__}" "Heartbeat"'
    yield '.\\" Made from the command\'s own parser by "ha docs man".'
    yield ".SH NAME"
    yield f"{_plain(manual.name)} \\- {_plain(manual.summary) or 'a command of Heartbeat'}"
    yield ".SH SYNOPSIS"
    yield f"\\fB{_plain(manual.usage)}\\fR"
    if manual.text:
        yield ".SH DESCRIPTION"
        yield from _paragraphs(manual.text)
    if manual.words:
        yield ".SH COMMANDS" if manual.parts else ".SH ARGUMENTS"
        yield from _items(manual.words)
    if manual.options:
        yield ".SH OPTIONS"
        yield from _items(manual.options)
    for part in manual.parts:
        yield from _part(part)
    yield ".SH SEE ALSO"
    yield "ha(8), crm_mon(8), cibadmin(8)"


def _part(manual: Manual) -> Iterator[str]:
    yield f".SH {_plain(manual.name).upper()}"
    yield f"\\fB{_plain(manual.usage)}\\fR"
    yield ".PP"
    yield from _paragraphs(manual.text)
    yield from _items((*manual.words, *manual.options))
    for part in manual.parts:
        yield from _part(part)


def _items(items: tuple[Item, ...]) -> Iterator[str]:
    for item in items:
        yield ".TP"
        value = f" \\fI{_plain(item.value)}\\fR" if item.value else ""
        yield ", ".join(f"\\fB{_plain(name)}\\fR" for name in item.names) + value
        yield _plain(item.text) or "\\&"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        for line in paragraph.splitlines():
            yield _plain(line)
            if len(paragraph.splitlines()) > 1:
                yield ".br"


def _plain(text: str) -> str:
    """Text that troff leaves as it is: no line of it is a request, no backslash an escape, no dash a hyphen."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
