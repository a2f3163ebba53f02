# SPDX-License-Identifier: GPL-2.0-or-later
"""corosync.conf => ha.cf: nodes and their weights, addresses, how soon a node counts as lost, quorum.

Corosync says a node is lost when its token did not come for `token` plus the coefficient for every node above two; that
becomes deadtime. The CIB beside it is Pacemaker's and is converted on its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ha.cli.config.convert.corosync_conf import Section, parse
from ha.cli.config.convert.model import Conversion, ConversionError, Remarks
from ha.heartbeat.model.ha_cf import MAX_NODES, HaCfError
from ha.heartbeat.model.ha_cf_parser import parse as parse_ha_cf

DEFAULT_TOKEN_MS, DEFAULT_COEFFICIENT_MS = 3_000, 650  # of corosync 3.1
DEFAULT_PORT = 5405
MAX_RINGS = 8
_TIMES = ("token", "token_coefficient")
_NAMED = ("version", "cluster_name", "transport", *_TIMES)
_SECURITY = ("secauth", "crypto_cipher", "crypto_hash", "crypto_model", "keyfile", "key", "crypto_type")
_MEDIA = ("bindnetaddr", "mcastaddr", "mcastport", "ttl", "ringnumber", "broadcast", "linknumber")
_NODE = ("name", "nodeid", "quorum_votes")
_QUORUM = ("provider", "expected_votes", "two_node", "wait_for_all")
_LOGGING = ("to_syslog", "syslog_facility", "timestamp", "to_stderr", "fileline", "function_name")
_NEEDED_BY_COROSYNC_ONLY = ("ip_version", "autogenerate", "link_mode", "rrp_mode")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the file does not say. `interfaces`: of each ring, the network interface; `resolve`: the address of a host
    name (None: unknown)."""

    interfaces: Mapping[int, str] = field(default_factory=dict)
    resolve: Callable[[str], str | None] = field(default=lambda _name: None)


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    votes: int
    addresses: Mapping[int, str]
    line: int


def convert(corosync_conf: tuple[str, str], surroundings: Surroundings | None = None) -> Conversion:
    """The file as (name, text). Raises ConversionError when it cannot be used."""
    filename, text = corosync_conf
    converter = _Converter(parse(text, filename), filename, surroundings or Surroundings())
    made = converter.ha_cf()
    try:
        parse_ha_cf(made, "the result")
    except HaCfError as error:
        raise ConversionError([*converter.problems, *error.problems]) from error
    if converter.problems:
        raise ConversionError(converter.problems)
    return Conversion({"ha.cf": made}, tuple(converter.remarks.made))


