# SPDX-License-Identifier: GPL-2.0-or-later
"""The directives of ha.cf, one function each, in a table. A new directive is a new line of the table.

Each function reads the words after the directive into the Draft and raises ValueError, with a text for people, for
nonsense. The file is read from top to bottom: udpport, baud and bindaddr hold for what follows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ha.heartbeat.model.ha_cf import (
    DEFAULT_PORT,
    MAX_MEDIA,
    MAX_NAME_LENGTH,
    MAX_NODES,
    ApiAuth,
    Autojoin,
    CrmMode,
    PingNode,
    Profile,
    Respawn,
    StonithHost,
)
from ha.heartbeat.model.medium import Medium, MediumKind
from ha.heartbeat.model.tie_breaker import parse as parse_tie_breaker
from ha.heartbeat.model.time import parse_boolean, parse_number, parse_time_ms
from ha.heartbeat.model.wire import FRAMINGS

DEFAULT_GROUP = "225.0.0.1"  # of mcast, in Heartbeat 3.0.6
DEFAULT_BAUD = 19200
BAUD_RATES = (9600, 19200, 38400, 57600, 115200, 230400, 460800)
MAX_WEIGHT = 1000  # of a node in the quorum
MIN_FRAGMENT_BYTES, MAX_FRAGMENT_BYTES = 256, 60_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}", re.ASCII)


@dataclass(slots=True)
class Draft:
    """What has been read so far. `settings` are fields of HaCf by name."""

    nodes: list[str] = field(default_factory=list)
    media: list[Medium] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    apiauth: dict[str, ApiAuth] = field(default_factory=dict)
    respawn: list[Respawn] = field(default_factory=list)
    stonith_hosts: list[StonithHost] = field(default_factory=list)
    ping: list[PingNode] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    udpport: int = DEFAULT_PORT
    baud: int = DEFAULT_BAUD
    bind: dict[int, tuple[str, int]] = field(default_factory=dict)
    """By IP version: the address and port (0: udpport) of the last bindaddr line."""
    port_users: list[str] = field(default_factory=list)


Reader = Callable[[Draft, list[str]], None]


@dataclass(frozen=True, slots=True)
class Directive:
    """`least` and `most` words (None: any number) follow it. `acted_on`: False gets a warning, "off" does when a CRM
    runs, "on" when none does. `once`: not repeated."""

    read: Reader
    least: int = 1
    most: int | None = 1
    acted_on: bool | Literal["on", "off"] = True
    once: bool = False


def _name(word: str, what: str) -> str:
    if not _NAME.fullmatch(word) or len(word) > MAX_NAME_LENGTH:
        raise ValueError(f"{word!r} is no name of a {what}")
    return word


def _interface(word: str) -> str:
    if not _INTERFACE.fullmatch(word):
        raise ValueError(f"{word!r} is no name of a network interface")
    return word


def _port(word: str) -> int:
    return parse_number(word, 1, 65535)


def _one_of(word: str, choices: tuple[str, ...]) -> str:
    if word not in choices:
        raise ValueError(f"{word!r} is none of {', '.join(choices)}")
    return word


def _ipv4(word: str) -> str:
    try:
        return str(ipaddress.IPv4Address(word))
    except ValueError as error:
        raise ValueError(f"{word!r} is no IPv4 address") from error


def _ipv6(word: str) -> str:
    try:
        return str(ipaddress.IPv6Address(word))
    except ValueError as error:
        raise ValueError(f"{word!r} is no IPv6 address") from error


def _ip(word: str) -> str:
    return _ipv6(word) if ":" in word else _ipv4(word)


def _address_and_port(word: str) -> tuple[str, int]:
    """ADDRESS or ADDRESS:PORT, for IPv6 ADDRESS or [ADDRESS]:PORT; the port 0 when absent."""
    if word.startswith("[") and "]:" in word:
        address, _, port = word[1:].partition("]:")
        return _ipv6(address), _port(port)
    if word.count(":") > 1:
        return _ipv6(word.strip("[]")), 0
    address, colon, port = word.partition(":")
    return _ipv4(address), _port(port) if colon else 0


# Readers -------------------------------------------------------------------------------------------------------------


def _read_node(draft: Draft, words: list[str]) -> None:
    for word in words:
        name = _name(word, "node").lower()
        if name in draft.nodes:
            raise ValueError(f"node {name} is listed twice")
        if len(draft.nodes) >= MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} nodes")
        draft.nodes.append(name)


def _read_node_weight(draft: Draft, words: list[str]) -> None:
    name = _name(words[0], "node").lower()
    weights = draft.settings.setdefault("weights", {})
    if name in weights:
        raise ValueError(f"node {name} has a weight already: {weights[name]}")
    weights[name] = parse_number(words[1], 0, MAX_WEIGHT)


def _read_tie_breaker(draft: Draft, words: list[str]) -> None:
    draft.settings["tie_breaker"] = parse_tie_breaker(words)


def _time(name: str) -> Reader:
    def read(draft: Draft, words: list[str]) -> None:
        value = parse_time_ms(words[0])
        if value <= 0:
            raise ValueError(f"{name} must be longer than 0")
        draft.times[name] = value

    return read


def _setting(name: str, parse: Callable[[str], object]) -> Reader:
    def read(draft: Draft, words: list[str]) -> None:
        draft.settings[name] = parse(words[0])

    return read


def _checked(parse: Callable[[str], object]) -> Reader:
    """A value that is checked but kept only among the parameters."""

    def read(_draft: Draft, words: list[str]) -> None:
        parse(words[0])

    return read


def _any_words(_draft: Draft, _words: list[str]) -> None:
    """Free text: nothing to check but the number of words."""


def _read_udpport(draft: Draft, words: list[str]) -> None:
    port = _port(words[0])
    if draft.port_users:
        raise ValueError(f"udpport must stand above the media that use it: {draft.port_users[0]} is above")
    draft.udpport = port
    draft.settings["udpport"] = port


def _read_bindaddr(draft: Draft, words: list[str]) -> None:
    address, port = _address_and_port(words[0])
    draft.bind[6 if ":" in address else 4] = (address, port)


def _add_medium(draft: Draft, kind: MediumKind, interface: str, **where: Any) -> None:
    if len(draft.media) >= MAX_MEDIA:
        raise ValueError(f"more than {MAX_MEDIA} media")
    bind_address, bind_port = draft.bind.get(6 if kind in ("ucast6", "mcast6") else 4, ("", 0))
    medium = Medium(kind, interface, bind_address=bind_address, bind_port=bind_port or draft.udpport, **where)
    if medium in draft.media:
        raise ValueError("this medium is listed twice")
    draft.media.append(medium)


def _read_bcast(draft: Draft, words: list[str]) -> None:
    for word in words:
        _add_medium(draft, "bcast", _interface(word), port=draft.udpport)
    draft.port_users.append("bcast")


def _read_mcast(draft: Draft, words: list[str]) -> None:
    interface, group, port, ttl, loop = words
    group = _ipv4(group)
    if not ipaddress.IPv4Address(group).is_multicast:
        raise ValueError(f"{group} is no multicast group")
    _add_medium(
        draft,
        "mcast",
        _interface(interface),
        address=group,
        port=_port(port),
        ttl=parse_number(ttl, 1, 255),
        loop=bool(parse_number(loop, 0, 1)),
    )


def _read_mcast6(draft: Draft, words: list[str]) -> None:
    interface, group, port, hops, loop = words
    group = _ipv6(group)
    if not ipaddress.IPv6Address(group).is_multicast:
        raise ValueError(f"{group} is no multicast group")
    _add_medium(
        draft,
        "mcast6",
        _interface(interface),
        address=group,
        port=_port(port),
        ttl=parse_number(hops, 0, 4),
        loop=bool(parse_number(loop, 0, 1)),
    )


def _read_ucast(draft: Draft, words: list[str]) -> None:
    address, port = _address_and_port(words[1])
    if ":" in address:
        raise ValueError(f"{words[1]!r} is no IPv4 address: write ucast6")
    _add_medium(draft, "ucast", _interface(words[0]), address=address, port=port or draft.udpport)
    draft.port_users.append("ucast")


def _read_ucast6(draft: Draft, words: list[str]) -> None:
    address, port = _address_and_port(words[1])
    if ":" not in address:
        raise ValueError(f"{words[1]!r} is no IPv6 address")
    _add_medium(draft, "ucast6", _interface(words[0]), address=address, port=port or draft.udpport)
    draft.port_users.append("ucast6")


def _read_serial(draft: Draft, words: list[str]) -> None:
    for word in words:
        if not word.startswith("/"):
            raise ValueError(f"{word!r} is no path of a terminal")
        _add_medium(draft, "serial", word, baud=draft.baud)


def _read_baud(draft: Draft, words: list[str]) -> None:
    if any(medium.kind == "serial" for medium in draft.media):
        raise ValueError("baud must stand above the serial lines that use it")
    if parse_number(words[0], 1, 10**6) not in BAUD_RATES:
        raise ValueError(f"{words[0]!r} is none of {', '.join(map(str, BAUD_RATES))}")
    draft.baud = int(words[0])


def _add_ping(draft: Draft, name: str, addresses: tuple[str, ...]) -> None:
    if any(ping.name == name for ping in draft.ping):
        raise ValueError(f"ping node {name} is listed twice")
    if len(draft.ping) >= MAX_MEDIA:
        raise ValueError(f"more than {MAX_MEDIA} ping nodes")
    draft.ping.append(PingNode(name, addresses))


def _read_ping(draft: Draft, words: list[str]) -> None:
    for word in words:
        address = _ip(word)
        _add_ping(draft, address, (address,))


def _read_ping_group(draft: Draft, words: list[str]) -> None:
    addresses = tuple(_ip(word) for word in words[1:])
    if len({":" in address for address in addresses}) > 1:
        raise ValueError("a group has addresses of one IP version: make two groups")
    _add_ping(draft, _name(words[0], "ping group"), addresses)


def _read_apiauth(draft: Draft, words: list[str]) -> None:
    name = _name(words[0], "client")
    users: dict[str, tuple[str, ...]] = {"uid": (), "gid": ()}
    for word in words[1:]:
        kind, equals, listed = word.partition("=")
        if kind not in users or not equals or not all(listed.split(",")):
            raise ValueError(f"{word!r} is neither uid=USER[,USER...] nor gid=GROUP[,GROUP...]")
        users[kind] += tuple(listed.split(","))
    if name in draft.apiauth:
        raise ValueError(f"apiauth for {name} is given twice")
    draft.apiauth[name] = ApiAuth(users["uid"], users["gid"])


def _respawn(failfast: bool) -> Reader:
    def read(draft: Draft, words: list[str]) -> None:
        if not words[1].startswith("/"):
            raise ValueError(f"{words[1]!r} is no absolute path of a program")
        draft.respawn.append(Respawn(words[0], tuple(words[1:]), failfast))

    return read


def _read_crm(draft: Draft, words: list[str]) -> None:
    if "crm" in draft.settings:
        raise ValueError("pacemaker (or crm) is given twice")
    mode = words[0].lower()
    if mode not in get_args(CrmMode):
        mode = "on" if parse_boolean(mode) else "off"
    draft.settings["crm"] = mode


def _read_env(draft: Draft, words: list[str]) -> None:
    name, equals, value = " ".join(words).partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise ValueError("env takes NAME=VALUE")
    draft.environment[name] = value


def _read_watchdog(draft: Draft, words: list[str]) -> None:
    if not words[0].startswith("/"):
        raise ValueError(f"{words[0]!r} is no path of a device")
    draft.settings["watchdog"] = words[0]


def _read_stonith(_draft: Draft, words: list[str]) -> None:
    if not words[1].startswith("/"):
        raise ValueError(f"{words[1]!r} is no path of a configuration file")


def _read_stonith_host(draft: Draft, words: list[str]) -> None:
    draft.stonith_hosts.append(StonithHost(words[0].lower(), words[1], " ".join(words[2:])))


def _read_nice_failback(_draft: Draft, words: list[str]) -> None:
    remedy = "auto_failback off" if parse_boolean(words[0]) else "auto_failback on"
    raise ValueError(f"nice_failback is obsolete: write `{remedy}`")


def _autofailback(word: str) -> str:
    return word if word == "legacy" else "on" if parse_boolean(word) else "off"


def _numbered(least: int, most: int) -> Callable[[str], int]:
    return lambda word: parse_number(word, least, most)


_BOOLEAN = _checked(parse_boolean)

DIRECTIVES: dict[str, Directive] = {
    "node": Directive(_read_node, most=None),
    "node_weight": Directive(_read_node_weight, 2, 2),
    "tie_breaker": Directive(_read_tie_breaker, 2, 3, once=True),
    "autojoin": Directive(_setting("autojoin", lambda word: _one_of(word, get_args(Autojoin)))),
    "profile": Directive(_setting("profile", lambda word: _one_of(word, get_args(Profile))), once=True),
    "keepalive": Directive(_time("keepalive_ms")),
    "deadtime": Directive(_time("deadtime_ms")),
    "warntime": Directive(_time("warntime_ms")),
    "initdead": Directive(_time("initdead_ms")),
    "deadping": Directive(_time("deadping_ms")),
    "udpport": Directive(_read_udpport),
    "bindaddr": Directive(_read_bindaddr),
    "bcast": Directive(_read_bcast, most=None),
    "mcast": Directive(_read_mcast, 5, 5),
    "mcast6": Directive(_read_mcast6, 5, 5),
    "ucast": Directive(_read_ucast, 2, 2),
    "ucast6": Directive(_read_ucast6, 2, 2),
    "serial": Directive(_read_serial, most=None),
    "baud": Directive(_read_baud),
    "ping": Directive(_read_ping, most=None),
    "ping_group": Directive(_read_ping_group, 2, None),
    "hbaping": Directive(_any_words, most=None, acted_on=False),
    "hopfudge": Directive(_setting("hopfudge", _numbered(0, 255))),
    "auto_failback": Directive(_setting("auto_failback", _autofailback), acted_on="off"),
    "unfenced_takeover": Directive(_setting("unfenced_takeover_ms", parse_time_ms), acted_on="off"),
    "nice_failback": Directive(_read_nice_failback),
    "pacemaker": Directive(_read_crm),
    "crm": Directive(_read_crm),
    "crm_daemon_dir": Directive(_any_words, acted_on=False),
    "crmd_spawns_pengine": Directive(_BOOLEAN, acted_on=False),
    "respawn": Directive(_respawn(failfast=False), 2, None, acted_on=False),
    "failfast": Directive(_respawn(failfast=True), 2, None, acted_on=False),
    "apiauth": Directive(_read_apiauth, 2, None),
    "stonith": Directive(_read_stonith, 2, 2, acted_on=False),
    "stonith_host": Directive(_read_stonith_host, 2, None, acted_on="off"),
    "watchdog": Directive(_read_watchdog, acted_on=False),
    "cluster": Directive(_setting("cluster", lambda word: _name(word, "cluster"))),
    "quorum_server": Directive(_any_words, acted_on=False),
    "compression": Directive(_setting("compression", lambda word: _one_of(word, ("zlib", "bz2")))),
    "compression_threshold": Directive(_setting("compression_threshold_kib", _numbered(1, 2048))),
    "traditional_compression": Directive(_setting("traditional_compression", parse_boolean)),
    "msgfmt": Directive(_setting("framing", lambda word: _one_of(word, FRAMINGS))),
    "hbgenmethod": Directive(_checked(lambda word: _one_of(word, ("file", "time"))), acted_on=False),
    "uuidfrom": Directive(_checked(lambda word: _one_of(word, ("file", "nodename"))), acted_on=False),
    "realtime": Directive(_setting("realtime", parse_boolean)),
    "rtprio": Directive(_setting("rtprio", _numbered(1, 99))),
    "memreserve": Directive(_checked(_numbered(0, 1_000_000)), acted_on=False),
    "max_rexmit_delay": Directive(_setting("max_rexmit_delay_ms", _numbered(1, 60_000))),
    "fragment_size": Directive(_setting("fragment_bytes", _numbered(MIN_FRAGMENT_BYTES, MAX_FRAGMENT_BYTES))),
    "logfile": Directive(_any_words, acted_on=False),
    "debugfile": Directive(_any_words, acted_on=False),
    "logfacility": Directive(_setting("logfacility", lambda word: _name(word, "facility").lower())),
    "use_logd": Directive(_setting("use_logd", parse_boolean)),
    "conn_logd_time": Directive(_checked(parse_time_ms), acted_on=False),
    "syslogmsgfmt": Directive(_BOOLEAN, acted_on=False),
    "log_badpack": Directive(_setting("log_badpack", parse_boolean)),
    "coredumps": Directive(_BOOLEAN, acted_on=False),
    "coreroot": Directive(_any_words, acted_on=False),
    "debug": Directive(_checked(_numbered(0, 255)), acted_on=False),
    "use_apphbd": Directive(_BOOLEAN, acted_on=False),
    "env": Directive(_read_env, 1, None, acted_on=False),
    "record_config_changes": Directive(_BOOLEAN, acted_on=False),
    "record_pengine_inputs": Directive(_BOOLEAN, acted_on=False),
    "enable_config_writes": Directive(_BOOLEAN, acted_on=False),
}
