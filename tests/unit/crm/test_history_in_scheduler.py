# SPDX-License-Identifier: GPL-2.0-or-later
"""What the crmd writes of an operation is what the scheduler expects of it: a resource that runs well is left alone."""

from __future__ import annotations

from itertools import product

import pytest

from ha.crm.model.history import entries
from ha.crm.msg import AgentTraits
from ha.lrm.msg import OperationResult, Resource
from tests.unit.pe.small_cib import absent, cib, plan, primitive

PARAMETERS = '<instance_attributes id="A-i"><nvpair id="A-s" name="state" value="{}"/></instance_attributes>'
A = Resource(id="A", agent_class="ocf", provider="heartbeat", agent_type="Dummy")
TRAITS = [
    None,
    *(
        AgentTraits(parameters=("fake", "state"), reloadable=reloadable, private=private, reloads=reloads)
        for reloadable, private, reloads in product(((), ("fake",), ("state",)), ((), ("state",)), (False, True))
    ),
]


def written(operation: str, interval_ms: int, traits: AgentTraits | None, call_id: int, rc: int = 0) -> str:
    result = OperationResult(
        resource=A, operation=operation, interval_ms=interval_ms, call_id=call_id, rc=rc, status="done",
        parameters={"state": "/a"}, meta={"timeout": "20000"}, user_data=f"{call_id}:1:{rc}:uuid",
        last_rc_change_s=1_600_000_000, exec_ms=1, queue_ms=1, exit_reason="",
    )  # fmt: skip
    found = entries(result, "n1", traits)
    pairs = (" ".join(f'{name}="{value}"' for name, value in entry.items()) for entry in found)
    return "".join(f"<lrm_rsc_op {text}/>" for text in pairs)


def running(traits: AgentTraits | None, state: str = "/a") -> bytes:
    history = written("start", 0, traits, 1) + written("monitor", 10_000, traits, 2)
    return cib(
        resources=primitive("A", parameters=PARAMETERS.format(state)),
        history=[{"n1": {"A": history}}, absent("A", ["n2"])],
    )


@pytest.mark.parametrize("traits", TRAITS)
def test_a_resource_that_runs_well_is_left_alone(traits: AgentTraits | None) -> None:
    assert plan(running(traits)).executed() == set()


@pytest.mark.parametrize("traits", TRAITS)
def test_a_parameter_that_changed_is_noticed(traits: AgentTraits | None) -> None:
    reloads = traits is not None and traits.reloads and "state" in traits.reloadable
    executed = plan(running(traits, "/b")).executed()
    assert "A_monitor_10000@n1" in executed
    assert ("A_reload_0@n1" in executed or "A_reload-agent_0@n1" in executed) is reloads
    assert ("A_stop_0@n1" in executed) is not reloads
