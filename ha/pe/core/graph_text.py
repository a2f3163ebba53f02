# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of a transition graph.

Synapses stand by resource, in the order in which resources are decided, and are numbered as they stand; so the text
of one resource's actions depends on the others in nothing but its numbers (`core.kept` relies on it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Written:
    """A synapse ready to be written, but for its numbers.

    `top` is the outermost resource ("" for an action of no resource), `action` the id of the action within its
    decision, `lead` and `text` what stands before and behind its number; `triggers` are the same of its inputs.
    Actions with equal ids from different decisions are told apart by `group`.
    """

    top: str
    action: int
    priority: int
    lead: str
    text: str
    triggers: list[tuple[int, str, str]]
    group: int = 0


def in_order(synapses: Iterable[Written], ranks: Mapping[str, int]) -> list[Written]:
    """By the rank of their resource; what belongs to none goes last."""
    return sorted(synapses, key=lambda written: ranks.get(written.top, len(ranks)))


def graph_text(head: str, synapses: list[Written]) -> bytes:
    """The whole graph, in UTF-8; `head` is its start tag without the bracket."""
    if not synapses:
        return f"{head}/>\n".encode()
    numbers = {(written.group, written.action): str(number) for number, written in enumerate(synapses, 1)}
    parts = [head, ">\n"]
    for synapse, written in enumerate(synapses):
        mark = f' priority="{written.priority}"' if written.priority > 0 else ""
        number = numbers[written.group, written.action]
        parts.append(
            f'  <synapse id="{synapse}"{mark}>\n    <action_set>\n      {written.lead}{number}{written.text}\n'
            "    </action_set>\n"
        )
        if written.triggers:
            parts.append("    <inputs>\n")
            for action, lead, text in written.triggers:
                number = numbers[written.group, action]
                parts.append(f"      <trigger>\n        {lead}{number}{text}/>\n      </trigger>\n")
            parts.append("    </inputs>\n  </synapse>\n")
        else:
            parts.append("    <inputs/>\n  </synapse>\n")
    parts.append("</transition_graph>\n")
    return "".join(parts).encode()
