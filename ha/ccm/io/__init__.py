# SPDX-License-Identifier: GPL-2.0-or-later
"""What ccm touches: the register of a tie-breaker, in a shared folder or behind HTTP."""

from __future__ import annotations

from ha.ccm.io.folder import FolderRegister
from ha.ccm.io.http import HttpRegister
from ha.ccm.io.register import RegisterAdapter
from ha.heartbeat.model.tie_breaker import TieBreakerConfig
from ha.shell import Adapter


def for_tie_breaker(config: TieBreakerConfig) -> list[Adapter]:
    """The adapter that serves ReadRegister and WriteRegister; none for a ping node, which heartbeat watches."""
    match config.kind:
        case "ping":
            return []
        case "lease":
            return [RegisterAdapter(FolderRegister(config.target))]
        case "http":
            return [RegisterAdapter(HttpRegister(config.target, config.timeout_ms))]


__all__ = ["FolderRegister", "HttpRegister", "RegisterAdapter", "for_tie_breaker"]
