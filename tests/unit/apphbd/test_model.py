# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd.cf and ha.cf's watchdog, good and bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.model import ConfigError, Settings, read_apphbd_cf, watchdog_of_ha_cf


def test_every_directive() -> None:
    text = "realtime no\nwatchdog_device /dev/watchdog # one\nwatchdog_interval_ms 500\nwatchdog_timeout_ms 4000\n"
    assert read_apphbd_cf(text, "apphbd.cf") == Settings(
        realtime=False, watchdog_device="/dev/watchdog", watchdog_interval_ms=500, watchdog_timeout_ms=4000
    )


def test_what_heartbeat_knew_and_has_no_effect_here_is_named() -> None:
    [warning] = read_apphbd_cf("notify_plugin recmgr\n", "apphbd.cf").warnings
    assert warning.startswith("apphbd.cf:1: notify_plugin has no effect")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("realtime maybe", "yes or no"),
        ("watchdog_device watchdog", "absolute path"),
        ("watchdog_interval_ms 0", "from 10 to 60000"),
        ("watchdog_interval_ms ²", "from 10 to 60000"),
        ("watchdog_timeout_ms 1000\nwatchdog_interval_ms 900", "less than twice"),
        ("watchdog_timeout_ms 5000\nwatchdog_pretimeout_ms 5000", "counts back from the reset"),
        ("nonsense", "no directive"),
    ],
)
def test_mistakes_are_named(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        read_apphbd_cf(text, "apphbd.cf")


def test_the_watchdog_of_ha_cf() -> None:
    assert watchdog_of_ha_cf("node n1\nwatchdog /dev/watchdog1\n", "ha.cf") == "/dev/watchdog1"
    assert watchdog_of_ha_cf("node n1\n", "ha.cf") == ""


@given(st.text())
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(read_apphbd_cf(text, "apphbd.cf"), Settings)
    except ConfigError as error:
        assert str(error)
