# SPDX-License-Identifier: GPL-2.0-or-later
"""Which instances of a promotable clone are promoted."""

from __future__ import annotations

from ha.pe.core import schedule
from tests.unit.pe.small_cib import NOW, Plan, cib, operation, primitive

UNMANAGED = (
    '<clone id="C"><meta_attributes id="C-m"><nvpair id="C-p" name="promotable" value="true"/>'
    f'<nvpair id="C-u" name="is-managed" value="false"/></meta_attributes>{primitive("P")}</clone>'
)


def test_an_unmanaged_instance_may_be_where_its_clone_has_no_opinion() -> None:
    """Pacemaker ends with a failed assertion here."""
    text = cib(
        options={"symmetric-cluster": "false"},
        resources=UNMANAGED,
        constraints='<rsc_location id="l" rsc="C" node="n2" score="5"/>'
        '<rsc_location id="m" rsc="C" node="n1" role="Promoted" score="5"/>',
        history=[{"n1": {"P": operation("P", "start", "n1")}}],
        transient={"n1": {"master-P": "5"}},
    )
    plan = Plan(schedule(text, NOW).graph_xml)
    assert not any("promote" in name or "stop" in name for name in plan.inputs)
