# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenMetrics text.

Source: OpenMetrics 1.0 (prometheus/OpenMetrics, specification). Only what the older Prometheus text format has too is
used (gauges and counters, no info, no state set): node_exporter's textfile collector reads that one, and refuses a file
with a type that it does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

MAX_SAMPLES = 20_000
"""Of one family; what is more is left out and counted."""
MAX_LABEL_CHARACTERS = 256
"""A longer value is cut."""
END = "# EOF\n"

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


@dataclass(slots=True)
class Family:
    """`name` is without a counter's `_total`; with a `unit` it ends in that."""

    name: str
    help: str
    kind: Literal["gauge", "counter"] = "gauge"
    unit: str = ""
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)
    left_out: int = 0
    """Samples that were one too many, or had the labels of another."""

    def __post_init__(self) -> None:
        assert _NAME.fullmatch(self.name), self.name
        assert not self.unit or self.name.endswith(f"_{self.unit}"), (self.name, self.unit)
        assert not self.name.endswith("_total"), self.name

    def add(self, value: float, /, **labels: str) -> None:
        """An empty label is the same as none. Of two samples with equal labels the first one stays."""
        key = tuple((name, _cut(text)) for name, text in sorted(labels.items()) if text)
        if key in self.samples or len(self.samples) >= MAX_SAMPLES:
            self.left_out += 1
            return
        assert self.kind == "gauge" or (value >= 0 and not math.isinf(value)), f"{self.name} counts: {value}"
        self.samples[key] = value


def render(families: Iterable[Family]) -> str:
    """The whole exposition, with its end mark. Families without samples are left out."""
    shown = [family for family in families if family.samples]
    names = [family.name for family in shown]
    assert len(set(names)) == len(names), "each family comes once"
    left_out = Family("ha_metrics_left_out", "Samples that were left out, for their number or for equal labels.")
    left_out.add(sum(family.left_out for family in shown))
    return "".join(line for family in (*shown, left_out) for line in _lines(family)) + END


def _lines(family: Family) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}\n"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}\n"
    yield f"# HELP {family.name} {escaped(family.help)}\n"
    name = f"{family.name}_total" if family.kind == "counter" else family.name
    for key, value in family.samples.items():
        labels = ",".join(f'{label}="{escaped(text)}"' for label, text in key)
        yield f"{name}{{{labels}}} {number(value)}\n" if labels else f"{name} {number(value)}\n"


def escaped(text: str) -> str:
    """Also what is no text: half of a surrogate pair can come out of no encoder."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").translate(_ESCAPES)


def number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LABEL_CHARACTERS else f"{text[: MAX_LABEL_CHARACTERS - 3]}..."
