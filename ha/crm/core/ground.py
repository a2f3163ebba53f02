# SPDX-License-Identifier: GPL-2.0-or-later
"""The DC's ground: the CIB it leads, its own writes, and what changes in it.

Order of things in a new term: Lead -> Leading -> Subscribe and read the whole CIB -> loaded. Every write carries the
view and a request id of its own, and is repeated with that id until its fate is known. Scheduling waits until every
write is committed and a generation with all of them is published (`settled`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxml import etree

from ha.cib.msg import (
    Answer,
    Changed,
    Follow,
    Lead,
    Leading,
    Operation,
    Query,
    Subscribe,
    Version,
    Write,
    Written,
)
from ha.crm.core.context import Context
from ha.crm.model.change import meaning_of
from ha.crm.model.configuration import Configuration, read_configuration

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

LEAD_REPEAT_MS = 1_000
WRITE_REPEAT_MS = 1_000
MAX_WRITES = 10_000
"""Writes without a known fate. More: the cib is not working; the crmd ends and begins anew (assertion)."""

ORIGIN = "crmd"
"""How our own writes are known when they come back as changes. Only a DC's crmd writes, so only ours are met."""

RC_SCHEMA = 78
RC_NO_SUCH_OBJECT = 105
RC_QUORUM = 106


