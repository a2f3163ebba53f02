# SPDX-License-Identifier: GPL-2.0-or-later
"""Transition graphs: the typed form of the XML that the policy engine writes.

Form (observed in the scheduler's regression outputs): `transition_graph` holds `synapse` elements; each has one
`action_set` with `rsc_op`, `crm_event` or `pseudo_event`, and `inputs` with `trigger` elements that name, by id, the
actions that must have been done before. A reader meets a hostile or broken graph with GraphError, never with less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from lxml import etree

MAX_GRAPH_BYTES = 64 * 1024 * 1024
MAX_ACTIONS = 500_000
MAX_TRIGGERS = 10_000_000
MAX_DURATION_MS = 2**41  # about 70 years; a larger one is a mistake
META_PREFIX = "CRM_meta_"
DEFAULT_CLUSTER_DELAY_MS = 60_000
DEFAULT_FENCING_TIMEOUT_MS = 60_000

Kind: TypeAlias = Literal["rsc_op", "crm_event", "pseudo_event"]
KINDS = ("rsc_op", "crm_event", "pseudo_event")

_UNITS_MS: Mapping[str, float] = {
    "us": 0.001, "usec": 0.001, "ms": 1, "msec": 1, "": 1000, "s": 1000, "sec": 1000,
    "m": 60_000, "min": 60_000, "h": 3_600_000, "hr": 3_600_000,
}
_DURATION = re.compile(r"\s*(\d{1,15})\s*([a-z]*)\s*")


class GraphError(ValueError):
    """The graph cannot be carried out; the text names the element and the rule it breaks."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step. `meta` has the names without `CRM_meta_`; `timeout_ms` is 0 when the graph gives none."""

    id: int
    kind: Kind
    task: str
    operation_key: str
    node: str = ""
    node_uuid: str = ""
    router: str = ""
    target_rc: int = 0
    timeout_ms: int = 0
    no_wait: bool = False
    resource: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)

    @property
    def fences(self) -> bool:
        """Whether the action takes the power from its node (an `on` unfences and takes nothing)."""
        return self.kind == "crm_event" and self.task == "stonith" and self.meta.get("stonith_action") != "on"


