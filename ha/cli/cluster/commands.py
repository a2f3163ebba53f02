# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha cluster init`, `invite` and `join`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ha.cib.schema import load as load_schema
from ha.cli.cluster import plan
from ha.cli.cluster.invitation import Invitation, InvitationError, invite, read_invitation, same_fingerprint
from ha.cli.cluster.own import adapt, interface_of
from ha.cli.cluster.placing import NewFile, PlacingError, in_the_way, place
from ha.cli.cluster.plan import Node, PlanError
from ha.cli.exit_codes import Exit
from ha.cli.keys import HEADER, new_key
from ha.heartbeat.io.config import load, load_authkeys
from ha.heartbeat.io.udp import is_own_address
from ha.heartbeat.model.authkeys import AuthKeys, AuthKeysError, render
from ha.heartbeat.model.ha_cf import HaCfError
from ha.heartbeat.model.ha_cf_parser import parse
from ha.rmd.io.directories import DirectoryError, cluster_owner, prepare
from ha.root import Root, RootError

MAX_CIB_BYTES = 64 * 1024 * 1024
SSH_TIMEOUT_S = 60

_root = click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
_self = click.option("--self", "self_name", metavar="NAME", help="Which of the nodes this is (default: `uname -n`).")
_dry = click.option("--dry-run", is_flag=True, help="Show the files, write nothing.")


class Failed(Exception):
    """One sentence and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Group(click.Group):
    """Tells what went wrong, and ends with its exit code."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except Failed as error:
            click.echo(f"ha cluster: {error}", err=True)
            sys.exit(error.code)


@click.group(cls=Group)
def cluster() -> None:
    """From machines to a cluster.

    \b
    On the first node:      ha cluster init mycluster --node alpha=192.0.2.11 --node beta=192.0.2.12
    On each other node:     ha cluster join --from alpha            (by ssh)
      or, where there is none:
        on the first node:  ha cluster invite --output invitation
        on the others:      ha cluster join invitation              (shows a fingerprint to compare)
    On every node:          systemctl enable --now heartbeat

    Nothing is ever overwritten.
    """


@cluster.command()
@click.argument("name")
@click.option("--node", "nodes", multiple=True, required=True, metavar="NAME=ADDRESS[,ADDRESS...]",
              help="Each node, this one too, with its address on each network (or ADDRESS:PORT).")  # fmt: skip
@click.option("--profile", type=click.Choice(["default", "fast"]), default="default", show_default=True,
              help="A lost node is noticed after 1 s, or 150 ms.")  # fmt: skip
@click.option("--directive", "directives", multiple=True, metavar="LINE",
              help="A further line of ha.cf, such as 'bcast eth1' or 'deadtime 3'.")  # fmt: skip
