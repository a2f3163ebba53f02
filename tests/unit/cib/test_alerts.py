# SPDX-License-Identifier: GPL-2.0-or-later
"""The alerts section: what is taken, and what is refused with which words."""

from __future__ import annotations

import pytest

from ha.cib.model.document import Document
from ha.cib.model.judge import apply_write
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.msg import Write
from ha.cib.schema import load

EMPTY = (
    '<cib admin_epoch="0" epoch="5" num_updates="3" validate-with="{}"><configuration><crm_config/><nodes/>'
    "<resources/><constraints/>{}</configuration><status/></cib>"
)


def write(inner: str, alert: str = 'id="a" path="/bin/a"', schema: str = "pacemaker-3.9", old: str = "") -> None:
    xml = f"<alerts>\n<alert {alert}>\n{inner}</alert></alerts>"
    order = Write(request_id="r", operation="modify", scope="configuration", allow_create=True,
                  xml=f"<configuration>{xml}</configuration>")
    apply_write(Document.from_bytes(EMPTY.format(schema, old)), order, load())


def meta(name: str, value: str, kind: str = "meta_attributes") -> str:
    return f'<{kind} id="m">\n<nvpair id="m-1" name="{name}" value="{value}"/></{kind}>'


@pytest.mark.parametrize(
    "inner",
    [
        "",
        '<recipient id="r1" value="/var/log/a"/><select/><recipient id="r2" value="ops@example.org"/>',
        "<select><select_nodes/><select_fencing/><select_resources/><select_attributes>"
        '<attribute id="s1" name="standby"/></select_attributes></select>',
        meta("timeout", "2min") + '<recipient id="r" value="x"/>',
        meta("enabled", "No"), meta("timestamp-format", "%s"), meta("of-tomorrow", "x"),
        meta("debug_exec_order", "true", "instance_attributes"),
    ],
)  # fmt: skip
def test_taken(inner: str) -> None:
    write(inner)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ("<recipient id='r'/>", "line 3, <recipient id=\"r\">: lacks the attribute 'value'"),
        ("<select><select_everything/></select>", "line 3, <select_everything>: has no place in <select>"),
        ("<select><select_attributes><attribute id='s'/></select_attributes></select>", "lacks the attribute 'name'"),
        ("<select><select_nodes>\n<attribute id='s' name='x'/></select_nodes></select>", "line 4, <attribute"),
        ("<select/>\n<select/>", "line 4, <select>: its alert has one already"),
        (meta("timeout", "soon"), "line 4, <nvpair id=\"m-1\">: timeout='soon' is not allowed: it must be a time"),
        (meta("timeout", ""), "timeout='' is not allowed"),
        (meta("timeout", "-5s"), "timeout='-5s' is not allowed"),
        (meta("enabled", "perhaps"), "line 4, <nvpair id=\"m-1\">: enabled='perhaps' is not allowed"),
        (meta("timestamp-format", ""), "timestamp-format has 0 characters"),
        (meta("timestamp-format", "%s" * 200), "timestamp-format has 400 characters"),
        (meta("CRM_alert_kind", "x", "instance_attributes"), "CRM_alert_* is what the cluster tells the agent"),
        (meta("a=b", "x", "instance_attributes"), "it becomes an environment variable"),
        ('<recipient id="r" value="x">\n' + meta("timeout", "soon") + "</recipient>", "line 5, <nvpair id=\"m-1\">"),
    ],
)  # fmt: skip
def test_refused_with_line_and_rule(inner: str, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        write(inner)
    assert caught.value.rc == Rc.CONFIG and words in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ('id="a"', "line 2, <alert id=\"a\">: lacks the attribute 'path'"),
        ('path="/x"', "lacks the attribute 'id'"),
        ('id="a" path="page"', "line 2, <alert id=\"a\">: path='page' is not allowed: it must be an absolute path"),
        ('id="a" path=""', "path='' is not allowed"),
        ('id="a" path="/x" colour="red"', "has no attribute 'colour'"),
    ],
)  # fmt: skip
def test_an_alert_that_is_none(alert: str, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        write("", alert)
    assert caught.value.rc == Rc.CONFIG and words in str(caught.value), str(caught.value)


def test_a_fault_that_was_there_before_does_not_stand_in_the_way() -> None:
    old = '<alerts><alert id="old" path="relative"/></alerts>'
    write("", old=old)
    with pytest.raises(Refusal, match="soon"):
        write(meta("timeout", "soon"), old=old)


def test_without_validation_anything_well_formed_goes() -> None:
    write(meta("timeout", "soon"), 'id="a" path="relative"', schema="none")
