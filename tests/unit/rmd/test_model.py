# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands, the HA_ variables of a stanza, and rmd.cf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.model import ConfigError
from ha.rmd.model import Escalation, Recovery, Reset, Settings, WorkerFunction, read_rmd_cf, recovery, worker_function


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("ha.cib.daemon:main", WorkerFunction("ha.cib.daemon", "main")),
        (" toys:crmd ", WorkerFunction("toys", "crmd")),
        ("/usr/sbin/crond -n", None),
        ("crond", None),
        ("ha.cib.daemon:main --debug", None),
        ("ha..cib:main", None),
        ("", None),
    ],
)
def test_a_command_is_a_function_or_a_program(command: str, function: WorkerFunction | None) -> None:
    assert worker_function(command) == function


def test_the_variables_of_a_stanza() -> None:
    environment = {"HA_START_DEADLINE_MS": "0", "HA_RESTARTS": "5/10", "HA_ESCALATION": "reset", "OTHER": "x"}
    assert recovery(environment, "cib") == Recovery(0, 5, 10_000, Escalation.RESET)
    assert not recovery(environment, "cib").beats
    assert recovery({}, "cib") == Recovery()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HA_START_DEADLINE_MS", "-1"),
        ("HA_START_DEADLINE_MS", "soon"),
        ("HA_RESTARTS", "5"),
        ("HA_RESTARTS", "0/10"),
        ("HA_RESTARTS", "5/0"),
        ("HA_ESCALATION", "panic"),
        ("HA_RESTART_WITH", " , "),
        ("HA_RESTART_WITH", "ccm,cib"),
    ],
)
def test_mistakes_name_worker_and_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"cib: {variable} is"):
        recovery({variable: value}, "cib")


def test_rmd_cf() -> None:
    text = "reset sysrq # hard\nleave_timeout_ms 5000\npair_interval_ms 50\npair_deadline_ms 300\n"
    assert read_rmd_cf(text, "rmd.cf") == Settings(Reset.SYSRQ, 5000, 50, 300)
    assert read_rmd_cf("", "rmd.cf") == Settings()
    assert Settings().reset is Reset.NONE


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("reset hard", "none, watchdog, sysrq, reboot"),
        ("pair_interval_ms 5", "from 10"),
        ("pair_interval_ms 200\npair_deadline_ms 300", "less than twice"),
        ("nonsense 1", "no directive of rmd.cf"),
    ],
)
def test_mistakes_in_rmd_cf_are_named(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        read_rmd_cf(text, "rmd.cf")


@given(st.text())
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(read_rmd_cf(text, "rmd.cf"), Settings)
    except ConfigError as error:
        assert str(error)