class _Converter:
    def __init__(self, root: Section, filename: str, around: Surroundings) -> None:
        self.root, self.filename, self.around = root, filename, around
        self.remarks = Remarks()
        self.problems: list[str] = []
        self.totem = root.merged("totem")

    def where(self, line: int) -> str:
        return f"{self.filename}:{line}"

    def ha_cf(self) -> str:
        nodes = self._nodes()
        lines = [f"# From {self.filename.rsplit('/', 1)[-1]}.", "crm respawn"]
        cluster = self.totem.get("cluster_name")
        lines += [f"cluster {cluster}"] if cluster else []
        lines += self._times(len(nodes))
        lines += self._media(nodes)
        lines += [f"node {node.name}" for node in nodes]
        lines += [f"node_weight {node.name} {node.votes}" for node in nodes if node.votes != 1]
        self._quorum(nodes)
        lines += self._logging()
        self._security()
        self._rest()
        return "\n".join(lines) + "\n"

    # Nodes -----------------------------------------------------------------------------------------------------------

    def _nodes(self) -> list[_Node]:
        nodes = [self._node(section) for section in self.root.merged("nodelist").all("node")]
        if not nodes:
            self.problems.append(f"{self.filename}: no nodelist: name the nodes there, ha.cf must list them")
        if len(nodes) > MAX_NODES:
            self.problems.append(f"{self.filename}: more than {MAX_NODES} nodes")
        return nodes[:MAX_NODES]

    def _node(self, section: Section) -> _Node:
        addresses: dict[int, str] = {}
        for ring in range(MAX_RINGS):
            key = f"ring{ring}_addr"
            if key in section.settings:
                address = self._address(section.get(key), self.where(section.line_of(key)))
                addresses |= {ring: address} if address else {}
        name = section.get("name")
        if not name:
            name = section.get("ring0_addr")
            if not name or _is_address(name):
                self.problems.append(f"{self.where(section.line)}: a node without a name: add `name: NAME` (uname -n)")
                name = "unnamed"
            else:
                self.remarks.changed(self.where(section.line), f"a node without a name is taken to be called {name}",
                                     "it must be what `uname -n` says there")  # fmt: skip
        if name != name.lower():
            self.remarks.changed(self.where(section.line), f"node {name} is called {name.lower()} here")
        votes = section.get("quorum_votes", "1")
        if not votes.isdecimal():
            self.problems.append(f"{self.where(section.line_of('quorum_votes'))}: {votes!r} is no number of votes")
            votes = "1"
        for key in section.settings:
            if key not in _NODE and not (key.startswith("ring") and key.endswith("_addr")):
                self._lost(section, key)
        return _Node(name.lower(), int(votes), addresses, section.line)

    def _address(self, word: str, where: str) -> str | None:
        if _is_address(word):
            return word
        found = self.around.resolve(word)
        if found is None:
            self.problems.append(f"{where}: the address of {word} is not known here: write an address")
            return None
        self.remarks.changed(where, f"{word} is {found} here and now; ha.cf has the address")
        return found

    # Media -----------------------------------------------------------------------------------------------------------

    def _media(self, nodes: list[_Node]) -> list[str]:
        transport = self.totem.get("transport", "knet")
        interfaces = {_number(section.get("linknumber", section.get("ringnumber", "0"))): section
                      for section in self.totem.all("interface")}  # fmt: skip
        if transport == "udp":
            return self._multicast(interfaces)
        if transport not in ("knet", "udpu"):
            self.remarks.changed(self.where(self.totem.line_of("transport")), f"transport {transport} becomes ucast")
        rings = sorted({ring for node in nodes for ring in node.addresses})
        ports = {ring: section.get("mcastport") for ring, section in interfaces.items() if section.get("mcastport")}
        lines = [f"udpport {ports[min(ports)]}"] if ports else []
        if len(set(ports.values())) > 1:
            self.remarks.changed(self.filename, f"all rings use port {ports[min(ports)]}")
        for ring in rings:
            for node in nodes:
                if ring in node.addresses:
                    lines.append(self._ucast(ring, node.addresses[ring]))
        for section in interfaces.values():
            self._interface_rest(section)
        self._guessed(rings)
        return lines

    def _ucast(self, ring: int, address: str) -> str:
        return f"ucast{'6' if ':' in address else ''} {self._interface(ring)} {address}"

    def _multicast(self, interfaces: Mapping[int, Section]) -> list[str]:
        lines = []
        for ring, section in sorted(interfaces.items()):
            port, ttl = section.get("mcastport", str(DEFAULT_PORT)), section.get("ttl", "1")
            if section.get("broadcast") == "yes":
                lines.append(f"udpport {port}\nbcast {self._interface(ring)}")
            elif not section.get("mcastaddr"):
                self.problems.append(f"{self.where(section.line)}: transport udp without mcastaddr: add it")
            else:
                kind = "mcast6" if ":" in section.get("mcastaddr") else "mcast"
                lines.append(f"{kind} {self._interface(ring)} {section.get('mcastaddr')} {port} {ttl} 0")
            self._interface_rest(section)
        if not interfaces:
            self.problems.append(f"{self.filename}: transport udp without an interface section")
        self._guessed(sorted(interfaces))
        return lines

    def _interface(self, ring: int) -> str:
        return self.around.interfaces.get(ring, f"eth{ring}")

    def _guessed(self, rings: list[int]) -> None:
        for ring in rings:
            if ring not in self.around.interfaces:
                self.remarks.changed(self.filename, f"ring {ring} is taken to be on {self._interface(ring)}",
                                     f"say otherwise with --interface {ring}=NAME")  # fmt: skip

    def _interface_rest(self, section: Section) -> None:
        for key in section.settings:
            if key not in _MEDIA:
                self._lost(section, key)

    # Times and quorum ------------------------------------------------------------------------------------------------

    def _times(self, nodes: int) -> list[str]:
        token = self._milliseconds("token", DEFAULT_TOKEN_MS)
        coefficient = self._milliseconds("token_coefficient", DEFAULT_COEFFICIENT_MS)
        deadtime_ms = token + max(0, nodes - 2) * coefficient
        keepalive_ms = max(1, deadtime_ms // 5)
        self.remarks.changed(
            self.where(self.totem.line_of("token")),
            f"a token timeout of {deadtime_ms} ms for {nodes} nodes becomes deadtime; keepalive and warntime are a "
            "fifth and a half of it", "without these lines a lost node is noticed after a second",
        )  # fmt: skip
        return [f"keepalive {keepalive_ms}ms", f"warntime {deadtime_ms // 2}ms", f"deadtime {deadtime_ms}ms",
                f"initdead {max(10_000, deadtime_ms)}ms"]  # fmt: skip

    def _milliseconds(self, key: str, default: int) -> int:
        value = self.totem.get(key, str(default))
        if value.isdecimal() and len(value) < 9 and (int(value) >= 10 or key != "token"):
            return int(value)
        self.problems.append(f"{self.where(self.totem.line_of(key))}: {key}: {value!r} is no time in milliseconds")
        return default

    def _quorum(self, nodes: list[_Node]) -> None:
        quorum = self.root.merged("quorum")
        if quorum.get("provider") not in ("", "corosync_votequorum"):
            self._lost(quorum, "provider")
        votes = sum(node.votes for node in nodes)
        if quorum.get("expected_votes", str(votes)) != str(votes):
            self.remarks.changed(self.where(quorum.line_of("expected_votes")),
                                 f"expected_votes: the {votes} votes of the listed nodes count")  # fmt: skip
        two = len(nodes) == 2
        if quorum.get("two_node") == "1" and two:
            self.remarks.changed(self.where(quorum.line_of("two_node")), "two nodes: the survivor acts after fencing "
                                 "the other, and neither forms a cluster alone at its first start")  # fmt: skip
        if quorum.get("wait_for_all") == "1" and not two:
            self._lost(quorum, "wait_for_all")
        if quorum.get("wait_for_all") == "0" and two:
            self._lost(quorum, "wait_for_all")
        for key, setting in quorum.settings.items():
            if key not in _QUORUM and setting.value not in ("0", "no"):
                self._lost(quorum, key)
        for section in quorum.sections:
            self.remarks.lost(self.where(section.line), f"quorum.{section.name}: there is no tie-breaker by a device",
                              "an odd number of nodes, or weights")  # fmt: skip

    def _logging(self) -> list[str]:
        logging = self.root.merged("logging")
        for key in logging.settings:
            if key not in _LOGGING:
                self._lost(logging, key, "see `ha log` for where the log is and how its level is changed")
        for section in logging.sections:
            self.remarks.lost(self.where(section.line), f"logging.{section.name}")
        if logging.get("to_syslog", "yes") == "yes" and logging.get("syslog_facility"):
            return [f"logfacility {logging.get('syslog_facility')}"]
        return []

    # The rest --------------------------------------------------------------------------------------------------------

    def _security(self) -> None:
        self.remarks.changed(self.where(self.totem.line), "corosync's key is not used",
                             "write one with `ha keys generate` and copy it to every node")  # fmt: skip

    def _rest(self) -> None:
        for key in self.totem.settings:
            if key in _NEEDED_BY_COROSYNC_ONLY:
                self.remarks.changed(self.where(self.totem.line_of(key)), f"totem.{key} has no counterpart and no need")
            elif key not in (*_NAMED, *_SECURITY):
                self._lost(self.totem, key)
        for section in self.totem.sections:
            if section.name != "interface":
                self.remarks.lost(self.where(section.line), f"totem.{section.name}")
        for section in self.root.sections:
            if section.name not in ("totem", "nodelist", "quorum", "logging"):
                self.remarks.lost(self.where(section.line), f"section {section.name}")

    def _lost(self, section: Section, key: str, advice: str = "") -> None:
        what = f"{section.name}.{key}: {section.get(key)}"
        self.remarks.lost(self.where(section.line_of(key)), what, advice or "it has no counterpart in ha.cf")


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _number(word: str) -> int:
    return int(word) if word.isdecimal() and len(word) < 4 else 0
