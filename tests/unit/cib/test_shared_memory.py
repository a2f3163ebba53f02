# SPDX-License-Identifier: GPL-2.0-or-later
"""The CIB in shared memory: what readers see, and what damage does to them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from ha.cib.io.layout import map_segment, unlink
from ha.cib.io.publisher import KEPT_MAX, Publisher, purge
from ha.cib.io.reader import CibReader
from ha.cib.model.diff import diff_of, same
from ha.cib.model.document import Document
from ha.cib.model.store import PublishCib
from ha.cib.msg import CibCopy, CibGone
from ha.root import Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    root = Root(str(tmp_path))
    yield root
    purge(root)


def version(number: int, before: Document | None = None) -> tuple[PublishCib, Document]:
    document = Document.empty() if before is None else Document(copy.deepcopy(before.root))
    document.root.set("epoch", str(number))
    etree.SubElement(document.root[0], "tag", {"id": f"t{number}"})
    document = Document.from_bytes(etree.tostring(document.root))
    diff = diff_of(before, document) if before is not None else None
    shot = document.snapshot()
    data = (etree.tostring(diff),) if diff is not None else ()
    return PublishCib(number, shot.version, shot.digest, shot.parts, data), document


def test_nothing_is_there_before_the_cluster_runs(root: Root) -> None:
    reader = CibReader(root)
    assert reader.generation() == 0
    assert isinstance(reader.read(), CibGone)
    assert reader.tree() is None


def test_a_reader_sees_each_generation_without_the_publisher(root: Root) -> None:
    publisher, reader = Publisher(root), CibReader(root)
    for number in (1, 2):
        request, _ = version(number)
        publisher.publish(request)
        found = reader.read()
        assert isinstance(found, CibCopy)
        assert (found.generation, found.version, found.xml) == (number, request.version, b"".join(request.parts))
    publisher.close()
    assert reader.generation() == 2
    assert isinstance(reader.read(1), CibCopy)
    reader.close()


def test_the_tree_follows_by_diffs_and_is_kept_meanwhile(root: Root) -> None:
    publisher, reader = Publisher(root), CibReader(root)
    request, document = version(1)
    publisher.publish(request)
    tree = reader.tree()
    assert tree is reader.tree()
    for number in range(2, 9):
        request, document = version(number, document)
        publisher.publish(request)
    followed = reader.tree()
    assert followed is tree
    assert same(tree, document.root)


def test_a_tree_follows_through_a_generation_of_several_versions(root: Root) -> None:
    publisher, reader = Publisher(root), CibReader(root)
    first, document = version(1)
    publisher.publish(first)
    tree = reader.tree()
    steps = []
    for number in range(2, 6):
        step, document = version(number, document)
        steps.append(step)
    last = steps[-1]
    diffs = tuple(diff for step in steps for diff in step.diffs)
    publisher.publish(PublishCib(2, last.version, last.digest, last.parts, diffs))
    assert reader.tree() is tree
    assert same(tree, document.root)


def test_a_tree_that_cannot_follow_is_parsed_anew(root: Root) -> None:
    publisher, reader = Publisher(root), CibReader(root)
    request, document = version(1)
    publisher.publish(request)
    first = reader.tree()
    request, document = version(2)  # without a diff
    publisher.publish(request)
    tree = reader.tree()
    assert tree is not None
    assert tree is not first
    assert same(tree, document.root)


def test_old_generations_go(root: Root) -> None:
    publisher, reader = Publisher(root), CibReader(root)
    for number in range(1, KEPT_MAX + 3):
        publisher.publish(version(number)[0])
    assert isinstance(reader.read(1), CibGone)
    assert isinstance(reader.read(3), CibCopy)


def test_a_new_publisher_goes_on_and_sweeps_what_a_dead_one_left(root: Root) -> None:
    first = Publisher(root)
    for number in (1, 2):
        first.publish(version(number)[0])
    first._write(version(3)[0])  # it died before the word was stored
    again = Publisher(root)
    assert again.generation == 2
    last = again.last()
    assert last is not None
    assert last.generation == 2
    with pytest.raises(FileNotFoundError):
        map_segment(f"{root.shared_memory('cib')}.3")
    again.publish(version(3)[0])
    assert CibReader(root).generation() == 3


@pytest.mark.parametrize("at", [0, 8, 40, 48, 130, 200])
def test_a_damaged_segment_is_never_taken_for_a_cib(root: Root, at: int) -> None:
    publisher = Publisher(root)
    publisher.publish(version(1)[0])
    with map_segment(f"{root.shared_memory('cib')}.1", writable=True) as segment:
        segment[at] ^= 0xFF
    assert isinstance(CibReader(root).read(), CibGone)


def test_a_segment_that_vanished_is_gone_not_an_error(root: Root) -> None:
    publisher = Publisher(root)
    publisher.publish(version(1)[0])
    unlink(f"{root.shared_memory('cib')}.1")
    assert isinstance(CibReader(root).read(), CibGone)


def test_segments_are_for_the_clusters_user_alone(root: Root) -> None:
    Publisher(root).publish(version(1)[0])
    names = list(Path("/dev/shm").glob(f"{root.shared_memory('cib')[1:]}*"))
    assert len(names) == 2
    assert {path.stat().st_mode & 0o777 for path in names} == {0o600}
