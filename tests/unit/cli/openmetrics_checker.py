# SPDX-License-Identifier: GPL-2.0-or-later
"""A strict reader of OpenMetrics text, to hold ours against the specification.

Source: OpenMetrics 1.0, "Overall Structure", "ABNF", "MetricFamily" (names, units, interleaving, counters' suffix).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)?\}})? ([+-]?Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_METADATA = re.compile(rf"# (TYPE|UNIT|HELP) ({_NAME}) (.*)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_TYPES = ("gauge", "counter", "unknown")


@dataclass
class Read:
    """One family. The key of a sample are its labels, sorted."""

    kind: str = ""
    unit: str = ""
    help: str = ""
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def check(text: str) -> dict[str, Read]:
    """The families by name. AssertionError with the line for what the specification does not allow."""
    assert text.endswith("# EOF\n"), "it ends in # EOF"
    lines = text.split("\n")[:-2]
    families: dict[str, Read] = {}
    current = ""
    for line in lines:
        assert line and line != "# EOF", f"no empty line, one end: {line!r}"
        assert line.isprintable() or "\t" in line, f"{line!r}"
        if line.startswith("#"):
            current = _metadata(line, families, current)
        else:
            _sample(line, families, current)
    for name, family in families.items():
        assert family.kind, f"{name}: no TYPE"
        assert family.samples, f"{name}: no samples"
    return families


def _metadata(line: str, families: dict[str, Read], current: str) -> str:
    match = _METADATA.fullmatch(line)
    assert match, f"no comment is allowed: {line!r}"
    what, name, words = match.groups()
    if name != current:
        assert name not in families, f"{name} comes again: {line!r}"
        families[name] = Read()
    family = families[name]
    assert not family.samples, f"metadata after samples: {line!r}"
    assert not getattr(family, {"TYPE": "kind", "UNIT": "unit", "HELP": "help"}[what]), f"twice: {line!r}"
    if what == "TYPE":
        assert words in _TYPES, line
        family.kind = words
    elif what == "UNIT":
        assert name.endswith(f"_{words}"), f"the name ends in its unit: {line!r}"
        family.unit = words
    else:
        assert re.fullmatch(r'(?:[^"\\]|\\[\\n"])*', words), f"not escaped: {line!r}"
        family.help = words
    return name


def _sample(line: str, families: dict[str, Read], current: str) -> None:
    match = _SAMPLE.fullmatch(line)
    assert match, f"no sample: {line!r}"
    assert current, f"a sample before any family: {line!r}"
    family = families[current]
    assert match[1] == (f"{current}_total" if family.kind == "counter" else current), f"not of {current}: {line!r}"
    labels = [(name, _plain(value)) for name, value in _PAIR.findall(match[2] or "")]
    assert len({name for name, _ in labels}) == len(labels), f"a label twice: {line!r}"
    key = tuple(sorted(labels))
    assert key not in family.samples, f"a sample twice: {line!r}"
    value = float(match[3])
    assert family.kind != "counter" or (value >= 0 and math.isfinite(value)), f"it counts: {line!r}"
    family.samples[key] = value


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)


def value_of(families: dict[str, Read], name: str, /, **labels: str) -> float:
    """Of the one sample that has these labels, whatever else it has."""
    wanted = set(labels.items())
    (value,) = [value for key, value in families[name].samples.items() if wanted <= set(key)]
    return value
