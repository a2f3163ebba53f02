# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to the system bus, and the dialogues that go on over it.

    run(dialogue) ──► step ──► method call ──► bus ──► answer ──► the dialogue's next step ... ──► on_end(outcome)

Nothing here blocks, and nothing is believed: a message that cannot be parsed, or that is too large, ends the
connection and with it every dialogue that waits on it; the next dialogue connects anew. Each dialogue has a deadline of
its own, so that a manager that never answers costs its caller that long and nobody else anything.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call
from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.low_level import Parser

from ha.lrm.core.units import MANAGER, MANAGER_PATH, Ask, AwaitJob, DropIn, Nonsense, Pause, Refused, Step
from ha.lrm.io.systemd.files import set_drop_in

DESTINATION = "org.freedesktop.systemd1"
BUS = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
JOB_REMOVED = f"type='signal',sender='{DESTINATION}',interface='{MANAGER}',member='JobRemoved',path='{MANAGER_PATH}'"
READ_BYTES = 65_536
MAX_BUFFERED_BYTES = 16_000_000
"""Of a message that has not come whole yet, and of what the bus has not taken yet."""
MAX_REMEMBERED_JOBS = 1_000
MAX_ERROR_TEXT_LENGTH = 300


@dataclass(frozen=True, slots=True)
class BusFailure:
    """The dialogue came to no end of its own. `late`: its deadline passed; else the bus or an answer was at fault."""

    reason: str
    late: bool = False
    absent: bool = False
    """This node has no systemd: there is nobody to ask."""


Answer = Any
OnEnd = Callable[[Answer | BusFailure], None]


class Watcher(Protocol):
    """What is needed of the worker's loop."""

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None: ...

    def unwatch(self, fd: int) -> None: ...

    def watch_writable(self, fd: int, on_writable: Callable[[], None] | None) -> None: ...

    def now(self) -> int: ...

    def call_at(self, deadline: int, call: Callable[[], None]) -> None: ...


@dataclass(eq=False, slots=True)
class Talk:
    """A dialogue under way. `turn` counts its steps, so that what comes too late for one is not taken for the next."""

    dialogue: Generator[Step, Any, Answer]
    on_end: OnEnd
    turn: int = 0
    doing: str = "connecting to the bus"
    awaited_job: str = ""
    ended: bool = False


@dataclass(eq=False, slots=True)
class Link:
    """The socket and what is on its way. `ready` once the bus has given us a name."""

    socket: socket.socket
    authenticator: Authenticator | None
    parser: Parser = field(default_factory=Parser)
    unsent: bytearray = field(default_factory=bytearray)
    serials: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    asked: dict[int, Callable[[Message], None]] = field(default_factory=dict)
    manager: str = ""
    """The unique name of systemd on the bus: signals of others, which any local user may send us, are not believed."""
    ready: bool = False


