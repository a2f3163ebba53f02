# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_master`: an agent's promotion score of its resource on this node. A front for crm_attribute --promotion."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_version

PROGRAM = "crm_master"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Show, set or delete a resource's promotion score.")
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    order = p.add_mutually_exclusive_group(required=True)
    order.add_argument("-G", "--query", "--get-value", action="store_true")
    order.add_argument("-v", "--update", "--attr-value", metavar="SCORE")
    order.add_argument("-D", "--delete", "--delete-attr", action="store_true")
    p.add_argument("-r", "--resource", metavar="ID", help="default: OCF_RESOURCE_INSTANCE, which agents have")
    p.add_argument("-N", "--node", "-U", "--uname", metavar="NODE", help="default: this node")
    p.add_argument("-l", "--lifetime", choices=["reboot", "forever"], default="forever")
    p.add_argument("-q", "--quiet", "-Q", action="store_true", help="print the value alone")
    p.add_argument("-i", "--id", "--attr-id", help=argparse.SUPPRESS)
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 1 without a resource, as Pacemaker's; else what crm_attribute says."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.ERROR if ended.code else Exit.OK
    resource = options.resource or os.environ.get("OCF_RESOURCE_INSTANCE")
    if not resource:
        print(
            f"{PROGRAM}: name the resource with --resource (agents have it in OCF_RESOURCE_INSTANCE)", file=sys.stderr
        )
        return Exit.ERROR
    from ha.cli import crm_attribute

    call = ["--name", f"master-{resource}", "--lifetime", options.lifetime]
    for name in ("node", "root"):
        if value := getattr(options, name):
            call += [f"--{name}", value]
    if options.quiet:
        call.append("--quiet")
    if options.query:
        call.append("--query")
    elif options.delete:
        call.append("--delete")
    else:
        call.append(f"--update={options.update}")
    return crm_attribute.main(call, program=PROGRAM)
