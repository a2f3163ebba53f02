# SPDX-License-Identifier: GPL-2.0-or-later
"""python -m ha.sim: swarm, replay of a seed, scenarios, recordings.

Exit codes: 0 all well; 1 a promise was broken, a trace differs or a cluster did not converge; 64 wrong usage;
65 a file is not understood; 66 a file cannot be read.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ha.recording import RecordingError, read
from ha.sim.replay import replay
from ha.sim.scenario import Scenario, ScenarioError, printed
from ha.sim.stack import build_recorded, make_world, swarm_configuration
from ha.sim.swarm import Result, Swarm

EXIT_OK = 0
EXIT_BROKEN = 1
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_INPUT = 66

SHOWN_LINES = 60
"""The end of a failed seed's trace that the swarm prints; replay prints all of it."""


def run_seed(seed: int) -> Result:
    """One run, and only then what it left behind is collected: a world is small, and soon nothing of it is left."""
    gc.freeze()
    gc.disable()
    try:
        return Swarm(seed, make_world, swarm_configuration).run()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.collect()


def commit() -> str:
    """The commit a run belongs to; "unknown" outside of a checkout."""
    try:
        folder = Path(__file__).parent
        command = ["git", "rev-parse", "--short", "HEAD"]
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def seeds(text: str) -> range:
    first, dots, last = text.partition("..")
    try:
        chosen = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds such as 1..200") from None
    if not chosen:
        raise argparse.ArgumentTypeError(f"{text!r} is empty")
    return chosen


def _results(chosen: range, jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(run_seed, chosen)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap(run_seed, chosen)


def swarm(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    failed: list[Result] = []
    for number, result in enumerate(_results(options.seeds, options.jobs), start=1):
        if not result.ok:
            failed.append(result)
            _print_failure(result, SHOWN_LINES)
        if number % 20 == 0 or not result.ok:
            spent_s = time.monotonic() - begun
            print(f"{number}/{len(options.seeds)} seeds, {len(failed)} failed, {spent_s:.0f} s", flush=True)
        if failed and options.stop:
            break
    print(f"{len(options.seeds)} seeds at commit {commit()}: {len(failed)} failed, {time.monotonic() - begun:.0f} s")
    if failed:
        print("failed: " + " ".join(f"{result.seed}({result.promise})" for result in failed))
    return EXIT_BROKEN if failed else EXIT_OK


def _print_failure(result: Result, last_lines: int) -> None:
    plan = result.plan
    print(f"\nseed {result.seed} at commit {commit()}: {result.failure}")
    print(f"  {plan.nodes} nodes, fencing {'on' if plan.fencing else 'off'}, troubles: {plan.profile}")
    print(f"  virtual time {result.virtual_ms / 1000:.3f} s; replay: python -m ha.sim replay {result.seed}")
    for line in result.trace[-last_lines:]:
        print("  " + line)


def replay_seed(options: argparse.Namespace) -> int:
    result = run_seed(options.seed)
    if result.ok:
        print(f"seed {result.seed} at commit {commit()}: ok, fingerprint {result.fingerprint}")
        return EXIT_OK
    _print_failure(result, len(result.trace))
    return EXIT_BROKEN


def scenario(options: argparse.Namespace) -> int:
    status = EXIT_OK
    for path in options.files:
        try:
            outcome = Scenario(make_world, path.parent).run(path.read_text(encoding="utf-8"))
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            return EXIT_NO_INPUT
        except ScenarioError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return EXIT_DATA
        if options.update:
            path.write_text(printed(outcome.blocks), encoding="utf-8")
        elif outcome.differences:
            status = EXIT_BROKEN
        if options.show:
            print(printed(outcome.blocks))
        for difference in [] if options.update else outcome.differences:
            print(f"{path}: {difference}")
    return status


def recording(options: argparse.Namespace) -> int:
    status = EXIT_OK
    for path in options.files:
        try:
            steps, difference = replay(read(path.read_bytes()), build_recorded)
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            return EXIT_NO_INPUT
        except RecordingError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return EXIT_DATA
        print(f"{path}: {steps} steps" + (", equal" if difference is None else ""))
        if difference is not None:
            print(difference)
            status = EXIT_BROKEN
    return status


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m ha.sim", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("swarm", help="random clusters under random faults")
    command.add_argument("--seeds", type=seeds, default=range(1, 201), metavar="A..B")
    command.add_argument("--jobs", type=int, default=2)
    command.add_argument("--stop", action="store_true", help="at the first failure")
    command.set_defaults(run=swarm)
    command = commands.add_parser("replay", help="one seed of the swarm, with its whole trace when it fails")
    command.add_argument("seed", type=int)
    command.set_defaults(run=replay_seed)
    command = commands.add_parser("scenario", help="files in operators' words, compared with their golden trace")
    command.add_argument("files", type=Path, nargs="+", metavar="FILE")
    command.add_argument("--update", action="store_true", help="rewrite the trace in the file")
    command.add_argument("--show", action="store_true", help="print the file with the trace as it is now")
    command.set_defaults(run=scenario)
    command = commands.add_parser("recording", help="give the cores what real processes were given (HA_RECORD)")
    command.add_argument("files", type=Path, nargs="+", metavar="FILE")
    command.set_defaults(run=recording)
    return top


def main() -> int:
    try:
        options = parser().parse_args()
    except SystemExit as leaving:
        return EXIT_USAGE if leaving.code else EXIT_OK
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
