# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1e: one entry of the operation history: was it a failure, did it expire, what is the resource's role now."""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.core.actions import order_actions
from ha.pe.core.digests import Match, compare_with_history, needs_host_address
from ha.pe.core.failcounts import clear_fail_count, fail_count
from ha.pe.core.fencing import can_fence, fence_action
from ha.pe.core.history_facts import LAST_FAILURE, history_key
from ha.pe.core.migration_history import (
    read_failed_migration_source,
    read_failed_migration_target,
    read_migration_source,
)
from ha.pe.core.nodescores import add_node_score, ban_everywhere, replace_by_ban
from ha.pe.core.operation_config import (
    find_operation,
    is_probe,
    operation_meta,
    reaction,
    role_after_failure,
)
from ha.pe.core.operations import set_next_role, stop_action
from ha.pe.model.action import FIRST_IMPLIES_THEN, OnFail
from ha.pe.model.cluster import FailedOperation, ParameterCheck
from ha.pe.model.history import (
    DEGRADED,
    DEGRADED_PROMOTED,
    FAILED_PROMOTED,
    INSUFFICIENT_PRIVILEGES,
    INVALID_PARAMETER,
    NOT_CONFIGURED,
    NOT_INSTALLED,
    NOT_RUNNING,
    OK,
    RUNNING_PROMOTED,
    UNIMPLEMENTED,
    Entry,
    Execution,
    Recorded,
)
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.values import integer, ms_to_s


class Findings:
    """What the history of one resource on one node has told so far."""

    __slots__ = ("last_failure", "on_fail")

    def __init__(self) -> None:
        self.last_failure: Element | None = None
        self.on_fail = OnFail.IGNORE


def read_operation(resource: Resource, node: Node, recorded: Recorded, findings: Findings) -> None:
    """Takes one entry into account: the resource's role, its failures, and what they call for."""
    if recorded.execution is None:
        return
    if recorded.finds_nothing and resource.failure_expiration_ms == 0:
        # By far the most frequent entry, on every node where the resource is not. This is all that the rest comes to.
        resource.orig_role = Role.STOPPED
        findings.on_fail = OnFail.IGNORE
        set_next_role(resource, Role.UNKNOWN, "not running")
        set_next_role(resource, Role.UNKNOWN, "clear past failures")
        return
    entry = Entry(
        resource,
        node,
        recorded.element,
        recorded.id,
        recorded.key,
        recorded.task,
        recorded.interval_ms,
        recorded.expected_exit_code,
        recorded.exit_code,
        recorded.execution,
        recorded.masks_failure and not resource.is_bundled,
    )
    expired = _check_expiry(entry)
    original_exit = entry.exit_code
    _reinterpret(entry, findings, expired)
    if expired and _drop_expired(entry, original_exit):
        return
    if entry.masks_failure:
        _mask_probe_failure(entry, findings)
        return
    parent = resource if resource.unique else resource.top
    if entry.execution is Execution.PENDING:
        _note_pending(entry, findings.last_failure)
    elif entry.execution is Execution.DONE:
        _update_role(entry, entry.exit_code, findings)
    elif entry.execution is Execution.NOT_INSTALLED:
        on_fail, role = _failure_handling(entry)
        if on_fail is OnFail.IGNORE:
            findings.on_fail = OnFail.BAN
        add_node_score(parent, node, MINUS_INFINITY, "not installed")
        _note_failure(entry, on_fail, role, findings)
    else:
        connection = node.remote if node.is_remote_kind else None
        if entry.execution is Execution.NOT_CONNECTED and connection is not None and connection.managed:
            connection.failed = connection.stop_if_failed = True
        _handle_failure(entry, parent, findings)


# Expiry ------------------------------------------------------------------------------------------------------------


def _ignores_failure_timeout(entry: Entry) -> bool:
    # A failed remote node's fail count stays until it has been fenced.
    resource = entry.resource
    if not (resource.remote_reconnect_ms and resource.cluster.fencing_enabled):
        return False
    if entry.interval_ms == 0 or entry.task != "monitor":
        return False
    remote = resource.cluster.node(resource.id)
    return remote is not None and not remote.remote_fenced


