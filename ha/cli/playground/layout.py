# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a playground's nodes live: one directory per node, each with the node's whole file system of ours below it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ha.root import MAX_ROOT_LENGTH, Root, RootError

MAX_NODES = 16
"""More would work; a laptop would not."""

DISCARD_PORT = 9

MAX_DESCRIPTION_BYTES = 64 * 1024

Profile = Literal["default", "fast"]


class PlaygroundError(Exception):
    """The order cannot be carried out; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`ports` are the UDP ports on which the nodes listen; `uplinks[a][b]` is where a sends what is meant for b."""

    folder: str
    nodes: tuple[str, ...]
    profile: Profile
    ports: dict[str, int]
    uplinks: dict[str, dict[str, int]]

    @property
    def hub_socket(self) -> Path:
        return Path(self.folder) / "hub.sock"

    @property
    def hub_log(self) -> Path:
        return Path(self.folder) / "hub.log"

    def root(self, node: str) -> Root:
        if node not in self.nodes:
            raise PlaygroundError(f"there is no node {node!r}: the nodes are {' '.join(self.nodes)}")
        return Root.choose(Path(self.folder) / node)


def default_folder() -> Path:
    """HA_PLAYGROUND, else a directory of the user's own that is short enough for unix sockets."""
    chosen = os.environ.get("HA_PLAYGROUND")
    return Path(chosen) if chosen else Path(f"/tmp/ha-playground-{os.getuid()}")


def create(folder: Path, count: int, profile: Profile) -> Layout:
    """Make the directories and configuration of a new playground. Raises PlaygroundError."""
    if not 1 <= count <= MAX_NODES:
        raise PlaygroundError(f"{count} nodes: choose 1 to {MAX_NODES}")
    folder = folder.absolute()
    if len(os.fsencode(folder)) + len("/n16") > MAX_ROOT_LENGTH:
        raise PlaygroundError(f"{folder} is too long for unix sockets below it: choose a shorter --dir")
    _claim(folder)
    nodes = tuple(f"n{i + 1}" for i in range(count))
    ports = free_udp_ports(count + count * (count - 1))
    uplinks: dict[str, dict[str, int]] = {}
    taken = iter(ports[count:])
    for a in nodes:
        uplinks[a] = {b: next(taken) for b in nodes if b != a}
    layout = Layout(str(folder), nodes, profile, dict(zip(nodes, ports, strict=False)), uplinks)
    key = secrets.token_hex(32)
    for node in nodes:
        _write_node(layout, node, key)
    (folder / "playground.json").write_bytes(msgspec.json.format(msgspec.json.encode(asdict(layout))))
    return layout


def load(folder: Path) -> Layout:
    """The playground in `folder`. Raises PlaygroundError when there is none, or its description is damaged."""
    path = folder.absolute() / "playground.json"
    try:
        if path.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise PlaygroundError(f"{path} is no description of a playground: it is too large")
        return msgspec.json.decode(path.read_bytes(), type=Layout)
    except FileNotFoundError:
        raise PlaygroundError(f"there is no playground in {folder}: begin with 'ha playground up'") from None
    except msgspec.DecodeError as error:
        raise PlaygroundError(f"{path} is damaged ({error}): remove {folder} and begin anew") from error
    except (OSError, RootError) as error:
        raise PlaygroundError(f"{path}: {error}") from error


def free_udp_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _claim(folder: Path) -> None:
    """An empty directory of ours at `folder`; a finished playground there is replaced, anything else left alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PlaygroundError(f"{folder} belongs to somebody else: choose another --dir")
        entries = sorted(entry.name for entry in folder.iterdir())
        if entries and "playground.json" not in entries:
            raise PlaygroundError(f"{folder} is not empty and no playground: choose another --dir")
        for name in entries:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise PlaygroundError(f"{folder} cannot be used: {error.strerror}") from error


def _write_node(layout: Layout, node: str, key: str) -> None:
    root = layout.root(node)
    root.config_dir.mkdir(parents=True)
    for folder in (root.run_dir, root.state_dir, root.log_dir):
        folder.mkdir(parents=True)
    (root.config_dir / "nodeinfo").write_text(node + "\n")
    lines = [
        "# A node of a playground: its packets go through the playground's switch.",
        f"profile {layout.profile}",
        f"bindaddr 127.0.0.1:{layout.ports[node]}",
        # A node alone needs a medium too: the discard port has no listener.
        *(f"ucast lo 127.0.0.1:{port}" for port in layout.uplinks[node].values() or [DISCARD_PORT]),
        f"node {' '.join(layout.nodes)}",
    ]
    root.ha_cf.write_text("\n".join(lines) + "\n")
    root.authkeys.touch(mode=0o600)
    root.authkeys.write_text(f"auth 1\n1 hmac-sha256 {key}\n")
