# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing that comes from outside ends a parser otherwise than by its own refusal (P7)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.spoiling import KINDS, Edit, spoil
from tests.fuzz.targets import CORPUS, TARGETS, corpus

edits = st.lists(
    st.builds(
        Edit, kind=st.sampled_from(KINDS), at=st.integers(0, 1000), length=st.integers(0, 1000),
        value=st.integers(0, 2**16 - 1),
    ),
    max_size=6,
)  # fmt: skip


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_each_piece_of_the_corpus_is_taken_or_refused(name: str) -> None:
    for data in corpus(name):
        with contextlib.suppress(*TARGETS[name].refusals):
            TARGETS[name].take(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(piece=st.integers(0, 2**16), changes=edits)
def test_spoilt_pieces_are_taken_or_refused(name: str, piece: int, changes: list[Edit]) -> None:
    pieces = corpus(name)
    data = spoil(pieces[piece % len(pieces)], changes, pieces)
    with contextlib.suppress(*TARGETS[name].refusals):
        TARGETS[name].take(data)
