# SPDX-License-Identifier: GPL-2.0-or-later
"""stonithd's hands: fence agents on disk, run under runners."""

from __future__ import annotations

from ha.stonith.io.agents import FenceAdapter

__all__ = ["FenceAdapter"]
