# SPDX-License-Identifier: GPL-2.0-or-later
"""NOTIFY_SOCKET: what programs of stanzas say of themselves, and the kernel's word on who has said it.

Each program has a socket of its own, which rmd makes before it executes the program and hands to apphbd:

* Its file belongs to the program's user and to nobody else (mode 0600): the kernel lets no stranger put anything into
  its queue. One socket for all, as systemd has it, could be filled by any local user until the true beats were kept
  out, and the healthy looked hung.
* A program that floods its own socket harms itself alone. It costs apphbd a bounded time: MAX_NOTICES_PER_TURN are
  read, then this socket rests for PAUSE_MS. Programs that share a user share that risk: give each its own.
* rmd holds every socket too: what is said while apphbd is replaced waits in the queue. It is a short one
  (net.unix.max_dgram_qlen, 10 by default); a program that finds it full waits in its sendmsg until apphbd is back.

A socket pair without a name, as workers have for their beats, would shut out programs of the same user too, but the
protocol wants an address that any process of the service can send to.

Who has sent a datagram is judged when it is read. A child that ends at once after it has spoken (systemd-notify does)
may not be found any more: then it is refused, as systemd does too. Source: sd_notify(3), unix(7), SCM_CREDENTIALS.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from ha.apphbd.io.ancestry import descends
from ha.apphbd.model.notices import MAX_NOTICE_BYTES, NoticeError, parse
from ha.apphbd.msg import ExpectProgram, Gone, Notice
from ha.ipc.credentials import ANCILLARY_BYTES, sender_of
from ha.ipc.moderation import Moderation
from ha.machine import Instant, Level, Message

MAX_NOTICES_PER_TURN = 16
PAUSE_MS = 20


class Host(Protocol):
    """What the sockets need of the loop."""

    def now(self) -> Instant: ...
    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...
    def noticed(self, notice: Notice) -> None: ...
    def note(self, level: Level, text: str, /) -> None: ...


class Line:
    """One program's socket."""

    def __init__(self, program: ExpectProgram, inbox: socket.socket, host: Host) -> None:
        self.module = program.module
        self.pid = program.pid
        self.inbox = inbox
        self._main_pid = program.main_pid
        self._access = program.access
        self._host = host
        self._complaints = Moderation(f"notices of {program.module} that are refused")

    def read(self) -> None:
        """Takes what is there, up to MAX_NOTICES_PER_TURN.

        There is no room for descriptors (FDSTORE, BARRIER): the kernel closes them, which is what a program that sent a
        BARRIER waits for.
        """
        for _ in range(MAX_NOTICES_PER_TURN):
            try:
                data, ancillary, flags, _ = self.inbox.recvmsg(MAX_NOTICE_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            if refusal := self._take(data, ancillary, flags):
                self._complain(refusal)

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]], flags: int) -> str:
        """Returns why the datagram is refused, "" when it was taken."""
        sender = sender_of(ancillary)
        if sender is None:
            return "without credentials"
        if not self._may_speak(sender.pid):
            return f"pid {sender.pid} may not speak for it (HA_NOTIFY {self._access})"
        if flags & socket.MSG_TRUNC:
            return f"longer than {MAX_NOTICE_BYTES} bytes"
        try:
            notice, wrong = parse(data, self.module, self.pid)
        except NoticeError as error:
            return str(error)
        for text in wrong:
            self._complain(text)
        if notice.main_pid is not None:
            if not descends(notice.main_pid, self.pid):
                return f"MAINPID {notice.main_pid} is no process of it"
            self._main_pid = notice.main_pid
        self._host.noticed(notice)
        return ""

    def _may_speak(self, pid: int) -> bool:
        return pid == self._main_pid or (self._access == "all" and descends(pid, self.pid))

    def _complain(self, text: str) -> None:
        now = self._host.now()
        if left_out := self._complaints.summary(now):
            self._host.note("warning", left_out)
        if self._complaints.admits(now):
            self._host.note("warning", f"{self.module} (pid {self.pid}): a notice is refused: {text}")


class Notices:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._lines: dict[tuple[str, int], Line] = {}
        self._resting: dict[Line, None] = {}
        self.due: Instant | None = None
        """When those that rest are to be heard again."""

    def ordered(self, message: Message, descriptor: int | None) -> None:
        """What rmd has said; a descriptor that came along is this object's from now on."""
        inbox = None if descriptor is None else socket.socket(fileno=descriptor)
        match message:
            case ExpectProgram(module=module, pid=pid) if inbox is not None:
                self._forget((module, pid))
                self._lines[(module, pid)] = line = Line(message, inbox, self._host)
                self._host.watch(inbox.fileno(), lambda: self._hear(line))
            case Gone(module=module, pid=pid):
                self._forget((module, pid))
            case _ if inbox is not None:
                inbox.close()

    def _forget(self, key: tuple[str, int]) -> None:
        line = self._lines.pop(key, None)
        if line is not None:
            self._resting.pop(line, None)
            self._host.unwatch(line.inbox.fileno())
            line.inbox.close()

    def _hear(self, line: Line) -> None:
        line.read()
        self._host.unwatch(line.inbox.fileno())
        self._resting[line] = None
        if self.due is None:
            self.due = self._host.now() + PAUSE_MS

    def hear_the_rest(self) -> None:
        """What has come meanwhile counts before any timer does."""
        self.due = None
        resting, self._resting = self._resting, {}
        for line in resting:
            line.read()
            self._host.watch(line.inbox.fileno(), lambda line=line: self._hear(line))  # type: ignore[misc]
