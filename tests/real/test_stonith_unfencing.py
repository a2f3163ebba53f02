# SPDX-License-Identifier: GPL-2.0-or-later
"""Unfencing in a whole cluster: a node lets itself in at the device before a resource that needs it starts there."""

from __future__ import annotations

import pytest

from tests.real.cluster import TestCluster, running
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

GUARD = """#!/bin/sh
# Guards a disk by keys, one for each node; a node registers its own.
input=$(cat)
option() { printf '%s\\n' "$input" | sed -n "s/^$1=//p" | tail -n 1; }
case $(option action) in
metadata) cat <<'END'
<resource-agent name="fence_guard"><parameters><parameter name="action"/><parameter name="plug"/>
<parameter name="keys"/></parameters><actions><action name="on" on_target="1" automatic="1"/><action name="off"/>
<action name="monitor"/></actions></resource-agent>
END
;;
on) echo "$(option nodename) ${HA_ROOT##*/}" >>"$(option keys)";;
esac
"""


def guarded(cluster: TestCluster, generation: int) -> str:
    keys = cluster.folder / "keys"
    device = (
        '<primitive id="guard" class="stonith" type="fence_guard">'
        '<meta_attributes id="guard-m"><nvpair id="guard-m-p" name="provides" value="unfencing"/></meta_attributes>'
        f'<instance_attributes id="guard-i"><nvpair id="guard-i-k" name="keys" value="{keys}"/>'
        f'<nvpair id="guard-i-g" name="generation" value="{generation}"/>'
        f'<nvpair id="guard-i-h" name="pcmk_host_list" value="{" ".join(cluster.layout.nodes)}"/>'
        "</instance_attributes></primitive>"
    )
    return f"<configuration><resources>{device}</resources></configuration>"


def test_each_node_is_unfenced_by_itself_before_resources_start_there() -> None:
    with running(3) as cluster:
        for node in cluster.layout.nodes:
            path = cluster.layout.root(node).path("/usr/sbin/fence_guard")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(GUARD)
            path.chmod(0o755)
        keys = cluster.folder / "keys"
        keys.touch()
        cluster.load(guarded(cluster, 1))
        cluster.add_recorder("disk")
        cluster.settle()
        wait_for(lambda: cluster.where("disk") != [], "the resource has started")
        nodes = cluster.layout.nodes

        def let_in() -> list[str]:
            return sorted(keys.read_text().split("\n"))

        assert [line for line in let_in() if line] == [f"{node} {node}" for node in nodes]
        cluster.load(guarded(cluster, 2))
        wait_for(lambda: len(keys.read_text().splitlines()) == 2 * len(nodes), "a changed definition unfences anew")
        cluster.settle()
        assert len(keys.read_text().splitlines()) == 2 * len(nodes), "and not again and again"
