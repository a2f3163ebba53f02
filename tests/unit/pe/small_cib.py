# SPDX-License-Identifier: GPL-2.0-or-later
"""Small CIBs to decide on, and a decision in a form that is easy to compare."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from ha.pe.core import schedule

NOW = 1_700_000_000
DUMMY = 'class="ocf" provider="heartbeat" type="Dummy"'
WITHOUT_PARAMETERS = "f2317cad3d54cec5d7d7aa7d0bf35cf8"
"""The digest of an operation that is given nothing; of a recurring one, the timeout counts."""
WITH_TIMEOUT = "4811cef7f7f94e3a35a70be7916cb2fd"
_DONE = 'op-status="0" crm_feature_set="3.20.5" last-rc-change="1600000000"'


def primitive(id: str, *, meta: dict[str, str] | None = None, monitor_s: int = 10, parameters: str = "") -> str:
    inner = "".join(f'<nvpair id="{id}-m-{k}" name="{k}" value="{v}"/>' for k, v in (meta or {}).items())
    block = f'<meta_attributes id="{id}-m">{inner}</meta_attributes>' if inner else ""
    operations = f'<op id="{id}-mon" name="monitor" interval="{monitor_s}s"/>' if monitor_s else ""
    return f'<primitive id="{id}" {DUMMY}>{block}{parameters}<operations>{operations}</operations></primitive>'


def operation(
    resource: str, task: str, node: str, *, interval_ms: int = 0, rc: int = 0, wanted: int = 0, call: int = 1,
    name: str = "", more: str = "",
) -> str:  # fmt: skip
    """One entry of a history."""
    digest = WITH_TIMEOUT if interval_ms else WITHOUT_PARAMETERS
    if "op-digest" not in more:
        more += f' op-digest="{digest}"'
    id = name or (f"{resource}_{task}_{interval_ms}" if interval_ms else f"{resource}_last_0")
    return (
        f'<lrm_rsc_op id="{id}" operation_key="{resource}_{task}_{interval_ms}" operation="{task}" on_node="{node}"'
        f' interval="{interval_ms}" rc-code="{rc}" call-id="{call}" transition-key="{call}:1:{wanted}:u"'
        f' transition-magic="0:{rc};{call}:1:{wanted}:u" {_DONE} {more}/>'
    )


def running(resource: str, node: str) -> dict[str, dict[str, str]]:
    """The history of a resource that was started on a node and is watched there."""
    start = operation(resource, "start", node, call=1)
    return {node: {resource: start + operation(resource, "monitor", node, interval_ms=10_000, call=2)}}


def absent(resource: str, nodes: Sequence[str]) -> dict[str, dict[str, str]]:
    """The history of a resource that was looked for and not found."""
    return {node: {resource: operation(resource, "monitor", node, rc=7, wanted=7)} for node in nodes}


def cib(
    *,
    nodes: Sequence[str] = ("n1", "n2"),
    down: Sequence[str] = (),
    lost: Sequence[str] = (),
    options: dict[str, str] | None = None,
    resources: str = "",
    constraints: str = "",
    history: Sequence[dict[str, dict[str, str]]] = (),
    transient: dict[str, dict[str, str]] | None = None,
    quorum: bool = True,
) -> bytes:
    """`down` nodes left in good order, `lost` ones did not."""
    given = {"stonith-enabled": "false", **(options or {})}
    pairs = "".join(f'<nvpair id="o-{k}" name="{k}" value="{v}"/>' for k, v in given.items())
    members = "".join(f'<node id="{n}" uname="{n}"/>' for n in nodes)
    states = "".join(_state(n, n in down, n in lost, history, (transient or {}).get(n, {})) for n in nodes)
    return (
        f'<cib validate-with="pacemaker-3.9" have-quorum="{int(quorum)}" dc-uuid="{nodes[0]}" crm_feature_set="3.20.5">'
        f'<configuration><crm_config><cluster_property_set id="o">{pairs}</cluster_property_set></crm_config>'
        f"<nodes>{members}</nodes><resources>{resources}</resources><constraints>{constraints}</constraints>"
        f"</configuration><status>{states}</status></cib>"
    ).encode()


def _state(
    node: str, down: bool, lost: bool, history: Sequence[dict[str, dict[str, str]]], transient: dict[str, str]
) -> str:
    up = not down and not lost
    expected = "down" if down else "member"
    entries: dict[str, str] = {}
    for one in history:
        for resource, text in one.get(node, {}).items():
            entries[resource] = entries.get(resource, "") + text
    known = "".join(f'<lrm_resource id="{r}" {DUMMY}>{text}</lrm_resource>' for r, text in entries.items())
    pairs = "".join(f'<nvpair id="{node}-t-{k}" name="{k}" value="{v}"/>' for k, v in transient.items())
    return (
        f'<node_state id="{node}" uname="{node}" in_ccm="{str(up).lower()}" crmd="{"online" if up else "offline"}"'
        f' join="{"member" if up else "down"}" expected="{expected}"><lrm id="{node}"><lrm_resources>{known}'
        f'</lrm_resources></lrm><transient_attributes id="{node}"><instance_attributes id="{node}-t">{pairs}'
        f"</instance_attributes></transient_attributes></node_state>"
    )


class Plan:
    """A transition graph as names: "KEY@NODE" for what is executed, "KEY" for a mark."""

    def __init__(self, graph: bytes) -> None:
        self.root = etree.fromstring(graph)
        self.inputs: dict[str, set[str]] = {}
        found: list[tuple[str, list[str]]] = []
        names: dict[str, str] = {}
        for synapse in self.root.iterchildren("synapse"):
            (action,) = synapse.iterfind("action_set/*")
            names[str(action.get("id"))] = _name(action)
            found.append((_name(action), [str(e.get("id")) for e in synapse.iterfind("inputs/trigger/*")]))
        for name, inputs in found:
            self.inputs[name] = {names[number] for number in inputs}

    @property
    def names(self) -> set[str]:
        return set(self.inputs)

    def executed(self) -> set[str]:
        return {name for name in self.inputs if "@" in name}

    def is_after(self, later: str, earlier: str) -> bool:
        """Whether the order follows from the inputs, directly or not."""
        seen: set[str] = set()
        queue = [later]
        while queue:
            for name in self.inputs[queue.pop()] - seen:
                seen.add(name)
                queue.append(name)
        return earlier in seen

    def attributes(self, name: str) -> dict[str, str]:
        for action in self.root.iterfind("synapse/action_set/*"):
            if _name(action) == name:
                return {str(key): str(value) for key, value in action[-1].items()}
        raise KeyError(name)


def _name(action: etree._Element) -> str:
    key = str(action.get("operation_key"))
    return key if action.tag == "pseudo_event" else f"{key}@{action.get('on_node')}"


def plan(text: bytes, now_s: int = NOW) -> Plan:
    return Plan(schedule(text, now_s).graph_xml)
