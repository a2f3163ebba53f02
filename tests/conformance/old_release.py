# SPDX-License-Identifier: GPL-2.0-or-later
"""What an old crm_simulate (2.1.5) does otherwise than the newest one, and how a difference is put down to it.

Some of it is a way of writing: a `Habit` takes it out of both answers, and what is equal then differed by habits only.
What is decided otherwise is put down to the age when a newer release decided as we do: its word is asked for anew
(`--newer`), or was kept as a digest of our answer (newer.json), so that any later change of ours is asked about again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ha.pe.core import history, migration_history, running
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource

RECORD = Path(__file__).with_name("newer.json")
COLLECTIVE = re.compile(r"    \* (?:Clone Set|Resource Group|Container bundle set|Container bundle): ([^\s:]+)")
STONITH = re.compile(r'(operation="stonith"[^>]*>\s*<attributes )([^>]*)(/>)')
FENCING_ATTRIBUTES = ("CRM_meta_on_node", "CRM_meta_stonith_action", "CRM_meta_digests", "CRM_meta_priority_fencing")


@dataclass(frozen=True, slots=True)
class Texts:
    """What a crm_simulate gives for one cluster: the summary, the graph, the scores and the picture."""

    summary: str
    graph: str
    scores: str
    dot: str

    def expected(self, _case: object, part: str) -> str:
        """As the judge asks a set of cases for what was recorded."""
        return {"summary": self.summary, "exp": self.graph, "scores": self.scores, "dot": self.dot}.get(part, "")


@dataclass(frozen=True, slots=True)
class Habit:
    """Something that the old release writes otherwise. `without` takes it out of an answer, given the other one too."""

    name: str
    without: Callable[[Texts, Texts], Texts]


def _no_priorities(texts: Texts, _: Texts) -> Texts:
    return replace(texts, graph=re.sub(r'(<synapse [^>]*?) priority="[^"]*"', r"\1", texts.graph))


def _fencing_attributes(texts: Texts, _: Texts) -> Texts:
    def kept(match: re.Match[str]) -> str:
        pairs = re.findall(r'\S+="[^"]*"', match[2])
        return match[1] + " ".join(pair for pair in pairs if pair.startswith(FENCING_ATTRIBUTES)) + match[3]

    return replace(texts, graph=STONITH.sub(kept, texts.graph))


def _one_word_for_unmanaged(texts: Texts, _: Texts) -> Texts:
    summary = re.sub(r"([(,] ?)maintenance\b", r"\1unmanaged", texts.summary)
    return replace(texts, summary=re.sub(r"\(Not installed\)", "(not installed)", summary))


def _no_inactive_promotion(texts: Texts, _: Texts) -> Texts:
    inactive = re.compile(r"promotion score (on none|\(inactive\)):")
    return replace(texts, scores="\n".join(line for line in texts.scores.splitlines() if not inactive.search(line)))


def _sorted_lists(texts: Texts, _: Texts) -> Texts:
    """The blocks of each 'Full List of Resources' in the order of their first lines."""
    written: list[str] = []
    blocks: list[list[str]] = []
    listing = False
    for line in [*texts.summary.splitlines(), ""]:
        if listing and line.startswith("    * "):
            blocks.append([line])
        elif listing and line.startswith("      "):
            blocks[-1].append(line)
        else:
            written.extend(line for block in sorted(blocks) for line in block)
            written.append(line)
            blocks, listing = [], "Full List of Resources:" in line
    return replace(texts, summary="\n".join(written))


def _no_collectives_with_unmanaged(texts: Texts, other: Texts) -> Texts:
    """Without the lists of members of clones, groups and bundles of which an instance is unmanaged, in either answer.

    To the old release such an instance does not run on a node that is offline or a guest: the node is listed as one
    where the clone is stopped, and what has no other instance is not shown. What is decided is compared all the same.
    """
    names = {name for summary in (texts.summary, other.summary) for name, block in _blocks(summary) if _nobody(block)}
    left: list[str] = []
    leaving = False
    for line in texts.summary.splitlines():
        if not line.startswith("      "):
            title = COLLECTIVE.match(line)
            leaving = title is not None and title[1] in names
        if not leaving:
            left.append(line)
    return replace(texts, summary="\n".join(left))


def _blocks(summary: str) -> list[tuple[str, list[str]]]:
    """(name, lines) of each clone, group and bundle that is listed."""
    found: list[tuple[str, list[str]]] = []
    inside = False
    for line in summary.splitlines():
        title = COLLECTIVE.match(line)
        if title is not None:
            found.append((title[1], [line]))
        elif inside and line.startswith("      "):
            found[-1][1].append(line)
        inside = title is not None or (inside and line.startswith("      "))
    return found


def _nobody(block: list[str]) -> bool:
    return any(re.search(r"\(.*unmanaged\)", line) for line in block)


HABITS = (
    Habit("a synapse has no priority from its resource", _no_priorities),
    Habit("every attribute of a node goes into its fencing", _fencing_attributes),
    Habit("maintenance is shown as 'unmanaged', 'not installed' in lower case", _one_word_for_unmanaged),
    Habit("resources are listed by priority", _sorted_lists),
    Habit("an inactive instance has the promotion score 0", _no_inactive_promotion),
    Habit("an unmanaged instance on a node that is lost does not count as active", _no_collectives_with_unmanaged),
)


def without_habits(one: Texts, other: Texts, habits: Iterable[Habit] = HABITS) -> tuple[Texts, Texts]:
    """Both answers with some habits taken out."""
    for habit in habits:
        one, other = habit.without(one, other), habit.without(other, one)
    return one, other


def same(judge: ModuleType, case: Any, wanted: Texts, ours: Texts, habits: Iterable[Habit] = HABITS) -> bool:
    """Whether two answers are equal at every level once some habits are taken out of both."""
    old, new = without_habits(wanted, ours, habits)
    out = judge.Output(summary=new.summary, graph=new.graph, dot=new.dot, scores=new.scores)
    verdict = judge.judge(case, old, out, set(judge.ASPECTS))
    return all(verdict.passed(level) for level in ("L1", "L2", "L3", "L4"))


def habits_between(judge: ModuleType, case: Any, wanted: Texts, ours: Texts) -> tuple[Habit, ...] | None:
    """The habits that make the whole difference, no more than are needed; None if more than habits differs."""
    if not same(judge, case, wanted, ours):
        return None
    needed: tuple[Habit, ...] = HABITS
    for habit in HABITS:
        fewer = tuple(other for other in needed if other is not habit)
        if same(judge, case, wanted, ours, fewer):
            needed = fewer
    return needed


def digest(judge: ModuleType, texts: Texts) -> str:
    """Of a whole answer, without habits and numbering."""
    texts, _ = without_habits(texts, texts)
    graph = judge.Graph(texts.graph)
    synapses = sorted(repr((s.value, sorted(reference for _, reference in s.triggers))) for s in graph.synapses)
    sections = judge.sections(texts.summary)
    shown = [judge.squeeze(sections.get(name, [])) for name in ("Transition Summary", "Revised Cluster Status")]
    whole = (shown, graph.attrs, synapses, judge.norm_scores(texts.scores), judge.norm_dot(texts.dot))
    return hashlib.sha256(repr(whole).encode()).hexdigest()[:16]


def kind_of(judge: ModuleType, wanted: Texts, ours: Texts) -> str:
    """What is decided otherwise, in a few words."""
    old, new = judge.Graph(wanted.graph).identities(), judge.Graph(ours.graph).identities()
    attributes = [dict(identity[1]) for identity in ((old - new) + (new - old))]
    if not attributes:
        return "same actions, other " + _parts(judge, *without_habits(wanted, ours))
    tasks = Counter(found.get("operation", "") for found in attributes)
    if set(tasks) == {"cancel"}:
        return "cancellations only"
    if set(tasks) == {"monitor"}:
        return "monitors and probes only"
    if tasks["stonith"]:
        return "fencing, and what follows from it"
    if tasks["promote"] or tasks["demote"]:
        return "promotion, and what follows from it"
    if tasks["start"] or tasks["stop"] or tasks["migrate_to"]:
        return "placement, and what follows from it"
    return "notifications, marks and fail counts"


def _parts(judge: ModuleType, wanted: Texts, ours: Texts) -> str:
    """Which parts of two answers with the same actions differ."""
    graphs = judge.Graph(wanted.graph), judge.Graph(ours.graph)
    report = judge.graph_report(*graphs) if judge.isomorphism(*graphs) is None else []
    found = {
        "orderings": any(re.match(r"    [-+] after ", line) for line in report),
        "attributes": any(re.match(r"    [-+] (attributes|synapse|downed)", line) for line in report),
        "scores": judge.norm_scores(wanted.scores) != judge.norm_scores(ours.scores),
        "picture": judge.norm_dot(wanted.dot) != judge.norm_dot(ours.dot),
    }
    named = [part for part, differs in found.items() if differs]
    return " and ".join(named) if named else "words"


@contextlib.contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """`owner` with another attribute of that name, for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def unmanaged_offline_is_stopped() -> Iterator[None]:
    """Has our engine do as up to 3.0.0: an unmanaged instance on an offline node does not count for its clone."""
    present = running.add_running

    def add_running(resource: Resource, node: Node, failed: bool) -> None:
        parents = resource
        before: list[tuple[Resource, int]] = []
        while parents.parent is not None:
            parents = parents.parent
            before.append((parents, len(parents.active)))
        present(resource, node, failed)
        if not resource.managed and not node.online:
            for parent, count in before:
                del parent.active[count:]

    with contextlib.ExitStack() as patches:
        for user in (running, history, migration_history):
            patches.enter_context(_replaced(user, "add_running", add_running))
        yield


