# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha status` on clusters in trouble: each thing is named once, with what to do about it."""

from __future__ import annotations

import pytest

from ha.cli import status
from ha.cli.source.cluster import view_of

CIB = """\
<cib crm_feature_set="3.16.1" epoch="1" validate-with="pacemaker-3.9" have-quorum="1" {dc}>
  <configuration>
    <crm_config><cluster_property_set id="o"><nvpair id="o-s" name="stonith-enabled" value="true"/>
      {option}</cluster_property_set></crm_config>
    <nodes><node id="n1" uname="n1" type="member"/><node id="n2" uname="n2" type="member"/></nodes>
    <resources>{device}<primitive id="web" class="ocf" provider="heartbeat" type="Dummy">{meta}</primitive></resources>
    <constraints>{constraint}</constraints>
  </configuration>
  <status>{n1}{n2}</status>
</cib>
"""
DEVICE = '<primitive id="fence" class="stonith" type="fence_x"/>'
NODE = (
    '<node_state id="{0}" uname="{0}" in_ccm="true" crmd="online" join="member" expected="member">'
    '<lrm id="{0}"><lrm_resources>{1}</lrm_resources></lrm></node_state>'
)
FAILED = (
    '<lrm_resource id="web" class="ocf" provider="heartbeat" type="Dummy"><lrm_rsc_op id="web_last_failure_0" '
    'operation_key="web_monitor_0" operation="monitor" call-id="3" rc-code="{rc}" op-status="{status}" interval="0" '
    'exit-reason="{reason}" transition-key="1:1:7:00000000-0000-0000-0000-000000000000" '
    'transition-magic="{status}:{rc};1:1:7:00000000-0000-0000-0000-000000000000" last-rc-change="1"/></lrm_resource>'
)


def said(*, failure: str = "", **parts: str) -> list[str]:
    values = {"dc": 'dc-uuid="n1"', "option": "", "device": DEVICE, "meta": "", "constraint": "",
              "n1": NODE.format("n1", failure), "n2": NODE.format("n2", failure)} | parts  # fmt: skip
    found = status.problems(view_of(CIB.format(**values).encode(), 1000))
    return [f"{what} | {remedy}" for what, remedy in found]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"dc": ""}, "there is no DC"),
        ({"device": ""}, "no fence device: no resource is started | configure one"),
        ({"option": '<nvpair id="m" name="maintenance-mode" value="true"/>'}, "in maintenance mode"),
        (
            {"meta": '<meta_attributes id="w"><nvpair id="w-m" name="is-managed" value="false"/></meta_attributes>'},
            "web is not managed: the cluster leaves it as it is | crm_resource -r web --meta -d is-managed",
        ),
        (
            {"constraint": '<rsc_location id="cli-ban-web-on-n1" rsc="web" node="n1" score="-INFINITY"/>'},
            "web is kept away from n1 by hand (cli-ban-web-on-n1) | when that is over: crm_resource --clear",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(parts: dict[str, str], words: str) -> None:
    assert [line for line in said(**parts) if words in line], said(**parts)
    assert not [line for line in said() if words in line], "and not where it is not so"


def test_the_same_failure_on_several_nodes_is_one_line() -> None:
    failure = FAILED.format(rc=5, status=5, reason="no agent in a, b, c")
    lines = [line for line in said(failure=failure) if "failed" in line]
    assert lines == [
        "monitor of web failed on n1, n2: the agent, or what it needs, is not installed there | "
        "mend the cause, then: crm_resource --cleanup --resource web"
    ]


def test_a_resource_that_failed_is_not_named_twice() -> None:
    lines = said(failure=FAILED.format(rc=1, status=4, reason="no such disk"))
    assert not [line for line in lines if "web does not run anywhere" in line]
    assert [line for line in lines if "no such disk" in line]
