# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of crm_resource."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

from ha import __version__
from ha.cli.cib_source import SourceError
from ha.cli.crm_resource import agents, constraints, listing, orders, parameters, relations, why
from ha.cli.crm_resource.session import OrderError, Session
from ha.cli.exit_codes import Exit, words
from ha.pe.model.document import CibError
from ha.root import Root, RootError

Order = Callable[[Session], int]

MANUAL = {"start": "start", "stop": "stop", "check": "monitor", "promote": "promote", "demote": "demote"}
"""What is run past the cluster: --force-WORD to the agent's operation."""


def _manual(option: str, operation: str, session: Session) -> int:
    from ha.cli.crm_resource import manual

    return manual.force(session, option, operation)


ORDERS: dict[str, Order] = {
    "list": listing.list_resources,
    "list_raw": listing.list_raw,
    "list_cts": listing.list_raw,
    "locate": listing.locate,
    "query_xml": lambda session: listing.query_xml(session, expanded=True),
    "query_xml_raw": lambda session: listing.query_xml(session, expanded=False),
    "list_operations": listing.list_operations,
    "list_all_operations": listing.list_operations,
    "constraints": lambda session: relations.constraints(session, recursive=False),
    "stack": lambda session: relations.constraints(session, recursive=True),
    "list_standards": agents.list_standards,
    "list_ocf_providers": agents.list_ocf_providers,
    "list_ocf_alternatives": agents.list_alternatives,
    "list_agents": agents.list_of_class,
    "show_metadata": agents.show_metadata,
    "get_parameter": parameters.get_parameter,
    "set_parameter": parameters.set_parameter,
    "delete_parameter": parameters.delete_parameter,
    "move": constraints.move,
    "ban": constraints.ban,
    "clear": constraints.clear,
    "cleanup": lambda session: orders.cleanup(session, only_failed=True),
    "refresh": lambda session: orders.cleanup(session, only_failed=False),
    "fail": orders.fail,
    "restart": orders.restart,
    "wait": orders.wait,
    "why": why.why,
    **{f"force_{word}": partial(_manual, f"force-{word}", operation) for word, operation in MANUAL.items()},
}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="crm_resource", description="Look at resources and give orders about them.")
    p.add_argument("--version", "-$", action="version", version=f"crm_resource (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    look = p.add_argument_group("look")
    for name, short, text in (
        ("list", "-L", "all resources and their states"),
        ("list-raw", "-l", "the ids of all resource instances"),
        ("list-cts", "-c", argparse.SUPPRESS),
        ("locate", "-W", "where --resource runs"),
        ("query-xml", "-q", "the definition of --resource, templates merged in"),
        ("query-xml-raw", "-w", "the definition of --resource as configured"),
        ("list-operations", "-O", "the operation history, of --resource and --node if given"),
        ("list-all-operations", "-o", "the same: the history has no operations that are not active"),
        ("constraints", "-a", "the constraints that tie --resource, and what is tied to it"),
        ("stack", "-A", "the same, along the whole chain of colocations"),
        ("why", "-Y", "why resources are where they are, or not running"),
        ("list-standards", None, "the classes of agents"),
        ("list-ocf-providers", None, "the providers of OCF agents"),
    ):
        look.add_argument(*([short] if short else []), f"--{name}", action="store_true", help=text)
    look.add_argument("--list-ocf-alternatives", metavar="TYPE", help="the providers that have agent TYPE")
    look.add_argument("--list-agents", metavar="CLASS[:PROVIDER]", help="the agents of a class")
    look.add_argument("--show-metadata", metavar="CLASS[:PROVIDER]:TYPE", help="an agent's meta-data")
    _parameter_options(p)
    _order_options(p)
    return p


def _parameter_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("parameters of --resource")
    group.add_argument("-g", "--get-parameter", metavar="NAME")
    group.add_argument("-p", "--set-parameter", metavar="NAME", help="needs --parameter-value")
    group.add_argument("-d", "--delete-parameter", metavar="NAME")
    group.add_argument("-v", "--parameter-value", metavar="VALUE")
    group.add_argument("-m", "--meta", action="store_true", help="of its meta-attributes")
    group.add_argument("-z", "--utilization", action="store_true", help="of its utilization")


def _order_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("orders")
    for name, short, text in (
        ("move", "-M", "make --resource prefer --node, or leave the node it runs on"),
        ("ban", "-B", "keep --resource away from --node, or from the node it runs on"),
        ("clear", "-U", "drop what --move and --ban left"),
        ("cleanup", "-C", "forget failures of --resource (all, if none is named) and probe again"),
        ("refresh", "-R", "forget all history of --resource and probe again"),
        ("fail", "-F", "make the cluster believe that --resource failed on --node"),
        ("restart", None, "stop --resource and what depends on it, then start them again"),
        ("wait", None, "wait until the cluster has nothing left to do"),
    ):
        group.add_argument(*([short] if short else []), f"--{name}", action="store_true", help=text)
    for word, operation in MANUAL.items():
        text = f"run the agent's {operation} of --resource on this node, past the cluster"
        group.add_argument(f"--force-{word}", action="store_true", help=text)
    group.add_argument("-r", "--resource", metavar="ID")
    group.add_argument("-N", "--node", metavar="NODE")
    group.add_argument("-u", "--lifetime", metavar="DURATION", help="for --move and --ban: until then only (PT5M, 1h)")
    group.add_argument("--promoted", "--master", action="store_true", help="for --move and --ban: in the promoted role")
    group.add_argument("-n", "--operation", metavar="NAME", help="for --cleanup: of this operation only")
    group.add_argument("-I", "--interval", metavar="DURATION", help="for --cleanup: of this interval only")
    group.add_argument("-T", "--timeout", metavar="DURATION", help="for --wait, --restart and --force-*")
    group.add_argument("-f", "--force", action="store_true")
    group.add_argument("-Q", "--quiet", action="store_true")
    group.add_argument("-V", "--verbose", action="count", default=0)


def chosen(options: argparse.Namespace) -> list[str]:
    """The orders given on the command line."""
    return [name for name in ORDERS if getattr(options, name) not in (None, False)]


def main(argv: Sequence[str] | None = None) -> int:
    p = parser()
    try:
        options = p.parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    orders_given = chosen(options) or ["list"]
    if len(orders_given) > 1:
        p.print_usage(sys.stderr)
        print(f"crm_resource: choose one of --{' --'.join(orders_given).replace('_', '-')}", file=sys.stderr)
        return Exit.USAGE
    try:
        return ORDERS[orders_given[0]](Session(Root.choose(options.root), options))
    except (OrderError, SourceError) as error:
        print(f"crm_resource: {error}", file=sys.stderr)
        print(f"Error performing operation: {words(error.code)}", file=sys.stderr)
        return error.code
    except (CibError, RootError) as error:
        print(f"crm_resource: {error}", file=sys.stderr)
        return Exit.DATA_ERROR
