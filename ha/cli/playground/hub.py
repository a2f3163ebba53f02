# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that holds a playground together: network and power of its nodes, and a socket for orders.

Orders are one line, as the playground's fence agent sends them: `off n1`, `on n1`, `reboot n1`, `status n1`, `list`,
`freeze n1`, `thaw n1`, `cut n1 n2`, `cut-one-way n1 n2`, `heal`, `quit`. Answers are one line: `ok ...` or `error ...`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ha.cli.playground import layout as layouts
from ha.cli.playground.layout import Layout, PlaygroundError
from ha.cli.playground.node import become_subreaper
from ha.cli.playground.power import PowerSupply
from ha.cli.playground.switch import Switch

MAX_ORDER_BYTES = 256
MAX_CONNECTIONS = 64


class Hub:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._selector = selectors.DefaultSelector()
        self._switch = Switch(layout, self._selector)
        self._power = PowerSupply(layout)
        self._connections: set[socket.socket] = set()
        self._quitting = False
        self._orders: dict[str, tuple[int, Callable[..., str]]] = {
            "on": (1, self._on),
            "off": (1, self._off),
            "reboot": (1, self._reboot),
            "status": (1, self._status),
            "list": (0, self._list),
            "freeze": (1, self._freeze),
            "thaw": (1, self._thaw),
            "pids": (1, self._pids),
            "cut": (2, lambda a, b: self._cut(a, b, one_way=False)),
            "cut-one-way": (2, lambda a, b: self._cut(a, b, one_way=True)),
            "heal": (0, self._heal),
            "quit": (0, self._quit),
        }

    def run(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        listener.bind(str(self._layout.hub_socket))
        listener.listen(MAX_CONNECTIONS)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        while not self._quitting:
            for key, _ in self._selector.select():
                key.data()
        self._layout.hub_socket.unlink(missing_ok=True)

    # Connections -----------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._connections.add(connection)
        pending = bytearray()
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(connection, pending))

    def _read(self, connection: socket.socket, pending: bytearray) -> None:
        try:
            data = connection.recv(MAX_ORDER_BYTES)
        except OSError:
            data = b""
        pending += data
        if not data or len(pending) > MAX_ORDER_BYTES:
            self._hang_up(connection)
            return
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            answer = self.obey(line.decode("ascii", "replace"))
            with contextlib.suppress(OSError):
                connection.sendall(answer.encode() + b"\n")

    def _hang_up(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection)
        connection.close()

    # Orders ----------------------------------------------------------------------------------------------------------

    def obey(self, line: str) -> str:
        verb, *names = line.split() or [""]
        order = self._orders.get(verb)
        if order is None:
            return f"error unknown order {verb!r}: one of {' '.join(self._orders)}"
        count, carry_out = order
        if len(names) != count:
            return f"error {verb} takes {count} node names"
        unknown = [name for name in names if name not in self._layout.nodes]
        if unknown:
            return f"error there is no node {unknown[0]!r}"
        answer = carry_out(*names)
        if verb not in ("status", "list", "pids"):
            print(f"{time.time():.3f} {line.strip()}: {answer}", flush=True)
        return f"ok {answer}"

    def _on(self, node: str) -> str:
        self._power.on(node)
        return "on"

    def _off(self, node: str) -> str:
        self._power.off(node)
        return "off"

    def _reboot(self, node: str) -> str:
        self._power.off(node)
        self._power.on(node)
        return "rebooted"

    def _status(self, node: str) -> str:
        if not self._power.is_on(node):
            return "off"
        return "frozen" if node in self._power.frozen else "on"

    def _list(self) -> str:
        return " ".join(self._layout.nodes)

    def _freeze(self, node: str) -> str:
        self._power.freeze(node)
        return "frozen"

    def _thaw(self, node: str) -> str:
        self._power.thaw(node)
        return "on"

    def _pids(self, node: str) -> str:
        return " ".join(map(str, self._power.pids(node)))

    def _cut(self, a: str, b: str, *, one_way: bool) -> str:
        self._switch.cut(a, b, one_way=one_way)
        return " ".join(f"{x}->{y}" for x, y in sorted(self._switch.cuts))

    def _heal(self) -> str:
        self._switch.heal()
        return "healed"

    def _quit(self) -> str:
        for node in self._layout.nodes:
            self._power.off(node)
        self._quitting = True
        return "bye"


def main(folder: str) -> int:
    """The hub's process; started by `ha playground up`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    become_subreaper()
    try:
        Hub(layouts.load(Path(folder))).run()
    except (OSError, PlaygroundError) as error:
        print(f"the playground's hub cannot run: {error}", file=sys.stderr)
        return 1
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
