# SPDX-License-Identifier: GPL-2.0-or-later
"""Our grammar takes every CIB of the scheduler's conformance cases, but for those that break a rule on purpose."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from ha.cib.model.document import Document
from ha.cib.schema import load
from tests.conformance.cases import VISIBLE

EXCEPTIONS = {
    "colocation-influence.xml": "influence='invalid' is not allowed",  # tests how the scheduler takes a bad value
    "failcount-block.xml": "lacks the attribute 'id'",  # a node_state of a node without an id
    "intervals.xml": "timeout='bad' is not allowed",  # as the first
    "resource-discovery.xml": "<lrm> has no place in <status>",  # a history outside of its node_state
}


@pytest.mark.parametrize("folder", ["scheduler", "random"])
def test_real_cibs_are_valid(folder: str) -> None:
    archive = VISIBLE / folder / "cases.tar.xz"
    if not archive.exists():
        pytest.skip("the conformance cases are not beside this checkout (../shared/conformance)")
    count = 0
    with tarfile.open(archive) as cases:
        for member in cases:
            if not member.name.endswith(".xml"):
                continue
            file = cases.extractfile(member)
            assert file is not None
            breach = load().check(Document.from_bytes(file.read()))
            expected = EXCEPTIONS.get(Path(member.name).name)
            if breach is not None and expected is not None:
                assert expected.split("> ")[-1] in str(breach)
            else:
                assert breach is None, f"{member.name}: {breach}"
            count += 1
    assert count > 100
