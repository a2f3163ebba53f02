# SPDX-License-Identifier: GPL-2.0-or-later
"""One worker's loop: wait, gather events, step the machine, carry out its effects, beat.

Rules of this file

* One thread steps the machine. I/O threads only run what Persist and `in_thread` give them.
* Effects are carried out in order; a Persist holds back all later ones, of later steps too, until it is durable.
* The beat is sent after the queue of events is drained, by the loop itself: a wedged machine does not beat.
* An unforeseen exception ends the process with a trace: rmd starts it again.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ha.apphbd.io.beats import inherited_line
from ha.heartbeat.msg import Deliver, Transmit
from ha.ipc import codec
from ha.ipc.journal import Journal
from ha.ipc.moderation import Moderation
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
    Instant,
    Level,
    Local,
    Lost,
    Machine,
    Message,
    Note,
    Packet,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Tickle,
    Wall,
    Wire,
)
from ha.root import Root
from ha.shell import durable
from ha.shell.adapters import Adapter, MediumAdapter
from ha.shell.beats import Beater, BeatTimes
from ha.shell.links import Switchboard
from ha.shell.recorder import Recorder

SLOW_STEP_MS = 50
"""A step of the machine that took longer is logged with its event (design section 3)."""

WALL_STEP_MS = 10
"""The wall clock is told again when it has moved against the boot clock by this much."""

MAX_LINES_FOR_PROGRAMS = 200
"""Notes in a period that the steps for programs' messages may lead to, errors apart: no program can flood the log."""

IO_THREADS = 4

PERSIST_RETRY_MS = 500
"""After a failed write of durable data. The worker's effects wait meanwhile: nothing unsafe is said."""

LAST_WORDS_MS = 300
"""How long a stopping worker waits for its last Persist and sends to go out."""


