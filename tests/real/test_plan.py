# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha plan` and `ha apply` on a running cluster; `python -m tests.real.plans` does the same by the hundred."""

from __future__ import annotations

import pytest

from tests.real import cluster, plans

pytestmark = pytest.mark.real


def test_what_was_planned_is_done_and_what_is_out_of_date_is_refused() -> None:
    with cluster.running(3) as c:
        figures = plans.run(c, 8, 4, lambda text: None)
    assert figures.done
    assert figures.refused
