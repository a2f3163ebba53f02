# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux-HA plug-ins under a real stonithd: a script of the external kind, cluster-glue's own, and fence_legacy."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.stonith.msg import DeviceOperation, DeviceOperationDone, Fenced, FenceNode
from tests.real.lrm_node import WorkerLink
from tests.real.stonith_node import VIEW, StonithNode

pytestmark = pytest.mark.real

SCRIPT = """#!/bin/sh
[ "$1" != getconfignames ] || { echo "hostlist log password"; exit 0; }
[ -n "$hostlist" ] || { echo "hostlist is not set" >&2; exit 1; }
echo "$* hostlist=$hostlist password=$password" >>"$log"
case $1 in
gethosts) for host in $hostlist; do echo $host; done;;
status) [ "$password" = right ];;
reset|off|on) exit 0;;
*) exit 1;;
esac
"""


def operate(node: StonithNode, agent: str, operation: str, parameters: dict[str, str]) -> DeviceOperationDone:
    lrmd = WorkerLink(node.root, "stonithd", "lrmd")
    lrmd.send(DeviceOperation(request_id=f"{operation} {sorted(parameters.items())}", device="power", agent=agent,
                              operation=operation, timeout_ms=20_000, parameters=parameters))  # fmt: skip
    done = lrmd.receive(DeviceOperationDone)
    lrmd.close()
    return done


def fence(node: StonithNode, action: str, key: str) -> Fenced:
    node.crmd.send(FenceNode(request_id=key, target="n3", action=action, timeout_ms=20_000, view=VIEW))  # type: ignore[arg-type]
    return node.crmd.receive(Fenced)


def test_an_external_plugin_monitors_and_fences(short_path: Path) -> None:
    log = short_path / "log"
    parameters = {"hostlist": "n1 n2 n3", "log": str(log), "password": "right"}
    node = StonithNode(short_path, agent="external/mine", parameters=parameters)
    script = node.root.path("/usr/lib/stonith/plugins/external/mine")
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)
    node.start()
    try:
        assert operate(node, "external/mine", "start", parameters).rc == 0
        wrong = operate(node, "external/mine", "monitor", {**parameters, "password": "wrong"})
        assert wrong.rc == 1
        assert (fence(node, "reboot", "f1").ok, fence(node, "off", "f2").ok) == (True, True)
        lines = log.read_text().splitlines()
        assert "reset n3 hostlist=n1 n2 n3 password=right" in lines
        assert "off n3 hostlist=n1 n2 n3 password=right" in lines
        assert operate(node, "external/absent", "start", {}).rc == 5
    finally:
        node.stop()


@pytest.mark.parametrize("agent", ["null", "fence_legacy"])
def test_plugins_of_cluster_glue(short_path: Path, agent: str) -> None:
    if not Path("/usr/sbin/stonith").is_file() or not Path("/usr/lib/stonith/plugins/stonith2/null.so").is_file():
        pytest.skip("Debian's cluster-glue is not installed")
    if agent == "fence_legacy" and not Path("/usr/sbin/fence_legacy").is_file():
        pytest.skip("fence_legacy (package pacemaker-cli-utils) is not installed")
    parameters = {"hostlist": "n1 n2 n3", **({"plugin": "null"} if agent == "fence_legacy" else {})}
    node = StonithNode(short_path, agent=agent, parameters=parameters)
    node.start()
    try:
        assert operate(node, agent, "start", parameters).rc == 0
        told = fence(node, "off", "f1")
        assert told.ok, told.reason
    finally:
        node.stop()
