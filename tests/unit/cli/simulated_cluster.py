# SPDX-License-Identifier: GPL-2.0-or-later
"""Clusters for crm_simulate: one with something of every kind that it tells, and one that has a demotion to do."""

from __future__ import annotations

from tests.unit.pe.small_cib import absent, cib, operation, primitive, running

CAPACITY = '<utilization id="{0}-u"><nvpair id="{0}-u-c" name="cpu" value="{1}"/></utilization>'
TIMES = 'exec-time="10" queue-time="0"'
CLUSTER = cib(
    options={"placement-strategy": "utilization"},
    resources=primitive("A", parameters=CAPACITY.format("A", 2))
    + f'<group id="G">{primitive("X")}{primitive("Y")}</group>'
    + f'<clone id="C"><meta_attributes id="C-m"><nvpair id="C-m-p" name="promotable" value="true"/></meta_attributes>'
    f"{primitive('P')}</clone>",
    history=[running("A", "n1"), absent("A", ["n2"]), {"n2": {"X": operation("X", "start", "n2", rc=1, more=TIMES)}}],
    transient={
        "n1": {"site": "a", "shutdown": "0"},
        "n2": {"fail-count-X#start_0": "2", "last-failure-X#start_0": "1"},
    },
).replace(b'<node id="n1" uname="n1"/>', f'<node id="n1" uname="n1">{CAPACITY.format("n1", 4)}</node>'.encode())
_META = '<meta_attributes id="C-m"><nvpair id="C-m-p" name="promotable" value="true"/>{}</meta_attributes>'
_ROLE = '<nvpair id="C-m-t" name="target-role" value="Unpromoted"/>'
PROMOTED = cib(
    resources=f'<clone id="C">{_META.format(_ROLE)}{primitive("P", monitor_s=0)}</clone>',
    history=[{"n1": {"P": operation("P", "promote", "n1")}}],
    transient={"n1": {"master-P": "10"}},
)
