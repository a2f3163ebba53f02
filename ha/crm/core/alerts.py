# SPDX-License-Identifier: GPL-2.0-or-later
"""Alerts: agents of the operator's that are called when something has happened.

Every node alerts of the operations of its own resources; the DC of nodes, of fencing, and of transient attributes as
they come into the CIB. What is configured the DC reads and tells the members, and tells them again until they say that
they hold it. A member that loses its DC goes on with what it holds.

    event ──► the agents that want it ──► RunAlert to the node's LRM, in the order of the events

Nothing of it is waited for. An alert may be lost (with a crmd or an lrmd that dies), never repeated. What is more than
the limit is left out, and the log says how much.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Literal

from lxml import etree

from ha.crm.core.context import Context
from ha.crm.model.alerts import (
    MAX_AGENTS,
    AlertAgent,
    AlertEvent,
    attribute_event,
    fencing_event,
    node_event,
    read_alerts,
    resource_event,
)
from ha.crm.model.change import AttributeChange
from ha.crm.msg import AlertsHeld, SetAlerts
from ha.lrm.msg import OperationResult, RunAlert
from ha.stonith.msg import Fenced

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

MAX_WAITING = 1_000
"""Events that wait for an LRM to come back."""
MAX_KNOWN_FENCES = 64
MAX_SECTION_LENGTH = 1_000_000
"""Characters of an alerts section. A longer one is as good as none, and the log says so."""
TELL_REPEAT_MS = 1_000
MAX_TELLS = 10
"""A member that does not answer so often is of a release without alerts; it is told again in the next view."""


class Alerts:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.waiting: deque[AlertEvent] = deque()
        self.text = ""
        self.section: etree._Element | None = None
        self.held: dict[str, str] = {}
        self.tells: dict[str, int] = {}
        self.sequence = 0
        self.left_out = 0
        self.too_many = 0
        self.names: dict[tuple[str, str], str] = {}
        self.known_fences: deque[tuple[str, str, bool]] = deque(maxlen=MAX_KNOWN_FENCES)

    # What has happened -----------------------------------------------------------------------------------------------

    def operation_ended(self, result: OperationResult) -> None:
        """On this node, told for the first time."""
        event = resource_event(self.context.node, result, self.context.unix_ms())
        if event is not None:
            self._happened(event)

    def node_changed(self, node: str, node_id: str, desc: Literal["member", "lost"]) -> None:
        self._happened(node_event(node, node_id, desc, self.context.unix_ms()))

    def fencing_ended(self, message: Fenced) -> None:
        """stonithd may say it twice: to who asked, and to all."""
        known = (message.request_id, message.target, message.ok)
        if self.crmd.election.is_dc and known not in self.known_fences:
            self.known_fences.append(known)
            self._happened(fencing_event(message, self.context.unix_ms()))

    def attributes_read(self, root: etree._Element) -> None:
        """The whole CIB is known: by what name each attribute goes, for a removal does not tell it."""
        self.names = {
            (state.get("id", ""), pair.get("id", "")): pair.get("name", "")
            for state in root.iterfind("status/node_state")
            for pair in state.iterfind("transient_attributes/instance_attributes/nvpair")
        }

    def attribute_changed(self, node: str, change: AttributeChange) -> None:
        place = (change.node_id, change.pair_id)
        if change.name:
            self.names[place] = change.name
        name = change.name or self.names.pop(place, "")
        if name:
            self._happened(attribute_event(node, name, change.value, self.context.unix_ms()))

    def _happened(self, event: AlertEvent) -> None:
        if self.section is None:
            return
        if len(self.waiting) >= MAX_WAITING:
            self.left_out += 1
            return
        self.waiting.append(event)
        self.flush()

    # Who is called ---------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Call whoever wants what waits, if there is an LRM to do it."""
        if not self.waiting or "lrmd" not in self.context.linked:
            return
        agents = self._agents()
        while self.waiting:
            event = self.waiting.popleft()
            for agent in agents:
                if agent.wants(event):
                    self._run(agent, event)
        if self.left_out:
            self.context.note("warning", f"{self.left_out} events led to no alert: {MAX_WAITING} were waiting already")
        self.left_out = 0

    def _agents(self) -> tuple[AlertAgent, ...]:
        if self.section is None:
            return ()
        agents = read_alerts(self.section, self.context.unix_s())
        too_many = max(0, len(agents) - MAX_AGENTS)
        if too_many and too_many != self.too_many:
            self.context.note("error", f"{len(agents)} recipients of alerts are configured, the last {too_many} are "
                              f"left out: no more than {MAX_AGENTS} are called for one event")
        self.too_many = too_many
        return agents[:MAX_AGENTS]

    def _run(self, agent: AlertAgent, event: AlertEvent) -> None:
        self.sequence += 1
        said = {f"CRM_alert_{name}": value for name, value in event.says.items()}
        environment = {
            **agent.parameters,
            "CRM_alert_version": self.crmd.compatible_with,
            "CRM_alert_node_sequence": str(self.sequence),
            "CRM_alert_kind": event.kind,
            **said,
        }
        if agent.recipient is not None:
            environment["CRM_alert_recipient"] = agent.recipient
        self.context.send("lrmd", RunAlert(
            alert=agent.alert, path=agent.path, timeout_ms=agent.timeout_ms, at_ms=event.at_ms,
            timestamp_format=agent.timestamp_format, environment=environment))

    # What is configured ----------------------------------------------------------------------------------------------

    def configured(self, configuration: etree._Element) -> None:
        """The DC has read the CIB's <configuration>."""
        section = configuration.find("alerts")
        text = ""
        if section is not None and section.find("alert") is not None:
            text = etree.tostring(section, encoding="unicode", with_tail=False)
        if len(text) > MAX_SECTION_LENGTH:
            self.context.note("error", f"nobody is alerted: the alerts section has {len(text)} characters, more than "
                              f"{MAX_SECTION_LENGTH}")
            text = ""
        if text != self.text:
            self.tells = {}
            self._hold(text)
        self.tell()

    def _hold(self, text: str) -> None:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True)
        self.section = etree.fromstring(text.encode(), parser) if text else None
        self.text = text

    @property
    def digest(self) -> str:
        """Of what we hold; "" when there are no alerts."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16] if self.text else ""

    def member_holds(self, node: str, digest: str) -> None:
        self.held[node] = digest
        self.tells.pop(node, None)

    def tell(self) -> None:
        """The DC: members that hold something else than what is configured are told."""
        view, ours = self.context.view, self.digest
        if view is None or not self.crmd.election.is_dc or not self.crmd.ground.loaded:
            return
        behind = [
            node for node in self.context.members()
            if node != self.context.node and self.crmd.join.is_confirmed(node) and self.held.get(node, "") != ours
            and self.tells.get(node, 0) < MAX_TELLS
        ]
        for node in behind:
            self.tells[node] = self.tells.get(node, 0) + 1
            self.context.tell(node, SetAlerts(view=view.id, term=self.crmd.election.term, xml=self.text))
        if behind:
            self.context.arm("alerts/tell", TELL_REPEAT_MS)

    def told(self, sender: str, message: SetAlerts) -> None:
        """A member: by the DC."""
        if not self.crmd.election.in_office(sender, message.view, message.term):
            return
        if len(message.xml) > MAX_SECTION_LENGTH:
            self.context.note("warning", f"{len(message.xml)} characters of alerts from {sender} are dropped")
            return
        try:
            self._hold(message.xml)
        except etree.XMLSyntaxError as error:
            self.context.note("warning", f"alerts from {sender} are no XML and are dropped: {error}")
            return
        self.context.tell(sender, AlertsHeld(digest=self.digest))

    def fired(self, timer: str) -> None:
        assert timer == "alerts/tell", timer
        self.tell()

    def forget(self) -> None:
        """Not DC any more."""
        self.held, self.tells, self.names = {}, {}, {}
        self.context.disarm("alerts/tell")
