# SPDX-License-Identifier: GPL-2.0-or-later
"""What rmd is configured with: rmd.cf, and what a worker's stanza says beyond supervisor's own keys.

A stanza stays in supervisor's stock syntax. Its `command` is either a program's path, or `package.module:function`: a
worker that is forked from rmd's own image. What supervisor has no key for stands in `environment=`:

    HA_START_DEADLINE_MS  silence after the first fork that counts as hung; 0: this worker does not beat   (10000)
    HA_RESTARTS           restarts in a number of seconds that are too many                                (30/60)
    HA_ESCALATION         what happens then: keep, leave, stop or reset                                    (leave)
    HA_RESTART_WITH       other stanzas, separated by commas: when one of them dies, this one is started anew too,
                          after it                                                                         (none)

What a program's stanza may say beyond that is in ha.rmd.model.notify.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from ha.apphbd.model import ConfigError, directives, milliseconds
from ha.rmd.model.recoverymgrd import RecoveryAction

APPHBD = "apphbd"
CRMD = "crmd"
LRMD = "lrmd"
HARESOURCES = "haresources"  # instead of both, on a node without a CRM
HEARTBEAT = "heartbeat"
"""While it is silent the other nodes count the milliseconds."""

_FUNCTION = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class WorkerFunction:
    """`function(root) -> int` of a module: a worker's main, called in a fork of rmd."""

    module: str
    function: str


def worker_function(command: str) -> WorkerFunction | None:
    """None when the command is a program to be executed."""
    match = _FUNCTION.fullmatch(command.strip())
    return WorkerFunction(match["module"], match["function"]) if match else None


class Escalation(Enum):
    """What follows when a worker has to be restarted too often."""

    KEEP = "keep"
    """Go on restarting it, once a second."""
    LEAVE = "leave"
    """Give it up; the node leaves the cluster in good order and rmd ends. Where the crmd cannot do that without this
    worker, as STOP."""
    STOP = "stop"
    """Give it up; the lrmd stops every resource at once, then the node leaves and rmd ends."""
    RESET = "reset"
    """Reset the node, as rmd.cf says."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a worker is brought back."""

    start_deadline_ms: int = 10_000
    max_restarts: int = 30
    period_ms: int = 60_000
    escalation: Escalation = Escalation.LEAVE
    restart_with: frozenset[str] = frozenset()

    @property
    def beats(self) -> bool:
        return self.start_deadline_ms > 0


def recovery(environment: Mapping[str, str], worker: str) -> Recovery:
    """From a stanza's environment. Raises ConfigError naming worker and variable."""
    result = Recovery()
    deadline = environment.get("HA_START_DEADLINE_MS")
    if deadline is not None:
        if not is_number(deadline, 0, 600_000):
            raise ConfigError(f"{worker}: HA_START_DEADLINE_MS is 0 to 600000, not {deadline!r}")
        result = replace(result, start_deadline_ms=int(deadline))
    restarts = environment.get("HA_RESTARTS")
    if restarts is not None:
        number, _, period_s = restarts.partition("/")
        if not is_number(number, 1, 10_000) or not is_number(period_s, 1, 86_400):
            raise ConfigError(f"{worker}: HA_RESTARTS is restarts/seconds, such as 30/60, not {restarts!r}")
        result = replace(result, max_restarts=int(number), period_ms=int(period_s) * 1000)
    escalation = environment.get("HA_ESCALATION")
    if escalation is not None:
        try:
            result = replace(result, escalation=Escalation(escalation))
        except ValueError as error:
            kinds = "keep, leave, stop or reset"
            raise ConfigError(f"{worker}: HA_ESCALATION is {kinds}, not {escalation!r}") from error
    if "HA_RESTART_WITH" in environment:
        names = frozenset(name.strip() for name in environment["HA_RESTART_WITH"].split(",") if name.strip())
        if not names or worker in names:
            raise ConfigError(f"{worker}: HA_RESTART_WITH is a list of other stanzas' names, separated by commas")
        result = replace(result, restart_with=names)
    return result


def is_number(text: str, low: int, high: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high


class Reset(Enum):
    """How this machine is reset when a worker says that it must be."""

    NONE = "none"
    """Not at all: say so and kill every worker, so that the node is gone for its peers."""
    WATCHDOG = "watchdog"
    """Kill everything and let the watchdog, petted no more, do it."""
    SYSRQ = "sysrq"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Settings:
    """rmd.cf."""

    reset: Reset = Reset.NONE
    leave_timeout_ms: int = 20 * 60_000
    """How long the crmd may take to move the resources off before the lrmd stops them, and how long that may take
    before the node is reset."""
    pair_interval_ms: int = 330
    """rmd and apphbd beat to each other this often."""
    pair_deadline_ms: int = 1_000
    """After this silence the one kills the other and starts it again."""
    recoveries: tuple[RecoveryAction, ...] = ()
    """recoverymgrd.conf."""

    def __post_init__(self) -> None:
        if self.pair_deadline_ms < 2 * self.pair_interval_ms:
            raise ConfigError(
                f"rmd.cf: pair_deadline_ms {self.pair_deadline_ms} is less than twice pair_interval_ms "
                f"{self.pair_interval_ms}"
            )


def read_rmd_cf(text: str, source: str) -> Settings:
    """Raises ConfigError with file, line and mistake."""
    values: dict[str, int | Reset] = {}
    for directive in directives(text, source):
        match directive.name:
            case "reset":
                try:
                    values["reset"] = Reset(directive.value)
                except ValueError as error:
                    kinds = ", ".join(kind.value for kind in Reset)
                    raise ConfigError(f"{directive.where}: reset is one of {kinds}, not {directive.value!r}") from error
            case "leave_timeout_ms":
                values[directive.name] = milliseconds(directive, 0, 24 * 3_600_000)
            case "pair_interval_ms":
                values[directive.name] = milliseconds(directive, 10, 60_000)
            case "pair_deadline_ms":
                values[directive.name] = milliseconds(directive, 50, 600_000)
            case name:
                raise ConfigError(f"{directive.where}: {name!r} is no directive of rmd.cf")
    return Settings(**values)  # type: ignore[arg-type]
