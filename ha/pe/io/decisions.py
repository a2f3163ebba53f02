# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides in an I/O thread, so that the loop goes on beating, and keeps each input for crm_simulate."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ha import whole_file
from ha.pe.core import CibError
from ha.pe.io.collector import paused_collector
from ha.pe.io.kept_cib import KeptCib
from ha.pe.model.requests import Decide, Decided

if TYPE_CHECKING:
    from ha.root import Root
    from ha.shell import Loop

MAX_SAVED_INPUTS = 400
"""How many inputs are kept; the next one replaces the oldest."""

_NAME = re.compile(r"^pe-input-(\d+)\.xml$")


class DecisionAdapter:
    """Serves Decide. Inputs go to `folder` as pe-input-NUMBER.xml, with the date of the decision in the cib element.

    With a `root` the model is kept between decisions and follows its CIB by diffs; without, each decision begins from
    the text alone. The outcome is the same.
    """

    requests: tuple[type, ...] = (Decide,)

    def __init__(self, folder: Path, root: Root | None = None) -> None:
        self._folder = folder
        self._kept = KeptCib(root)
        self._next = 0

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        saved = [(path.stat().st_mtime_ns, path.name) for path in self._folder.iterdir() if _NAME.match(path.name)]
        if saved:
            match = _NAME.match(max(saved)[1])
            assert match is not None
            self._next = (int(match.group(1)) + 1) % MAX_SAVED_INPUTS

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, Decide)
        number, self._next = self._next, (self._next + 1) % MAX_SAVED_INPUTS
        self._loop.in_thread(operation, decide, request, self._folder / f"pe-input-{number}.xml", self._kept)

    def close(self) -> None:
        self._kept.close()


def decide(request: Decide, path: Path, kept: KeptCib) -> Decided:
    """Decides, and keeps the input whether or not that succeeds. A full disk costs the copy, not the decision."""
    began = time.monotonic_ns()
    saved_as = str(path)
    try:
        save(request, path)
    except OSError:
        saved_as = ""
    try:
        with paused_collector():
            decision = kept.schedule(request)
    except CibError as error:
        return Decided(error=str(error), saved_as=saved_as, took_ms=(time.monotonic_ns() - began) // 1_000_000)
    return Decided(
        graph=decision.graph_xml.decode(),
        saved_as=saved_as,
        recheck_at_s=decision.recheck_at_s or 0,
        took_ms=(time.monotonic_ns() - began) // 1_000_000,
    )


def save(request: Decide, path: Path) -> None:
    """Writes the CIB with its execution-date, in one piece."""
    text = request.cib_xml
    start = text.find(b"<cib")
    if start >= 0 and b"execution-date=" not in text[start : text.find(b">", start)]:
        at = start + len(b"<cib")
        text = text[:at] + f' execution-date="{request.now_s}"'.encode() + text[at:]
    whole_file.replace(path, text, mode=0o640, durable=False)
