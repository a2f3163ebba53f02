# SPDX-License-Identifier: GPL-2.0-or-later
"""The kept model: on Pacemaker's cases, and over shared memory as the pengine uses it.

Each case begins with a disturbed version of its CIB, and goes to the case's own by a diff. HA_DIFF_CASES says how many
cases are tried, "all" for every one.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from ha.cib.io.publisher import Publisher, purge
from ha.cib.model.diff import diff_of
from ha.cib.model.document import Document
from ha.cib.model.refusal import Refusal
from ha.cib.model.store import PublishCib
from ha.pe.core import CibError, schedule
from ha.pe.io.kept_cib import KeptCib
from ha.pe.model.requests import Decide
from ha.root import Root
from tests.conformance.cases import VISIBLE, load_judge
from tests.unit.pe.following import Follower, disturb
from tests.unit.pe.small_cib import NOW, absent, cib, primitive, running

CASES = os.environ.get("HA_DIFF_CASES", "12")
DISTURBANCES = 5


@pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"Pacemaker's cases are not here: {VISIBLE}")
@pytest.mark.parametrize("folder", ("scheduler", "random"))
def test_cases_by_diff_are_cases_from_scratch(folder: str) -> None:
    cases = load_judge(VISIBLE).CaseSet(VISIBLE / folder)
    compared = 0
    try:
        every = max(1, len(cases.cases) // int(CASES)) if CASES != "all" else 1
        for number, case in enumerate(cases.cases[::every]):
            compared += _compare(Path(cases.path(case, "xml")).read_bytes(), random.Random(number))
    finally:
        cases.close()
    assert compared >= (len(cases.cases) if CASES == "all" else int(CASES)) // 2


def _compare(text: bytes, chance: random.Random) -> bool:
    try:
        target = Document.from_bytes(text).snapshot().to_bytes()
    except Refusal:
        return False  # Older than any cib that publishes diffs: without a version.
    older = etree.fromstring(target)
    for _ in range(DISTURBANCES):
        disturb(older, chance)
    follower = Follower(etree.tostring(older))
    follower.check(NOW)
    follower.follow(target)
    follower.check(NOW)
    assert etree.canonicalize(follower.text().decode()) == etree.canonicalize(target.decode())
    return True


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    root = Root(str(tmp_path))
    yield root
    purge(root)


def versions() -> list[Document]:
    """A resource starts, fails, and its node is lost."""
    known = (absent("A", ("n2",)), running("A", "n1"))
    texts = (
        cib(resources=primitive("A")),
        cib(resources=primitive("A"), history=known),
        cib(resources=primitive("A") + primitive("B"), history=known),
        cib(resources=primitive("A") + primitive("B"), history=known, lost=("n1",)),
    )
    return [Document.from_bytes(text.replace(b"<cib ", b'<cib admin_epoch="0" num_updates="0" epoch="%d" ' % number))
            for number, text in enumerate(texts, 1)]  # fmt: skip


def publish(publisher: Publisher, documents: list[Document], number: int) -> bytes:
    """Generation `number`, with its diff from the one before."""
    shot = documents[number - 1].snapshot()
    diff = diff_of(documents[number - 2], documents[number - 1]) if number > 1 else None
    data = () if diff is None else (etree.tostring(diff),)
    publisher.publish(PublishCib(number, shot.version, shot.digest, shot.parts, data))
    return shot.to_bytes()


def test_the_pengine_follows_generations(root: Root) -> None:
    documents, publisher, kept = versions(), Publisher(root), KeptCib(root)
    graphs = set()
    for number in range(1, len(documents) + 1):
        text = publish(publisher, documents, number)
        graph = kept.schedule(Decide(text, NOW, number)).graph_xml
        assert graph == schedule(text, NOW).graph_xml
        graphs.add(graph)
    assert len(graphs) == len(documents)
    kept.close()


def test_the_diffs_are_what_is_read(root: Root) -> None:
    """With the kept tree at the generation before, the text is not looked at."""
    documents, publisher, kept = versions(), Publisher(root), KeptCib(root)
    kept.schedule(Decide(publish(publisher, documents, 1), NOW, 1))
    text = publish(publisher, documents, 2)
    assert kept.schedule(Decide(b"not looked at", NOW, 2)).graph_xml == schedule(text, NOW).graph_xml
    kept.close()


def test_generations_that_are_gone_are_read_as_text(root: Root) -> None:
    documents, publisher, kept = versions(), Publisher(root), KeptCib(root)
    kept.schedule(Decide(publish(publisher, documents, 1), NOW, 1))
    text = documents[3].snapshot().to_bytes()
    assert kept.schedule(Decide(text, NOW, 40)).graph_xml == schedule(text, NOW).graph_xml
    kept.close()


def test_what_is_no_cib_is_refused_and_the_next_one_decided(root: Root) -> None:
    documents, publisher, kept = versions(), Publisher(root), KeptCib(root)
    kept.schedule(Decide(publish(publisher, documents, 1), NOW, 1))
    with pytest.raises(CibError):
        kept.schedule(Decide(b"<cib", NOW, 30))
    text = publish(publisher, documents, 2)
    assert kept.schedule(Decide(text, NOW, 2)).graph_xml == schedule(text, NOW).graph_xml
    kept.close()
