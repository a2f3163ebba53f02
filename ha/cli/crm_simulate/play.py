# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays a transition graph against a copy of the CIB: everything succeeds, unless told to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lxml import etree
from lxml.etree import _Element as Element

from ha.cli.crm_simulate.edited_cib import EditedCib, EditError, Result
from ha.cli.crm_simulate.injections import count_failure
from ha.cli.crm_simulate.report import Item
from ha.pe.model.scores import INFINITY
from ha.pe.model.values import integer


@dataclass(slots=True)
class Step:
    """One synapse of the graph."""

    priority: int
    actions: list[Element]
    inputs: list[str]
    fired: bool = False


class Player:
    """`say` hears every action as it is done, `warn` what is wrong."""

    def __init__(
        self,
        cib: EditedCib,
        graph: bytes,
        failures: Sequence[str],
        is_known: Callable[[str], bool],
        say: Callable[[Item], None],
        warn: Callable[[str], None],
    ) -> None:
        self.cib = cib
        self.graph = etree.fromstring(graph)
        self.failures = failures
        self.is_known = is_known
        self.say = say
        self.warn = warn
        self.abort_priority = 0
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.steps = [
            Step(
                integer(synapse.get("priority")) or 0,
                list(synapse.iterfind("action_set/*")),
                [str(element.get("id")) for element in synapse.iterfind("inputs/trigger/*")],
            )
            for synapse in self.graph.iterchildren("synapse")
        ]

    def play(self) -> bool:
        """Whether the graph came to an end as it should."""
        while self._pass():
            pass
        left = any(not step.fired for step in self.steps)
        if left and self.abort_priority <= 0:
            self.warn("Transition failed: terminated")
            self.warn("An invalid transition was produced")
            return False
        return True

    def _pass(self) -> bool:
        fired = False
        for step in self.steps:
            if not step.fired and self._is_ready(step):
                step.fired = fired = True
                for action in step.actions:
                    self._do(action)
        return fired

    def _is_ready(self, step: Step) -> bool:
        for id in step.inputs:
            if id not in self.done or (id in self.failed and step.priority != INFINITY):
                return False
        if step.priority >= self.abort_priority:
            return True
        return all(action.tag == "pseudo_event" for action in step.actions)

    # Actions ---------------------------------------------------------------------------------------------------

    def _do(self, action: Element) -> None:
        node = action.get("on_node")
        if action.tag == "pseudo_event":
            self._pseudo_action(str(action.get("operation_key")), node)
        elif action.tag == "rsc_op":
            self._operation(action, str(node))
        elif action.get("operation") == "stonith":
            self._fence(action, str(node))
        else:
            self._cluster_action(action, str(node))
        self.done.add(str(action.get("id")))

    def _pseudo_action(self, task: str, node: str | None) -> None:
        place = {} if node is None else {"node": node}
        text = f"Pseudo action:   {task}{'' if node is None else f' on {node}'}"
        self.say(Item(text, "pseudo_action", {"task": task, **place}))

    def _cluster_action(self, action: Element, node: str) -> None:
        task, resource = str(action.get("operation")), action.find("primitive")
        attributes = {"task": task, "node": node}
        if resource is not None:
            attributes["id"] = str(resource.get("id"))
        about = "" if resource is None else f" for {resource.get('id')}"
        self.say(Item(f"Cluster action:  {task}{about} on {node}", "cluster_action", attributes))

    def _resource_action(self, name: str, task: str, node: str, interval_ms: int = 0) -> None:
        every = f"={interval_ms}" if interval_ms else ""
        attributes = {"resource": name, "op": task, "node": node}
        if interval_ms:
            attributes["interval"] = str(interval_ms)
        self.say(Item(f"Resource action: {name:<15} {task}{every} on {node}", "rsc_action", attributes))

    def _fence(self, action: Element, target: str) -> None:
        task = _attributes(action).get("CRM_meta_stonith_action")
        self.say(Item(f"Fencing {target} ({task})", "fencing_action", {"target": target, "op": str(task)}))
        if (task or "").lower() != "on":
            self.cib.set_node(target, up=False)
            self.cib.forget_node(target)

    def _operation(self, action: Element, node: str) -> None:
        primitive = action.find("primitive")
        if primitive is None or primitive.get("id") is None:
            self.warn(f"Action {action.get('id')} of the transition has no resource")
            self.failed.add(str(action.get("id")))
            self.abort_priority = INFINITY
            return
        config_name = name = str(primitive.get("id"))
        long_name = primitive.get("long-id")
        if not self.is_known(name) and long_name is not None and self.is_known(long_name):
            name = long_name
        task = str(action.get("operation"))
        if task in ("delete", "meta-data"):
            self._resource_action(name, task, node)
            return
        attributes = _attributes(action)
        interval = integer(attributes.get("CRM_meta_interval")) or 0
        state = self.cib.node_state(node, action.get("on_node_uuid") if action.get("router_node") is None else node)
        try:
            agent = {key: primitive.get(key) for key in ("class", "provider", "type")}
            history = self.cib.history(state, (name, config_name), agent, self.is_known)
        except EditError as error:
            self.warn(str(error))
            self.failed.add(str(action.get("id")))
            return
        self._resource_action(name, task, node, interval)
        wanted = integer(attributes.get("CRM_meta_op_target_rc")) or 0
        exit_code = self._wanted_failure(action, (name, config_name), f"{task}_{interval}@{node}=", state, wanted)
        self.cib.record(history, Result(config_name, task, interval, node, exit_code, wanted, attributes))

    def _wanted_failure(self, action: Element, names: tuple[str, str], rest: str, state: Element, wanted: int) -> int:
        for spec in self.failures:
            name = next((n for n in names if spec.lower().startswith(f"{n}_{rest}".lower())), None)
            if name is None:
                continue
            exit_code = integer(spec.partition("=")[2])
            if exit_code is None:
                self.warn(f"Invalid failed operation '{spec}' (result code must be integer)")
                continue
            self.say(Item(f"Pretending action {action.get('id')} failed with rc={exit_code}"))
            self.failed.add(str(action.get("id")))
            self.abort_priority = INFINITY
            task, interval = str(action.get("operation")), integer(rest.split("@")[0].rpartition("_")[2]) or 0
            offset = self.graph.get(f"failed-{task}-offset", "INFINITY") if task in ("start", "stop") else ""
            count_failure(self.cib, state, (name, task, interval), exit_code, offset == "INFINITY")
            return exit_code
        return wanted


def _attributes(action: Element) -> dict[str, str]:
    element = action.find("attributes")
    if element is None:
        return {}
    found = {str(name): str(value) for name, value in element.items()}
    for parameter in element.iterchildren("param"):
        found[str(parameter.get("name"))] = str(parameter.get("value"))
    return found
