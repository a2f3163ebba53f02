# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of a program (cibadmin, crm_mon ...): one connection to one worker, questions and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ha.ipc import codec
from ha.machine import Client, Lost, Message
from ha.sim.links import CARRY_US

if TYPE_CHECKING:
    from ha.sim.process import Process

ROOT_UID = 0


class Program:
    """`heard` is called with each answer, and once with None when the worker hangs up."""

    def __init__(self, name: str, process: Process, heard: Callable[[Message | None], None]) -> None:
        self.process = process
        self.heard = heard
        self.client = Client(program=name, serial=process.world.next_serial(), uid=ROOT_UID, gid=0, pid=1)
        process.programs[self.client] = self

    @property
    def connected(self) -> bool:
        return self.process.programs.get(self.client) is self

    def say(self, message: Message) -> None:
        data = codec.encode(message)
        self.process.world.digest(data)
        self.process.world.agenda.after(CARRY_US, lambda: self.process.post((self.client, data)))

    def answer(self, data: bytes) -> None:
        """The worker replied."""
        self.process.world.agenda.after(CARRY_US, lambda: self.heard(codec.decode(data)))

    def lose(self) -> None:
        """The worker died."""
        del self.process.programs[self.client]
        self.process.world.agenda.after(CARRY_US, lambda: self.heard(None))

    def hang_up(self) -> None:
        """The program ends."""
        if self.process.programs.pop(self.client, None) is not None:
            self.process.world.agenda.after(CARRY_US, lambda: self.process.post(Lost(self.client)))
