# SPDX-License-Identifier: GPL-2.0-or-later
"""A policy engine of a page, for scenarios of the crmd: one place for each primitive, probes, monitors, fencing.

It is no yardstick of scheduling. It decides from the CIB alone, so that what the crmd fails to write is missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lxml import etree


@dataclass
class Plan:
    synapses: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def add(self, text: str, *inputs: int) -> int:
        number = len(self.synapses) + 1
        self.synapses.append((text.replace("#ID#", str(number)), tuple(i for i in inputs if i)))
        return number

    def graph(self) -> str:
        out = ""
        for number, (text, inputs) in enumerate(self.synapses):
            triggers = "".join(f'<trigger><rsc_op id="{i}"/></trigger>' for i in inputs)
            out += f'<synapse id="{number}"><action_set>{text}</action_set><inputs>{triggers}</inputs></synapse>'
        return f'<transition_graph cluster-delay="60s">{out}</transition_graph>'


def operation(task: str, resource: str, node: str, target_rc: int = 0, interval_ms: int = 0, **more: str) -> str:
    meta = {"timeout": "20000", "op_target_rc": str(target_rc), "name": task, "interval": str(interval_ms), **more}
    attributes = "".join(f' CRM_meta_{k}="{v}"' for k, v in meta.items())
    return (
        f'<rsc_op id="#ID#" operation="{task}" operation_key="{resource}_{task}_{interval_ms}" on_node="{node}" '
        f'on_node_uuid="{node}"><primitive id="{resource}" class="ocf" provider="heartbeat" type="Dummy"/>'
        f'<attributes{attributes} state="/tmp/{resource}"/></rsc_op>'
    )


def event(task: str, node: str, **meta: str) -> str:
    attributes = "".join(f' CRM_meta_{k}="{v}"' for k, v in meta.items())
    return (f'<crm_event id="#ID#" operation="{task}" operation_key="{task}-{node}" on_node="{node}" '
            f'on_node_uuid="{node}"><attributes{attributes}/></crm_event>')


def decide(root: etree._Element) -> str:
    plan = Plan()
    states = {s.get("uname", ""): s for s in root.iterfind("status/node_state") if s.get("crmd")}
    quorate = root.get("have-quorum") == "1"
    lost = [n for n in states if quorate and unclean(root, states[n])]
    fences = {n: plan.add(event("stonith", n, stonith_action="reboot")) for n in lost}
    usable = [n for n in sorted(states) if online(states[n]) and not shutting_down(states[n])]
    if not quorate:
        usable = []
    last_stops: dict[str, list[int]] = {n: [] for n in states}
    for primitive in root.iterfind("configuration/resources/primitive"):
        place(plan, primitive, states, usable, fences, last_stops)
    for node, state in states.items():
        if online(state) and shutting_down(state):
            plan.add(event("do_shutdown", node, op_no_wait="true"), *last_stops[node])
    return plan.graph()


def place(
    plan: Plan, primitive: etree._Element, states: dict[str, etree._Element], usable: list[str],
    fences: dict[str, int], last_stops: dict[str, list[int]],
) -> None:
    name = primitive.get("id", "")
    probes = [plan.add(operation("monitor", name, n, target_rc=7)) for n in usable if not history(states[n], name)]
    where = [n for n in states if (online(states[n]) or n in fences) and active(states[n], name)]
    failing = [n for n in where if failed(states[n], name)]
    candidates = [n for n in usable if fail_count(states[n], name) < 1_000_000]
    wanted = next((n for n in where if n in candidates), candidates[0] if candidates else "")
    if pending(states, name):
        return
    waits = list(probes)
    for node in where:
        if node in fences:
            waits.append(fences[node])
        elif node != wanted or node in failing:
            stop = plan.add(operation("stop", name, node))
            last_stops[node].append(stop)
            waits.append(stop)
    if wanted and (wanted not in where or wanted in failing):
        start = plan.add(operation("start", name, wanted), *waits)
        plan.add(operation("monitor", name, wanted, interval_ms=10_000), start)
    elif wanted and not any(e.get("interval") == "10000" for e in history(states[wanted], name)):
        plan.add(operation("monitor", name, wanted, interval_ms=10_000))


def online(state: etree._Element) -> bool:
    return (state.get("in_ccm"), state.get("crmd"), state.get("join")) == ("true", "online", "member")


def unclean(root: etree._Element, state: etree._Element) -> bool:
    setting = root.find("configuration/crm_config/cluster_property_set/nvpair[@name='stonith-enabled']")
    enabled = setting is None or setting.get("value") != "false"
    return enabled and state.get("in_ccm") == "false" and state.get("expected") == "member"


def attribute(state: etree._Element, name: str) -> str:
    pair = state.find(f"transient_attributes/instance_attributes/nvpair[@name='{name}']")
    return pair.get("value", "") if pair is not None else ""


def shutting_down(state: etree._Element) -> bool:
    return attribute(state, "shutdown") not in ("", "0")


def fail_count(state: etree._Element, resource: str) -> int:
    begin = f"fail-count-{resource}#"
    values = [p.get("value", "0") for p in state.iter("nvpair") if p.get("name", "").startswith(begin)]
    return max((1_000_000 if v == "INFINITY" else int(v) for v in values), default=0)


def history(state: etree._Element, resource: str) -> list[etree._Element]:
    found = state.findall(f"lrm/lrm_resources/lrm_resource[@id='{resource}']/lrm_rsc_op")
    return sorted(found, key=lambda op: (int(op.get("call-id", "0")), "last_failure" in op.get("id", "")))


def active(state: etree._Element, resource: str) -> bool:
    result = False
    for op in history(state, resource):
        if op.get("operation") == "stop" and op.get("rc-code") == "0":
            result = False
        elif op.get("operation") in ("start", "monitor") and op.get("op-status") != "-1":
            result = op.get("rc-code") != "7" or op.get("interval") != "0"
    return result


def failed(state: etree._Element, resource: str) -> bool:
    result = False
    for op in history(state, resource):
        expected = op.get("transition-key", "::0").split(":")[2]
        if op.get("interval") != "0" or op.get("operation") in ("start", "stop"):
            result = op.get("rc-code") != expected
    return result


def pending(states: dict[str, etree._Element], resource: str) -> bool:
    return any(op.get("op-status") == "-1" for s in states.values() if online(s) for op in history(s, resource))
