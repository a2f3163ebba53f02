# SPDX-License-Identifier: GPL-2.0-or-later
"""The long run: see the package's text."""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from pathlib import Path

from tests.fuzz.spoiling import chosen
from tests.fuzz.targets import TARGETS, Target, corpus

MAX_GROWTH_KB = 64 * 1024
"""Of the whole process, after the first tenth: parsers keep nothing of what they are given."""


class Found(Exception):
    """A parser did what it may not; the text says where its input is."""


def run(name: str, target: Target, examples: int, seed: int) -> str:
    """What happened, in a line. Raises Found."""
    chance, pieces = random.Random(f"{seed} {name}"), corpus(name)
    refused, slowest_s, warm_kb = 0, 0.0, 0
    began = time.monotonic()
    for number in range(examples):
        data = chosen(chance, pieces)
        start = time.monotonic()
        try:
            target.take(data)
        except target.refusals:
            refused += 1
        except Exception as error:
            path = Path(f"fuzz-{name}-{seed}-{number}")
            path.write_bytes(data)
            raise Found(f"{name}: {type(error).__name__}: {error}; its input is in {path}") from error
        slowest_s = max(slowest_s, time.monotonic() - start)
        if number == examples // 10:
            warm_kb = peak_kb()
    grown_kb = peak_kb() - warm_kb
    if grown_kb > MAX_GROWTH_KB:
        raise Found(f"{name}: the process grew by {grown_kb} kB")
    rate = examples / (time.monotonic() - began)
    return (
        f"{name:18} {examples:8} {rate:8.0f} a second   refused {100 * refused / examples:5.1f} %   "
        f"slowest {slowest_s * 1000:6.1f} ms   grew {grown_kb} kB"
    )


def peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="for each parser (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="may be repeated (default: all)")
    options = parser.parse_args()
    failed = False
    for name in options.target or TARGETS:
        try:
            print(run(name, TARGETS[name], options.examples, options.seed), flush=True)
        except Found as found:
            failed = True
            print(found, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
