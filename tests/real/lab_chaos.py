# SPDX-License-Identifier: GPL-2.0-or-later
"""Random kills, freezes, cuts, losses, power cuts and disk faults on lab hosts with fencing (root, the lab).

    python -m tests.real.lab_chaos [--minutes 30] [--seed 1] [--hosts 5] [--resources 20] [--profile default]

One to three troubles at a time. Then everything is mended, hosts that fencing switched off are switched on, and the
cluster has to converge: every host a member, every resource running once. All the time the resources' processes are
looked at, and after each round the agents' own log: no start before the stop, or the death of the host, that ended
the copy before it. Between the troubles options are written on some host: those that were acknowledged have to be on
every host afterwards. Prints each round; a failure prints the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ha.ipc.links import WORKERS
from tests.bench import lab_stack
from tests.real import legacy_lab
from tests.real.waiting import wait_for

CONVERGE_TIMEOUT_S = 120
LOOK_EVERY_S = 0.05
DATA = "/var/lib/heartbeat"
TINY_FILE_BYTES = 1024
ACKNOWLEDGED = "acknowledged"


BELIEFS = {
    "crm_mon": ["crm_mon", "-1Arf"],
    "cib.xml": ["cibadmin", "-Q", "--local"],
    "crm_node": ["crm_node", "-l"],
    "nodes": ["cl_status", "listnodes"],
    "status": ["ha", "status"],
}
"""What each host is asked when something went wrong."""


class Rack:
    """Lab hosts, their power with its moments, and our stack on them."""

    def __init__(self, lab: Any, stack: Any) -> None:
        self.lab = lab
        self.stack = stack
        self.frozen: set[str] = set()
        self.power = threading.Lock()
        """Fencing, in a thread of its own, and this program both switch."""
        self.deaths: list[tuple[float, str]] = []
        """(moment at which a host was dead for certain, host), monotonic seconds."""
        for host in lab:
            host.power_off = self._recorded(host, host.power_off)

    def _recorded(self, host: Any, power_off: Callable[[], float]) -> Callable[[], float]:
        def off() -> float:
            with self.power:
                if host.name in self.frozen:
                    self._kill_frozen(host)
                at = power_off()
                self.deaths.append((time.monotonic(), host.name))
                return at

        return off

    def _kill_frozen(self, host: Any) -> None:
        """A frozen process dies only when it is thawed; nothing of it runs before that."""
        self.lab.switch_ip(f"link set {host.port} down")
        for process in host.processes():
            process.signal(signal.SIGKILL)
        host.thaw()
        self.frozen.discard(host.name)

    def freeze(self, host: Any) -> None:
        with self.power:
            if host.is_on:
                host.freeze()
                self.frozen.add(host.name)

    def mend(self) -> None:
        self.lab.heal()
        with self.power:
            for name in sorted(self.frozen):
                self.lab[name].thaw()
            self.frozen.clear()
            for host in self.lab.on():
                self.lab.link(host.name, True)
                host.run(f"umount {DATA}", check=False)
                for process in host.processes("ha-cib " + host.name):
                    limit_files(process.pid, "unlimited")

    def switch_on(self) -> list[str]:
        started = []
        for host in self.lab:
            with self.power:
                if host.is_on:
                    continue
                host.power_on()
            try:
                self.stack.start(host)
            except (OSError, RuntimeError, subprocess.CalledProcessError):  # RuntimeError: the lab's own
                with self.power:  # it is being switched off, or was
                    if host.is_on:
                        raise
                continue
            started.append(host.name)
        return started


def limit_files(pid: int, size_bytes: int | str) -> None:
    """As the process's own user, who may always do so. One that was just replaced is gone, and the new one free."""
    owner = os.stat(f"/proc/{pid}")
    order = ["prlimit", f"--pid={pid}", f"--fsize={size_bytes}:"]
    subprocess.run(order, user=owner.st_uid, group=owner.st_gid, extra_groups=[], check=os.path.exists(f"/proc/{pid}"))


