# SPDX-License-Identifier: GPL-2.0-or-later
"""`hb_standby` and `hb_takeover`: hand groups of haresources to the other node, or take them from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_output_options, add_version, emit

WHAT = ("all", "local", "foreign", "failback")
TIMEOUT_MS = 5_000
REFUSED = Exit.ERROR


def request_parser(program: str, description: str) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=program, description=f"{description} For nodes without a CRM (haresources). It returns when the other "
        "node has been asked; `cl_status rscstatus` tells when it is done.",
        epilog="Exit status: 0 asked; 1 refused, with the reason; 102 the worker does not run here.",
    )  # fmt: skip
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.add_argument(
        "what", nargs="?", choices=WHAT, default="all",
        help="which groups: all (the default), those at home here (local), those at home on the other node (foreign, "
        "also called failback)",
    )  # fmt: skip
    add_output_options(p, "text", "xml")
    return p


def parser() -> argparse.ArgumentParser:
    return request_parser("hb_standby", "Release groups here, and let the other node take them.")


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), argv)


def run(p: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    try:
        options = p.parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    request = [p.prog, *(sys.argv[1:] if argv is None else argv)]
    code, error = _ask(p.prog, options)
    return emit(options, request, (), code=code, errors=[error] if error else [])


def _ask(program: str, options: argparse.Namespace) -> tuple[int, str]:
    from ha.haresources.msg import Answer, ConfirmDead, GoStandby, Message, TakeOver, What
    from ha.ipc.client import Connection, NotConnected
    from ha.root import Root, RootError

    what: What = "foreign" if options.what == "failback" else options.what
    dead = getattr(options, "dead", None)
    message: Message = GoStandby(what=what)
    if program == "hb_takeover":
        message = ConfirmDead(node=dead) if dead else TakeOver(what=what)
    try:
        with Connection.open(Root.choose(options.root), "haresources", program=program) as worker:
            answer = worker.ask(message, timeout_ms=TIMEOUT_MS)
    except RootError as error:
        return Exit.USAGE, str(error)
    except NotConnected as error:
        return Exit.NOT_CONNECTED, str(error)
    assert isinstance(answer, Answer), answer
    return (Exit.OK if answer.accepted else REFUSED), answer.text
