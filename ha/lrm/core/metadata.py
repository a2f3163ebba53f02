# SPDX-License-Identifier: GPL-2.0-or-later
"""Meta-data of agents, asked for again and again by crmd and shells: read once per version of the agent's file."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ha.lrm.model.execution import MetadataRead, ReadMetadata
from ha.lrm.msg import GetMetadata
from ha.machine import Client, Local

MAX_CACHED_AGENTS = 256
"""Beyond it the longest unused is dropped and read again when asked for."""

Asker = Local | Client
AgentKey = tuple[str, str, str]


@dataclass(slots=True)
class Reading:
    """A reading under way: for whom, and what was known of the agent when it began (checksum, xml)."""

    key: AgentKey
    known: tuple[str, str]
    waiting: list[tuple[Asker, str]] = field(default_factory=list)


class MetadataCache:
    """Who waits for which agent's meta-data, and what is known by checksum."""

    def __init__(self) -> None:
        self._known: OrderedDict[AgentKey, tuple[str, str]] = OrderedDict()
        self._readings: dict[int, Reading] = {}
        self._serial = 0

    def ask(self, request: GetMetadata, asker: Asker) -> tuple[int, ReadMetadata] | None:
        """The reading to be done, numbered; None when an equal one is under way."""
        key = (request.agent_class, request.provider, request.agent_type)
        for reading in self._readings.values():
            if reading.key == key:
                reading.waiting.append((asker, request.request_id))
                return None
        self._serial += 1
        reading = Reading(key, self._known.get(key, ("", "")), [(asker, request.request_id)])
        self._readings[self._serial] = reading
        return self._serial, ReadMetadata(
            agent_class=request.agent_class,
            agent_type=request.agent_type,
            provider=request.provider,
            known=reading.known[0],
        )

    def answered(self, serial: int, read: MetadataRead) -> tuple[list[tuple[Asker, str]], int, str, str]:
        """Who is to be told (asker, request_id), and what: rc, xml, reason."""
        reading = self._readings.pop(serial)
        self._known.pop(reading.key, None)
        entry = reading.known if read.unchanged else (read.checksum, read.xml)
        if read.rc == 0 and entry[0]:
            self._known[reading.key] = entry
            if len(self._known) > MAX_CACHED_AGENTS:
                self._known.popitem(last=False)
        return reading.waiting, read.rc, entry[1] if read.rc == 0 else "", read.reason