class Judge:
    def __init__(self, rack: Rack, resources: list[str]) -> None:
        self.rack = rack
        self.resources = resources

    def places(self) -> dict[str, list[str]]:
        """Where each resource's process is. Two places at two looks in a row are two copies."""
        found = {name: self.running(name) for name in self.resources}
        for name, hosts in found.items():
            if len(hosts) > 1:
                again = self.running(name)
                assert len(again) < 2, f"{name} runs on {again}"
        return found

    def running(self, name: str) -> list[str]:
        hosts: list[str] = self.rack.lab.running(name)
        return hosts

    def judge_writes(self) -> int:
        """How many options the program was told are written: all of them are, on every host."""
        acknowledged = set((self.rack.lab.shared / ACKNOWLEDGED).read_text().split())
        for host in self.rack.lab.on():
            there = host.run(["cibadmin", "-Q", "--local", "--scope", "crm_config"]).stdout
            lost = sorted(name for name in acknowledged if f'name="{name}"' not in there)
            assert not lost, f"acknowledged and not on {host}: {lost}"
        return len(acknowledged)

    def judge_history(self) -> int:
        """By the agents' log: how many starts there were, none of them while another host's copy lived."""
        what = [(event.at, event.action, event.host, event.resource) for event in self.rack.lab.events()]
        with self.rack.power:
            what += [(at, "death", host, "") for at, host in self.rack.deaths]
        home: dict[str, str] = {}
        starts = 0
        for at, action, host, name in sorted(what):
            if action == "death":
                home = {resource: where for resource, where in home.items() if where != host}
            elif action == "stop" and home.get(name) == host:
                del home[name]
            elif action == "start":
                starts += 1
                assert home.get(name, host) == host, f"{name} started on {host} at {at:.3f} beside {home[name]}"
                home[name] = host
        return starts


