# SPDX-License-Identifier: GPL-2.0-or-later
"""The LRM's hands: agents on disk, run under runners."""

from __future__ import annotations

from ha.lrm.io.agents import AgentAdapter

__all__ = ["AgentAdapter"]
