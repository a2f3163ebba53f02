# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha status`: what runs where, what is wrong, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from ha.cli.crm_resource.listing import running_nodes
from ha.cli.exit_codes import Exit
from ha.cli.fencing.arming import disarmed_for_s
from ha.cli.source.cib import SourceError, read_cib
from ha.cli.source.cluster import RC_WORDS, primitives, view_of
from ha.pe.core.failcounts import fail_count
from ha.pe.core.resources import target_role
from ha.pe.model.cluster import Cluster
from ha.pe.model.document import CibError
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role
from ha.root import Root


@click.command()
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
def status(prefix: str | None) -> None:
    """What runs where, what is wrong, and what to do about it."""
    try:
        cluster = view_of(read_cib(Root.choose(prefix), "ha"), int(time.time()))
    except SourceError as error:
        click.echo(f"ha status: {error}", err=True)
        if error.code == Exit.NOT_CONNECTED:
            click.echo("  start it: systemctl start heartbeat; why it ended: /var/log/heartbeat/rmd.log", err=True)
        raise SystemExit(error.code) from error
    except CibError as error:
        click.echo(f"ha status: the CIB cannot be read: {error}", err=True)
        raise SystemExit(Exit.CONFIGURATION) from error
    for line in describe(cluster):
        click.echo(line)


def describe(cluster: Cluster) -> Iterator[str]:
    dc = cluster.dc.name if cluster.dc else "none"
    yield f"DC {dc}, {'with' if cluster.quorate else 'WITHOUT'} quorum, {len(cluster.nodes)} nodes"
    yield ""
    for node in cluster.nodes:
        running = ", ".join(resource.printable_id for resource in node.running) or "-"
        yield f"  {node.name:<16} {node_state(node):<22} {running}"
    stopped = [r for r in cluster.resources if not r.is_active(False)]
    if stopped:
        yield ""
        yield "  not running: " + ", ".join(r.id for r in stopped)
    findings = list(problems(cluster))
    yield ""
    if not findings:
        yield "All is well."
        return
    yield "To look at:"
    for what, remedy in findings:
        yield f"  - {what}"
        yield f"      {remedy}"


def node_state(node: Node) -> str:
    """One or two words for a node."""
    words = [word for word in ("unclean", "pending", "standby", "maintenance", "shutdown") if getattr(node, word)]
    return " ".join(["online" if node.online else "OFFLINE", *words])


def problems(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """What is wrong, each with its remedy; what keeps everything else from being mended comes first."""
    if cluster.dc is None:
        yield (
            "there is no DC: nobody decides and nothing is started or stopped",
            "wait for an election (seconds); if it lasts: crmadmin --status NODE, ha membership, ha-log",
        )
    if not cluster.quorate:
        yield (
            f"this partition has no quorum (no-quorum-policy is {cluster.no_quorum_policy})",
            "bring nodes back or mend the network between them: see cl_status nodestatus NODE",
        )
    if not cluster.fencing_enabled:
        yield (
            "fencing is off: a lost node's resources are started elsewhere without proof that it is dead",
            "configure a stonith device and set stonith-enabled=true",
        )
    left_s = disarmed_for_s(cluster.options, time.time())
    if left_s:
        yield (
            f"FENCING IS DISARMED for another {left_s} s: resources of a lost node are started nowhere else",
            "ha fencing arm",
        )
    elif cluster.resources and not any(resource.fence_device for resource in cluster.resources):
        yield (
            "fencing is wanted (stonith-enabled) and there is no fence device: no resource is started",
            "configure one: crm_resource --list-agents stonith names the agents; then ha config check",
        )
    if cluster.in_maintenance:
        yield (
            "the cluster is in maintenance mode: it starts, stops and watches nothing",
            "when the work is done: crm_attribute -t crm_config -n maintenance-mode -D",
        )
    for node in cluster.nodes:
        yield from _node_problems(node)
    failed = {failure.resource_id for failure in cluster.failed}
    for resource in primitives(cluster.resources):
        yield from _resource_problems(cluster, resource, has_failed=resource.id in failed)
    yield from _failures(cluster)
    yield from _left_behind(cluster)


def _failures(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """The same failure on several nodes is one line."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for failure in cluster.failed:
        operation = failure.element
        rc = int(operation.get("rc-code") or 0)
        reason = operation.get("exit-reason") or RC_WORDS.get(rc, f"exit code {rc}")
        if rc == Exit.NOT_INSTALLED:
            reason = "the agent, or what it needs, is not installed there"
        key = (failure.resource_id, str(operation.get("operation")), reason)
        alike.setdefault(key, []).append(failure.node.name)
    for (resource, task, reason), nodes in alike.items():
        yield (
            f"{task} of {resource} failed on {', '.join(nodes)}: {reason}",
            f"mend the cause, then: crm_resource --cleanup --resource {resource}",
        )


def _left_behind(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Constraints that an order of crm_resource made: they hold until somebody takes them back."""
    section = cluster.document.section("constraints")
    for constraint in section.iterchildren("rsc_location") if section is not None else ():
        name, resource = str(constraint.get("id")), str(constraint.get("rsc"))
        if name.startswith(("cli-prefer-", "cli-ban-")):
            what = "is kept away from" if name.startswith("cli-ban-") else "was moved to"
            place = constraint.get("node") or "a node by a rule"
            remedy = f"when that is over: crm_resource --clear --resource {resource}"
            yield f"{resource} {what} {place} by hand ({name})", remedy


def _node_problems(node: Node) -> Iterator[tuple[str, str]]:
    if node.unclean:
        yield (
            f"{node.name} is unclean: it may still run resources and has to be fenced",
            f"the cluster fences it; if no device can, make sure it is off, then: stonith_admin --confirm {node.name}",
        )
    elif not node.online:
        yield (
            f"{node.name} is offline",
            "start Heartbeat there (systemctl start heartbeat), or see why it left: ha-log",
        )
    elif node.standby:
        yield f"{node.name} is in standby", f"when it may run resources again: crm_standby --node {node.name} -D"


def _resource_problems(cluster: Cluster, resource: Resource, *, has_failed: bool) -> Iterator[tuple[str, str]]:
    if resource.any_within("blocked"):
        yield (
            f"{resource.printable_id} is blocked after a failure that the cluster may not act on",
            f"make sure where it runs, then: crm_resource --cleanup --resource {resource.printable_id}",
        )
    top = resource.outermost
    wanted = target_role(top) != Role.STOPPED and target_role(resource) != Role.STOPPED
    if not resource.managed and not cluster.in_maintenance:
        name = resource.printable_id
        yield f"{name} is not managed: the cluster leaves it as it is", f"crm_resource -r {name} --meta -d is-managed"
    if wanted and not has_failed and not resource.active and not resource.removed and top.is_primitive:
        yield f"{resource.id} does not run anywhere", f"crm_resource --why --resource {resource.id}"
    if len(running_nodes(resource)) > 1 and not resource.unique:
        yield f"{resource.id} runs on {', '.join(running_nodes(resource))}", "the cluster stops the copies; see ha-log"
    for node in cluster.nodes:
        count = fail_count(node, resource)[0]
        if count >= resource.ban_after_failures:
            yield (
                f"{resource.printable_id} failed too often on {node.name} and may not run there",
                f"crm_resource --cleanup --resource {resource.printable_id} --node {node.name}",
            )
