# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.diffs --sequences N`: deciding after diffs is deciding from scratch.

Each sequence begins with a cluster (one of Pacemaker's cases, a generated one, or a calm one of our own) and goes
through random changes; after each the kept model's graph must be that of the text, byte for byte. Printed is also how
many decisions looked at some families of resources only. A sequence follows from its number.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from ha.cib.model.document import Document
from ha.cib.model.refusal import Refusal
from tests.conformance.cases import VISIBLE, load_judge
from tests.conformance.play import load_generator
from tests.unit.pe.following import Follower, disturb, disturb_status
from tests.unit.pe.small_cib import NOW, absent, cib, primitive, running

STEPS = 6


@dataclass
class Count:
    sequences: int = 0
    decisions: int = 0
    partial: int = 0
    failed: int = 0


def calm(chance: random.Random) -> bytes:
    """A cluster in which nothing is to be done: some resources alone, in groups, in clones, tied by constraints."""
    nodes = tuple(f"n{number}" for number in range(1, chance.randint(2, 4) + 1))
    resources, constraints, history = "", "", []
    for number in range(chance.randint(5, 14)):
        id = f"R{number}"
        kind = chance.choice(("primitive", "primitive", "group", "clone"))
        meta = {"resource-stickiness": "100"}
        if chance.random() < 0.3:
            meta["failure-timeout"] = "60s"
        names = [id] if kind == "primitive" else [f"{id}a", f"{id}b"] if kind == "group" else [f"{id}c"]
        inner = "".join(primitive(name, meta=meta) for name in names)
        resources += inner if kind == "primitive" else f'<{kind} id="{id}">{inner}</{kind}>'
        home = chance.choice(nodes)
        for name in names:
            homes = nodes if kind == "clone" else (home,)
            history.extend(running(name, node) for node in homes)
            history.append(absent(name, [node for node in nodes if node not in homes]))
        if number and chance.random() < 0.3:
            constraints += f'<rsc_order id="o{number}" first="R{number - 1}" then="{id}"/>'
        if number > 1 and chance.random() < 0.2:
            score = chance.choice(("100", "INFINITY"))
            constraints += f'<rsc_colocation id="c{number}" rsc="{id}" with-rsc="R{number - 2}" score="{score}"/>'
        constraints += f'<rsc_location id="l{number}" rsc="{id}" node="{home}" score="50"/>'
    return cib(nodes=nodes, resources=resources, constraints=constraints, history=tuple(history))


def follow(text: bytes, chance: random.Random, change: Callable[[etree._Element, random.Random], None]) -> Follower:
    follower = Follower(text)
    follower.model.share = 1.0
    check = follower.check if chance.random() < 0.1 else follower.check_graph
    now_s = NOW
    check(now_s)
    for _ in range(STEPS):
        changed = etree.fromstring(follower.text())
        for _ in range(chance.randint(1, 2)):
            change(changed, chance)
        now_s += chance.choice((0, 1, 45, 3600))
        follower.follow(etree.tostring(changed))
        check(now_s)
    return follower


def starts(sequences: int, first: int) -> Iterator[tuple[str, bytes]]:
    """(name, text) of every case once, then generated and calm clusters in turn."""
    for folder in ("scheduler", "random"):
        cases = load_judge(VISIBLE).CaseSet(VISIBLE / folder)
        try:
            for number, case in enumerate(cases.cases):
                if first <= number < first + sequences:
                    yield f"{folder}/{case}", Path(cases.path(case, "xml")).read_bytes()
        finally:
            cases.close()


def made(sequences: int, first: int) -> Iterator[tuple[str, bytes]]:
    """(name, text) of generated clusters (where the generator is here) and calm ones, in turn."""
    generator = VISIBLE / "generate_cibs.py"
    make = load_generator(generator).make_random if generator.exists() else None
    for number in range(first, first + sequences):
        if make is not None and number % 3 == 0:
            yield f"generated {number}", make(number, 2 + number % 4, 3 + number % 8, "mix", "2.1").encode()
        else:
            yield f"calm {number}", calm(random.Random(number))


def run(name: str, text: bytes, chance: random.Random, count: Count) -> None:
    try:
        text = Document.from_bytes(text).snapshot().to_bytes()
    except Refusal:
        return  # Older than any cib that publishes diffs.
    count.sequences += 1
    try:
        follower = follow(text, chance, disturb_status if chance.random() < 0.7 else disturb)
    except Exception:
        count.failed += 1
        print(f"{name}:\n{traceback.format_exc()}", file=sys.stderr)
        return
    count.decisions += follower.decisions
    count.partial += follower.model.partial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.diffs", description=__doc__)
    parser.add_argument("--sequences", type=int, default=200, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first sequence")
    parser.add_argument("--cases", action="store_true", help="begin with Pacemaker's and the recorded random cases")
    options = parser.parse_args()
    if options.cases and not VISIBLE.is_dir():
        print(f"skipped: the cases are not here ({VISIBLE})")
        return 0
    count = Count()
    began = time.monotonic()
    source = starts if options.cases else made
    for number, (name, text) in enumerate(source(options.sequences, options.first), options.first):
        run(name, text, random.Random(number), count)
    print(
        f"{count.sequences} sequences, {count.decisions} decisions, {count.partial} of them looked at some families "
        f"only; {count.failed} sequences differed; {time.monotonic() - began:.0f} s"
    )
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
