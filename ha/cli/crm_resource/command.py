# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of crm_resource."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from ha import __version__
from ha.cli.crm_resource.session import OrderError, Session
from ha.cli.exit_codes import Exit, words
from ha.cli.output.result import emit
from ha.cli.source.cib import SourceError

Order = Callable[[Session], int]

MANUAL = {"start": "start", "stop": "stop", "check": "monitor", "promote": "promote", "demote": "demote"}
"""What is run past the cluster: --force-WORD to the agent's operation."""


ORDERS: dict[str, str] = {
    "list": "listing.list_resources",
    "list_raw": "listing.list_raw",
    "list_cts": "listing.list_raw",
    "locate": "listing.locate",
    "query_xml": "listing.query_xml",
    "query_xml_raw": "listing.query_xml_raw",
    "list_operations": "listing.list_operations",
    "list_all_operations": "listing.list_operations",
    "constraints": "relations.direct",
    "stack": "relations.chained",
    "list_standards": "agents.list_standards",
    "list_ocf_providers": "agents.list_ocf_providers",
    "list_ocf_alternatives": "agents.list_alternatives",
    "list_agents": "agents.list_of_class",
    "show_metadata": "agents.show_metadata",
    "get_parameter": "parameters.get_parameter",
    "set_parameter": "parameters.set_parameter",
    "delete_parameter": "parameters.delete_parameter",
    "move": "constraints.move",
    "ban": "constraints.ban",
    "clear": "constraints.clear",
    "cleanup": "orders.cleanup",
    "refresh": "orders.refresh",
    "delete": "orders.delete",
    "fail": "orders.fail",
    "restart": "orders.restart",
    "wait": "orders.wait",
    "why": "why.why",
    "digests": "digests.digests",
    "validate": "validation.validate",
    **{f"force_{word}": f"manual.force_{word}" for word in MANUAL},
}
"""Option -> the function of this folder that carries it out. Imported when it is called: half of what the whole command
has to import is the policy engine, and crmsh lists agents by a call for each."""


SILENT = ("move", "ban", "clear", "cleanup", "refresh", "delete", "fail", "restart", "wait")
"""Orders whose answer is their exit code."""
IN_XML = ("digests", "validate", *SILENT)


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
    look.add_argument("--recursive", action="store_true", help="for --constraints: as --stack")
    look.add_argument("--list-ocf-alternatives", metavar="TYPE", help="the providers that have agent TYPE")
    look.add_argument("--list-agents", metavar="CLASS[:PROVIDER]", help="the agents of a class")
    look.add_argument("--show-metadata", metavar="CLASS[:PROVIDER]:TYPE", help="an agent's meta-data")
    _parameter_options(p)
    _order_options(p)
    _check_options(p)
    _output_options(p)
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
        ("delete", "-D", "take --resource, of --resource-type, out of the configuration"),
    ):
        group.add_argument(*([short] if short else []), f"--{name}", action="store_true", help=text)
    for word, operation in MANUAL.items():
        text = f"run the agent's {operation} of --resource on this node, past the cluster"
        group.add_argument(f"--force-{word}", action="store_true", help=text)
    group.add_argument("-r", "--resource", metavar="ID")
    group.add_argument("-N", "--node", metavar="NODE")
    group.add_argument("-u", "--lifetime", metavar="DURATION", help="for --move and --ban: until then only (PT5M, 1h)")
    group.add_argument("--promoted", "--master", action="store_true", help="for --move and --ban: in the promoted role")
    group.add_argument("-e", "--expired", action="store_true", help="for --clear: only what is over")
    group.add_argument("-t", "--resource-type", metavar="ELEMENT", help="for --delete: primitive, group, clone ...")
    group.add_argument("-n", "--operation", metavar="NAME", help="for --cleanup: of this operation only")
    group.add_argument("-I", "--interval", metavar="DURATION", help="for --cleanup: of this interval only")
    group.add_argument("-T", "--timeout", metavar="DURATION", help="for --wait, --restart and --force-*")
    group.add_argument("-f", "--force", action="store_true")


def _check_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("checks")
    group.add_argument("--validate", nargs="?", const="", metavar="LEVEL",
                       help="have the agent of --resource, or --agent with --option, check its parameters")  # fmt: skip
    group.add_argument("--class", dest="agent_class", metavar="CLASS", help="for --validate: ocf")
    group.add_argument("--agent", metavar="TYPE", help="for --validate")
    group.add_argument("--provider", default="", metavar="PROVIDER", help="for --validate")
    group.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="for --validate")
    group.add_argument("--digests", action="store_true",
                       help="the hashes by which a changed definition of --resource on --node is noticed")  # fmt: skip
    group.add_argument("overrides", nargs="*", metavar="NAME=VALUE", help="for --digests: as if it were configured so")


def _output_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("output")
    group.add_argument("--output-as", choices=("text", "xml"), default="text", help="xml: for " + ", ".join(IN_XML))
    group.add_argument("--output-to", metavar="FILE", default="-", help='"-" is standard output')
    group.add_argument("-Q", "--quiet", action="store_true")
    group.add_argument("-V", "--verbose", action="count", default=0)
    p.add_argument("--help-all", action="help", help=argparse.SUPPRESS)


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
    if options.overrides and orders_given != ["digests"]:
        p.print_usage(sys.stderr)
        print(f"crm_resource: {options.overrides[0]!r} belongs to no option", file=sys.stderr)
        return Exit.USAGE
    if options.output_as == "xml" and orders_given[0] not in IN_XML:
        print(f"crm_resource: --output-as=xml is for --{' --'.join(IN_XML)}", file=sys.stderr)
        return Exit.USAGE
    module, _, function = ORDERS[orders_given[0]].partition(".")
    request = ["crm_resource", *(sys.argv[1:] if argv is None else argv)]
    from ha.pe.model.document import CibError
    from ha.root import Root, RootError

    try:
        order: Order = getattr(import_module(f"ha.cli.crm_resource.{module}"), function)
        code = order(Session(Root.choose(options.root), options, request))
        return emit(options, request, []) if options.output_as == "xml" and orders_given[0] in SILENT else code
    except (OrderError, SourceError) as error:
        code, text = error.code, str(error)
    except (CibError, RootError) as error:
        code, text = Exit.DATA_ERROR, str(error)
    if options.output_as == "xml":
        return emit(options, request, [], code=code, errors=[text])
    print(f"crm_resource: {text}", file=sys.stderr)
    print(f"Error performing operation: {words(code)}", file=sys.stderr)
    return code
