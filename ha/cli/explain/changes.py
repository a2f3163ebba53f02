# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes an operator could make so that a resource runs on a node, each with its command and what it does to a CIB.

None of them is a promise: `search` tries them. They come in ranks, the mildest first: what undoes an earlier order or
failure, what brings the node back, what lets the resource run at all, one number, a move, and the end of a constraint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from shlex import quote

from lxml import etree
from lxml.etree import _Element as Element

from ha.cli.crm_simulate.edited_cib import EditedCib
from ha.cli.explain.trial import Judgement, family, subject
from ha.cli.output.xml_text import quoteattr
from ha.cli.source.cluster import primitives
from ha.pe.core.failcounts import base_name
from ha.pe.model import scores
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.scores import readable
from ha.pe.model.values import is_true


@dataclass(frozen=True, slots=True)
class Change:
    """`words` begin with a verb; `command` is what to type, "" where no command does it, one line each if there are
    several; `apply` edits a cib.
    """

    words: str
    command: str
    apply: Callable[[Element], None]

    def and_then(self, other: Change) -> Change:
        """Both; neither may touch what the other one does."""

        def apply(root: Element) -> None:
            self.apply(root)
            other.apply(root)

        return Change(f"{self.words}, and {other.words}", f"{self.command}\n{other.command}", apply)


@dataclass(frozen=True, slots=True)
class Number:
    """A score in the configuration: the attribute `attribute` of the element at `path`. `command` has {} for it."""

    path: str
    attribute: str
    name: str
    value: int
    command: str

    def changed(self, value: int) -> Change:
        verb = "raise" if value > self.value else "lower"
        words = f"{verb} {self.name} from {readable(self.value)} to {readable(value)}"
        return Change(words, self.command.replace("{}", readable(value)), self._setter(readable(value)))

    def _setter(self, value: str) -> Callable[[Element], None]:
        def apply(root: Element) -> None:
            at(root, self.path).set(self.attribute, value)

        return apply


def path_of(element: Element) -> str:
    """Where to find the element again in a copy: what has an id in the constraints stays where it is by that."""
    id = element.get("id")
    if id is not None and '"' not in id and any(outer.tag == "constraints" for outer in element.iterancestors()):
        return f'/cib/configuration/constraints//{element.tag}[@id="{id}"]'
    return str(element.getroottree().getpath(element))


def at(root: Element, path: str) -> Element:
    """The element of a copy that was at `path` in the original."""
    found = root.getroottree().xpath(path)
    assert isinstance(found, list)
    element = found[0]
    assert isinstance(element, etree._Element)
    return element


def _remover(paths: list[str]) -> Callable[[Element], None]:
    def apply(root: Element) -> None:
        for element in [at(root, path) for path in paths]:
            parent = element.getparent()
            assert parent is not None
            parent.remove(element)

    return apply


def _valuer(path: str, value: str) -> Callable[[Element], None]:
    def apply(root: Element) -> None:
        at(root, path).set("value", value)

    return apply


def _has_failed(operation: Element) -> bool:
    """Whether an entry of a history is a failure: its exit code is not the one that its transition key wanted."""
    wanted = str(operation.get("transition-key")).split(":")
    return len(wanted) > 2 and operation.get("rc-code") not in (wanted[2], None) and operation.get("op-status") != "-1"


