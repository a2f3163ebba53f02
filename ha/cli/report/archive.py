# SPDX-License-Identifier: GPL-2.0-or-later
"""The tar file of a report: NAME/manifest.json and NAME/NODE/..., one folder for each node."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

from ha import __version__
from ha.cli.report.evidence import Evidence

MANIFEST = "manifest.json"
MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 1024 * 1024 * 1024


class ArchiveError(ValueError):
    """The file is no report."""


def write_archive(out: BinaryIO, name: str, evidence: Iterable[Evidence], now_s: int) -> None:
    """A gzipped tar: the manifest first, with size and SHA-256 of each file and the reason for what is absent."""
    nodes = sorted(evidence, key=lambda each: each.node)
    manifest = {
        "format": 1, "heartbeat": __version__, "made": now_s,
        "nodes": {each.node: {"remarks": each.remarks, "files": [
            {"name": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for file, data in sorted(each.files.items())
        ]} for each in nodes},
    }  # fmt: skip
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as tar:
        _add(tar, f"{name}/{MANIFEST}", json.dumps(manifest, indent=2).encode() + b"\n", now_s)
        for each in nodes:
            for file, data in sorted(each.files.items()):
                _add(tar, f"{name}/{each.node}/{file}", data, now_s)


def _add(tar: tarfile.TarFile, name: str, data: bytes, now_s: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), now_s, 0o600
    tar.addfile(entry, io.BytesIO(data))


def read_archive(source: BinaryIO) -> list[Evidence]:
    """The nodes of a report. Raises ArchiveError for anything else, also for what its manifest does not vouch for."""
    try:
        with tarfile.open(fileobj=source, mode="r:gz") as tar:
            files = _members(tar)
        manifest = json.loads(files.pop(MANIFEST))
        nodes = []
        for node, known in manifest["nodes"].items():
            found = Evidence(str(node), remarks=[str(remark) for remark in known["remarks"]])
            for file in known["files"]:
                data = files[f"{node}/{file['name']}"]
                if hashlib.sha256(data).hexdigest() != file["sha256"]:
                    raise ArchiveError(f"{file['name']} of {node} is not what the manifest says")
                found.add(str(file["name"]), data)
            nodes.append(found)
    except (tarfile.TarError, OSError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"no report of `ha report`: {error}") from error
    return nodes


def _members(tar: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for member in tar:
        path = PurePosixPath(member.name)
        total += member.size
        if len(files) >= MAX_MEMBERS or total > MAX_UNPACKED_BYTES:
            raise ArchiveError(f"more than {MAX_MEMBERS} files or {MAX_UNPACKED_BYTES} bytes")
        if not member.isfile() or ".." in path.parts or path.is_absolute() or len(path.parts) < 2:
            raise ArchiveError(f"{member.name!r} has no place in a report")
        opened = tar.extractfile(member)
        assert opened is not None, member.name
        files["/".join(path.parts[1:])] = opened.read()
    return files
