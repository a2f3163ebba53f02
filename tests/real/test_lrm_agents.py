# SPDX-License-Identifier: GPL-2.0-or-later
"""A real lrmd with real agents of every class: contracts, timeouts, output, background children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.lrm.io import secrets
from ha.lrm.msg import Agents, Cancelled, CancelOperation, GetMetadata, ListAgents, Metadata, OperationResult
from tests.real.lrm_node import LrmNode, lrm_node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real


@pytest.fixture
def node(short_path: Path) -> Iterator[LrmNode]:
    with lrm_node(short_path) as node:
        yield node


def test_ocf_agents_get_their_environment_and_say_their_reason(node: LrmNode) -> None:
    node.agent("Test", 'env >>"$OCF_RESKEY_to"; echo "ocf-exit-reason:no such port" >&2; exit 7')
    dump = node.log.parent / "environment"
    result = node.run("monitor", parameters={"to": str(dump)}, meta={"on-node": "n1"}, id="web:1")
    assert (result.rc, result.status, result.exit_reason) == (7, "done", "no such port")
    environment = dict(line.split("=", 1) for line in dump.read_text().splitlines())
    expected = {
        "OCF_RESOURCE_INSTANCE": "web:1",
        "OCF_RESOURCE_PROVIDER": "test",
        "OCF_RESKEY_CRM_meta_on_node": "n1",
        "OCF_RESKEY_CRM_meta_interval": "0",
        "HA_ROOT": node.root.prefix,
    }
    assert expected.items() <= environment.items()
    assert "HA_LOG_STDERR" not in environment  # nothing of the worker's own


def test_lsb_and_heartbeat_scripts(node: LrmNode) -> None:
    node.agent("daemon", 'say lsb "$@"; [ "$1" = status ] && exit 3; exit 0', kind="lsb")
    node.agent("Script", 'say hb "$@"; [ "$3" = status ] && echo running; exit 0', kind="heartbeat")
    assert node.run("start", "daemon", "lsb").rc == 0
    assert node.run("monitor", "daemon", "lsb").rc == 7
    assert node.run("monitor", "daemon", "service", id="r2").rc == 7
    assert node.run("monitor", "Script", "heartbeat", parameters={"1": "a b", "2": "c"}).rc == 0
    assert node.logged() == ["lsb start", "lsb status", "lsb status", "hb a b c status"]


@pytest.mark.parametrize(
    ("agent", "kind", "rc", "status"),
    [
        ("Absent", "ocf", 5, "not installed"),
        ("../../../bin/true", "ocf", 5, "not installed"),
        ("absent", "service", 5, "not installed"),
        ("unit", "systemd", 5, "not installed"),
        ("any", "nagios", 5, "not installed"),
    ],
)
def test_agents_that_are_not_there(node: LrmNode, agent: str, kind: str, rc: int, status: str) -> None:
    result = node.run("start", agent, kind)
    assert (result.rc, result.status) == (rc, status)
    assert result.exit_reason


def test_an_agent_that_cannot_be_executed(node: LrmNode) -> None:
    node.agent("Test", "exit 0")
    path = node.root.path("/usr/lib/ocf/resource.d/test/Test")
    path.chmod(0o644)
    assert (result := node.run("start")).rc == 4 and result.status == "error"
    path.chmod(0o755)
    path.write_bytes(b"\x7fELFnonsense")
    assert (result := node.run("start")).rc == 1 and "format" in result.exit_reason


def test_a_timeout_kills_the_whole_group(node: LrmNode) -> None:
    node.agent("Test", 'say $$; sleep 1000 & say $!; trap "" TERM; wait; wait; sleep 1000')
    result = node.run("start", timeout_ms=300)
    assert (result.rc, result.status) == (1, "timeout")
    assert 300 <= result.exec_ms < 2_000
    pids = [int(line) for line in node.logged()]
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "agent and child are gone")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_huge_output_is_bounded_and_does_not_block(node: LrmNode) -> None:
    node.agent("Test", 'head -c 50000000 /dev/zero | tr "\\0" x; echo "ocf-exit-reason:at the end" >&2; exit 1')
    result = node.run("start")
    assert (result.rc, result.exit_reason) == (1, "at the end")
    assert len(result.output) <= 4_096


def test_a_background_child_holds_nothing_up_and_lives_on(node: LrmNode) -> None:
    node.agent("Test", "sleep 1000 & say $!; exit 0")
    result = node.run("start")
    assert result.rc == 0
    assert result.exec_ms < 5_000
    (pid,) = [int(line) for line in node.logged()]
    assert is_alive(pid)
    os.kill(pid, 9)


def test_an_agent_reads_an_empty_input_and_no_foreign_descriptors(node: LrmNode) -> None:
    node.agent("Test", "cat >/dev/null; for f in /proc/$$/fd/*; do [ -e $f ] && say ${f##*/}; done; exit 0")
    assert node.run("start").rc == 0
    inherited = {int(line) for line in node.logged()}
    assert {0, 1, 2} <= inherited <= {0, 1, 2, 10, 255}  # a shell keeps its script open on 10 or 255


def test_signals_are_as_after_a_clean_exec(node: LrmNode) -> None:
    node.agent("Test", "say $(grep -E 'Sig(Blk|Ign)' /proc/$$/status | tr -s '\\t\\n' '  '); exit 0")
    assert node.run("start").rc == 0
    _, blocked, _, ignored = node.logged()[0].split()
    assert int(blocked, 16) == 0
    # Signals 32 and 33 are the C library's own; its posix_spawn leaves them so, for every program on the machine.
    assert int(ignored, 16) & ~(0b11 << 31) == 0


def test_recurring_monitor_and_cancel(node: LrmNode) -> None:
    node.agent("Test", f'say $1; exit $(cat {node.log.parent}/rc)')
    (node.log.parent / "rc").write_text("0")
    assert node.run("monitor", interval_ms=20, user_data="m").rc == 0
    wait_for(lambda: len(node.logged()) > 3, "the monitor has run again and again")
    (node.log.parent / "rc").write_text("7")
    assert node.crmd is not None
    assert node.crmd.receive(OperationResult).rc == 7
    node.crmd.send(CancelOperation(resource_id="r1", operation="monitor", interval_ms=20))
    node.crmd.receive(Cancelled)
    node.run("notify")
    count = node.logged().count("monitor")
    node.run("notify")
    assert node.logged().count("monitor") == count
    wait_for(lambda: node.files() == [], "nothing is left in the spool")


def test_secrets_take_their_places_and_missing_ones_are_named(node: LrmNode) -> None:
    node.agent("Test", 'say "$1 $OCF_RESKEY_passwd"; exit 0')
    lacking = node.run("start", parameters={"passwd": secrets.MAGIC})
    assert (lacking.rc, lacking.status) == (2, "no secrets")
    assert "is not on this node" in lacking.exit_reason
    assert node.run("stop", parameters={"passwd": secrets.MAGIC}).rc == 0
    secrets.write(node.root, "r1", "passwd", "tiger")
    result = node.run("start", parameters={"passwd": secrets.MAGIC})
    assert result.rc == 0
    assert result.parameters == {"passwd": secrets.MAGIC}  # what goes into the CIB
    assert node.logged() == ["stop lrm://", "start tiger"]


def test_metadata_is_read_again_when_the_agent_has_changed(node: LrmNode) -> None:
    assert node.crmd is not None
    for version in ("1", "2", "2"):
        node.agent("Test", f'say $1; echo "<resource-agent name=\'Test\' version=\'{version}\'/>"')
        node.crmd.send(GetMetadata(request_id=version, agent_class="ocf", agent_type="Test", provider="test"))
        assert f"version='{version}'" in node.crmd.receive(Metadata).xml
    assert node.logged() == ["meta-data", "meta-data"]  # the third file was written anew, and says the same


@pytest.mark.parametrize(
    ("operation", "meta", "expected"),
    [
        ("validate-all", {}, {"OCF_CHECK_LEVEL": "10"}),
        ("reload", {}, {}),
        ("reload-agent", {}, {}),
        ("migrate_to", {"migrate_source": "n1", "migrate_target": "n2"},
         {"OCF_RESKEY_CRM_meta_migrate_source": "n1", "OCF_RESKEY_CRM_meta_migrate_target": "n2"}),
        ("migrate_from", {"CRM_meta_migrate_source": "n1", "CRM_meta_migrate_target": "n2"},
         {"OCF_RESKEY_CRM_meta_migrate_source": "n1", "OCF_RESKEY_CRM_meta_migrate_target": "n2"}),
        ("notify", {"notify_type": "pre", "notify_operation": "promote", "notify_promote_uname": "n1 n2",
                    "notify_inactive_resource": " "},
         {"OCF_RESKEY_CRM_meta_notify_type": "pre", "OCF_RESKEY_CRM_meta_notify_operation": "promote",
          "OCF_RESKEY_CRM_meta_notify_promote_uname": "n1 n2", "OCF_RESKEY_CRM_meta_notify_inactive_resource": " "}),
    ],
)  # fmt: skip
def test_what_each_action_is_told(
    node: LrmNode, operation: str, meta: dict[str, str], expected: dict[str, str]
) -> None:
    dump = node.log.parent / "environment"
    node.agent("Test", 'env >>"$OCF_RESKEY_to"; say $1; exit 0')
    parameters = {"to": str(dump), "OCF_CHECK_LEVEL": "10"}
    assert node.run(operation, parameters=parameters, meta={**meta, "op_target_rc": "0"}).rc == 0
    assert node.logged() == [operation]
    environment = dict(line.split("=", 1) for line in dump.read_text().splitlines())
    assert expected.items() <= environment.items()
    assert "OCF_RESKEY_CRM_meta_op_target_rc" not in environment
    assert {"OCF_RA_VERSION_MAJOR": "1", "OCF_RA_VERSION_MINOR": "1"}.items() <= environment.items()


def test_metadata_and_lists(node: LrmNode) -> None:
    node.agent("Test", 'say $1; echo "<resource-agent name=\'Test\'/>"')
    node.agent("fence_test", "cat >/dev/null; echo '<resource-agent name=\"fence_test\"/>'", kind="fence")
    assert node.crmd is not None
    for request_id in ("1", "2"):
        ask = GetMetadata(request_id=request_id, agent_class="ocf", agent_type="Test", provider="test")
        node.crmd.send(ask)
        assert node.crmd.receive(Metadata).xml == "<resource-agent name='Test'/>\n"
    assert node.logged() == ["meta-data"]
    node.crmd.send(GetMetadata(request_id="3", agent_class="stonith", agent_type="fence_test"))
    assert "fence_test" in node.crmd.receive(Metadata).xml
    node.crmd.send(GetMetadata(request_id="4", agent_class="ocf", agent_type="Absent", provider="test"))
    assert node.crmd.receive(Metadata).rc == 5
    node.crmd.send(ListAgents(request_id="5", agent_class="ocf", provider="test"))
    assert node.crmd.receive(Agents).names == ["Test"]
    node.crmd.send(ListAgents(request_id="6"))
    assert "ocf" in node.crmd.receive(Agents).names


def test_twenty_resources_at_once(node: LrmNode) -> None:
    node.agent("Test", 'say $OCF_RESOURCE_INSTANCE; exit 0')
    assert node.crmd is not None
    orders = [node.order("start", id=f"r{n}") for n in range(20)]
    node.crmd.send(*orders)
    results = [node.crmd.receive(OperationResult) for _ in orders]
    assert {result.rc for result in results} == {0}
    assert sorted(node.logged()) == sorted(f"r{n}" for n in range(20))


def test_a_program_is_no_crmd(node: LrmNode) -> None:
    script = (
        "import sys; from ha.ipc.client import Connection; from ha.root import Root; from ha.lrm.msg import *\n"
        "link = Connection.open(Root.choose(sys.argv[1]), 'lrmd', program='test')\n"
        "link.send(RunOperation(resource=Resource('r1', 'ocf', 'Test', 'test'), operation='start', timeout_ms=1))\n"
        "print(link.ask(ListAgents(request_id='x'), 5000).names)\n"
    )
    node.agent("Test", "say $1")
    done = subprocess.run([sys.executable, "-c", script, node.root.prefix], capture_output=True, text=True, check=True)
    assert "ocf" in done.stdout
    assert node.run("monitor").rc == 0
    assert node.logged() == ["monitor"]