@click.option("--cib", "cib_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="XML that the first configuration begins with.")  # fmt: skip
@_self
@_root
@_dry
def init(
    name: str, nodes: Sequence[str], profile: str, directives: Sequence[str], cib_file: Path | None,
    self_name: str | None, prefix: str | None, dry_run: bool,
) -> None:  # fmt: skip
    """Make the first node of cluster NAME: ha.cf, new keys, the first configuration, and the directories."""
    try:
        root = Root.choose(prefix)
        if not plan.CLUSTER_NAME.fullmatch(name):
            raise PlanError(f"{name!r} is no name of a cluster: letters, digits, '-', '_' and '.', at most 64")
        members = tuple(plan.read_node(text) for text in nodes)
        plan.check_nodes(members)
        own = _own(members, self_name or root.node_name())
        ha_cf = plan.render_ha_cf(members, own, interface_of, name, profile, directives)
        cib = plan.first_cib(name, _read(cib_file), load_schema())
    except (PlanError, RootError) as error:
        raise Failed(str(error), Exit.USAGE) from error
    keys = HEADER + render(AuthKeys(1, (new_key(1, "chacha20-poly1305"),)))
    owner = cluster_owner(root)
    data = cib + b"\n"
    signature = hashlib.sha256(data).hexdigest() + "\n"
    _write(root, [
        NewFile(root.cib_dir / "cib.xml.sig", signature.encode(), 0o600, owner),
        NewFile(root.cib_dir / "cib.xml", data, 0o600, owner),
        *_node_files(root, own.name, ha_cf, keys),
    ], dry_run)  # fmt: skip
    if not dry_run:
        click.echo(f"{own.name} is the first node of cluster {name}. Next:")
        others = ", ".join(node.name for node in members if node != own)
        if others:
            click.echo(f"  on {others}:  ha cluster join --from {own.name}   (or: see ha cluster --help)")
        click.echo("  on every node:  ha config check && systemctl enable --now heartbeat")
        click.echo("  then configure fencing: until that is done no resource is started")
        click.echo(f"fingerprint of the invitation: {_invitation(root).fingerprint}")


def _own(members: Sequence[Node], name: str) -> Node:
    own = next((node for node in members if node.name == name.lower()), None)
    if own is None:
        known = " ".join(node.name for node in members)
        raise PlanError(f"this node is {name!r} and none of {known}: say --self NAME, or run it on one of them")
    for address in own.addresses:
        if not is_own_address(address.host):
            raise PlanError(f"{own.name}'s address {address.host} is not this machine's: is this another node?")
    return own


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CIB_BYTES + 1)
        if len(data) > MAX_CIB_BYTES:
            raise PlanError(f"{path} is larger than a CIB can be ({MAX_CIB_BYTES} bytes)")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} cannot be read: {error}") from error


@cluster.command(name="invite")
@_root
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
              help="Write it here, mode 0600, instead of to standard output.")  # fmt: skip
def invite_command(prefix: str | None, output: Path | None) -> None:
    """Print the invitation that `ha cluster join` takes: one line, which holds the cluster's keys.

    Carry it as you would carry a password. Its fingerprint may be read aloud: who joins compares it.
    """
    try:
        invitation = _invitation(Root.choose(prefix))
    except RootError as error:
        raise Failed(str(error), Exit.USAGE) from error
    if output is None:
        click.echo(invitation.to_text())
    else:
        try:
            place([NewFile(output.absolute(), invitation.to_text().encode() + b"\n", 0o600)])
        except PlacingError as error:
            raise Failed(str(error), Exit.CANNOT_CREATE) from error
    click.echo(f"fingerprint: {invitation.fingerprint}", err=True)


def _invitation(root: Root) -> Invitation:
    try:
        ha_cf, keys = load(root), load_authkeys(root)
        return invite(ha_cf.cluster, root.ha_cf.read_text(), HEADER + render(keys))
    except HaCfError as error:
        raise Failed("\n".join(error.problems), Exit.CONFIGURATION) from error
    except (AuthKeysError, OSError) as error:
        raise Failed(str(error), Exit.CONFIGURATION) from error


@cluster.command()
@click.argument("file", required=False)
@click.option("--from", "host", metavar="HOST", help="Ask a node for the invitation, by ssh.")
@click.option("--fingerprint", metavar="TEXT", help="What `ha cluster invite` showed; anything else is refused.")
@click.option("--bind", metavar="ADDRESS[:PORT]", help="This node's, where the cluster's ha.cf has bindaddr.")
@_self
@_root
@_dry
def join(
    file: str | None, host: str | None, fingerprint: str | None, bind: str | None, self_name: str | None,
    prefix: str | None, dry_run: bool,
) -> None:  # fmt: skip
    """Make this machine a node, by the invitation in FILE (- is standard input) or from a node.

    Compare the fingerprint with what `ha cluster invite` showed: it is asked for on a terminal, and has to be given
    with --fingerprint where there is none. An invitation that came by ssh needs none.
    """
    if (file is None) == (host is None):
        raise Failed("name the file with the invitation, or --from HOST", Exit.USAGE)
    try:
        root = Root.choose(prefix)
        invitation = read_invitation(_asked(host) if host is not None else _given(str(file)))
        _compare(invitation, fingerprint, by_ssh=host is not None, has_stdin=file != "-")
        content = invitation.content
        ha_cf = parse(content.ha_cf, "the invitation's ha.cf")
        name = (self_name or root.node_name()).lower()
        if name not in ha_cf.nodes:
            raise PlanError(f"this node is {name!r} and the cluster's nodes are {' '.join(ha_cf.nodes)}: say --self "
                            "NAME, or add it to ha.cf on every node first")  # fmt: skip
        text = adapt(content.ha_cf, ha_cf, plan.read_address(bind) if bind else None)
    except InvitationError as error:
        raise Failed(str(error), Exit.DATA_ERROR) from error
    except (PlanError, RootError) as error:
        raise Failed(str(error), Exit.USAGE) from error
    _write(root, _node_files(root, name, text, content.authkeys), dry_run)
    if not dry_run:
        click.echo(f"{name} is a node of cluster {content.cluster}. Next: ha config check && "
                   "systemctl enable --now heartbeat")  # fmt: skip


