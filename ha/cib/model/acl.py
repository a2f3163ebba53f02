# SPDX-License-Identifier: GPL-2.0-or-later
"""Access control: what a user may see of a CIB and change in it, as its <acls> section says.

    <acl_role id="op"><acl_permission id="p1" kind="write" xpath="//crm_config"/>
        ... or reference="ID", or object-type="TAG" [attribute="NAME"] ...</acl_role>
    <acl_target id="alice"><role id="op"/></acl_target>      <acl_group id="ops"><role id="op"/></acl_group>

Judged by the CIB as it is before a change, so that nobody grants himself anything:

* An element has the right that the permissions selecting it give it (deny before write before read), else that of the
  element that holds it; the root has none of itself. Who has no <acl_target>, <acl_group> or <acl_user> has no right.
* Seeing wants read or write. Of an element that may not be seen, and that holds some that may, only tag and id show.
* Changing an attribute, moving or removing an element wants write on it, and on all that goes with it. A new element
  wants write where it is put; one that carries nothing but an id, outside <acls>, is only a place for others.

The older <acl_user> with <role_ref> and <read>, <write>, <deny> says the same in other words.
Source: Pacemaker Explained, chapter "Access Control Lists"; the behaviour of Pacemaker 2.1. Stricter than there:
removing an element wants write on what is in it, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from lxml import etree

from ha.cib.model.document import attributes_of
from ha.cib.model.parse import describe, line_of
from ha.cib.model.query import select
from ha.cib.model.refusal import Rc, Refusal

Right = Literal["", "read", "write", "deny"]
_STRENGTH: dict[str, int] = {"": 0, "read": 1, "write": 2, "deny": 3}
_switches = etree.XPath("configuration/crm_config//nvpair[@name='enable-acl']/@value", smart_strings=False)
_TRUE = ("true", "on", "yes", "y", "1")
_COUNTED = ("epoch", "num_updates")
"""Attributes of <cib> that every change raises."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. The `privileged` (root, hacluster, the cluster's own workers) are not judged."""

    name: str = ""
    groups: tuple[str, ...] = ()
    privileged: bool = False


WORKER = User(privileged=True)


def is_judged(root: etree._Element, user: User) -> bool:
    """Whether ACLs are on and this user is one of those they are for."""
    return not user.privileged and any(
        value.lower() in _TRUE for value in cast("list[str]", _switches(root))
    )


