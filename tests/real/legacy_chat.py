# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of heartbeat's classic socket that sends numbered messages to its namesakes and prints what it receives.

python -m tests.real.legacy_chat PAD_BYTES, on a host of the lab. Once /run/chat.end is there it says how many it sent,
and ends when as many as the other one sent have come.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ha.heartbeat.io.api_client import ApiClient, ApiTimeout
from ha.heartbeat.model.wire import Fields
from ha.root import Root

END = Path("/run/chat.end")
EVERY_S = 0.05


class Chat:
    def __init__(self, heartbeat: ApiClient, pad_bytes: int) -> None:
        self.pad = "pad" * (pad_bytes // 3)
        self.heartbeat = heartbeat
        self.own = heartbeat.signon.text("node")
        self.met = False
        self.sent = self.heard = 0
        self.expected = -1

    def say(self, kind: str, number: int = 0) -> None:
        self.heartbeat.send(Fields([("t", kind), ("n", str(number)), ("who", self.own), ("pad", self.pad)]))

    def listen(self) -> None:
        deadline = time.monotonic() + EVERY_S
        while True:
            try:
                message = self.heartbeat.receive(deadline)
            except ApiTimeout:
                return
            if message.text("who") in ("", self.own):
                continue
            assert message.text("pad") == self.pad
            self.met = True
            if message.text("t") == "chat":
                self.heard += 1
                print("from", message.text("who"), message.text("n"), flush=True)
            elif message.text("t") == "chat-end":
                self.expected = int(message.text("n"))


def main() -> None:
    with ApiClient(Root.choose("/"), "chat") as heartbeat:
        chat = Chat(heartbeat, int(sys.argv[1]))
        while not chat.met:  # what is said before the other one has signed on is said to nobody
            chat.say("chat-hello")
            chat.listen()
        chat.say("chat-hello")
        while not END.exists():
            chat.say("chat", chat.sent)
            chat.sent += 1
            chat.listen()
        chat.say("chat-end", chat.sent)
        while chat.heard != chat.expected:
            chat.listen()
    print("end", flush=True)


if __name__ == "__main__":
    main()
