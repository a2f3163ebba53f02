# SPDX-License-Identifier: GPL-2.0-or-later
"""Two real nodes and a tie-breaker: one dies, the other goes on by its word; without it, not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.ccm.model.register import decode
from tests.real.heartbeat_node import HeartbeatNode, free_ports
from tests.real.test_ccm_attrd import CONFIG, ClusterNode, agreed, wait_for_view
from tests.real.waiting import wait_for
from tests.unit.ccm.test_register import Store

pytestmark = pytest.mark.real
NAMES = ["n1", "n2"]


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def two_nodes(folder: Path, line: str) -> list[ClusterNode]:
    ports = free_ports(len(NAMES))
    lines = [f"ucast lo 127.0.0.1:{port}" for port in ports]
    return [
        ClusterNode(HeartbeatNode(folder, name, NAMES, [f"bindaddr 127.0.0.1:{port}", *lines], f"{CONFIG}\n{line}"))
        for name, port in zip(NAMES, ports, strict=True)
    ]


def test_the_survivor_is_granted_by_http_after_the_server_is_back(short_path: Path, store: Store) -> None:
    nodes = two_nodes(short_path, f"tie_breaker http {store.url} 1")
    try:
        for node in nodes:
            node.start()
        wait_for_view(nodes, set(NAMES))
        store.status = 503
        nodes[1].kill()
        assert wait_for(lambda: _alone(nodes[0]), "n1 is alone") == [False]
        store.status = 0
        view = wait_for_view(nodes[:1], {"n1"})
        assert store.data is not None
        grant = decode(store.data)
        assert (grant.nodes, grant.instance, list(grant.members)) == (("n1", "n2"), view.id.instance, ["n1"])
        nodes[0].kill_worker("ccm")
        nodes[0].start_worker("ccm")
        assert wait_for_view(nodes[:1], {"n1"}).id == view.id
    finally:
        for node in nodes:
            node.kill()


def _alone(node: ClusterNode) -> list[bool]:
    """Its view's quorum, once that is of itself alone."""
    view = node.view()
    return [] if view is None or view.names() != (node.root.node_name(),) else [view.quorate]


def test_of_two_halves_one_is_granted_by_a_shared_folder(short_path: Path, tmp_path: Path) -> None:
    """Both live, and nothing passes between them: each reads a key of its own."""
    nodes = two_nodes(short_path, f"tie_breaker lease {tmp_path} 1")
    try:
        for node in nodes:
            node.start()
        wait_for_view(nodes, set(NAMES))
        for number, node in enumerate(nodes):
            node.root.authkeys.write_text(f"auth 1\n1 hmac-sha256 apart{number}\n")
        quorums = wait_for(lambda: [q for node in nodes for q in _alone(node)] if all(map(_alone, nodes)) else [],
                           "each is alone")  # fmt: skip
        assert sorted(quorums) == [False, True]
        assert [path.name for path in tmp_path.glob("grant.*")] == ["grant.1"]
        for node in nodes:
            node.root.authkeys.write_text("auth 1\n1 hmac-sha256 together\n")
        wait_for(lambda: agreed(nodes, set(NAMES)), "both are one cluster again")
    finally:
        for node in nodes:
            node.kill()
