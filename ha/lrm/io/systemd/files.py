# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bus is, and the drop-ins on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ha.lrm.model.units import DROP_IN_NAME
from ha.root import Root

ADDRESS_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
STANDARD_SOCKET = "/run/dbus/system_bus_socket"
SYSTEMD_BOOTED = "/run/systemd/system"


def bus_address(root: Root, environment: Mapping[str, str] = os.environ) -> str | None:
    """The path of the system bus's socket ("\\0name" for an abstract one); None when there is to be none.

    There is none where systemd is not the machine's init (sd_booted(3)), and for a node under a root of its own, for
    the machine's units are the machine's alone, unless the variable names one. Raises ValueError for an
    address that is no unix socket.
    """
    address = environment.get(ADDRESS_VARIABLE, "")
    if not address:
        return STANDARD_SOCKET if not root.prefix and Path(SYSTEMD_BOOTED).is_dir() else None
    for entry in address.split(";"):
        kind, _, rest = entry.partition(":")
        fields = dict(field.partition("=")[::2] for field in rest.split(","))
        if kind == "unix" and fields.get("path"):
            return fields["path"]
        if kind == "unix" and fields.get("abstract"):
            return "\0" + fields["abstract"]
    raise ValueError(f"{ADDRESS_VARIABLE}={address!r} names no unix socket by path or abstract")


def set_drop_in(directory: Path, unit: str, text: str | None) -> bool:
    """Write or remove the unit's drop-in; whether anything changed. Raises OSError."""
    folder = directory / f"{unit}.d"
    path = folder / DROP_IN_NAME
    try:
        known = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = None
    if known == text:
        return False
    if text is None:
        path.unlink()
        if not any(folder.iterdir()):
            shutil.rmtree(folder)
        return True
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = path.with_name(f".{DROP_IN_NAME}-{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(0o644)
    scratch.rename(path)
    return True