def _check_expiry(entry: Entry) -> bool:
    resource, node, cluster = entry.resource, entry.node, entry.resource.cluster
    if entry.execution is Execution.NOT_INSTALLED:
        return False
    is_last_failure = entry.id.endswith(LAST_FAILURE)
    timeout_s = ms_to_s(resource.failure_expiration_ms)
    last_run = integer(entry.element.get("last-rc-change"))
    expired = False
    unexpired = 0
    if timeout_s > 0 and last_run is not None:
        if is_last_failure or not _went_well(entry):
            cluster.timed[resource.outermost.id] = None
        expired = cluster.now >= last_run + timeout_s and not _ignores_failure_timeout(entry)
        unexpired, last_failure = fail_count(node, resource, entry.element, effective=True)
        if unexpired and cluster.now < last_failure + timeout_s + 1:
            cluster.recheck_at(last_failure + timeout_s + 1)
    reason: str | None = None
    if expired:
        if fail_count(node, resource, entry.element)[0]:
            if unexpired == 0:
                reason = "it expired"
            else:
                expired = False
        elif is_last_failure and resource.remote_reconnect_ms > 0:
            reason = "reconnect interval is set"
    if not expired and is_last_failure and _parameters_changed(entry):
        reason = "resource parameters have changed"
    if reason is not None:
        clear = clear_fail_count(resource, node, reason)
        if cluster.fencing_enabled and resource.remote_reconnect_ms > 0:
            remote = cluster.node(resource.id)
            if remote is not None:
                order_actions(fence_action(cluster, remote, None, True, None), clear, FIRST_IMPLIES_THEN)
    if expired and is_probe(entry.task, entry.interval_ms) and entry.exit_code in (
        OK, NOT_RUNNING, RUNNING_PROMOTED, DEGRADED, DEGRADED_PROMOTED,
    ):  # fmt: skip
        # The result of a probe is no failure, and stays true.
        expired = False
    return expired


def _went_well(entry: Entry) -> bool:
    """Whether it ended as it was meant to, so that it makes no difference how long ago that was."""
    well = (OK, NOT_RUNNING, RUNNING_PROMOTED)
    return entry.execution is Execution.DONE and entry.exit_code == entry.expected_exit_code and entry.exit_code in well


def _parameters_changed(entry: Entry) -> bool:
    if entry.task not in ("start", "monitor"):
        return False
    resource = entry.resource
    if needs_host_address(resource):
        resource.cluster.parameter_checks.append(ParameterCheck(entry.element, resource, entry.node, True))
        return False
    digests = compare_with_history(resource, entry.element, entry.node)
    return digests.match not in (Match.UNKNOWN, Match.SAME)


def _drop_expired(entry: Entry, original_exit: int) -> bool:
    resource = entry.resource
    if entry.masks_failure and original_exit != entry.expected_exit_code:
        if resource.orig_role <= Role.STOPPED:
            resource.orig_role = Role.UNKNOWN
        return True
    if entry.exit_code == entry.expected_exit_code:
        return False
    if entry.interval_ms == 0:
        return True
    if entry.node.online and not entry.node.unclean:
        # A recurring operation whose failure expired is restarted, so that its result is fresh.
        parent = entry.element.getparent()
        owner = "" if parent is None else parent.get("id") or ""
        resource.cluster.restart_marks.add((entry.node.id, owner, entry.id))
        return True
    return False


# What a result means -----------------------------------------------------------------------------------------------


_NOT_DEGRADED = {DEGRADED: OK, DEGRADED_PROMOTED: RUNNING_PROMOTED}


def _reinterpret(entry: Entry, findings: Findings, expired: bool) -> None:
    node = entry.node
    original = entry.exit_code
    entry.exit_code = _NOT_DEGRADED.get(original, original)
    if entry.exit_code != original and not expired and (not node.shutdown or node.online):
        record_failure(entry)
    if entry.masks_failure and (entry.execution is not Execution.DONE or entry.exit_code != NOT_RUNNING):
        entry.execution = Execution.DONE
        entry.exit_code = NOT_RUNNING
    if entry.execution in (Execution.NO_FENCE_DEVICE, Execution.NO_SECRETS):
        entry.execution = Execution.ERROR_HARD
        return
    if entry.execution not in (Execution.DONE, Execution.ERROR):
        return
    if entry.expected_exit_code >= 0 and entry.exit_code == entry.expected_exit_code:
        entry.execution = Execution.DONE
    else:
        entry.execution = Execution.ERROR
    _by_exit_code(entry, findings, expired)


