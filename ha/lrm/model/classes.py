# SPDX-License-Identifier: GPL-2.0-or-later
"""The contracts of the agent classes: how an action is called, and what its end means in OCF's codes.

Sources: OCF Resource Agent API 1.1; LSB 5.0 (init scripts); Linux-HA Heartbeat's resource scripts as its LRM of
cluster-glue 1.0.12 treated them; Pacemaker 2.1.5's executor for the environment. See agents.md sections 1-4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ha.lrm.model import codes
from ha.lrm.msg import Resource

EXIT_REASON_PREFIX = "ocf-exit-reason:"
MAX_EXIT_REASON_LENGTH = 512
MAX_OUTPUT_LENGTH = 4_096
MAX_HEARTBEAT_ARGUMENTS = 64
PARAMETER_NAME = re.compile(r"[^\x00-\x20=]{1,256}")
NOT_RUNNING_WORDS = re.compile(r"not.*running", re.DOTALL)
NOT_PRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 cannot carry, and DEL."""

LSB_STATUS = {0: codes.SUCCESS, 1: codes.NOT_RUNNING, 2: codes.NOT_RUNNING, 3: codes.NOT_RUNNING}
"""LSB's codes of `status`; any other is ERR_GENERIC."""

STATUS_OPERATIONS = frozenset({"monitor", "status"})


class CallError(ValueError):
    """The order cannot be put to an agent of this class; the text says why."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every agent of the node sees, whatever its class. `environment` holds PATH and the like."""

    environment: Mapping[str, str]
    ocf_root: str = "/usr/lib/ocf"


@dataclass(frozen=True, slots=True)
class Call:
    """What follows the agent's path on its command line, and its whole environment."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def call(
    resource: Resource, operation: str, parameters: Mapping[str, str], meta: Mapping[str, str], around: Surroundings
) -> Call:
    """How to call the agent. Raises CallError for parameters that an environment or a command line cannot carry."""
    for name, value in (*parameters.items(), *meta.items()):
        if not PARAMETER_NAME.fullmatch(name):
            raise CallError(f"parameter name {name!r} is empty, longer than 256 characters, or holds blanks or '='")
        if "\x00" in value:
            raise CallError(f"the value of parameter {name} holds a NUL character")
    match resource.agent_class:
        case "ocf":
            return Call((operation,), ocf_environment(resource, parameters, meta, around))
        case "lsb":
            return Call((_status_for_monitor(operation),), dict(around.environment))
        case "heartbeat":
            arguments = (*heartbeat_arguments(parameters), _status_for_monitor(operation))
            return Call(arguments, dict(around.environment))
        case _:
            raise CallError(f"there is no agent class {resource.agent_class!r}")


def ocf_environment(
    resource: Resource, parameters: Mapping[str, str], meta: Mapping[str, str], around: Surroundings
) -> dict[str, str]:
    environment = {
        **around.environment,
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_ROOT": around.ocf_root,
        "OCF_RESOURCE_INSTANCE": resource.id,
        "OCF_RESOURCE_TYPE": resource.agent_type,
        "OCF_RESOURCE_PROVIDER": resource.provider,
        "OCF_EXIT_REASON_PREFIX": EXIT_REASON_PREFIX,
    }
    for name, value in sorted(parameters.items()):
        if name == "OCF_CHECK_LEVEL":
            environment[name] = value
        else:
            environment[f"OCF_RESKEY_{name}"] = value
    for name, value in sorted(meta.items()):
        name = name.replace("-", "_").removeprefix("CRM_meta_")
        if name in ("OCF_CHECK_LEVEL", "crm_feature_set"):
            environment[name if name.isupper() else f"OCF_RESKEY_{name}"] = value
        elif name != "op_target_rc":  # the scheduler's own
            environment[f"OCF_RESKEY_CRM_meta_{name}"] = value
    return environment


def heartbeat_arguments(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the parameters named 1, 2, 3 ..., in the order of their numbers; gaps are skipped."""
    numbered = sorted((int(name), value) for name, value in parameters.items() if name.isascii() and name.isdigit())
    if len(numbered) > MAX_HEARTBEAT_ARGUMENTS:
        raise CallError(f"{len(numbered)} arguments are more than {MAX_HEARTBEAT_ARGUMENTS}")
    return tuple(value for _, value in numbered)


def ocf_code(agent_class: str, operation: str, exit_code: int, stdout: str) -> int:
    """The OCF code for an agent that ran to its end."""
    match agent_class:
        case "lsb" if operation in STATUS_OPERATIONS:
            return LSB_STATUS.get(exit_code, codes.ERR_GENERIC)
        case "heartbeat" if operation in STATUS_OPERATIONS:
            return heartbeat_status(exit_code, stdout)
        case "lsb" | "heartbeat":
            return exit_code if exit_code <= codes.NOT_RUNNING else codes.ERR_GENERIC
        case _:
            return exit_code


def heartbeat_status(exit_code: int, stdout: str) -> int:
    """Heartbeat's scripts say their status in words; the exit code counts only for "not installed"."""
    if exit_code == codes.ERR_INSTALLED:
        return codes.ERR_INSTALLED
    words = stdout.lower()
    if "stopped" in words or NOT_RUNNING_WORDS.search(words):
        return codes.NOT_RUNNING
    if "running" in words or "OK" in stdout:
        return codes.SUCCESS
    return codes.NOT_RUNNING


def exit_reason(stderr: str) -> str:
    """The last reason that the agent gave in the OCF way; "" for none."""
    for line in reversed(stderr.splitlines()):
        _, found, reason = line.partition(EXIT_REASON_PREFIX)
        if found:
            return clean(reason, MAX_EXIT_REASON_LENGTH)
    return ""


def clean(text: str, limit: int) -> str:
    """Text that a log and an XML attribute can carry, at most `limit` characters."""
    return NOT_PRINTABLE.sub("?", text).strip()[:limit]


def _status_for_monitor(operation: str) -> str:
    return "status" if operation == "monitor" else operation
