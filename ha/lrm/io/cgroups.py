# SPDX-License-Identifier: GPL-2.0-or-later
"""A control group for each resource (cgroup v2), so that its processes are known however they daemonise.

    MOUNT / OWN GROUP / ha-NODE-ROOT / RESOURCE

Below the group that lrmd itself is in: the unit delegates that tree to us (Delegate=yes). No controller is used, only
membership. Where the tree cannot be written, resources have no groups, and their processes are known by the marks that
their agents' environment carried (see `ha.lrm.io.members`).

Source: cgroups(7) and the kernel's cgroup-v2 documentation.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from ha.root import Root

MAX_NAME_LENGTH = 200
SWITCH = "HA_CGROUPS"
"""In lrmd's environment: "no" leaves resources without control groups."""


class Cgroups:
    """`directory` is where the resources' groups are, None when there are none; `why_not` then says why."""

    def __init__(self, root: Root, node: str) -> None:
        self.why_not = ""
        self.directory: Path | None = None
        if os.environ.get(SWITCH, "yes") == "no":
            self.why_not = f"{SWITCH}=no"
            return
        try:
            own = own_group()
            tag = hashlib.sha256(root.prefix.encode()).hexdigest()[:8]
            directory = own / f"ha-{node}-{tag}"
            directory.mkdir(exist_ok=True)
            with open(directory / "cgroup.procs", "r+b", buffering=0):
                self.directory = directory
        except OSError as error:
            self.why_not = f"{error.filename or 'cgroup v2'}: {error.strerror}"
        if self.directory is not None:
            self._sweep(self.directory)

    def make(self, resource_id: str) -> str:
        """The directory of the resource's group, made when missing; "" when it can have none."""
        if self.directory is None:
            return ""
        path = self.directory / _name(resource_id)
        try:
            path.mkdir(exist_ok=True)
        except OSError:  # the tree was taken from us; the marks remain
            return ""
        return str(path)

    def members(self, resource_id: str) -> set[int]:
        if self.directory is None:
            return set()
        try:
            text = (self.directory / _name(resource_id) / "cgroup.procs").read_text(encoding="ascii")
        except OSError:
            return set()
        return {int(line) for line in text.split() if line != "0"}  # 0: of a namespace that we do not see

    def kill(self, resource_id: str) -> None:
        """SIGKILL to all members in one stroke, against which no fork helps (since Linux 5.14)."""
        if self.directory is not None:
            with contextlib.suppress(FileNotFoundError):
                (self.directory / _name(resource_id) / "cgroup.kill").write_text("1", encoding="ascii")

    def close(self) -> None:
        """What is empty goes; the rest stays with the resources that run on."""
        if self.directory is not None:
            self._sweep(self.directory)
            with contextlib.suppress(OSError):
                self.directory.rmdir()

    def _sweep(self, directory: Path) -> None:
        """Groups without members are of no use; those with members cannot be removed, and are not."""
        for path in sorted(directory.iterdir()):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()


def own_group() -> Path:
    """The directory of this process's group in the unified hierarchy. Raises OSError when none is mounted."""
    mount = next(
        (fields[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
         if "cgroup2" in (fields := line.split())[fields.index("-") + 1 :]), None,
    )  # fmt: skip
    if mount is None:
        raise FileNotFoundError(2, "is not mounted", "cgroup v2")
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            return Path(mount) / os.path.relpath(line[3:], "/")
    raise FileNotFoundError(2, "names no group of ours", "cgroup v2")


def _name(resource_id: str) -> str:
    """A directory's name that no file of the kernel's has, for those hold a dot."""
    return "r-" + quote(resource_id, safe="").replace(".", "%2E")[:MAX_NAME_LENGTH]
