# SPDX-License-Identifier: GPL-2.0-or-later
"""`cibsecret`: values of parameters that are kept out of the CIB, in files that only root can read.

Commands, messages and exit codes as in Pacemaker 2.1's. Other nodes get the secrets through ssh, by the same command
on their side: the cluster's own messages do not carry them.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_version

if TYPE_CHECKING:
    from ha.root import Root

PROGRAM = "cibsecret"
MAX_RECEIVED_BYTES = 64_000_000
SSH_PATIENCE_S = 60
SSH_VARIABLE = "HA_SSH"
"""The remote shell and its options; called with a node's name and `cibsecret receive`."""

EPILOG = """commands:
  set RESOURCE PARAMETER [VALUE]   keep a value as a secret (asked for when it is not given)
  get RESOURCE PARAMETER           print this node's value
  check RESOURCE PARAMETER         verify this node's value against its MD5 hash
  stash RESOURCE PARAMETER         make a value that is in the CIB a secret
  unstash RESOURCE PARAMETER       put a secret into the CIB
  delete RESOURCE PARAMETER        forget the secret, here, on the other nodes and in the CIB
  sync                             copy all secrets of this node to the other nodes

Secrets are not encrypted, but readable by root alone. Other nodes that are online get changes through ssh (as root,
without a password); nodes that are not need `cibsecret sync` before they join. A changed secret restarts nothing."""


