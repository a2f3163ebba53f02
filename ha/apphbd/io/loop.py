# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd's own small loop: wait, read beats and rmd's words, step the core, carry out its effects.

What has arrived is read before timers are judged: a beat that waits in the socket counts.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from ha.apphbd.io.applications import ApplicationSocket
from ha.apphbd.io.beats import Beats
from ha.apphbd.io.links import Door
from ha.apphbd.io.notices import Notices
from ha.apphbd.io.registrations import RegistrationFile
from ha.apphbd.io.rmd import NotReplaced, Rmd, Succession, end_and_await
from ha.apphbd.io.stderr import to_stderr
from ha.apphbd.io.watchdog import Watchdog
from ha.apphbd.model import End, ReplaceRmd
from ha.apphbd.model.registrations import AwaitEnd, KeepRegistrations, LoadRegistrations
from ha.apphbd.msg import Beat, Goodbye, Notice
from ha.ipc.codec import CodecError
from ha.ipc.journal import Journal
from ha.machine import (
    Arm,
    Client,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Instant,
    Level,
    Local,
    Lost,
    Machine,
    Message,
    Note,
    Received,
    Reply,
    Send,
    Started,
    Stopping,
    Tickle,
)
from ha.root import Root

GATHER_MS = 8
"""After a beat no other is read for so long: the workers beat at the same moments, and one turn does for all."""


