# SPDX-License-Identifier: GPL-2.0-or-later
"""Every path, socket and shared-memory name of a node, from one root directory.

`--root DIR` or the environment variable HA_ROOT choose it; without either the names follow the Filesystem Hierarchy
Standard. Many nodes run side by side on one machine, without privileges, each with a root of its own.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_NODE_NAME_LENGTH = 100  # heartbeat's own limit
# A unix socket's path must fit sun_path (108 bytes with the NUL, unix(7)); the longest name below the root is
# /run/heartbeat/.heartbeat.sock.4194304 with 38.
MAX_ROOT_LENGTH = 64


class RootError(ValueError):
    """The root directory cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Root:
    """The places of one node. `prefix` is "" for the machine's own places."""

    prefix: str

    @classmethod
    def choose(cls, option: str | os.PathLike[str] | None = None) -> Root:
        """From the command line's `--root`, else from HA_ROOT, else the machine itself.

        Raises RootError when the path is too long for the sockets that will live below it.
        """
        prefix = str(option) if option is not None else os.environ.get("HA_ROOT", "")
        if not prefix or prefix == "/":
            return cls("")
        prefix = str(Path(prefix).absolute())
        if len(os.fsencode(prefix)) > MAX_ROOT_LENGTH:
            raise RootError(
                f"root directory {prefix!r} is longer than {MAX_ROOT_LENGTH} bytes: "
                "unix sockets below it could not be named; choose a shorter one"
            )
        return cls(prefix)

    def path(self, absolute: str) -> Path:
        """The place of an absolute path of the FHS under this root."""
        assert absolute.startswith("/"), absolute
        return Path(self.prefix + absolute)

    @property
    def config_dir(self) -> Path:
        return self.path("/etc/ha.d")

    @property
    def ha_cf(self) -> Path:
        return self.config_dir / "ha.cf"

    @property
    def authkeys(self) -> Path:
        return self.config_dir / "authkeys"

    @property
    def supervisor_dir(self) -> Path:
        """Stanzas of the workers; the package's own are used where this is absent (see rmd)."""
        return self.config_dir / "supervisor.d"

    @property
    def state_dir(self) -> Path:
        return self.path("/var/lib/heartbeat")

    def state(self, module: str) -> Path:
        """Where a module keeps what must survive power cuts."""
        return self.state_dir / module

    @property
    def cib_dir(self) -> Path:
        return self.path("/var/lib/heartbeat/crm")

    @property
    def log_dir(self) -> Path:
        return self.path("/var/log/heartbeat")

    @property
    def run_dir(self) -> Path:
        return self.path("/run/heartbeat")

    def socket(self, name: str) -> Path:
        """The socket of a module (stream), or another one named so below the run directory."""
        return self.run_dir / f"{name}.sock"

    def shared_memory(self, name: str) -> str:
        """A POSIX name for a segment or semaphore, distinct for each root on the machine."""
        digest = hashlib.sha256(os.fsencode(self.prefix or "/")).hexdigest()[:10]
        return f"/ha-{digest}-{name}"

    def node_name(self) -> str:
        """The first line of nodeinfo if there is one, else the host's name; lower case, as in ha.cf.

        Source: Heartbeat 3.0.6, /etc/ha.d/nodeinfo. Raises RootError for an empty or overlong name.
        """
        nodeinfo = self.config_dir / "nodeinfo"
        try:
            name = nodeinfo.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        except FileNotFoundError:
            name = socket.gethostname()
        if not name or len(name) > MAX_NODE_NAME_LENGTH or any(c.isspace() for c in name):
            raise RootError(f"{nodeinfo}: {name!r} is no node name (1 to {MAX_NODE_NAME_LENGTH} characters, no blanks)")
        return name.lower()


def shipped(name: str) -> Path:
    """A folder that comes with the program (`supervisor.d`, `resource.d`), in a source tree or an installation."""
    beside_package = Path(__file__).resolve().parent.parent / name
    if beside_package.is_dir():
        return beside_package
    return Path(sys.prefix) / "share" / "heartbeat" / name