def _given(file: str) -> str:
    from ha.cli.cluster.invitation import MAX_TEXT_BYTES

    try:
        if file == "-":
            return sys.stdin.read(MAX_TEXT_BYTES + 1)
        with open(file, encoding="ascii") as opened:
            return opened.read(MAX_TEXT_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{file} cannot be read: {error}", Exit.NO_INPUT) from error


def _asked(host: str) -> str:
    if host.startswith("-"):
        raise Failed(f"{host!r} is no host", Exit.USAGE)
    try:
        stdin = None if sys.stdin.isatty() else subprocess.DEVNULL
        done = subprocess.run(["ssh", host, "ha", "cluster", "invite"], stdin=stdin,
                              stdout=subprocess.PIPE, text=True, check=False, timeout=SSH_TIMEOUT_S)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"ssh {host}: {error}", Exit.UNAVAILABLE) from error
    if done.returncode:
        raise Failed(f"ssh {host} ha cluster invite: exit status {done.returncode}", Exit.UNAVAILABLE)
    return done.stdout


def _compare(invitation: Invitation, given: str | None, *, by_ssh: bool, has_stdin: bool) -> None:
    known = invitation.fingerprint
    if given is not None:
        if not same_fingerprint(given, known):
            raise Failed(f"the invitation's fingerprint is {known}, not {given}: it is another one, or was changed on "
                         "its way", Exit.DIGEST)  # fmt: skip
        return
    if by_ssh:
        return
    if not has_stdin or not sys.stdin.isatty():
        raise Failed(f"the invitation's fingerprint is {known}: if `ha cluster invite` showed the same, add "
                     f"--fingerprint {known}", Exit.USAGE)  # fmt: skip
    if not click.confirm(f"Fingerprint {known}: did `ha cluster invite` show the same?", err=True):
        raise Failed("nothing was written", Exit.DIGEST)


def _node_files(root: Root, name: str, ha_cf: str, keys: str) -> list[NewFile]:
    """What every node has. ha.cf comes last: where it is, all of it is."""
    files = [NewFile(root.authkeys, keys.encode(), 0o600, is_secret=True)]
    try:
        is_known = root.node_name() == name
    except RootError:
        is_known = False
    if not is_known:
        files.append(NewFile(root.config_dir / "nodeinfo", f"{name}\n".encode(), 0o644))
    return [*files, NewFile(root.ha_cf, ha_cf.encode(), 0o644)]


def _write(root: Root, files: list[NewFile], dry_run: bool) -> None:
    # A CIB of former times would be a claim on what the cluster has: the greater version counts.
    if taken := sorted({*in_the_way(files), *(path for path in [root.cib_dir / "cib.xml"] if path.exists())}):
        raise Failed(f"there is a cluster here already: {', '.join(map(str, taken))}; nothing was written. "
                     "If it is to go, move these files away first", Exit.EXISTS)  # fmt: skip
    if dry_run:
        for file in files:
            click.echo(f"--- {file.path} (mode {file.mode:04o})")
            click.echo("(keys, not shown)" if file.is_secret else file.data.decode().rstrip("\n"))
        return
    try:
        prepare(root)
        place(files)
    except (DirectoryError, PlacingError) as error:
        raise Failed(str(error), Exit.CANNOT_CREATE) from error
    for file in files:
        click.echo(f"wrote {file.path}")
