# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of README.md and docs/*.md.

A command is shown in a ```console block, each line of which begins with `$` or, where root types it, `#`. Such a block
is executed, or the line above it says why not: <!-- not run: REASON -->.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
NOT_RUN = re.compile(r"\s*<!-- not run: (.+) -->")
FENCE = re.compile(r"(\s*)```(\S*)\s*$")
PROMPT = re.compile(r"\s*[$#] (.*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `kind` is its language, `reason` why it is not run ("" if it is)."""

    document: Path
    line: int
    kind: str
    text: str
    reason: str

    @property
    def commands(self) -> list[str]:
        """Raises AssertionError for a line that is no command."""
        lines = [(line, PROMPT.fullmatch(line)) for line in self.text.splitlines()]
        assert all(match for _, match in lines), f"{self}: each line begins with '$ ' or '# '"
        return [match.group(1) for _, match in lines if match]

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks(document: Path) -> Iterator[Block]:
    lines = document.read_text().splitlines()
    at = 0
    while at < len(lines):
        opened = FENCE.fullmatch(lines[at])
        if opened is None:
            at += 1
            continue
        end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
        above = NOT_RUN.fullmatch(lines[at - 1]) if at else None
        text = "\n".join(lines[at + 1 : end])
        yield Block(document, at + 1, opened.group(2), text, above.group(1) if above else "")
        at = end + 1


def all_blocks() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document)]


def inline_commands(document: Path) -> Iterator[tuple[int, str]]:
    """`code` in the text, with its line."""
    for number, line in enumerate(document.read_text().splitlines(), 1):
        for found in re.findall(r"`([^`]+)`", line):
            yield number, found
