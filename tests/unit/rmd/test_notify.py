# SPDX-License-Identifier: GPL-2.0-or-later
"""What a stanza may say of its program's watch, and the socket that rmd makes for it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from ha.apphbd.model import ConfigError
from ha.apphbd.msg import Promised
from ha.rmd.io.notify import PLACE, NotifySocket, owner_of
from ha.rmd.model.notify import NotifySettings, notify_settings, refuse_for_worker
from ha.root import Root


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({}, NotifySettings("main", 0, 0)),
        ({"HA_NOTIFY": "all"}, NotifySettings("all", 0, 0)),
        ({"HA_NOTIFY": "none"}, NotifySettings("none", 0, 0)),
        ({"HA_WATCHDOG_MS": "3000"}, NotifySettings("main", 3000, 10_000)),
        ({"HA_WATCHDOG_MS": "3000", "HA_START_DEADLINE_MS": "1"}, NotifySettings("main", 3000, 1)),
        ({"HA_START_DEADLINE_MS": "500"}, NotifySettings("main", 0, 500)),
        ({"HA_START_DEADLINE_MS": "0", "HA_NOTIFY": "none"}, NotifySettings("none", 0, 0)),
        ({"HA_NOTIFY_USER": "unbound"}, NotifySettings("main", 0, 0, "unbound")),
    ],
)
def test_what_a_stanza_says(environment: dict[str, str], settings: NotifySettings) -> None:
    assert notify_settings(environment, "player") == settings


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"HA_NOTIFY": "yes"}, "player: HA_NOTIFY is main, all or none, not 'yes'"),
        ({"HA_WATCHDOG_MS": "3s"}, "player: HA_WATCHDOG_MS is 0 to 86400000, not '3s'"),
        ({"HA_WATCHDOG_MS": "-1"}, "HA_WATCHDOG_MS is 0 to"),
        ({"HA_WATCHDOG_MS": "\u0663"}, "HA_WATCHDOG_MS is 0 to"),
        ({"HA_WATCHDOG_MS": "99"}, "at least 100, not 99"),
        ({"HA_WATCHDOG_MS": "100", "HA_NOTIFY": "none"}, "it cannot keep"),
        ({"HA_WATCHDOG_MS": "100", "HA_START_DEADLINE_MS": "0"}, "would never begin"),
        ({"HA_START_DEADLINE_MS": "600001"}, "HA_START_DEADLINE_MS is 0 to 600000"),
    ],
)
def test_mistakes_are_named(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        notify_settings(environment, "player")


def test_a_worker_is_told_that_it_beats_by_itself() -> None:
    refuse_for_worker({"HA_START_DEADLINE_MS": "1"}, "cib")
    with pytest.raises(ConfigError, match="cib: HA_WATCHDOG_MS is for programs"):
        refuse_for_worker({"HA_WATCHDOG_MS": "1000"}, "cib")


def test_a_user_that_is_not_there_is_named_where_rmd_could_have_obeyed() -> None:
    settings = NotifySettings(user="no-such-user")
    if os.geteuid() != 0:
        assert owner_of(settings, "player", None) == os.geteuid()
        return
    with pytest.raises(ConfigError, match="player: HA_NOTIFY_USER: there is no user 'no-such-user'"):
        owner_of(settings, "player", None)
    assert owner_of(NotifySettings(), "player", 17) == 17
    assert owner_of(NotifySettings(), "player", None) == 0


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "run").mkdir()
    return Root(str(tmp_path))


def test_the_socket_is_its_users_alone_and_gone_afterwards(root: Root) -> None:
    notify = NotifySocket(root, "player", NotifySettings(watchdog_ms=3000, start_deadline_ms=500), os.geteuid())
    assert stat.S_IMODE(notify.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(root.path(PLACE).stat().st_mode) == 0o711
    environment: dict[str, str] = {}
    notify.tell(environment)
    assert environment == {
        "NOTIFY_SOCKET": str(notify.path), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(b"READY=1", environment["NOTIFY_SOCKET"])
    assert notify.heard.recv(100) == b"READY=1"
    again = NotifySocket(root, "player", NotifySettings(), os.geteuid())  # one that an rmd which was killed left behind
    again.close()
    assert not again.path.exists()
    notify.close()


def test_what_it_promised_goes_into_the_next_expectation(root: Root) -> None:
    notify = NotifySocket(root, "player", NotifySettings(watchdog_ms=3000, start_deadline_ms=500), os.geteuid())
    assert notify.owes_ready
    first = notify.expectation("player", 7)
    assert (first.start_deadline_ms, first.watchdog_ms, first.main_pid) == (500, 3000, 7)
    notify.became_ready()
    notify.promised(Promised(module="player", pid=7, main_pid=9, watchdog_ms=40))
    then = notify.expectation("player", 7)
    assert not notify.owes_ready
    assert (then.start_deadline_ms, then.watchdog_ms, then.main_pid) == (0, 40, 9)
    notify.ended_its_watch()
    assert notify.expectation("player", 7).watchdog_ms == 0
    notify.close()


def test_a_name_that_is_too_long_and_a_place_that_is_not_ours_are_named(root: Root) -> None:
    with pytest.raises(OSError, match="choose a shorter name"):
        NotifySocket(root, "p" * 100, NotifySettings(), os.geteuid())
    root.path(PLACE).rmdir()
    root.path(PLACE).symlink_to("/tmp")
    with pytest.raises(OSError, match="not a directory of rmd's user"):
        NotifySocket(root, "player", NotifySettings(), os.geteuid())
