# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's whole life in the hands of crmsh as Debian ships it, unmodified: `crm` finds our tools by PATH.

Sub-commands that cannot work, and why, are in docs/clients.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import cluster
from tests.real.client_host import EFFECT_TIMEOUT_S, ClientHost, skip_unless
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.slow, skip_unless("crm")]


class Crm:
    """crm on the first node, with a crm.conf of its own and an editor that makes 5 seconds of 6."""

    def __init__(self, running: TestCluster) -> None:
        self.host = ClientHost(running)
        self.running = running
        self.agents = Path(running.layout.root(self.host.node).prefix) / "usr/lib/ocf"
        editor = self.host.folder / "editor"
        editor.write_text('#!/bin/sh\nexec sed -i s/interval=5s/interval=6s/ "$1"\n')
        editor.chmod(0o755)
        settings = self.host.folder / ".config" / "crm"
        settings.mkdir(parents=True)
        (settings / "crm.conf").write_text(
            f"[core]\neditor = {editor}\npager = cat\n[color]\nstyle = plain\n[path]\nocf_root = {self.agents}\n"
        )

    def __call__(
        self, command: str = "", *, script: tuple[str, ...] | None = None, terminal: bool = False, **variables: str
    ) -> str:
        """Standard output; fails the test when crm does."""
        text = "\n".join(script) + "\n" if script is not None else None
        variables = {"HA_OCF_PATH": f"{self.agents}/resource.d", **variables}
        done = self.host.run("crm", *command.split(), script=text, terminal=terminal, **variables)
        said = f"crm {command} {script or ''}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        assert "Traceback" not in done.stderr and "ERROR" not in done.stderr, said
        return done.stdout

    def primitive(self, name: str) -> str:
        return f"primitive {name} ocf:test:recorder {self.parameters} op monitor interval=5s timeout=20s"

    @property
    def parameters(self) -> str:
        return f"params log={self.running.agent_log} state={self.running.folder}"


@pytest.fixture
def crm() -> Iterator[Crm]:
    with cluster.running(3) as running:
        running.settle()
        yield Crm(running)


def a_cluster_is_configured(crm: Crm) -> None:
    host, (first, second, third) = crm.host, crm.running.layout.nodes
    crm("configure", script=(
        crm.primitive("a"), crm.primitive("b"), crm.primitive("c"), "group g a b", "clone cl c",
        f"location prefers g 100: {first}", "colocation near inf: cl g", "order then Optional: g cl",
        "rsc_defaults resource-stickiness=10", "op_defaults timeout=30s", "property cluster-name=life", "delete near",
        "commit",
    ))  # fmt: skip
    host.await_places("a", first)
    host.await_places("b", first)
    host.await_places("c", first, second, third)
    assert host.cib("//group[@id='g']/primitive[@id='a']") and host.cib("//clone[@id='cl']/primitive[@id='c']")
    assert host.cib(f"//rsc_location[@id='prefers'][@score='100'][@node='{first}']") and host.cib("//rsc_order")
    assert host.cib("//nvpair[@name='cluster-name'][@value='life']") and not host.cib("//rsc_colocation")
    assert host.cib("//op_defaults//nvpair[@name='timeout'][@value='30s']")
    shown = crm("configure show")
    for word in ("group g a b", "clone cl c", "location prefers g 100:", "order then Optional:", "cluster-name=life"):
        assert word in shown
    crm("configure verify")
    assert f"a\t(ocf:test:recorder):\t Started {first}" in crm("status")
    assert "current_dc" in crm("status xml")

    crm("configure", script=(
        f"rsc_template tpl ocf:test:recorder {crm.parameters} op monitor interval=7s", "primitive d @tpl",
        f"location away d rule -inf: #uname eq {first}", "tag both g d", "commit",
    ))  # fmt: skip
    wait_for(lambda: crm.running.where("d") not in ([], [first]), "the rule keeps d away", EFFECT_TIMEOUT_S)
    assert host.cib("//primitive[@id='d'][@template='tpl']") and host.cib("//tag[@id='both']/obj_ref[@id='d']")
    assert "rsc=g" in crm("resource constraints a") and "a_start_0" in crm("resource operations a")


