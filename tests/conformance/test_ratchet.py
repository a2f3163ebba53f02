# SPDX-License-Identifier: GPL-2.0-or-later
"""No case of Pacemaker's that once passed at a level may be lost.

`python -m tests.conformance.run CASES --update` takes new ones in.
"""

import json

import pytest

from tests.conformance.cases import RATCHET, VISIBLE, load_judge, verdicts
from tests.conformance.run import passed_cases

RECORDED: dict[str, dict[str, list[str]]] = json.loads(RATCHET.read_text())


@pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"Pacemaker's cases are not here: {VISIBLE}")
@pytest.mark.parametrize("name", sorted(RECORDED))
def test_no_case_is_lost(name: str) -> None:
    folder = VISIBLE / name
    passed = passed_cases(list(verdicts(load_judge(folder), folder)))
    lost = {level: sorted(set(cases) - set(passed[level])) for level, cases in RECORDED[name].items()}
    assert not any(lost.values()), f"no longer pass: {({level: cases for level, cases in lost.items() if cases})}"