@dataclass(frozen=True, slots=True)
class Synapse:
    """Actions that may begin when all `inputs` (action ids) are done."""

    id: int
    priority: int
    actions: tuple[int, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A checked graph: every input names an action, every action has one synapse."""

    synapses: tuple[Synapse, ...]
    actions: Mapping[int, Action]
    cluster_delay_ms: int = DEFAULT_CLUSTER_DELAY_MS
    fencing_timeout_ms: int = DEFAULT_FENCING_TIMEOUT_MS
    batch_limit: int = 0
    migration_limit: int = 0


def parse_duration_ms(text: str) -> int:
    """`60s`, `3min`, `250ms`, or plain seconds, as milliseconds. Raises GraphError."""
    match = _DURATION.fullmatch(text.lower())
    if match is None or match[2] not in _UNITS_MS:
        raise GraphError(f"{text!r} is no duration (a number with ms, s, min or h)")
    return min(int(int(match[1]) * _UNITS_MS[match[2]]), MAX_DURATION_MS)


def parse_graph(text: str) -> Graph:
    """Read and check a transition graph. Raises GraphError."""
    data = text.encode()
    if len(data) > MAX_GRAPH_BYTES:
        raise GraphError(f"the graph has {len(data)} bytes; {MAX_GRAPH_BYTES} is the limit")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise GraphError(f"the graph is not well-formed XML: {error.msg}") from error
    if root.tag != "transition_graph":
        raise GraphError(f"the root element is <{root.tag}>, not <transition_graph>")
    actions: dict[int, Action] = {}
    synapses = tuple(_parse_synapse(element, actions) for element in root if element.tag == "synapse")
    _check_inputs(synapses, actions)
    return Graph(
        synapses=synapses,
        actions=actions,
        cluster_delay_ms=_duration(root, ("cluster-delay",), DEFAULT_CLUSTER_DELAY_MS),
        fencing_timeout_ms=_duration(root, ("fencing-timeout", "stonith-timeout"), DEFAULT_FENCING_TIMEOUT_MS),
        batch_limit=max(0, _integer(root, "batch-limit", 0)),
        migration_limit=max(0, _integer(root, "migration-limit", 0)),
    )


def _parse_synapse(element: etree._Element, actions: dict[int, Action]) -> Synapse:
    mine: list[int] = []
    inputs: list[int] = []
    for part in element:
        if part.tag == "action_set":
            for child in part:
                action = _parse_action(child)
                if action.id in actions:
                    raise GraphError(f"action {action.id} appears twice")
                if len(actions) >= MAX_ACTIONS:
                    raise GraphError(f"the graph has more than {MAX_ACTIONS} actions")
                actions[action.id] = action
                mine.append(action.id)
        elif part.tag == "inputs":
            inputs += [_integer(named, "id") for trigger in part for named in trigger]
    if not mine:
        raise GraphError(f"line {element.sourceline}: the synapse has no action")
    return Synapse(_integer(element, "id"), _integer(element, "priority", 0), tuple(mine), tuple(dict.fromkeys(inputs)))


def _parse_action(element: etree._Element) -> Action:
    if element.tag not in KINDS:
        raise GraphError(f"line {element.sourceline}: <{element.tag}> is no action")
    get = _texts(element)
    task = get.get("operation", "")
    if not task:
        raise GraphError(f"line {element.sourceline}: the action has no operation")
    resource: dict[str, str] = {}
    attributes: dict[str, str] = {}
    meta: dict[str, str] = {}
    for child in element:
        if child.tag == "primitive":
            resource.update(_texts(child))
        elif child.tag == "attributes":
            for name, value in {**_texts(child), **_params(child)}.items():
                if name.startswith(META_PREFIX):
                    meta[name[len(META_PREFIX) :]] = value
                else:
                    attributes[name] = value
    if element.tag == "rsc_op" and not (resource.get("id") and get.get("on_node")):
        raise GraphError(f"line {element.sourceline}: a rsc_op needs a primitive and on_node")
    return Action(
        id=_integer(element, "id"),
        kind=cast(Kind, element.tag),
        task=task,
        operation_key=get.get("operation_key", ""),
        node=get.get("on_node", ""),
        node_uuid=get.get("on_node_uuid", ""),
        router=get.get("router_node", ""),
        target_rc=_number(meta.get("op_target_rc", "0"), element, "op_target_rc"),
        timeout_ms=_number(meta.get("timeout", "0"), element, "timeout"),
        no_wait=meta.get("op_no_wait") == "true",
        resource=resource,
        attributes=attributes,
        meta=meta,
    )


def _check_inputs(synapses: tuple[Synapse, ...], actions: Mapping[int, Action]) -> None:
    triggers = 0
    if len({synapse.id for synapse in synapses}) != len(synapses):
        raise GraphError("two synapses have the same id")
    for synapse in synapses:
        triggers += len(synapse.inputs)
        if triggers > MAX_TRIGGERS:
            raise GraphError(f"the graph has more than {MAX_TRIGGERS} triggers")
        for wanted in synapse.inputs:
            if wanted not in actions:
                raise GraphError(f"synapse {synapse.id} waits for action {wanted}, which is not in the graph")


def _params(element: etree._Element) -> dict[str, str]:
    """Parameters whose names no XML attribute may have, as `<param name= value=>`."""
    return {str(child.get("name")): str(child.get("value", "")) for child in element.iterchildren("param")}


def _texts(element: etree._Element) -> dict[str, str]:
    return {str(name): str(value) for name, value in element.attrib.items()}


def _integer(element: etree._Element, name: str, default: int | None = None) -> int:
    value = element.get(name)
    if value is None:
        if default is None:
            raise GraphError(f"line {element.sourceline}: <{element.tag}> has no {name}")
        return default
    return _number(value, element, name)


def _number(value: str, element: etree._Element, name: str) -> int:
    if value == "INFINITY":
        return 1_000_000
    if re.fullmatch(r"-?\d{1,15}", value) is None:
        raise GraphError(f"line {element.sourceline}: {name}={value!r} of <{element.tag}> is no number")
    return int(value)


def _duration(root: etree._Element, names: tuple[str, ...], default_ms: int) -> int:
    for name in names:
        value = root.get(name)
        if value is not None:
            return parse_duration_ms(value)
    return default_ms
