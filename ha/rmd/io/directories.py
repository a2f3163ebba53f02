# SPDX-License-Identifier: GPL-2.0-or-later
"""The node's directories, made with their owners, and the stanzas' place."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from ha.ipc.credentials import CLUSTER_GROUP, CLUSTER_USER
from ha.root import Root, shipped

STACKS = "stacks"
"""Below the run directory: where workers dump their stacks when they are late."""

MAX_HA_CF_BYTES = 1024 * 1024

_UNSAFE = frozenset(" \t\n;#%,'\"")
"""Characters that supervisor's configuration would read as its own."""


class DirectoryError(Exception):
    """The root cannot be used; the text names the directory and the remedy."""


def cluster_owner(root: Root) -> tuple[int, int] | None:
    """(uid, gid) of hacluster:haclient for the machine's own node, if we are root and both exist; else all is ours."""
    if os.geteuid() != 0 or root.prefix:
        return None
    try:
        return pwd.getpwnam(CLUSTER_USER).pw_uid, grp.getgrnam(CLUSTER_GROUP).gr_gid
    except KeyError:
        return None


def prepare(root: Root) -> None:
    """Raises DirectoryError."""
    if _UNSAFE & set(root.prefix):
        raise DirectoryError(f"root directory {root.prefix!r}: blanks, quotes and any of ; # % , cannot be used in it")
    owner = cluster_owner(root)
    wanted = (
        (root.run_dir, 0o751),  # programs of any user pass it on their way to apphb.comm
        (root.run_dir / STACKS, 0o750),
        (root.state_dir, 0o750),
        (root.cib_dir, 0o750),
        (root.log_dir, 0o750),
    )
    for path, mode in wanted:
        try:
            new = not path.exists()
            path.mkdir(mode=mode, parents=True, exist_ok=True)
            if new:
                path.chmod(mode)  # whatever the umask was
            if owner and (path.stat().st_uid, path.stat().st_gid) != owner:
                os.chown(path, *owner)
        except OSError as error:
            who = pwd.getpwuid(os.geteuid()).pw_name
            raise DirectoryError(
                f"{path} cannot be made or used by {who}: {error.strerror}; "
                "run rmd as root, or give --root a directory of your own"
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise DirectoryError(f"{path} is not writable: run rmd as its owner, or give --root another directory")


def haresources_mode(root: Root) -> bool:
    """No CRM: there is a haresources file, and ha.cf turns the CRM off or does not name it, as in Heartbeat 3.0.6.

    A mistake in ha.cf is told by the heartbeat worker. Nothing is read but the one directive.
    """
    if not (root.config_dir / "haresources").is_file():
        return False
    try:
        with root.ha_cf.open("rb") as file:
            lines = file.read(MAX_HA_CF_BYTES).decode("utf-8", "replace").split("\n")
    except OSError:
        return False
    words = [line.split("#", 1)[0].split() for line in lines]
    modes = [line[1].lower() for line in words if len(line) > 1 and line[0] in ("crm", "pacemaker")]
    return not modes or modes[0] in ("off", "no", "false", "n", "0")


def stanzas(root: Root) -> Path:
    """The node's own supervisor.d if it has one, else the one that comes with the program, with a CRM or without.

    Raises DirectoryError.
    """
    ours = shipped("supervisor.d")
    candidates = (root.supervisor_dir, ours / "haresources" if haresources_mode(root) else ours)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise DirectoryError(f"no supervisor.d found: looked in {', '.join(map(str, candidates))}")
