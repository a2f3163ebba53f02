# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of the devices: the CIB's word, the agents' meta-data, and the lists of those that can say themselves.

The configuration is read again whenever the cib reports a change outside the status. One reading is under way at a
time; changes meanwhile cause one more.
"""

from __future__ import annotations

from ha.cib.msg import Answer, Changed, Query
from ha.machine import Arm, Effect, Execute, Instant, Local, Note, Send
from ha.stonith.model.configuration import Configuration, ConfigurationError, parse_configuration
from ha.stonith.model.device import AgentTraits, Device, parse_host_list
from ha.stonith.model.execution import FenceMetadata, ReadFenceMetadata

CIB = Local("cib")
QUERY_RETRY_MS = 1_000
UNREADABLE = AgentTraits(known=False)


class Registry:
    def __init__(self) -> None:
        self.configuration = Configuration()
        self.known = False
        """Whether a configuration has been read since the start."""
        self.lists: dict[str, frozenset[str]] = {}  # device -> hosts it said it reaches
        self._traits: dict[str, AgentTraits] = {}
        self._reading: set[str] = set()
        self._serial = 0
        self._asked = ""  # request_id of the query under way
        self._stale = False

    # The CIB ---------------------------------------------------------------------------------------------------------

    def changed(self, message: Changed, now: Instant) -> list[Effect]:
        if message.whole:
            return self.read(message.whole)
        if message.sections and set(message.sections) <= {"status", "cib"}:
            return []  # "cib" are the attributes of the root, such as the version that every change raises
        return self.query(now)

    def query(self, now: Instant) -> list[Effect]:
        if self._asked:
            self._stale = True
            return []
        self._serial += 1
        self._asked = f"stonithd-{now}-{self._serial}"
        self._stale = False
        return [
            Send(CIB, Query(request_id=self._asked, scope="configuration")),
            Arm("query", now + QUERY_RETRY_MS),
        ]

    def answered(self, message: Answer, now: Instant) -> list[Effect]:
        if message.request_id != self._asked:
            return []
        if message.rc != 0:
            return [Note("warning", f"the configuration cannot be read: {message.reason}")]  # the timer asks again
        self._asked = ""
        effects = self.read(message.xml)
        return effects + (self.query(now) if self._stale else [])

    def query_overdue(self, now: Instant) -> list[Effect]:
        if not self._asked:
            return []
        self._asked = ""
        return self.query(now)

    def read(self, xml: str) -> list[Effect]:
        """Take over a configuration; one that cannot be read leaves the devices as they were."""
        try:
            fresh = parse_configuration(xml)
        except ConfigurationError as error:
            return [Note("error", f"fence devices stay as they were: {error}")]
        former, self.configuration, self.known = self.configuration.devices, fresh, True
        effects: list[Effect] = [Note("warning", complaint) for complaint in fresh.complaints]
        for device_id in sorted(former.keys() | fresh.devices.keys()):
            if former.get(device_id) != fresh.devices.get(device_id):
                self.lists.pop(device_id, None)
                effects.append(Note("info", f"fence device {device_id}: {_change(device_id, former, fresh.devices)}"))
        return effects + self._read_metadata()

    # Agents ----------------------------------------------------------------------------------------------------------

    def _read_metadata(self) -> list[Effect]:
        agents = sorted({device.agent for device in self.configuration.devices.values()})
        # One that could not be read may have been installed since.
        wanted = [agent for agent in agents if not self.traits(agent).known and agent not in self._reading]
        self._reading.update(wanted)
        return [Execute(f"metadata {agent}", ReadFenceMetadata(agent)) for agent in wanted]

    def metadata_read(self, agent: str, found: FenceMetadata) -> list[Effect]:
        self._reading.discard(agent)
        if found.reason:
            self._traits[agent] = UNREADABLE
            return [Note("warning", f"fence agent {agent}: {found.reason}")]
        self._traits[agent] = AgentTraits(
            frozenset(found.parameters), frozenset(found.actions), known=True, unfences=found.unfences,
            on_target=found.on_target,
        )  # fmt: skip
        return []

    @property
    def is_reading(self) -> bool:
        return bool(self._reading)

    def traits(self, agent: str) -> AgentTraits:
        return self._traits.get(agent, UNREADABLE)

    # What reaches what -----------------------------------------------------------------------------------------------

    def device(self, device_id: str) -> Device | None:
        return self.configuration.devices.get(device_id)

    def wants_list(self, node: str) -> list[Device]:
        """Devices usable here that must be asked which nodes they reach, and have not been."""
        return [
            device
            for device in self.configuration.devices.values()
            if device.id not in self.lists
            and device.may_run_on(node)
            and device.agent not in self._reading
            and device.host_check(self.traits(device.agent)) == "dynamic-list"
        ]

    def listed(self, device_id: str, output: str) -> None:
        if device_id in self.configuration.devices:
            self.lists[device_id] = parse_host_list(output)

    def reach(self, device: Device, target: str) -> bool | None:
        """Whether the device can fence the target; None when only trying would tell."""
        match device.host_check(self.traits(device.agent)):
            case "none":
                return True
            case "static-list":
                return target in device.host_list
            case "dynamic-list" if device.id in self.lists:
                return device.host_map.get(target, target).lower() in self.lists[device.id] or None
            case _:
                return None

    def able(self, target: str) -> list[Device]:
        """Devices for the target: those that surely reach it first, then those that may; by id."""
        found = [(self.reach(device, target), device) for device in self.configuration.devices.values()]
        return [device for sure in (True, None) for reach, device in found if reach is sure]


def _change(device_id: str, former: dict[str, Device], fresh: dict[str, Device]) -> str:
    if device_id not in fresh:
        return "known => gone"
    return "changed" if device_id in former else "unknown => known"
