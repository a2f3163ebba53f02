# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.determinism`: equal inputs give equal bytes, on every case of Pacemaker's.

Each case is decided under two hash seeds of the interpreter, and under a third from an equal text: attributes in
another order, other white space between elements. Graph, scores, picture and summary must be the same bytes.
Where the cases are not here, it says so and does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from lxml import etree

from tests.conformance.cases import VISIBLE, case_folders, load_judge, produce

SEEDS = ("0", "4711")
ANOTHER_SEED = "1"


def equal_text(text: bytes, chance: random.Random) -> bytes:
    """The same document written otherwise."""
    root = etree.fromstring(text)
    for element in root.iter(etree.Element):
        pairs = list(element.attrib.items())
        chance.shuffle(pairs)
        element.attrib.clear()
        element.attrib.update(pairs)
        if len(element) and not (element.text or "").strip():
            element.text = chance.choice(("", "\n", "  "))
        if not (element.tail or "").strip():
            element.tail = chance.choice(("", "\n\t", " "))
    return etree.tostring(root)


def digests(otherwise: bool) -> dict[str, str]:
    """Of all that is printed and written for each case, in this process."""
    found = {}
    for folder in case_folders(VISIBLE):
        judge = load_judge(folder)
        cases = judge.CaseSet(folder)
        try:
            for case in cases.cases:
                path = Path(cases.path(case, "xml"))
                if otherwise:
                    path.write_bytes(equal_text(path.read_bytes(), random.Random(case.name)))
                out = produce(judge, cases, case)
                whole = (out.summary, out.scores, out.graph, out.dot, out.stderr, out.trouble)
                found[f"{folder.name}/{case.name}"] = hashlib.sha256(repr(whole).encode()).hexdigest()
        finally:
            cases.close()
    return found


def in_a_process(seed: str, *options: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="determinism-") as folder:
        path = Path(folder, "found.json")
        command = [sys.executable, "-m", "tests.conformance.determinism", "--write", str(path), *options]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "UTC"})
        found: dict[str, str] = json.loads(path.read_text())
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.determinism", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the digests of this process there, no more")
    parser.add_argument("--otherwise", action="store_true", help="with --write: from equal texts")
    options = parser.parse_args()
    if not VISIBLE.is_dir():
        print(f"skipped: the cases are not here ({VISIBLE})")
        return 0
    if options.write is not None:
        options.write.write_text(json.dumps(digests(options.otherwise)))
        return 0
    first, *others = [in_a_process(seed) for seed in SEEDS]
    seeds = {name for name, digest in first.items() if any(other[name] != digest for other in others)}
    equal = in_a_process(ANOTHER_SEED, "--otherwise")
    texts = {name for name, digest in first.items() if equal[name] != digest}
    print(f"{len(first)} cases under hash seeds {', '.join(SEEDS)}: {len(seeds)} differ: {' '.join(sorted(seeds))}")
    print(f"{len(first)} cases from equal texts: {len(texts)} differ: {' '.join(sorted(texts))}")
    return 1 if seeds or texts else 0


if __name__ == "__main__":
    sys.exit(main())
