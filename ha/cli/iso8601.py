# SPDX-License-Identifier: GPL-2.0-or-later
"""`iso8601`: how the cluster understands a date, a period or a duration. pcs uses its exit status."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_version
from ha.pe.model.dates import add_components, calendar_parts, moment_text, parse_moment

PROGRAM = "iso8601"
YEAR_ZERO_S = 62_135_596_800
"""What Pacemaker calls seconds since the year 0 counts from 0001-01-01; these are until 1970."""

_UNITS = {"Y": "years", "M": "months", "W": "weeks", "D": "days"}
_TIME_UNITS = {"H": "hours", "M": "minutes", "S": "seconds"}
_CLOCK = re.compile(r"T?\d{1,2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:?\d{2})?$")
_HOUR = re.compile(r"[T ]\s*(\d{2}):?(\d{2})?:?(\d{2})?")


class DateError(ValueError):
    """A text that is no date, period or duration."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Show how the cluster reads ISO 8601 dates and times.")
    add_version(p)
    what = p.add_argument_group("what")
    what.add_argument("-n", "--now", action="store_true", help="the current date and time")
    what.add_argument(
        "-d", "--date", metavar="DATE", help="a date ('2019-09-24 00:30:00 +01:00', 2019-040, 2019-W39-2)"
    )
    what.add_argument("-p", "--period", metavar="PERIOD", help="START/END or START/DURATION")
    what.add_argument("-D", "--duration", metavar="DURATION", help="a duration, such as P1M")
    what.add_argument("-E", "--expected", metavar="TEXT", help="exit 1 if --date or --now shows something else")
    form = p.add_argument_group("form")
    for short, name, text in (
        ("-s", "seconds", "seconds since the year 0"),
        ("-S", "epoch", "seconds since 1970-01-01"),
        ("-L", "local", "in this machine's time zone"),
        ("-O", "ordinal", "as year and day of the year"),
        ("-W", "week", "as year, week and day of the week"),
    ):
        form.add_argument(short, f"--{name}", action="store_true", help=text)
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    try:
        return show(options, int(time.time()))
    except DateError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.INVALID_PARAMETER


def show(options: argparse.Namespace, now: int) -> int:
    shown = None
    if options.now:
        shown = written(now, options)
        print(f"Current date/time: {shown}")
    if options.date is not None:
        shown = written(moment(options.date, now), options)
        print(f"Date: {shown}")
    if options.duration is not None:
        print(f"Duration: {duration_words(duration(options.duration))}")
    if options.period is not None:
        start, end = period(options.period, now)
        print(f"Period: {written(start, options)} to {written(end, options)}")
    if options.expected is not None and shown != options.expected:
        return Exit.ERROR
    return Exit.OK


def moment(text: str, now: int) -> int:
    """Unix seconds. A time of day alone is today's. Raises DateError."""
    if _CLOCK.match(text):
        text = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d} {text.lstrip('T')}"
    found = parse_moment(text)
    clock = _HOUR.search(text)
    if found is None or (clock and (int(clock[1]) > 24 or int(clock[2] or 0) > 59 or int(clock[3] or 0) > 59)):
        raise DateError(f"Invalid date/time specified: {text}")
    return found


def duration(text: str) -> dict[str, int]:
    """Unit -> number. Raises DateError."""
    parts: dict[str, int] = {}
    match = re.fullmatch(r"P((?:\d+[YMWD])*)(?:T((?:\d+[HMS])+))?", text)
    if match is None or text == "P":
        raise DateError(f"Invalid duration specified: {text}")
    for units, group in ((_UNITS, match[1]), (_TIME_UNITS, match[2] or "")):
        for number, unit in re.findall(r"(\d+)([A-Z])", group):
            parts[units[unit]] = int(number)
    return parts


def duration_words(parts: dict[str, int]) -> str:
    """As `1 year 2 months 3 days`."""
    return " ".join(f"{number} {unit if number != 1 else unit[:-1]}" for unit, number in parts.items()) or "none"


def period(text: str, now: int) -> tuple[int, int]:
    """Start and end, Unix seconds. Raises DateError."""
    first, slash, second = text.partition("/")
    if not slash:
        raise DateError(f"Invalid interval specified: {text}")
    start = moment(first, now)
    end = add_components(start, duration(second)) if second.startswith("P") else moment(second, now)
    if end is None or end < start:
        raise DateError(f"Invalid interval specified: {text}")
    return start, end


def written(seconds: int, options: argparse.Namespace) -> str:
    """A moment in the form that the options ask for."""
    if options.epoch:
        return str(seconds)
    if options.seconds:
        return str(seconds + YEAR_ZERO_S)
    parts, clock = calendar_parts(seconds), moment_text(seconds).partition(" ")[2]
    if options.ordinal:
        return f"{parts['years']:04}-{parts['yeardays']:03} {clock}"
    if options.week:
        return f"{parts['weekyears']:04}-W{parts['weeks']:02}-{parts['weekdays']} {clock}"
    if options.local:
        local = datetime.fromtimestamp(seconds).astimezone()
        zone = local.strftime("%z")
        return f"{local:%Y-%m-%d %H:%M:%S}" + ("Z" if zone == "+0000" else f" {zone[:3]}:{zone[3:]}")
    return moment_text(seconds)
