# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays a transition as a cluster carries it out.

crm_simulate only mentions what is cancelled, forgotten, cleared or shut down; here it is done as well, for without it
what comes after a transition could never come to rest.
"""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.cli.crm_simulate.play import Player


class ClusterPlayer(Player):
    """Every action succeeds, and leaves in the status what it leaves there in a cluster."""

    def _do(self, action: Element) -> None:
        if action.get("operation") == "cancel" and action.tag == "rsc_op":
            self.done.add(str(action.get("id")))
        else:
            super()._do(action)
        task, node = str(action.get("operation")), action.get("on_node")
        for down in action.iterfind("downed/node"):
            self._lose(str(down.get("id")))
        if action.tag == "pseudo_event" or node is None:
            return
        if task == "do_shutdown":
            self.cib.set_node(node, up=False)
            self.cib.forget_node(node)
        elif task in ("delete", "lrm_delete"):
            self._forget(action, node)
        elif task == "cancel":
            self._cancel(action, node)
        elif task == "stop":
            self._end_recurring(action, node)
        elif task == "start":
            self._gain(action)
        elif task == "clear_failcount":
            self._clear_failures(action, node)

    def _lose(self, id: str) -> None:
        """A node that goes down takes its history along."""
        states = [s for s in self.cib.status.iterchildren("node_state") if s.get("id") == id]
        for state in states:
            name = str(state.get("uname", id))
            self.cib.set_node(name, up=False)
            self.cib.forget_node(name)

    def _gain(self, action: Element) -> None:
        """The start of a connection brings up a remote or guest node, with nothing on it that is known."""
        primitive = action.find("primitive")
        assert primitive is not None
        if primitive.get("type") != "remote" or primitive.get("provider") != "pacemaker":
            return
        name = str(primitive.get("id"))
        self.cib.forget_node(name)
        self.cib.set_node(name, up=True)

    def _end_recurring(self, action: Element, node: str) -> None:
        """The executor runs no monitor of what it has stopped, and says so."""
        for history in self._histories(action, node):
            for op in history.findall("lrm_rsc_op"):
                if op.get("interval", "0") != "0":
                    history.remove(op)

    def _histories(self, action: Element, node: str) -> list[Element]:
        primitive = action.find("primitive")
        assert primitive is not None
        state = self.cib.node_state(node, action.get("on_node_uuid"))
        names = (primitive.get("id"), primitive.get("long-id"))
        return [e for e in state.iterfind("lrm/lrm_resources/lrm_resource") if e.get("id") in names]

    def _forget(self, action: Element, node: str) -> None:
        for history in self._histories(action, node):
            self.cib.forget_history(node, history)

    def _cancel(self, action: Element, node: str) -> None:
        attributes = action.find("attributes")
        assert attributes is not None
        interval, task = attributes.get("CRM_meta_interval"), attributes.get("CRM_meta_operation")
        for history in self._histories(action, node):
            for op in history.findall("lrm_rsc_op"):
                if op.get("interval") == interval and op.get("operation") == task:
                    history.remove(op)

    def _clear_failures(self, action: Element, node: str) -> None:
        primitive = action.find("primitive")
        assert primitive is not None
        state = self.cib.node_state(node, action.get("on_node_uuid"))
        names = {str(primitive.get("id")), str(primitive.get("long-id"))}
        for pair in list(state.iterfind("transient_attributes/instance_attributes/nvpair")):
            kind, _, rest = str(pair.get("name")).partition("-")
            about = str(pair.get("name")).removeprefix("fail-count-").removeprefix("last-failure-").partition("#")[0]
            if kind in ("fail", "last") and rest and about in names:
                parent = pair.getparent()
                assert parent is not None
                parent.remove(pair)
        for history in self._histories(action, node):
            for op in history.findall("lrm_rsc_op"):
                if str(op.get("id")).endswith("_last_failure_0"):
                    history.remove(op)
