# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the configuration of a node from its root directory."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from ha.heartbeat.model.api import DEFAULT_APIAUTH
from ha.heartbeat.model.authkeys import FORBIDDEN_MODE, MAX_AUTHKEYS_BYTES, AuthKeys, AuthKeysError
from ha.heartbeat.model.authkeys import parse as parse_authkeys
from ha.heartbeat.model.ha_cf import MAX_HA_CF_BYTES, ApiAuth, HaCf, HaCfError
from ha.heartbeat.model.ha_cf_parser import parse
from ha.root import Root

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def load(root: Root) -> HaCf:
    """The node's ha.cf. Raises HaCfError naming file and line, also when there is no such file."""
    path = root.ha_cf
    try:
        with path.open("rb") as file:
            data = file.read(MAX_HA_CF_BYTES + 1)
    except OSError as error:
        raise HaCfError((f"{path}: {error.strerror}",)) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise HaCfError((f"{path}:{line}: not UTF-8",)) from error
    return parse(text, str(path))


def load_as_member(root: Root) -> HaCf:
    """The node's ha.cf, in which this very node must be named. Raises HaCfError."""
    ha_cf, node = load(root), root.node_name()
    if node not in ha_cf.nodes:
        raise HaCfError((f"{root.ha_cf}: this node, {node}, is not among its nodes: {' '.join(ha_cf.nodes)}",))
    return ha_cf


def load_authkeys(root: Root) -> AuthKeys:
    """The cluster's keys. Raises AuthKeysError, also when group or others may use the file."""
    path = root.authkeys
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_AUTHKEYS_BYTES + 1)
    except OSError as error:
        raise AuthKeysError(f"{path}: {error.strerror}") from error
    if mode & FORBIDDEN_MODE:
        raise AuthKeysError(f"{path}: mode {mode:04o} lets others at the keys: chmod 600 {path}")
    try:
        return parse_authkeys(data.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise AuthKeysError(f"{path}: not UTF-8") from error


def boot_id(root: Root) -> str:
    """What changes with each boot of the node.

    A node that lives below a root directory of its own may be "booted" without its machine: whoever powers it on
    (the playground) writes a new one to run/heartbeat/boot_id. Otherwise it is the kernel's.
    """
    path = root.run_dir / "boot_id"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return BOOT_ID.read_text(encoding="ascii").strip()


def numeric_apiauth(rules: Mapping[str, ApiAuth]) -> dict[str, ApiAuth]:
    """The defaults and ha.cf's rules with users and groups as numbers.

    Members of a group are listed as users, because the kernel tells of a peer only its first group. Names that this
    machine does not know give nobody a right. Whoever runs this node is added to the defaults.
    """
    own = str(os.geteuid())
    numeric = {name: _numeric(rule) for name, rule in DEFAULT_APIAUTH.items()}
    numeric = {name: ApiAuth((*rule.uids, own), rule.gids) for name, rule in numeric.items()}
    return numeric | {name: _numeric(rule) for name, rule in rules.items()}


def _numeric(rule: ApiAuth) -> ApiAuth:
    uids, gids = [], []
    for name in rule.uids:
        if name.isdigit():
            uids.append(name)
        elif (uid := _uid(name)) is not None:
            uids.append(uid)
    for name in rule.gids:
        try:
            entry = grp.getgrgid(int(name)) if name.isdigit() else grp.getgrnam(name)
        except KeyError:
            gids += [name] if name.isdigit() else []
            continue
        gids.append(str(entry.gr_gid))
        uids += [uid for member in entry.gr_mem if (uid := _uid(member)) is not None]
    return ApiAuth(tuple(uids), tuple(gids))


def _uid(name: str) -> str | None:
    try:
        return str(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return None
