# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha config check`: ha.cf, authkeys, rmd.cf, apphbd.cf and the CIB (or haresources), and the deadlines of all of them
against each other; each finding with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import click

from ha.apphbd.model import ConfigError
from ha.cli.config.convert.command import convert
from ha.cli.config.timing_conditions import Timing, breaches
from ha.cli.exit_codes import Exit
from ha.cli.source.cib import SourceError, chosen_file, read_cib
from ha.heartbeat.io.config import load, load_authkeys
from ha.heartbeat.model.authkeys import LEGACY, AuthKeys, AuthKeysError
from ha.heartbeat.model.ha_cf import HaCf, HaCfError
from ha.rmd.io.directories import haresources_mode
from ha.root import Root


@dataclass(frozen=True, slots=True)
class Finding:
    weight: Literal["error", "warning"]
    what: str
    remedy: str = ""


@click.group()
def config() -> None:
    """The node's configuration."""


config.add_command(convert)


@config.command()
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
def check(prefix: str | None) -> None:
    """Check the node's files and the CIB, and whether their deadlines go together; exit status 78 if there are errors.

    docs/timing.md says why the deadlines have to.
    """
    root = Root.choose(prefix)
    findings = list(examine(root))
    for finding in findings:
        click.echo(f"{finding.weight}: {finding.what}")
        if finding.remedy:
            click.echo(f"    {finding.remedy}")
    errors = sum(f.weight == "error" for f in findings)
    click.echo(f"{errors} errors, {len(findings) - errors} warnings")
    raise SystemExit(Exit.CONFIGURATION if errors else Exit.OK)


def examine(root: Root) -> Iterator[Finding]:
    """All findings, those of ha.cf first."""
    ha_cf: HaCf | None = None
    try:
        ha_cf = load(root)
    except HaCfError as error:
        for problem in error.problems:
            yield Finding("error", problem)
    if ha_cf is not None:
        yield from _ha_cf(root, ha_cf)
    try:
        keys = load_authkeys(root)
    except AuthKeysError as error:
        yield Finding("error", str(error))
    else:
        yield from _keys(root, keys)
    timing = Timing() if ha_cf is None else Timing(
        keepalive_ms=ha_cf.keepalive_ms, deadtime_ms=ha_cf.deadtime_ms, tie_breaker_wait_ms=ha_cf.tie_breaker_wait_ms
    )
    try:
        timing = _with_the_root_pair(root, timing)
    except ConfigError as error:
        yield Finding("error", str(error))
    data: bytes | None = None
    try:
        if haresources_mode(root):
            yield from _haresources(root, ha_cf)
        else:
            data = read_cib(root, "ha")
    except SourceError as error:
        if error.code == Exit.NOT_CONNECTED and chosen_file() is None:
            yield Finding("warning", "the cluster does not run here: its CIB was not checked")
        else:
            yield Finding("error", str(error))
    if data is not None:
        yield from _cib(data)
        timing = _with_the_cib(data, timing)
    if ha_cf is not None:
        yield from (Finding(breach.weight, breach.what, breach.remedy) for breach in breaches(timing))


def _with_the_root_pair(root: Root, timing: Timing) -> Timing:
    """Raises ConfigError."""
    from ha.apphbd.daemon import read_settings as read_apphbd_settings
    from ha.rmd.daemon import read_settings as read_rmd_settings

    rmd, apphbd = read_rmd_settings(root), read_apphbd_settings(root)
    return replace(
        timing,
        watchdog_interval_ms=apphbd.watchdog_interval_ms,
        watchdog_timeout_ms=apphbd.watchdog_timeout_ms if apphbd.watchdog_device else 0,
        pair_deadline_ms=rmd.pair_deadline_ms,
        leave_timeout_ms=rmd.leave_timeout_ms,
    )


def _with_the_cib(data: bytes, timing: Timing) -> Timing:
    """As it is, where the CIB cannot be used: that has been told."""
    from ha.cib.model.document import Document
    from ha.cib.model.refusal import Refusal
    from ha.crm.model.configuration import read_configuration

    try:
        element = Document.from_bytes(data).root.find("configuration")
    except Refusal:
        return timing
    if element is None:
        return timing
    configuration = read_configuration(element)
    return replace(
        timing,
        fencing=configuration.stonith_enabled,
        takeover_grace_ms=configuration.takeover_grace_ms,
        stop_chain_ms=configuration.stop_chain_ms,
        watchdog_wait_ms=configuration.watchdog_wait_ms,
    )


