# SPDX-License-Identifier: GPL-2.0-or-later
"""What the log is to look like: ha.cf, logd.cf, and the lines themselves.

Sources: ha.cf(5) and logd.cf of Heartbeat 3.0.6 (logfile, debugfile, logfacility, debug; logmode, entity ...);
`logformat json` is our addition. RFC 5424 for syslog's numbers, RFC 3339 for time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from ha.logd.msg import Record
from ha.machine import Level

MAX_CONFIG_BYTES = 256 * 1024
"""A longer configuration file is refused: it is not one of ours."""

MAX_LINE_CHARACTERS = 8_192
"""A longer text is cut, and says so."""

MAX_NAME_CHARACTERS = 64

Format: TypeAlias = Literal["text", "json"]
Target: TypeAlias = Literal["log", "debug", "syslog"]

LEVELS: tuple[Level, ...] = ("debug", "info", "notice", "warning", "error", "critical")
"""From the least to the most urgent."""

SEVERITY: dict[Level, int] = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}

FACILITIES: dict[str, int] = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9,
    "authpriv": 10, "ftp": 11, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21,
    "local6": 22, "local7": 23,
}  # fmt: skip


class ConfigError(ValueError):
    """The text gives file, line and mistake."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths are those of the files, still without the node's root; "" for none."""

    logfile: str = "/var/log/heartbeat/ha-log"
    debugfile: str = "/var/log/heartbeat/ha-debug"
    facility: str = ""
    """A name of FACILITIES; "" for no syslog."""
    format: Format = "text"
    level: Level = "info"
    mode: int = 0o640
    warnings: tuple[str, ...] = field(default=())


_UNUSED_OF_LOGD_CF = frozenset({"entity", "syslogprefix", "useapphbd", "sendqlen", "recvqlen", "syslogmsgfmt"})


def read_ha_cf(text: str, source: str, settings: Settings) -> Settings:
    """The directives of the log; all others are heartbeat's to judge. Raises ConfigError."""
    for name, value, where in _lines(text, source):
        match name:
            case "logfile":
                settings = replace(settings, logfile=_path(name, value, where))
            case "debugfile":
                settings = replace(settings, debugfile=_path(name, value, where))
            case "logfacility":
                settings = replace(settings, facility=_facility(value, where))
            case "logformat":
                settings = replace(settings, format=log_format(value, where))
            case "debug":
                settings = replace(settings, level="info" if value == "0" else "debug")
    return settings


def read_logd_cf(text: str, source: str, settings: Settings) -> Settings:
    """Every directive is ours here: an unknown one is a mistake. Raises ConfigError."""
    for name, value, where in _lines(text, source):
        match name:
            case "logfile":
                settings = replace(settings, logfile=_path(name, value, where))
            case "debugfile":
                settings = replace(settings, debugfile=_path(name, value, where))
            case "logfacility":
                settings = replace(settings, facility=_facility(value, where))
            case "logformat":
                settings = replace(settings, format=log_format(value, where))
            case "logmode":
                settings = replace(settings, mode=_mode(value, where))
            case _ if name in _UNUSED_OF_LOGD_CF:
                settings = replace(settings, warnings=(*settings.warnings, f"{where}: {name} has no effect"))
            case _:
                raise ConfigError(f"{where}: {name!r} is no directive of logd.cf")
    return settings


def _lines(text: str, source: str) -> Iterator[tuple[str, str, str]]:
    if len(text.encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_CONFIG_BYTES} bytes; this is not a configuration file of ours")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split(None, 1)
        if words:
            yield words[0], words[1].strip() if len(words) > 1 else "", f"{source}:{number}"


def _path(name: str, value: str, where: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ConfigError(f"{where}: {name} is an absolute path, not {value!r}")
    return value


def _facility(value: str, where: str) -> str:
    if value == "none":
        return ""
    if value not in FACILITIES:
        raise ConfigError(f"{where}: logfacility is none or one of {', '.join(FACILITIES)}, not {value!r}")
    return value


def log_format(value: str, where: str) -> Format:
    match value:
        case "text" | "json":
            return value
    raise ConfigError(f"{where}: the log's format is text or json, not {value!r}")


def _mode(value: str, where: str) -> int:
    if not value or not set(value) <= set("01234567") or int(value, 8) > 0o777:
        raise ConfigError(f"{where}: logmode is an octal mode such as 0640, not {value!r}")
    return int(value, 8)


# Lines ---------------------------------------------------------------------------------------------------------------


def stamp(at_ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC: the logs of all nodes sort together, whatever their time zones."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"@{at_ms}ms"


def text_line(record: Record) -> str:
    """One line, without its end: control characters are shown as escapes."""
    name = printable(record.module)[:MAX_NAME_CHARACTERS]
    node = printable(record.node)[:MAX_NAME_CHARACTERS]
    return f"{stamp(record.at_ms)} {node} {name}[{record.pid}]: {record.level}: {shortened(printable(record.text))}"


def json_line(record: Record) -> str:
    fields = {
        "time": stamp(record.at_ms),
        "node": record.node[:MAX_NAME_CHARACTERS],
        "module": record.module[:MAX_NAME_CHARACTERS],
        "pid": record.pid,
        "level": record.level,
        "text": shortened(record.text),
        "boot_ms": record.boot_ms,
    }
    return msgspec.json.encode(fields).decode("utf-8")


def syslog_line(record: Record, facility: str) -> str:
    """As the local syslog socket takes it: priority, tag, text (RFC 3164, section 4.1)."""
    priority = FACILITIES[facility] * 8 + SEVERITY[record.level]
    name = printable(record.module)[:MAX_NAME_CHARACTERS]
    return f"<{priority}>ha-{name}[{record.pid}]: {record.level}: {shortened(printable(record.text))}"


def printable(text: str) -> str:
    """A log line must not forge another, nor reach the terminal of who reads it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shortened(text: str) -> str:
    if len(text) <= MAX_LINE_CHARACTERS:
        return text
    return f"{text[:MAX_LINE_CHARACTERS]} ... ({len(text)} characters)"


# Requests of the core ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Write:
    """Append these lines to the target. Outcome: Written, or the OSError that prevented it."""

    target: Target
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """All lines are with the kernel."""


@dataclass(frozen=True, slots=True)
class ReopenFiles:
    """Close and open the files. Outcome: Written."""
