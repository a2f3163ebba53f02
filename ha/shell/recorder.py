# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes down what a machine was given and what it wanted (`ha.recording`), when HA_RECORD names a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ha import recording
from ha.machine import Effect, Event, Instant

MAX_RECORDING_BYTES = 1024 * 1024 * 1024
"""A recording that grows beyond this ends there: it is for a test or an incident, not for a life."""


class Recorder:
    """One file per worker process: NODE-WORKER-PID.recording."""

    def __init__(self, folder: Path, worker: str, node: str, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The settings hold what the worker knows, the cluster's keys among them: nobody else may read them.
        path = folder / f"{node}-{worker}-{os.getpid()}.recording"
        self._file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb", buffering=0)  # noqa: SIM115
        self._left = MAX_RECORDING_BYTES
        self._write(recording.frame(recording.Header(worker, node, dict(settings))))

    @classmethod
    def if_wanted(cls, worker: str, node: str, settings: Mapping[str, Any]) -> Recorder | None:
        folder = os.environ.get("HA_RECORD")
        return cls(Path(folder), worker, node, settings) if folder else None

    def step(self, now: Instant, event: Event, effects: list[Effect]) -> None:
        self._write(recording.frame(recording.Step(now, event, effects)))

    def _write(self, frame: bytes) -> None:
        self._left -= len(frame)
        if self._left >= 0:
            self._file.write(frame)
