# SPDX-License-Identifier: GPL-2.0-or-later
"""cl_status: ask the local heartbeat about nodes, links and clients.

Sub-commands, outputs and exit codes are those of Heartbeat 3.0.6: 0 good; 1 normal failure (node dead, Heartbeat not
running, client offline); 11 bad parameter; 12 timeout; 13 unknown. Errors go to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ha.heartbeat.io.api_client import ApiClient

GOOD, FAILURE, BAD_PARAMETER, TIMEOUT, UNKNOWN = 0, 1, 11, 12, 13
DEFAULT_TIMEOUT_MS = 5_000


class Answer:
    """What to print, short and as a sentence (-m), and the exit code."""

    def __init__(self, text: str, sentence: str, status: int = GOOD) -> None:
        self.text = text
        self.sentence = sentence
        self.status = status


class Parser(argparse.ArgumentParser):
    """argparse would exit with 2 for bad usage; here that is 11."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(BAD_PARAMETER)


def parser() -> Parser:
    parser = Parser(prog="cl_status", description="Ask the local heartbeat about nodes, links and clients.")
    parser.add_argument("--root", help="the node's root directory (default: HA_ROOT, else the machine's own)")
    parser.add_argument("-m", action="store_true", dest="sentence", help="answer in sentences for people")
    parser.add_argument("-v", action="store_true", dest="verbose", help="say more about errors")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, text: str, *arguments: str) -> Parser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("-m", action="store_true", dest="sentence", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("-v", action="store_true", dest="verbose", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        for argument in arguments:
            sub.add_argument(argument, metavar=argument.upper())
        return sub

    command("hbstatus", "whether heartbeat runs on this machine")
    kinds = command("listnodes", "the nodes of the cluster").add_mutually_exclusive_group()
    kinds.add_argument("-n", action="store_const", const="normal", dest="kind", help="only normal nodes")
    kinds.add_argument("-p", action="store_const", const="ping", dest="kind", help="only ping nodes")
    command("nodestatus", "the state of a node", "node")
    command("nodetype", "whether a node is normal or a ping node", "node")
    command("nodeweight", "the weight of a node", "node")
    command("nodesite", "the site of a node", "node")
    command("listhblinks", "the links to a node", "node")
    command("hblinkstatus", "the state of a link to a node", "node", "link")
    client = command("clientstatus", "whether a client or module is signed on at a node", "node", "client")
    client.add_argument("timeout_ms", metavar="MS", nargs="?", type=int, default=DEFAULT_TIMEOUT_MS)
    command("rscstatus", "the haresources groups that this node holds")
    command("hbparameter", "a parameter of ha.cf").add_argument("-p", dest="name", required=True, metavar="NAME")
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser().parse_args(argv)
    from ha.heartbeat.io.api_client import ApiClient, ApiError, ApiTimeout, NotRunning, Refused  # loaded late: start-up
    from ha.root import Root, RootError

    try:
        root = Root.choose(options.root)
        with ApiClient(root, timeout_ms=getattr(options, "timeout_ms", DEFAULT_TIMEOUT_MS)) as heartbeat:
            answer = COMMANDS[options.command](heartbeat, options)
    except NotRunning as error:
        if options.command == "hbstatus":
            print("Heartbeat is stopped on this machine.")
        else:
            print(f"cl_status: {error}: is it started?", file=sys.stderr)
        return FAILURE
    except ApiTimeout as error:
        print(f"cl_status: {error}", file=sys.stderr)
        return TIMEOUT
    except (Refused, RootError) as error:
        print(f"cl_status: {error}", file=sys.stderr)
        return BAD_PARAMETER
    except ApiError as error:
        print(f"cl_status: {error}", file=sys.stderr)
        return UNKNOWN
    text = answer.sentence if options.sentence else answer.text
    if text:
        print(text)
    return answer.status


def _hbstatus(_heartbeat: ApiClient, _options: argparse.Namespace) -> Answer:
    sentence = "Heartbeat is running on this machine."
    return Answer(sentence, sentence)


def _listnodes(heartbeat: ApiClient, options: argparse.Namespace) -> Answer:
    nodes = [
        answer.text("node") for answer in heartbeat.ask("nodelist") if options.kind in (None, answer.text("nodetype"))
    ]
    return Answer("\n".join(nodes), "\n".join(f"The cluster has the node {node}" for node in nodes))


def _about_node(reqtype: str, field: str, sentence: str) -> Callable[[ApiClient, argparse.Namespace], Answer]:
    def ask(heartbeat: ApiClient, options: argparse.Namespace) -> Answer:
        value = heartbeat.ask(reqtype, node=options.node)[0].text(field)
        status = FAILURE if reqtype == "nodestatus" and value == "dead" else GOOD
        return Answer(value, sentence.format(node=options.node, value=value), status)

    return ask


def _listhblinks(heartbeat: ApiClient, options: argparse.Namespace) -> Answer:
    # Heartbeat 3.0.6 names an interface once for each of its ucast lines.
    links = dict.fromkeys(answer.text("ifname") for answer in heartbeat.ask("iflist", node=options.node))
    return Answer("\n".join(f"\t{link}" for link in links), "\n".join(f"\t{link}" for link in links))


def _hblinkstatus(heartbeat: ApiClient, options: argparse.Namespace) -> Answer:
    state = heartbeat.ask("ifstatus", node=options.node, ifname=options.link)[0].text("st")
    sentence = f"The heartbeat link {options.link} of node {options.node} is {state}"
    return Answer(state, sentence, GOOD if state == "up" else FAILURE)


def _clientstatus(heartbeat: ApiClient, options: argparse.Namespace) -> Answer:
    state = heartbeat.ask("clientstatus", node=options.node, cn=options.client)[0].text("cs")
    sentence = f"The client {options.client} on node {options.node} is {state}"
    return Answer(state, sentence, GOOD if state == "online" else FAILURE)


def _rscstatus(heartbeat: ApiClient, _options: argparse.Namespace) -> Answer:
    held = heartbeat.ask("getrsc")[0].text("rsc_hold")
    return Answer(held, f"This node holds these haresources groups: {held}")


def _hbparameter(heartbeat: ApiClient, options: argparse.Namespace) -> Answer:
    value = heartbeat.ask("getparm", pname=options.name)[0].text("pvalue")
    return Answer(value, f"The parameter {options.name} is {value}")


COMMANDS: dict[str, Callable[[ApiClient, argparse.Namespace], Answer]] = {
    "hbstatus": _hbstatus,
    "listnodes": _listnodes,
    "nodestatus": _about_node("nodestatus", "st", "The cluster node {node} is {value}"),
    "nodetype": _about_node("nodetype", "nodetype", "The cluster node {node} is of type {value}"),
    "nodeweight": _about_node("nodeweight", "weight", "The cluster node {node} has weight {value}"),
    "nodesite": _about_node("nodesite", "site", "The cluster node {node} is at site {value}"),
    "listhblinks": _listhblinks,
    "hblinkstatus": _hblinkstatus,
    "clientstatus": _clientstatus,
    "rscstatus": _rscstatus,
    "hbparameter": _hbparameter,
}