def _by_exit_code(entry: Entry, findings: Findings, expired: bool) -> None:
    resource, code = entry.resource, entry.exit_code
    probe = is_probe(entry.task, entry.interval_ms)
    if code == OK:
        if probe and entry.expected_exit_code == NOT_RUNNING:
            entry.execution = Execution.DONE
    elif code == NOT_RUNNING:
        if probe or entry.expected_exit_code == code or not resource.managed:
            entry.execution = Execution.DONE
            resource.orig_role = Role.STOPPED
            findings.on_fail = OnFail.IGNORE
            set_next_role(resource, Role.UNKNOWN, "not running")
    elif code == RUNNING_PROMOTED:
        if probe and code != entry.expected_exit_code:
            entry.execution = Execution.DONE
        if not expired or code == entry.expected_exit_code:
            resource.orig_role = Role.PROMOTED
    elif code == FAILED_PROMOTED:
        if not expired:
            resource.orig_role = Role.PROMOTED
        entry.execution = Execution.ERROR
    elif code == NOT_CONFIGURED:
        entry.execution = Execution.ERROR_FATAL
    elif code == UNIMPLEMENTED and entry.interval_ms > 0:
        entry.execution = Execution.NOT_SUPPORTED
    elif code in (UNIMPLEMENTED, NOT_INSTALLED, INVALID_PARAMETER, INSUFFICIENT_PRIVILEGES):
        if not expired:
            _block_if_unrecoverable(entry)
        entry.execution = Execution.ERROR_HARD
    elif entry.execution is Execution.DONE:
        entry.execution = Execution.ERROR


def _block_if_unrecoverable(entry: Entry) -> None:
    # A stop that can never succeed, on a node that cannot be fenced.
    if entry.task == "stop" and not can_fence(entry.resource.cluster, entry.node):
        entry.resource.managed = False
        entry.resource.blocked = True


def set_active(resource: Resource) -> None:
    resource.orig_role = Role.UNPROMOTED if resource.top.promotable else Role.STARTED


_ROLE_AFTER = {"start": Role.STARTED, "stop": Role.STOPPED, "promote": Role.PROMOTED, "migrate_from": Role.STARTED}


def _update_role(entry: Entry, exit_code: int, findings: Findings) -> None:
    """The role after an operation that went as `exit_code` says; a success may forgive past failures."""
    resource = entry.resource
    forgives = False
    if exit_code == NOT_INSTALLED or entry.masks_failure:
        resource.orig_role = Role.STOPPED
    elif exit_code == NOT_RUNNING:
        forgives = True
    elif entry.task == "monitor":
        last = findings.last_failure
        forgives = last is not None and entry.key == history_key(last)
        if resource.orig_role < Role.STARTED:
            set_active(resource)
    elif entry.task in _ROLE_AFTER:
        resource.orig_role = _ROLE_AFTER[entry.task]
        forgives = True
    elif entry.task == "demote":
        forgives = findings.on_fail is OnFail.DEMOTE
        resource.orig_role = Role.UNPROMOTED
    elif entry.task == "migrate_to":
        read_migration_source(entry)
    elif resource.orig_role < Role.STARTED:
        set_active(resource)
    if forgives:
        _forgive(resource, findings)


def _forgive(resource: Resource, findings: Findings) -> None:
    if findings.on_fail in (OnFail.STOP, OnFail.BAN, OnFail.STANDBY_NODE, OnFail.FENCE_NODE):
        return
    if findings.on_fail is OnFail.RESET_REMOTE and resource.remote_reconnect_ms != 0:
        return
    findings.on_fail = OnFail.IGNORE
    set_next_role(resource, Role.UNKNOWN, "clear past failures")


def _mask_probe_failure(entry: Entry, findings: Findings) -> None:
    banned = entry.resource if entry.resource.unique else entry.resource.top
    _update_role(entry, entry.expected_exit_code, findings)
    record_failure(entry)
    add_node_score(banned, entry.node, MINUS_INFINITY, "masked probe failure")