class SystemBus:
    """`address` as `files.bus_address` gives it; `drop_ins` is the directory for them."""

    def __init__(self, address: str | None, drop_ins: Path, watcher: Watcher, note: Callable[[str, str], None]) -> None:
        self._address = address
        self._drop_ins = drop_ins
        self._watcher = watcher
        self._note = note
        self._link: Link | None = None
        self._talks: dict[Talk, None] = {}
        self._waiting: list[tuple[Talk, Ask]] = []  # until the link is ready
        self._removed: OrderedDict[str, str] = OrderedDict()  # job -> result, of jobs that ended

    def run(self, dialogue: Generator[Step, Any, Answer], timeout_ms: int, on_end: OnEnd) -> Callable[[], None]:
        """Carry the dialogue out; `on_end` is called exactly once, within `timeout_ms`. Returns what gives it up."""
        talk = Talk(dialogue, on_end)
        self._talks[talk] = None

        def give_up() -> None:
            self._end(talk, BusFailure(f"no end while {talk.doing}", late=True))

        self._watcher.call_at(self._watcher.now() + timeout_ms, give_up)
        self._go_on(talk, None)
        return give_up

    def close(self) -> None:
        """Let go of the bus. What systemd was told to do it does."""
        if self._link is not None:
            self._watcher.unwatch(self._link.socket.fileno())
            self._link.socket.close()
            self._link = None
        self._talks.clear()

    # Dialogues -------------------------------------------------------------------------------------------------------

    def _go_on(self, talk: Talk, answer: object) -> None:
        talk.turn += 1
        talk.awaited_job = ""
        try:
            if isinstance(answer, Refused):
                step = talk.dialogue.throw(answer)
            else:
                step = talk.dialogue.send(answer)
        except StopIteration as end:
            return self._end(talk, end.value)
        except (Refused, Nonsense, OSError) as error:
            return self._end(talk, BusFailure(f"{error}, while {talk.doing}"))
        return self._do(talk, step)

    def _do(self, talk: Talk, step: Step) -> None:
        match step:
            case Ask():
                talk.doing = f"asking systemd to {step.method}"
                self._ask(talk, step)
            case DropIn(unit, text):
                talk.doing = f"writing the drop-in of {unit}"
                try:
                    changed = set_drop_in(self._drop_ins, unit, text)
                except OSError as error:
                    return self._end(talk, BusFailure(f"the drop-in of {unit} cannot be written: {error}"))
                self._go_on(talk, changed)
            case AwaitJob(job, patience_ms):
                talk.doing = f"waiting for the end of systemd's job {job.rpartition('/')[2]}"
                if job in self._removed:
                    return self._go_on(talk, self._removed.pop(job))
                talk.awaited_job = job
                self._later(talk, patience_ms, "")
            case Pause(duration_ms):
                talk.doing = "waiting for the unit to be either active or inactive"
                self._later(talk, duration_ms, None)
        return None

    def _later(self, talk: Talk, delay_ms: int, answer: object) -> None:
        turn = talk.turn

        def due() -> None:
            if not talk.ended and talk.turn == turn:
                self._go_on(talk, answer)

        self._watcher.call_at(self._watcher.now() + delay_ms, due)

    def _end(self, talk: Talk, outcome: Answer | BusFailure) -> None:
        if talk.ended:
            return
        talk.ended = True
        self._talks.pop(talk, None)
        talk.dialogue.close()
        talk.on_end(outcome)

    # Calls -----------------------------------------------------------------------------------------------------------

    def _ask(self, talk: Talk, ask: Ask) -> None:
        if self._link is None and not self._connect(talk):
            return
        link = self._link
        if link is None:  # the bus refused us at once, and the talk has ended with all others
            return
        if not link.ready:
            self._waiting.append((talk, ask))
            return
        turn = talk.turn
        address = DBusAddress(ask.path, bus_name=DESTINATION, interface=ask.interface)

        def answered(message: Message) -> None:
            if talk.ended or talk.turn != turn:
                return None
            if message.header.message_type is MessageType.error:
                return self._go_on(talk, _refusal(message))
            return self._go_on(talk, message.body)

        self._call(link, new_method_call(address, ask.method, ask.signature or None, ask.arguments), answered)

    def _call(self, link: Link, message: Message, on_answer: Callable[[Message], None]) -> None:
        serial = next(link.serials)
        link.asked[serial] = on_answer
        self._send(link, message.serialise(serial))

    # The link --------------------------------------------------------------------------------------------------------

    def _connect(self, talk: Talk) -> bool:
        if self._address is None:
            self._end(talk, BusFailure("there is no system bus for this node", absent=True))
            return False
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            stream.connect(self._address)
        except OSError as error:
            stream.close()
            self._end(talk, BusFailure(f"the system bus cannot be reached at {self._address}: {error}"))
            return False
        self._link = link = Link(stream, Authenticator())
        self._watcher.watch(stream.fileno(), lambda: self._readable(link))
        self._send(link, link.authenticator.data_to_send() or b"")  # type: ignore[union-attr]
        return self._link is link

    def _send(self, link: Link, data: bytes) -> None:
        link.unsent += data
        self._flush(link)

    def _flush(self, link: Link) -> None:
        if self._link is not link:
            return None
        try:
            while link.unsent:
                del link.unsent[: link.socket.send(link.unsent)]
        except BlockingIOError:
            if len(link.unsent) > MAX_BUFFERED_BYTES:
                return self._lose(link, f"the bus does not take {len(link.unsent)} bytes")
        except OSError as error:
            return self._lose(link, f"the bus hung up: {error}")
        return self._watcher.watch_writable(
            link.socket.fileno(), (lambda: self._flush(link)) if link.unsent else None
        )

    def _readable(self, link: Link) -> None:
        try:
            data = link.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            return self._lose(link, f"the bus hung up: {error}")
        if not data:
            return self._lose(link, "the bus hung up")
        try:
            messages = self._parse(link, data)
        except Exception as error:  # whatever a parser makes of arbitrary bytes
            return self._lose(link, f"the bus said what is no D-Bus: {type(error).__name__} {error}"[:200])
        for message in messages:
            if self._link is link:
                self._heard(link, message)
        return None

    def _parse(self, link: Link, data: bytes) -> list[Message]:
        if link.authenticator is not None:
            link.authenticator.feed(data)
            if link.authenticator.authenticated:
                link.authenticator = None
                self._send(link, BEGIN)
                self._greet(link)
            return []
        messages: list[Message] = link.parser.feed(data)
        if max(link.parser.buf.bytes_buffered, link.parser.next_msg_size or 0) > MAX_BUFFERED_BYTES:
            raise AuthenticationError(b"", f"a message of more than {MAX_BUFFERED_BYTES} bytes")
        return messages

    def _greet(self, link: Link) -> None:
        """Get a name, then hear of jobs that end; only then the calls that waited."""

        def owned(message: Message) -> None:
            match message.body:
                case (str() as name,) if message.header.message_type is MessageType.method_return:
                    link.manager = name
                case _:
                    self._complain(message)

        def named(message: Message) -> None:
            if message.header.message_type is MessageType.error:
                return self._lose(link, f"the bus gives us no name: {_refusal(message)}")
            self._call(link, new_method_call(BUS, "GetNameOwner", "s", (DESTINATION,)), owned)
            manager = DBusAddress(MANAGER_PATH, bus_name=DESTINATION, interface=MANAGER)
            self._call(link, new_method_call(BUS, "AddMatch", "s", (JOB_REMOVED,)), self._complain)
            self._call(link, new_method_call(manager, "Subscribe"), self._complain)
            link.ready = True
            waiting, self._waiting = self._waiting, []
            for talk, ask in waiting:
                if not talk.ended:
                    self._ask(talk, ask)
            return None

        self._call(link, new_method_call(BUS, "Hello"), named)

    def _complain(self, message: Message) -> None:
        if message.header.message_type is MessageType.error:
            self._note("warning", f"systemd does not tell when its jobs end, and is asked: {_refusal(message)}")

    def _heard(self, link: Link, message: Message) -> None:
        fields = message.header.fields
        match message.header.message_type:
            case MessageType.method_return | MessageType.error:
                on_answer = link.asked.pop(fields.get(HeaderFields.reply_serial, 0), None)
                if on_answer is not None:
                    on_answer(message)
            case MessageType.signal if fields.get(HeaderFields.member) == "JobRemoved":
                if link.manager and fields.get(HeaderFields.sender) == link.manager:
                    self._job_removed(message.body)

    def _job_removed(self, body: object) -> None:
        """u id, o job, s unit, s result. A result before its AwaitJob is kept for it."""
        match body:
            case (int(), str() as job, str(), str() as result) if result:
                for talk in list(self._talks):
                    if talk.awaited_job == job:
                        return self._go_on(talk, result)
                self._removed[job] = result
                if len(self._removed) > MAX_REMEMBERED_JOBS:
                    self._removed.popitem(last=False)
            case _:
                self._note("warning", f"a JobRemoved that is none is ignored: {str(body)[:MAX_ERROR_TEXT_LENGTH]}")
        return None

    def _lose(self, link: Link, reason: str) -> None:
        """The link is of no use any more: everything that waits on it ends."""
        if self._link is not link:
            return
        self._link = None
        self._removed.clear()
        self._waiting.clear()
        self._watcher.unwatch(link.socket.fileno())
        with contextlib.suppress(OSError):
            link.socket.shutdown(socket.SHUT_RDWR)
        link.socket.close()
        for talk in list(self._talks):
            self._end(talk, BusFailure(f"{reason}, while {talk.doing}"))


def _refusal(message: Message) -> Refused:
    name = str(message.header.fields.get(HeaderFields.error_name, "an error without a name"))
    text = message.body[0] if isinstance(message.body, tuple) and message.body else ""
    return Refused(name, str(text)[:MAX_ERROR_TEXT_LENGTH])


