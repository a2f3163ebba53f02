# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the benchmarks of this folder: python -m tests.bench [NAME ...]. Without names, all that need no lab."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NEED_THE_LAB = {"failover", "lab_stack"}


def names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules([str(HERE)]) if not m.name.startswith("_"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"one of: {' '.join(names())}")
    chosen = parser.parse_args().name or [name for name in names() if name not in NEED_THE_LAB]
    failed = []
    for name in chosen:
        if name not in names():
            parser.error(f"there is no benchmark {name!r}")
        text = (importlib.import_module(f"tests.bench.{name}").__doc__ or "").splitlines()[0]
        print(f"== {name}: {text}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