def _note_pending(entry: Entry, last_failure: Element | None) -> None:
    if _failure_is_newer(entry, last_failure):
        return
    resource = entry.resource
    if entry.task == "start":
        resource.start_pending = True
        set_active(resource)
    elif entry.task == "promote":
        resource.orig_role = Role.PROMOTED
    elif entry.task == "migrate_to" and entry.node.unclean:
        # The target may have got it, and must be cleaned up.
        target = resource.cluster.node(entry.element.get("migrate_target"))
        if target is not None:
            stop_action(resource, target, False)
    if resource.pending_action is None and not is_probe(entry.task, entry.interval_ms):
        resource.pending_action = entry.task
        resource.pending_node = entry.node


def _failure_is_newer(entry: Entry, last_failure: Element | None) -> bool:
    if last_failure is None or entry.task != last_failure.get("operation"):
        return False
    if entry.interval_ms != integer(last_failure.get("interval")):
        return False
    mine = integer(entry.element.get("last-rc-change"))
    failures = integer(last_failure.get("last-rc-change"))
    return mine is not None and failures is not None and failures >= mine


# Failures ----------------------------------------------------------------------------------------------------------


def record_failure(entry: Entry) -> None:
    """Notes a failure for the status display, each operation once per node."""
    if not entry.node.online:
        return
    cluster = entry.resource.cluster
    if any(known.key == entry.key and known.node is entry.node for known in cluster.failed):
        return
    cluster.failed.append(FailedOperation(entry.element, entry.node, entry.resource.id, entry.key))


def _failure_handling(entry: Entry) -> tuple[OnFail, Role]:
    resource = entry.resource
    config = find_operation(resource, entry.task, entry.interval_ms)
    meta = operation_meta(resource, entry.node, entry.task, entry.interval_ms, config)
    on_fail = reaction(resource, entry.task, entry.interval_ms, meta.get("on-fail"))
    return on_fail, role_after_failure(resource, entry.task, on_fail)


def _handle_failure(entry: Entry, parent: Resource, findings: Findings) -> None:
    on_fail, role = _failure_handling(entry)
    if on_fail is OnFail.IGNORE or (on_fail is OnFail.RESTART_CONTAINER and entry.task == "stop"):
        _update_role(entry, entry.expected_exit_code, findings)
        entry.resource.ignore_failure = True
        record_failure(entry)
        if on_fail is OnFail.RESTART_CONTAINER and findings.on_fail <= OnFail.RESTART:
            findings.on_fail = on_fail
        return
    _note_failure(entry, on_fail, role, findings)
    if entry.execution is Execution.ERROR_HARD:
        add_node_score(parent, entry.node, MINUS_INFINITY, "hard error")
    elif entry.execution is Execution.ERROR_FATAL:
        ban_everywhere(parent, "fatal error")


def _note_failure(entry: Entry, on_fail: OnFail, role: Role, findings: Findings) -> None:
    resource, node, task = entry.resource, entry.node, entry.task
    findings.last_failure = entry.element
    if resource.cluster.symmetric or entry.exit_code != NOT_INSTALLED:
        record_failure(entry)
    findings.on_fail = max(findings.on_fail, on_fail)
    if task == "stop":
        add_node_score(resource, node, MINUS_INFINITY, "stop failed")
    elif task == "migrate_to":
        read_failed_migration_source(entry)
    elif task == "migrate_from":
        read_failed_migration_target(entry)
    elif task == "promote":
        resource.orig_role = Role.PROMOTED
    elif task == "demote":
        if on_fail is OnFail.BLOCK:
            resource.orig_role = Role.PROMOTED
            set_next_role(resource, Role.STOPPED, "demote with on-fail=block")
        elif entry.exit_code == NOT_RUNNING:
            resource.orig_role = Role.STOPPED
        else:
            resource.orig_role = Role.UNPROMOTED
    if is_probe(task, entry.interval_ms) and entry.exit_code == NOT_INSTALLED:
        resource.orig_role = Role.STOPPED
    elif resource.orig_role < Role.STARTED:
        set_active(resource)
    if role is not Role.STARTED and resource.next_role < role:
        set_next_role(resource, role, "failure")
    if role is Role.STOPPED:
        banned = resource.top if resource.parent is not None and resource.top.is_anonymous_clone else resource
        replace_by_ban(banned, "on-fail=stop")
