# SPDX-License-Identifier: GPL-2.0-or-later
"""From an older schema's words to the present ones. What has no other words stays as it is: the grammar takes it still.

Until pacemaker-1.3, <acl_user> held <role_ref>, and rules were <read>, <write>, <deny> with tag and ref. Since 2.0 they
are <acl_target> with <role>, and <acl_permission> with object-type and reference. A user's own rules become a role
"auto-USER". Source: the documents before and after `cibadmin --upgrade` of Pacemaker 2.1.
"""

from __future__ import annotations

from lxml import etree

from ha.cib.model.document import attributes_of
from ha.cib.model.edit import Transaction

_NEW_NAMES = {"tag": "object-type", "ref": "reference"}
_KINDS = ("read", "write", "deny")


def upgrade_acls(transaction: Transaction) -> None:
    """Rewrite the rules and users of before 2.0, in place and in their order."""
    acls = transaction.document.root.find("configuration/acls")
    for element in [] if acls is None else list(acls):
        if element.tag == "acl_role":
            for rule in [rule for rule in element if rule.tag in _KINDS]:
                _put(transaction, rule, [_permission(rule)])
        elif element.tag == "acl_user":
            _put(transaction, element, _target(transaction.document.root, element))


def _put(transaction: Transaction, old: etree._Element, new: list[etree._Element]) -> None:
    parent = old.getparent()
    assert parent is not None, "it lies in <acls>"
    index = parent.index(old)
    transaction.remove(old)
    for place, element in enumerate(new, index):
        transaction.insert(parent, place, element)


def _permission(rule: etree._Element) -> etree._Element:
    renamed = {_NEW_NAMES.get(name, name): value for name, value in attributes_of(rule).items()}
    identity = renamed.pop("id", "")
    return etree.Element("acl_permission", {"id": identity, "kind": str(rule.tag), **renamed})


def _target(root: etree._Element, user: etree._Element) -> list[etree._Element]:
    """The <acl_target> of a user, and before it the role of the rules that were his own."""
    name = user.get("id", "")
    target = etree.Element("acl_target", {"id": name})
    rules = [rule for rule in user if rule.tag in _KINDS]
    made: list[etree._Element] = []
    if rules:
        role = etree.Element("acl_role", {"id": free_id(root, f"auto-{name}")})
        role.extend(_permission(rule) for rule in rules)
        etree.SubElement(target, "role", {"id": role.get("id", "")})
        made.append(role)
    for reference in user.iterchildren("role_ref"):
        etree.SubElement(target, "role", {"id": reference.get("id", "")})
    return [*made, target]


def free_id(root: etree._Element, wanted: str) -> str:
    """`wanted`, with a number when something is called so already."""
    taken = {element.get("id") for element in root.iter(etree.Element)}
    candidate, number = wanted, 1
    while candidate in taken:
        number += 1
        candidate = f"{wanted}-{number}"
    return candidate
