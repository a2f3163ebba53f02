# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of the LRM as the status section keeps them: `lrm_rsc_op` elements, their keys, magic and digests.

Form: Pacemaker's, as observed in the status sections of its scheduler cases; meaning of codes and digests: the agent
contract (OCF 1.1, Pacemaker's `lrm_rsc_op`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from ha.crm.model import FEATURE_SET
from ha.crm.msg import AgentTraits
from ha.lrm.msg import OperationResult, RunOperation

STATUS_CODES: Mapping[str, int] = {
    "pending": -1, "done": 0, "cancelled": 1, "timeout": 2, "not supported": 3, "error": 4,
    "not installed": 7, "not connected": 8, "invalid": 9, "no secrets": 11,
}
RC_OK, RC_NOT_RUNNING, RC_PROMOTED = 0, 7, 8
RC_UNKNOWN = 193  # of an operation that is still pending
DEGRADED: Mapping[int, int] = {190: RC_OK, 191: RC_PROMOTED}
NEVER_IN_DIGEST = frozenset(("id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip"))
ALWAYS_SECRET = ("passwd", "password")
COUNTED = ("start", "stop", "promote", "demote", "migrate_to", "migrate_from")
INTERVAL_OF_ONCE = 0
MAX_EXIT_REASON = 1_000
"""Characters of an agent's text that the status keeps; the rest is in the log of its node."""

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class TransitionKey:
    """`ACTION:TRANSITION:TARGET_RC:UUID`: which action of which graph of which DC, and the result it hoped for."""

    action_id: int
    transition_id: int
    target_rc: int
    te_uuid: str

    def __str__(self) -> str:
        return f"{self.action_id}:{self.transition_id}:{self.target_rc}:{self.te_uuid}"


def parse_transition_key(text: str) -> TransitionKey | None:
    """None for anything that is not one."""
    parts = text.split(":", 3)
    if len(parts) != 4:
        return None
    try:
        return TransitionKey(int(parts[0]), int(parts[1]), int(parts[2]), parts[3])
    except ValueError:
        return None


def operation_key(resource_id: str, operation: str, interval_ms: int) -> str:
    return f"{resource_id}_{operation}_{interval_ms}"


def target_rc(result: OperationResult) -> int:
    """What the transition key says was expected; without a key, what the operation means to reach."""
    key = parse_transition_key(result.user_data)
    return key.target_rc if key is not None else RC_OK


def is_failure(result: OperationResult) -> bool:
    """Whether the outcome is not the expected one. A probe that finds a resource running is one too."""
    if result.status in ("pending", "cancelled"):
        return False
    if result.status != "done":
        return True
    return DEGRADED.get(result.rc, result.rc) != target_rc(result)


def counts_as_failure(result: OperationResult) -> bool:
    """Whether it raises the fail count. A probe's surprise does not."""
    return is_failure(result) and (result.interval_ms > 0 or result.operation in COUNTED)


def leaves_active(operations: Iterable[Mapping[str, str]]) -> bool:
    """Whether the last of a resource's operations in the status leaves it running. One under way may."""
    newest = max((o for o in operations if o.get("interval", "0") == "0"), key=_call_id, default=None)
    if newest is None:
        return False
    rc, operation = newest.get("rc-code", ""), newest.get("operation", "")
    return not ((operation == "stop" and rc == "0") or (operation == "monitor" and rc in ("5", "7")))


def _call_id(entry: Mapping[str, str]) -> int:
    text = entry.get("call-id", "")
    return int(text) if text.isdecimal() else 0


def entries(result: OperationResult, node: str, traits: AgentTraits | None = None) -> list[dict[str, str]]:
    """The `lrm_rsc_op` elements (as attributes, `id` first) that record a result; empty for what leaves no trace.

    A success replaces `R_last_0`, or `R_OP_INTERVAL` for a recurring one. A failure is kept as `R_last_failure_0`
    beside the last success of a recurring operation; a failed single one is the last operation as well.
    """
    name = result.resource.id
    if result.operation in ("notify", "meta-data", "validate-all") or result.status == "cancelled":
        return []
    if is_failure(result):
        ids = [f"{name}_last_failure_0"] + ([f"{name}_last_0"] if result.interval_ms == INTERVAL_OF_ONCE else [])
    elif result.interval_ms > 0:
        ids = [operation_key(name, result.operation, result.interval_ms)]
    else:
        ids = [f"{name}_last_0"]
    common = _attributes(result, node, traits)
    return [{"id": each, **common} for each in ids]


def pending_entry(order: RunOperation, node: str, call_id: int, now_s: int) -> dict[str, str]:
    """An operation that is under way, for a DC that did not order it."""
    name = order.resource.id
    key = operation_key(name, order.operation, order.interval_ms)
    return {
        "id": key if order.interval_ms else f"{name}_last_0",
        "operation_key": key,
        "operation": order.operation,
        "crm-debug-origin": "crmd",
        "crm_feature_set": FEATURE_SET,
        "transition-key": order.user_data,
        "transition-magic": f"-1:{RC_UNKNOWN};{order.user_data}",
        "exit-reason": "",
        "on_node": node,
        "call-id": str(call_id),
        "rc-code": str(RC_UNKNOWN),
        "op-status": "-1",
        "interval": str(order.interval_ms),
        "last-rc-change": str(now_s),
        "exec-time": "0",
        "queue-time": "0",
        "op-digest": digest(digested(order.parameters, order.meta, order.interval_ms)),
        **_migration(order.operation, order.meta),
    }


def _attributes(result: OperationResult, node: str, traits: AgentTraits | None) -> dict[str, str]:
    status = STATUS_CODES[result.status]
    parameters = digested(result.parameters, result.meta, result.interval_ms)
    return {
        "operation_key": operation_key(result.resource.id, result.operation, result.interval_ms),
        "operation": result.operation,
        "crm-debug-origin": "crmd",
        "crm_feature_set": FEATURE_SET,
        "transition-key": result.user_data,
        "transition-magic": f"{status}:{result.rc};{result.user_data}",
        "exit-reason": _NOT_IN_XML.sub("?", result.exit_reason)[:MAX_EXIT_REASON],
        "on_node": node,
        "call-id": str(result.call_id),
        "rc-code": str(result.rc),
        "op-status": str(status),
        "interval": str(result.interval_ms),
        "last-rc-change": str(result.last_rc_change_s),
        "exec-time": str(result.exec_ms),
        "queue-time": str(result.queue_ms),
        "op-digest": digest(parameters),
        **_migration(result.operation, result.meta),
        **_traits_digests(parameters, traits, result.interval_ms),
    }


def _migration(operation: str, meta: Mapping[str, str]) -> dict[str, str]:
    if operation not in ("migrate_to", "migrate_from"):
        return {}
    return {name: meta[name] for name in ("migrate_source", "migrate_target") if name in meta}


def digested(parameters: Mapping[str, str], meta: Mapping[str, str], interval_ms: int) -> dict[str, str]:
    """The parameters that count: all but bookkeeping, and for a recurring operation also its timeout."""
    kept = {
        name: value
        for name, value in parameters.items()
        if name not in NEVER_IN_DIGEST and not name.startswith("CRM_meta_")
    }
    if interval_ms > 0 and "timeout" in meta:
        kept["CRM_meta_timeout"] = meta["timeout"]
    return kept


def digest(parameters: Mapping[str, str]) -> str:
    """MD5 of ` <parameters a="…"/>\\n` with the names in order (not a secret: the CIB's form demands MD5)."""
    inner = "".join(f" {name}={_quoted(parameters[name])}" for name in sorted(parameters))
    text = f" <parameters{inner}/>\n"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _quoted(value: str) -> str:
    return quoteattr(value, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;", '"': "&quot;"})


def _traits_digests(parameters: Mapping[str, str], traits: AgentTraits | None, interval_ms: int) -> dict[str, str]:
    """op-restart-digest and op-secure-digest, which need the agent's meta-data.

    A recurring operation has no op-restart-digest: it is begun anew for any change, its timeout's included.
    """
    if traits is None:
        return {}
    found: dict[str, str] = {}
    if traits.reloads and traits.reloadable and not interval_ms:
        fixed = [name for name in traits.parameters if name not in traits.reloadable]
        found["op-force-restart"] = _listed(fixed)
        found["op-restart-digest"] = digest({n: v for n, v in parameters.items() if n not in traits.reloadable})
    private = sorted({*traits.private, *(n for n in ALWAYS_SECRET if n in traits.parameters)})
    if private:
        found["op-secure-params"] = _listed(private)
        found["op-secure-digest"] = digest({n: v for n, v in parameters.items() if n not in private})
    return found


def _listed(names: list[str]) -> str:
    return f" {'  '.join(names)} " if names else ""
