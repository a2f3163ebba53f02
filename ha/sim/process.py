# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of one worker: what `ha.shell` is in production, under virtual time.

Rules of this file

* One event, one step; the effects go to an outbox and leave it strictly in order. A Persist at its head holds all
  later effects, also those of later steps, until the disk has the data. Steps themselves go on meanwhile.
* Between any two effects the process may die (`crash_after` counts effects down).
* A frozen process takes no step and carries nothing out; what arrives waits for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ha.heartbeat.msg import Deliver, Transmit
from ha.ipc import codec
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Everyone,
    Execute,
    Fence,
    Finished,
    Fired,
    Local,
    Machine,
    Message,
    Note,
    Packet,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Stopping,
    Tickle,
    Wire,
)
from ha.sim.agenda import Ticket

if TYPE_CHECKING:
    from ha.sim.links import Connection
    from ha.sim.node import Node
    from ha.sim.programs import Program

STEP_US = 20
"""What a step costs: enough that a storm of messages takes time, too little to matter to any deadline."""

MAX_UNSENT = 10_000
"""Messages kept for a worker that is not linked; the production shell counts bytes (ha.ipc.limits)."""

MAX_INBOX = 200_000
"""A worker that falls this far behind shows a storm of messages: the run stops with a broken invariant."""


