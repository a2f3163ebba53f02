# SPDX-License-Identifier: GPL-2.0-or-later
"""What heartbeat knows: ha.cf, the cluster's keys, media, and the packets on the wire."""

from ha.heartbeat.model.authkeys import AuthKeys, AuthKeysError
from ha.heartbeat.model.authkeys import parse as parse_authkeys
from ha.heartbeat.model.ha_cf import PROFILES, ApiAuth, HaCf, HaCfError, Respawn, Times
from ha.heartbeat.model.ha_cf_parser import parse
from ha.heartbeat.model.medium import Medium

__all__ = [
    "PROFILES",
    "ApiAuth",
    "AuthKeys",
    "AuthKeysError",
    "HaCf",
    "HaCfError",
    "Medium",
    "Respawn",
    "Times",
    "parse",
    "parse_authkeys",
]
