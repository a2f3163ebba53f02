# SPDX-License-Identifier: GPL-2.0-or-later
"""The lease as it is kept for the successors of rmd and apphbd, in the run directory, which no reboot outlives.

A pair of processes that forgot it would pet the watchdog of a node that has to die. Written by rmd at every renewal.
"""

from __future__ import annotations

from pathlib import Path

from ha import whole_file
from ha.machine import Instant
from ha.root import Root

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_BYTES = 256


class LeaseFileError(ValueError):
    """It cannot be read; the text says why."""


def path(root: Root) -> Path:
    return root.run_dir / "watchdog-lease"


def keep(root: Root, until: Instant | None) -> None:
    """None: no lease is in force. Raises OSError."""
    if until is None:
        path(root).unlink(missing_ok=True)
    else:
        whole_file.replace(path(root), f"{BOOT_ID.read_text().strip()} {until}\n".encode(), durable=False)


def load(root: Root) -> Instant | None:
    """None when none is in force, or it is of another life of the machine. Raises LeaseFileError."""
    try:
        with path(root).open("rb") as file:
            words = file.read(MAX_BYTES).decode("ascii", "replace").split()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LeaseFileError(f"{path(root)}: {error.strerror}") from error
    if len(words) != 2 or not words[1].isdigit() or len(words[1]) > 18:
        raise LeaseFileError(f"{path(root)}: this is no lease of ours")
    return int(words[1]) if words[0] == BOOT_ID.read_text().strip() else None