class Chaos:
    def __init__(self, rack: Rack, judge: Judge, seed: int, only: Sequence[str] = ()) -> None:
        self.rack = rack
        self.judge = judge
        self.chance = random.Random(seed)
        self.written = 0
        (rack.lab.shared / ACKNOWLEDGED).touch()
        self.troubles: list[tuple[int, Callable[[], str]]] = [
            (6, self.kill_worker),
            (5, self.freeze_worker),
            (2, self.crash_worker),
            (2, self.power_off),
            (3, self.freeze_host),
            (2, self.isolate),
            (2, self.split),
            (2, self.cut_one_way),
            (3, self.lose),
            (2, self.pull_cable),
            (2, self.full_disk),
            (2, self.read_only_disk),
        ]
        if only:
            self.troubles = [(weight, call) for weight, call in self.troubles if call.__name__ in only]
            assert self.troubles, f"no trouble is named {' or '.join(only)}"

    def host(self) -> Any:
        return self.chance.choice(self.rack.lab.on())

    def signal_worker(self, number: signal.Signals) -> str:
        host, worker = self.host(), self.chance.choice(WORKERS)
        for process in host.processes(f"ha-{worker} {host.name}"):
            process.signal(number)
        return f"{number.name} {worker} on {host}"

    def kill_worker(self) -> str:
        return self.signal_worker(signal.SIGKILL)

    def freeze_worker(self) -> str:
        return self.signal_worker(signal.SIGSTOP)

    def crash_worker(self) -> str:
        return self.signal_worker(signal.SIGSEGV)

    def power_off(self) -> str:
        host = self.host()
        host.power_off()
        return f"power off {host}"

    def freeze_host(self) -> str:
        host = self.host()
        self.rack.freeze(host)
        return f"freeze {host}"

    def isolate(self) -> str:
        host = self.host()
        self.rack.lab.partition([host.name])
        return f"isolate {host}"

    def split(self) -> str:
        names = sorted(self.rack.lab.hosts)
        side = self.chance.sample(names, 2)
        self.rack.lab.partition(side)
        return f"split off {' '.join(side)}"

    def cut_one_way(self) -> str:
        a, b = self.chance.sample(sorted(self.rack.lab.hosts), 2)
        self.rack.lab.cut([a], [b])
        return f"cut {a} -> {b}"

    def lose(self) -> str:
        percent = self.chance.choice([2, 5, 10, 20])
        self.rack.lab.lose(percent)
        return f"lose {percent} %"

    def pull_cable(self) -> str:
        host = self.host()
        with self.rack.power:
            if host.is_on:
                self.rack.lab.link(host.name, False)
        return f"pull the cable of {host}"

    def full_disk(self) -> str:
        """The cib can write no file longer than the smallest."""
        host = self.host()
        for process in host.processes(f"ha-cib {host.name}"):
            limit_files(process.pid, TINY_FILE_BYTES)
        return f"full disk on {host}"

    def read_only_disk(self) -> str:
        host = self.host()
        with self.rack.power:
            if host.is_on and host.name not in self.rack.frozen:
                host.run(f"mount --bind {DATA} {DATA} && mount -o remount,bind,ro {DATA}")
        return f"read-only disk on {host}"

    def write(self) -> None:
        """On some host an option is written, in the background: it may have to wait for a quorum, or die."""
        hosts = [host for host in self.rack.lab.on() if host.name not in self.rack.frozen]
        if not hosts:
            return
        self.written += 1
        name = f"chaos-{self.written}"
        order = f"crm_attribute --type crm_config --name {name} --update 1 && echo {name} >> /lab/{ACKNOWLEDGED}"
        with contextlib.suppress(OSError, subprocess.CalledProcessError):  # it lost its power in this moment
            self.chance.choice(hosts).spawn(["sh", "-c", order])

    def one_round(self) -> tuple[str, float, float]:
        """What was done; seconds from the mending until every resource ran once; until every host was a member."""
        weights = [weight for weight, _ in self.troubles]
        done = []
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            trouble = self.chance.choices([call for _, call in self.troubles], weights)[0]
            done.append(trouble() if self.rack.lab.on() else "nobody is left")
            self.write()
            self.look(self.chance.uniform(0.1, 2))
        self.look(self.chance.uniform(0.1, 4))
        self.rack.mend()
        began = time.monotonic()
        started = self.rack.switch_on()
        wait_for(self.all_run, f"every resource runs after: {', '.join(done)}", CONVERGE_TIMEOUT_S)
        running_s = time.monotonic() - began
        wait_for(self.all_in, f"every host is a member after: {', '.join(done)}", CONVERGE_TIMEOUT_S)
        self.rack.stack.wait_idle()
        back_s = time.monotonic() - began
        self.judge.judge_history()
        self.judge.judge_writes()
        fenced = [name for name in started if f"power off {name}" not in done]
        return ", ".join(done) + (f" ({', '.join(fenced)} fenced)" if fenced else ""), running_s, back_s

    def look(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.judge.places()
            threading.Event().wait(LOOK_EVERY_S)

    def all_run(self) -> bool:
        """Hosts that fencing took meanwhile are switched on again at once, as their operator would."""
        self.rack.switch_on()
        return all(len(hosts) == 1 for hosts in self.judge.places().values())

    def all_in(self) -> bool:
        """By the status that all hosts share."""
        self.rack.switch_on()
        asked = self.rack.lab.on()[0]
        return self.rack.stack.members(asked) == set(self.rack.lab.hosts) and self.all_run()


@contextlib.contextmanager
def rack(hosts: int, resources: list[str], profile: str) -> Iterator[Rack]:
    legacy_lab.load_lab()
    stacks = lab_stack.load_lab()
    with stacks.Lab(hosts) as lab:
        found = Rack(lab, stacks.STACKS["ours"].from_settings(lab, {"profile": profile, "fencing": "yes"}))
        found.stack.start_all()
        found.stack.wait_ready()
        found.stack.configure()
        for name in resources:
            found.stack.put_resource(name)
        found.stack.wait_idle()
        yield found


def keep_evidence(lab: Any, folder: Path) -> None:
    """What each host logs and believes."""
    for host in lab.on():
        kept = folder / host.name
        shutil.copytree(host.path("/var/log/heartbeat"), kept, dirs_exist_ok=True)
        for name, command in BELIEFS.items():
            told = host.run(command, check=False)
            (kept / name).write_text(told.stdout + told.stderr)
    print(f"what the hosts logged and believe is in {folder}", flush=True)


def spread(seconds: list[float]) -> str:
    late = sum(took > 5 for took in seconds)
    return f"median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s, {late} of {len(seconds)} over 5 s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--hosts", type=int, default=5)
    parser.add_argument("--resources", type=int, default=20)
    parser.add_argument("--trouble", action="append", help="only this one, as the method is named; may be repeated")
    parser.add_argument("--profile", default="default", choices=["default", "fast"])
    options = parser.parse_args()
    if os.geteuid() != 0 or not (lab_stack.LAB / "lab.py").is_file():
        print(f"skipped: needs root and the lab at {lab_stack.LAB}")
        return 0
    print(f"seed {options.seed}", flush=True)
    resources = [f"r{number}" for number in range(options.resources)]
    running, back = [], []
    with rack(options.hosts, resources, options.profile) as built:
        chaos = Chaos(built, Judge(built, resources), options.seed, options.trouble or ())
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end:
            try:
                done, running_s, back_s = chaos.one_round()
            except AssertionError:
                keep_evidence(built.lab, Path(tempfile.mkdtemp(prefix="lab-chaos-")))
                raise
            running.append(running_s)
            back.append(back_s)
            print(f"{done}: all run after {running_s:.1f} s, all hosts are in after {back_s:.1f} s", flush=True)
        starts, writes = chaos.judge.judge_history(), chaos.judge.judge_writes()
    print(f"{len(running)} rounds, {starts} starts, never two copies")
    print(f"{writes} of {chaos.written} writes acknowledged, none of them lost")
    print(f"after the mending every resource runs: {spread(running)}")
    print(f"every host is in and idle:             {spread(back)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
