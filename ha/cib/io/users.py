# SPDX-License-Identifier: GPL-2.0-or-later
"""Names and groups of the users who ask. Source: getpwuid(3), getgrouplist(3)."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd

from ha.cib.model.acl import User
from ha.cib.model.store import FindUser
from ha.ipc.credentials import CLUSTER_USER, Peer, trusted_as_worker


def find_user(request: FindUser) -> User:
    """Whose rights `request` has. A uid without a name is called by its number. Raises OSError."""
    own = _name_of(request.uid)
    privileged = trusted_as_worker(Peer(0, request.uid, request.gid))
    if privileged and request.wanted in ("", own, "root", CLUSTER_USER):
        return User(request.wanted, privileged=True)
    if privileged:
        return User(request.wanted, _groups_of(request.wanted, None))
    return User(own, _groups_of(own, request.gid))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups_of(name: str, gid: int | None) -> tuple[str, ...]:
    """Of a user that the system does not know, the group that the kernel tells, if any."""
    try:
        primary = pwd.getpwnam(name).pw_gid
        gids = os.getgrouplist(name, primary)
    except KeyError:
        gids = []
    found: dict[str, None] = {}
    for number in [*([] if gid is None else [gid]), *gids]:
        with contextlib.suppress(KeyError):
            found[grp.getgrgid(number).gr_name] = None
    return tuple(found)
