# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: reads ha.cf's and logd.cf's words on logs, builds core and adapters, runs them in the shell."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from ha.logd.core import build
from ha.logd.io.outlets import File, Outlets, Syslog
from ha.logd.io.records import Records
from ha.logd.model import MAX_CONFIG_BYTES, ConfigError, Settings, Target, log_format, read_ha_cf, read_logd_cf
from ha.root import Root
from ha.shell import BeatTimes, run_worker

FORMAT_VARIABLE = "HA_LOG_FORMAT"
"""text or json; goes before the configuration files."""

EXIT_CONFIG = 78  # sysexits.h: EX_CONFIG


def main(root: Root) -> int:
    try:
        settings = read_settings(root)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    return run_worker(
        "logd",
        build(node=root.node_name(), pid=os.getpid(), settings=settings),
        root=root,
        adapters=[Records(), Outlets(targets(root, settings))],
        beat=BeatTimes(),
    )


def targets(root: Root, settings: Settings) -> dict[Target, File | Syslog]:
    found: dict[Target, File | Syslog] = {}
    if settings.logfile:
        found["log"] = File(root.path(settings.logfile), settings.mode)
    if settings.debugfile:
        found["debug"] = File(root.path(settings.debugfile), settings.mode)
    if settings.facility:
        found["syslog"] = Syslog(root.path("/dev/log"))
    return found


def read_settings(root: Root) -> Settings:
    """ha.cf, then logd.cf, then HA_LOG_FORMAT; later ones go before. Raises ConfigError."""
    settings = read_ha_cf(_text(root.ha_cf), str(root.ha_cf), Settings())
    path = root.config_dir / "logd.cf"
    settings = read_logd_cf(_text(path), str(path), settings)
    override = os.environ.get(FORMAT_VARIABLE)
    return settings if override is None else replace(settings, format=log_format(override, FORMAT_VARIABLE))


def _text(path: Path) -> str:
    """An absent file is an empty one. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
