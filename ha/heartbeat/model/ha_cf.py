# SPDX-License-Identifier: GPL-2.0-or-later
"""ha.cf: how the nodes of a cluster find, trust and miss each other.

Syntax and meaning are Heartbeat's. What is ours:

* Where the file is silent on timing, the defaults of `PROFILES` hold; `profile fast` chooses the second set. An
  explicit value always wins, wherever it stands.
* initdead ends at once when every configured node has been heard.
* Extra directives: `profile default|fast`, `node_weight NODE NUMBER` (its weight in the quorum, else 1),
  `tie_breaker ping|lease|http TARGET [TIME]` (who decides between two halves of the cluster),
  `unfenced_takeover TIME` (without a CRM: start what a lost node held after that time, though nothing has fenced it),
  `bindaddr ADDRESS[:PORT]` (where the media below it listen and send from),
  `fragment_size BYTES` (how much of a large message travels in one packet), and `PORT` after the address of a ucast
  line as `ADDRESS:PORT`.

A directive that is understood but not acted on is named in `HaCf.warnings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ha.heartbeat.model.medium import Medium
from ha.heartbeat.model.tie_breaker import TieBreakerConfig
from ha.heartbeat.model.wire import Framing

MAX_NODES = 100  # as in Heartbeat 3.0.6
MAX_MEDIA = 64  # as in Heartbeat 3.0.6
MAX_NAME_LENGTH = 100  # as in Heartbeat 3.0.6
MAX_HA_CF_BYTES = 1024 * 1024
DEFAULT_PORT = 694  # ha-cluster/udp, registered with IANA

Autojoin: TypeAlias = Literal["none", "other", "any"]
CrmMode: TypeAlias = Literal["off", "on", "respawn", "minimal", "manual", "ccm-only", "valgrind"]
Profile: TypeAlias = Literal["default", "fast"]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: how often a node says it lives, and what silence means."""

    keepalive_ms: int
    warntime_ms: int
    deadtime_ms: int
    initdead_ms: int


PROFILES: Mapping[Profile, Times] = {
    "default": Times(keepalive_ms=200, warntime_ms=500, deadtime_ms=1000, initdead_ms=10_000),
    "fast": Times(keepalive_ms=25, warntime_ms=75, deadtime_ms=150, initdead_ms=10_000),
}


@dataclass(frozen=True, slots=True)
class ApiAuth:
    """Who may sign on as a client: any of these users, or of these groups. Names or numbers, as the file has them."""

    uids: tuple[str, ...] = ()
    gids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Respawn:
    """A supervised child of the cluster manager; `failfast` reboots the node when it dies."""

    user: str
    command: tuple[str, ...]
    failfast: bool = False


@dataclass(frozen=True, slots=True)
class StonithHost:
    """A `stonith_host FROM PLUGIN PARAMETERS` line: a fence device, and the node from where it works ("*": any)."""

    host: str
    plugin: str
    parameters: str


PING = "ping"


@dataclass(frozen=True, slots=True)
class PingNode:
    """From a `ping` line (one address, which is its name) or a `ping_group` line (up if any address answers)."""

    name: str
    addresses: tuple[str, ...]

    @property
    def medium(self) -> str:
        """What `ha.machine.Wire.medium` calls it; the peer on it is an address."""
        return f"{PING} {self.name}"

    def media(self) -> list[Medium]:
        return [Medium("ping", self.name, address=address) for address in self.addresses]


@dataclass(frozen=True, slots=True)
class HaCf:
    """All of ha.cf, checked. Node names are in lower case, in the file's order."""

    nodes: tuple[str, ...]
    media: tuple[Medium, ...]
    times: Times
    profile: Profile = "default"
    deadping_ms: int = 0
    autojoin: Autojoin = "none"
    weights: Mapping[str, int] = field(default_factory=dict)
    tie_breaker: TieBreakerConfig | None = None
    framing: Framing = "netstring"
    fragment_bytes: int = 0
    compression: Literal["zlib", "bz2"] = "zlib"
    compression_threshold_kib: int = 2
    traditional_compression: bool = False
    udpport: int = DEFAULT_PORT
    hopfudge: int = 1
    max_rexmit_delay_ms: int = 250
    realtime: bool = True
    rtprio: int = 0
    crm: CrmMode = "off"
    cluster: str = "linux-ha"
    watchdog: str = ""
    log_badpack: bool = True
    use_logd: bool = True
    logfacility: str = ""
    apiauth: Mapping[str, ApiAuth] = field(default_factory=dict)
    respawn: tuple[Respawn, ...] = ()
    auto_failback: Literal["on", "off", "legacy"] = "legacy"
    stonith_hosts: tuple[StonithHost, ...] = ()
    unfenced_takeover_ms: int = -1
    ping: tuple[PingNode, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def tie_breaker_wait_ms(self) -> int:
        """How long a half of the cluster waits for its tie-breaker. A ping node that is out of reach is known to be so
        that long after the peers are."""
        if self.tie_breaker is None or self.tie_breaker.kind != "ping":
            return 0 if self.tie_breaker is None else self.tie_breaker.timeout_ms
        return max(self.deadping_ms - self.deadtime_ms, 0) + 3 * self.keepalive_ms

    @property
    def keepalive_ms(self) -> int:
        return self.times.keepalive_ms

    @property
    def warntime_ms(self) -> int:
        return self.times.warntime_ms

    @property
    def deadtime_ms(self) -> int:
        return self.times.deadtime_ms

    @property
    def initdead_ms(self) -> int:
        return self.times.initdead_ms


@dataclass(frozen=True, slots=True)
class WatchHaCf:
    """Execute: finishes with an HaCf when the operator asks for the file to be read again. A file that cannot be used
    is noted, and waited out."""


class HaCfError(ValueError):
    """The file cannot be used. `problems` lists every mistake as "FILE:LINE: TEXT"."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
