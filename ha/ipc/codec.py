# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages to bytes and back: MessagePack by msgspec, every field validated against its type.

Unknown fields are ignored, unknown types refused: a newer peer may say more, never something else.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Union

import msgspec

from ha.apphbd import msg as apphbd_msg
from ha.attrd import msg as attrd_msg
from ha.ccm import msg as ccm_msg
from ha.cib import msg as cib_msg
from ha.crm import msg as crm_msg
from ha.haresources import msg as haresources_msg
from ha.heartbeat import msg as heartbeat_msg
from ha.ipc import hello
from ha.logd import msg as logd_msg
from ha.lrm import msg as lrm_msg
from ha.machine import Message
from ha.pe import msg as pe_msg
from ha.rmd import msg as rmd_msg
from ha.stonith import msg as stonith_msg
from ha.te import msg as te_msg

SPEAKERS: tuple[ModuleType, ...] = (
    hello, logd_msg, apphbd_msg, rmd_msg, heartbeat_msg, ccm_msg, cib_msg,
    attrd_msg, lrm_msg, stonith_msg, pe_msg, te_msg, crm_msg, haresources_msg,
)  # fmt: skip


class CodecError(ValueError):
    """The bytes are no message of ours: the text says where they went wrong."""


def messages_of(module: ModuleType) -> tuple[type[Message], ...]:
    """The message types a msg module defines, in the order of its text, without its base."""
    return tuple(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Message)
        and value.__module__ == module.__name__
        and value.__name__ != "Message"
    )


MESSAGES: tuple[type[Message], ...] = tuple(kind for module in SPEAKERS for kind in messages_of(module))

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[MESSAGES])  # noqa: UP007 (made from a tuple)


def encode(message: Message) -> bytes:
    assert type(message) in _KNOWN, f"{type(message).__qualname__} is in no msg module that the codec knows"
    return _encoder.encode(message)


def decode(data: bytes | bytearray | memoryview) -> Message:
    """Raises CodecError for anything that is not one whole, valid message."""
    try:
        message = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CodecError(f"not a message: {error}") from error
    assert isinstance(message, Message), type(message)
    return message


_KNOWN = frozenset(MESSAGES)
