# SPDX-License-Identifier: GPL-2.0-or-later
"""The contracts of the agent classes, as tables."""

from __future__ import annotations

import errno
import xml.etree.ElementTree as ElementTree

import pytest

from ha.lrm.io.results import agent_result
from ha.lrm.model.classes import CallError, Surroundings, call, clean, exit_reason, heartbeat_arguments, ocf_code
from ha.lrm.model.metadata import heartbeat_metadata, lsb_header, lsb_metadata
from ha.lrm.msg import Resource
from ha.runner.model import End

AROUND = Surroundings({"PATH": "/bin"})
WEB = Resource("web:1", "ocf", "WebPage", "heartbeat")


def test_ocf_environment() -> None:
    how = call(
        WEB, "monitor", {"ip": "127.0.0.9", "OCF_CHECK_LEVEL": "10"},
        {"interval": "10000", "on-node": "n1", "CRM_meta_timeout": "20000", "op_target_rc": "0",
         "crm_feature_set": "3.16.1"},
        AROUND,
    )  # fmt: skip
    assert how.arguments == ("monitor",)
    assert how.environment == {
        "PATH": "/bin",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RESOURCE_INSTANCE": "web:1",
        "OCF_RESOURCE_TYPE": "WebPage",
        "OCF_RESOURCE_PROVIDER": "heartbeat",
        "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:",
        "OCF_RESKEY_ip": "127.0.0.9",
        "OCF_CHECK_LEVEL": "10",
        "OCF_RESKEY_CRM_meta_interval": "10000",
        "OCF_RESKEY_CRM_meta_on_node": "n1",
        "OCF_RESKEY_CRM_meta_timeout": "20000",
        "OCF_RESKEY_crm_feature_set": "3.16.1",
    }


def test_lsb_and_heartbeat_ask_for_status_where_ocf_asks_for_monitor() -> None:
    assert call(Resource("a", "lsb", "x"), "monitor", {}, {}, AROUND).arguments == ("status",)
    assert call(Resource("a", "lsb", "x"), "start", {"1": "ignored"}, {}, AROUND).arguments == ("start",)
    parameters = {"10": "ten", "2": "two", "1": "one", "4": "four", "name": "not an argument"}
    how = call(Resource("a", "heartbeat", "x"), "monitor", parameters, {}, AROUND)
    assert how.arguments == ("one", "two", "four", "ten", "status")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [({"a=b": "1"}, "parameter name"), ({"": "1"}, "parameter name"), ({"a": "1\0"}, "NUL"), ({"a b": ""}, "blanks")],
)
def test_parameters_that_no_environment_can_carry(parameters: dict[str, str], complaint: str) -> None:
    with pytest.raises(CallError, match=complaint):
        call(WEB, "start", parameters, {}, AROUND)


def test_unknown_classes_and_too_many_arguments() -> None:
    with pytest.raises(CallError, match="nagios"):
        call(Resource("a", "nagios", "x"), "start", {}, {}, AROUND)
    with pytest.raises(CallError, match="65 arguments"):
        heartbeat_arguments({str(n): "x" for n in range(65)})


@pytest.mark.parametrize(
    ("agent_class", "operation", "exit_code", "stdout", "rc"),
    [
        ("ocf", "monitor", 7, "", 7),
        ("ocf", "monitor", 190, "", 190),
        ("ocf", "start", 255, "", 255),
        ("lsb", "start", 0, "", 0),
        ("lsb", "stop", 7, "", 7),
        ("lsb", "start", 8, "", 1),
        ("lsb", "start", 255, "", 1),
        ("lsb", "monitor", 0, "", 0),
        ("lsb", "monitor", 1, "", 7),
        ("lsb", "monitor", 2, "", 7),
        ("lsb", "monitor", 3, "", 7),
        ("lsb", "monitor", 4, "", 1),
        ("lsb", "status", 151, "", 1),
        ("heartbeat", "start", 0, "stopped", 0),
        ("heartbeat", "stop", 1, "", 1),
        ("heartbeat", "monitor", 0, "running", 0),
        ("heartbeat", "monitor", 3, "Running\n", 0),
        ("heartbeat", "monitor", 0, "OK", 0),
        ("heartbeat", "monitor", 0, "ok", 7),
        ("heartbeat", "monitor", 0, "stopped", 7),
        ("heartbeat", "monitor", 0, "is not\nrunning OK", 7),
        ("heartbeat", "monitor", 0, "", 7),
        ("heartbeat", "monitor", 5, "running", 5),
    ],
)
def test_codes(agent_class: str, operation: str, exit_code: int, stdout: str, rc: int) -> None:
    assert ocf_code(agent_class, operation, exit_code, stdout) == rc


def test_the_last_exit_reason_wins() -> None:
    assert exit_reason("noise\nocf-exit-reason:first\nERROR: ocf-exit-reason:second \nmore") == "second"
    assert exit_reason("nothing of the kind") == ""
    assert len(exit_reason("ocf-exit-reason:" + "x" * 10_000)) == 512


def test_what_xml_cannot_carry_is_replaced() -> None:
    assert clean("a\x00b\x1b[1m\ttab\nline\ufffe\ud800", 100) == "a?b?[1m\ttab\nline??"


@pytest.mark.parametrize(
    ("end", "rc", "status"),
    [
        (End(fate="exited", code=0), 0, "done"),
        (End(fate="exited", code=7), 7, "done"),
        (End(fate="signalled", code=9), 1, "error"),
        (End(fate="timeout", exec_ms=100), 1, "timeout"),
        (End(fate="not started", code=errno.ENOENT), 5, "not installed"),
        (End(fate="not started", code=errno.EACCES), 4, "error"),
        (End(fate="not started", code=errno.ENOEXEC), 1, "error"),
        (End(fate="not started", code=errno.E2BIG), 2, "invalid"),
        (End(fate="lost"), 1, "error"),
    ],
)
def test_fates(end: End, rc: int, status: str) -> None:
    result = agent_result("ocf", "monitor", end)
    assert (result.rc, result.status, result.revoked) == (rc, status, False)
    assert bool(result.exit_reason) == (end.fate != "exited")


def test_a_revoked_job_says_so() -> None:
    assert agent_result("ocf", "start", End(fate="revoked")).revoked


INIT_SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides:          apache2 -- <httpd>
# Required-Start:    $local_fs $network
# Short-Description: Web & more
# Description:       Long
#  goes on
### END INIT INFO
# Provides: not me
"""


def test_lsb_metadata_is_well_formed_and_from_the_header() -> None:
    header = lsb_header(INIT_SCRIPT)
    assert header["Description"] == "Long goes on"
    document = ElementTree.fromstring(lsb_metadata('a"pache', INIT_SCRIPT))
    assert document.get("name") == 'a"pache'
    assert document.findtext("shortdesc") == "Web & more"
    assert ElementTree.fromstring(lsb_metadata("bare", "\x7fELF no header")).findtext("shortdesc") == "init script bare"


def test_heartbeat_metadata_has_five_arguments() -> None:
    document = ElementTree.fromstring(heartbeat_metadata("IPaddr"))
    assert [parameter.get("name") for parameter in document.iter("parameter")] == ["1", "2", "3", "4", "5"]