class Ground:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.leading = False
        self.loaded = False
        self.configuration = Configuration()
        self.generation = 0
        self.version: Version | None = None
        self.read_version: Version | None = None
        self.awaited: Version | None = None
        self.writes: dict[str, Write] = {}
        self.questions: dict[str, str] = {}
        self.subscribed = False

    # Leading ---------------------------------------------------------------------------------------------------------

    def lead(self) -> None:
        """We are DC of the view: make this node's cib its writer."""
        self.leading = self.loaded = False
        self.writes, self.questions = {}, {}
        self.awaited = None
        self._say_lead()

    def _say_lead(self) -> None:
        view = self.context.view
        if view is None or not self.crmd.election.is_dc or self.leading:
            return
        self.context.send("cib", Lead(view=view.id, members=view.names()))
        self.context.arm("ground/lead", LEAD_REPEAT_MS)

    def follow(self, writer: str) -> None:
        self.stop()
        view = self.context.view
        if view is not None:
            self.context.send("cib", Follow(view=view.id, writer=writer))

    def stop(self) -> None:
        self.leading = self.loaded = False
        self.writes, self.questions = {}, {}
        self.context.disarm("ground/lead")
        self.context.disarm("ground/writes")

    def now_leading(self, message: Leading) -> None:
        if not self.crmd.election.is_dc or message.view != self.context.view_id or self.leading:
            return
        self.context.disarm("ground/lead")
        self.leading = True
        self.awaited = message.version
        if not self.subscribed:
            self.subscribed = True
            self.context.send("cib", Subscribe())
        for request in sorted(self.writes):
            self.context.send("cib", self.writes[request])
        self.reload("")

    def unlinked(self) -> None:
        """Nothing can be written or trusted until it is back."""
        self.leading = self.loaded = False

    def linked(self) -> None:
        """The cib's worker is there (again): its generations and its office begin anew."""
        self.subscribed = self.leading = False
        self.generation, self.version = 0, None
        view = self.context.view
        if self.crmd.election.is_dc:
            self.questions = {}
            self.awaited = None
            self._say_lead()
        elif view is not None and self.crmd.election.leader:
            self.context.send("cib", Follow(view=view.id, writer=self.crmd.election.leader))

    # Reading ---------------------------------------------------------------------------------------------------------

    def reload(self, scope: str) -> None:
        """Read a section again, "" for the whole with the status; the latest question counts."""
        if scope == "":
            self.loaded = False
        request = self.context.request_id()
        self.questions = {number: asked for number, asked in self.questions.items() if asked != scope}
        self.questions[request] = scope
        self.context.send("cib", Query(request_id=request, scope=scope))

    def answered(self, answer: Answer) -> None:
        scope = self.questions.pop(answer.request_id, None)
        if scope is None or not self.crmd.election.is_dc:
            return
        if answer.rc != 0:
            self.context.note("error", f"the cib does not answer for {scope or 'the whole'}: {answer.reason}")
            self.questions[answer.request_id] = scope
            self.context.arm("ground/ask", WRITE_REPEAT_MS)
            return
        root = etree.fromstring(
            answer.xml.encode(),
            etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True),
        )
        configuration = root if root.tag == "configuration" else root.find("configuration")
        if configuration is not None:
            self.configuration = read_configuration(configuration)
            self.crmd.alerts.configured(configuration)
            self.crmd.configuration_read()
        if scope == "":
            self.loaded = True
            self.read_version = answer.version
            self.crmd.cib_loaded(root)

    # Writing ---------------------------------------------------------------------------------------------------------

    def write(self, operation: Operation, *, scope: str = "", xpath: str = "", xml: str = "") -> None:
        """Change the CIB. `settled` tells when it is committed."""
        assert self.context.view is not None and self.crmd.election.is_dc, "only the DC writes"
        assert len(self.writes) < MAX_WRITES, f"{MAX_WRITES} writes without an answer of the cib"
        request = self.context.request_id()
        message = Write(
            request_id=request, operation=operation, scope=scope, xpath=xpath, xml=xml, allow_create=True, force=True,
            view=self.context.view.id, origin=ORIGIN, user="hacluster",
        )
        if not self.writes:
            self.context.arm("ground/writes", WRITE_REPEAT_MS)
        self.writes[request] = message
        if self.leading:
            self.context.send("cib", message)

    def written(self, message: Written) -> None:
        write = self.writes.get(message.request_id)
        if write is None:
            return
        if message.outcome == "unknown":
            self.context.arm("ground/writes", WRITE_REPEAT_MS // 10)
            return
        del self.writes[message.request_id]
        if not self.writes:
            self.context.disarm("ground/writes")
        if message.outcome == "committed":
            if message.version is not None and (self.awaited is None or message.version > self.awaited):
                self.awaited = message.version
        elif not (write.operation == "delete" and message.rc == RC_NO_SUCH_OBJECT):
            self._was_refused(write, message)

    def _was_refused(self, write: Write, message: Written) -> None:
        what = f"the cib refused to {write.operation} {write.xpath or write.scope}: {message.reason} (rc {message.rc})"
        if message.rc == RC_SCHEMA or (write.scope not in ("", "status") and message.rc == RC_QUORUM):
            self.context.note("error", f"{what}; going on without it")
            return
        self.context.note("warning", f"{what}; taking the lead again")
        self.context.arm("ground/lead", LEAD_REPEAT_MS)
        self.leading = self.loaded = False

    # Changes ---------------------------------------------------------------------------------------------------------

    def changed(self, message: Changed) -> None:
        self.generation, self.version = message.generation, message.version
        if not self.crmd.election.is_dc or not self.loaded:
            return
        if self.read_version is not None and message.version <= self.read_version:
            return  # an answer may overtake the news of what it shows
        meaning = meaning_of(message, message.origin == ORIGIN, self.crmd.status.ids_of_gone())
        if meaning.configuration:
            self.reload("configuration")
        if meaning.history:
            self.reload("")
        for node_id in meaning.shutdowns:
            self.crmd.shutdown_seen(self.crmd.status.uname(node_id))
        for attribute in meaning.written:
            self.crmd.alerts.attribute_changed(self.crmd.status.uname(attribute.node_id), attribute)
        if meaning.matters:
            self.crmd.scheduling.news(meaning.text)

    def settled(self) -> bool:
        if not (self.leading and self.loaded) or self.writes:
            return False
        if self.generation == 0 or self.version is None:
            return False
        return self.awaited is None or self.version >= self.awaited

    def fired(self, timer: str) -> None:
        if timer == "ground/lead":
            self._say_lead()
        elif timer == "ground/writes" and self.writes and self.crmd.election.is_dc:
            if self.leading:
                for request in list(self.writes):
                    self.context.send("cib", self.writes[request])
            self.context.arm("ground/writes", WRITE_REPEAT_MS)
        elif timer == "ground/ask":
            for scope in sorted(set(self.questions.values())):
                self.reload(scope)
