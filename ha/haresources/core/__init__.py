# SPDX-License-Identifier: GPL-2.0-or-later
"""What haresources mode decides: which of two nodes runs which groups.

machine        the Machine: dispatches events
conversation   what the two nodes say to each other about who holds what
lost_peer      when what a lost node held may be started here (P1)
work           scripts of groups, one after the other
"""

from __future__ import annotations

from ha.haresources.core.machine import HaresourcesMachine
from ha.haresources.core.settings import Settings
from ha.machine import Machine


def build(*, settings: Settings) -> Machine:
    return HaresourcesMachine(settings)


__all__ = ["Settings", "build"]
