# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker is built from."""

from __future__ import annotations

from dataclasses import dataclass

from ha.haresources.model.execution import FenceDevice
from ha.haresources.model.haresources import Haresources


@dataclass(frozen=True, slots=True)
class Settings:
    """`peer` is the other node's name; `unfenced_takeover_ms` how long after its loss, unfenced, what it held is
    started here: -1 never. `boot_id` changes with each boot of the node."""

    node: str
    peer: str
    haresources: Haresources
    boot_id: str
    auto_failback: bool = False
    devices: tuple[FenceDevice, ...] = ()
    unfenced_takeover_ms: int = -1
