# SPDX-License-Identifier: GPL-2.0-or-later
"""recoverymgrd.conf on a running node: the hung application is ended, and its script brings another one."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.rmd_node import REPOSITORY, Node, alive
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

APPLICATION = """\
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from ha.apphbd.client import Application
from ha.root import Root
application = Application.register(Root(sys.argv[1]), "player", "one", interval_ms=200)
print(os.getpid(), flush=True)
signal.pause()
"""

SCRIPT = """\
#!/bin/sh
descriptors=$(ls /proc/$$/fd | tr '\\n' ' ')
echo "the script was run"
{
    echo "$*"
    echo "$(id -u):$(id -g)"
    env | cut -d= -f1 | tr '\\n' ' '
    echo
    echo "$descriptors"
} > OUT/said.new
mv OUT/said.new OUT/said.$HA_PID
exit STATUS
"""

GIVEN = {
    "HA_APPLICATION", "HA_EVENT", "HA_INSTANCE", "HA_PID", "HA_SILENT_MS",
    "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER",
}  # fmt: skip
OF_THE_SHELL = {"PWD", "OLDPWD", "SHLVL", "_"}


def start_application(node: Node) -> subprocess.Popen[str]:
    """Registered; it never beats."""
    process = subprocess.Popen(
        [sys.executable, "-c", APPLICATION, node.root.prefix, str(REPOSITORY)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    return process


def prepare(node: Node, user: pwd.struct_passwd, *, status: int = 0, settings: str = "") -> Path:
    """Returns where the script writes."""
    top = Path(node.root.prefix)
    top.chmod(0o711)
    out = top / "out"
    out.mkdir()
    shutil.chown(out, user.pw_uid, user.pw_gid)
    script = top / "player"
    script.write_text(SCRIPT.replace("OUT", str(out)).replace("STATUS", str(status)))
    script.chmod(0o755)
    owner = f"{user.pw_name}:{grp.getgrgid(user.pw_gid).gr_name}"
    text = f'{owner} {script} {{\n  APPHB_NOHB = "restart it"\n  APPHB_HUP\n  {settings}\n}}\n'
    (node.root.config_dir / "recoverymgrd.conf").write_text(text)
    return out


def whom() -> pwd.struct_passwd:
    """An ordinary user where that can be had."""
    try:
        return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        pytest.skip("there is no user nobody")


def test_the_hung_is_killed_and_its_script_runs_as_its_user_with_nothing_of_rmds() -> None:
    user = whom()
    with Node({}) as node:
        out = prepare(node, user)
        node.start()
        with start_application(node) as application:
            said = wait_for((out / f"said.{application.pid}").exists, f"the script runs:\n{node.log()}")
            assert said and application.wait(20) == -9, "it was killed before"
        argument, identity, environment, descriptors = (out / f"said.{application.pid}").read_text().splitlines()
        assert argument == "restart it"
        assert identity == f"{user.pw_uid}:{user.pw_gid}"
        assert GIVEN <= set(environment.split()) <= GIVEN | OF_THE_SHELL
        assert set(descriptors.split()) <= {"0", "1", "2", "3", "10", "255"}, "the standard ones, and the shell's own"
        assert "the script was run" in node.log("recovery")
        label = f"player/one (pid {application.pid})"
        assert f"{label}: NOHB: " in node.log()
        wait_for(lambda: f"{label}, which is no worker of rmd: HUP" in node.log(), "the killed one has hung up")
        with start_application(node) as second:
            second.kill()
            wait_for((out / f"said.{second.pid}").exists, "a hang-up is recovered too; the killed one's was not")
        assert len(list(out.iterdir())) == 2


def test_a_script_that_fails_is_told_and_the_next_run_waits() -> None:
    with Node({}) as node:
        out = prepare(node, whom(), status=3, settings="kill = no interval_ms = 700")
        node.start()
        with start_application(node) as first:
            wait_for((out / f"said.{first.pid}").exists, "the script runs")
            assert alive(first.pid), "kill = no"
            wait_for(lambda: "/player failed: exit status 3: see " in node.log(), f"it is told:\n{node.log()}")
            first.kill()
        wait_for(lambda: "its recovery waits for" in node.log(), f"throttled:\n{node.log()}")
        wait_for(lambda: node.log().count("player is run") == 2, "and run then")


def test_a_mistake_in_the_file_is_told_with_its_line_before_anything_is_started() -> None:
    with Node({}) as node:
        (node.root.config_dir / "recoverymgrd.conf").write_text("# one\nnobody /x/player { APPHB_HUP }\n")
        done = node.run("--foreground")
        assert done.returncode == 78
        assert "recoverymgrd.conf:2: USER:GROUP is expected, not 'nobody'" in done.stderr


def test_a_mistake_made_under_a_running_node_ends_neither_a_reload_nor_a_takeover() -> None:
    with Node({}) as node:
        prepare(node, whom())
        node.start()
        former = node.rmd_pid
        assert former is not None
        (node.root.config_dir / "recoverymgrd.conf").write_text("nonsense\n")
        done = node.run("--reload")
        assert (done.returncode, node.rmd_pid) == (78, former)
        assert "recoverymgrd.conf:1: " in done.stderr
        os.kill(former, signal.SIGKILL)
        wait_for(lambda: node.rmd_pid not in {None, former}, "apphbd has become the new rmd")
        wait_for(node.is_ready, "the node is back")
        assert "no application is recovered: " in node.log()
