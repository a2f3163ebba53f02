# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes who is in and what ran where into the CIB's status. The DC only.

The copy held here is the truth for joined members: when the CIB has been read again (a new view, a replaced CIB), what
it lacks of that copy is written again. All changes of one step leave in one write.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from lxml import etree

from ha.crm.core.context import Context
from ha.crm.model.history import entries, is_failure, leaves_active, pending_entry
from ha.crm.model.status import Status
from ha.crm.msg import AgentTraits
from ha.lrm.msg import OperationResult, RunOperation

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

MEMBER = {"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member", "crm-debug-origin": "join"}
ARRIVING = {"in_ccm": "true", "crmd": "offline", "join": "down", "crm-debug-origin": "view"}
LOST = {"in_ccm": "false", "crmd": "offline", "join": "down", "crm-debug-origin": "view"}
GONE = {"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "down", "crm-debug-origin": "view"}


LEAVES_THE_LAST_RESULT = frozenset({"monitor", "stop"})
"""Operations under way that do not hide the last result from the policy engine (P1): until a stop has succeeded the
resource is where it was started, whatever a probe that waits behind the stop will find."""


class StatusKeeper:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.copy = Status()
        self.cluster: dict[str, str] = {}

    # The copy --------------------------------------------------------------------------------------------------------

    def read(self, root: etree._Element) -> None:
        """The CIB as it is now; for members that stayed ours is newer."""
        ours, self.copy = self.copy, Status.read(root.find("status"))
        self.cluster = {name: root.get(name, "") for name in ("have-quorum", "dc-uuid")}
        for node in self.context.members():
            record = ours.nodes.get(node)
            if record is None or not self.crmd.join.is_confirmed(node):
                continue
            mine = self.copy.node(node, self.node_id(node))
            for name in [n for n in mine.resources if n not in record.resources]:
                self.copy.drop_resource(node, name)
            for name, kept in record.resources.items():
                known = mine.resources[name].operations if name in mine.resources else {}
                for number in [n for n in known if n not in kept.operations]:
                    self.copy.drop_operation(node, name, number)
                self.copy.put(node, kept.resource, kept.operations.values())

    def forget(self) -> None:
        self.copy = Status()

    def node_id(self, node: str) -> str:
        """As the nodes section has it, else as the status has it, else a number that is the node's from now on: crmsh
        finds nodes in the CIB by the numeric ids of `crm_node -l`."""
        known = self.crmd.ground.configuration.node_ids.get(node)
        if known is None:
            self._number_nodes(node)
            known = self.copy.nodes[node].id
        return known

    def _number_nodes(self, node: str) -> None:
        """All that have no id yet, in the order of their names: whoever is asked for first, in one view the same CIB
        gives them the same numbers, also while the first write of them is under way."""
        known = self.crmd.ground.configuration.node_ids
        taken = {*known.values(), *(record.id for record in self.copy.nodes.values())}
        numbers = (str(n) for n in itertools.count(1) if str(n) not in taken)
        for name in sorted({*self.context.members(), node}):
            if name not in known and name not in self.copy.nodes:
                self.copy.node(name, next(numbers))

    def uname(self, node_id: str) -> str:
        for name, known in self.crmd.ground.configuration.node_ids.items():
            if known == node_id:
                return name
        return node_id

    def ids_of_gone(self) -> set[str]:
        return {record.id for record in self.copy.nodes.values() if not record.in_cluster}

    # Nodes -----------------------------------------------------------------------------------------------------------

    def set_member(self, node: str) -> bool:
        self.copy.node(node, self.node_id(node))
        return self._set_state(node, MEMBER)

    def set_arriving(self, node: str) -> bool:
        """In the view, not joined. What was expected of a node that was lost stays: it may still run resources (P1)."""
        known = self.copy.node(node, self.node_id(node)).attributes
        return self._set_state(node, {**ARRIVING, "expected": known.get("expected", "down")})

    def set_expected_down(self, node: str) -> bool:
        return node in self.copy.nodes and self._set_state(node, {"expected": "down"})

    def _set_state(self, node: str, attributes: dict[str, str]) -> bool:
        """Whether anything changed. Whoever comes or goes is worth an alert."""
        record = self.copy.nodes[node]
        was_in = record.in_cluster
        changed = self.copy.set_state(node, attributes)
        if record.in_cluster != was_in:
            self.crmd.alerts.node_changed(node, record.id, "member" if record.in_cluster else "lost")
        return changed

    def active_on(self, node: str) -> tuple[str, ...]:
        """What is known to run there, fence devices left out."""
        record = self.copy.nodes.get(node)
        resources = record.resources if record is not None else {}
        return tuple(sorted(
            name for name, each in resources.items()
            if each.resource.agent_class != "stonith" and leaves_active(each.operations.values())))

    def set_lost(self, node: str) -> bool:
        """Lost without a word: `expected` stays, so that the policy engine fences it if it can."""
        return node in self.copy.nodes and self._set_state(node, LOST)

    def set_left(self, node: str) -> bool:
        """Left in good order: its resources are stopped, its transient attributes are gone."""
        changed = node in self.copy.nodes and self._set_state(node, GONE)
        return self._drop_transient(node) or changed

    def set_fenced(self, node: str) -> bool:
        """Confirmed down: nothing runs there any more."""
        self.copy.node(node, self.node_id(node))
        changed = self._set_state(node, GONE)
        changed = self.copy.drop_history(node) or changed
        return self._drop_transient(node) or changed

    def _drop_transient(self, node: str) -> bool:
        """attrd is told too; what it has written meanwhile must not outlive the node."""
        return self.copy.drop_transient(node)

    def write_cluster(self) -> None:
        """Quorum, DC and node entries; only what differs."""
        view = self.context.view
        assert view is not None, "a DC has a view"
        wanted = {"have-quorum": "1" if view.quorate else "0", "dc-uuid": self.node_id(self.context.node)}
        if wanted != self.cluster:
            self.cluster = wanted
            text = "".join(f" {name}={quoteattr(value)}" for name, value in wanted.items())
            self.crmd.ground.write("modify", xpath="/cib", xml=f"<cib{text}/>")
            self.crmd.scheduling.news(f"have-quorum={wanted['have-quorum']}")
        if not view.quorate:
            return  # the configuration cannot be changed now
        missing = [n for n in self.context.members() if n not in self.crmd.ground.configuration.node_ids]
        if missing:
            nodes = "".join(f"<node id={quoteattr(self.node_id(n))} uname={quoteattr(n)}/>" for n in missing)
            self.crmd.ground.write("modify", scope="nodes", xml=f"<nodes>{nodes}</nodes>")
        self._write_identity()

    def _write_identity(self) -> None:
        """dc-version and cluster-infrastructure, which clients look at."""
        options = self.crmd.ground.configuration.options
        wanted = {"dc-version": self.crmd.version, "cluster-infrastructure": "heartbeat"}
        stale = {name: value for name, value in wanted.items() if options.get(name) != value}
        if stale:
            pairs = "".join(
                f'<nvpair id="cib-bootstrap-options-{name}" name="{name}" value={quoteattr(value)}/>'
                for name, value in stale.items()
            )
            self.crmd.ground.write(
                "modify", scope="crm_config",
                xml=f'<crm_config><cluster_property_set id="cib-bootstrap-options">{pairs}</cluster_property_set>'
                "</crm_config>",
            )

    # History ---------------------------------------------------------------------------------------------------------

    def record(self, node: str, result: OperationResult, traits: AgentTraits | None = None) -> bool:
        """Whether the result tells something new."""
        if node not in self.copy.nodes:
            return False
        name = result.resource.id
        if result.deleted:
            return self.copy.drop_resource(node, name)
        changed = False
        found = entries(result, node, traits)
        if found and not is_failure(result) and result.operation == "stop":
            changed = self._drop_recurring(node, name)
        return self.copy.put(node, result.resource, self._after_its_kin(node, name, found)) or changed

    def _after_its_kin(self, node: str, resource_id: str, found: list[dict[str, str]]) -> list[dict[str, str]]:
        """A recurring operation's failure and its success have one call id: the later last-rc-change tells which is
        newer. The node's clock may have been set back in between, so ours is made later than what it follows."""
        mine = self.copy.nodes[node].resources.get(resource_id)
        if mine is None:
            return found
        for entry in [entry for entry in found if entry["interval"] != "0"]:
            kin = [
                int(other["last-rc-change"]) for other in mine.operations.values()
                if other["id"] != entry["id"] and other.get("call-id") == entry["call-id"]
                and other.get("last-rc-change", "").isdecimal()
            ]
            if kin and int(entry["last-rc-change"]) <= max(kin):
                entry["last-rc-change"] = str(max(kin) + 1)
        return found

    def _drop_recurring(self, node: str, resource_id: str) -> bool:
        """A stop has ended them."""
        mine = self.copy.nodes[node].resources.get(resource_id)
        if mine is None:
            return False
        ended = [number for number, entry in mine.operations.items()
                 if entry.get("interval", "0") != "0" and not number.endswith("_last_failure_0")]
        for number in ended:
            self.copy.drop_operation(node, resource_id, number)
        return bool(ended)

    def rebuild(
        self, node: str, results: Iterable[OperationResult], running: Iterable[RunOperation]
    ) -> list[OperationResult]:
        """Make a node's history what its LRM says. Returns the failures that the CIB did not know."""
        self.copy.node(node, self.node_id(node))
        wanted: dict[str, dict[str, dict[str, str]]] = {}
        resources = {}
        new_failures: list[OperationResult] = []
        for result in sorted(results, key=lambda r: r.call_id):
            found = entries(result, node)
            if found and is_failure(result) and not self._is_known(node, result, found[0]):
                new_failures.append(result)
            resources[result.resource.id] = result.resource
            wanted.setdefault(result.resource.id, {}).update({entry["id"]: entry for entry in found})
        last = max((int(e["call-id"]) for w in wanted.values() for e in w.values()), default=0)
        for order in running:
            if order.operation == "notify":
                continue
            last += 1
            resources[order.resource.id] = order.resource
            entry = pending_entry(order, node, last, self.context.unix_s())
            history = wanted.setdefault(order.resource.id, {})
            if order.operation in LEAVES_THE_LAST_RESULT and entry["id"] in history:
                continue
            history[entry["id"]] = entry
        known = self.copy.nodes[node].resources
        for name in [n for n in known if n not in wanted]:
            self.copy.drop_resource(node, name)
        for name in sorted(wanted):
            mine = known[name].operations if name in known else {}
            for number in [n for n in mine if n not in wanted[name]]:
                self.copy.drop_operation(node, name, number)
            self.copy.put(node, resources[name], self._with_traits(mine, wanted[name]))
        return new_failures

    def _is_known(self, node: str, result: OperationResult, entry: dict[str, str]) -> bool:
        record = self.copy.nodes[node].resources.get(result.resource.id)
        old = record.operations.get(entry["id"]) if record is not None else None
        if old is None or any(old.get(name) != entry[name] for name in ("call-id", "transition-magic")):
            return False
        then = old.get("last-rc-change", "")
        return then.isdecimal() and int(then) >= int(entry["last-rc-change"])

    @staticmethod
    def _with_traits(known: dict[str, dict[str, str]], wanted: dict[str, dict[str, str]]) -> list[dict[str, str]]:
        """What the CIB has of an operation beyond the history (digests by meta-data) is kept."""
        result = []
        for number, entry in wanted.items():
            old = known.get(number, {})
            same = all(old.get(name) == value for name, value in entry.items())
            result.append(dict(old) if same else entry)
        return result

    # Writing ---------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what changed in this step."""
        if not (self.crmd.election.is_dc and self.crmd.ground.loaded):
            return
        for write in self.copy.take_writes():
            if write.operation == "delete":
                self.crmd.ground.write("delete", xpath=write.xpath)
            else:
                self.crmd.ground.write("modify", scope="status", xml=write.xml)
