# SPDX-License-Identifier: GPL-2.0-or-later
"""One write, from request to verdict: performed, judged, and either kept or undone."""

from __future__ import annotations

from ha.cib.model import alerts
from ha.cib.model.acl import WORKER, Permissions, User, is_judged
from ha.cib.model.document import Document, Snapshot
from ha.cib.model.edit import Transaction
from ha.cib.model.operations import perform
from ha.cib.model.references import dangling, duplicates
from ha.cib.model.refusal import Refusal
from ha.cib.model.schema import Schema
from ha.cib.msg import Write

OF_THE_WHOLE = ("bump", "erase", "sync", "upgrade")
"""Operations that concern the whole CIB, whatever they change of it."""


def apply_write(document: Document, write: Write, schema: Schema, user: User = WORKER) -> Transaction:
    """Perform `write` on the document if the result is valid. Raises Refusal, with the document as it was.

    `force` permits references to what does not exist; nothing permits a breach of the grammar or a second id, nor what
    the ACLs deny the `user`.
    """
    before = document.snapshot()
    permissions = Permissions(document.root, user) if is_judged(document.root, user) else None
    if permissions is not None and write.operation in OF_THE_WHOLE:
        whole = permissions.refusal_of_whole()
        if whole is not None:
            raise whole
    transaction = perform(document, write)
    refusal = permissions.refusal_of_changes() if permissions is not None else None
    refusal = refusal or schema.check_changes(transaction)
    is_on = document.root.get("validate-with") != "none"
    if refusal is None and is_on and transaction.touches_configuration and transaction.touches_references:
        refusal = _broken_references(transaction, write, before)
    if refusal is None and is_on and "alerts" in transaction.sections:
        refusal = _bad_alert(transaction, before)
    if refusal is not None:
        transaction.rollback()
        raise refusal
    return transaction


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


def _bad_alert(transaction: Transaction, snapshot: Snapshot) -> Refusal | None:
    """The first fault of the alerts that was not there before."""
    found = alerts.breaches(transaction.document.root, transaction.line)
    if not found:
        return None
    old = alerts.breaches(Document.from_bytes(snapshot.to_bytes()).root)
    return next((breach for key, breach in found.items() if key not in old), None)
