# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for systemd on a real dbus-daemon: units with states, jobs that end when told, calls that misbehave."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from tests.real.waiting import wait_for

SYSTEMD = "org.freedesktop.systemd1"
MANAGER = DBusAddress("/org/freedesktop/systemd1", bus_name=SYSTEMD, interface=f"{SYSTEMD}.Manager")
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>"""


@dataclass
class Unit:
    state: str = "inactive"
    main_pid: int = 0
    job_result: str = "done"
    passing_answers: int = 0
    """So many times its state is told as activating or deactivating first."""


@dataclass
class Manager:
    """`silent`: methods that are never answered. `instead`: what is answered in place of the right thing."""

    address: str
    units: dict[str, Unit] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    tells_jobs: bool = True
    instead: dict[str, Callable[[Message], Message]] = field(default_factory=dict)
    on_reload: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.connection: DBusConnection = open_dbus_connection(self.address)
        self.connection.send_and_get_reply(message_bus.RequestName(SYSTEMD))
        self._stopped = False
        self._jobs = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()
        self.connection.close()

    def count(self, method: str) -> int:
        return sum(call.split()[0] == method for call in self.calls)

    def _serve(self) -> None:
        while not self._stopped:
            try:
                message = self.connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            except (ConnectionError, OSError):
                return
            if message.header.message_type is MessageType.method_call:
                self._answer(message)

    def _answer(self, message: Message) -> None:
        method = message.header.fields[HeaderFields.member]
        self.calls.append(" ".join([method, *map(str, message.body)]))
        if method in self.silent:
            return
        if method in self.instead:
            self.connection.send(self.instead[method](message))
            return
        known = getattr(self, f"_on_{method.lower()}", None)
        if known is None:
            self.connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (method,)))
        else:
            known(message)

    # Methods ---------------------------------------------------------------------------------------------------------

    def _on_subscribe(self, message: Message) -> None:
        self.connection.send(new_method_return(message))

    def _on_reload(self, message: Message) -> None:
        self.on_reload()
        self.connection.send(new_method_return(message))

    def _on_loadunit(self, message: Message) -> None:
        self.connection.send(new_method_return(message, "o", (unit_path(message.body[0]),)))

    def _on_getunit(self, message: Message) -> None:
        name = message.body[0]
        if name in self.units and self.units[name].state != "inactive":
            self.connection.send(new_method_return(message, "o", (unit_path(name),)))
        else:
            self.connection.send(new_error(message, f"{SYSTEMD}.NoSuchUnit", "s", (f"Unit {name} not loaded.",)))

    def _on_get(self, message: Message) -> None:
        path = message.header.fields[HeaderFields.path]
        unit = next((unit for name, unit in self.units.items() if unit_path(name) == path), None)
        wanted = message.body[1]
        if wanted == "LoadState":
            answer: tuple[str, object] = ("s", "loaded" if unit else "not-found")
        elif wanted == "MainPID":
            answer = ("u", unit.main_pid if unit else 0)
        else:
            answer = ("s", self._state(unit))
        self.connection.send(new_method_return(message, "v", (answer,)))

    def _state(self, unit: Unit | None) -> str:
        if unit is None:
            return "inactive"
        if unit.passing_answers > 0:
            unit.passing_answers -= 1
            return "activating"
        return unit.state

    def _on_startunit(self, message: Message) -> None:
        self._job(message, "active")

    _on_restartunit = _on_startunit

    def _on_stopunit(self, message: Message) -> None:
        self._job(message, "inactive")

    def _job(self, message: Message, becomes: str) -> None:
        name = message.body[0]
        unit = self.units[name]
        self._jobs += 1
        job = f"{MANAGER.object_path}/job/{self._jobs}"
        self.connection.send(new_method_return(message, "o", (job,)))
        if unit.job_result == "done" and unit.state != "failed":
            unit.state = becomes
        if self.tells_jobs:
            self.connection.send(new_signal(MANAGER, "JobRemoved", "uoss", (self._jobs, job, name, unit.job_result)))

    def _on_listunits(self, message: Message) -> None:
        rows = [(name, "", "loaded", u.state, "", "", unit_path(name), 0, "", "/") for name, u in self.units.items()]
        self.connection.send(new_method_return(message, "a(ssssssouso)", (rows,)))

    def _on_listunitfiles(self, message: Message) -> None:
        rows = [("/lib/systemd/system/idle.service", "enabled"), ("/lib/systemd/system/multi-user.target", "static")]
        self.connection.send(new_method_return(message, "a(ss)", (rows,)))


def unit_path(name: str) -> str:
    return f"{MANAGER.object_path}/unit/" + "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in name)


@contextlib.contextmanager
def bus(directory: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A dbus-daemon of our own: its address and its process."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("dbus-daemon is not installed")
    configuration = directory / "bus.conf"
    socket = directory / "bus"
    configuration.write_text(CONFIGURATION.format(socket=socket))
    daemon = subprocess.Popen([program, f"--config-file={configuration}", "--nofork", "--nopidfile"])
    try:
        wait_for(socket.exists, "the bus listens")
        yield f"unix:path={socket}", daemon
    finally:
        daemon.kill()
        daemon.wait()
