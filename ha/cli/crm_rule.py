# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_rule`: is a rule in effect now, over, or still to come? pcs asks it for every rule that it lists."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_output_options, add_version, emit

if TYPE_CHECKING:
    from lxml import etree

PROGRAM = "crm_rule"
STANDARD_INPUT = "-"
SAYS = {
    Exit.OK: "Rule {rule} is still in effect",
    Exit.EXPIRED: "Rule {rule} is expired",
    Exit.NOT_YET_IN_EFFECT: "Rule {rule} has not yet taken effect",
    Exit.UNSATISFIED: "Rule {rule} is not in effect",
}


class Undecided(Exception):
    """The rule cannot be judged by date. `code` is the exit code."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Check whether rules of the configuration are in effect.")
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.add_argument("-c", "--check", action="store_true", help="check --rule")
    p.add_argument("-r", "--rule", action="append", default=[], metavar="ID", help="may be given several times")
    p.add_argument("-d", "--date", metavar="DATE", help="at that date instead of now")
    p.add_argument("-X", "--xml-text", metavar="XML", help='of this configuration ("-": on standard input)')
    p.add_argument("-V", "--verbose", action="count", default=0)
    add_output_options(p, "text", "xml")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """One rule: 0 in effect, 110 expired, 111 not yet, 105 unknown, 3 not to be judged by date. Several: 0."""
    request = list(sys.argv[1:] if argv is None else argv)
    try:
        options = parser().parse_args(request)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    if not options.check or not options.rule:
        mistake = "--check requires use of --rule=" if options.check else "No mode operation given"
        return emit(options, [PROGRAM, *request], [], code=Exit.USAGE, errors=[mistake])
    from lxml import etree

    from ha.cli.source.cib import SourceError
    from ha.pe.model.dates import parse_moment
    from ha.root import RootError

    now = parse_moment(options.date) if options.date is not None else int(time.time())
    if now is None:
        mistake = f"Invalid date specified: '{options.date}'"
        return emit(options, [PROGRAM, *request], [], code=Exit.DATA_ERROR, errors=[mistake])
    try:
        root = etree.fromstring(_configuration(options), etree.XMLParser(resolve_entities=False, huge_tree=True))
    except (SourceError, RootError) as error:
        return emit(options, [PROGRAM, *request], [], code=getattr(error, "code", Exit.USAGE), errors=[str(error)])
    except etree.XMLSyntaxError as error:
        mistake = f"the configuration is no XML: {error}"
        return emit(options, [PROGRAM, *request], [], code=Exit.DATA_ERROR, errors=[mistake])
    return check(root, now, options, [PROGRAM, *request])


def _configuration(options: argparse.Namespace) -> bytes:
    from ha.cli.source.cib import MAX_FILE_BYTES, SourceError, read_cib
    from ha.root import Root

    if options.xml_text == STANDARD_INPUT:
        data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SourceError(Exit.DATA_ERROR, f"more than {MAX_FILE_BYTES} bytes on standard input")
        return data
    if options.xml_text is not None:
        return str(options.xml_text).encode()
    return read_cib(Root.choose(options.root), PROGRAM)


def check(root: etree._Element, now: int, options: argparse.Namespace, request: Sequence[str]) -> int:
    rules = {str(rule.get("id")): rule for rule in root.iter("rule") if rule.get("id")}
    lines, items, errors, code = [], [], [], Exit.OK
    for wanted in options.rule:
        try:
            if wanted not in rules:
                raise Undecided(Exit.NO_SUCH_OBJECT, "Rule not found")
            code = judge(rules[wanted], now)
            satisfied = code == Exit.OK and rules[wanted].find(".//date_spec") is not None
            lines.append(f"Rule {wanted} satisfies conditions" if satisfied else SAYS[code].format(rule=wanted))
        except Undecided as undecided:
            code = undecided.code
            errors.append(f"Could not determine whether rule {wanted} is in effect: {undecided}")
        items.append(("rule-check", {"rule-id": wanted, "rc": str(int(code))}))
    return emit(options, request, lines, items, code=code if len(options.rule) == 1 else Exit.OK, errors=errors)


def judge(rule: etree._Element, now: int) -> Exit:
    """OK, EXPIRED, NOT_YET_IN_EFFECT or UNSATISFIED. Raises Undecided."""
    from ha.pe.model.rules import RuleInput, evaluate

    dates = list(rule.iter("date_expression"))
    if not dates:
        raise Undecided(Exit.UNIMPLEMENTED, "Rule does not have a date expression")
    if len(dates) > 1:
        raise Undecided(Exit.UNIMPLEMENTED, "Rule has more than one date expression")
    date = dates[0]
    if (date.get("operation") or "in_range").lower() == "date_spec":
        return _specified(date.find("date_spec"), now)
    start, end = _limits(date)
    if start is not None and now < start:
        return Exit.NOT_YET_IN_EFFECT
    if end is not None and now > end:
        return Exit.EXPIRED
    return Exit.OK if evaluate(_alone(date), RuleInput(now, lambda element: element)) else Exit.UNSATISFIED


def _specified(specification: etree._Element | None, now: int) -> Exit:
    """Of a date specification: the first part that does not fit decides whether it is over or still to come."""
    from ha.pe.model.dates import calendar_parts
    from ha.pe.model.values import integer_range

    if specification is None or specification.get("years") is None or specification.get("moon") is not None:
        raise Undecided(
            Exit.UNIMPLEMENTED, "Rule must either not use date_spec, or use date_spec with years= but not moon="
        )
    for part, value in calendar_parts(now).items():
        text = specification.get(part)
        if text is None:
            continue
        bounds = integer_range(text)
        if bounds is None:
            raise Undecided(Exit.INDETERMINATE, f"its {part} {text!r} are no number or range")
        low, high = bounds
        if low is not None and value < low:
            return Exit.NOT_YET_IN_EFFECT
        if high is not None and value > high:
            return Exit.EXPIRED
    return Exit.OK


def _alone(date: etree._Element) -> etree._Element:
    """A rule of this one condition."""
    import copy

    from lxml import etree

    rule = etree.Element("rule", id="checked")
    rule.append(copy.deepcopy(date))
    return rule


def _limits(date: etree._Element) -> tuple[int | None, int | None]:
    """First and last second at which the condition can hold, None for open. Raises Undecided."""
    from ha.pe.model.dates import add_components, parse_moment

    operation = (date.get("operation") or "in_range").lower()
    start, end = parse_moment(date.get("start")), parse_moment(date.get("end"))
    for name, parsed in (("start", start), ("end", end)):
        if date.get(name) is not None and parsed is None:
            raise Undecided(Exit.INDETERMINATE, f"its {name} {date.get(name)!r} is no date")
    duration = date.find("duration")
    if operation == "gt":
        return (None, None) if start is None else (start + 1, None)
    if operation == "lt":
        return (None, None) if end is None else (None, end - 1)
    if end is None and duration is not None and start is not None:
        parts = {name: int(text) for name, text in duration.attrib.items() if str(text).isdecimal() and name != "id"}
        end = add_components(start, {str(name): number for name, number in parts.items()})
    return start, end
