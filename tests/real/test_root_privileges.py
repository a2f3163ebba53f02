# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine's own root, as root: workers that need no root run as hacluster, and still die with rmd.

Runs in a mount namespace of its own, in which /etc, /var and /run are overlaid: the machine stays as it is.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.ipc.credentials import CLUSTER_USER
from tests.real.rmd_node import REPOSITORY, alive, children_of, title_of
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

SCRIPT = """
set -e
mount -t tmpfs tmpfs "$1"
for place in etc var run; do
    mkdir -p "$1/$place/upper" "$1/$place/work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=$1/$place/upper,workdir=$1/$place/work" "/$place"
done
rm -rf /etc/ha.d /var/lib/heartbeat /var/log/heartbeat /run/heartbeat
mkdir -p /etc/ha.d/supervisor.d
echo "$2" > /etc/ha.d/nodeinfo
for name in apphbd one two; do
    case $name in
        apphbd) echo "[program:apphbd]\ncommand=ha.apphbd.daemon:main\npriority=1" ;;
        one) echo "[program:one]\ncommand=tests.real.workers:beating\nuser=hacluster" ;;
        two) echo "[program:two]\ncommand=tests.real.workers:beating" ;;
    esac > "/etc/ha.d/supervisor.d/$name.conf"
done
exec "$3" -m ha.rmd --foreground
"""


def exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def may_overlay(folder: Path) -> bool:
    script = (
        'mount -t tmpfs t "$1" && mkdir "$1/u" "$1/w" && '
        'mount -t overlay o -o "lowerdir=/etc,upperdir=$1/u,workdir=$1/w" /etc'
    )
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    """The name of a node whose rmd runs on the machine's own root."""
    if os.geteuid() != 0 or not exists(CLUSTER_USER) or shutil.which("unshare") is None or not may_overlay(tmp_path):
        pytest.skip(f"needs root, the user {CLUSTER_USER}, unshare(1) and overlay mounts")
    name = f"own-{os.getpid()}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("HA_ROOT", None)
    rmd = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(tmp_path), name, sys.executable], env=environment
    )
    wait_for(lambda: rmd.poll() is not None or len(processes(name)) == 4, "rmd and its three workers run")
    yield name
    for title in (f"ha-apphbd {name}", f"ha-rmd {name}"):
        for pid in [pid for pid, found in processes(name).items() if found == title]:
            if title.startswith("ha-apphbd"):
                for parent in [p for p, found in processes(name).items() if found.startswith("ha-rmd")]:
                    os.kill(parent, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
    rmd.wait(20)
    wait_for(lambda: not processes(name), "all have ended")


def processes(node: str) -> dict[int, str]:
    """Title by number of every living process of the node."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = title_of(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, UnicodeDecodeError):
                continue
            if title.startswith("ha-") and title.endswith(f" {node}") and alive(int(entry.name)):
                found[int(entry.name)] = title
    return found


def pid_of(node: str, module: str) -> int:
    return next((pid for pid, title in processes(node).items() if title == f"ha-{module} {node}"), 0)


def uid_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


def test_workers_that_need_no_root_drop_it_and_die_with_rmd(node: str) -> None:
    hacluster = pwd.getpwnam(CLUSTER_USER).pw_uid
    titles = ("rmd", "one", "two", "apphbd")  # each process has its title a moment after it has its work
    wait_for(lambda: all(pid_of(node, title) for title in titles), "all have their titles")
    rmd, one, two, apphbd = (pid_of(node, title) for title in titles)
    assert (uid_of(one), uid_of(two), uid_of(apphbd)) == (hacluster, 0, 0)
    run = Path(f"/proc/{rmd}/root/run/heartbeat")
    assert run.stat().st_uid == hacluster
    assert run.stat().st_mode & 0o777 == 0o751
    os.kill(one, signal.SIGKILL)
    again = wait_for(lambda: pid if (pid := pid_of(node, "one")) not in (0, one) else 0, "one is replaced")
    assert uid_of(again) == hacluster
    os.kill(rmd, signal.SIGKILL)
    wait_for(lambda: not alive(again) and not alive(two), "the workers end with rmd")
    new = wait_for(lambda: pid_of(node, "rmd"), "apphbd becomes the new rmd")
    wait_for(lambda: len(children_of(new)) == 3, "it has three workers again")
    assert uid_of(wait_for(lambda: pid_of(node, "one"), "one is back")) == hacluster