def boot_time_ms() -> Instant:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Loop:
    def __init__(
        self, machine: Machine, *, root: Root, line: socket.socket | None, rmd: Rmd | None, watchdog: Watchdog | None
    ) -> None:
        self.root = root
        self.node = root.node_name()
        self._machine = machine
        self._rmd = rmd
        self._watchdog = watchdog
        self._timers: dict[str, Instant] = {}
        self._events: deque[Event] = deque()
        self._stopping = False
        self._journal = Journal("apphbd", self.node, root)
        self._selector = selectors.DefaultSelector()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        incarnation = f"{self.node}-{os.getpid()}-{boot_time_ms():x}"
        self._incarnation = incarnation
        self._beats: Beats | None = None
        self._gather_until: Instant | None = None
        if line is not None:
            self._beats = Beats(line, self._beat_heard, lambda text: self.note("warning", text))
            self.watch(line.fileno(), self._hear_beats)
        self._door = Door("apphbd", self.node, incarnation, root, self)
        self._applications = ApplicationSocket(root, self)
        self._registrations = RegistrationFile(root, self)
        self._notices = Notices(self)
        if rmd is not None:
            self.watch(rmd.channel.fileno(), self._rmd_speaks)
            self.watch(rmd.life, self._rmd_ended)

    @staticmethod
    def now() -> Instant:
        return boot_time_ms()

    # For the door ----------------------------------------------------------------------------------------------------

    def watch(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        self._readers[descriptor] = on_readable
        self._reselect(descriptor)

    def watch_writable(self, descriptor: int, on_writable: Callable[[], None] | None) -> None:
        if on_writable is None:
            self._writers.pop(descriptor, None)
        else:
            self._writers[descriptor] = on_writable
        self._reselect(descriptor)

    def unwatch(self, descriptor: int) -> None:
        self._readers.pop(descriptor, None)
        self._writers.pop(descriptor, None)
        self._reselect(descriptor)

    def heard(self, peer: Local | Client, message: Message) -> None:
        self._events.append(Received(peer, message))

    def linked(self, peer: Local | Client) -> None:
        """Nothing depends on who is connected."""

    def unlinked(self, peer: Local | Client) -> None:
        if isinstance(peer, Client):
            self._events.append(Lost(peer))

    def finished(self, operation: str, outcome: object) -> None:
        self._events.append(Finished(operation, outcome))

    def note_link(self, text: str) -> None:
        self.note("info", text)

    def note(self, level: Level, text: str) -> None:
        self._journal.write(level, text, boot_time_ms())
        if level not in {"debug", "info"}:
            to_stderr(f"{level}: {text}\n")

    # The life of apphbd ----------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until SIGTERM; returns the exit status. Raises Succession when rmd has to be replaced."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        signal.signal(signal.SIGINT, self._asked_to_stop)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.watch(read, lambda: self._woken(read))
        self._events.append(Started(self._incarnation, int.from_bytes(os.urandom(7)), {}))
        self._drain()
        while not self._stopping:
            self._turn()
        if self._rmd is not None:
            self._rmd_speaks()  # its last words: a lease given back lets the watchdog be closed in order
        self._events.append(Stopping())
        self._drain()
        self._door.close()
        self._applications.close()
        if self._watchdog is not None:
            self._watchdog.close()
        self._journal.flush()
        return 0

    def _turn(self) -> None:
        for key, ready in self._selector.select(self._patience_s()):
            if ready & selectors.EVENT_READ and (reader := self._readers.get(key.fd)):
                reader()
            if ready & selectors.EVENT_WRITE and (writer := self._writers.get(key.fd)):
                writer()
        now = boot_time_ms()
        if self._gather_until is not None and (now >= self._gather_until or self._is_due(now)):
            self._hear_the_rest()
        if self._notices.due is not None and (now >= self._notices.due or self._is_due(now)):
            self._notices.hear_the_rest()
        self._drain()
        now = boot_time_ms()
        due = sorted((deadline, timer) for timer, deadline in self._timers.items() if deadline <= now)
        for _, timer in due:
            del self._timers[timer]
            self._events.append(Fired(timer))
            self._drain()
        self._journal.flush()

    def _hear_beats(self) -> None:
        assert self._beats is not None
        self._beats.readable()
        self.unwatch(self._beats.fileno())
        self._gather_until = boot_time_ms() + GATHER_MS

    def _hear_the_rest(self) -> None:
        """What has come meanwhile counts before any timer does."""
        assert self._beats is not None
        self._gather_until = None
        self._beats.readable()
        self.watch(self._beats.fileno(), self._hear_beats)

    def _is_due(self, now: Instant) -> bool:
        return any(deadline <= now for deadline in self._timers.values())

    def _patience_s(self) -> float | None:
        moments = list(self._timers.values())
        if self._gather_until is not None:
            moments.append(self._gather_until)
        if self._notices.due is not None:
            moments.append(self._notices.due)
        if not moments:
            return None
        return max(0, min(moments) - boot_time_ms()) / 1000

    def _drain(self) -> None:
        while self._events:
            event = self._events.popleft()
            of_program = isinstance(event, Received) and isinstance(event.sender, Client)
            for effect in self._machine.step(event, boot_time_ms()):
                if of_program and isinstance(effect, Note) and effect.level != "critical":
                    self._door.complain(effect.text)
                else:
                    self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Arm(timer, deadline):
                self._timers[timer] = deadline
            case Disarm(timer):
                self._timers.pop(timer, None)
            case Send(Local("rmd"), message):
                self._to_rmd(message)
            case Reply(to, message):
                if not self._applications.send(to, message):
                    self._door.send(to, message)
            case Tickle():
                self._pet()
            case Note(level, text):
                self.note(level, text)
            case Execute(operation, LoadRegistrations()):
                self.finished(operation, self._registrations.load())
            case Execute(request=KeepRegistrations(registrations)):
                self._registrations.keep(registrations)
            case Execute(operation, AwaitEnd() as request):
                self._registrations.await_end(operation, request)
            case Execute(operation, ReplaceRmd() as request):
                self._replace_rmd(operation, request)
            case Execute(request=End()):
                self._stopping = True
                self._watchdog = None
            case _:
                raise AssertionError(f"not an effect of apphbd: {effect!r}")

    def _to_rmd(self, message: Message) -> None:
        assert self._rmd is not None
        if not self._rmd.send(message) and not isinstance(message, Beat):
            self.note("warning", f"rmd does not take {type(message).__name__}")

    def _pet(self) -> None:
        assert self._watchdog is not None
        try:
            self._watchdog.pet()
        except OSError as error:
            # Without a pet the kernel resets the node: there is nothing left to do but to say so.
            self.note("critical", f"watchdog {self._watchdog.device} cannot be petted: {error.strerror}")

    def _replace_rmd(self, operation: str, request: ReplaceRmd) -> None:
        try:
            end_and_await(request)
        except (NotReplaced, OSError) as error:
            self._events.append(Finished(operation, str(error)))
            return
        # The watchdog's descriptor is closed without the magic word: the new rmd's apphbd pets it in time, or it acts.
        raise Succession(request.reason, request.short_lives)

    # What arrives ----------------------------------------------------------------------------------------------------

    def _beat_heard(self, beat: Beat | Goodbye) -> None:
        self._events.append(Received(Local(beat.module), beat))

    def noticed(self, notice: Notice) -> None:
        self._events.append(Received(Local(notice.module), notice))

    def _rmd_speaks(self) -> None:
        assert self._rmd is not None
        try:
            while (received := self._rmd.receive()) is not None:
                message, descriptor = received
                self._notices.ordered(message, descriptor)
                self._events.append(Received(Local("rmd"), message))
        except EOFError:
            # Its end follows as the end of its process; until then there is nothing to hear.
            self.unwatch(self._rmd.channel.fileno())
        except CodecError as error:
            self.note("error", f"rmd's channel: {error}")

    def _rmd_ended(self) -> None:
        assert self._rmd is not None
        self.unwatch(self._rmd.life)
        self._rmd_speaks()  # its last words, if it had any
        self._events.append(Lost(Local("rmd")))

    def _asked_to_stop(self, number: int, frame: object) -> None:
        self._stopping = True

    @staticmethod
    def _woken(descriptor: int) -> None:
        os.read(descriptor, 4096)

    def _reselect(self, descriptor: int) -> None:
        wanted = (selectors.EVENT_READ if descriptor in self._readers else 0) | (
            selectors.EVENT_WRITE if descriptor in self._writers else 0
        )
        known = descriptor in self._selector.get_map()
        if wanted and known:
            self._selector.modify(descriptor, wanted)
        elif wanted:
            self._selector.register(descriptor, wanted)
        elif known:
            self._selector.unregister(descriptor)
