# SPDX-License-Identifier: GPL-2.0-or-later
"""What is decided again and again without an end: the kinds, and whether another crm_simulate does so too."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lxml import etree


@dataclass(frozen=True, slots=True)
class Turn:
    """A state of the cluster, and what was decided in it (`work_in`, sorted)."""

    cib: bytes
    work: tuple[str, ...]


def work_in(graph: bytes) -> list[str]:
    """The actions of a graph, by key and node. Marks alone are no work."""
    actions = etree.fromstring(graph).iterfind("synapse/action_set/*")
    return [f"{a.get('operation_key')}@{a.get('on_node', '')}" for a in actions if a.tag != "pseudo_event"]


def kind_of(turns: list[Turn]) -> str:
    """In a few words, from the last three turns."""
    before, swing, last = (set(turn.work) for turn in turns[-3:])
    tasks = {
        re.sub(r".*?_((?:pre|post)_notify|[a-z]+(?:_to|_from)?)(?:_[a-z]+)?_\d+@.*", r"\1", action) for action in last
    }
    if last == swing:
        if tasks <= {"pre_notify", "post_notify"}:
            return "only notifications, again and again"
        if tasks == {"monitor"}:
            return "a monitor is begun anew again and again"
        if all(action.startswith("stonith-") for action in last):
            return "a node is fenced again and again"
        return "what runs is stopped and started again and again"
    if last == before:
        return "swings between two placements"
    return "goes round"


def decides_alike(program: Path, turn: Turn) -> bool:
    """Whether a crm_simulate of 2.1.5 or newer has the same work in the same state."""
    cib = re.sub(rb'validate-with="[^"]*"', b'validate-with="pacemaker-3.7"', turn.cib)
    with tempfile.TemporaryDirectory(prefix="restless-") as folder:
        path, graph = Path(folder, "cib.xml"), Path(folder, "out.exp")
        path.write_bytes(cib.replace(b"fencing-enabled", b"stonith-enabled"))
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC", "CIB_shadow_dir": folder}
        command = [str(program.resolve()), "-x", str(path), "-Q", "-G", str(graph)]
        subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
        return tuple(sorted(work_in(graph.read_bytes()))) == turn.work
