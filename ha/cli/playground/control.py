# SPDX-License-Identifier: GPL-2.0-or-later
"""Orders to a playground's hub."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from ha.cli.playground.layout import Layout, PlaygroundError

ORDER_TIMEOUT_S = 30
HUB_START_TIMEOUT_S = 10


def order(layout: Layout, line: str) -> str:
    """Give one order; returns the words after "ok". Raises PlaygroundError with the hub's own words otherwise."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(ORDER_TIMEOUT_S)
        try:
            link.connect(str(layout.hub_socket))
            link.sendall(line.encode() + b"\n")
            answer = link.makefile("rb").readline().decode().strip()
        except (FileNotFoundError, ConnectionRefusedError):
            raise PlaygroundError("the playground is down: begin with 'ha playground up'") from None
        except OSError as error:
            raise PlaygroundError(f"the playground's hub does not answer: {error}; see {layout.hub_log}") from error
    verdict, _, words = answer.partition(" ")
    if verdict != "ok":
        raise PlaygroundError(words or f"the hub hung up; see {layout.hub_log}")
    return words


def is_up(layout: Layout) -> bool:
    try:
        order(layout, "list")
    except PlaygroundError:
        return False
    return True


def start_hub(layout: Layout) -> None:
    """Start the hub's process, detached, and wait until it takes orders."""
    layout.hub_socket.unlink(missing_ok=True)
    with layout.hub_log.open("ab") as log:
        hub = subprocess.Popen(
            [sys.executable, "-m", "ha.cli.playground.hub", layout.folder],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    await_condition(lambda: hub.poll() is not None or is_up(layout), HUB_START_TIMEOUT_S, "the hub takes orders")
    if hub.poll() is not None:
        raise PlaygroundError(f"the hub did not start: {layout.hub_log.read_text().strip()[-500:]}")


def await_condition(condition: Callable[[], object], timeout_s: float, what: str, every_s: float = 0.02) -> None:
    """Poll until true. Raises PlaygroundError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise PlaygroundError(f"it did not happen within {timeout_s:g} s that {what}")
        time.sleep(every_s)


def environment(layout: Layout, node: str) -> dict[str, str]:
    """For a command that is to believe it runs on `node`."""
    commands = os.path.dirname(sys.executable)
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {**os.environ, "HA_ROOT": layout.root(node).prefix, "PATH": f"{commands}{os.pathsep}{path}"}