class Candidates:
    """Lists the changes that concern one resource and one node."""

    def __init__(self, root: Element, judged: Judgement, resource: Resource, node: Node) -> None:
        self.root = root
        self.judged = judged
        self.resource = resource
        self.node = node
        self.ids = {base_name(member.id) for member in family(resource)} | {base_name(resource.id)}
        self.definition = base_name(resource.id)

    # Undoing ---------------------------------------------------------------------------------------------------

    def mild(self) -> Iterator[Change]:
        """What changes no number and no wish: earlier orders, and what `enabling` lists."""
        yield from self._earlier_orders()
        yield from self.enabling()

    def enabling(self) -> Iterator[Change]:
        """The end of failures, and the state of the node and the resource."""
        yield from self._failures()
        yield from self._node()
        yield from self._switches()
        yield from self._tickets()

    def _earlier_orders(self) -> Iterator[Change]:
        bans, prefers = [], []
        for element in self._constraints("rsc_location"):
            id, of = str(element.get("id")), str(element.get("rsc"))
            if of in self.ids and id == f"cli-ban-{of}-on-{element.get('node')}":
                if element.get("node") == self.node.name:
                    bans.append((of, element))
            elif of in self.ids and id == f"cli-prefer-{of}":
                prefers.append((of, element))
        for of, element in bans:
            command = f"crm_resource --clear --resource {quote(of)} --node {quote(self.node.name)}"
            yield Change(f"drop the ban {element.get('id')}", command, _remover([path_of(element)]))
        for of, element in prefers:
            command = f"crm_resource --clear --resource {quote(of)}"
            yield Change(f"drop the earlier move {element.get('id')}", command, _remover([path_of(element)]))

    def _failures(self) -> Iterator[Change]:
        names = sorted({base_name(instance.id) for instance in primitives([self.resource])})
        state = self._state()
        if state is None:
            return
        paths = []
        for pair in state.iterfind("transient_attributes/instance_attributes/nvpair"):
            kind, _, rest = str(pair.get("name")).partition("#")[0].rpartition("-count-")
            if kind != "fail":
                kind, _, rest = str(pair.get("name")).partition("#")[0].partition("last-failure-")
                rest = rest if kind == "" else ""
            if base_name(rest) in names:
                paths.append(path_of(pair))
        for entry in state.iterfind("lrm/lrm_resources/lrm_resource"):
            failed = any(_has_failed(operation) for operation in entry.iterchildren("lrm_rsc_op"))
            if base_name(str(entry.get("id"))) in names and failed:
                paths.append(path_of(entry))
        if paths:
            command = f"crm_resource --cleanup --resource {quote(self.definition)} --node {quote(self.node.name)}"
            words = f"clear the failures of {self.definition} on {self.node.name}"
            yield Change(words, command, _remover(paths))

    def _node(self) -> Iterator[Change]:
        name = self.node.name
        for element, lifetime in self._node_attributes():
            if element.get("name") == "standby" and is_true(element.get("value")):
                command = f"crm_standby --node {quote(name)} --lifetime {lifetime} --delete"
                yield Change(f"take {name} out of standby", command, _remover([path_of(element)]))
            if element.get("name") == "maintenance" and is_true(element.get("value")):
                command = f"crm_attribute --node {quote(name)} --name maintenance --lifetime {lifetime} --delete"
                yield Change(f"end the maintenance of {name}", command, _remover([path_of(element)]))
        if not self.node.online and not self.node.unclean and not self.node.is_remote_kind:

            def bring_up(root: Element) -> None:
                edited = EditedCib(etree.tostring(root))
                edited.set_node(name, up=True)
                root[:] = list(edited.root)

            yield Change(f"start Heartbeat on {name}", f"systemctl start heartbeat (on {name})", bring_up)

    def _switches(self) -> Iterator[Change]:
        for id, meta in self._meta_attributes(self.ids | self._needed()):
            name, value = meta.get("name"), str(meta.get("value"))
            set_it = f"crm_resource --resource {quote(id)} --meta --set-parameter {name} --parameter-value"
            if name == "target-role" and value.lower() == "stopped":
                yield Change(f"let {id} run (target-role)", f"{set_it} Started", _valuer(path_of(meta), "Started"))
            if name == "maintenance" and is_true(value):
                yield Change(f"end the maintenance of {id}", f"{set_it} false", _valuer(path_of(meta), "false"))
            if name == "is-managed" and not is_true(value):
                yield Change(f"let the cluster manage {id}", f"{set_it} true", _valuer(path_of(meta), "true"))
        for pair in self.root.iterfind("configuration/crm_config/cluster_property_set/nvpair"):
            name = str(pair.get("name"))
            if name in ("stop-all-resources", "maintenance-mode") and is_true(pair.get("value")):
                command = f"crm_attribute --name {name} --update false"
                yield Change(f"switch {name} off", command, _valuer(path_of(pair), "false"))

        for pair in self.root.iterfind("configuration/rsc_defaults/meta_attributes/nvpair"):
            name, value = str(pair.get("name")), str(pair.get("value")).lower()
            wanted = {"target-role": "Started", "is-managed": "true"}.get(name)
            if (name == "target-role" and value == "stopped") or (name == "is-managed" and not is_true(value)):
                assert wanted is not None
                command = f"crm_attribute --type rsc_defaults --name {name} --update {wanted}"
                yield Change(f"set {name} to {wanted} in rsc_defaults", command, _valuer(path_of(pair), wanted))

    def _tickets(self) -> Iterator[Change]:
        needed = {each.ticket.id: each.ticket for member in family(self.resource) for each in member.tickets}
        for id, ticket in sorted(needed.items()):
            if ticket.granted and not ticket.standby:
                continue

            def grant(root: Element, id: str = id) -> None:
                edited = EditedCib(etree.tostring(root))
                edited.set_ticket(id, "granted", True)
                edited.set_ticket(id, "standby", False)
                root[:] = list(edited.root)

            yield Change(f"grant ticket {id} to this site", "", grant)

    # Numbers ---------------------------------------------------------------------------------------------------

    def numbers(self) -> Iterator[Number]:
        """Scores that count for the node or for where it goes instead."""
        for element in self._scored():
            value = scores.parse(element.get("score"))
            if value is None or abs(value) >= scores.INFINITY:
                continue
            outer = element.getparent()
            kind = str(element.tag).removeprefix("rsc_").replace("_", " ")
            of = f" of {outer.get('id')}" if element.tag == "rule" and outer is not None else ""
            text = f"<{element.tag} id={quoteattr(str(element.get('id')))} score='{{}}'/>"
            command = f'cibadmin --modify --xml-text "{text.replace(chr(34), chr(39))}"'
            yield Number(path_of(element), "score", f"the score of {kind} {element.get('id')}{of}", value, command)
        for id, meta in self._meta_attributes(self.ids):
            value = scores.parse(meta.get("value"))
            if meta.get("name") == "resource-stickiness" and value:
                command = f"crm_resource --resource {quote(id)} --meta --set-parameter resource-stickiness"
                command += " --parameter-value {}"
                yield Number(path_of(meta), "value", f"resource-stickiness of {id}", value, command)
        for pair in self.root.iterfind("configuration/rsc_defaults/meta_attributes/nvpair"):
            value = scores.parse(pair.get("value"))
            if pair.get("name") == "resource-stickiness" and value:
                command = "crm_attribute --type rsc_defaults --name resource-stickiness --update {}"
                yield Number(path_of(pair), "value", "resource-stickiness in rsc_defaults", value, command)

    # Harder means ----------------------------------------------------------------------------------------------

    def move(self) -> Change:
        """What crm_resource --move does: drops its own earlier constraints, prefers the node by INFINITY."""
        id, name = self.definition, self.node.name
        old = [
            path_of(element)
            for element in self._constraints("rsc_location")
            if element.get("rsc", id) == id
            and (element.get("id") == f"cli-prefer-{id}" or str(element.get("id")).startswith(f"cli-ban-{id}-on-"))
        ]

        def apply(root: Element) -> None:
            _remover(old)(root)
            configuration = root.find("configuration")
            assert configuration is not None
            section = configuration.find("constraints")
            if section is None:
                section = etree.SubElement(configuration, "constraints")
            attributes = {"id": f"cli-prefer-{id}", "rsc": id, "node": name, "score": "INFINITY"}
            etree.SubElement(section, "rsc_location", attributes)

        command = f"crm_resource --move --resource {quote(id)} --node {quote(name)}"
        return Change(f"move {id} to {name}", command, apply)

    def harsh(self) -> Iterator[Change]:
        """The end of a constraint, and quorum."""
        for element in self._scored():
            id = str(element.get("id"))
            if element.tag in ("rsc_location", "rsc_colocation") and not id.startswith(("cli-ban-", "cli-prefer-")):
                kind = str(element.tag).removeprefix("rsc_")
                command = f"cibadmin --delete --scope constraints --xml-text '<{element.tag} id=\"{id}\"/>'"
                yield Change(f"remove {kind} {id}", command, _remover([path_of(element)]))
        if not self.judged.cluster.quorate:
            yield Change(
                "give this partition quorum: start Heartbeat on more nodes", "",
                lambda root: root.set("have-quorum", "1"),
            )  # fmt: skip

    # Where things are ------------------------------------------------------------------------------------------

    def _constraints(self, *tags: str) -> Iterator[Element]:
        section = self.root.find("configuration/constraints")
        if section is not None:
            yield from section.iterchildren(*tags)

    def _scored(self) -> Iterator[Element]:
        """The constraints, rules and sets whose ids stand in the accounts of the node and of where it goes."""
        named: set[str] = set()
        for node in self.judged.cluster.nodes:
            one = subject(self.judged, self.resource, node)
            if node is self.node or (one.assigned is not None and one.assigned.node is node):
                named.update(term.cause for term in self.judged.reasons.terms(one, node))
        for constraint in self._constraints("rsc_location", "rsc_colocation"):
            for element in constraint.iter("rsc_location", "rsc_colocation", "rule", "resource_set"):
                own = element.get("id") in named and (element.get("score") or element is constraint)
                if own or (element is constraint and any(e.get("id") in named for e in constraint.iter("rule"))):
                    yield element

    def _needed(self) -> set[str]:
        """The ids of what must run before it, or where it is to run."""
        found = set()
        for element in self._constraints("rsc_order", "rsc_colocation"):
            if element.get("then") in self.ids:
                found.add(str(element.get("first")))
            if element.get("rsc") in self.ids:
                found.add(str(element.get("with-rsc")))
        return found

    def _state(self) -> Element | None:
        for state in self.root.iterfind("status/node_state"):
            if state.get("uname") == self.node.name or state.get("id") == self.node.id:
                return state
        return None

    def _node_attributes(self) -> Iterator[tuple[Element, str]]:
        for node in self.root.iterfind("configuration/nodes/node"):
            if node.get("uname") == self.node.name:
                for pair in node.iterfind("instance_attributes/nvpair"):
                    yield pair, "forever"
        state = self._state()
        if state is not None:
            for pair in state.iterfind("transient_attributes/instance_attributes/nvpair"):
                yield pair, "reboot"

    def _meta_attributes(self, ids: set[str]) -> Iterator[tuple[str, Element]]:
        for element in self.root.iterfind("configuration/resources//*"):
            if isinstance(element.tag, str) and element.get("id") in ids:
                for pair in element.iterfind("meta_attributes/nvpair"):
                    yield str(element.get("id")), pair
