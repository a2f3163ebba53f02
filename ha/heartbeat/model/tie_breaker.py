# SPDX-License-Identifier: GPL-2.0-or-later
"""Who decides between two halves of the cluster, as ha.cf names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from ha.heartbeat.model.time import parse_time_ms

MAX_TARGET_LENGTH = 1000
MAX_TIMEOUT_MS = 60_000
DEFAULT_TIMEOUT_MS = 2_000

TieBreakerKind: TypeAlias = Literal["ping", "lease", "http"]


@dataclass(frozen=True, slots=True)
class TieBreakerConfig:
    """`target`: the name of a ping node or group, an absolute path of a folder on shared storage, or a URL.

    `timeout_ms`: how long a half waits for the answer before it goes on without quorum. 0 for ping: the times of
    ha.cf say how long (`HaCf.tie_breaker_wait_ms`).
    """

    kind: TieBreakerKind
    target: str
    timeout_ms: int = DEFAULT_TIMEOUT_MS


def parse(words: list[str]) -> TieBreakerConfig:
    """`ping NAME`, `lease FOLDER [TIME]`, `http URL [TIME]`. Raises ValueError with a text for people."""
    kind, target = words[0], words[1]
    if kind == "ping":
        if len(words) > 2:
            raise ValueError("ping takes no time: deadping says when a ping node is out of reach")
        return TieBreakerConfig("ping", target, 0)
    timeout_ms = parse_time_ms(words[2]) if len(words) > 2 else DEFAULT_TIMEOUT_MS
    if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
        raise ValueError(f"the time is over 0 and at most {MAX_TIMEOUT_MS // 1000} s")
    if len(target) > MAX_TARGET_LENGTH:
        raise ValueError(f"more than {MAX_TARGET_LENGTH} characters")
    if kind == "lease":
        if not target.startswith("/"):
            raise ValueError(f"{target!r} is no absolute path of a folder on shared storage")
        return TieBreakerConfig("lease", target, timeout_ms)
    if kind == "http":
        _check_url(target)
        return TieBreakerConfig("http", target, timeout_ms)
    raise ValueError(f"{kind!r} is none of ping, lease, http")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.strip("/") or port == 0:
        raise ValueError(f"{url!r} is no URL of an object: http://HOST[:PORT]/PATH, or https")
    if parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable():
        raise ValueError(f"{url!r}: user names, fragments and letters outside ASCII are not for here")
