# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts between any two system calls of the cib's files: python -m tests.unit.cib.power --cuts 5000

A node's core writes through the real `CibFiles` into a real folder, and every call that changes it is recorded. A cut
is a place in that record and a disk that POSIX allows to be found there:

* what was written to a file since its last fsync is there or not, each write by itself, the last of them torn;
* names that were made, replaced or removed since the folder's last fsync are so or not, each by itself.

A core that starts from such a disk must have every configuration that was acknowledged before the cut.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from ha import whole_file
from ha.cib.core.machine import Cib
from ha.cib.io import files
from ha.cib.io.files import CibFiles
from ha.cib.model.store import AppendRecords, CheckpointCib, KeepDropped, LoadCib, LoadedCib
from ha.cib.msg import Written
from ha.machine import Effect, Reply
from tests.unit.cib.world import Node, World


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that happened: `kind` names the system call, or is "acknowledged"."""

    kind: str
    name: str = ""
    inode: int = -1
    to: str = ""
    at: int = 0
    data: bytes = b""


@dataclass
class RecordingOs:
    """Stands in for the module `os` in ha.cib.io.files and ha.whole_file: does the same, and keeps a record of it."""

    folder: Path
    calls: list[Call] = field(default_factory=list)
    _inodes: dict[int, int] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)
    _made: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _name(self, path: str | os.PathLike[str]) -> str:
        assert Path(path).parent == self.folder, f"{path} is written, and is not in {self.folder}"
        return Path(path).name

    def open(self, path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        if flags & os.O_DIRECTORY:
            self._inodes[descriptor] = -1
            return descriptor
        name = self._name(path)
        if name not in self._names:
            self._made += 1
            self._names[name] = self._made
            self.calls.append(Call("create", name, self._made))
        elif flags & os.O_TRUNC:
            self.calls.append(Call("truncate", name, self._names[name]))
        self._inodes[descriptor] = self._names[name]
        return descriptor

    def close(self, descriptor: int) -> None:
        self._inodes.pop(descriptor, None)
        os.close(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        written = os.write(descriptor, data)
        self.calls.append(Call("write", inode=self._inodes[descriptor], at=at, data=bytes(data[:written])))
        return written

    def ftruncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)
        self.calls.append(Call("truncate", inode=self._inodes[descriptor], at=length))

    def fsync(self, descriptor: int) -> None:
        self.calls.append(Call("fsync", inode=self._inodes[descriptor]))

    fdatasync = fsync

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        name, to = self._name(source), self._name(target)
        inode = self._names[to] = self._names.pop(name)
        self.calls.append(Call("rename", name, inode, to))

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)
        name, to = self._name(source), self._name(target)
        inode = self._names[to] = self._names[name]
        self.calls.append(Call("link", name, inode, to))

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        self.calls.append(Call("unlink", self._name(path), self._names.pop(self._name(path))))


@dataclass
class FailingOs(RecordingOs):
    """Refuses `fails_for` calls from the `fails_at`th that changes the disk on: a write after half of its data."""

    fails_at: int = 0
    fails_for: int = 1
    error: int = errno.EIO
    made: int = 0

    def _fail_if_due(self) -> None:
        self.made += 1
        if self.fails_at <= self.made < self.fails_at + self.fails_for:
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._fail_if_due()
        return super().open(path, flags, mode)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.fails_at <= self.made + 1 < self.fails_at + self.fails_for:
            super().write(descriptor, data[: len(data) // 2])
        self._fail_if_due()
        return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._fail_if_due()
        super().fsync(descriptor)

    fdatasync = fsync

    def replace(self, source: Path, target: Path) -> None:
        self._fail_if_due()
        super().replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._fail_if_due()
        super().link(source, target)

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._fail_if_due()
        super().ftruncate(descriptor, length)


@contextlib.contextmanager
def recorded_by(record: RecordingOs) -> Iterator[None]:
    """All that ha.cib.io.files and ha.whole_file do goes through `record`."""
    for module in (files, whole_file):
        vars(module)["os"] = record
    try:
        yield
    finally:
        for module in (files, whole_file):
            vars(module)["os"] = os


@dataclass
class Medium:
    """What is certain to be found after a cut, and what only may be."""

    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    loose_names: list[Call] = field(default_factory=list)
    loose_data: dict[int, list[Call]] = field(default_factory=dict)

    def take(self, call: Call) -> None:
        if call.kind == "fsync" and call.inode < 0:
            for change in self.loose_names:
                _rename(self.names, change)
            self.loose_names.clear()
        elif call.kind == "fsync":
            data = self.contents.get(call.inode, b"")
            for change in self.loose_data.pop(call.inode, []):
                data = _changed(data, change)
            self.contents[call.inode] = data
        elif call.kind in ("write", "truncate"):
            self.loose_data.setdefault(call.inode, []).append(call)
        elif call.kind != "acknowledged":
            self.loose_names.append(call)

    def found(self, chance: Random) -> dict[str, bytes]:
        """One of the disks that may be there now; of what is loose, now all, now some, now nothing got through."""
        names = dict(self.names)
        luck = chance.choice((0.0, 0.3, 0.7, 1.0, 1.0))
        for change in self.loose_names:
            if chance.random() < luck:
                _rename(names, change)
        luck = chance.choice((0.0, 0.3, 0.7, 1.0, 1.0))
        return {name: self._content(inode, luck, chance) for name, inode in sorted(names.items())}

    def _content(self, inode: int, luck: float, chance: Random) -> bytes:
        data = self.contents.get(inode, b"")
        loose = [change for change in self.loose_data.get(inode, []) if chance.random() < luck]
        for change in loose:
            torn = change is loose[-1] and change.kind == "write" and chance.random() < 0.5
            kept = change.data[: chance.randrange(len(change.data) + 1)] if torn else change.data
            data = _changed(data, Call(change.kind, inode=inode, at=change.at, data=kept))
        return data


def _rename(names: dict[str, int], change: Call) -> None:
    if change.kind in ("unlink", "rename"):
        names.pop(change.name, None)
    if change.kind != "unlink":
        names[change.to or change.name] = change.inode


def _changed(data: bytes, change: Call) -> bytes:
    if change.kind == "truncate":
        return data[: change.at].ljust(change.at, b"\0")
    if not change.data:
        return data
    return data[: change.at].ljust(change.at, b"\0") + change.data + data[change.at + len(change.data) :]


class DiskNode(Node):
    """A node whose disk is a folder. Its shared memory is that of the test's nodes."""

    def __init__(self, folder: Path, record: RecordingOs | None, name: str, world: World) -> None:
        super().__init__(name, world)
        self.files = CibFiles(folder)
        self.record = record
        self.asked: dict[str, tuple[str, str]] = {}

    def _carry_out(self, effect: Effect) -> None:
        super()._carry_out(effect)
        if isinstance(effect, Reply) and isinstance(effect.message, Written) and self.record is not None:
            assert effect.message.outcome == "committed", effect.message
            if effect.message.request_id in self.asked:
                name, value = self.asked[effect.message.request_id]
                self.record.calls.append(Call("acknowledged", name, data=value.encode()))

    def _serve(self, request: object) -> object:
        match request:
            case LoadCib():
                try:
                    xml, records, notes = self.files.load()
                except OSError as error:
                    return error
                shown = self.disk.shown  # survives the worker
                return LoadedCib(
                    xml=xml, records=records, notes=notes, generation=self.disk.generation, published=shown
                )
            case AppendRecords(records, durable):
                return _outcome(partial(self.files.append, records, durable))
            case CheckpointCib():
                return _outcome(partial(self.files.checkpoint, request))
            case KeepDropped(version, xml):
                return self.files.keep_dropped(version, xml)
        return super()._serve(request)