class Failure(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM, description="Manage values of parameters that are kept out of the CIB.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_version(p)
    p.add_argument("-C", dest="no_cib", action="store_true", help="neither read nor write the CIB, nor other nodes")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.add_argument("command", choices=["set", "get", "check", "stash", "unstash", "delete", "sync", "receive"],
                   metavar="COMMAND")  # fmt: skip
    p.add_argument("resource", nargs="?", metavar="RESOURCE")
    p.add_argument("parameter", nargs="?", metavar="PARAMETER")
    p.add_argument("value", nargs="?", metavar="VALUE")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_intermixed_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    needs_names = options.command not in ("sync", "receive")
    given = [options.resource, options.parameter, options.value]
    wanted = 0 if not needs_names else 3 if options.command == "set" and options.value is not None else 2
    if sum(one is not None for one in given) != wanted:
        print(f"{PROGRAM}: {options.command} needs {'RESOURCE PARAMETER' if needs_names else 'no arguments'}",
              file=sys.stderr)  # fmt: skip
        return Exit.USAGE
    from ha.lrm.io.secrets import NoSecret, NoSum, SecretError, WrongSum
    from ha.root import Root, RootError

    codes = {NoSecret: Exit.NO_SUCH_OBJECT, NoSum: Exit.NO_SYSTEM_FILE, WrongSum: Exit.DIGEST}
    try:
        Command(Root.choose(options.root), options).run()
    except Failure as failure:
        print(f"ERROR: {failure}")
        return failure.code
    except SecretError as error:
        print(f"ERROR: {error}")
        return codes.get(type(error), Exit.ERROR)
    except (OSError, RootError) as error:
        print(f"ERROR: {error}")
        return Exit.ERROR
    return Exit.OK


class Command:
    def __init__(self, root: Root, options: argparse.Namespace) -> None:
        self.root = root
        self.resource: str = options.resource or ""
        self.parameter: str = options.parameter or ""
        self.options = options

    def run(self) -> None:
        getattr(self, f"_{self.options.command}")()

    # Commands --------------------------------------------------------------------------------------------------------

    def _set(self) -> None:
        value = self.options.value if self.options.value is not None else getpass.getpass("Enter value: ")
        self._set_to(value)

    def _set_to(self, value: str) -> None:
        from ha.lrm.io import secrets

        current = self._in_cib()
        if current not in ("", secrets.MAGIC, value):
            raise Failure(Exit.CONFIGURATION, f"CIB value different for {self._name()}; please delete it first")
        secrets.write(self.root, self.resource, self.parameter, value)
        self._send([(self.resource, self.parameter, value)])
        self._crm_resource("-r", self.resource, "-p", self.parameter, "-v", secrets.MAGIC)

    def _get(self) -> None:
        print(self._checked())

    def _check(self) -> None:
        self._checked()

    def _checked(self) -> str:
        from ha.lrm.io import secrets

        if not self.options.no_cib and self._in_cib() != secrets.MAGIC:
            raise Failure(Exit.CONFIGURATION, f"{self._name()} not set as secret, nothing to check")
        return secrets.read(self.root, self.resource, self.parameter)

    def _stash(self) -> None:
        from ha.lrm.io import secrets

        self._needs_cib()
        current = self._in_cib()
        if not current:
            raise Failure(Exit.NO_SUCH_OBJECT, f"nothing to stash for {self._name()}")
        if current == secrets.MAGIC:
            raise Failure(Exit.EXISTS, f"{self._name()} already set as secret, nothing to stash")
        self._set_to(current)

    def _unstash(self) -> None:
        from ha.lrm.io import secrets

        self._needs_cib()
        value = secrets.read(self.root, self.resource, self.parameter)
        if self._in_cib() != secrets.MAGIC:
            print(f"WARNING: {self._name()} not set as secret, but we have local value so proceeding anyway")
        # Into the CIB first: should that fail, the value is not lost.
        self._crm_resource("-r", self.resource, "-p", self.parameter, "-v", value)
        self._remove()

    def _delete(self) -> None:
        self._in_cib()
        self._remove()
        self._crm_resource("-r", self.resource, "-d", self.parameter)

    def _sync(self) -> None:
        from ha.lrm.io import secrets

        self._send(secrets.all_secrets(self.root), everything=True)

    def _receive(self) -> None:
        """The other side of `_send`: from standard input."""
        from ha.lrm.io import secrets

        text = sys.stdin.buffer.read(MAX_RECEIVED_BYTES + 1)
        if len(text) > MAX_RECEIVED_BYTES:
            raise Failure(Exit.DATA_ERROR, f"more than {MAX_RECEIVED_BYTES} bytes were sent")
        try:
            parcel = json.loads(text)
            entries = [(str(r), str(p), v if v is None else str(v)) for r, p, v in parcel["secrets"]]
            everything = parcel["everything"] is True
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(Exit.DATA_ERROR, f"what was sent are no secrets: {type(error).__name__}") from None
        if everything:
            kept = {(resource, parameter) for resource, parameter, _ in entries}
            for resource, parameter, _ in secrets.all_secrets(self.root):
                if (resource, parameter) not in kept:
                    secrets.remove(self.root, resource, parameter)
        for resource, parameter, value in entries:
            if value is None:
                secrets.remove(self.root, resource, parameter)
            else:
                secrets.write(self.root, resource, parameter, value)

    # What they have in common ----------------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"resource {self.resource} parameter {self.parameter}"

    def _needs_cib(self) -> None:
        if self.options.no_cib:
            raise Failure(Exit.USAGE, f"no access to the CIB with -C, {self.options.command} not supported")

    def _remove(self) -> None:
        from ha.lrm.io import secrets

        secrets.remove(self.root, self.resource, self.parameter)
        self._send([(self.resource, self.parameter, None)])

    def _in_cib(self) -> str:
        """The parameter's value in the CIB, "" when it has none. The resource must be there."""
        if self.options.no_cib:
            return ""
        from lxml import etree

        from ha.cli.source.cib import SourceError, read_cib

        try:
            cib = etree.fromstring(read_cib(self.root, PROGRAM))
        except SourceError as error:
            raise Failure(error.code, str(error)) from error
        for primitive in cib.iterfind("configuration/resources//primitive"):
            if primitive.get("id") == self.resource:
                pairs = primitive.iterfind("instance_attributes/nvpair")
                return next((pair.get("value", "") for pair in pairs if pair.get("name") == self.parameter), "")
        raise Failure(Exit.NO_SUCH_OBJECT, f"there is no resource {self.resource}")

    def _crm_resource(self, *arguments: str) -> None:
        if self.options.no_cib:
            return
        from ha.cli import crm_resource

        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = crm_resource.main([*arguments, "--root", self.root.prefix] if self.root.prefix else list(arguments))
        if code:
            raise Failure(code, f"the CIB could not be changed: {said.getvalue().strip()}")

    def _send(self, entries: Sequence[tuple[str, str, str | None]], *, everything: bool = False) -> None:
        """To every other node that is online. The secrets go through the remote shell's standard input."""
        if self.options.no_cib:
            return
        online, down = self._peers()
        for node in down:
            print(f'WARNING: node {node} is down; you\'ll need to update it using "{PROGRAM} sync" later')
        if not online:
            print("INFO: no other nodes live")
            return
        print(f"INFO: syncing to {' '.join(online)} ...")
        shell = os.environ.get(SSH_VARIABLE, "ssh -o BatchMode=yes").split()
        parcel = json.dumps({"secrets": entries, "everything": everything}).encode()
        failed = []
        for node in online:
            try:
                done = subprocess.run([*shell, node, PROGRAM, "receive"], input=parcel, capture_output=True,
                                      check=False, timeout=SSH_PATIENCE_S)  # fmt: skip
                said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
                code = done.returncode
            except (OSError, subprocess.TimeoutExpired) as error:
                code, said = 1, str(error)
            if code:
                failed.append(node)
                print(f"WARNING: node {node} did not take the secrets: {said}")
        if failed:
            raise Failure(Exit.ERROR, f"the secrets were not sent to {' '.join(failed)}; this node has them")

    def _peers(self) -> tuple[list[str], list[str]]:
        from lxml import etree

        from ha.cli.source.cib import SourceError, read_cib

        try:
            cib = etree.fromstring(read_cib(self.root, PROGRAM))
        except SourceError as error:
            raise Failure(error.code, str(error)) from error
        known = {node.get("uname", "") for node in cib.iterfind("configuration/nodes/node")}
        names = sorted(known - {self.root.node_name(), ""})
        up = {state.get("uname") for state in cib.iterfind("status/node_state") if state.get("crmd") == "online"}
        return [name for name in names if name in up], [name for name in names if name not in up]
