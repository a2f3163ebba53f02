# SPDX-License-Identifier: GPL-2.0-or-later
"""Random changes, planned and then applied on a running cluster: done is what was planned, and nothing else.

    python -m tests.real.plans [--count 500] [--seed 1]

Before some of the applications the CIB is changed by somebody else: each of those must be refused, and nothing done.
What was done is read from the agents' own append-only log, not from our status.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ha.cli.exit_codes import Exit
from ha.cli.plan.model import Plan, load
from tests.real import cluster

RESOURCES = tuple(f"r{number}" for number in range(1, 7))
GROUP = "g"
MEMBERS = ("g1", "g2")
INTERRUPTED = 0.2
"""The share of plans that the CIB has moved on from before they are applied."""

Command = list[str]


@dataclass
class Figures:
    done: int = 0
    empty: int = 0
    refused: int = 0
    actions: int = 0


class Changes:
    """Draws commands that an operator might use; every one of them can be carried out at any moment."""

    def __init__(self, c: cluster.TestCluster, chance: random.Random) -> None:
        self.c = c
        self.chance = chance
        self.options = 0

    def draw(self) -> Command:
        return self.chance.choice(self._kinds())()

    def _kinds(self) -> list[Callable[[], Command]]:
        return [self._standby, self._role, self._role, self._move, self._clear, self._weight, self._order, self._delete]

    def _node(self) -> str:
        return self.chance.choice(self.c.layout.nodes)

    def _standby(self) -> Command:
        return ["crm_standby", "--node", self._node(), "--update", self.chance.choice(("on", "off", "off"))]

    def _role(self) -> Command:
        role = self.chance.choice(("Started", "Stopped"))
        name = self.chance.choice((*RESOURCES, GROUP))
        return ["crm_resource", "--resource", name, "--meta", "-p", "target-role", "--parameter-value", role]

    def _move(self) -> Command:
        return ["crm_resource", "--move", "--resource", self.chance.choice(RESOURCES), "--node", self._node()]

    def _clear(self) -> Command:
        return ["crm_resource", "--clear", "--resource", self.chance.choice(RESOURCES)]

    def _constrain(self, xml: str) -> Command:
        return ["cibadmin", "--modify", "--allow-create", "--scope", "constraints", "--xml-text", xml]

    def _weight(self) -> Command:
        name, score = self.chance.choice((*RESOURCES, GROUP)), self.chance.choice((-200, 50, 500))
        return self._constrain(f'<rsc_location id="l-{name}" rsc="{name}" node="{self._node()}" score="{score}"/>')

    def _order(self) -> Command:
        first, then = sorted(self.chance.sample(RESOURCES, 2))
        if self.chance.random() < 0.5:
            return self._constrain(f'<rsc_order id="o-{first}-{then}" first="{first}" then="{then}"/>')
        score = self.chance.choice((-100, 100))
        return self._constrain(f'<rsc_colocation id="c-{then}" rsc="{then}" with-rsc="{first}" score="{score}"/>')

    def _delete(self) -> Command:
        kind = self.chance.choice(("rsc_order", "rsc_colocation", "rsc_location"))
        return ["cibadmin", "--delete", "--force", "--xpath", f"//constraints/{kind}[1]"]

    def interruption(self) -> Command:
        """What somebody else does meanwhile: a new revision, and no other effect."""
        self.options += 1
        return ["crm_attribute", "--name", "batch-limit", "--update", str(100 + self.options)]


def build(c: cluster.TestCluster) -> None:
    alone = "".join(c.recorder(name, monitor="10s") for name in RESOURCES)
    group = f'<group id="{GROUP}">{"".join(c.recorder(name, monitor="10s") for name in MEMBERS)}</group>'
    c.load(f"<configuration><resources>{alone}{group}</resources></configuration>")
    c.settle()


def planned(plan: Plan) -> Counter[tuple[str, str, str]]:
    """What the agents will have recorded once it is done: (resource, what, node)."""
    return Counter(
        (step.resource, step.operation, step.node)
        for step in plan.steps
        if step.transition == 1
        and step.operation in {"start", "stop"}
        and step.resource in {*RESOURCES, *MEMBERS}
    )


class Trial:
    def __init__(self, c: cluster.TestCluster, seed: int) -> None:
        self.c = c
        self.chance = random.Random(seed)
        self.changes = Changes(c, self.chance)
        self.file = Path(tempfile.mkstemp(prefix="plan-", dir=c.folder)[1])
        self.figures = Figures()

    def turn(self) -> None:
        """One change: planned, perhaps interrupted, applied, and compared. Raises AssertionError."""
        node = self.chance.choice(self.c.layout.nodes)
        command = self.changes.draw()
        made = self.c.run(node, "ha", "plan", "--save", str(self.file), "--", *command, check=False)
        assert made.returncode == 0, (command, made.stdout, made.stderr)
        plan = load(self.file)
        assert plan.rests, (command, made.stdout)
        if not plan.patch:
            self.figures.empty += 1
            return
        interrupted = self.chance.random() < INTERRUPTED
        if interrupted:
            self.c.run(node, *self.changes.interruption())
            self.c.run(node, "crm_resource", "--wait")
        before = len(self.c.events())
        applied = self.c.run(self.chance.choice(self.c.layout.nodes), "ha", "apply", str(self.file), check=False)
        seen = [event for event in self.c.events()[before:] if event.action in {"start", "stop"}]
        done = Counter((event.resource, event.action, event.node) for event in seen)
        if interrupted:
            assert applied.returncode == Exit.OLD, (command, applied.stdout, applied.stderr)
            assert not done, (command, done)
            self.figures.refused += 1
            return
        assert applied.returncode == 0, (command, applied.stdout, applied.stderr)
        assert done == planned(plan), (command, f"planned {planned(plan)}", f"done {done}", made.stdout)
        self.figures.done += 1
        self.figures.actions += sum(done.values())


def run(c: cluster.TestCluster, count: int, seed: int, tell: Callable[[str], None]) -> Figures:
    """`count` changes that change something. Raises AssertionError, naming change, plan and what was done."""
    build(c)
    trial = Trial(c, seed)
    figures = trial.figures
    while figures.done + figures.refused < count:
        trial.turn()
        if (figures.done + figures.refused) % 25 == 0:
            tell(f"{figures.done + figures.refused} of {count}")
    return figures


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    options = p.parse_args()
    with cluster.running(3) as c:
        figures = run(c, options.count, options.seed, lambda text: print(text, file=sys.stderr, flush=True))
    print(
        f"{figures.done} plans applied to an unchanged revision, {figures.actions} starts and stops, all as planned; "
        f"{figures.refused} refused because the revision had moved, nothing done; {figures.empty} changed nothing"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
