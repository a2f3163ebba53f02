# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_ticket`: the tickets of this site of a multi-site cluster: show, grant, revoke, make standby, attributes.

Options, outputs and exit codes are those of Pacemaker 2.1's, which booth, crmsh and pcs use: several --set-attr, each
with its --attr-value, are one change of the CIB.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_version
from ha.cli.output.xml_text import quoteattr

if TYPE_CHECKING:
    from lxml import etree

    from ha.cli.source.cib import CibSource

PROGRAM = "crm_ticket"
DATES = ("last-granted", "expires")
STATE_FIRST = ("granted", "standby", *DATES)
"""Attributes of a ticket that have a meaning of their own; others are the site's (booth's)."""

GRANT_WARNING = """\
This command cannot help you verify whether '{ticket}' has been already granted elsewhere.
If you really want to grant '{ticket}' to this site now, and you know what you are doing,
please specify --force."""
REVOKE_WARNING = """\
Revoking '{ticket}' can trigger the specified 'loss-policy'(s) relating to '{ticket}'.

You can check that with:
crm_ticket --ticket {ticket} --constraints

Otherwise before revoking '{ticket}', you may want to make '{ticket}' standby with:
crm_ticket --ticket {ticket} --standby

If you really want to revoke '{ticket}' from this site now, and you know what you are doing,
please specify --force."""


