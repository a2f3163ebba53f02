# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program and one worker say to each other: that worker's messages and the greeting.

A program that asks one question spends most of its life importing what others say; the whole codec is loaded when a
message is not of the worker's own.
"""

from __future__ import annotations

import importlib
from typing import Any, Union

import msgspec

from ha.ipc import hello
from ha.machine import Message

PACKAGES = {"crmd": "crm", "lrmd": "lrm", "stonithd": "stonith", "pengine": "pe", "tengine": "te"}
"""Where a worker's messages are, if not in the package of its name."""


class Dialect:
    def __init__(self, worker: str) -> None:
        module = importlib.import_module(f"ha.{PACKAGES.get(worker, worker)}.msg")
        kinds = tuple(
            value
            for speaker in (hello, module)
            for value in vars(speaker).values()
            if isinstance(value, type)
            and issubclass(value, Message)
            and value.__module__ == speaker.__name__
            and value.__name__ != "Message"
        )
        self._known = frozenset(kinds)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[kinds])  # noqa: UP007

    def encode(self, message: Message) -> bytes:
        if type(message) in self._known:
            return self._encoder.encode(message)
        from ha.ipc import codec

        return codec.encode(message)

    def decode(self, data: bytes | bytearray | memoryview) -> Message:
        """Raises ha.ipc.codec.CodecError for anything that is not one whole, valid message."""
        try:
            message = self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            from ha.ipc import codec

            return codec.decode(data)
        assert isinstance(message, Message), type(message)
        return message
