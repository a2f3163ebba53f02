# SPDX-License-Identifier: GPL-2.0-or-later
"""Resources of class systemd: the LRM's requests as dialogues with systemd. The bus is opened when first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ha.lrm.core.units import UnitOutcome, action, exists, list_units, main_pid
from ha.lrm.model import codes
from ha.lrm.model.execution import AgentResult, MetadataRead
from ha.lrm.model.units import unit_metadata, unit_name
from ha.lrm.msg import ExecutionStatus
from ha.root import Root
from ha.shell import Loop

if TYPE_CHECKING:
    from ha.lrm.io.systemd import SystemBus

QUESTION_TIMEOUT_MS = 5_000
"""For what nobody named a time for: lists, and whether there is such a unit."""
DROP_INS = "/run/systemd/system"


class UnitAdapter:
    def __init__(self, root: Root, loop: Loop) -> None:
        self._root = root
        self._loop = loop
        self._bus: SystemBus | None = None
        self._running: dict[str, Callable[[], None]] = {}  # job -> gives it up

    def close(self) -> None:
        if self._bus is not None:
            self._bus.close()

    def run(self, job: str, agent_type: str, operation: str, timeout_ms: int,
            on_end: Callable[[AgentResult], None]) -> None:  # fmt: skip
        """One operation of the LRM. It ends within `timeout_ms`; it leaves no job in the spool: after lrmd's death
        the crmd orders it again, and systemd is told nothing that it may not be told twice."""
        started_ms = self._loop.now()
        try:
            unit = unit_name(agent_type)
        except ValueError as error:
            return on_end(AgentResult(rc=codes.ERR_INSTALLED, status="not installed", exit_reason=str(error)))

        def ended(outcome: object) -> None:
            self._running.pop(job, None)
            on_end(_result(operation, outcome, started_ms, self._loop.now()))

        self._running[job] = lambda: None
        give_up = self._system_bus().run(action(operation, unit), timeout_ms, ended)
        if job in self._running:
            self._running[job] = give_up
        return None

    def kill(self, job: str) -> bool:
        """Whether the job was one of ours; it ends at once."""
        give_up = self._running.get(job)
        if give_up is not None:
            give_up()
        return give_up is not None

    def if_exists(self, agent_type: str, then: Callable[[bool | str], None]) -> None:
        """Tell whether systemd knows the unit (without a bus it does not), or why that cannot be known."""
        from ha.lrm.io.systemd import BusFailure

        def answered(outcome: object) -> None:
            if isinstance(outcome, BusFailure):
                return then(False if outcome.absent else outcome.reason)
            return then(outcome is True)

        try:
            unit = unit_name(agent_type)
        except ValueError:
            return then(False)
        self._system_bus().run(exists(unit), QUESTION_TIMEOUT_MS, answered)
        return None

    def main_pid(self, agent_type: str, then: Callable[[int], None]) -> None:
        """The unit's main process, 0 when there is none or nobody says."""
        self._system_bus().run(
            main_pid(unit_name(agent_type)), QUESTION_TIMEOUT_MS,
            lambda outcome: then(outcome if isinstance(outcome, int) else 0),
        )  # fmt: skip

    def list_units(self, then: Callable[[tuple[str, ...]], None]) -> None:
        self._system_bus().run(
            list_units(), QUESTION_TIMEOUT_MS, lambda outcome: then(outcome if isinstance(outcome, tuple) else ())
        )

    def read_metadata(self, agent_type: str, known: str, then: Callable[[MetadataRead], None]) -> None:
        """Made by us, the same for all units; the unit's name is its checksum."""

        def answered(there: bool | str) -> None:
            if there is not True:
                reason = there if isinstance(there, str) else f"systemd knows no unit {agent_type}"
                return then(MetadataRead(rc=codes.ERR_INSTALLED, reason=reason))
            checksum = f"unit {agent_type}"
            if known == checksum:
                return then(MetadataRead(rc=0, checksum=checksum, unchanged=True))
            return then(MetadataRead(rc=0, checksum=checksum, xml=unit_metadata(agent_type)))

        self.if_exists(agent_type, answered)

    def _system_bus(self) -> SystemBus:
        if self._bus is None:
            # The library takes tens of milliseconds to load, for which a node without units need not wait.
            from ha.lrm.io.systemd import SystemBus, bus_address

            try:
                address = bus_address(self._root)
            except ValueError as error:
                self._loop.note("error", f"systemd units cannot be managed: {error}")
                address = None
            self._bus = SystemBus(address, self._root.path(DROP_INS), self._loop, self._loop.note)  # type: ignore[arg-type]
        return self._bus


def _result(operation: str, outcome: object, started_ms: int, now: int) -> AgentResult:
    rc, status, reason = _fate(operation, outcome, now - started_ms)
    return AgentResult(rc=rc, status=status, exit_reason=reason, started_ms=started_ms, exec_ms=now - started_ms)


def _fate(operation: str, outcome: object, exec_ms: int) -> tuple[int, ExecutionStatus, str]:
    from ha.lrm.io.systemd import BusFailure

    match outcome:
        case UnitOutcome(rc=codes.ERR_INSTALLED, reason=reason):
            return codes.ERR_INSTALLED, "not installed", reason
        case UnitOutcome(rc, reason):
            return rc, "done", reason
        case BusFailure(reason, late=True):
            return codes.ERR_GENERIC, "timeout", f"{operation} did not end within {exec_ms} ms: {reason}"
        case BusFailure(reason, absent=True):
            return codes.ERR_INSTALLED, "not installed", reason
        case BusFailure(reason):
            return codes.ERR_GENERIC, "error", reason
        case _:
            raise AssertionError(f"a dialogue ended in {outcome!r}")
