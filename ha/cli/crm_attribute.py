# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_attribute`: cluster options, node attributes, defaults.

Options and outputs are those of Pacemaker 2.1's, which crmsh, pcs and agents call. Attributes of lifetime `reboot`
belong to attrd; all others are written into the CIB.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.exit_codes import Exit, words
from ha.cli.output.xml_text import quoteattr

if TYPE_CHECKING:
    from ha.cli.source.cib import CibSource
    from ha.root import Root

PROGRAM = "crm_attribute"
ASK_TIMEOUT_MS = 30_000

SETS = {
    "crm_config": ("cluster_property_set", "cib-bootstrap-options"),
    "rsc_defaults": ("meta_attributes", "rsc_defaults-options"),
    "op_defaults": ("meta_attributes", "op_defaults-options"),
    "tickets": ("meta_attributes", "tickets"),
}
"""type -> (element of the set, id of the set to create when there is none)."""


def parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=program, description="Read and set cluster options and node attributes.")
    p.add_argument("-$", "--version", action="version", version=f"{program} (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.add_argument("-n", "--name", "--attr-name", metavar="NAME", help="the option or attribute")
    p.add_argument("-t", "--type", choices=["nodes", "status", *SETS], help="where it is (default: from the others)")
    p.add_argument("-N", "--node", metavar="NODE", help="of which node (default: this one)")
    p.add_argument("-l", "--lifetime", choices=["reboot", "forever"])
    p.add_argument("-s", "--set-name", default="", metavar="ID", help="in this set of attributes")
    p.add_argument("-z", "--utilization", action="store_true", help="a utilization attribute of the node")
    p.add_argument("-p", "--promotion", nargs="?", const="", metavar="RESOURCE", help="the promotion score")
    p.add_argument("-d", "--default", metavar="VALUE", help="for --query: what to print when it is not set")
    p.add_argument("-q", "--quiet", action="store_true", help="print the value alone")
    order = p.add_mutually_exclusive_group()
    order.add_argument("-G", "--query", "--get-value", action="store_true")
    order.add_argument("-v", "--update", "--attr-value", metavar="VALUE")
    order.add_argument("-D", "--delete", "--delete-attr", action="store_true")
    p.add_argument("-P", "--pattern", metavar="REGEX", help="instead of --name: all transient attributes that match")
    p.add_argument("--output-as", choices=("text", "xml"), default="text", help="form of the output")
    p.add_argument("--output-to", metavar="FILE", default="-", help=argparse.SUPPRESS)
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


class Place:
    """Where an attribute lives: what to search, and the XML that sets it."""

    def __init__(self, options: argparse.Namespace, node: str) -> None:
        self.name = str(options.name)
        self.kind = kind_of(options)
        self.node = node
        self.set_name = options.set_name
        self.utilization = options.utilization

    def xpath(self) -> str:
        name = quoteattr(self.name)
        match self.kind:
            case "nodes":
                tag = "utilization" if self.utilization else "instance_attributes"
                base = f"/cib/configuration/nodes/node[@uname={quoteattr(self.node)}]/{tag}"
            case "status":
                base = f"/cib/status/node_state[@uname={quoteattr(self.node)}]/transient_attributes/instance_attributes"
            case kind:
                base = f"/cib/configuration/{kind}/{SETS[kind][0]}"
        if self.set_name:
            base += f"[@id={quoteattr(self.set_name)}]"
        return f"{base}/nvpair[@name={name}]"

    def xml(self, value: str, node_id: str, set_id: str, pair_id: str) -> tuple[str, str]:
        """(scope, XML) of a modify that sets the value."""
        pair = f"<nvpair id={quoteattr(pair_id)} name={quoteattr(self.name)} value={quoteattr(value)}/>"
        if self.kind == "nodes":
            tag = "utilization" if self.utilization else "instance_attributes"
            inner = f"<{tag} id={quoteattr(set_id)}>{pair}</{tag}>"
            return "nodes", f"<node id={quoteattr(node_id)} uname={quoteattr(self.node)}>{inner}</node>"
        tag = SETS[self.kind][0]
        inner = f"<{tag} id={quoteattr(set_id)}>{pair}</{tag}>"
        return self.kind, f"<{self.kind}>{inner}</{self.kind}>"

    def default_set(self, node_id: str) -> str:
        if self.set_name:
            return str(self.set_name)
        if self.kind == "nodes":
            return f"nodes-{node_id}-utilization" if self.utilization else f"nodes-{node_id}"
        return SETS[self.kind][1]


def kind_of(options: argparse.Namespace) -> str:
    """The section that the options mean: a node's attribute if a node or lifetime is named, else a cluster option."""
    if options.type:
        return str(options.type)
    if options.lifetime == "reboot" or options.promotion is not None:
        return "status"
    if options.node or options.lifetime == "forever" or options.utilization or options.name == "standby":
        return "nodes"
    return "crm_config"


def main(argv: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    try:
        options = parser(program).parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    if options.promotion is not None:
        resource = options.promotion or os.environ.get("OCF_RESOURCE_INSTANCE", "")
        if not resource:
            print(f"{program}: --promotion needs a resource (or OCF_RESOURCE_INSTANCE)", file=sys.stderr)
            return Exit.USAGE
        options.name, options.lifetime = f"master-{resource}", options.lifetime or "reboot"
    options.request = [program, *(sys.argv[1:] if argv is None else argv)]
    if not options.name and options.pattern is None:
        print(f"{program}: name the attribute with --name", file=sys.stderr)
        return Exit.USAGE
    from ha.cli.source.cib import SourceError, open_cib
    from ha.root import Root, RootError

    try:
        root = Root.choose(options.root)
        if options.pattern is not None:
            return change_matching(root, options)
        cib = open_cib(root, program)
        return carry_out(root, cib, Place(options, options.node or root.node_name()), options)
    except SourceError as error:
        if options.output_as == "xml":
            from ha.cli.output.result import emit

            return emit(options, options.request, [], code=error.code, errors=[str(error)])
        print(f"{program}: {error}", file=sys.stderr)
        print(f"Error performing operation: {words(error.code)}", file=sys.stderr)
        return error.code
    except RootError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return Exit.USAGE


def carry_out(root: Root, cib: CibSource, place: Place, options: argparse.Namespace) -> int:
    from ha.cli.source.cib import chosen_file

    if options.update is None and not options.delete:
        return query(cib, place, options)
    if place.kind == "status" and chosen_file() is None:
        return update_transient(root, place, None if options.delete else options.update)
    if options.delete:
        return delete(cib, place, options)
    return update(cib, place, options.update)


def query(cib: CibSource, place: Place, options: argparse.Namespace) -> int:
    from lxml import etree

    from ha.cli.source.cib import SourceError

    try:
        found = etree.fromstring(cib.query(xpath=place.xpath()))
    except SourceError as error:
        if error.code != Exit.NO_SUCH_OBJECT or options.default is None:
            raise
        return _print_value(place, options.default, options)
    pair = found if found.tag == "nvpair" else found[0]
    return _print_value(place, str(pair.get("value")), options)


def _print_value(place: Place, value: str, options: argparse.Namespace) -> int:
    if options.output_as == "xml":
        from ha.cli.output.result import emit

        found = {"name": place.name, "value": value, "scope": place.kind}
        return emit(options, options.request, [], [("attribute", found)])
    print(value if options.quiet else f"scope={place.kind}  name={place.name} value={value}")
    return Exit.OK


def update(cib: CibSource, place: Place, value: str) -> int:
    from lxml import etree

    from ha.cli.source.cib import SourceError

    node_id = place.node
    if place.kind == "nodes":
        found = cib.query(xpath=f"/cib/configuration/nodes/node[@uname={quoteattr(place.node)}]", no_children=True)
        node_id = str(etree.fromstring(found).get("id"))
    set_id = place.default_set(node_id)
    pair_id = f"{set_id}-{place.name}"
    try:
        present = etree.fromstring(cib.query(xpath=place.xpath()))
        pair = present if present.tag == "nvpair" else present[0]
        pair_id = str(pair.get("id"))
        whole = etree.fromstring(cib.query(xpath=f"{place.xpath()}/.."))
        holder = whole[0] if whole.tag == "xpath-query" else whole
        set_id = str(holder.get("id"))
    except SourceError as error:
        if error.code != Exit.NO_SUCH_OBJECT:
            raise
    scope, xml = place.xml(value, node_id, set_id, pair_id)
    return _write(cib, "modify", scope=scope, xml=xml)


def delete(cib: CibSource, place: Place, options: argparse.Namespace) -> int:
    """Nothing to delete is no error, as for Pacemaker's."""
    return _write(cib, "delete", xpath=place.xpath())


def _write(cib: CibSource, operation: str, *, scope: str = "", xml: str = "", xpath: str = "") -> int:
    from ha.cib.msg import Write
    from ha.cli.source.cib import SourceError

    written = cib.write(
        Write(
            request_id=cib.new_request_id(),
            operation=operation,  # type: ignore[arg-type]
            scope=scope,
            xml=xml,
            xpath=xpath,
            allow_create=operation == "modify",
        )
    )
    if written.outcome != "committed":
        raise SourceError(written.rc or Exit.ERROR, f"the change was {written.outcome}: {written.reason}")
    return Exit.OK


def change_matching(root: Root, options: argparse.Namespace) -> int:
    """--pattern with --update or --delete: every transient attribute of the node whose name it matches."""
    import re

    from ha.attrd.msg import Attributes, QueryAttributes
    from ha.cli.source.cib import SourceError
    from ha.ipc.client import Connection, NotConnected

    if options.update is None and not options.delete:
        raise SourceError(Exit.USAGE, "--pattern goes with --update or --delete")
    try:
        wanted = re.compile(options.pattern)
    except re.error as error:
        raise SourceError(Exit.USAGE, f"--pattern {options.pattern!r}: {error}") from error
    node = options.node or root.node_name()
    try:
        with Connection.open(root, "attrd", program=PROGRAM) as attrd:
            answer = attrd.ask(QueryAttributes(request_id=attrd.new_request_id(), node=node), ASK_TIMEOUT_MS)
    except NotConnected as error:
        raise SourceError(Exit.NOT_CONNECTED, str(error)) from error
    if not isinstance(answer, Attributes):
        raise SourceError(Exit.PROTOCOL, f"attrd answered {type(answer).__name__}")
    for name in [found.name for found in answer.attributes if wanted.search(found.name)]:
        place = Place(argparse.Namespace(**{**vars(options), "name": name, "type": "status"}), node)
        update_transient(root, place, None if options.delete else options.update)
    return Exit.OK


def update_transient(root: Root, place: Place, value: str | None) -> int:
    """Through attrd, which writes it into the status and clears it when the node leaves."""
    from ha.attrd.msg import UpdateAttribute, Updated
    from ha.cli.source.cib import SourceError
    from ha.ipc.client import Connection, NotConnected

    try:
        with Connection.open(root, "attrd", program=PROGRAM) as attrd:
            request = UpdateAttribute(
                request_id=attrd.new_request_id(), name=place.name, value=value, node=place.node, set_id=place.set_name
            )
            answer = attrd.ask(request, ASK_TIMEOUT_MS)
    except NotConnected as error:
        raise SourceError(Exit.NOT_CONNECTED, str(error)) from error
    if not isinstance(answer, Updated):
        raise SourceError(Exit.PROTOCOL, f"attrd answered {type(answer).__name__}")
    if answer.rc:
        raise SourceError(answer.rc, answer.reason)
    return Exit.OK
