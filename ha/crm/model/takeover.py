# SPDX-License-Identifier: GPL-2.0-or-later
"""How much later than its peers a node that is cut off may know of it; docs/timing.md."""

from __future__ import annotations

SKEW_DEADTIMES = 2
"""The cut-off node notices at most one deadtime later than its peers, and ccm there needs a moment: twice is enough."""

HUNG_WORKER_MS = 1_500
"""One of the cut-off node's workers may hang just then: its deadline of a second, then its successor's start and what
it has to read and to be told again (half a second: 60 to 250 ms were measured, on a busy machine more)."""
