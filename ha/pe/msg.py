# SPDX-License-Identifier: GPL-2.0-or-later
"""What the crmd asks the policy engine. PE speaks to nobody else."""

from __future__ import annotations

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"pe.{name}"):
    """Base of PE's messages."""


class Schedule(Message, frozen=True, kw_only=True):
    """Decide on the CIB published as `generation` (read from shared memory). `now_s` is Unix time for date rules.

    Answered by Scheduled. A newer request makes an older one, still unanswered, void.
    """

    request_id: int
    generation: int
    now_s: int


class Scheduled(Message, frozen=True, kw_only=True):
    """The decision: a transition graph in Pacemaker's XML form, empty of synapses when nothing is to be done.

    `error` is set instead when the CIB cannot be scheduled, or the generation was gone.
    `saved_as` names the file in which the input was kept for replay; `recheck_at_s` is when time alone changes the
    decision (0: never).
    """

    request_id: int
    generation: int
    graph: str = ""
    error: str = ""
    saved_as: str = ""
    recheck_at_s: int = 0
    took_ms: int = 0
