# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of the house that no linter knows, held over every source file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 70
FORBIDDEN_ROOMS = {"util", "utils", "helper", "helpers", "common", "misc"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")


def sources() -> list[Path]:
    return sorted([*HOUSE.glob("ha/**/*.py"), *HOUSE.glob("tests/**/*.py")])


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(HOUSE)))
def test_a_source_file_keeps_the_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    complaints = []
    if not lines or lines[0] != "# SPDX-License-Identifier: GPL-2.0-or-later":
        complaints.append("the first line is not the licence's SPDX line")
    if len(lines) > MAX_FILE_LINES:
        complaints.append(f"{len(lines)} lines: which nouns is it made of?")
    if FORBIDDEN_ROOMS & {path.stem, *(part for part in path.parts)}:
        complaints.append("a room called by no noun of the field")
    tree = ast.parse(text)
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > MAX_FUNCTION_LINES:
            complaints.append(f"{function.name} has {length} lines")
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler) and swallows_everything(handler):
            complaints.append(f"line {handler.lineno}: a broad except that swallows")
    if path != Path(__file__):
        complaints += [f"line {n}: {line.strip()}" for n, line in enumerate(lines, 1) if UNFINISHED.search(line)]
        if "tests" in path.relative_to(HOUSE).parts:
            complaints += [
                f"line {n}: a test that sleeps or mocks" for n, line in enumerate(lines, 1) if sleeps_or_mocks(line)
            ]
    assert not complaints, "\n".join(complaints)


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    )
    return broad and all(isinstance(node, ast.Pass | ast.Continue) for node in handler.body)


def sleeps_or_mocks(line: str) -> bool:
    return bool(re.search(r"\btime\.sleep\(|mock\.patch|MagicMock", line))


def test_every_module_has_the_words_of_the_house() -> None:
    for module in ("heartbeat", "ccm", "cib", "attrd", "lrm", "stonith", "crm", "pe", "te", "logd", "apphbd", "rmd"):
        assert (HOUSE / "ha" / module / "msg.py").is_file(), module


def test_no_file_of_the_program_knows_the_machine_it_was_written_on() -> None:
    for path in sources():
        if path != Path(__file__):
            assert "/work/" not in path.read_text(encoding="utf-8"), path