@contextlib.contextmanager
def remote_fenced_without_quorum() -> Iterator[None]:
    """Has our engine do as up to 3.0.0, which lacks `fence-remote-without-quorum` and does as if it were set."""
    present = Cluster.flag

    def flag(cluster: Cluster, name: str) -> bool:
        return name == "fence-remote-without-quorum" or present(cluster, name)

    with _replaced(Cluster, "flag", flag):
        yield


PRACTICES: tuple[tuple[str, Callable[[], contextlib.AbstractContextManager[None]]], ...] = (
    ("an unmanaged instance on an offline node counts for its clone", unmanaged_offline_is_stopped),
    ("a remote node is not fenced without quorum unless an option says so", remote_fenced_without_quorum),
)
"""What was changed after 3.0.0 even, with our engine doing as before."""


class Newer:
    """A newer crm_simulate, and what it once said of our answers.

    `program` None: only what was kept is used.
    """

    def __init__(self, program: Path | None, judge: ModuleType) -> None:
        self.program = program
        self.judge = judge
        kept: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {"release": "", "agrees": {}}
        self.release: str = kept["release"]
        self.agrees: dict[str, str] = kept["agrees"]

    def agrees_with(self, case: Any, cib: Path, ours: Texts) -> bool:
        """Whether the newer release answers as we do, at every level, but for habits.

        Where its own transition comes to no end, our graph must be a part of its own.
        """
        found = digest(self.judge, ours)
        if self.program is None:
            return self.agrees.get(case.name) == found
        theirs, ended = self._ask(self.program, cib, ours)
        agrees = same(self.judge, case, theirs, ours) or (not ended and self._is_part(ours, theirs))
        self.agrees.pop(case.name, None)
        if agrees:
            self.agrees[case.name] = found
        return agrees

    def _is_part(self, ours: Texts, theirs: Texts) -> bool:
        ours, theirs = without_habits(ours, theirs)
        part = not self.judge.Graph(ours.graph).identities() - self.judge.Graph(theirs.graph).identities()
        return part and bool(self.judge.norm_scores(ours.scores) == self.judge.norm_scores(theirs.scores))

    def keep(self) -> None:
        """Writes down what it said now."""
        assert self.program is not None
        told = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout
        self.release = told.split("\n")[0]
        whole = {"release": self.release, "agrees": self.agrees}
        RECORD.write_text(json.dumps(whole, indent=0, sort_keys=True) + "\n")

    def _ask(self, program: Path, cib: Path, ours: Texts) -> tuple[Texts, bool]:
        """Its answer, and whether its transition came to an end; else it has no summary to compare ours with."""
        with tempfile.TemporaryDirectory(prefix="newer-") as folder:
            dot, graph = Path(folder, "out.dot"), Path(folder, "out.exp")
            environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC", "CIB_shadow_dir": folder}
            command = [str(program.resolve()), "-x", str(cib.resolve())]

            def run(*options: object) -> subprocess.CompletedProcess[str]:
                return subprocess.run(
                    [*command, *map(str, options)], capture_output=True, text=True, env=environment, cwd=folder,
                    stdin=subprocess.DEVNULL, check=False,
                )  # fmt: skip

            played, decided = run("-S"), run("-sSQ", "-D", dot, "-G", graph)
            summary = ours.summary if played.returncode else played.stdout
            scores = present_names(self.judge, "scores", decided.stdout)
            whole = Texts(summary, present_names(self.judge, "exp", graph.read_text()), scores, dot.read_text())
            return whole, played.returncode == 0


def present_names(judge: ModuleType, aspect: str, text: str, dialect: str = "pacemaker-2.1") -> str:
    """Gives what an older release calls otherwise its present name."""
    for where, pattern, replacement in judge.DIALECTS[dialect]:
        if where == aspect:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text
