# SPDX-License-Identifier: GPL-2.0-or-later
"""One worker alone in the foreground, to look at it: python -m ha.shell ha.cib.daemon:main --root DIR."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from ha.root import Root, RootError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ha.shell", description=__doc__)
    parser.add_argument("worker", metavar="MODULE:FUNCTION", help="as in the worker's stanza: ha.cib.daemon:main")
    parser.add_argument("--root", help="the node's root directory (default: HA_ROOT, else the machine's own)")
    options = parser.parse_args()
    module, _, function = options.worker.partition(":")
    os.environ.setdefault("HA_LOG_STDERR", "1")
    try:
        entry = getattr(importlib.import_module(module), function or "main")
        root = Root.choose(options.root)
    except (ImportError, AttributeError, RootError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 64
    status: int = entry(root)
    return status


if __name__ == "__main__":
    sys.exit(main())
