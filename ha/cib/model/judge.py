# SPDX-License-Identifier: GPL-2.0-or-later
"""One write, from request to verdict: performed, judged, and either kept or undone."""

from __future__ import annotations

from lxml import etree

from ha.cib.model.document import Document, Snapshot
from ha.cib.model.edit import Transaction
from ha.cib.model.operations import perform
from ha.cib.model.references import dangling, duplicates
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.schema import Schema
from ha.cib.msg import Write


def apply_write(document: Document, write: Write, schema: Schema) -> Transaction:
    """Perform `write` on the document if the result is valid. Raises Refusal, with the document as it was.

    `force` permits references to what does not exist; nothing permits a breach of the grammar or a second id. Where
    ACLs are on, only the cluster's own users write (roles are not judged yet: what is not judged is refused).
    """
    _check_rights(document, write)
    before = document.snapshot()
    transaction = perform(document, write)
    refusal = schema.check_changes(transaction)
    is_on = document.root.get("validate-with") != "none"
    if refusal is None and is_on and transaction.touches_configuration and transaction.touches_references:
        refusal = _broken_references(transaction, write, before)
    if refusal is not None:
        transaction.rollback()
        raise refusal
    return transaction


PRIVILEGED_USERS = ("", "root", "hacluster")
_acls_on = etree.XPath("boolean(configuration/crm_config//nvpair[@name='enable-acl'][@value='true'])")


def _check_rights(document: Document, write: Write) -> None:
    if write.user not in PRIVILEGED_USERS and _acls_on(document.root):
        raise Refusal(Rc.PRIVILEGE, f"ACLs are on, and user {write.user!r} may not change the CIB")


def _broken_references(transaction: Transaction, write: Write, snapshot: Snapshot) -> Refusal | None:
    """The first breach that was not there before. The state before is only visited when there is one at all."""
    root = transaction.document.root
    line = transaction.line
    doubled, missing = duplicates(root, line), {} if write.force else dangling(root, line)
    if not doubled and not missing:
        return None
    before = Document.from_bytes(snapshot.to_bytes()).root
    known = {breach.element for breach in duplicates(before)}
    for breach in doubled:
        if breach.element not in known:
            return breach
    old = dangling(before) if missing else {}
    return next((breach for key, breach in missing.items() if key not in old), None)
