# SPDX-License-Identifier: GPL-2.0-or-later
"""What a ccm keeps on stable storage, its schema and its limits."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ha.ccm.msg import Ended, Propose, View

STATE_NAME = "membership"
"""Name of the one durable record."""

STATE_LIMIT_BYTES = 1 << 20
"""A record over this was not written by us (256 members with evidence need about 150 KB)."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The durable record.

    `starts` counts the starts of this worker. `life` and `boot` are this node's own. No instance up to `promised` may
    be agreed to again; `promise` is the proposal that was agreed to last, until it is void. `view` is the view that is
    held, as it was told; `evicted`: there is none because it was lost. `base` is the latest view with quorum that was
    held in this life. `ended` are other nodes' lives known to be over.

    Two-node clusters only: `complete` says that both nodes were members together in this life, and that this one has
    had the other's CIB since, `last_man` that this node was the cluster alone and quorate, so it may form it alone
    again, which the other may not.
    """

    format: int = 1
    starts: int = 0
    life: str = ""
    boot: str = ""
    promised: int = 0
    promise: Propose | None = None
    view: View | None = None
    base: View | None = None
    evicted: bool = False
    ended: dict[str, Ended] = {}
    complete: bool = False
    last_man: bool = False


class StateError(ValueError):
    """The durable record cannot be read; says why."""


_decoder = msgspec.json.Decoder(State)


def encode(state: State) -> bytes:
    return msgspec.json.encode(state)


def decode(data: bytes) -> State:
    """The record in `data`. StateError when it is too long, not of our schema, or of a format we do not know."""
    if len(data) > STATE_LIMIT_BYTES:
        raise StateError(f"{len(data)} bytes, limit {STATE_LIMIT_BYTES}")
    try:
        state = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(str(error)) from error
    if state.format != 1:
        raise StateError(f"format {state.format}, we know 1")
    return state


def load(persisted: Mapping[str, bytes]) -> State:
    """The record among what earlier incarnations kept; a new one when there is none. StateError as `decode`."""
    data = persisted.get(STATE_NAME)
    if data is None:
        return State()
    state = decode(data)
    if state.base is None and state.view is not None and state.view.quorate:
        return msgspec.structs.replace(state, base=state.view)  # of a release that knew no tie-breakers
    return state