def _outcome(call: Callable[[], None]) -> OSError | None:
    try:
        call()
    except OSError as error:
        return error
    return None


def write_for_a_while(record: RecordingOs, writes: int, chance: Random) -> list[Call]:
    """A node's life on a fresh disk: configuration and status, checkpoints, restarts of the worker."""
    folder = record.folder
    with recorded_by(record):
        world = World("n1", make=partial(DiskNode, folder, record))
        node = world.nodes["n1"]
        assert isinstance(node, DiskNode)
        world.settle()
        world.view("n1")
        world.settle(1)
        for number in range(writes):
            if chance.random() < 0.3:
                world.node_state("n1", f"s{number}")
            else:
                option = f"o{number % 40}"
                node.asked[world.option("n1", option, str(number))] = option, str(number)
            while world.choices() and chance.random() < 0.8:
                world.happen(world.choices()[0])
            if chance.random() < 0.15:
                world.settle(3)
            if chance.random() < 0.05:
                world.restart("n1")
                world.settle(1)
        world.settle()
        node.files.close()
    return record.calls


def recovered(disk: dict[str, bytes]) -> Cib:
    """The core that starts from this disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        folder = Path(place) / "cib"
        folder.mkdir()
        for name, data in disk.items():
            (folder / name).write_bytes(data)
        world = World("n1", make=partial(DiskNode, folder, None))
        world.settle()
        node = world.nodes["n1"]
        assert isinstance(node, DiskNode)
        node.files.close()
    assert node.core is not None
    return node.core


def lost_by(disk: dict[str, bytes], acknowledged: dict[str, str]) -> list[str]:
    """Options whose acknowledged value, or a later one, is not in the CIB that this disk gives."""
    root = recovered(disk)._replica.document.root
    values = {str(pair.get("name")): int(str(pair.get("value"))) for pair in root.iter("nvpair")}
    return [name for name, value in acknowledged.items() if values.get(name, -1) < int(value)]


def play(cuts: int, seed: int, writes: int = 60) -> tuple[int, list[str]]:
    """(cuts made, what was lost at which). Lives of `writes` writes until there were enough cuts."""
    chance, made, lost = Random(seed), 0, []
    while made < cuts:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "cib"
            folder.mkdir()
            calls = write_for_a_while(RecordingOs(folder), writes, chance)
        medium, acknowledged = Medium(), dict[str, str]()
        for index, call in enumerate(calls):
            medium.take(call)
            if call.kind == "acknowledged":
                acknowledged[call.name] = call.data.decode()
            for _ in range(2):
                made += 1
                missing = lost_by(medium.found(chance), acknowledged)
                if missing:
                    lost.append(f"cut {made} after call {index} ({call.kind} {call.name}): {missing}")
            if made >= cuts:
                break
    return made, lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    made, lost = play(arguments.cuts, arguments.seed)
    print(f"{made} power cuts: {len(lost)} lost an acknowledged configuration")
    print("\n".join(lost[:20]))
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
