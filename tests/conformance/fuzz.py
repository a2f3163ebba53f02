# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.conformance.fuzz --count N --first F --seed S`: crm_simulate and crm_verify on spoiled input.

Whatever they are given, they end with an exit code of their table, and with a sentence where it is not 0: on standard
error, or in the document when they are to answer in XML. An exception that comes out is a failure, and so is what does
not come to an end; the input is kept. Each input follows from the seed and its number, so a run can be done in pieces.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from lxml import etree

from ha.cli.crm_simulate import main as crm_simulate
from ha.cli.crm_verify import main as crm_verify
from ha.cli.exit_codes import Exit
from tests.conformance.cases import VISIBLE
from tests.conformance.mutations import mutated
from tests.conformance.play import load_generator
from tests.unit.pe.small_cib import cib, primitive, running

ALLOWED = frozenset((Exit.OK, Exit.ERROR, Exit.DATA_ERROR, Exit.CONFIGURATION, Exit.USAGE))
EXAMPLE = cib(
    options={"stonith-enabled": "false"},
    resources=primitive("A", meta={"priority": "2"})
    + f'<group id="G">{primitive("X")}{primitive("Y")}</group><clone id="C">{primitive("P")}</clone>',
    history=[running("A", "n1")],
)
VERIFY_EVERY = 8
XML_EVERY = 3
PROGRESS_EVERY = 5_000
BASES = 24
SLOW_S = 20.0
"""More processor time than this for one small input is a failure as well."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz", description=__doc__)
    p.add_argument("--count", type=int, default=1000, metavar="N")
    p.add_argument("--first", type=int, default=0, metavar="F", help="number of the first input")
    p.add_argument("--seed", type=int, default=1, metavar="S")
    p.add_argument("--save", type=Path, metavar="DIR", help="keep the inputs that fail there")
    return p


def bases() -> list[bytes]:
    """What is spoiled: clusters of the generator where it is here, else our own small one."""
    generator = VISIBLE / "generate_cibs.py"
    if not generator.exists():
        return [EXAMPLE]
    make = load_generator(generator).make_random
    return [EXAMPLE, *(make(seed, 2 + seed % 3, 2 + seed % 6, "mix", "2.1").encode() for seed in range(1, BASES))]


def attempt(number: int, cib: bytes, path: Path) -> tuple[str, int]:
    """What is wrong with the tools' answer to one input ('' if nothing), and the exit code."""
    path.write_bytes(cib)
    told, warned = io.StringIO(), io.StringIO()
    tool = crm_verify if number % VERIFY_EVERY == 0 else crm_simulate
    as_xml = number % XML_EVERY == 0
    options = ["-x", str(path), *(["-VVV"] if tool is crm_verify else ["-S", "-s"])]
    if as_xml:
        options += ["--output-as=xml", *([] if tool is crm_verify else ["-A", "-c", "-U"])]
    try:
        with time_limit(SLOW_S), contextlib.redirect_stdout(told), contextlib.redirect_stderr(warned):
            code = tool(options)
    except Exception:
        return "exception\n" + "".join(traceback.format_exc().splitlines(keepends=True)[-7:]), -1
    if code not in ALLOWED:
        return f"exit code {code}", code
    return (wrong_document(told.getvalue(), code) if as_xml else wrong_words(warned.getvalue(), code)), code


@contextlib.contextmanager
def time_limit(limit_s: float) -> Iterator[None]:
    """Raises TimeoutError, wherever the program is, once it has used that much processor time."""

    def too_long(signal_number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {limit_s:.0f} s")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def wrong_words(warned: str, code: int) -> str:
    return f"exit code {code} without a word" if code and not warned.strip() else ""


def wrong_document(told: str, code: int) -> str:
    """What is wrong with an answer in XML."""
    try:
        root = etree.fromstring(told)
    except etree.XMLSyntaxError as error:
        return f"no XML: {error}"
    if root.findtext("status") is None or root.xpath("string(status/@code)") != str(code):
        return f"exit code {code} and another one in the document"
    return f"exit code {code} without a word" if code and root.find("status/errors/error") is None else ""


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    originals = bases()
    codes: Counter[int] = Counter()
    failures: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number in range(options.first, options.first + options.count):
            chance = random.Random(f"{options.seed}:{number}")
            cib = mutated(chance.choice(originals), chance)
            wrong, code = attempt(number, cib, Path(folder, "cib.xml"))
            codes[code] += 1
            if (number + 1) % PROGRESS_EVERY == 0:
                print(f"up to {number + 1}: {failures.total()} failures", flush=True)
            if wrong:
                failures[wrong] += 1
                if failures[wrong] == 1:
                    print(f"seed {options.seed} input {number}: {wrong}", flush=True)
                    keep(options.save, f"{options.seed}-{number}.xml", cib)
    told = f"exit codes {dict(sorted(codes.items()))}, {failures.total()} failures"
    print(f"{options.count} inputs from {options.first} on: {told}")
    return 1 if failures else 0


def keep(folder: Path | None, name: str, cib: bytes) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(cib)


if __name__ == "__main__":
    sys.exit(main())
