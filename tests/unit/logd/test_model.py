# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuration of the log, good and bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.logd.model import ConfigError, Settings, printable, read_ha_cf, read_logd_cf, stamp


def test_ha_cf_gives_files_facility_format_and_debug() -> None:
    text = """\
# comment
logfile /var/log/a
debugfile /var/log/b  # both
logfacility local0
logformat json
debug 1
node n1
"""
    assert read_ha_cf(text, "ha.cf", Settings()) == Settings(
        logfile="/var/log/a", debugfile="/var/log/b", facility="local0", format="json", level="debug"
    )


def test_logd_cf_goes_before_ha_cf() -> None:
    settings = read_logd_cf("logfile /b\nlogmode 0644\n", "logd.cf", read_ha_cf("logfile /a\n", "ha.cf", Settings()))
    assert (settings.logfile, settings.mode) == ("/b", 0o644)


def test_what_has_no_effect_is_named() -> None:
    assert read_logd_cf("sendqlen 256\n", "logd.cf", Settings()).warnings == ("logd.cf:1: sendqlen has no effect",)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("logfile relative", "logfile is an absolute path"),
        ("logfacility local9", "logfacility is none or one of"),
        ("logformat xml", "text or json, not 'xml'"),
        ("logmode 0999", "octal mode"),
        ("logfile", "not ''"),
        ("nonsense 1", "'nonsense' is no directive of logd.cf"),
    ],
)
def test_mistakes_name_file_line_and_mistake(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_logd_cf(f"# first\n{text}\n", "logd.cf", Settings())
    assert str(caught.value).startswith("logd.cf:2: ")
    assert mistake in str(caught.value)


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        read_ha_cf("x" * 300_000, "ha.cf", Settings())


@given(st.text())
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(read_logd_cf(text, "logd.cf", Settings()), Settings)
    except ConfigError as error:
        assert "logd.cf" in str(error)


@given(st.text())
def test_printable_lines_are_one_line(text: str) -> None:
    assert printable(text).isprintable()


@given(st.integers())
def test_any_time_has_a_stamp(at_ms: int) -> None:
    assert stamp(at_ms)