class Process:
    """A worker that lives from its construction to `die`, which comes once."""

    def __init__(self, node: Node, name: str, machine: Machine, incarnation: str) -> None:
        self.node = node
        self.world = node.world
        self.name = name
        self.label = f"{node.name}/{name}"
        self.machine = machine
        self.incarnation = incarnation
        self.alive = True
        self.frozen = False
        self.ending = False
        """It has heard Stopping: it exits when its last effects are carried out."""
        self.steps = 0
        self.crash_after: int | None = None
        self.connections: dict[str, Connection] = {}
        self.programs: dict[Client, Program] = {}
        self.unsent: dict[str, deque[bytes]] = {}
        self.running: dict[str, object] = {}
        self._inbox: deque[Event | tuple[Local | Client, bytes]] = deque()
        self._outbox: deque[Effect] = deque()
        self._timers: dict[str, Ticket | None] = {}
        self._turn: Ticket | None = None
        self._writing = False
        self._last_now = 0

    def __repr__(self) -> str:
        return self.label

    # Life ------------------------------------------------------------------------------------------------------------

    def die(self) -> None:
        """SIGKILL: nothing more is done, not even the effects already decided."""
        assert self.alive, f"{self!r} dies twice"
        self.alive = False
        if self._turn is not None:
            self._turn.cancel()
        for ticket in self._timers.values():
            if ticket is not None:
                ticket.cancel()
        self._timers.clear()
        self._inbox.clear()
        self._outbox.clear()
        for connection in list(self.connections.values()):
            connection.hang_up(self)
        for program in list(self.programs.values()):
            program.lose()
        self.node.forget(self)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def thaw(self) -> None:
        """SIGCONT."""
        self.frozen = False
        self.carry_out()
        self._want_turn()

    # Events ----------------------------------------------------------------------------------------------------------

    def post(self, event: Event | tuple[Local | Client, bytes]) -> None:
        """Put an event at the end of the queue. A pair is a message still in its encoded form, from a socket."""
        if not self.alive:
            return
        self._inbox.append(event)
        assert len(self._inbox) < MAX_INBOX, f"{self!r} has {MAX_INBOX} events waiting"
        self._want_turn()

    def finish(self, operation: str, outcome: object) -> None:
        """An Execute or Fence has ended. One that an earlier incarnation began is nobody's business any more."""
        if self.alive and operation in self.running:
            del self.running[operation]
            self.post(Finished(operation, outcome))

    def _want_turn(self) -> None:
        if self._turn is None and self._inbox and self.alive and not self.frozen and not self.node.paused:
            self._turn = self.world.agenda.after(STEP_US, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        assert self.alive
        assert self._inbox, f"{self!r} has a turn and nothing to hear"
        entry = self._inbox.popleft()
        event = self._from_socket(*entry) if isinstance(entry, tuple) else entry
        if event is not None:
            self._step(event)
        if self.alive:
            self._want_turn()

    def _from_socket(self, sender: Local | Client, data: bytes) -> Event:
        message = codec.decode(data)
        if isinstance(message, Deliver):
            assert sender == Local("heartbeat"), f"{self!r}: only heartbeat delivers, not {sender}"
            return Received(Remote(message.from_node, message.from_module), codec.decode(message.body))
        return Received(sender, message)

    def _step(self, event: Event) -> None:
        now = self.node.clock.instant(self.world.agenda.now_us)
        assert now >= self._last_now, "a machine's time never goes back"
        self._last_now = now
        self.steps += 1
        if isinstance(event, Fired):
            self._timers.pop(event.timer, None)
        effects = self.machine.step(event, now)
        assert isinstance(effects, list), f"{self!r} returned {type(effects).__name__}, not a list of effects"
        self.world.stepped(self, event, effects)
        self._outbox.extend(effects)
        self.ending = self.ending or isinstance(event, Stopping)
        self.carry_out()

    # Effects ---------------------------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        while self._outbox and not self._writing and self.alive and not self.frozen and not self.node.paused:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    self.world.log(self.label, "crash", "dies between two effects")
                    self.node.supervisor.died(self)
                    return
                self.crash_after -= 1
            effect = self._outbox.popleft()
            self.world.carrying_out(self, effect)
            handler = _HANDLERS.get(type(effect))
            assert handler is not None, f"{self!r} wants {type(effect).__name__}, which is no effect"
            handler(self, effect)
        if self.ending and self.alive and not self._outbox and not self._writing:
            self.node.supervisor.exited(self)

    def _send(self, effect: Send) -> None:
        match effect.to:
            case Local(module):
                self.send_local(module, codec.encode(effect.message))
            case Remote(node, module):
                self._transmit(node, module, effect.message)
            case Everyone(module):
                self._transmit(None, module, effect.message)
            case Wire():
                assert isinstance(effect.message, Packet), f"{self!r}: only packets travel on a wire"
                self.world.network.send(self.node, effect.to, effect.message.data)

    def _transmit(self, to_node: str | None, to_module: str, message: Message) -> None:
        body = codec.encode(message)
        self.send_local("heartbeat", codec.encode(Transmit(to_node=to_node, to_module=to_module, body=body)))

    def send_local(self, module: str, data: bytes) -> None:
        """To a worker of this node: over the link that stands, else kept for the next one."""
        assert self.node.may_link(self.name, module), f"{self!r} speaks to {module}, which ha.ipc.links forbids"
        self.world.digest(data)
        connection = self.connections.get(module)
        if connection is not None:
            connection.send(self, data)
            return
        waiting = self.unsent.setdefault(module, deque())
        if len(waiting) < MAX_UNSENT:
            waiting.append(data)

    def linked(self, connection: Connection, peer: str) -> None:
        """A link stands: the machine hears of it, then what waited for it goes out."""
        self.connections[peer] = connection
        self.post(Connected(Local(peer)))
        for data in self.unsent.pop(peer, ()):
            connection.send(self, data)

    def unlinked(self, peer: str) -> None:
        self.connections.pop(peer, None)

    def _reply(self, effect: Reply) -> None:
        program = self.programs.get(effect.to)
        if program is not None:
            program.answer(codec.encode(effect.message))

    def _arm(self, effect: Arm) -> None:
        self._cancel(effect.timer)
        at_us = max(self.node.clock.reaches(effect.deadline), self.world.agenda.now_us)
        self._timers[effect.timer] = self.world.agenda.at(at_us, lambda: self._ring(effect.timer))

    def _ring(self, timer: str) -> None:
        self._timers[timer] = None  # it rang, and the machine has not heard it yet
        self.post(Fired(timer))

    def _disarm(self, effect: Disarm) -> None:
        self._cancel(effect.timer)

    def _cancel(self, timer: str) -> None:
        if timer not in self._timers:
            return
        ticket = self._timers.pop(timer)
        if ticket is not None:
            ticket.cancel()
        else:
            self._inbox = deque(e for e in self._inbox if not (isinstance(e, Fired) and e.timer == timer))
            if not self._inbox and self._turn is not None:  # effects behind a Persist take it back before its turn
                self._turn.cancel()
                self._turn = None

    def _persist(self, effect: Persist) -> None:
        self._writing = True
        self.node.disk.write(self, effect.name, effect.data)

    def written(self) -> None:
        """The disk has the data: go on with what waited."""
        assert self._writing
        self._writing = False
        self.carry_out()

    def _execute(self, effect: Execute | Fence) -> None:
        assert effect.operation not in self.running, f"{self!r} runs {effect.operation!r} twice"
        self.running[effect.operation] = effect.request
        self.world.execute(self, effect.operation, effect.request)

    def _tickle(self, effect: Tickle) -> None:
        self.node.tickled_us = self.world.agenda.now_us

    def _note(self, effect: Note) -> None:
        self.world.log(self.label, effect.level, effect.text)


_HANDLERS: dict[type, Any] = {
    Send: Process._send,
    Reply: Process._reply,
    Arm: Process._arm,
    Disarm: Process._disarm,
    Persist: Process._persist,
    Execute: Process._execute,
    Fence: Process._execute,
    Tickle: Process._tickle,
    Note: Process._note,
}
