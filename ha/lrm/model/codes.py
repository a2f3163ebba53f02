# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit codes of agents. Source: OCF Resource Agent API 1.1; LSB 5.0, chapter 22.2."""

from __future__ import annotations

SUCCESS = 0
ERR_GENERIC = 1
ERR_ARGS = 2
ERR_UNIMPLEMENTED = 3
ERR_PERM = 4
ERR_INSTALLED = 5
ERR_CONFIGURED = 6
NOT_RUNNING = 7
RUNNING_PROMOTED = 8
FAILED_PROMOTED = 9
DEGRADED = 190
DEGRADED_PROMOTED = 191

NO_FAILURES = frozenset({SUCCESS, NOT_RUNNING, RUNNING_PROMOTED, DEGRADED, DEGRADED_PROMOTED})
"""Codes that are no failure of an operation whose expected code is not known."""
