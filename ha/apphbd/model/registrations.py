# SPDX-License-Identifier: GPL-2.0-or-later
"""What apphbd keeps of its applications for its successor, in /run: their connections end with it, they do not.

A classic client does not register again by itself. So that nobody is left who recovers it, the successor watches the
life of its process until it does.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

SAVE_DELAY_MS = 100
"""Changes gather for so long: an application could make them by the thousand."""

MAX_FILE_BYTES = 1024 * 1024
"""256 applications with names of 255 characters fit. A longer file is none of ours."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """`begun` is when the process began, in the kernel's ticks since boot: its number may be another's by now."""

    name: str
    instance: str
    pid: int
    uid: int
    gid: int
    interval_ms: int
    warntime_ms: int
    reset: bool
    begun: int = 0


class RegistrationsError(ValueError):
    """The bytes are no registrations; the text says why."""


def encode(registrations: tuple[Registration, ...]) -> bytes:
    return msgspec.json.encode(registrations)


def decode(data: bytes) -> tuple[Registration, ...]:
    """Raises RegistrationsError."""
    if len(data) > MAX_FILE_BYTES:
        raise RegistrationsError(f"more than {MAX_FILE_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=tuple[Registration, ...])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RegistrationsError(str(error)) from error


@dataclass(frozen=True, slots=True)
class LoadRegistrations:
    """Request of the core; the outcome is a tuple of Registration, of processes that may have ended."""


@dataclass(frozen=True, slots=True)
class KeepRegistrations:
    """Request of the core: this is all there are now. No outcome."""

    registrations: tuple[Registration, ...]


@dataclass(frozen=True, slots=True)
class AwaitEnd:
    """Request of the core; the outcome, Ended, comes when this very process has ended, also when it had before."""

    pid: int
    begun: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Of a process."""
