# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishes CIBs as fast as it can, to be killed at any instruction: python -m tests.real.cib_writer ROOT."""

from __future__ import annotations

import itertools
import sys

from ha.cib.io.publisher import Publisher
from ha.cib.model.store import PublishCib
from ha.cib.msg import Version
from ha.root import Root

SIZES = (100, 5_000, 60_000)


def content(generation: int) -> bytes:
    """Bytes that tell which generation they are of, all the way through."""
    word = b"%012d " % generation
    return word * (SIZES[generation % len(SIZES)] // len(word) + 1)


def main() -> None:
    publisher = Publisher(Root(sys.argv[1]))
    print("ready", flush=True)
    for _ in itertools.count():
        publisher.publish_next(request_for)


def request_for(generation: int) -> PublishCib:
    data = content(generation)
    half = len(data) // 2
    parts, version = (data[:half], data[half:]), Version(0, 0, generation)
    return PublishCib(generation, version, f"{generation:032d}", parts, (b"diff",))


if __name__ == "__main__":
    main()
