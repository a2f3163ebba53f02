# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: what the program is for, shown on this machine in half a minute."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import click

from ha.cli.playground import cluster, control
from ha.cli.playground.layout import Layout, PlaygroundError
from ha.root import shipped

ADDRESS = "127.0.0.77"
DEFAULT_PORT = 8377
EXAMPLE = "web-page.xml"
FETCH_TIMEOUT_S = 0.5
RECOVER_TIMEOUT_S = 30


def run(port: int) -> None:
    """Show it. Raises PlaygroundError with one sentence when something is in the way."""
    check_port_free(port)
    with tempfile.TemporaryDirectory(prefix="ha-demo-", dir="/tmp") as folder:
        say("Three nodes, each with its own processes, files and shared memory, on this machine")
        place = cluster.up(Path(folder) / "d", 3, "default", click.echo)
        try:
            show(place, port)
        finally:
            with contextlib.suppress(PlaygroundError):
                control.order(place, "quit")
    click.echo("\nThat was it. Your own: 'ha playground up', then 'ha playground --help'.")


def show(place: Layout, port: int) -> None:
    url = f"http://{ADDRESS}:{port}/"
    say(f"Load an example: a group of an address and a web page ({EXAMPLE})")
    load_example(place, port)
    home = await_served(url)
    click.echo(f"GET {url} -> served by {home}")

    say(f"Pull the plug of {home}, which serves the page")
    pulled = time.time()
    control.order(place, f"off {home}")
    new_home = await_served(url, not_by=home)
    click.echo(f"GET {url} -> served by {new_home}, {(time.time() - pulled) * 1000:.0f} ms after the plug was pulled")
    cluster.await_cluster(place, tuple(n for n in place.nodes if n != home))
    tell_timeline(place, new_home, pulled)

    say(f"Give {home} its power back")
    control.order(place, f"on {home}")
    cluster.await_cluster(place, place.nodes)
    click.echo(f"{home} is back; the page stays where it is: served by {await_served(url)}")

    say("Move the service by hand, then drop the constraint that the move left")
    command(place, new_home, f"crm_resource --move --resource web --node {home}")
    click.echo(f"GET {url} -> served by {await_served(url, not_by=new_home)}")
    command(place, home, "crm_resource --clear --resource web")
    cluster.await_cluster(place, place.nodes)
    command(place, home, "crm_mon -1")


def say(text: str) -> None:
    click.secho(f"\n== {text}", bold=True)


def check_port_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise PlaygroundError(
                f"port {port} on {ADDRESS} cannot be had ({error.strerror}): "
                f"choose another with --port (make demo PORT=8378)"
            ) from error


def load_example(place: Layout, port: int) -> None:
    path = shipped("docs/examples") / EXAMPLE
    try:
        xml = path.read_text()
    except OSError as error:
        raise PlaygroundError(f"{path}: {error.strerror}") from error
    cluster.load_configuration(place, xml.replace(f'value="{DEFAULT_PORT}"', f'value="{port}"').encode(), str(path))


def served_by(url: str) -> str:
    """The node that serves the page, "" when nobody does."""
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as page:
            return str(page.headers.get("X-Node", ""))
    except (urllib.error.URLError, OSError):
        return ""


def await_served(url: str, not_by: str = "") -> str:
    """The node that serves the page, as soon as one other than `not_by` does."""
    answered: list[str] = []

    def answers() -> bool:
        answered[:] = [served_by(url)]
        return answered[0] not in ("", not_by)

    control.await_condition(answers, RECOVER_TIMEOUT_S, f"{url} is served", every_s=0.01)
    return answered[0]


def tell_timeline(place: Layout, node: str, pulled: float) -> None:
    """The recovery as the DC saw it."""
    click.echo("What happened, in milliseconds after the plug was pulled:")
    for phase in cluster.timeline(place, cluster.dc(place) or node):
        if phase.at_ms >= pulled * 1000 - 1:
            click.echo(f"  {phase.at_ms - pulled * 1000:7.0f}  {phase.what:<12} {phase.detail}")


def command(place: Layout, node: str, line: str) -> None:
    """Run a command as an operator on a node would, and show it."""
    click.echo(f"[{node}]# {line}")
    done = subprocess.run(
        line.split(), env=control.environment(place, node), text=True, capture_output=True, check=False
    )
    click.echo((done.stdout + done.stderr).rstrip())
    if done.returncode:
        raise PlaygroundError(f"{line!r} failed with exit status {done.returncode}")
