# SPDX-License-Identifier: GPL-2.0-or-later
"""What rmd hands to itself over an exec: the workers of the old image run on until the new one is loaded.

An exec keeps rmd's number, its children and the descriptors that it names. So a reload, or an upgrade of the files
under a running node, costs the node no more than the death of its rmd does: the old workers, which read nothing from
disk, go on while the new interpreter loads; then they are ended, and the new image forks its own. Should the new image
be unable to, it ends, and the old apphbd takes its place from the old image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ha.rmd.model import APPHBD, HEARTBEAT

MAX_TEXT_BYTES = 128 * 1024
"""More than 200 stanzas' workers need; execve(2) takes no more than this in one variable."""


@dataclass(frozen=True, slots=True)
class FormerWorker:
    """A worker of the old image. `outputs`: the reading ends of its captured streams."""

    name: str
    pid: int
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Handover:
    """`lock`: the descriptor of the pid file; `channel`: of the old apphbd's, None when none runs."""

    workers: tuple[FormerWorker, ...]
    lock: int
    channel: int | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        outputs = [descriptor for worker in self.workers for descriptor in worker.outputs]
        return (self.lock, *(() if self.channel is None else (self.channel,)), *outputs)


def to_text(handover: Handover) -> str:
    workers = [[worker.name, worker.pid, list(worker.outputs)] for worker in handover.workers]
    return json.dumps({"workers": workers, "lock": handover.lock, "channel": handover.channel})


def from_text(text: str) -> Handover:
    """Raises ValueError for anything that `to_text` has not written."""
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"more than {MAX_TEXT_BYTES} bytes")
    try:
        fields = json.loads(text)
        workers = tuple(
            FormerWorker(_name(name), _number(pid, least=2), tuple(map(_number, outputs)))
            for name, pid, outputs in fields["workers"]
        )
        channel = fields["channel"]
        return Handover(workers, _number(fields["lock"]), None if channel is None else _number(channel))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not what an rmd writes: {error}") from error


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no name")
    return value


def _number(value: object, *, least: int = 3) -> int:
    if type(value) is not int or not least <= value < 1 << 31:
        raise ValueError(f"{value!r} is not a number of at least {least}")
    return value


def rounds(workers: Sequence[FormerWorker]) -> list[tuple[FormerWorker, ...]]:
    """Who is ended together. heartbeat is the last, for the peers count the milliseconds of its silence; and apphbd,
    which replaces an rmd that fails meanwhile."""
    last = tuple(worker for worker in workers if worker.name in {APPHBD, HEARTBEAT})
    first = tuple(worker for worker in workers if worker not in last)
    return [together for together in (first, last) if together]
