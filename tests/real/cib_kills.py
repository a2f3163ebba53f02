# SPDX-License-Identifier: GPL-2.0-or-later
"""Writers of the CIB are killed at any instruction: python -m tests.real.cib_kills --kills 20000

Three writers share one CIB in shared memory, its lock and its segments; each has files of its own, and acknowledges
what it has appended or folded into a checkpoint. One after the other is killed, wherever it is just then, its start
included. Checked at each kill: the others and the next writer go on (no dead lock), what readers get is whole and of
one version (no torn read), and the next writer finds in its files all that was acknowledged (no lost write).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import signal
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from ha.cib.io.files import CibFiles
from ha.cib.io.publisher import Publisher, purge
from ha.cib.io.reader import CibReader
from ha.cib.model.store import CheckpointCib
from ha.cib.msg import CibCopy, Version
from ha.root import Root
from tests.real.cib_writer import content, request_for

WRITERS = 3
CHECKPOINT_EVERY = 40
PATIENCE_S = 60.0
_WORD = struct.Struct("<Q")
_STARTED, _ACKNOWLEDGED = 1 << 62, 1 << 61


@dataclass
class Writer:
    """A forked process. `told` is the last number that it, or the one before it, has acknowledged."""

    folder: Path
    pid: int = 0
    pipe: int = -1
    told: int = 0
    half: bytes = b""


@dataclass
class Tally:
    kills: int = 0
    reads: int = 0
    starts: int = 0
    acknowledged: int = 0
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        return self.torn + self.lost + self.stuck

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.starts} starts told of, {self.acknowledged} writes acknowledged,"
            f" {self.reads} reads: {len(self.stuck)} dead locks, {len(self.torn)} torn reads,"
            f" {len(self.lost)} lost acknowledged writes"
        )


def write(root: Root, folder: Path, pipe: int) -> None:
    """The life of a writer: number after number into its files, one generation after the other into shared memory."""
    files = CibFiles(folder)
    number = newest(files)
    os.write(pipe, _WORD.pack(_STARTED | number))
    publisher = Publisher(root)
    while True:
        number += 1
        if number % CHECKPOINT_EVERY == 0:
            xml = b'<cib admin_epoch="0" epoch="%d" num_updates="0"/>' % number
            files.checkpoint(CheckpointCib(xml, (), Version(0, number, 0), backup=number % 80 == 0))
        else:
            files.append((_WORD.pack(number),), durable=number % 16 == 0)
        os.write(pipe, _WORD.pack(_ACKNOWLEDGED | number))
        publisher.publish_next(request_for)


def newest(files: CibFiles) -> int:
    """The last number that the files hold."""
    xml, records, _ = files.load()
    epoch = re.search(rb' epoch="(\d+)"', xml)
    return max([int(epoch[1]) if epoch else 0, *(_WORD.unpack(record)[0] for record in records)])


def start(root: Root, writer: Writer) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            write(root, writer.folder, writing)
        finally:
            os._exit(70)
    os.close(writing)
    os.set_blocking(reading, False)
    writer.pid, writer.pipe, writer.half = pid, reading, b""


def hear(writer: Writer, tally: Tally) -> None:
    """Take what the writer has told; of a dead one, to the end."""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(writer.pipe, 1 << 16):
            data = writer.half + data
            whole = len(data) // _WORD.size * _WORD.size
            writer.half = data[whole:]
            for (word,) in _WORD.iter_unpack(data[:whole]):
                number = word & (_ACKNOWLEDGED - 1)
                if word & _STARTED:
                    tally.starts += 1
                    if number < writer.told:
                        tally.lost.append(f"{writer.folder.name} found {number}, and {writer.told} was acknowledged")
                else:
                    tally.acknowledged += 1
                writer.told = number


def look(reader: CibReader, tally: Tally) -> None:
    found = reader.read()
    tally.reads += 1
    if isinstance(found, CibCopy) and found.xml != content(found.generation):
        tally.torn.append(f"generation {found.generation} is torn")


def kill_many(root: Root, folder: Path, kills: int, seed: int) -> Tally:
    chance, tally = Random(seed), Tally()
    writers = [Writer(folder / f"w{number}") for number in range(WRITERS)]
    reader = CibReader(root)
    for writer in writers:
        start(root, writer)
    try:
        while tally.kills < kills and not tally.stuck:
            before, deadline = reader.generation(), time.monotonic() + PATIENCE_S
            select.select([], [], [], chance.random() * chance.choice((0.0005, 0.003, 0.01)))
            look(reader, tally)
            victim = chance.choice(writers)
            os.kill(victim.pid, signal.SIGKILL)
            _, status = os.waitpid(victim.pid, 0)
            assert os.WIFSIGNALED(status), f"a writer ended by itself with status {status}"
            tally.kills += 1
            hear(victim, tally)
            os.close(victim.pipe)
            start(root, victim)
            while tally.kills % 16 == 0 and reader.generation() <= before:
                look(reader, tally)
                for writer in writers:
                    hear(writer, tally)
                if time.monotonic() > deadline:
                    tally.stuck.append(f"nothing was published in {PATIENCE_S} s after kill {tally.kills}")
                    break
            for writer in writers:
                hear(writer, tally)
    finally:
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            os.waitpid(writer.pid, 0)
            os.close(writer.pipe)
        reader.close()
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ha-kills-") as place:
        root = Root(place)
        root.run_dir.mkdir(parents=True)
        try:
            tally = kill_many(root, Path(place), arguments.kills, arguments.seed)
        finally:
            purge(root)
    print(tally)
    print("\n".join(tally.faults()[:20]))
    return 1 if tally.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
