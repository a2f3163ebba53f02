# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node has to show: configuration, logs, the CIB and what the policy engine was given, and how it all stands.

Nothing here waits for a dead worker: files and shared memory are read, and what cannot be had is named in the manifest.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ha import __version__
from ha.cli.config.check import examine
from ha.cli.crm_mon.text_report import Sections, report
from ha.cli.report.masking import mask_cib, mask_text, masked_keys, secrets_of
from ha.cli.source.cib import SourceError, connect
from ha.cli.source.cluster import view_of
from ha.cli.status import describe
from ha.pe.model.document import CibError
from ha.root import Root, RootError

MAX_LOG_BYTES = 8 * 1024 * 1024
"""The end of each log; what lies before it is left out, and the manifest says so."""
MAX_INPUTS = 20
"""The newest inputs of the policy engine, which `crm_simulate` replays."""
MAX_FILE_BYTES = 64 * 1024 * 1024
CONFIGURATION = ("ha.cf", "nodeinfo", "apphbd.cf", "rmd.cf", "logd.cf", "recoverymgrd.conf")


@dataclass(slots=True)
class Evidence:
    """Files by name, and the reasons for what is absent or cut."""

    node: str
    files: dict[str, bytes] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, name: str, data: bytes) -> None:
        self.files[name] = data


def collect(root: Root, since_s: float) -> Evidence:
    """Everything of the node below `root`; of logs and inputs what was written after `since_s` (Unix seconds)."""
    try:
        name = root.node_name()
    except RootError:
        name = "unknown"
    found = Evidence(name)
    secrets = _keys(root, found) | _cib(root, found)
    for file in CONFIGURATION:
        _text(found, root.config_dir / file, f"configuration/{file}", secrets, must=file == "ha.cf")
    for stanza in sorted(root.supervisor_dir.glob("*.conf")):
        _text(found, stanza, f"configuration/supervisor.d/{stanza.name}", secrets)
    for log in sorted(root.log_dir.glob("*")):
        if log.is_file() and log.stat().st_mtime >= since_s and not log.name.endswith(".gz"):
            _text(found, log, f"logs/{log.name}", secrets)
    _inputs(root, found, since_s)
    for file, tell in (("status.txt", _status), ("crm_mon.txt", _crm_mon), ("config-check.txt", _check),
                       ("machine.txt", _machine)):  # fmt: skip
        _told(found, file, root, tell, secrets)
    return found


def _keys(root: Root, found: Evidence) -> set[str]:
    try:
        text, secrets = masked_keys(root.authkeys.read_text())
    except (OSError, UnicodeDecodeError) as error:
        found.remarks.append(f"{root.authkeys}: {error}")
        return set()
    found.add("configuration/authkeys.methods", text.encode())
    return secrets


def _cib(root: Root, found: Evidence) -> set[str]:
    """The CIB as it is shown, and as it is on the disk; and its secrets."""
    secrets: set[str] = set()
    for name in ("cib.xml", "cib-on-disk.xml"):
        try:
            data = connect(root, "report", 500).read() if name == "cib.xml" else _bytes(root.cib_dir / "cib.xml")
        except (SourceError, OSError) as error:
            found.remarks.append(f"{name}: {error}")
            continue
        masked = mask_cib(data)
        if masked is None:
            found.remarks.append(f"{name} is no XML, so its secrets cannot be told: left out")
            continue
        secrets |= secrets_of(data)
        found.add(name, masked)
    return secrets


def _inputs(root: Root, found: Evidence, since_s: float) -> None:
    saved = sorted((path for path in root.state_dir.glob("pengine/pe-input-*.xml")),
                   key=lambda path: path.stat().st_mtime, reverse=True)  # fmt: skip
    for path in [path for path in saved if path.stat().st_mtime >= since_s][:MAX_INPUTS]:
        masked = mask_cib(path.read_bytes())
        if masked is not None:
            found.add(f"pengine/{path.name}", masked)
    if len(saved) > MAX_INPUTS:
        found.remarks.append(f"of {len(saved)} inputs of the policy engine the newest {MAX_INPUTS} are here")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def _text(found: Evidence, path: Path, name: str, secrets: set[str], *, must: bool = False) -> None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_LOG_BYTES:
                file.seek(size - MAX_LOG_BYTES)
                found.remarks.append(f"{name}: the last {MAX_LOG_BYTES} of {size} bytes")
            data = file.read(MAX_LOG_BYTES)
    except FileNotFoundError:
        if must:
            found.remarks.append(f"{name}: no such file")
        return
    except OSError as error:
        found.remarks.append(f"{name}: {error.strerror}")
        return
    found.add(name, mask_text(data.decode(errors="replace"), secrets).encode())


def _told(found: Evidence, name: str, root: Root, tell: Callable[[Root], Iterator[str]], secrets: set[str]) -> None:
    try:
        lines = list(tell(root))
    except (SourceError, CibError, RootError, OSError) as error:
        found.remarks.append(f"{name}: {error}")
        return
    found.add(name, (mask_text("\n".join(lines), secrets) + "\n").encode())


def _status(root: Root) -> Iterator[str]:
    yield from describe(view_of(connect(root, "report", 500).read(), int(time.time())))


def _crm_mon(root: Root) -> Iterator[str]:
    everything = Sections(inactive=True, attributes=True, failcounts=True, operations=True, timing=True, tickets=True,
                          bans=True, detail=True)  # fmt: skip
    yield from report(view_of(connect(root, "report", 500).read(), int(time.time())), everything)


def _check(root: Root) -> Iterator[str]:
    for finding in examine(root):
        yield f"{finding.weight}: {finding.what}" + (f" ({finding.remedy})" if finding.remedy else "")


def _machine(root: Root) -> Iterator[str]:
    yield f"Heartbeat {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield f"root {root.prefix or '/'}, load {os.getloadavg()}, {os.cpu_count()} processors"
    yield Path("/proc/uptime").read_text().split()[0] + " s since boot"
    yield from Path("/proc/meminfo").read_text().splitlines()[:3]
    for entry in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        try:
            title = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile
        if title.startswith("ha-"):
            yield f"process {entry}: {title}"
