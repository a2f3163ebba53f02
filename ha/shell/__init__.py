# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one Machine as a process: owns its time, sockets, timers, durable data and log.

loop      one turn: wait, gather events, step the machine, carry out effects, beat
links     unix-socket links to other workers and to programs
durable   Persist: data safe on disk before any later effect
journal   Note: lines to logd, never waited for
beats     the beat to apphbd, from the loop itself
adapters  what an io adapter must offer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ha.machine import Machine
from ha.root import Root
from ha.shell.adapters import Adapter, MediumAdapter
from ha.shell.beats import PROFILE_BEATS, BeatTimes
from ha.shell.loop import Loop

__all__ = ["PROFILE_BEATS", "Adapter", "BeatTimes", "Loop", "MediumAdapter", "run_worker"]


def run_worker(
    worker: str,
    machine: Machine,
    *,
    root: Root,
    adapters: Sequence[Adapter] = (),
    beat: BeatTimes | None = None,
    settings: Mapping[str, Any] | None = None,
) -> int:
    """Run until SIGTERM; returns the exit status. A failed assertion or unforeseen exception ends the process.

    `settings` are what the machine was built from: a recording (HA_RECORD) begins with them, to be replayed by.
    """
    return Loop(worker, machine, root=root, adapters=adapters, beat=beat or BeatTimes(), settings=settings or {}).run()