class TicketError(Exception):
    """The order cannot be carried out. `code` is the exit code; `advice` is printed below."""

    def __init__(self, code: int, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.advice = advice


class Change(argparse.Action):
    """Collects grants, attributes to set and to delete in the order of the command line."""

    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        changes = namespace.changes or []
        if self.dest == "attr_value":
            if not changes or changes[-1][1] != "":
                parser.error("--attr-value goes behind the --set-attr it belongs to")
            changes[-1] = (changes[-1][0], values)
        else:
            fixed = {"grant": ("granted", "true"), "revoke": ("granted", "false"), "standby": ("standby", "true"),
                     "activate": ("standby", "false"), "delete_attr": (values, None)}  # fmt: skip
            changes.append(fixed.get(self.dest, (values, "")))
        namespace.changes = changes


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Show and change the tickets of this site.")
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.set_defaults(changes=None)
    p.add_argument("-t", "--ticket", metavar="ID")
    look = p.add_argument_group("look")
    for short, name, text in (
        ("-l", "info", "the tickets, each with its state"),
        ("-L", "details", "with all attributes"),
        ("-w", "raw", "their ids"),
        ("-q", "query-xml", "their XML"),
        ("-c", "constraints", "the constraints that depend on them"),
    ):
        look.add_argument(short, f"--{name}", action="store_true", help=text)
    look.add_argument("-G", "--get-attr", metavar="ATTRIBUTE", help="one attribute of --ticket")
    look.add_argument("-d", "--default", metavar="VALUE", help="what --get-attr prints when there is none")
    change = p.add_argument_group("change --ticket")
    for short, name, text in (
        ("-g", "grant", "this site has it (needs --force)"),
        ("-r", "revoke", "this site no longer has it (needs --force)"),
        ("-s", "standby", "what depends on it stops in good order"),
        ("-a", "activate", "the end of standby"),
    ):
        change.add_argument(short, f"--{name}", action=Change, nargs=0, help=text)
    change.add_argument("-S", "--set-attr", action=Change, metavar="ATTRIBUTE", help="needs --attr-value behind it")
    change.add_argument("-v", "--attr-value", action=Change, metavar="VALUE")
    change.add_argument("-D", "--delete-attr", action=Change, metavar="ATTRIBUTE")
    change.add_argument("-C", "--cleanup", action="store_true", help="forget the ticket's state")
    change.add_argument("-f", "--force", action="store_true")
    for short, name in (("-n", "set-name"), ("-i", "nvpair")):
        p.add_argument(short, f"--{name}", help=argparse.SUPPRESS)
    p.add_argument("-Q", "--quiet", action="store_true", help="the value alone (it always is)")
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    from ha.cli.source.cib import SourceError, open_cib
    from ha.root import Root, RootError

    try:
        _check(options)
        return carry_out(open_cib(Root.choose(options.root), PROGRAM), options, int(time.time()))
    except TicketError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        if error.advice:
            print(error.advice)
        return error.code
    except SourceError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    except RootError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.USAGE


def _joined(argv: Sequence[str]) -> Iterator[str]:
    """`-v -3` as `-v-3`: booth's values may be negative, which argparse would take for an option."""
    words = iter(argv)
    for word in words:
        if word in ("-v", "--attr-value"):
            value = next(words, None)
            if value is None:
                yield word
            else:
                yield f"-v{value}" if word == "-v" else f"{word}={value}"
        else:
            yield word


def _check(options: argparse.Namespace) -> None:
    for name, value in options.changes or ():
        if value == "":
            raise TicketError(Exit.USAGE, f"Must supply value with -v for -S {name}")
    if (options.changes or options.get_attr or options.cleanup) and not options.ticket:
        raise TicketError(Exit.USAGE, "Must supply ticket ID with -t")
    look = (options.info, options.details, options.raw, options.query_xml, options.constraints)
    if not (any(look) or options.changes or options.get_attr or options.cleanup):
        raise TicketError(Exit.USAGE, "Must supply a command")


def carry_out(cib: CibSource, options: argparse.Namespace, now: int) -> int:
    from lxml import etree

    root = etree.fromstring(cib.read(), etree.XMLParser(remove_blank_text=True, huge_tree=True, resolve_entities=False))
    if options.changes:
        return change(cib, root, options, now)
    if options.cleanup:
        return cleanup(cib, root, options)
    if options.get_attr:
        return get_attribute(root, options)
    if options.constraints:
        found = [c for c in root.iterfind("configuration/constraints/rsc_ticket") if _meant(c.get("ticket"), options)]
        print("Constraints XML:\n")
        for constraint in found:
            print(etree.tostring(constraint, encoding="unicode", with_tail=False))
        return Exit.OK
    if options.query_xml:
        return query_xml(root, options)
    return listing(root, options)


def _meant(ticket: str | None, options: argparse.Namespace) -> bool:
    return not options.ticket or ticket == options.ticket


def states(root: etree._Element) -> dict[str, dict[str, str]]:
    """Ticket -> its attributes. Those that only a constraint names have none."""
    found: dict[str, dict[str, str]] = {}
    for state in root.iterfind("status/tickets/ticket_state"):
        found[str(state.get("id"))] = {str(k): str(v) for k, v in state.attrib.items() if k != "id"}
    for constraint in root.iterfind("configuration/constraints/rsc_ticket"):
        found.setdefault(str(constraint.get("ticket")), {})
    return found


def listing(root: etree._Element, options: argparse.Namespace) -> int:
    found = {ticket: state for ticket, state in states(root).items() if _meant(ticket, options)}
    if options.ticket and not found:
        raise TicketError(Exit.NO_SUCH_OBJECT, f"No such ticket '{options.ticket}'")
    for ticket, state in found.items():
        print(ticket if options.raw else _line(ticket, state, details=options.details))
    return Exit.OK


def _line(ticket: str, state: dict[str, str], *, details: bool) -> str:
    granted = "granted" if state.get("granted") == "true" else "revoked"
    standby = "[standby]" if state.get("standby") == "true" else ""
    line = f"{ticket}\t{granted} {standby:<9}"
    if not details:
        date = state.get("last-granted")
        return line if date is None else f"{line} last-granted={_shown('last-granted', date)}"
    names = [name for name in STATE_FIRST if name in state] + [name for name in state if name not in STATE_FIRST]
    return line + (f" ({', '.join(f'{name}={_shown(name, state[name])}' for name in names)})" if names else "")


def _shown(name: str, value: str) -> str:
    digits = value.isascii() and value.isdigit() and len(value) <= 11
    return f"'{time.ctime(int(value))}'" if name in DATES and digits else value


def query_xml(root: etree._Element, options: argparse.Namespace) -> int:
    from lxml import etree

    path = f"status/tickets/ticket_state[@id={_literal(options.ticket)}]" if options.ticket else "status/tickets"
    found = root.find(path)
    if found is None:
        raise TicketError(Exit.NO_SUCH_OBJECT, "Could not query ticket XML: there is no state of it")
    print("State XML:\n")
    print(etree.tostring(found, encoding="unicode", with_tail=False, pretty_print=True), end="")
    return Exit.OK


def _literal(text: str) -> str:
    if "'" in text or '"' in text:
        raise TicketError(Exit.USAGE, f"{text!r} is no id of a ticket")
    return f"'{text}'"


def get_attribute(root: etree._Element, options: argparse.Namespace) -> int:
    value = states(root).get(options.ticket, {}).get(options.get_attr, options.default)
    if value is None:
        return Exit.NO_SUCH_OBJECT
    print(value)
    return Exit.OK


def change(cib: CibSource, root: etree._Element, options: argparse.Namespace, now: int) -> int:
    """All changes of the call in one write. Granting and revoking by hand need --force."""
    state = states(root).get(options.ticket, {})
    was_granted = state.get("granted") == "true"
    for name, value in options.changes:
        if name == "granted" and not options.force:
            warning = GRANT_WARNING if value == "true" else REVOKE_WARNING
            raise TicketError(
                Exit.NO_PRIVILEGE, "Ticket modification not allowed", warning.format(ticket=options.ticket)
            )
        if value is None:
            state.pop(name, None)
        else:
            state[name] = value
    if state.get("granted") == "true" and not was_granted:
        state["last-granted"] = str(now)
    _replace(cib, root, options.ticket, state)
    return Exit.OK


def cleanup(cib: CibSource, root: etree._Element, options: argparse.Namespace) -> int:
    state = states(root).get(options.ticket, {})
    if state.get("granted") == "true" and not options.force:
        raise TicketError(
            Exit.NO_PRIVILEGE, "Ticket cleanup not allowed",
            f"Cleaning up '{options.ticket}' can trigger its loss-policy while it is granted: revoke it, or --force",
        )  # fmt: skip
    if root.find(f"status/tickets/ticket_state[@id={_literal(options.ticket)}]") is None:
        return Exit.OK
    _write(cib, "delete", xml=f"<ticket_state id={quoteattr(options.ticket)}/>")
    print(f"Cleaned up {options.ticket}")
    return Exit.OK


def _replace(cib: CibSource, root: etree._Element, ticket: str, state: dict[str, str]) -> None:
    """The ticket's state as a whole: an attribute that is absent now is gone."""
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in state.items())
    element = f"<ticket_state id={quoteattr(ticket)}{attributes}/>"
    if root.find(f"status/tickets/ticket_state[@id={_literal(ticket)}]") is not None:
        _write(cib, "replace", xml=element)
    else:
        _write(cib, "modify", xml=f"<status><tickets>{element}</tickets></status>")


def _write(cib: CibSource, operation: str, *, xml: str) -> None:
    from ha.cib.msg import Write

    written = cib.write(
        Write(
            request_id=cib.new_request_id(),
            operation=operation,  # type: ignore[arg-type]
            scope="status",
            xml=xml,
            allow_create=operation == "modify",
        )
    )
    if written.outcome != "committed":
        raise TicketError(written.rc or Exit.ERROR, f"the change was {written.outcome}: {written.reason}")
