# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd.cf, the one directive of ha.cf that apphbd obeys, and what apphbd asks of its adapters.

Source: apphbd(8) of Heartbeat 3.0.6; `watchdog_timeout_ms` and `watchdog_pretimeout_ms` are our additions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

MAX_CONFIG_BYTES = 256 * 1024
"""A longer configuration file is refused: it is not one of ours."""

TRUE_WORDS = frozenset({"true", "on", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "off", "no", "n", "0"})

UNUSED_DIRECTIVES = frozenset({"debug_level", "debugfile", "logfile", "notify_plugin"})
"""Known to Heartbeat, without effect here: logd writes the logs, rmd takes the notifications."""


class ConfigError(ValueError):
    """A configuration file cannot be obeyed: the text gives file, line and mistake."""


@dataclass(frozen=True, slots=True)
class Directive:
    name: str
    value: str
    where: str  # file:line, for messages


def directives(text: str, source: str) -> Iterator[Directive]:
    """`name value` lines of a classic Heartbeat file; `#` begins a comment. `source` names the file in errors.

    Raises ConfigError for a text over MAX_CONFIG_BYTES.
    """
    if len(text.encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_CONFIG_BYTES} bytes; this is not a configuration file of ours")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split(None, 1)
        if words:
            yield Directive(words[0], words[1].strip() if len(words) > 1 else "", f"{source}:{number}")


def boolean(directive: Directive) -> bool:
    word = directive.value.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ConfigError(f"{directive.where}: {directive.name} is yes or no, not {directive.value!r}")


def milliseconds(directive: Directive, low: int, high: int) -> int:
    if not directive.value.isascii() or not directive.value.isdigit() or not low <= int(directive.value) <= high:
        raise ConfigError(
            f"{directive.where}: {directive.name} is a number of milliseconds from {low} to {high}, "
            f"not {directive.value!r}"
        )
    return int(directive.value)


@dataclass(frozen=True, slots=True)
class Settings:
    realtime: bool = True
    watchdog_device: str = ""
    watchdog_interval_ms: int = 1000
    watchdog_timeout_ms: int = 0
    """0 leaves the device's own."""
    watchdog_pretimeout_ms: int = 0
    """The kernel is warned so long before the reset; 0: it is not."""
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.watchdog_timeout_ms and self.watchdog_timeout_ms < 2 * self.watchdog_interval_ms:
            raise ConfigError(
                f"watchdog_timeout_ms {self.watchdog_timeout_ms} is less than twice watchdog_interval_ms "
                f"{self.watchdog_interval_ms}: one late beat would reset the node"
            )
        if 0 < self.watchdog_timeout_ms <= self.watchdog_pretimeout_ms:
            raise ConfigError(
                f"watchdog_pretimeout_ms {self.watchdog_pretimeout_ms} is not less than watchdog_timeout_ms "
                f"{self.watchdog_timeout_ms}: it counts back from the reset"
            )


def read_apphbd_cf(text: str, source: str) -> Settings:
    """Raises ConfigError for unknown directives and values out of range."""
    settings = Settings()
    for directive in directives(text, source):
        match directive.name:
            case "realtime":
                settings = replace(settings, realtime=boolean(directive))
            case "watchdog_device":
                settings = replace(settings, watchdog_device=_device(directive))
            case "watchdog_interval_ms":
                settings = replace(settings, watchdog_interval_ms=milliseconds(directive, 10, 60_000))
            case "watchdog_timeout_ms":
                settings = replace(settings, watchdog_timeout_ms=milliseconds(directive, 1_000, 600_000))
            case "watchdog_pretimeout_ms":
                settings = replace(settings, watchdog_pretimeout_ms=milliseconds(directive, 1_000, 599_000))
            case name if name in UNUSED_DIRECTIVES:
                warning = f"{directive.where}: {name} has no effect: logd writes the logs, rmd is always told"
                settings = replace(settings, warnings=(*settings.warnings, warning))
            case name:
                raise ConfigError(f"{directive.where}: {name!r} is no directive of apphbd.cf")
    return settings


def watchdog_of_ha_cf(text: str, source: str) -> str:
    """The device of ha.cf's `watchdog DEV`, "" without one. Everything else there is heartbeat's to judge."""
    device = ""
    for directive in directives(text, source):
        if directive.name == "watchdog":
            device = _device(directive)
    return device


def _device(directive: Directive) -> str:
    if not directive.value.startswith("/") or "\0" in directive.value:
        raise ConfigError(f"{directive.where}: {directive.name} is an absolute path, not {directive.value!r}")
    return directive.value


@dataclass(frozen=True, slots=True)
class ReplaceRmd:
    """Request of the core: end rmd if it still lives, see its `workers` (process numbers) end, start a new rmd.

    There is no outcome when it succeeds: apphbd has become the new rmd. Otherwise a text: why it could not be done.
    """

    pid: int
    workers: tuple[int, ...]
    reason: str
    short_lives: int = 0
    """To be handed on to the new rmd's apphbd."""


@dataclass(frozen=True, slots=True)
class End:
    """Request of the core: apphbd has nothing left to watch. The watchdog is not disarmed: it has the last word."""
