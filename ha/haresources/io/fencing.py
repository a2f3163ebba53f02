# SPDX-License-Identifier: GPL-2.0-or-later
"""The stonith_host lines of ha.cf: Linux-HA plug-ins, by the program `stonith` of cluster-glue."""

from __future__ import annotations

import shutil
import subprocess

from ha.haresources.model.execution import FenceEnd, FencePeer
from ha.shell import Loop

PROGRAM = "stonith"
TIMEOUT_S = 60
MAX_TOLD = 400


class StonithAdapter:
    requests: tuple[type, ...] = (FencePeer,)

    def open(self, loop: Loop) -> None:
        self._loop = loop

    def close(self) -> None:
        """Nothing is kept open."""

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, FencePeer)
        self._loop.in_thread(operation, fence, request)


def fence(request: FencePeer) -> FenceEnd:
    """Reset the node and wait for the program's word."""
    program = shutil.which(PROGRAM)
    if program is None:
        return FenceEnd(False, f"there is no program {PROGRAM} (package cluster-glue)")
    device = request.device
    words = [program, "-t", device.plugin, "-p", device.parameters, "-T", "reset", request.node]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, errors="replace")
    except subprocess.TimeoutExpired:
        return FenceEnd(False, f"{device.plugin} was not done in {TIMEOUT_S} s")
    except (OSError, ValueError) as error:
        return FenceEnd(False, str(error))
    said = (done.stderr or done.stdout).strip()[-MAX_TOLD:]
    return FenceEnd(done.returncode == 0, said or f"exit code {done.returncode}")
