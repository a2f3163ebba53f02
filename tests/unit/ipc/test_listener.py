# SPDX-License-Identifier: GPL-2.0-or-later
"""A listener takes its predecessor's place, and lets in a crowd a few at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ha.ipc.listener import MAX_ACCEPTS_PER_TURN, Listener


class Loop:
    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None:
        self.readers[fd] = on_readable

    def unwatch(self, fd: int, /) -> None:
        del self.readers[fd]

    def turn(self) -> None:
        for reader in self.readers.values():
            reader()


def dial(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(str(path))
    return stream


def test_a_crowd_comes_in_a_few_at_a_time(tmp_path: Path) -> None:
    loop, taken = Loop(), []
    path = tmp_path / "run" / "test.sock"
    listener = Listener(path, loop, taken.append, 64)
    crowd = [dial(path) for _ in range(MAX_ACCEPTS_PER_TURN + 1)]
    loop.turn()
    assert len(taken) == MAX_ACCEPTS_PER_TURN
    loop.turn()
    assert len(taken) == len(crowd)
    with pytest.raises(BlockingIOError):
        taken[0].recv(1)
    listener.close()
    assert not path.exists()
    assert not loop.readers
    for stream in [*crowd, *taken]:
        stream.close()


def test_a_dead_predecessors_socket_is_replaced(tmp_path: Path) -> None:
    loop, taken = Loop(), []
    path = tmp_path / "test.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    listener = Listener(path, loop, taken.append, 1)
    stream = dial(path)
    loop.turn()
    assert len(taken) == 1
    for end in (stream, *taken):
        end.close()
    listener.close()
    assert list(tmp_path.iterdir()) == []
