# SPDX-License-Identifier: GPL-2.0-or-later
"""The first process of a playground's node, as init is of a machine: starts rmd, adopts orphans, reaps the dead.

Every process of the node descends from it, however it detached itself: it is a child subreaper (prctl(2),
PR_SET_CHILD_SUBREAPER), so the power supply can find them all. It ends when the last of them has ended.
"""

from __future__ import annotations

import ctypes
import os
import sys

from ha.root import Root

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Orphans below this process become its children."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def main(folder: str) -> int:
    root = Root.choose(folder)
    become_subreaper()
    os.environ["HA_ROOT"] = root.prefix
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "/usr/bin:/bin")
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-m", "ha.rmd", "--root", root.prefix, "--foreground"])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
