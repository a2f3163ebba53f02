# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_standby`: take a node out of service and back. A front for crm_attribute."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ha import __version__
from ha.cli.exit_codes import Exit

PROGRAM = "crm_standby"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Take a node out of service (standby), or back.")
    p.add_argument("-$", "--version", action="version", version=f"crm_standby (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.add_argument("-N", "--node", help="which node (default: this one)")
    p.add_argument("-l", "--lifetime", choices=["reboot", "forever"], default="forever")
    p.add_argument("-q", "--quiet", action="store_true")
    order = p.add_mutually_exclusive_group()
    order.add_argument("-v", "--update", metavar="on|off", nargs="?", const="on")
    order.add_argument("-D", "--delete", action="store_true", help="back into service")
    order.add_argument("-G", "--query", action="store_true", help="print whether it is in standby")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    from ha.cli import crm_attribute

    call = ["--name", "standby", "--lifetime", options.lifetime]
    if options.root:
        call += ["--root", options.root]
    if options.node:
        call += ["--node", options.node]
    if options.quiet:
        call.append("--quiet")
    if options.delete:
        call.append("--delete")
    elif options.update:
        call += ["--update", options.update]
    else:
        call += ["--query", "--default", "off"]
    return crm_attribute.main(call, program=PROGRAM)