def boot_time_ms() -> Instant:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Loop:
    """See the module's text. Adapters use the methods of the section "For adapters"."""

    def __init__(
        self,
        worker: str,
        machine: Machine,
        *,
        root: Root,
        adapters: Sequence[Adapter],
        beat: BeatTimes,
        settings: Mapping[str, Any],
    ) -> None:
        self.worker = worker
        self.root = root
        self.node = root.node_name()
        self.incarnation = f"{self.node}-{os.getpid()}-{boot_time_ms():x}-{os.urandom(2).hex()}"
        self._machine = machine
        self._adapters = tuple(adapters)
        self._by_request: dict[type, Adapter] = {kind: a for a in self._adapters for kind in a.requests}
        self._media = [a for a in self._adapters if isinstance(a, MediumAdapter)]
        self._selector = selectors.DefaultSelector()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._events: deque[Event] = deque()
        self._effects: deque[Effect] = deque()
        self._timers: dict[str, Instant] = {}
        self._ringing: set[str] = set()
        self._calls: list[tuple[Instant, int, Callable[[], None] | str]] = []
        self._call_serial = 0
        self._persisting: Persist | None = None
        self._from_threads: deque[Callable[[], None]] = deque()
        self._threads: ThreadPoolExecutor | None = None
        self._wall_ms: int | None = None
        self._last_now: Instant = 0
        self._steps = 0
        self._stopping = False
        self._journal = Journal(worker, self.node, root)
        self._beater = Beater(worker, inherited_line(), beat)
        self._recorder = Recorder.if_wanted(worker, self.node, settings)
        self._programs_lines = Moderation("what programs' requests led to", MAX_LINES_FOR_PROGRAMS)
        self._board = Switchboard(worker, self.incarnation, root, self)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # For adapters ----------------------------------------------------------------------------------------------------

    def now(self) -> Instant:
        """Never goes back (a clock that did is a broken kernel: the assertion ends the worker)."""
        now = boot_time_ms()
        assert now >= self._last_now, f"CLOCK_BOOTTIME went back from {self._last_now} to {now}"
        self._last_now = now
        return now

    def wall_offset_ms(self) -> int:
        return time.time_ns() // 1_000_000 - boot_time_ms()

    def post(self, event: Event) -> None:
        """From the loop's own thread."""
        self._events.append(event)

    def post_threadsafe(self, event: Event) -> None:
        self.call_threadsafe(lambda: self._events.append(event))

    def call_threadsafe(self, call: Callable[[], None]) -> None:
        self._from_threads.append(call)
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def finish(self, operation: str, outcome: object) -> None:
        self.post(Finished(operation, outcome))

    def in_thread(self, operation: str, call: Callable[..., object], *args: object) -> None:
        """Run `call(*args)` in an I/O thread and post Finished with what it returns, or with the OSError it raises.

        Any other exception is a broken invariant and ends the worker.
        """

        def run() -> None:
            try:
                outcome: object = call(*args)
            except OSError as error:
                outcome = error
            except BaseException as error:
                self.call_threadsafe(lambda error=error: self._raise(error))  # type: ignore[misc]
                return
            self.post_threadsafe(Finished(operation, outcome))

        self._pool().submit(run)

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        self._readers[fd] = on_readable
        self._reselect(fd)

    def watch_writable(self, fd: int, on_writable: Callable[[], None] | None) -> None:
        """None ends the watch."""
        if on_writable is None:
            if self._writers.pop(fd, None) is None:
                return
        else:
            self._writers[fd] = on_writable
        self._reselect(fd)

    def unwatch(self, fd: int) -> None:
        self._readers.pop(fd, None)
        self._writers.pop(fd, None)
        self._reselect(fd)

    def call_at(self, deadline: Instant, call: Callable[[], None]) -> None:
        self._call_serial += 1
        heapq.heappush(self._calls, (deadline, self._call_serial, call))

    def note(self, level: Level, text: str) -> None:
        self._journal.write(level, text, self.now())

    # For the switchboard ---------------------------------------------------------------------------------------------

    def linked(self, peer: Local) -> None:
        self.post(Connected(peer))

    def unlinked(self, peer: Local | Client) -> None:
        self.post(Lost(peer))

    def heard(self, peer: Local | Client, message: Message) -> None:
        if isinstance(message, Deliver) and peer == Local("heartbeat"):
            try:
                body = codec.decode(message.body)
            except codec.CodecError as error:
                self.note("warning", f"a message from {message.from_module} on {message.from_node} is dropped: {error}")
                return
            self.post(Received(Remote(message.from_node, message.from_module), body))
        else:
            self.post(Received(peer, message))

    # The life of the worker ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until SIGTERM or SIGINT; returns the exit status."""
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            self._open()
            while not self._stopping:
                self._turn()
            self._say_last_words()
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in previous.items():
                signal.signal(number, handler)
        return 0

    def _open(self) -> None:
        self.watch(self._wake_read, self._woken)
        persisted = durable.load(self.root.state(self.worker))
        for adapter in self._adapters:
            adapter.open(self)
        self._events.appendleft(Started(self.incarnation, int.from_bytes(os.urandom(7)), persisted))
        self._board.open()
        # The first beat says that the worker is ready: its sockets stand.
        self._beater.beat(self.now(), 0, 0)

    def _turn(self) -> None:
        self._check_wall()
        for key, ready in self._selector.select(self._patience_s()):
            if ready & selectors.EVENT_READ and (reader := self._readers.get(key.fd)):
                reader()
            if ready & selectors.EVENT_WRITE and (writer := self._writers.get(key.fd)):
                writer()
        self._run_due()
        self._drain()
        self._journal.flush()
        now = self.now()
        if now >= self._beater.due:
            self._beater.beat(now, self._steps, len(self._events))
            self._summarize(now)
            self._board.summarize()

    def _patience_s(self) -> float:
        if self._events:
            return 0
        now = self.now()
        due = self._beater.due
        if self._calls:
            due = min(due, self._calls[0][0])
        return max(0, due - now) / 1000

    def _run_due(self) -> None:
        now = self.now()
        while self._calls and self._calls[0][0] <= now:
            deadline, _, call = heapq.heappop(self._calls)
            if not isinstance(call, str):
                call()
            elif self._timers.get(call) == deadline:
                del self._timers[call]
                self._ringing.add(call)
                self._events.append(Fired(call))

    def _drain(self) -> None:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Fired):
                if event.timer not in self._ringing:
                    continue  # disarmed or armed anew by an event of this very turn
                self._ringing.discard(event.timer)
            now = self.now()
            effects = self._machine.step(event, now)
            self._steps += 1
            if self._recorder is not None:
                self._recorder.step(now, event, effects)
            took_ms = self.now() - now
            if took_ms > SLOW_STEP_MS:
                self.note("warning", f"slow step: {took_ms} ms for {describe(event)}")
            if isinstance(event, Received) and isinstance(event.sender, Client):
                effects = self._moderated(effects, now)
            self._effects.extend(effects)
            self._carry_out()

    def _moderated(self, effects: list[Effect], now: Instant) -> list[Effect]:
        """Without the notes that would flood the log."""
        self._summarize(now)
        return [
            effect
            for effect in effects
            if not isinstance(effect, Note)
            or effect.level in {"error", "critical"}
            or self._programs_lines.admits(now)
        ]

    def _summarize(self, now: Instant) -> None:
        if left_out := self._programs_lines.summary(now):
            self.note("warning", left_out)

    def _say_last_words(self) -> None:
        self._stopping = False  # so that effects are still carried out
        self.post(Stopping())
        self._drain()
        deadline = self.now() + LAST_WORDS_MS
        while self._persisting and self.now() < deadline:
            for key, _ in self._selector.select((deadline - self.now()) / 1000):
                if reader := self._readers.get(key.fd):
                    reader()
        for adapter in self._adapters:
            adapter.close()
        self._board.close()
        self._beater.goodbye()
        self._journal.flush()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    # Effects ---------------------------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        while self._effects and self._persisting is None:
            effect = self._effects.popleft()
            match effect:
                case Send(to, message):
                    self._send(to, message)
                case Reply(to, message):
                    self._board.to_program(to, message)
                case Arm(timer, deadline):
                    self._ringing.discard(timer)
                    if self._timers.get(timer) != deadline:
                        self._timers[timer] = deadline
                        self._call_serial += 1
                        heapq.heappush(self._calls, (deadline, self._call_serial, timer))
                case Disarm(timer):
                    self._ringing.discard(timer)
                    self._timers.pop(timer, None)
                case Persist():
                    self._persist(effect)
                case Execute(operation, request) | Fence(operation, request):
                    adapter = self._by_request.get(type(request))
                    assert adapter is not None, f"{self.worker} has no adapter for {type(request).__name__}"
                    adapter.execute(operation, request)
                case Note(level, text):
                    self.note(level, text)
                case Tickle():
                    raise AssertionError("only apphbd tickles a watchdog")
                case _:
                    raise AssertionError(f"no effect: {effect!r}")

    def _send(self, to: Local | Remote | Everyone | Wire, message: Message) -> None:
        match to:
            case Local(module):
                self._board.to_worker(module, message)
            case Remote(node, module):
                self._transmit(node, module, message)
            case Everyone(module):
                self._transmit(None, module, message)
            case Wire():
                assert isinstance(message, Packet), type(message)
                assert self._media, f"{self.worker} has no medium"
                self._media[0].send(to, message)

    def _transmit(self, node: str | None, module: str, message: Message) -> None:
        self._board.to_worker("heartbeat", Transmit(to_node=node, to_module=module, body=codec.encode(message)))

    def _persist(self, effect: Persist) -> None:
        self._persisting = effect
        folder = self.root.state(self.worker)

        def run() -> None:
            try:
                durable.save(folder, effect.name, effect.data)
            except OSError as error:
                self.call_threadsafe(lambda error=error: self._persist_failed(error))  # type: ignore[misc]
            else:
                self.call_threadsafe(self._persisted)

        self._pool().submit(run)

    def _persisted(self) -> None:
        assert self._persisting is not None
        self._persisting = None
        self._carry_out()

    def _persist_failed(self, error: OSError) -> None:
        assert self._persisting is not None
        effect = self._persisting
        self.note(
            "critical",
            f"cannot write {self.root.state(self.worker) / effect.name}: {error.strerror}; "
            f"{self.worker} says nothing more until that works (free the disk, or mount it writable)",
        )
        self.call_at(self.now() + PERSIST_RETRY_MS, lambda: self._persist(effect))

    # Inner things ----------------------------------------------------------------------------------------------------

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(IO_THREADS, thread_name_prefix=f"{self.worker}-io")
        return self._threads

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True

    def _woken(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        while self._from_threads:
            self._from_threads.popleft()()

    @staticmethod
    def _raise(error: BaseException) -> None:
        traceback.print_exception(error)
        raise error

    def _reselect(self, fd: int) -> None:
        events = (selectors.EVENT_READ if fd in self._readers else 0) | (
            selectors.EVENT_WRITE if fd in self._writers else 0
        )
        known = fd in self._selector.get_map()
        if events and known:
            self._selector.modify(fd, events)
        elif events:
            self._selector.register(fd, events)
        elif known:
            self._selector.unregister(fd)

    def _check_wall(self) -> None:
        offset = self.wall_offset_ms()
        if self._wall_ms is None or abs(offset - self._wall_ms) >= WALL_STEP_MS:
            self._wall_ms = offset
            self._events.append(Wall(offset))


def describe(event: Event) -> str:
    """An event in a few words, for the log."""
    match event:
        case Received(sender, message):
            return f"{type(message).__name__} from {sender}"
        case Fired(timer):
            return f"timer {timer}"
        case Finished(operation, outcome):
            return f"{operation} finished with {type(outcome).__name__}"
    return type(event).__name__
