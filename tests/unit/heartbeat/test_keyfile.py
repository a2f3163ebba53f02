# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing the cluster's key without an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.heartbeat.core import build
from ha.heartbeat.io.keyfile import LOOK_EVERY_MS, KeyFile
from ha.heartbeat.model import AuthKeys, parse, parse_authkeys
from ha.heartbeat.model.authkeys import WatchKeys
from ha.machine import Execute, Finished, Note, Started
from ha.root import Root
from tests.unit.heartbeat.test_media import HandDrivenLoop
from tests.unit.heartbeat.wire_world import KEYS, World

OLD = "auth 1\n1 sha1 old\n"
BOTH = "auth 1\n1 sha1 old\n2 hmac-sha256 new\n"


class Loop(HandDrivenLoop):
    def __init__(self) -> None:
        super().__init__()
        self.finished: list[tuple[str, object]] = []

    def finish(self, operation: str, outcome: object) -> None:
        self.finished.append((operation, outcome))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(str(tmp_path))
    root.config_dir.mkdir(parents=True)
    write(root, OLD)
    return root


def write(root: Root, text: str, mode: int = 0o600) -> None:
    fresh = root.config_dir / "authkeys.new"
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(root.authkeys)


def test_a_changed_file_is_told_once(root: Root) -> None:
    loop, watcher = Loop(), KeyFile(root)
    watcher.open(loop)  # type: ignore[arg-type]
    watcher.execute("authkeys", WatchKeys(parse_authkeys(OLD, "f")))
    loop.pass_time(LOOK_EVERY_MS)
    write(root, OLD)
    loop.pass_time(LOOK_EVERY_MS)
    assert loop.finished == []
    write(root, BOTH)
    loop.pass_time(LOOK_EVERY_MS)
    assert loop.finished == [("authkeys", parse_authkeys(BOTH, "f"))]
    loop.pass_time(LOOK_EVERY_MS)
    assert len(loop.finished) == 1


def test_a_bad_file_is_noted_once_and_waited_out(root: Root) -> None:
    loop, watcher = Loop(), KeyFile(root)
    watcher.open(loop)  # type: ignore[arg-type]
    watcher.execute("authkeys", WatchKeys(parse_authkeys(OLD, "f")))
    for text, mode in (("auth 7\n", 0o600), (BOTH, 0o644)):
        write(root, text, mode)
        loop.pass_time(LOOK_EVERY_MS)
        loop.pass_time(LOOK_EVERY_MS)
    assert len(loop.notes) == 2
    assert all("stay in force" in note for note in loop.notes)
    root.authkeys.unlink()
    loop.pass_time(LOOK_EVERY_MS)
    write(root, BOTH)
    loop.pass_time(LOOK_EVERY_MS)
    assert [operation for operation, _ in loop.finished] == ["authkeys"]


def test_the_core_asks_for_the_next_change() -> None:
    core = build(node="a", ha_cf=parse("node a\nbcast eth0\n", "f"), keys=KEYS, boot_id="x", watch_keys=True)
    assert Execute("authkeys", WatchKeys(KEYS)) in core.step(Started("a-1", 1), 0)
    keys = parse_authkeys(BOTH, "f")
    effects = core.step(Finished("authkeys", keys), 1)
    assert Execute("authkeys", WatchKeys(keys)) in effects
    assert any(isinstance(effect, Note) and "key 1 signs" in effect.text for effect in effects)


def test_a_key_is_rotated_without_a_missed_heartbeat() -> None:
    """Add it everywhere, sign with it everywhere, drop the old one everywhere; nodes follow at their own pace."""
    world = World(["a", "b"])
    world.start()
    world.run(1_000)
    count = {name: len(host.statuses) for name, host in world.hosts.items()}
    old, new = "1 hmac-sha256 a-secret-of-the-cluster\n", "2 hmac-sha256 new\n"
    for text in (f"auth 1\n{old}{new}", f"auth 2\n{old}{new}", f"auth 2\n{new}"):
        keys: AuthKeys = parse_authkeys(text, "f")
        for name in world.hosts:
            world.step(name, Finished("authkeys", keys))
            world.transmit("a", "b", text.encode())
            world.run(3_000)
    assert count == {name: len(host.statuses) for name, host in world.hosts.items()}
    assert len(world.hosts["b"].bodies("cib", "a")) == 6
    assert not any("bad packet" in note.text for host in world.hosts.values() for _, note in host.notes)
