# SPDX-License-Identifier: GPL-2.0-or-later
"""The fork server: forks runners on behalf of a worker, from a small image without threads.

The worker makes it before it starts threads, speaks to it over a socket pair, one packet a job, and gets back a pidfd
for each runner. It keeps nothing: when the worker ends, it reads the end of the file and ends too, and the runners
are adopted by init.

    worker ── b"ID" ──► server        server ── b"ID", pidfd ──► worker
                                      server ── b"ID errno" ───► worker      when fork failed
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import traceback
from typing import NoReturn

import setproctitle

from ha.runner.process import run
from ha.runner.spool import Spool

MAX_PACKET_BYTES = 512
FIRST_INHERITED_DESCRIPTOR = 3
EX_SOFTWARE = 70


class ForkServer:
    """The worker's handle. `socket` is non-blocking and readable when a runner was forked, or the server has died."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.socket = end

    @classmethod
    def start(cls, spool: Spool, title: str) -> ForkServer:
        """Fork the server. To be called while this process has one thread."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _become_server(theirs, spool, title)
        theirs.close()
        ours.setblocking(False)
        return cls(pid, ours)

    def request(self, job_id: str) -> None:
        """Ask for a runner. Raises BlockingIOError when more are under way than the socket holds."""
        self.socket.send(job_id.encode("ascii"))

    def answer(self) -> tuple[str, int, int] | None:
        """The next answer: job id, pidfd (-1 when fork failed) and errno (0 when it did not); None for none yet.

        Raises ChildProcessError when the server is gone: the worker then restarts, and takes up its jobs again.
        """
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self.socket, MAX_PACKET_BYTES, 1)
        except BlockingIOError:
            return None
        if not data:
            raise ChildProcessError("the fork server of the runners has died")
        job_id, _, code = data.decode("ascii").partition(" ")
        if descriptors:
            assert code == ""
            return job_id, descriptors[0], 0
        return job_id, -1, int(code)

    def kill(self) -> None:
        """End a server that does not answer. Runners that it has forked go on; jobs not taken are revoked later."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Let the server end, and wait for it."""
        self.socket.close()
        os.waitpid(self.pid, 0)


def _become_server(end: socket.socket, spool: Spool, title: str) -> NoReturn:
    """In the forked child: keep the socket and the three standard descriptors, nothing else of the worker's."""
    try:
        descriptor = os.dup2(end.detach(), FIRST_INHERITED_DESCRIPTOR)
        os.closerange(FIRST_INHERITED_DESCRIPTOR + 1, os.sysconf("SC_OPEN_MAX"))
        gc.disable()
        gc.freeze()
        signal.set_wakeup_fd(-1)
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # it lives exactly as long as the worker
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        setproctitle.setproctitle(title)
        _serve(socket.socket(fileno=descriptor), spool)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(EX_SOFTWARE)  # _serve leaves by itself


def _serve(end: socket.socket, spool: Spool) -> NoReturn:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    runners: dict[int, int] = {}  # pidfd -> pid
    while True:
        for descriptor, _events in poll.poll():
            if descriptor == end.fileno():
                data = end.recv(MAX_PACKET_BYTES)
                if not data:
                    os._exit(0)
                pidfd = _fork_runner(end, spool, data.decode("ascii"), runners)
                if pidfd >= 0:
                    poll.register(pidfd, select.POLLIN)
            else:
                os.waitpid(runners.pop(descriptor), 0)
                poll.unregister(descriptor)
                os.close(descriptor)


def _fork_runner(end: socket.socket, spool: Spool, job_id: str, runners: dict[int, int]) -> int:
    try:
        pid = os.fork()
    except OSError as error:
        end.send(f"{job_id} {error.errno}".encode("ascii"))
        return -1
    if pid == 0:
        try:
            os.closerange(FIRST_INHERITED_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
            run(spool, job_id)
        except BaseException:
            traceback.print_exc()  # to the worker's standard error; the missing result tells the worker
            raise
        finally:
            os._exit(EX_SOFTWARE)
    pidfd = os.pidfd_open(pid)  # sure to be this runner: it stays a zombie until we reap it
    runners[pidfd] = pid
    socket.send_fds(end, [job_id.encode("ascii")], [pidfd])
    return pidfd
