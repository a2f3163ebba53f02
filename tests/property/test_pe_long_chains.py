# SPDX-License-Identifier: GPL-2.0-or-later
"""Chains longer than anybody has them, decided in a process of their own (`tests.unit.pe.long_chain`)."""

from __future__ import annotations

import pytest

from tests.unit.pe.test_long_chains import STARTS_STOPS_MIGRATIONS, decided

MANY = 20_000


@pytest.mark.parametrize("kind", ["ordered, never looked for", "ordered, the first disabled"])
def test_a_chain_of_orderings_may_have_20000_resources(kind: str) -> None:
    assert decided(kind, MANY) == " ".join(str(MANY * times) for times in STARTS_STOPS_MIGRATIONS[kind])
