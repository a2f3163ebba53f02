# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha keys`: the keys of the cluster, and changing them while it runs."""

from __future__ import annotations

import dataclasses
import secrets
import sys
from pathlib import Path

import click

from ha import whole_file
from ha.cli.exit_codes import Exit
from ha.heartbeat.io.config import load_authkeys
from ha.heartbeat.model.authkeys import LEGACY, MAX_KEYS, SECRET_BYTES, AuthKeys, AuthKeysError, Key, Method, render
from ha.root import Root

GENERATED: tuple[Method, ...] = ("chacha20-poly1305", "aes-256-gcm", "hmac-sha256")
HEADER = "# Keys of the cluster: the same on every node, readable by root alone. Written by `ha keys`.\n"

_ROOT = click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
_METHOD = click.option(
    "--method", type=click.Choice(GENERATED), default=GENERATED[0], show_default=True,
    help="The first two encrypt and authenticate, hmac-sha256 only authenticates.",
)  # fmt: skip


@click.group()
def keys() -> None:
    """The keys of the cluster (authkeys).

    \b
    To change the key of a running cluster, without a missed heartbeat:
      1. ha keys add             on one node; copy authkeys to the others
      2. ha keys use NUMBER      on every node, when all have the new key
      3. ha keys remove NUMBER   on every node: the old key is refused from now on

    A running node notices the changed file within two seconds.
    """


@keys.command()
@_ROOT
@_METHOD
@click.option("--output", type=click.Path(), help="Write here instead of authkeys; - is standard output.")
@click.option("--force", is_flag=True, help="Replace an authkeys file that is there.")
def generate(prefix: str | None, method: Method, output: str | None, force: bool) -> None:
    """Write an authkeys file with one new random key, mode 0600."""
    made = AuthKeys(1, (new_key(1, method),))
    if output == "-":
        click.echo(HEADER + render(made), nl=False)
        return
    path = Path(output) if output else Root.choose(prefix).authkeys
    if path.exists() and not force:
        _fail(f"{path} is there already: `ha keys add` adds a key to it, --force replaces it", Exit.EXISTS)
    _write(path, made)
    click.echo(f"{path}: one new key, {method}. Copy the file to every node (scp -p), never by an open channel.")


@keys.command(name="list")
@_ROOT
def list_keys(prefix: str | None) -> None:
    """The keys that are accepted, and which one signs. No secret is shown."""
    for key in (known := _load(Root.choose(prefix))).keys:
        use = "signs, accepted" if key.number == known.signing else "accepted"
        kind = "encrypts" if key.encrypts else "for Heartbeat 3 peers only" if key.method in LEGACY else "authenticates"
        click.echo(f"{key.number:2} {key.method:17} {use:15} {kind}")


@keys.command()
@_ROOT
@_METHOD
def add(prefix: str | None, method: Method) -> None:
    """Add a new random key, which is accepted from now on and does not sign yet."""
    root = Root.choose(prefix)
    known = _load(root)
    free = next((number for number in range(1, MAX_KEYS) if known.key(number) is None), None)
    if free is None:
        _fail(f"{root.authkeys}: all {MAX_KEYS - 1} numbers are taken: remove an old key first", Exit.EXISTS)
        return
    _write(root.authkeys, dataclasses.replace(known, keys=(*known.keys, new_key(free, method))))
    click.echo(f"key {free} ({method}) is added. Copy {root.authkeys} to every node, then: ha keys use {free}")


@keys.command()
@_ROOT
@click.argument("number", type=int)
def use(prefix: str | None, number: int) -> None:
    """Sign with this key from now on. Every node must have it already."""
    root = Root.choose(prefix)
    known = _load(root)
    if known.key(number) is None:
        _fail(f"{root.authkeys}: there is no key {number}", Exit.NO_SUCH_OBJECT)
    _write(root.authkeys, dataclasses.replace(known, signing=number))
    click.echo(f"key {number} signs, {known.signing} is still accepted: when all nodes use {number}, "
               f"ha keys remove {known.signing}")  # fmt: skip


@keys.command()
@_ROOT
@click.argument("number", type=int)
def remove(prefix: str | None, number: int) -> None:
    """Refuse this key from now on. No node may sign with it any more."""
    root = Root.choose(prefix)
    known = _load(root)
    if known.key(number) is None:
        _fail(f"{root.authkeys}: there is no key {number}", Exit.NO_SUCH_OBJECT)
    if number == known.signing:
        _fail(f"{root.authkeys}: key {number} signs: choose another one by `ha keys use` first", Exit.USAGE)
    _write(root.authkeys, dataclasses.replace(known, keys=tuple(key for key in known.keys if key.number != number)))
    click.echo(f"key {number} is refused from now on")


def new_key(number: int, method: Method) -> Key:
    secret = secrets.token_bytes(SECRET_BYTES)
    return Key(number, method, secret if method != "hmac-sha256" else secret.hex().encode())


def _load(root: Root) -> AuthKeys:
    try:
        return load_authkeys(root)
    except AuthKeysError as error:
        print(f"ha keys: {error}", file=sys.stderr)
        raise SystemExit(Exit.CONFIGURATION) from error


def _write(path: Path, made: AuthKeys) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.replace(path, (HEADER + render(made)).encode())
    except OSError as error:
        _fail(f"{path}: {error.strerror}", Exit.CANNOT_CREATE)


def _fail(text: str, code: int) -> None:
    print(f"ha keys: {text}", file=sys.stderr)
    raise SystemExit(code)
