# SPDX-License-Identifier: GPL-2.0-or-later
"""Which workers are started anew with one that died: those that name it in HA_RESTART_WITH, and those that name them.

As Erlang's strategies one_for_all and rest_for_one, but by name.
"""

from __future__ import annotations

from collections.abc import Mapping


def dependants_of(worker: str, restart_with: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """`restart_with`: in start order, who is to be started anew with whom. The latest started comes first."""
    found = {worker}
    grown = True
    while grown:
        more = {name for name, others in restart_with.items() if name not in found and others & found}
        found |= more
        grown = bool(more)
    return tuple(name for name in reversed(list(restart_with)) if name in found and name != worker)
