# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_node`: this node's name and id, the members of the cluster, quorum; forgetting a node.

Options and outputs are those of Pacemaker 2.1's. crmsh reads `-l` as `ID NAME STATE` with a numeric ID, so a node
whose id in the configuration is no number is shown with its place in the list.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.exit_codes import Exit

if TYPE_CHECKING:
    from ha.ccm.msg import View
    from ha.root import Root

PROGRAM = "crm_node"
TIMEOUT_MS = 10_000


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Show the nodes and the membership of the cluster.")
    parser.add_argument("--root", help="the node's root directory (default: HA_ROOT, else the machine's own)")
    parser.add_argument("--version", "-$", action="version", version=f"Heartbeat {__version__}")
    parser.add_argument("-Q", "--quiet", action="store_true", help="print only what was asked for")
    parser.add_argument("-V", "--verbose", action="count", default=0, help=argparse.SUPPRESS)
    parser.add_argument("-f", "--force", action="store_true", help="with --remove: do not ask")
    command = parser.add_mutually_exclusive_group(required=True)
    command.add_argument("-n", "--name", action="store_true", help="the name of this node")
    command.add_argument("-i", "--cluster-id", action="store_true", help="the id of this node")
    command.add_argument("-N", "--name-for-id", metavar="ID", help="the name of the node with this id")
    command.add_argument("-l", "--list", action="store_true", help="all nodes: id, name, member or lost")
    command.add_argument("-p", "--partition", action="store_true", help="the members of this node's part")
    command.add_argument("-q", "--quorum", action="store_true", help="1 if this part has quorum, else 0")
    command.add_argument("-R", "--remove", metavar="NODE", help="forget a node that has left or was fenced")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser().parse_args(argv)
    from ha.cli.source.cib import SourceError
    from ha.ipc.client import NotConnected, TimedOut
    from ha.root import Root, RootError

    try:
        return _run(Root.choose(options.root), options)
    except RootError as error:
        return _fail(Exit.USAGE, str(error))
    except SourceError as error:
        return _fail(error.code, str(error))
    except TimedOut as error:
        return _fail(Exit.TIMEOUT, str(error))
    except NotConnected as error:
        return _fail(Exit.NOT_CONNECTED, str(error))


def _run(root: Root, options: argparse.Namespace) -> int:
    if options.remove:
        return _remove(root, options.remove.lower(), options.force)
    name, view = _membership(root)
    if options.name:
        print(name)
    elif options.quorum:
        print(int(view is not None and view.quorate))
    elif options.partition:
        print(" ".join(view.names()) if view is not None else "")
    else:
        return _numbered(root, options, name, view)
    return Exit.OK


def _numbered(root: Root, options: argparse.Namespace, name: str, view: View | None) -> int:
    members = view.names() if view is not None else ()
    numbers = _numbers(root, members)
    if options.list:
        for node, number in sorted(numbers.items(), key=lambda pair: (int(pair[1]), pair[0])):
            print(f"{number} {node} {'member' if node in members else 'lost'}")
        return Exit.OK
    if options.cluster_id:
        found = numbers.get(name)
        wanted = f"this node, {name}, is not in the configuration yet"
    else:
        found = next((node for node, number in numbers.items() if number == options.name_for_id), None)
        wanted = f"no node has the id {options.name_for_id} (crm_node -l lists them)"
    if found is None:
        return _fail(Exit.NO_SUCH_OBJECT, wanted)
    print(found)
    return Exit.OK


def _membership(root: Root) -> tuple[str, View | None]:
    from ha.ccm.msg import GetMembership, MembershipEvent
    from ha.ipc.client import Connection, NotConnected

    with Connection.open(root, "ccm", program=PROGRAM) as ccm:
        answer = ccm.ask(GetMembership(), TIMEOUT_MS)
        if not isinstance(answer, MembershipEvent):
            raise NotConnected(f"ccm answered {type(answer).__name__} to GetMembership: is it another version?")
        return ccm.node, answer.view


def _numbers(root: Root, members: Sequence[str]) -> dict[str, str]:
    """Node name -> its id if that is a number, else its place. Members that the configuration lacks come last."""
    from lxml import etree

    from ha.cli.source.cib import open_cib

    section = etree.fromstring(open_cib(root, PROGRAM).query(scope="nodes").encode())
    ids = {node.get("uname", ""): node.get("id", "") for node in section.iterfind("node")
           if node.get("type", "member") in ("member", "normal")}
    for node in members:
        ids.setdefault(node, "")
    taken = {number for number in ids.values() if number.isdecimal()}
    free = (str(n) for n in range(1, 2 * len(ids) + 1) if str(n) not in taken)
    return {node: number if number.isdecimal() else next(free) for node, number in ids.items()}


def _remove(root: Root, node: str, force: bool) -> int:
    from ha.crm.msg import Done, RemoveNode
    from ha.ipc.client import Connection, NotConnected

    if not force and sys.stdin.isatty():
        print(f"Forget node {node}, its history and its attributes? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return _fail(Exit.ERROR, "nothing was changed")
    with Connection.open(root, "crmd", program=PROGRAM) as crmd:
        answer = crmd.ask(RemoveNode(request_id=crmd.new_request_id(), node=node), TIMEOUT_MS)
    if not isinstance(answer, Done):
        raise NotConnected(f"crmd answered {type(answer).__name__} to RemoveNode: is it another version?")
    return _fail(answer.rc, answer.reason) if answer.rc else Exit.OK


def _fail(code: int, text: str) -> int:
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return code
