# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the tools on a CIB in a file, each with the exit code and the output that clients rely on.

The expectations were recorded from Pacemaker 2.1.5. tests/unit runs ours against them; tests/real runs the installed
Pacemaker's and ours side by side.
"""

from __future__ import annotations

from typing import NamedTuple

CIB = """\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="5" num_updates="0">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="o1" name="stonith-enabled" value="false"/>
      </cluster_property_set>
    </crm_config>
    <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
    <resources><primitive id="d" class="ocf" provider="pacemaker" type="Dummy"/></resources>
    <constraints>
      <rsc_location id="l1" rsc="d">
        <rule id="over" score="10"><date_expression id="e1" operation="lt" end="2001-01-01"/></rule>
      </rsc_location>
      <rsc_location id="l2" rsc="d">
        <rule id="now" score="10"><date_expression id="e2" operation="gt" start="2001-01-01"/></rule>
      </rsc_location>
      <rsc_location id="l3" rsc="d">
        <rule id="later" score="10"><date_expression id="e3" operation="gt" start="2101-01-01"/></rule>
      </rsc_location>
      <rsc_location id="l4" rsc="d">
        <rule id="dateless" score="10"><expression id="e4" attribute="a" operation="eq" value="b"/></rule>
      </rsc_location>
      <rsc_location id="l5" rsc="d">
        <rule id="year" score="10">
          <date_expression id="e5" operation="date_spec"><date_spec id="s5" years="2020-2090"/></date_expression>
        </rule>
      </rsc_location>
      <rsc_location id="l6" rsc="d">
        <rule id="hours" score="10">
          <date_expression id="e6" operation="date_spec"><date_spec id="s6" hours="1-23"/></date_expression>
        </rule>
      </rsc_location>
      <rsc_ticket id="tk" rsc="d" ticket="T1" loss-policy="stop"/>
    </constraints>
  </configuration>
  <status/>
