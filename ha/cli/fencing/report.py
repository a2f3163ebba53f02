# SPDX-License-Identifier: GPL-2.0-or-later
"""The readiness of fencing as text, XML and JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence

import msgspec

from ha.stonith.msg import DeviceDrill, FencingStatus, NodeFencing

COLUMNS = "{:<16} {:<6} {:<20} {:<28} {}"


def narrowed(answer: FencingStatus, device: str) -> FencingStatus:
    """What concerns one device (all when "")."""
    if not device:
        return answer
    return msgspec.structs.replace(
        answer,
        nodes=[node for node in answer.nodes if any(device in level for level in node.levels)],
        drills=[drill for drill in answer.drills if drill.device == device],
        findings=[finding for finding in answer.findings if finding.device == device],
    )


def moment(at_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def as_text(answer: FencingStatus, now_s: float) -> Iterator[str]:
    if answer.disarmed_until_s:
        yield f"*** Fencing is DISARMED until {moment(answer.disarmed_until_s)} ***"
        yield ""
    yield COLUMNS.format("Node", "Level", "Devices", "Last proved", "Takes").rstrip()
    for node in answer.nodes:
        for number, level in enumerate(node.levels, 1):
            name = node.node if number == 1 else ""
            drills = [drill for drill in answer.drills if drill.device in level]
            yield COLUMNS.format(
                name, number, " + ".join(level), _proved(level, drills, node.node, now_s), _takes(node, level, drills)
            ).rstrip()
        if not node.levels:
            yield COLUMNS.format(node.node, "-", "none", "never", "").rstrip()
    yield ""
    for target in answer.held:
        yield f"Held back by the brake (fencing-mass-limit): {target}; now: stonith_admin --reboot {target}"
    if not answer.findings:
        yield "Every node can be fenced, as far as can be proved without doing it."
        return
    yield "To look at:"
    for finding in answer.findings:
        yield f"  - {finding.what}"
        yield f"      {finding.remedy}"


def proved_s(level: Sequence[str], drills: Sequence[DeviceDrill], target: str) -> int:
    """When it was last proved that somebody else can use all devices of a level; 0 when it never was, or is not now."""
    moments = []
    for device in level:
        well = [d.proved_at_s for d in drills if d.device == device and d.ok and d.node != target]
        moments.append(max(well, default=0))
    return min(moments, default=0)


def _proved(level: Sequence[str], drills: Sequence[DeviceDrill], target: str, now_s: float) -> str:
    at_s = proved_s(level, drills, target)
    if at_s:
        return f"{moment(at_s)} ({_ago(now_s - at_s)})"
    failed = any(drill.device in level and not drill.ok for drill in drills)
    return "FAILED" if failed else "never"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def _takes(node: NodeFencing, level: Sequence[str], drills: Sequence[DeviceDrill]) -> str:
    """What the last real fence took; the drills' longest try beside it."""
    longest = max((drill.exec_ms for drill in drills), default=0)
    words = [f"drill {longest / 1000:.1f} s"] if drills else []
    last = node.last_fence
    if last is not None and last.state == "success" and set(last.device.split(",")) == set(level):
        words.insert(0, f"fence {last.exec_ms / 1000:.1f} s")
    return ", ".join(words)


def as_json(answer: FencingStatus) -> str:
    found = msgspec.to_builtins(answer)
    for name in ("request_id", "orders", "type"):
        found.pop(name, None)
    return json.dumps(found, indent=2)


def result_as_xml(answer: FencingStatus, request: Sequence[str], code: int, words: str) -> str:
    from lxml import etree

    from ha.cli.output.xml_result import XmlResult, as_xml, yes_no

    result = XmlResult(request)
    attributes = {
        "enabled": yes_no(answer.enabled), "armed": yes_no(not answer.disarmed_until_s),
        "drill-interval-ms": str(answer.drill_interval_ms),
    }  # fmt: skip
    if answer.disarmed_until_s:
        attributes["disarmed-until"] = str(answer.disarmed_until_s)
    top = etree.SubElement(result.root, "fencing", attributes)
    for node in answer.nodes:
        element = etree.SubElement(top, "node", {"name": node.node, "held": yes_no(node.node in answer.held)})
        for number, level in enumerate(node.levels, 1):
            drills = [drill for drill in answer.drills if drill.device in level]
            at_s = proved_s(level, drills, node.node)
            entry = etree.SubElement(element, "level", {"index": str(number), "proved-at": str(at_s)})
            for device in level:
                etree.SubElement(entry, "device", {"id": device})
    for drill in answer.drills:
        element = etree.SubElement(top, "drill", {
            "device": drill.device, "node": drill.node, "at": str(drill.at_s), "ok": yes_no(drill.ok),
            "exec-time-ms": str(drill.exec_ms), "proved-at": str(drill.proved_at_s),
        })  # fmt: skip
        for check in drill.checks:
            found = {
                "action": check.action, "target": check.target, "ok": yes_no(check.ok),
                "reason": as_xml(check.reason), "exec-time-ms": str(check.exec_ms),
            }  # fmt: skip
            etree.SubElement(element, "check", {name: value for name, value in found.items() if value})
    for finding in answer.findings:
        given = {"node": finding.node, "device": finding.device}
        element = etree.SubElement(top, "finding", {name: value for name, value in given.items() if value})
        etree.SubElement(element, "what").text = as_xml(finding.what)
        etree.SubElement(element, "remedy").text = as_xml(finding.remedy)
    return result.finish(code, words)
