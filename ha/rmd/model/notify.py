# SPDX-License-Identifier: GPL-2.0-or-later
"""How a stanza's program is watched by the notify protocol; in the stanza's `environment=`:

    HA_NOTIFY             who may speak: main (its main process), all (every process that descends from it), or none:
                          it is given no NOTIFY_SOCKET                                                   (main)
    HA_WATCHDOG_MS        it is told to say WATCHDOG=1 in time, and is killed and started again when it does not: as
                          WatchdogSec of a systemd unit; 0: it need not                                  (0)
    HA_START_DEADLINE_MS  it has to say READY=1, or WATCHDOG=1, within this time after its start; 0: it need not
                                                                                    (10000 with HA_WATCHDOG_MS, else 0)
    HA_NOTIFY_USER        whose processes may send to its socket, when it gives up its start user's rights by itself
                                                                                       (the stanza's user)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ha.apphbd.model import ConfigError
from ha.rmd.model import is_number

Access = Literal["none", "main", "all"]

DEFAULT_START_DEADLINE_MS = 10_000
MIN_WATCHDOG_MS = 100
MAX_WATCHDOG_MS = 86_400_000
MAX_START_DEADLINE_MS = 600_000


@dataclass(frozen=True, slots=True)
class NotifySettings:
    access: Access = "main"
    watchdog_ms: int = 0
    start_deadline_ms: int = 0
    user: str = ""

    def __post_init__(self) -> None:
        assert self.access != "none" or not self.watchdog_ms + self.start_deadline_ms

    @property
    def offered(self) -> bool:
        return self.access != "none"


def notify_settings(environment: Mapping[str, str], program: str) -> NotifySettings:
    """Raises ConfigError naming program and variable."""
    access = _access(environment.get("HA_NOTIFY", "main"), program)
    watchdog_ms = _number(environment, "HA_WATCHDOG_MS", 0, MAX_WATCHDOG_MS, program)
    if 0 < watchdog_ms < MIN_WATCHDOG_MS:
        raise ConfigError(f"{program}: HA_WATCHDOG_MS is 0 or at least {MIN_WATCHDOG_MS}, not {watchdog_ms}")
    default_ms = DEFAULT_START_DEADLINE_MS if watchdog_ms else 0
    start_ms = _number(environment, "HA_START_DEADLINE_MS", default_ms, MAX_START_DEADLINE_MS, program)
    if access == "none" and (watchdog_ms or start_ms):
        raise ConfigError(f"{program}: HA_NOTIFY is none: it cannot keep HA_WATCHDOG_MS or HA_START_DEADLINE_MS")
    if watchdog_ms and not start_ms:
        raise ConfigError(f"{program}: HA_START_DEADLINE_MS 0 would never begin the watch of HA_WATCHDOG_MS")
    return NotifySettings(access, watchdog_ms, start_ms, environment.get("HA_NOTIFY_USER", ""))


def refuse_for_worker(environment: Mapping[str, str], worker: str) -> None:
    """A worker beats by itself. Raises ConfigError for what only programs obey."""
    for variable in ("HA_NOTIFY", "HA_WATCHDOG_MS", "HA_NOTIFY_USER"):
        if variable in environment:
            raise ConfigError(f"{worker}: {variable} is for programs; {worker} is a worker and beats by itself")


def _access(word: str, program: str) -> Access:
    match word:
        case "none" | "main" | "all":
            return word
    raise ConfigError(f"{program}: HA_NOTIFY is main, all or none, not {word!r}")


def _number(environment: Mapping[str, str], variable: str, default: int, high: int, program: str) -> int:
    text = environment.get(variable)
    if text is None:
        return default
    if not is_number(text, 0, high):
        raise ConfigError(f"{program}: {variable} is 0 to {high}, not {text!r}")
    return int(text)