</cib>
"""


class Call(NamedTuple):
    """`out` is what standard output must be, None where it is not compared (dates of now, our own wording)."""

    command: str
    code: int
    out: str | None = None


SEQUENCES: dict[str, tuple[Call, ...]] = {
    "crm_rule": (
        Call("crm_rule --check --rule over", 110, "Rule over is expired\n"),
        Call("crm_rule --check --rule now", 0, "Rule now is still in effect\n"),
        Call("crm_rule --check --rule later", 111, "Rule later has not yet taken effect\n"),
        Call("crm_rule --check --rule year", 0, "Rule year satisfies conditions\n"),
        Call("crm_rule --check --rule dateless", 3),
        Call("crm_rule --check --rule hours", 3),
        Call("crm_rule --check --rule nothing", 105),
        Call("crm_rule --check --rule over --date 2000-05-05", 0, "Rule over is still in effect\n"),
        Call("crm_rule --check --rule over --date garbage", 65, ""),
        Call("crm_rule --check --rule over --rule now", 0, "Rule over is expired\nRule now is still in effect\n"),
        Call("crm_rule --check", 64, ""),
        Call("crm_rule --rule over", 64, ""),
    ),
    "crm_ticket": (
        Call("crm_ticket -l", 0, "T1\trevoked          \n"),
        Call("crm_ticket -t T1 -g", 4),
        Call("crm_ticket -t T1 -G granted", 105, ""),
        Call("crm_ticket -t T1 -g --force", 0, ""),
        Call("crm_ticket -t T1 -G granted", 0, "true\n"),
        Call("crm_ticket -t T1 -s", 0, ""),
        Call("crm_ticket -t T1 -G standby --quiet", 0, "true\n"),
        Call("crm_ticket -t T1 -a", 0, ""),
        Call("crm_ticket -t T1 --force -S owner --attr-value=-3 -S expires --attr-value=12 -S term -v 7", 0, ""),
        Call("crm_ticket -t T1 -S owner -v -4", 0, ""),
        Call("crm_ticket -t T1 -G owner", 0, "-4\n"),
        Call("crm_ticket -t T1 -G nothing", 105, ""),
        Call("crm_ticket -t T1 -G nothing -d 7", 0, "7\n"),
        Call("crm_ticket -w", 0, "T1\n"),
        Call("crm_ticket -c", 0, 'Constraints XML:\n\n<rsc_ticket id="tk" rsc="d" ticket="T1" loss-policy="stop"/>\n'),
        Call("crm_ticket -t T1 -D owner", 0, ""),
        Call("crm_ticket -t T1 -G owner", 105, ""),
        Call("crm_ticket -t T1 -r", 4),
        Call("crm_ticket -t T1 -r --force", 0, ""),
        Call("crm_ticket -t T1 -G granted", 0, "false\n"),
        Call("crm_ticket -t T9 -l", 105, ""),
        Call("crm_ticket -t T9 -q", 105, ""),
        Call("crm_ticket -t T1 -C", 0, "Cleaned up T1\n"),
        Call("crm_ticket -t T1 -q", 105, ""),
        Call("crm_ticket -t T2 -S x", 64, ""),
        Call("crm_ticket -g", 64, ""),
        Call("crm_ticket", 64, ""),
    ),
    "crm_shadow": (
        Call("crm_shadow -w", 105),
        Call("crm_shadow -b -c one", 0),
        Call("crm_shadow -b -c one", 73),
        Call("crm_shadow -b -f -c one", 0),
        Call("env CIB_shadow=one crm_shadow -w", 0, "one\n"),
        Call("env CIB_shadow=one crm_attribute -t crm_config -n cluster-name -v trial", 0, ""),
        Call("env CIB_shadow=one crm_attribute -t crm_config -n cluster-name -G -q", 0, "trial\n"),
        Call("crm_attribute -t crm_config -n cluster-name -G -q", 105),
        Call("env CIB_shadow=one crm_shadow -d", 1),
        Call("crm_shadow -b -C one", 64),
        Call("crm_shadow -b -C nothing --force", 105),
        Call("crm_shadow -b -C one --force", 0),
        Call("crm_shadow -b -e empty", 0),
        Call("crm_shadow -b -e empty", 73),
        Call("crm_shadow -b -r one", 0),
        Call("crm_shadow -b -r nothing", 105),
        Call("crm_shadow -b -s one", 0),
        Call("crm_shadow -b -D one", 64),
        Call("crm_shadow -b -D one --force", 0),
        Call("env CIB_shadow=one crm_shadow -p", 105),
        Call("crm_shadow", 64),
    ),
    "iso8601": (
        Call("iso8601 -d 2020-01-01T10:00:00", 0, "Date: 2020-01-01 10:00:00Z\n"),
        Call("iso8601 -d 2020-W05-3", 0, "Date: 2020-01-29 00:00:00Z\n"),
        Call("iso8601 -d 2020-040", 0, "Date: 2020-02-09 00:00:00Z\n"),
        Call("iso8601 -d 2020-01-01 -S", 0, "Date: 1577836800\n"),
        Call("iso8601 -d 2020-01-01 -s", 0, "Date: 63713433600\n"),
        Call("iso8601 -d 2020-01-01 -O", 0, "Date: 2020-001 00:00:00Z\n"),
        Call("iso8601 -d 2020-01-01 -W", 0, "Date: 2020-W01-3 00:00:00Z\n"),
        Call("iso8601 -d epoch", 0, "Date: 1970-01-01 00:00:00Z\n"),
        Call("iso8601 -p 2005-040/2005-043", 0, "Period: 2005-02-09 00:00:00Z to 2005-02-12 00:00:00Z\n"),
        Call("iso8601 -p 2005-040/P1M", 0, "Period: 2005-02-09 00:00:00Z to 2005-03-09 00:00:00Z\n"),
        Call("iso8601 -D P1M", 0),
        Call("iso8601 -d garbage", 2, ""),
        Call("iso8601 -d 2020-13-01", 2, ""),
        Call("iso8601 -d 2020-01-01T25:00:00", 2, ""),
        Call("iso8601 -D x", 2, ""),
        Call("iso8601 -p x", 2, ""),
        Call("iso8601 -d 2020-01-01 -E nope", 1),
        Call("iso8601", 0, ""),
    ),
    "crm_error": (
        Call("crm_error -X 105", 0, "No such object\n"),
        Call("crm_error -X -n 105", 0, "CRM_EX_NOSUCH - No such object\n"),
        Call("crm_error -X 999", 0, "Unknown exit status\n"),
        Call("crm_error 0", 0, "OK\n"),
        Call("crm_error -- -22", 0, "Invalid argument\n"),
        Call("crm_error -r -n -- -1001", 0, "pcmk_rc_error - Error\n"),
        Call("crm_error abc", 0, "Error\n"),
    ),
    "crm_failcount, crm_master": (
        Call("crm_failcount -G -r d -N n1", 0, "scope=status  name=fail-count-d value=0\n"),
        Call("crm_failcount -G -r d -N n1 -q", 0, "0\n"),
        Call("crm_failcount -G", 64),
        Call("crm_failcount -r d", 64),
        Call("crm_master -G", 1),
        Call("env OCF_RESOURCE_INSTANCE=d crm_master -G -N n1", 105),
        Call("crm_master -r d -N n1 -v -5 -l forever", 0, ""),
        Call("crm_master -r d -N n1 -G", 0, "scope=nodes  name=master-d value=-5\n"),
        Call("crm_master -r d -N n1 -D", 0),
        Call("crm_master -r d -N n1 -G", 105),
    ),
}
