# SPDX-License-Identifier: GPL-2.0-or-later
"""Cleanup, refresh, restart and wait: what needs the running cluster's brain."""

from __future__ import annotations

import time

from ha.cli.crm_resource.parameters import definition, delete_value, find_pair, set_value
from ha.cli.crm_resource.session import OrderError, Session, tell
from ha.cli.exit_codes import Exit
from ha.cli.idle import await_idle
from ha.cli.output.xml_text import quoteattr
from ha.cli.source.cib import chosen_file
from ha.cli.source.durations import DurationError, parse_duration
from ha.crm.msg import Cleanup, Done, FailResource
from ha.ipc.client import NotConnected

DEFAULT_WAIT_S = 3600.0
META = "meta_attributes"


def cleanup(session: Session) -> int:
    """--cleanup: forget failures, and probe again."""
    return _forget(session, only_failed=True)


def refresh(session: Session) -> int:
    """--refresh: forget all history, and probe again."""
    return _forget(session, only_failed=False)


def delete(session: Session) -> int:
    """--delete: take --resource out of the configuration; one that is not there is no error."""
    options = session.options
    if not options.resource or not options.resource_type:
        raise OrderError(Exit.USAGE, "--delete needs --resource and --resource-type (primitive, group, clone ...)")
    if not options.resource_type.isalnum():
        raise OrderError(Exit.USAGE, f"{options.resource_type!r} is no kind of resource")
    session.write("delete", f"<{options.resource_type} id={quoteattr(options.resource)}/>", scope="resources")
    return Exit.OK


def _forget(session: Session, *, only_failed: bool) -> int:
    options = session.options
    if options.resource:
        session.resource()
    request = Cleanup(
        request_id=session.new_request_id(),
        resource_id=options.resource or "",
        node=session.require_node(options.node) if options.node else "",
        operation=options.operation or "",
        interval_ms=int(_seconds(options.interval or "0") * 1000),
        only_failed=only_failed,
    )
    _expect_done(session, request)
    where = f" on {options.node}" if options.node else ""
    verb = "Cleaned up" if only_failed else "Refreshed"
    tell(f"{verb} {options.resource or 'all resources'}{where}")
    return Exit.OK


def fail(session: Session) -> int:
    """--fail: tell the cluster that the resource failed on --node."""
    session.resource()
    if not session.options.node:
        raise OrderError(Exit.USAGE, "--fail needs --node")
    request = FailResource(
        request_id=session.new_request_id(),
        resource_id=session.options.resource,
        node=session.require_node(session.options.node),
    )
    _expect_done(session, request)
    return Exit.OK


def _expect_done(session: Session, request: Cleanup | FailResource) -> None:
    answer = session.ask("crmd", request)
    if not isinstance(answer, Done):
        raise OrderError(Exit.PROTOCOL, f"the crmd answered {type(answer).__name__}")
    if answer.rc:
        raise OrderError(answer.rc, answer.reason)


def wait(session: Session) -> int:
    """--wait: until the cluster has nothing left to do; 124 when that takes longer than --timeout."""
    settle(session)
    return Exit.OK


def settle(session: Session) -> None:
    if (file := chosen_file()) is not None:
        raise OrderError(Exit.UNIMPLEMENTED, f"{file} is no running cluster: there is nothing to wait for")
    timeout_s = _seconds(session.options.timeout) if session.options.timeout else DEFAULT_WAIT_S
    deadline = time.monotonic() + timeout_s
    try:
        idle = await_idle(session.root, deadline)
    except NotConnected as error:
        raise OrderError(Exit.NOT_CONNECTED, str(error)) from error
    if not idle:
        raise OrderError(Exit.TIMEOUT, f"the cluster was still busy after {timeout_s:g} s")


def restart(session: Session) -> int:
    """--restart: stop it and what depends on it, then let them start again."""
    resource = session.resource()
    if not resource.is_active(False):
        raise OrderError(Exit.NOT_RUNNING, f"{session.options.resource} is not running: nothing to restart")
    element = definition(session)
    before = find_pair(element, META, "target-role")
    former = before.get("value") if before is not None else None
    set_value(session, element, META, "target-role", "Stopped", quiet=True)
    try:
        settle(session)
    finally:
        _restore(session, former)
    settle(session)
    return Exit.OK


def _restore(session: Session, former: str | None) -> None:
    """Give target-role back its former value, on the CIB as it is now."""
    session.__dict__.pop("cluster", None)
    element = definition(session)
    if former is not None:
        set_value(session, element, META, "target-role", former, quiet=True)
    else:
        delete_value(session, element, META, "target-role")


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except DurationError as error:
        raise OrderError(Exit.INVALID_PARAMETER, f"{text!r}: {error}") from error
