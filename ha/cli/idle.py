# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting until the cluster has nothing left to do."""

from __future__ import annotations

import contextlib
import time

from ha.cib.msg import Answer, Query
from ha.crm.msg import GetState, State
from ha.ipc.client import Connection, NotConnected, TimedOut
from ha.root import Root

PROGRAM = "wait"
EVERY_S = 0.01
ASK_TIMEOUT_MS = 5_000


def await_idle(root: Root, deadline: float) -> bool:
    """Whether the DC became idle, with the CIB as it is now taken into account, before `deadline` (time.monotonic()).

    Raises NotConnected when the cluster does not run on this node.
    """
    with Connection.open(root, "cib", program=PROGRAM) as cib:
        answer = cib.ask(Query(request_id=cib.new_request_id(), xpath="/cib", no_children=True), ASK_TIMEOUT_MS)
    wanted = answer.version if isinstance(answer, Answer) else None
    while True:
        with contextlib.suppress(TimedOut), Connection.open(root, "crmd", program=PROGRAM) as crmd:
            while time.monotonic() < deadline:
                state = crmd.ask(GetState(request_id=crmd.new_request_id(), node="dc"), ASK_TIMEOUT_MS)
                if isinstance(state, State) and state.idle and (wanted is None or _reached(state, wanted)):
                    return True
                time.sleep(EVERY_S)
        if time.monotonic() >= deadline:
            return False
        with contextlib.suppress(NotConnected):
            time.sleep(EVERY_S)


def _reached(state: State, wanted: object) -> bool:
    return state.version is not None and state.version >= wanted  # type: ignore[operator]
