# SPDX-License-Identifier: GPL-2.0-or-later
"""`crmadmin`: the state of a node's crmd, who is DC, and the nodes of the cluster.

Options and outputs are those of Pacemaker 2.1's, which crmsh and agents read: `crmadmin -S NODE` matches
`S_IDLE.*ok` when the DC is idle, and the last word of `crmadmin -D` is the DC's name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.exit_codes import Exit

if TYPE_CHECKING:
    from ha.crm.msg import State
    from ha.root import Root

PROGRAM = "crmadmin"
DEFAULT_TIMEOUT_MS = 30_000
ROLES = ("member", "remote", "ping", "all")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Ask the cluster's controllers (crmds).")
    parser.add_argument("--root", help="the node's root directory (default: HA_ROOT, else the machine's own)")
    parser.add_argument("--version", "-$", action="version", version=f"Heartbeat {__version__}")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the value that was asked for")
    parser.add_argument("-V", "--verbose", action="count", default=0, help=argparse.SUPPRESS)
    parser.add_argument("-t", "--timeout", metavar="MS", default=str(DEFAULT_TIMEOUT_MS),
                        help="how long to wait for an answer, in ms")
    parser.add_argument("-B", "--bash-export", action="store_true", help="print nodes as shell exports (with -N)")
    command = parser.add_mutually_exclusive_group(required=True)
    command.add_argument("-S", "--status", metavar="NODE", help="the state of the crmd on NODE")
    command.add_argument("-D", "--dc_lookup", action="store_true", help="the node that leads the cluster")
    command.add_argument("-N", "--nodes", metavar="TYPE", nargs="?", const="all",
                         help="the nodes of the configuration (member, remote, ping or all)")
    command.add_argument("-P", "--pacemakerd", action="store_true", help="whether the cluster manager runs here")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser().parse_args(argv)
    from ha.ipc.client import NotConnected, TimedOut
    from ha.root import Root, RootError

    timeout_ms = _milliseconds(options.timeout)
    if timeout_ms is None:
        return _fail(Exit.USAGE, f"--timeout: {options.timeout!r} is no time (milliseconds, or with a unit: 5s)")
    try:
        root = Root.choose(options.root)
        if options.status:
            return _status(root, options.status, timeout_ms)
        if options.dc_lookup:
            return _dc(root, timeout_ms, options.quiet)
        if options.nodes:
            return _nodes(root, options.nodes, options.bash_export)
        return _running(root, timeout_ms)
    except RootError as error:
        return _fail(Exit.USAGE, str(error))
    except TimedOut as error:
        return _fail(Exit.TIMEOUT, str(error))
    except NotConnected as error:
        return _fail(Exit.NOT_CONNECTED, str(error))


def _status(root: Root, node: str, timeout_ms: int) -> int:
    state = _ask_state(root, node.lower(), timeout_ms)
    if not state.fsm:
        return _fail(Exit.NOT_CONNECTED, f"the controller on {node} does not answer: is {node} in the cluster? "
                     "(crm_node -l lists its members)")
    print(f"Controller on {state.node} in state {state.fsm}: ok")
    return Exit.OK


def _dc(root: Root, timeout_ms: int, quiet: bool) -> int:
    dc = _ask_state(root, "", timeout_ms).dc
    if quiet:
        if dc:
            print(dc)
    else:
        print(f"Designated Controller is: {dc or 'not yet elected'}")
    return Exit.OK


def _ask_state(root: Root, node: str, timeout_ms: int) -> State:
    from ha.crm.msg import GetState, State
    from ha.ipc.client import Connection, NotConnected

    with Connection.open(root, "crmd", program=PROGRAM) as crmd:
        answer = crmd.ask(GetState(request_id=crmd.new_request_id(), node=node), timeout_ms)
    if not isinstance(answer, State):
        raise NotConnected(f"crmd answered {type(answer).__name__} to GetState: is it another version?")
    return answer


def _nodes(root: Root, role: str, export: bool) -> int:
    from lxml import etree

    from ha.cli.source.cib import SourceError, open_cib

    if role not in ROLES:
        return _fail(Exit.USAGE, f"-N: {role!r} is no type of node ({', '.join(ROLES)})")
    try:
        section = etree.fromstring(open_cib(root, PROGRAM).query(scope="nodes").encode())
    except SourceError as error:
        return _fail(error.code, str(error))
    for node in section.iterfind("node"):
        kind = node.get("type", "member").replace("normal", "member")
        if role not in ("all", kind):
            continue
        name, number = node.get("uname", ""), node.get("id", "")
        print(f"export {name}={number}" if export else f"{'cluster' if kind == 'member' else kind} node: "
              f"{name} ({number})")
    return Exit.OK


def _running(root: Root, timeout_ms: int) -> int:
    from ha.ipc.client import Connection
    from ha.rmd.msg import GetWorkers, Workers

    with Connection.open(root, "rmd", program=PROGRAM) as rmd:
        answer = rmd.ask(GetWorkers(), timeout_ms)
    workers = answer.workers if isinstance(answer, Workers) else []
    down = [line.worker for line in workers if line.state not in ("RUNNING", "running")
            and line.worker not in ("pengine", "tengine")]
    print(f"Status of pacemakerd: {'Pacemaker is running' if not down else 'starting or stopping: ' + ', '.join(down)}")
    return Exit.OK


def _milliseconds(text: str) -> int | None:
    """Plain numbers are ms here, as in Pacemaker's crmadmin; with a unit they are what it says."""
    if text.isdecimal() and len(text) < 10:
        return int(text)
    from ha.pe.model.values import milliseconds

    return milliseconds(text) if text[:1].isdecimal() else None


def _fail(code: int, text: str) -> int:
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return code
