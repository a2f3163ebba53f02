# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd over D-Bus, without a thread and without waiting: see `bus` and, for what is said, `ha.lrm.core.units`.

Imported when the first resource of class systemd or service is seen: a node without any never loads the library.
"""

from __future__ import annotations

from ha.lrm.io.systemd.bus import Answer, BusFailure, SystemBus
from ha.lrm.io.systemd.files import bus_address

__all__ = ["Answer", "BusFailure", "SystemBus", "bus_address"]
