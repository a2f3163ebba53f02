# SPDX-License-Identifier: GPL-2.0-or-later
"""The page about cluster options says what the policy engine does."""

from __future__ import annotations

from tests.unit.pe.options_table import DOCUMENT, document


def test_the_page_is_made_from_the_table() -> None:
    assert DOCUMENT.read_text() == document(), "run: python -m tests.unit.pe.options_table"
