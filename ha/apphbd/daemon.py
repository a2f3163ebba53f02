# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: reads apphbd.cf, opens the watchdog, runs the core in its own loop."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from ha.apphbd.core import build
from ha.apphbd.io import lease_file
from ha.apphbd.io.beats import inherited_line
from ha.apphbd.io.loop import Loop, boot_time_ms
from ha.apphbd.io.realtime import become_realtime
from ha.apphbd.io.rmd import Rmd, Succession, short_lives
from ha.apphbd.io.watchdog import Watchdog, WatchdogError
from ha.apphbd.model import MAX_CONFIG_BYTES, ConfigError, Settings, read_apphbd_cf, watchdog_of_ha_cf
from ha.root import Root

WATCHDOG_VARIABLE = "HA_WATCHDOG"
"""A watchdog device that goes before the configuration files' ("" for none): for tests and playgrounds."""

EXIT_CONFIG = 78  # sysexits.h: EX_CONFIG
EXIT_DEVICE = 71  # EX_OSERR


def main(root: Root) -> int:
    try:
        settings = read_settings(root)
        rmd = Rmd.from_environment()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except ProcessLookupError as error:
        # rmd died while it started us: what apphbd exists for has happened already.
        raise Succession("it died while it started apphbd", short_lives() + 1) from error
    try:
        watchdog = None
        if settings.watchdog_device:
            watchdog = Watchdog(
                settings.watchdog_device, settings.watchdog_timeout_ms, settings.watchdog_pretimeout_ms
            )
    except WatchdogError as error:
        print(error, file=sys.stderr)
        return EXIT_DEVICE
    try:
        lease_until = lease_file.load(root)
    except lease_file.LeaseFileError as error:
        # There was one, and nobody knows how long it was good for: the crmd renews it, or the watchdog acts.
        print(error, file=sys.stderr)
        lease_until = boot_time_ms()
    machine = build(
        rmd_pid=rmd.pid if rmd else None,
        watchdog_interval_ms=settings.watchdog_interval_ms if watchdog else None,
        watchdog_timeout_ms=watchdog.timeout_ms() if watchdog else 0,
        short_lives=short_lives(),
        lease_until=lease_until,
    )
    loop = Loop(machine, root=root, line=inherited_line(), rmd=rmd, watchdog=watchdog)
    for warning in (*settings.warnings, *(become_realtime() if settings.realtime else [])):
        loop.note("info", warning)
    if watchdog is not None:
        loop.note("info", watchdog.identity())
        if reasons := watchdog.boot_reasons():
            loop.note("warning", f"watchdog {watchdog.device} on the machine's last reset: {', '.join(reasons)}")
    return loop.run()


def read_settings(root: Root) -> Settings:
    """apphbd.cf, then ha.cf's watchdog where that says nothing, then HA_WATCHDOG above both. Raises ConfigError."""
    path = root.config_dir / "apphbd.cf"
    settings = read_apphbd_cf(_text(path), str(path))
    if not settings.watchdog_device:
        settings = replace(settings, watchdog_device=watchdog_of_ha_cf(_text(root.ha_cf), str(root.ha_cf)))
    override = os.environ.get(WATCHDOG_VARIABLE)
    return settings if override is None else replace(settings, watchdog_device=override)


def _text(path: Path) -> str:
    """An absent file is an empty one. Raises ConfigError for one that cannot be read, or is no text of ours."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        return data.decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