def resources_are_looked_after(crm: Crm) -> None:
    host, (first, second, _) = crm.host, crm.running.layout.nodes
    crm(f"resource move g {second} force")
    host.await_places("a", second)
    assert host.cib("//rsc_location[@id='cli-prefer-g']")
    crm("resource clear g")
    assert not host.cib("//rsc_location[@id='cli-prefer-g']")
    crm(f"resource ban g {second}")
    host.await_places("a", first)
    assert host.cib(f"//rsc_location[@id='cli-ban-g-on-{second}']") and "is running on" in crm("resource locate g")
    crm("resource clear g")
    crm.running.settle()
    starts = host.count("started", "a")
    crm("resource restart g")
    assert host.count("started", "a") == starts + 1
    host.await_places("a", first)

    said = crm("resource", script=(
        "param a set start_delay 0.1", "param a show start_delay", "param a delete start_delay",
        "meta g set priority 5", "meta g show priority", "meta g delete priority", "utilization a set cpu 2",
    ))  # fmt: skip
    assert {"0.1", "5"} <= set(said.splitlines())
    assert host.cib("//primitive[@id='a']/utilization/nvpair[@name='cpu'][@value='2']")
    crm("resource utilization a delete cpu")
    assert not host.cib("//nvpair[@name='start_delay' or @name='priority' or @name='cpu']")

    crm("resource stop g")
    host.await_places("a")
    host.await_places("b")
    crm("resource start g")
    host.await_places("a", first)
    crm("resource unmanage g")
    host.await_monitored("//resource[@id='a'][@managed='false']")
    crm("resource manage g")
    host.await_monitored("//resource[@id='a'][@managed='true']")


def failures_are_counted_and_forgotten(crm: Crm) -> None:
    host, first = crm.host, crm.running.layout.nodes[0]
    crm.running.settle()
    pid = int((crm.running.folder / f"{first}-a.pid").read_text())
    crm.running.run(first, "kill", "-9", str(pid))
    count = f"//node_history/node[@name='{first}']/resource_history[@id='a']/@fail-count"
    wait_for(lambda: host.monitored(count) == ["1"], "the monitor counted the failure", EFFECT_TIMEOUT_S)
    assert "value=1" in crm(f"resource failcount a show {first}")
    crm(f"resource failcount a set {first} 3")
    wait_for(lambda: host.monitored(count) == ["3"], "the count was set", EFFECT_TIMEOUT_S)
    crm("resource cleanup a")
    wait_for(lambda: host.monitored(count) == [], "the failures are forgotten", EFFECT_TIMEOUT_S)
    assert not host.monitored("//failures/failure")
    crm("resource refresh")
    host.await_places("a", first)


def nodes_are_looked_after(crm: Crm) -> None:
    host, (first, second, third) = crm.host, crm.running.layout.nodes
    crm(f"node standby {third}")
    host.await_places("c", first, second)
    host.await_monitored(f"//nodes/node[@name='{third}'][@standby='true']")
    crm(f"node online {third}")
    host.await_places("c", first, second, third)
    host.await_monitored(f"//nodes/node[@name='{third}'][@standby='false']")
    crm(f"node maintenance {third}")
    host.await_monitored(f"//nodes/node[@name='{third}'][@maintenance='true']")
    crm(f"node ready {third}")
    host.await_monitored(f"//nodes/node[@name='{third}'][@maintenance='false']")

    crm(f"node attribute {third} set colour blue")
    assert host.cib(f"//node[@uname='{third}']//nvpair[@name='colour'][@value='blue']")
    assert "value=blue" in crm(f"node attribute {third} show colour")
    crm("node", script=(
        f"attribute {third} delete colour", f"utilization {third} set cpu 4", f"status-attr {third} set mood good",
    ))  # fmt: skip
    assert host.cib(f"//node[@uname='{third}']/utilization/nvpair[@name='cpu'][@value='4']")
    assert not host.cib("//nvpair[@name='colour']")
    wait_for(
        lambda: host.cib(f"//node_state[@uname='{third}']//nvpair[@name='mood'][@value='good']"), "attrd wrote it",
        EFFECT_TIMEOUT_S,
    )  # fmt: skip
    shown = crm("node show")
    assert all(f"{node}({number}): member" in shown for number, node in enumerate((first, second, third), 1)), shown
    crm("maintenance on")
    host.await_monitored("//cluster_options[@maintenance-mode='true']")
    crm("maintenance off")
    host.await_monitored("//cluster_options[@maintenance-mode='false']")


