# SPDX-License-Identifier: GPL-2.0-or-later
"""The transition in short: what happens to nodes, and one item for every resource that changes."""

from __future__ import annotations

from collections.abc import Iterator

from ha.cli.crm_simulate.report import Item
from ha.pe.core.kinds.bundle import Bundle
from ha.pe.model.action import OPTIONAL, RUNNABLE, Action
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


class TransitionSummary:
    """Formats the items."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name_width = 5
        self.detail_width = 5

    def items(self) -> list[Item]:
        """All of them, with columns as wide as the widest needs."""
        list(self._items())
        return list(self._items())

    def _items(self) -> Iterator[Item]:
        for action in reversed(self.cluster.actions):
            if action.resource is None and not action.has(OPTIONAL):
                yield from _node_item(action)
        for resource in self.cluster.resources:
            yield from self._resource(resource)

    def _resource(self, resource: Resource) -> Iterator[Item]:
        if isinstance(resource, Bundle):
            for replica in resource.replicas:
                for part in (replica.ip, replica.container, replica.connection, replica.child):
                    if part is not None:
                        yield from self._resource(part)
            return
        if resource.children:
            for child in resource.children:
                yield from self._resource(child)
            return
        current = resource.current_node if resource.active else None
        if resource.active and resource.orig_role is Role.STOPPED:
            resource.orig_role = Role.STARTED
        if current is None and resource.removed:
            return
        target = None if resource.assigned is None else resource.assigned.node
        if resource.managed and (current is not None or target is not None):
            yield from _Change(self, resource, current, target).items()

    def item(
        self,
        change: str,
        resource: Resource,
        origin: Node | None,
        target: Node | None,
        action: Action | None,
        source: Action | None = None,
    ) -> Item:
        if len(resource.id) > self.name_width:
            self.name_width = len(resource.id) + 2
        details = _details(resource, origin, target)
        self.detail_width = max(self.detail_width, len(details))
        because = source if source is not None else action
        attributes = {"action": change.lower(), "resource": resource.id, **_place(resource, origin, target)}
        reason = ""
        if because is not None and because.reason is not None:
            reason = f"  due to {because.reason}"
            attributes["reason"] = because.reason
        if action is not None and not action.has(RUNNABLE):
            reason = f"{reason} (blocked)" if reason else "  blocked"
            attributes["blocked"] = "true"
        text = f"{change:<8}   {resource.id:<{self.name_width}}   ( {details:>{self.detail_width}} ){reason}"
        return Item(text, "rsc_action", attributes)


def _node_item(action: Action) -> Iterator[Item]:
    if action.task == "do_shutdown":
        what = "Shutdown"
    elif action.task == "stonith":
        what = f"Fence ({action.meta.get('stonith_action')})"
    else:
        return
    node = action.node
    name = "" if node is None else node.name
    if node is not None and node.is_guest:
        assert node.remote is not None
        assert node.remote.launcher is not None
        name = f"{name} (resource: {node.remote.launcher.id})"
    if action.reason:
        attributes = {"task": what, "node": name, "reason": action.reason}
        yield Item(f"{what} {name} '{action.reason}'", "node_action", attributes)


def _details(resource: Resource, origin: Node | None, target: Node | None) -> str:
    """Where from and where to, with roles if these matter."""
    now, wanted = resource.orig_role.text, resource.next_role.text
    roles_matter = _roles_matter(resource)
    if origin is None:
        assert target is not None
        return f"{now} -> {wanted} {target.name}" if roles_matter else target.name
    same_role = resource.orig_role is resource.next_role
    if target is None or (same_role and origin is target):
        return f"{now} {origin.name}" if roles_matter else origin.name
    if same_role:
        move = f"{origin.name} -> {target.name}"
        return f"{move} {now}" if roles_matter else move
    if origin is target:
        return f"{now} -> {wanted} {origin.name}"
    return f"{now} {origin.name} -> {wanted} {target.name}"


def _place(resource: Resource, origin: Node | None, target: Node | None) -> dict[str, str]:
    """The same as attributes."""
    roles_matter = _roles_matter(resource)
    now = {"role": resource.orig_role.text} if roles_matter else {}
    wanted = {"next-role": resource.next_role.text}
    if origin is None:
        assert target is not None
        return {**now, **wanted, "dest": target.name} if roles_matter else {"node": target.name}
    same_role = resource.orig_role is resource.next_role
    if target is None:
        return {**now, "node": origin.name}
    if origin is target:
        return {**now, **({} if same_role else wanted), "source": origin.name}
    if same_role:
        return {**now, "source": origin.name, "dest": target.name}
    return {"role": resource.orig_role.text, "source": origin.name, **wanted, "dest": target.name}


def _roles_matter(resource: Resource) -> bool:
    return resource.orig_role > Role.STARTED or resource.next_role > Role.UNPROMOTED


def _done(action: Action | None) -> bool:
    return action is not None and not action.has(OPTIONAL)


class _Change:
    """What happens to one instance."""

    def __init__(self, summary: TransitionSummary, resource: Resource, current: Node | None, target: Node | None):
        self.item = summary.item
        self.resource = resource
        self.current = current
        self.target = target
        self.moving = current is not None and target is not None and current is not target
        self.start = self._action("start", target)
        runnable = self.start is not None and self.start.has(RUNNABLE)
        self.stop = self._action("stop", current if runnable else None)
        if self.stop is None and resource.stop_unexpected:
            self.stop = self._action("stop", None)
        self.promote = self._action("promote", target)
        self.demote = self._action("demote", target)

    def _action(self, task: str, node: Node | None) -> Action | None:
        """The first such action, on the node if one is given."""
        found = self.resource.actions_with_key(self.resource.key(task), node)
        return found[0] if found else None

    @property
    def starts_in_vain(self) -> bool:
        return self.start is not None and not self.start.has(RUNNABLE)

    def items(self) -> Iterator[Item]:
        if self.resource.orig_role is self.resource.next_role:
            item = self._same_role()
            if item:
                yield item
        elif self.stop is not None and (self.resource.next_role is Role.STOPPED or self.starts_in_vain):
            yield from self._stops()
        else:
            item = self._other_role()
            if item:
                yield item

    def _same_role(self) -> Item | None:
        item, resource, current, target = self.item, self.resource, self.current, self.target
        migration = self._action("migrate_from", target)
        if migration is not None and current is not None and migration.has(RUNNABLE):
            return item("Migrate", resource, current, target, self.start)
        if resource.reload:
            return item("Reload", resource, current, target, self.start)
        if not _done(self.start):
            if _done(self.demote) and _done(self.promote):
                return item("Re-promote", resource, current, target, self.promote, self.demote)
            return None
        if self.starts_in_vain:
            source = self.start if self.stop is None or self.stop.reason is None else self.stop
            return item("Stop", resource, current, None, self.stop, source)
        if self.moving:
            return item("Recover" if resource.failed else "Move", resource, current, target, self.stop)
        if resource.failed:
            return item("Recover", resource, current, None, self.stop)
        return item("Restart", resource, current, target, self.start)

    def _stops(self) -> Iterator[Item]:
        for node in self.resource.active:
            found = self.resource.actions_with_key(self.resource.key("stop"), node)
            stop = found[0] if found else None
            source = stop if stop is not None and stop.reason is not None else self.start
            yield self.item("Stop", self.resource, node, None, stop, source)

    def _other_role(self) -> Item | None:
        item, resource, current, target = self.item, self.resource, self.current, self.target
        if self.stop is not None and resource.failed and resource.stop_if_failed:
            return item("Recover", resource, current, target, self.stop, self.start)
        if self.moving:
            return item("Move", resource, current, target, self.stop)
        if resource.reload:
            return item("Reload", resource, current, target, self.start)
        if _done(self.stop):
            return item("Restart", resource, current, target, self.start)
        if resource.orig_role is Role.PROMOTED:
            return item("Demote", resource, current, target, self.demote)
        if resource.next_role is Role.PROMOTED:
            return item("Promote", resource, current, target, self.promote)
        if resource.orig_role is Role.STOPPED and resource.next_role > Role.STOPPED:
            return item("Start", resource, current, target, self.start)
        return None
