# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat's own numbering: every broadcast packet of a node carries `seq`, from 1 in each generation.

A receiver uses it to drop duplicates and replays. Peers that do not speak our association (Heartbeat 3.0.6) also
expect that missing packets are asked for (NS_rexmit), answered or refused (NS_nak_rexmit), and acknowledged now and
then (NS_ackmsg). Our own peers are not asked: a lost status is followed by the next.

Source: the reliability rules of Heartbeat 3.0.6.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, TypeAlias

from ha.heartbeat.model.wire import Value
from ha.machine import Instant

HISTORY_PACKETS = 500  # as in Heartbeat 3.0.6
MAX_GAP = 250  # a greater jump starts over, as in Heartbeat 3.0.6
MAX_REPEATS_PER_REQUEST = 50
ACK_EVERY = 10
REQUEST_AFTER_MS = 50

Arrival: TypeAlias = Literal["new", "late", "duplicate"]


class History:
    """Our packets of late, in case somebody asks for them again."""

    def __init__(self, max_rexmit_delay_ms: int) -> None:
        self.packets: OrderedDict[int, list[tuple[str, Value]]] = OrderedDict()
        self.repeated_at: dict[int, Instant] = {}
        self.min_interval_ms = max(max_rexmit_delay_ms - 10, 1)

    def keep(self, seq: int, items: list[tuple[str, Value]]) -> None:
        self.packets[seq] = items
        while len(self.packets) > HISTORY_PACKETS:
            dropped, _ = self.packets.popitem(last=False)
            self.repeated_at.pop(dropped, None)

    def repeat(self, first: int, last: int, now: Instant) -> tuple[list[list[tuple[str, Value]]], list[int]]:
        """(fields of the packets to send again, numbers that are gone). Asked too soon again: neither."""
        found, gone = [], []
        for seq in range(first, min(last, first + MAX_REPEATS_PER_REQUEST - 1) + 1):
            items = self.packets.get(seq)
            if items is None:
                gone.append(seq)
            elif now >= self.repeated_at.get(seq, now - self.min_interval_ms) + self.min_interval_ms:
                self.repeated_at[seq] = now
                found.append(items)
        return found, gone


class PeerSequence:
    """Which numbers of one generation of a peer have arrived. `ack_phase` is drawn at random per peer, 0 to 9."""

    def __init__(self, ack_phase: int) -> None:
        assert 0 <= ack_phase < ACK_EVERY
        self.ack_phase = ack_phase
        self.last = 0
        self.acknowledged = 0
        self.missing: dict[int, Instant] = {}
        """When to ask for it (again)."""

    def restart(self) -> None:
        self.last = self.acknowledged = 0
        self.missing.clear()

    def receive(self, seq: int, now: Instant) -> Arrival:
        if seq > self.last:
            if self.last and seq <= self.last + MAX_GAP:
                self.missing.update(dict.fromkeys(range(self.last + 1, seq), now + REQUEST_AFTER_MS))
            elif self.last:
                self.missing.clear()
            self.last = seq
            for old in [number for number in self.missing if number < seq - MAX_GAP]:
                del self.missing[old]
            return "new"
        if self.missing.pop(seq, None) is not None:
            return "late"
        return "duplicate"

    def acknowledge(self) -> int:
        """The number to acknowledge now, 0 for none: every tenth, once nothing up to it is missing.

        Under loss several tens may become complete at once; the greatest speaks for all.
        """
        complete = min(self.missing, default=self.last + 1) - 1
        number = complete - (complete - self.ack_phase) % ACK_EVERY
        if number <= self.acknowledged:
            return 0
        self.acknowledged = number
        return number

    def requests(self, now: Instant, repeat_ms: int) -> list[int]:
        """Numbers to ask for now; each comes up again after `repeat_ms`."""
        due = [number for number, moment in self.missing.items() if now >= moment]
        for number in due:
            self.missing[number] = now + repeat_ms
        return sorted(due)[:MAX_REPEATS_PER_REQUEST]

    def give_up(self, seq: int) -> None:
        self.missing.pop(seq, None)
