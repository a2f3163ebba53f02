# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm as an operator calls it: HA_SIM_SEEDS seeds of the whole stack, on two cores; and the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("HA_SIM_SEEDS", "200"))

FOUND = (
    319,  # a rejoin while a slow stop runs made the DC believe that the resource was gone: two copies (P1)
    615,  # a member had led and reported to itself meanwhile: the DC waited for ever for results it was never told
    730,  # of two nodes one that had not the last man's CIB yet became the cluster by fencing him (P3)
    2197,  # a node lost while it was leaving and starting a service was not fenced before that started elsewhere (P1)
    613,  # a timer's ring was taken back between ring and turn, by effects that had waited for the disk
    70,  # the grace of an old loss let a node start what the lost one had started in the other partition since (P1)
)


def sim(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ha.sim", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_swarm_is_green() -> None:
    done = sim("swarm", "--seeds", f"1..{SEEDS}", "--jobs", "2")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


@pytest.mark.parametrize("seed", FOUND)
def test_seeds_that_found_bugs(seed: int) -> None:
    done = sim("replay", str(seed))
    assert done.returncode == 0, done.stdout[-20_000:]


def test_replay_of_a_good_seed() -> None:
    done = sim("replay", "1")
    assert done.returncode == 0, done.stdout
    assert "seed 1 at commit" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 64, "COMMAND"),
        (("swarm", "--seeds", "9..1"), 64, "is empty"),
        (("swarm", "--seeds", "many"), 64, "no range of seeds"),
        (("scenario", "nowhere.txt"), 66, "nowhere.txt: No such file"),
        (("scenario", "README.md"), 65, "README.md"),
        (("recording", "nowhere.recording"), 66, "No such file"),
        (("recording", "README.md"), 65, "README.md"),
    ],
)
def test_mistakes_have_their_exit_codes(arguments: tuple[str, ...], status: int, words: str) -> None:
    done = sim(*arguments)
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
