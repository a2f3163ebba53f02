# SPDX-License-Identifier: GPL-2.0-or-later
"""What heartbeat touches: configuration files, the network, the register socket, the scheduler."""

from ha.heartbeat.io.config import load, load_as_member, load_authkeys

__all__ = ["load", "load_as_member", "load_authkeys"]
