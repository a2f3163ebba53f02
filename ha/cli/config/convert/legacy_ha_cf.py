# SPDX-License-Identifier: GPL-2.0-or-later
"""The ha.cf of a cluster without a CRM, rewritten line by line for one with a CRM.

What moves into the CIB is taken out and handed back; a line that ours would not act on stays and is remarked.
"""

from __future__ import annotations

from dataclasses import dataclass

from ha.cli.config.convert.model import ConversionError, Remarks
from ha.heartbeat.model.directives import DIRECTIVES
from ha.heartbeat.model.ha_cf import HaCf, HaCfError
from ha.heartbeat.model.ha_cf_parser import parse
from ha.heartbeat.model.time import parse_boolean

OLD_KEEPALIVE_MS, OLD_DEADTIME_MS = 1_000, 30_000  # what 3.0.6 takes when ha.cf does not say
_CRM = ("crm", "pacemaker")
_TO_CIB = ("auto_failback", "stonith", "stonith_host")
_WITHOUT_NEED = {
    "crm_daemon_dir": "all programs come with this package",
    "crmd_spawns_pengine": "rmd starts the policy engine",
    "hbgenmethod": "the generation is kept in a file",
    "uuidfrom": "the uuid is kept in a file",
    "use_apphbd": "apphbd always watches the workers",
    "memreserve": "memory is locked, not reserved",
    "syslogmsgfmt": "logd formats the lines",
    "conn_logd_time": "logd's link is made anew at once",
    "record_config_changes": "changes are always recorded",
    "record_pengine_inputs": "the scheduler's inputs are always saved",
    "enable_config_writes": "the configuration is always written",
}
"""What is not acted on because it is always so, or has no counterpart that anybody could miss."""


@dataclass(frozen=True, slots=True)
class StonithDevice:
    """From a line stonith_host FROM PLUGIN PARAMETERS; `host` may be "*"."""

    host: str
    plugin: str
    values: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class HaCfRewrite:
    """`stickiness` is what auto_failback said, as resource-stickiness."""

    filename: str
    text: str
    nodes: tuple[str, ...]
    cluster: str
    stickiness: str
    stonith: tuple[StonithDevice, ...]


def rewrite(text: str, filename: str, remarks: Remarks) -> HaCfRewrite:
    """Raises ConversionError with every line that cannot be read."""
    try:
        ha_cf = parse(text, filename)
    except HaCfError as error:
        patient = _with_old_times(text, filename)
        if patient is None:
            raise ConversionError(error.problems) from error
        ha_cf = patient
    devices: list[StonithDevice] = []
    lines: list[str] = []
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        words = line.split("#", 1)[0].split()
        lines.append(_line(line, words, f"{filename}:{number}", number, devices, remarks))
    lines += _times(text, ha_cf, filename, remarks)
    lines.append("crm respawn")
    stickiness = _stickiness(ha_cf, filename, remarks)
    cluster = ha_cf.cluster
    return HaCfRewrite(filename, "\n".join(lines) + "\n", ha_cf.nodes, cluster, stickiness, tuple(devices))


def _with_old_times(text: str, filename: str) -> HaCf | None:
    """A file whose times do not fit our defaults, but do fit those of 3.0.6."""
    try:
        return parse(text + "\n" + "\n".join(_old_times(text)) + "\n", filename)
    except HaCfError:
        return None


def _old_times(text: str) -> list[str]:
    """Lines for what the file leaves open."""
    given = {words[0] for line in text.split("\n") if (words := line.split("#", 1)[0].split())}
    defaults = {"keepalive": OLD_KEEPALIVE_MS, "deadtime": OLD_DEADTIME_MS}
    return [] if "profile" in given else [f"{name} {ms}ms" for name, ms in defaults.items() if name not in given]


def _line(line: str, words: list[str], where: str, number: int, devices: list[StonithDevice], remarks: Remarks) -> str:
    name = words[0] if words else ""
    if name in _CRM:
        return f"# {line.strip()}"
    if name in _TO_CIB:
        if name == "stonith_host":
            devices.append(StonithDevice(words[1], words[2] if len(words) > 2 else "", tuple(words[3:]), number))
        elif name == "stonith":
            remarks.lost(where, f"stonith {words[1]}: the device's parameters are in {words[2]}, which was not read",
                         "write them as a fence device into the CIB")  # fmt: skip
        return f"# now in the CIB: {line.strip()}"
    if name in ("respawn", "failfast") and words[-1].rsplit("/", 1)[-1] == "ipfail":
        remarks.lost(where, "ipfail: moving to the node that reaches more ping nodes",
                     "clone ocf:pacemaker:ping and add a rule on its attribute to each location")  # fmt: skip
        return f"# not carried over: {line.strip()}"
    if name and DIRECTIVES[name].acted_on is not True:
        if name in _WITHOUT_NEED:
            remarks.changed(where, f"{name} does nothing here: {_WITHOUT_NEED[name]}")
        else:
            remarks.lost(where, f"{name} is understood but not acted on")
    return line


def _times(text: str, ha_cf: HaCf, filename: str, remarks: Remarks) -> list[str]:
    """What the file leaves open to 3.0.6's defaults, said aloud: ours are shorter."""
    if "profile" in ha_cf.parameters:
        return []
    added = _old_times(text)
    deadtime_ms = OLD_DEADTIME_MS if any(line.startswith("deadtime ") for line in added) else ha_cf.deadtime_ms
    if "initdead" not in ha_cf.parameters:
        initdead_ms = deadtime_ms if deadtime_ms > 10_000 else 12_000 if deadtime_ms < 6_000 else 2 * deadtime_ms
        added.append(f"initdead {initdead_ms}ms")
    if added:
        told = "; ".join(added)
        remarks.changed(filename, f"times that it leaves open are written out as Heartbeat 3.0.6 took them: {told}",
                        "without them our shorter defaults hold: a lost node is noticed after a second")  # fmt: skip
    return added


def _stickiness(ha_cf: HaCf, filename: str, remarks: Remarks) -> str:
    """auto_failback off: what runs stays. on and legacy: it goes home."""
    word = ha_cf.parameters.get("auto_failback", "legacy").split()[-1]
    if word == "legacy":
        remarks.changed(filename, "auto_failback legacy (also when it is not given): resources go home, as with `on`")
        return "0"
    return "0" if parse_boolean(word) else "INFINITY"
