# SPDX-License-Identifier: GPL-2.0-or-later
"""A service that knows nothing of this project: it speaks the notify protocol as systemd's services do.

notifying.py [--user UID] WORD...   each word is one act, in order; the last one goes on until a signal ends it

ready    say READY=1 with a status                       beat     say WATCHDOG=1 twice within WATCHDOG_USEC, for ever
child    a child says READY=1, and lives on              deaf     say nothing any more
stop     say STOPPING=1                                  main     fork; the child names itself by MAINPID and goes on
slow     from now on SIGTERM ends it in order, without a word, after three times WATCHDOG_USEC
trigger  say WATCHDOG=trigger                            barrier  say BARRIER=1 and wait until the descriptor is closed
"""

import array
import os
import select
import signal
import socket
import sys

KEPT: list[int] = []
"""Descriptors that stay open as long as this process lives."""


def say(text: str, *descriptors: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(os.environ["NOTIFY_SOCKET"])
        along = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        out.sendmsg([text.encode()], along)


def beat() -> None:
    assert os.environ["WATCHDOG_PID"] == str(os.getpid())
    while True:
        say("WATCHDOG=1")
        select.select([], [], [], int(os.environ["WATCHDOG_USEC"]) / 2_000_000)


def child() -> None:
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(write)
        say("READY=1\nSTATUS=by a child")
        os.read(read, 1)  # until the parent has ended
        os._exit(0)
    KEPT.append(write)


def name_a_main_process() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid != 0:
        say(f"MAINPID={pid}")
        os.write(write, b"x")
        signal.pause()
    os.read(read, 1)
    os.environ["WATCHDOG_PID"] = str(os.getpid())


def barrier() -> None:
    read, write = os.pipe()
    say("BARRIER=1", write)
    os.close(write)
    assert os.read(read, 1) == b""
    print("the barrier is passed", flush=True)


def stop_slowly(number: int, frame: object) -> None:
    select.select([], [], [], 3 * int(os.environ["WATCHDOG_USEC"]) / 1_000_000)
    print("stopped in order", flush=True)
    sys.exit(0)


ACTS = {
    "ready": lambda: say("READY=1\nSTATUS=serving 7 players\nX_FUTURE=1"),
    "beat": beat,
    "child": child,
    "deaf": signal.pause,
    "slow": lambda: signal.signal(signal.SIGTERM, stop_slowly),
    "stop": lambda: say("STOPPING=1"),
    "main": name_a_main_process,
    "trigger": lambda: say("WATCHDOG=trigger"),
    "barrier": barrier,
}

if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "--user":
        os.setgroups([])
        os.setuid(int(words[1]))
        words = words[2:]
    for word in words:
        ACTS[word]()
    signal.pause()
