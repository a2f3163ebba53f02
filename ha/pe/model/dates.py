# SPDX-License-Identifier: GPL-2.0-or-later
"""Dates and durations of rules: ISO 8601 text, calendar arithmetic, date specifications.

Moments are seconds since 1970-01-01 00:00:00 UTC. Text without a zone is taken as UTC: every node of a cluster must
come to the same decision whatever its local time is.
Source: ISO 8601; Pacemaker Explained, "Rules".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from ha.pe.model.digits import number

_DATE = re.compile(r"(\d{4,})-(\d{1,2})-(\d{1,2})(?=\D|$)|(\d{4})(\d{2})(\d{2})(?=\D|$)")
_WEEK_DATE = re.compile(r"(\d{4})-?W(\d{1,2})-?(\d)")
_ORDINAL_DATE = re.compile(r"(\d{4})-(\d{1,3})(?=\D|$)")
_TIME = re.compile(r"[T ]\s*(\d{2}):?(\d{2})?(?::?(\d{2}))?(?:[.,]\d+)?\s*(Z|[+-]\d{2}:?(?:\d{2})?)?")
_DURATION = re.compile(r"P(?:\d+[YMWDHS]|T)+(?=[\s/]|$)")
_DURATION_PART = re.compile(r"(\d+)([YMWDHS])|(T)")
_DAY_S = 86_400


def parse_moment(text: str | None) -> int | None:
    """The moment an ISO 8601 date (calendar, week or ordinal; with or without time and zone) names, or None."""
    if not text:
        return None
    text = text.strip()
    if text.lower().split("/")[0].strip() == "epoch":
        return 0
    day, end = _parse_day(text)
    if day is None:
        return None
    moment = (day - date(1970, 1, 1)).days * _DAY_S
    rest = text[end:]
    if rest and rest[0] in "T ":
        match = _TIME.match(rest)
        if match is None:
            return None
        hours, minutes, seconds, zone = match.groups()
        moment += int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) - _zone_s(zone)
    return moment


def _parse_day(text: str) -> tuple[date | None, int]:
    match = _DATE.match(text)
    try:
        if match is not None:
            year, month, day = (int(part) for part in match.groups() if part is not None)
            return date(year, month, day), match.end()
        match = _WEEK_DATE.match(text)
        if match is not None:
            return date.fromisocalendar(*(int(part) for part in match.groups())), match.end()
        match = _ORDINAL_DATE.match(text)
        if match is not None:
            return date(int(match[1]), 1, 1) + timedelta(days=int(match[2]) - 1), match.end()
    except (ValueError, OverflowError):
        return None, 0
    return None, 0


def _zone_s(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def duration_s(text: str) -> int | None:
    """An ISO 8601 duration in seconds (a year has 365 days, a month 30), or None.

    Hours and seconds may also be given before the T, where M means months.
    """
    match = _DURATION.match(text)
    if match is None:
        return None
    units = {"Y": 365 * _DAY_S, "M": 30 * _DAY_S, "W": 7 * _DAY_S, "D": _DAY_S, "H": 3600, "S": 1}
    total = 0
    for value, unit, separator in _DURATION_PART.findall(match.group()):
        if separator:
            units["M"] = 60
        else:
            total += number(value) * units[unit]
    return total


def add_components(start: int, components: Mapping[str, int]) -> int | None:
    """`start` plus years, months, weeks, days, hours, minutes and seconds; None beyond the calendar.

    A day that the resulting month lacks becomes the month's last.
    """
    import calendar  # Few configurations have dates, and it brings the locales along.

    moment = datetime.fromtimestamp(start, UTC)
    months = moment.year * 12 + moment.month - 1 + components.get("years", 0) * 12 + components.get("months", 0)
    year, month = divmod(months, 12)
    month += 1
    if not 1 <= year <= 9999:
        return None
    day = min(moment.day, calendar.monthrange(year, month)[1])
    days = components.get("weeks", 0) * 7 + components.get("days", 0)
    seconds = components.get("hours", 0) * 3600 + components.get("minutes", 0) * 60 + components.get("seconds", 0)
    shifted = moment.replace(year=year, month=month, day=day)
    return int(shifted.timestamp()) + days * _DAY_S + seconds


def calendar_parts(moment: int) -> dict[str, int]:
    """What a date specification may compare, by attribute name."""
    when = datetime.fromtimestamp(moment, UTC)
    week_year, week, weekday = when.isocalendar()
    return {
        "years": when.year,
        "months": when.month,
        "monthdays": when.day,
        "hours": when.hour,
        "minutes": when.minute,
        "seconds": when.second,
        "yeardays": when.timetuple().tm_yday,
        "weekyears": week_year,
        "weeks": week,
        "weekdays": weekday,
    }


def moment_text(moment: int) -> str:
    """As `2024-05-06 07:08:09Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