def _haresources(root: Root, ha_cf: HaCf | None) -> Iterator[Finding]:
    """No CRM runs, so there is no CIB."""
    from ha.haresources.io.config import load_haresources, settings_of
    from ha.haresources.model.haresources import HaresourcesError

    try:
        haresources = load_haresources(root)
        settings = settings_of(root, ha_cf, haresources) if ha_cf is not None else None
    except HaresourcesError as error:
        for problem in error.problems:
            yield Finding("error", problem)
        return
    remedy = "write a stonith_host line for each node: stonith -L lists the plug-ins"
    if settings is not None and settings.unfenced_takeover_ms >= 0:
        yield Finding("warning", f"{root.ha_cf}: unfenced_takeover: a lost node that still runs, and this one, may run "
                      "the same resources at the same time", remedy)  # fmt: skip
    elif settings is not None and not settings.devices:
        yield Finding("warning", f"{root.ha_cf}: no stonith_host line for this node: after the loss of the other one "
                      f"its resources wait for `hb_takeover --dead {settings.peer}`", remedy)  # fmt: skip


def _keys(root: Root, keys: AuthKeys) -> Iterator[Finding]:
    """Every accepted key is a way in: the weakest one counts, whichever signs."""
    better = "let `ha keys generate` (a new cluster) or `ha keys add` (a running one) make a key that encrypts"
    for key in keys.keys:
        where = f"{root.authkeys}: key {key.number}"
        if key.method == "crc":
            what = "crc proves nothing: anyone on the network can command the cluster"
            yield Finding("error", f"{where}: {what}", better)
        elif key.method in LEGACY:
            yield Finding(
                "warning", f"{where}: {key.method} is for peers that run Heartbeat 3: it does not encrypt, and their "
                "packets can be replayed", f"without such peers, {better}, and remove this one",
            )  # fmt: skip
        elif not key.encrypts and key.number == keys.signing:
            yield Finding("warning", f"{where}: {key.method} does not encrypt: the configuration is readable on the "
                          "network, passwords of fence devices included", better)  # fmt: skip
    if len({key.encrypts for key in keys.keys}) > 1:
        yield Finding("warning", f"{root.authkeys}: encrypted and plain packets are both accepted",
                      "that is right while keys are being changed; then `ha keys remove` the old one")  # fmt: skip


def _ha_cf(root: Root, ha_cf: HaCf) -> Iterator[Finding]:
    for warning in ha_cf.warnings:
        yield Finding("warning", warning)
    if root.node_name() not in ha_cf.nodes and ha_cf.autojoin != "any":
        yield Finding(
            "error", f"{root.ha_cf}: this node is {root.node_name()!r} and no node line names it",
            f"add it: node {root.node_name()}; or put its name into {root.config_dir / 'nodeinfo'}",
        )  # fmt: skip
    if len(ha_cf.media) == 1:
        yield Finding(
            "warning", f"{root.ha_cf}: one medium only: its loss cuts the cluster apart", "add a second network"
        )
    if len(ha_cf.nodes) == 2 and ha_cf.tie_breaker is None and not haresources_mode(root):
        yield Finding(
            "warning", f"{root.ha_cf}: of two nodes none has a majority: a survivor acts only after fencing the other",
            "configure a fence device that works while the other node is dead, or a tie_breaker, or add a third node",
        )  # fmt: skip


def _cib(data: bytes) -> Iterator[Finding]:
    from ha.cli.source.cluster import view_of
    from ha.pe.model.document import CibError

    try:
        cluster = view_of(data, 0)
    except CibError as error:
        yield Finding("error", f"the CIB cannot be used: {error}")
        return
    grace = cluster.options.get("takeover-grace", "auto")
    if not cluster.fencing_enabled:
        words = "with takeover-grace 0 nothing keeps a second copy from starting" if grace in ("0", "0s") else (
            f"takeover-grace {grace} covers a node that is cut off, not one that hangs or whose stop fails"
        )  # fmt: skip
        yield Finding(
            "warning",
            f"stonith-enabled is false: {words}",
            "configure fencing: data that two nodes write at once is lost",
        )
    elif not any(resource.fence_device for resource in cluster.resources):
        yield Finding(
            "error", "stonith-enabled is true and there is no fence device: after a loss no resource would move",
            "configure a primitive of class stonith (crm_resource --list-agents stonith), or set stonith-enabled=false",
        )  # fmt: skip
