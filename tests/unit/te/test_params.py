# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters whose names XML does not allow as attributes reach the agent all the same."""

from __future__ import annotations

from ha.te.model import parse_graph

GRAPH = """\
<transition_graph cluster-delay="60s" transition_id="0">
  <synapse id="0"><action_set>
    <rsc_op id="3" operation="start" operation_key="r_start_0" on_node="n1" on_node_uuid="1">
      <primitive id="r" class="ocf" provider="test" type="recorder"/>
      <attributes plain="a" CRM_meta_timeout="20000">
        <param name="1" value="first"/><param name="a b" value="c"/>
      </attributes>
    </rsc_op>
  </action_set><inputs/></synapse>
</transition_graph>
"""


def test_params_are_attributes() -> None:
    graph = parse_graph(GRAPH)
    (action,) = graph.actions.values()
    assert dict(action.attributes) == {"plain": "a", "1": "first", "a b": "c"}
    assert action.timeout_ms == 20_000
