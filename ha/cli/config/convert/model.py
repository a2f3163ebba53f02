# SPDX-License-Identifier: GPL-2.0-or-later
"""What a conversion hands back. Nothing is dropped silently: whatever is not as it was has a remark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Weight: TypeAlias = Literal["lost", "changed"]
"""lost: it is not in the result, and what it did will not be done. changed: it is there in another form, or the result
relies on something that should be looked at."""


@dataclass(frozen=True, slots=True)
class Remark:
    """`where` is FILE:LINE or an element; `advice` what to do instead, if there is something."""

    weight: Weight
    where: str
    what: str
    advice: str = ""


@dataclass(slots=True)
class Remarks:
    """Collects remarks in the order in which they are made."""

    made: list[Remark] = field(default_factory=list)

    def lost(self, where: str, what: str, advice: str = "") -> None:
        self.made.append(Remark("lost", where, what, advice))

    def changed(self, where: str, what: str, advice: str = "") -> None:
        self.made.append(Remark("changed", where, what, advice))


@dataclass(frozen=True, slots=True)
class Conversion:
    """`files` are texts by the names that they have below the configuration directory (cib.xml, ha.cf)."""

    files: dict[str, str]
    remarks: tuple[Remark, ...] = ()

    @property
    def complete(self) -> bool:
        return not any(remark.weight == "lost" for remark in self.remarks)


class ConversionError(ValueError):
    """The input cannot be used at all. `problems` lists every mistake, with its place."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
