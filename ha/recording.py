# SPDX-License-Identifier: GPL-2.0-or-later
"""Events and effects as bytes: what a shell writes down, the simulator can replay (`ha.sim.replay`).

A recording is a sequence of frames, each a 4-byte big-endian length and a MessagePack body. The first frame is the
Header; every other one a Step: the Instant, the event, and the effects the machine returned. It is written by the
shell when HA_RECORD names a directory, and it is complete up to the last whole frame: a process that dies loses at most
the step it died in.

Values travel with the dotted name of their type, because requests and outcomes belong to the modules' own models. Only
dataclasses, msgspec Structs and enumerations defined below `ha` are read back: a recording can name nothing else.

Pure: no file is touched here.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ha.machine import Effect, Event, Instant

FORMAT = 1
"""Grows when an older reader could no longer understand a recording."""

LENGTH_BYTES = 4
MAX_FRAME_BYTES = 96 * 1024 * 1024
"""One step with a CIB of the greatest size in its event and its effects. Longer: not a recording of ours."""

MAX_DEPTH = 60
"""Nesting of values: messages within messages stay far below it."""


class RecordingError(ValueError):
    """The bytes are no recording of ours; the text says where they went wrong."""


@dataclass(frozen=True, slots=True)
class Header:
    """Whose steps follow. `settings` are the keyword arguments that the core's `build` was called with."""

    worker: str
    node: str
    settings: dict[str, Any]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Step:
    now: Instant
    event: Event
    effects: list[Effect]


def frame(entry: Header | Step) -> bytes:
    """Raises RecordingError for a value of a type that could not be read back."""
    body = msgspec.msgpack.encode(_pack(entry, 0))
    if len(body) > MAX_FRAME_BYTES:
        raise RecordingError(f"a step of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES) + body


def read(data: bytes) -> Iterator[Header | Step]:
    """Every whole frame of a recording; a last one that was cut short is left out. Raises RecordingError."""
    offset = 0
    while offset + LENGTH_BYTES <= len(data):
        length = int.from_bytes(data[offset : offset + LENGTH_BYTES])
        if length > MAX_FRAME_BYTES:
            raise RecordingError(f"a frame of {length} bytes at offset {offset} is over the limit of {MAX_FRAME_BYTES}")
        offset += LENGTH_BYTES
        if offset + length > len(data):
            return
        yield _entry(data[offset : offset + length], first=offset == LENGTH_BYTES)
        offset += length


def _entry(body: bytes, *, first: bool) -> Header | Step:
    try:
        entry = _unpack(msgspec.msgpack.decode(body), 0)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordingError(f"not a frame: {error}") from error
    if not isinstance(entry, Header if first else Step):
        raise RecordingError(f"{type(entry).__name__} where {'the Header' if first else 'a Step'} was expected")
    assert isinstance(entry, (Header, Step))
    if isinstance(entry, Header) and entry.format != FORMAT:
        raise RecordingError(f"recorded in format {entry.format}, this program reads {FORMAT}")
    return entry


# Values --------------------------------------------------------------------------------------------------------------

_PLAIN = (type(None), bool, int, float, str, bytes)


def _pack(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise RecordingError(f"values are nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (list, tuple):
        return [kind.__name__, *(_pack(item, depth + 1) for item in value)]
    if isinstance(value, dict):
        return ["dict", *([_pack(key, depth + 1), _pack(item, depth + 1)] for key, item in value.items())]
    if kind in (set, frozenset):
        return [kind.__name__, *(_pack(item, depth + 1) for item in sorted(value))]
    if isinstance(value, enum.Enum):
        return ["enum", _name(kind), _pack(value.value, depth + 1)]
    if isinstance(value, OSError):
        return ["OSError", value.errno, value.strerror]
    if isinstance(value, msgspec.Struct):
        return ["object", _name(kind), *(_pack(getattr(value, name), depth + 1) for name in value.__struct_fields__)]
    if dataclasses.is_dataclass(value):
        fields = [_pack(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value) if field.init]
        return ["object", _name(kind), *fields]
    raise RecordingError(f"a {kind.__qualname__} cannot be recorded: make it a frozen dataclass or Struct")


def _unpack(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise RecordingError(f"values are nested deeper than {MAX_DEPTH}")
    if not isinstance(value, list):
        if type(value) in _PLAIN:
            return value
        raise RecordingError(f"a bare {type(value).__name__}")
    try:
        return _UNPACKERS[value[0]](value[1:], depth + 1)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ImportError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"not a recorded value: {error}") from error


def _items(values: list[Any], depth: int) -> Iterator[Any]:
    return (_unpack(value, depth) for value in values)


def _mapping(pairs: list[Any], depth: int) -> dict[Any, Any]:
    return {_unpack(key, depth): _unpack(value, depth) for key, value in pairs}


def _enumeration(values: list[Any], depth: int) -> enum.Enum:
    kind = _type(values[0])
    if not issubclass(kind, enum.Enum):
        raise RecordingError(f"{values[0]} is no enumeration")
    return kind(_unpack(values[1], depth))


def _object(values: list[Any], depth: int) -> Any:
    kind = _type(values[0])
    items = [_unpack(value, depth) for value in values[1:]]
    if issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind) if field.init)
    else:
        raise RecordingError(f"{values[0]} is neither a dataclass nor a Struct")
    if len(items) != len(names):
        raise RecordingError(f"{values[0]} has {len(names)} fields, {len(items)} were recorded")
    return kind(**dict(zip(names, items, strict=True)))


_UNPACKERS = {
    "list": lambda values, depth: list(_items(values, depth)),
    "tuple": lambda values, depth: tuple(_items(values, depth)),
    "set": lambda values, depth: set(_items(values, depth)),
    "frozenset": lambda values, depth: frozenset(_items(values, depth)),
    "dict": _mapping,
    "enum": _enumeration,
    "OSError": lambda values, depth: OSError(values[0], values[1]),
    "object": _object,
}


def _name(kind: type) -> str:
    if not kind.__module__.startswith("ha."):
        raise RecordingError(f"{kind.__module__}.{kind.__qualname__} is no type of ours and cannot be recorded")
    return f"{kind.__module__}:{kind.__qualname__}"


def _type(name: str) -> type:
    module, _, path = name.partition(":")
    if not module.startswith("ha."):
        raise RecordingError(f"{name} is no type of ours")
    value: Any = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    if not isinstance(value, type):
        raise RecordingError(f"{name} is no type")
    return value
