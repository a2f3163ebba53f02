# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy engine's machine asks its adapter to do, and what comes back."""

from __future__ import annotations

import msgspec


class Decide(msgspec.Struct, frozen=True):
    """A request to `Execute`: decide on a CIB, and keep the input for replay. Outcome: Decided.

    `now_s` is the wall clock in seconds since the epoch. `generation` is the one published in shared memory as this
    text, so that the adapter may come to it by diffs; 0 for a text from elsewhere.
    """

    cib_xml: bytes
    now_s: int
    generation: int = 0


class Decided(msgspec.Struct, frozen=True):
    """The decision on one CIB, or the `error` that made it impossible. `recheck_at_s` 0 means never."""

    graph: str = ""
    error: str = ""
    saved_as: str = ""
    recheck_at_s: int = 0
    took_ms: int = 0