class Permissions:
    """A user's rights on every element of a CIB as it is now."""

    def __init__(self, root: etree._Element, user: User) -> None:
        self._root = root
        self._user = user
        chosen: dict[etree._Element, Right] = {}
        for permission in _permissions_of(root, user):
            right = _right_of(permission)
            for element in _selected(root, permission):
                if _STRENGTH[right] > _STRENGTH[chosen.get(element, "")]:
                    chosen[element] = right
        self._rights: dict[etree._Element, Right] = {}
        self._spread(root, chosen)
        self._attributes = {element: attributes_of(element) for element in self._rights}
        self._parents = {element: element.getparent() for element in self._rights}

    def _spread(self, root: etree._Element, chosen: dict[etree._Element, Right]) -> None:
        for element in root.iter():
            above = element.getparent()
            inherited: Right = "" if above is None else self._rights[above]
            self._rights[element] = chosen.get(element, inherited)

    def _may_see(self, element: etree._Element) -> bool:
        return self._rights[element] in ("read", "write")

    def visible(self) -> etree._Element | None:
        """A copy with what the user may see; None when that is nothing."""
        return self._copy(self._root)

    def _copy(self, element: etree._Element) -> etree._Element | None:
        if not isinstance(element.tag, str):
            return None
        seen = self._may_see(element)
        kept = attributes_of(element) if seen else {k: v for k, v in attributes_of(element).items() if k == "id"}
        copied = etree.Element(element.tag, kept)
        copied.extend(child for child in map(self._copy, element) if child is not None)
        return copied if seen or len(copied) else None

    def refusal_of_whole(self) -> Refusal | None:
        """For what concerns the CIB as a whole: None with write on its root."""
        return None if self._rights[self._root] == "write" else self._refusal("change", self._root)

    def refusal_of_changes(self) -> Refusal | None:
        """The first difference between the CIB then and now that the user had no right to make."""
        present = dict.fromkeys(self._root.iter())
        for element in self._rights:
            if element not in present and self._rights[element] != "write":
                return self._refusal("remove", element)
        for element in present:
            if element in self._rights:
                if self._is_changed(element) and self._rights[element] != "write":
                    return self._refusal("change", element)
            elif not self._may_create(element):
                return self._refusal("create", element)
        return self._refusal_of_order()

    def _is_changed(self, element: etree._Element) -> bool:
        before, now = self._attributes[element], attributes_of(element)
        if element is self._root:
            before, now = ({k: v for k, v in side.items() if k not in _COUNTED} for side in (before, now))
        return before != now or element.getparent() is not self._parents[element]

    def _may_create(self, element: etree._Element) -> bool:
        node: etree._Element | None = element
        while node is not None and node not in self._rights:
            node = node.getparent()
        if node is not None and self._rights[node] == "write":
            return True
        is_bare = not [name for name in element.attrib if name != "id"]
        return is_bare and element.tag != "acls" and not any(a.tag == "acls" for a in element.iterancestors())

    def _refusal_of_order(self) -> Refusal | None:
        """Known children that have changed places want write on what holds them."""
        order: dict[etree._Element, list[etree._Element]] = {}
        for element, parent in self._parents.items():
            if parent is not None and element.getparent() is parent:
                order.setdefault(parent, []).append(element)
        for parent, children in order.items():
            now = [child for child in parent if child in self._rights]
            if now != children and self._rights[parent] != "write":
                return self._refusal("change the order in", parent)
        return None

    def _refusal(self, what: str, element: etree._Element) -> Refusal:
        known = element not in self._rights or self._may_see(element)
        name = describe(element) if known else f"<{element.tag}>"
        rule = f"user {self._user.name!r} may not {what} it (ACLs are on)"
        return Refusal(Rc.PRIVILEGE, rule, name, line_of(element))


def _permissions_of(root: etree._Element, user: User) -> Iterator[etree._Element]:
    """The permissions and rules of all roles that the user or one of his groups has."""
    acls = root.find("configuration/acls")
    if acls is None:
        return
    roles = {str(role.get("id")): role for role in acls.iterchildren("acl_role")}
    for entry in acls.iterchildren(etree.Element):
        name = entry.get("name", entry.get("id", "")) if entry.tag != "acl_user" else entry.get("id", "")
        who = user.groups if entry.tag == "acl_group" else (user.name,)
        if entry.tag not in ("acl_target", "acl_group", "acl_user") or name not in who:
            continue
        for item in entry.iterchildren(etree.Element):
            if item.tag in ("role", "role_ref"):
                role = roles.get(item.get("id", ""))
                yield from role.iterchildren(etree.Element) if role is not None else ()
            else:
                yield item


def _right_of(permission: etree._Element) -> Right:
    """What is no known kind denies: a mistake must not open anything."""
    kind = permission.get("kind", "") if permission.tag == "acl_permission" else str(permission.tag)
    return "read" if kind == "read" else "write" if kind == "write" else "deny"


def _selected(root: etree._Element, permission: etree._Element) -> list[etree._Element]:
    """Where it holds. An XPath that cannot be evaluated denies everything if it was to deny, else gives nothing."""
    try:
        if permission.get("xpath"):
            return select(root, permission.get("xpath", ""))
    except Refusal:
        return [root] if _right_of(permission) == "deny" else []
    reference = permission.get("reference", permission.get("ref"))
    tag = permission.get("object-type", permission.get("tag"))
    attribute = permission.get("attribute")
    if reference is None and tag is None and attribute is None:
        return []
    return [
        element
        for element in root.iter(tag if tag is not None else etree.Element)
        if (reference is None or element.get("id") == reference)
        and (attribute is None or element.get(attribute) is not None)
    ]
