# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents show can be typed: every block is of a known kind, every option that is named exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ha.cib.model.document import Document
from ha.cib.model.judge import apply_write
from ha.cib.msg import Write
from ha.cib.schema import load as load_schema
from ha.cli.manuals.content import DAEMON_METADATA, Manual, commands, manual
from ha.heartbeat.model.authkeys import parse as parse_authkeys
from ha.heartbeat.model.ha_cf_parser import parse as parse_ha_cf
from tests.documents import DOCUMENTS, all_blocks, inline_commands

BLOCKS = all_blocks()
KINDS = {"console", "xml", "ha.cf", "authkeys"}
SPOKEN = re.compile(r"^[A-Z][A-Z_.]*$")
"""A word in capitals stands for what the reader puts there."""


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.kind for block in BLOCKS} <= KINDS, [str(b) for b in BLOCKS if b.kind not in KINDS]
    for block in BLOCKS:
        if block.kind == "console":
            assert block.commands
        else:
            assert not block.reason, f"{block}: only commands are not run"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind != "console"], ids=str)
def test_configuration_that_is_shown_is_valid(block: object) -> None:
    assert isinstance(block, type(BLOCKS[0]))
    if block.kind == "ha.cf":
        assert parse_ha_cf(block.text, str(block)).nodes
    elif block.kind == "authkeys":
        parse_authkeys(block.text.replace("64-hexadecimal-digits", "5e" * 32), str(block))
    else:
        document, xml = Document.empty(), f"<configuration>{block.text}</configuration>"
        write = Write(request_id="1", operation="modify", xml=xml, allow_create=True)
        apply_write(document, write, load_schema())
        assert len(document.root.findall("configuration/*")) > len(Document.empty().root.findall("configuration/*")) - 1


def named() -> list[tuple[Path, int, str]]:
    known = set(commands()) - set(DAEMON_METADATA)
    return [(document, line, text) for document in DOCUMENTS for line, text in inline_commands(document)
            if text.split(" ")[0] in known and " " in text]  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_has_these_options(document: Path) -> None:
    shown = [(line, text) for where, line, text in named() if where == document]
    shown += [(block.line, command) for block in BLOCKS if block.document == document and block.kind == "console"
              for command in block.commands if command.split()[0] in commands()]  # fmt: skip
    for line, text in shown:
        check(f"{document.name}:{line}", text)


def check(where: str, text: str) -> None:
    words = [word for word in shlex.split(text, comments=True) if word not in ("...", "…")]
    if any(word in ("|", "&&", ";", ">") or word.endswith(";") for word in words):
        return  # a shell's line: it is run if it is an example
    place = manual(words[0])
    for number, word in enumerate(words[1:], 1):
        parts = {part.name.rsplit(" ", 1)[-1]: part for part in place.parts}
        if word in parts:
            place = parts[word]
        elif word == "--" or (place.name in ("ha plan", "ha playground exec") and not word.startswith("-")):
            return  # what follows is another command's
        elif place.parts and place.name.startswith("ha") and not word.startswith("-") and not SPOKEN.match(word):
            raise AssertionError(f"{where}: `{text}`: {place.name} has no {word} ({' '.join(parts)})")
        elif word.startswith("-") and not words[number - 1].startswith("-X"):
            assert knows(place, word), f"{where}: `{text}`: {place.name} has no option {word}"


def knows(place: Manual, word: str) -> bool:
    names = {name for item in place.options for name in item.names} | {"--help", "-h", "--version"}
    long = word.partition("=")[0]
    joined = not word.startswith("--") and all(f"-{letter}" in names for letter in word[1:].rstrip(",;"))
    return long in names or joined or word[:2] in names
