# SPDX-License-Identifier: GPL-2.0-or-later
"""A plan: a change of the configuration, the revision of the CIB it was made for, and the actions it leads to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from ha.cli.exit_codes import Exit

MAX_PLAN_BYTES = 64 * 1024 * 1024
"""Of a plan's file: a CIB may be as large, and a change may replace it all."""


class PlanError(Exception):
    """A sentence for the operator, and the exit code that goes with it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One action of the cluster. Those of `transition` 1 follow from the change at once, those of later ones when the
    cluster looks again: because something happened, or after cluster-recheck-interval."""

    transition: int
    operation: str
    """As agents know it (start, stop, monitor, promote, ...), or "fence"."""
    resource: str = ""
    node: str
    interval_ms: int = 0
    is_probe: bool = False

    @property
    def is_minor(self) -> bool:
        """It looks, or tells, and changes nothing that runs."""
        return self.is_probe or self.operation in {"monitor", "notify", "meta-data", "delete", "cancel"}

    def __str__(self) -> str:
        operation = "probe" if self.is_probe else self.operation
        every = f" every {self.interval_ms / 1000:g} s" if self.interval_ms else ""
        return f"{operation:<12} {self.resource:<24} {self.node}{every}".rstrip()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`patch` is a v2 diff whose source is `revision` (admin_epoch.epoch.num_updates): it fits no other CIB."""

    format: Literal[1] = 1
    revision: str
    patch: str
    summary: tuple[str, ...]
    """One line for every resource or node that changes."""
    steps: tuple[Step, ...]
    rests: bool
    """Whether the cluster has nothing left to do after the last step; if not, only the first transitions are here."""

    def save(self, path: Path) -> None:
        """Raises PlanError."""
        try:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        except OSError as error:
            raise PlanError(Exit.CANNOT_CREATE, f"{path} cannot be written: {error.strerror}") from error


def load(path: Path) -> Plan:
    """Raises PlanError for a file that is missing, too large, or no plan."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise PlanError(Exit.NO_INPUT, f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_PLAN_BYTES:
        raise PlanError(Exit.DATA_ERROR, f"{path} is no plan: it is larger than {MAX_PLAN_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanError(Exit.DATA_ERROR, f"{path} is no plan of 'ha plan --save': {error}") from error
