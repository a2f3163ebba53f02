# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine's hands: deciding apart from the loop, and keeping every input for replay."""

from __future__ import annotations

from ha.pe.io.decisions import DecisionAdapter

__all__ = ["DecisionAdapter"]
