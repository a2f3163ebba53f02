# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes in haresources mode as real processes: rmd, heartbeat, the worker, and scripts of resource.d."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.heartbeat_node import free_ports
from tests.real.rmd_node import Node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

NODES = ("alpha", "beta")
SCRIPT = """#!/bin/sh
# Flag PLACE NAME ACTION: a resource that is a file, and a line in the log for all that is done to it.
file=$1/$HA_CURHOST-$2
case $3 in
start) echo "$HA_CURHOST start $2" >>"$1/log"; touch "$file" ;;
stop) echo "$HA_CURHOST stop $2" >>"$1/log"; rm -f "$file" ;;
status) if [ -e "$file" ]; then echo running; else echo stopped; fi ;;
esac
"""


class Pair:
    def __init__(self, place: Path, extra: str = "") -> None:
        self.place = place
        ports = dict(zip(NODES, free_ports(2), strict=True))
        common = "realtime off\nkeepalive 100ms\ndeadtime 2\ninitdead 10\nauto_failback off\n" + extra
        self.nodes: dict[str, Node] = {}
        for name in NODES:
            other = next(peer for peer in NODES if peer != name)
            media = f"bindaddr 127.0.0.1:{ports[name]}\nucast lo 127.0.0.1:{ports[other]}\n"
            groups = "".join(f"{home} Flag::{place}::{home}1 Flag::{place}::{home}2\n" for home in NODES)
            files = {"ha.cf": f"{common}{media}node {' '.join(NODES)}\n", "haresources": groups,
                     "authkeys": "auth 1\n1 hmac-sha256 a-secret-of-the-test\n", "nodeinfo": f"{name}\n"}  # fmt: skip
            node = self.nodes[name] = Node({}, files=files)
            (node.root.supervisor_dir / "001-apphbd.conf").unlink()
            node.root.supervisor_dir.rmdir()  # so that rmd chooses among those that come with the program
            node.root.authkeys.chmod(0o600)
            script = node.root.config_dir / "resource.d" / "Flag"
            script.parent.mkdir()
            script.write_text(SCRIPT)
            script.chmod(0o755)

    def where(self) -> dict[str, str]:
        """Of each resource that is active, its node; two copies are a failure."""
        found: dict[str, str] = {}
        for path in self.place.iterdir():
            node, dash, resource = path.name.partition("-")
            if dash:
                assert resource not in found, f"P1: {resource} is active on {node} and {found[resource]}"
                found[resource] = node
        return found

    def runs(self, **expected: str) -> None:
        """`alpha="beta"`: what is at home on alpha runs on beta. Nothing else runs."""
        wanted = {f"{home}{number}": node for home, node in expected.items() for number in (1, 2)}
        wait_for(lambda: self.where() == wanted, f"{expected}, not {self.where()}", 60)
        for name, node in self.nodes.items():
            if node.process is not None and node.process.poll() is None:
                wait_for(lambda: self.hold(name) != "transition", f"{name} is at rest", 30)  # noqa: B023

    def hold(self, name: str) -> str:
        return self.command(name, "cl_status", "rscstatus").stdout.strip()

    def command(self, name: str, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; from ha.cli.{module} import main; sys.exit(main())"
        words = [sys.executable, "-c", code, *arguments]
        environment = {**self.nodes[name].environment, "HA_ROOT": self.nodes[name].root.prefix}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def log(self) -> list[str]:
        return (self.place / "log").read_text().splitlines()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    with made.nodes["alpha"] as alpha, made.nodes["beta"] as beta:
        alpha.start()
        beta.start()
        try:
            yield made
        finally:
            for name in NODES:
                log = made.nodes[name].root.log_dir / "ha.log"
                print(f"{name}:\n{log.read_text()[-4000:] if log.exists() else made.nodes[name].log()}")


def test_the_whole_life_of_two_nodes(pair: Pair) -> None:
    pair.runs(alpha="alpha", beta="beta")
    assert pair.command("alpha", "cl_status", "rscstatus").stdout == "local\n"
    assert sorted(pair.nodes["alpha"].infos()) == ["apphbd", "haresources", "heartbeat", "logd"]
    assert [line for line in pair.log() if line.startswith("alpha")] == ["alpha start alpha1", "alpha start alpha2"]

    assert pair.command("alpha", "hb_standby").returncode == 0
    pair.runs(alpha="beta", beta="beta")
    assert (pair.hold("alpha"), pair.hold("beta")) == ("none", "all")
    assert [line for line in pair.log() if line.startswith("alpha")][2:] == ["alpha stop alpha2", "alpha stop alpha1"]

    assert pair.command("alpha", "hb_takeover", "local").returncode == 0
    pair.runs(alpha="alpha", beta="beta")

    done = len(pair.log())
    for number in (signal.SIGKILL, signal.SIGSTOP):
        former = pair.nodes["beta"].pid("haresources")
        os.kill(former, number)
        pair.nodes["beta"].await_replacement("haresources", former)
        pair.runs(alpha="alpha", beta="beta")
    assert len(pair.log()) == done, "a worker's death restarts nothing"

    pair.nodes["beta"].run("--stop")
    pair.runs(alpha="alpha", beta="alpha")
    pair.nodes["beta"].start()
    wait_for(lambda: pair.hold("beta") == "none", "beta is back, and auto_failback is off", 60)
    pair.runs(alpha="alpha", beta="alpha")


def test_what_a_lost_node_may_still_run_waits_for_an_operator(pair: Pair) -> None:
    pair.runs(alpha="alpha", beta="beta")
    refused = pair.command("alpha", "hb_takeover", "--dead", "beta")
    assert (refused.returncode, refused.stderr) == (1, "hb_takeover: node beta is active, not lost\n")
    pair.nodes["beta"].power_off()
    wait_for(lambda: "hb_takeover --dead beta" in said(pair, "alpha"), "alpha says what to do", 30)
    assert pair.where()["beta1"] == "beta"  # nobody has taken it: the machine might still run it
    for path in pair.place.glob("beta-*"):
        path.unlink()  # the machine is off now
    assert pair.command("alpha", "hb_takeover", "--dead", "beta").returncode == 0
    pair.runs(alpha="alpha", beta="alpha")


def said(pair: Pair, name: str) -> str:
    return "".join(path.read_text(errors="replace") for path in pair.nodes[name].root.log_dir.iterdir())
