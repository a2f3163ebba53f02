# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's OCF agents, as they are, in a cluster: started, monitored, broken, moved and stopped.

    python -m tests.real.debian_agents [--only NAME ...] [--table docs/agents.md]

As root. Two nodes of a playground, in namespaces of their own (network, mounts, processes), with one CIB that holds
every agent for which `agent_recipes` says how; each step is done to all of them at once, and what came of it is read
from the cluster's own status. Agents without a recipe are called once, and tell what they lack. Prints a table, and
writes it where --table says. Exit code 1 when fewer than --at-least agents went through the whole cycle.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which

from lxml import etree

from tests.real.agent_recipes import RECIPES, Recipe
from tests.real.cluster import TestCluster, running

OCF_ROOT = Path("/usr/lib/ocf")
STEPS = ("start", "monitor", "failure", "move", "stop")
PATIENCE_S = 60
LOOK_S = 0.5
"""Between two looks at the cluster's status."""
INSIDE = "HA_TEST_INSIDE_NAMESPACES"
NETWORK = (
    "ip link set lo up; ip link add br0 type bridge; ip addr add 10.99.0.1/24 dev br0; "
    "ip -6 addr add fd00:99::1/64 dev br0 nodad; ip link set br0 up; ip route add default via 10.99.0.254 dev br0"
)


class Proof:
    def __init__(self, cluster: TestCluster, recipes: list[Recipe]) -> None:
        self.cluster = cluster
        self.left = list(recipes)
        self.passed: dict[str, list[str]] = {recipe.name: [] for recipe in recipes}
        self.said: dict[str, str] = {}

    def run(self) -> None:
        self.configure()
        self.step("start", lambda r: "n1" in self.places(r))
        self.step("monitor", self.monitored)
        starts = {r.name: self.starts(r) for r in self.left}
        for recipe in self.left:
            self.damage(recipe)
        self.step("failure", lambda r: self.starts(r) > starts[r.name] and self.monitored(r))
        self.prefer("n2")
        self.step("move", lambda r: self.places(r) == ["n2"] and self.monitored(r))
        self.stop()
        self.step("stop", lambda r: self.places(r) == [])

    def whole(self) -> int:
        """How many went through the whole cycle."""
        return sum(len(steps) == len(STEPS) for steps in self.passed.values())

    # Steps -----------------------------------------------------------------------------------------------------------

    def step(self, name: str, done: Callable[[Recipe], bool]) -> None:
        """Wait until all have done it; who has not after a time is out, with the reason."""
        waiting = list(self.left)
        deadline = time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < deadline:
            self.look()
            waiting = [recipe for recipe in waiting if not done(recipe)]
            select.select([], [], [], LOOK_S)
        for recipe in self.left:
            if recipe not in waiting:
                self.passed[recipe.name].append(name)
        for recipe in waiting:
            self.said[recipe.name] = f"{name}: {self.why(recipe)}"
        self.left = [recipe for recipe in self.left if recipe not in waiting]
        print(f"{name}: {len(self.left)} done, not: {' '.join(r.name for r in waiting) or 'none'}", flush=True)

    def configure(self) -> None:
        resources = "".join(primitive(recipe, str(self.cluster.folder)) for recipe in self.left)
        options = '<nvpair id="m" name="migration-threshold" value="5"/>'
        self.cluster.load(
            f"<configuration><rsc_defaults><meta_attributes id='d'>{options}</meta_attributes></rsc_defaults>"
            f"<resources>{resources}</resources><constraints>{self.constraints('n1')}</constraints></configuration>"
        )

    def constraints(self, node: str) -> str:
        return "".join(
            f'<rsc_location id="l-{r.name}" rsc="{r.name}" node="{node}" score="1000"/>' for r in self.left
        )

    def prefer(self, node: str) -> None:
        text = f"<constraints>{self.constraints(node)}</constraints>"
        if self.left:
            self.cluster.run("n1", "cibadmin", "--replace", "--scope", "constraints", "--xml-text", text)

    def stop(self) -> None:
        for recipe in self.left:
            self.cluster.run("n1", "crm_resource", "-r", recipe.name, "--meta", "-p", "target-role", "-v", "Stopped")

    def damage(self, recipe: Recipe) -> None:
        if recipe.damage:
            script = recipe.damage.format(d=self.cluster.folder)
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"damage of {recipe.name}: {done.stderr.strip()}", flush=True)
        else:  # an agent without anything to break: the cluster is told that it failed
            self.cluster.run("n1", "crm_resource", "--fail", "-r", recipe.name, "-N", "n1", check=False)

    # Looks -----------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        self.cib = etree.fromstring(self.cluster.run("n1", "cibadmin", "-Q").stdout.encode())

    def history(self, recipe: Recipe, node: str) -> list[etree._Element]:
        path = f"status/node_state[@uname='{node}']/lrm/lrm_resources/lrm_resource[@id='{recipe.name}']/lrm_rsc_op"
        return sorted(self.cib.iterfind(path), key=lambda op: int(op.get("call-id", "0")))

    def places(self, recipe: Recipe) -> list[str]:
        """Where it runs, by the last operation that tells."""
        found = []
        for node in ("n1", "n2"):
            telling = [op for op in self.history(recipe, node) if op.get("operation") in ("start", "stop", "monitor")]
            last = telling[-1] if telling else None
            if last is not None and last.get("rc-code") == "0" and last.get("operation") != "stop":
                found.append(node)
        return found

    def monitored(self, recipe: Recipe) -> bool:
        return any(
            (last := self.history(recipe, node)[-1:]) and last[0].get("operation") == "monitor"
            and last[0].get("interval") != "0" and last[0].get("rc-code") == "0"
            for node in self.places(recipe)
        )  # fmt: skip

    def starts(self, recipe: Recipe) -> int:
        return max(
            (int(op.get("call-id", "0")) for op in self.history(recipe, "n1") if op.get("operation") == "start"),
            default=0,
        )

    def why(self, recipe: Recipe) -> str:
        operations = [op for node in ("n1", "n2") for op in self.history(recipe, node)]
        failed = [op for op in operations if op.get("exit-reason")] or operations
        if not failed:
            return "nothing was ordered"
        last = failed[-1]
        return f"{last.get('operation')} gave rc {last.get('rc-code')}: {last.get('exit-reason') or 'no reason'}"