def agents_are_described(crm: Crm) -> None:
    assert set(crm("ra classes").split()) >= {"lsb", "ocf", "stonith", "test"}
    assert crm("ra list ocf test").split() == ["recorder"]
    assert "Records starts and stops" in crm("ra info ocf:test:recorder")
    assert crm("ra providers recorder").split() == ["test"]
    assert "no-quorum-policy" in crm("ra info pacemaker-schedulerd")


def configurations_are_edited_saved_loaded_and_tried(crm: Crm) -> None:
    host = crm.host
    crm("configure edit c", terminal=True)
    assert host.cib("//primitive[@id='c']//op[@name='monitor'][@interval='6s']")
    saved = host.folder / "saved.crm"
    crm(f"configure save {saved}")
    saved.write_text(saved.read_text().replace("resource-stickiness=10", "resource-stickiness=11"))
    crm(f"configure load update {saved}")
    assert host.cib("//rsc_defaults//nvpair[@name='resource-stickiness'][@value='11']")
    crm(f"configure save xml {host.folder / 'saved.xml'}")
    assert "<primitive" in (host.folder / "saved.xml").read_text()

    said = crm(script=(
        "cib new trial", "cib use trial", "configure property cluster-name=tried",
        "configure location no cl -inf: " + crm.running.layout.nodes[0], "configure ptest nograph", "cib diff",
    ))  # fmt: skip
    assert "Transition Summary:" in said and "Stop" in said, "the simulation in the shadow copy stops an instance"
    assert "tried" in said.partition("Revised Cluster Status")[2], "the difference to the cluster is shown"
    assert "trial" in crm("cib list")
    assert host.cib("//nvpair[@name='cluster-name'][@value='life']"), "the cluster itself is as it was"
    crm("cib commit trial")
    assert host.cib("//nvpair[@name='cluster-name'][@value='tried']")
    host.await_places("c", *crm.running.layout.nodes[1:])
    crm("cib delete trial")
    assert "trial" not in crm("cib list")
    crm("configure", script=("delete no", "ptest nograph", "commit"))
    host.await_places("c", *crm.running.layout.nodes)


def everything_is_replaced_and_deleted(crm: Crm) -> None:
    host = crm.host
    for resource in ("d", "g", "cl", "power-switch"):
        crm(f"resource stop {resource}")
    for resource in "abcd":
        host.await_places(resource)
    crm.running.settle()
    # crmsh, which takes the whole away before it loads, loses its way where there is a template (docs/clients.md).
    crm("configure delete away both d tpl")
    saved = host.folder / "all.crm"
    crm(f"configure save {saved}")
    saved.write_text(saved.read_text().replace("resource-stickiness=11", "resource-stickiness=12"))
    crm(f"configure load replace {saved}")
    assert host.cib("//rsc_defaults//nvpair[@name='resource-stickiness'][@value='12']") and host.cib("//group[@id='g']")
    crm("configure", script=("delete prefers then", "delete g cl", "delete a b c power-switch", "commit"))
    assert not host.cib("//configuration/resources/*") and not host.cib("//constraints/*") and not host.cib("//tags/*")
    host.await_monitored("//resources[not(*)]")


LIFE = (
    a_cluster_is_configured,
    resources_are_looked_after,
    failures_are_counted_and_forgotten,
    nodes_are_looked_after,
    agents_are_described,
    configurations_are_edited_saved_loaded_and_tried,
    everything_is_replaced_and_deleted,
)
"""One after the other on one cluster: each finds what those before it made."""


def test_a_cluster_lives_in_the_hands_of_crm(crm: Crm) -> None:
    for chapter in LIFE:
        print(chapter.__name__)  # where it failed, if it does
        chapter(crm)
