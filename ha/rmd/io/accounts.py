# SPDX-License-Identifier: GPL-2.0-or-later
"""The users and groups that recoverymgrd.conf names. This asks the name service: not for rmd's loop."""

from __future__ import annotations

import grp
import os
import pwd

from ha.apphbd.model import ConfigError
from ha.rmd.model.recoverymgrd import Account, RecoveryAction, RecoveryStanza


def find_account(stanza: RecoveryStanza) -> RecoveryAction:
    """Raises ConfigError naming file, line and what is not there, or not allowed."""
    try:
        user = pwd.getpwnam(stanza.user)
    except KeyError:
        raise ConfigError(f"{stanza.where}: there is no user {stanza.user!r}") from None
    if _group(stanza.group, stanza) != user.pw_gid:
        raise ConfigError(f"{stanza.where}: {stanza.group} is not the primary group of {stanza.user}")
    if os.geteuid() not in {0, user.pw_uid}:
        raise ConfigError(f"{stanza.where}: only root may run {stanza.script} as {stanza.user}")
    account = Account(
        user=user.pw_name,
        uid=user.pw_uid,
        gid=user.pw_gid,
        groups=tuple(os.getgrouplist(user.pw_name, user.pw_gid)),
        home=user.pw_dir,
        shell=user.pw_shell,
    )
    uids = {user.pw_uid, 0} if stanza.uid is None else {_user(stanza.uid, stanza)}
    gid = None if stanza.gid is None else _group(stanza.gid, stanza)
    return RecoveryAction(stanza, account, frozenset(uids), gid)


def _user(name: str, stanza: RecoveryStanza) -> int:
    try:
        return int(name) if _is_number(name) else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError(f"{stanza.where}: there is no user {name!r}") from None


def _group(name: str, stanza: RecoveryStanza) -> int:
    try:
        return int(name) if _is_number(name) else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"{stanza.where}: there is no group {name!r}") from None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 11