def primitive(recipe: Recipe, folder: str) -> str:
    root = etree.Element("primitive", id=recipe.name, provider=recipe.provider, type=recipe.agent)
    root.set("class", "ocf")
    attributes = etree.SubElement(root, "instance_attributes", id=f"{recipe.name}-p")
    for name, value in recipe.parameters.items():
        etree.SubElement(attributes, "nvpair", id=f"{recipe.name}-p-{name}", name=name, value=value.format(d=folder))
    operations = etree.SubElement(root, "operations")
    for name, interval in (("monitor", "5s"), ("start", "0"), ("stop", "0")):
        operation = etree.SubElement(
            operations, "op", id=f"{recipe.name}-{name}", name=name, interval=interval, timeout="30s"
        )
        if name == "stop":
            operation.set("on-fail", "block")  # or one agent's failure would fence the node of all the others
    return etree.tostring(root).decode()


def tell(agent: Path) -> str:
    """What an agent without a recipe says when it is asked: that it lacks something, or that it must be configured."""
    environment = {
        "PATH": os.environ["PATH"], "OCF_ROOT": str(OCF_ROOT), "OCF_RESOURCE_INSTANCE": "probe", "LC_ALL": "C",
        "OCF_RESOURCE_TYPE": agent.name, "OCF_RESOURCE_PROVIDER": agent.parent.name, "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1", "OCF_RESKEY_CRM_meta_interval": "0", "HA_RSCTMP": "/tmp", "HOME": "/",
    }  # fmt: skip
    parsed = "meta-data parsed"
    try:
        described = subprocess.run([agent, "meta-data"], env=environment, capture_output=True, timeout=5, check=False)
        etree.fromstring(described.stdout)
    except (OSError, etree.XMLSyntaxError, subprocess.TimeoutExpired) as error:
        parsed = f"no meta-data: {str(error)[:60]}"
    try:
        done = subprocess.run(
            [agent, "validate-all"], env=environment, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{parsed}; validate-all: {str(error)[:80]}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    reason = next((ln.partition("ocf-exit-reason:")[2] for ln in reversed(lines) if "ocf-exit-reason:" in ln), "")
    return f"{parsed}; validate-all gives {done.returncode}: {(reason or (lines or ['says nothing'])[-1])[:110]}"


def table(proof: Proof, absent: dict[str, str]) -> tuple[str, int]:
    """The table's text, and how many agents went through the whole cycle."""
    rows = []
    tried = {recipe.name: recipe for recipe in RECIPES}
    for provider in ("heartbeat", "pacemaker"):
        for agent in sorted((OCF_ROOT / "resource.d" / provider).iterdir(), key=lambda path: path.name.lower()):
            if agent.name.startswith("."):
                continue  # hidden: what agents share
            name = f"{provider}-{agent.name}"
            steps = proof.passed.get(name)
            if steps is not None and len(steps) == len(STEPS):
                rows.append((provider, agent.name, "yes", "" if tried[name].damage else "failure told by crm_resource"))
            elif steps is not None:
                rows.append((provider, agent.name, " ".join(steps) or "no", proof.said[name]))
            else:
                rows.append((provider, agent.name, "no", absent.get(name) or tell(agent)))
    lines = ["| provider | agent | runs | remark |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(clean(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines), proof.whole()


def clean(text: str) -> str:
    return " ".join(text.replace("|", "/").replace("`", "'").split())


def document(text: str, whole: int, total: int) -> str:
    return f"""# Debian's agents

Written by `python -m tests.real.debian_agents --table docs/agents.md` (as root): of {total} OCF agents of Debian's
resource-agents and pacemaker-resource-agents, {whole} went through the whole cycle on two nodes, unmodified: start,
recurring monitor, failure (its process killed, its mount or address taken away) with recovery, move to the other node,
stop. "runs" is yes, or the steps that were passed. The others tell themselves what they lack on that machine.

{text}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="agents, as heartbeat-Dummy")
    parser.add_argument("--table", type=Path, metavar="FILE")
    parser.add_argument("--at-least", type=int, default=25)
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("it needs root")
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                              sys.executable, "-m", "tests.real.debian_agents", *sys.argv[1:]])  # fmt: skip
    subprocess.run(["sh", "-c", NETWORK], check=True)
    recipes, absent = [], {}
    for recipe in RECIPES:
        missing = [program for program in recipe.needs if which(program) is None]
        if missing or not (OCF_ROOT / "resource.d" / recipe.provider / recipe.agent).exists():
            absent[recipe.name] = f"not installed: {' '.join(missing) or 'the agent'}"
        elif not options.only or recipe.name in options.only:
            recipes.append(recipe)
    with running(nodes=2) as cluster:
        cluster.folder.chmod(0o755)
        for recipe in recipes:
            script = recipe.prepare.format(d=cluster.folder)
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{recipe.name} could not be prepared: {done.stderr.strip()[-300:]}", flush=True)
        proof = Proof(cluster, recipes)
        proof.run()
        text, whole = table(proof, absent) if options.table else ("", proof.whole())
    for name, said in proof.said.items():
        print(f"{name}: {said}")
    print(f"{whole} agents went through the whole cycle")
    if options.table:
        total = text.count("\n") - 1
        options.table.write_text(document(text, whole, total), encoding="utf-8")
    return 0 if whole >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
