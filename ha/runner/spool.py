# SPDX-License-Identifier: GPL-2.0-or-later
"""The directory of jobs, claims, results and records: every file appears whole, or not at all.

    ID.job      the order, written by the worker before a runner is forked
    ID.claim    who took it: a runner, or the worker that revoked it (pid 0)
    ID.result   its end
    records/N   what the worker keeps of its own over its restarts
    boot        names the life of the machine that the rest belongs to
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from ha.runner.model import MAX_JOB_BYTES, MAX_RESULT_BYTES, End, Holder, Job

MAX_RECORD_BYTES = 4_000_000
MAX_HOLDER_BYTES = 4_096
MAX_FILE_NAME_LENGTH = 200
REVOKED = Holder(0, 0)
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

T = TypeVar("T")


class SpoolError(Exception):
    """A file of the spool cannot be believed: oversized or not what it should be. The text names file and reason."""


class Spool:
    """The spool in `directory`, which is made when missing (mode 0700: parameters hold passwords)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.records_directory = directory / "records"
        self.records_directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def boot(self) -> str:
        """The identity of this life of the machine: new after a reboot, or when the run directory was emptied."""
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        path = self.directory / "boot"
        known = _read(path, MAX_HOLDER_BYTES)
        if known is not None and known.decode("ascii", "replace").startswith(kernel + " "):
            return known.decode("ascii").strip()
        fresh = f"{kernel} {uuid.uuid4()}"
        for stale in [*self.directory.glob("*.*"), *self.records_directory.iterdir()]:
            stale.unlink(missing_ok=True)
        self._write(path, fresh.encode("ascii"))
        return fresh

    # Jobs ------------------------------------------------------------------------------------------------------------

    def write_job(self, job: Job) -> None:
        assert JOB_ID.fullmatch(job.id), job.id
        data = msgspec.msgpack.encode(job)
        if len(data) > MAX_JOB_BYTES:
            raise SpoolError(f"job {job.id}: {len(data)} bytes are more than {MAX_JOB_BYTES}")
        self._write(self._path(job.id, "job"), data)

    def read_job(self, job_id: str) -> Job:
        job = self._decode(self._path(job_id, "job"), MAX_JOB_BYTES, Job)
        if job is None:
            raise SpoolError(f"job {job_id} is not in the spool")
        return job

    def jobs(self) -> list[str]:
        return sorted(path.stem for path in self.directory.glob("*.job") if JOB_ID.fullmatch(path.stem))

    def claim(self, job_id: str, holder: Holder) -> bool:
        """Take the job; False when another has it. Atomic: the claim appears with its content by link(2)."""
        path = self._path(job_id, "claim")
        scratch = path.with_suffix(f".claim-{os.getpid()}")
        _create(scratch, msgspec.msgpack.encode(holder))
        try:
            os.link(scratch, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(scratch)
        return True

    def claimant(self, job_id: str) -> Holder | None:
        return self._decode(self._path(job_id, "claim"), MAX_HOLDER_BYTES, Holder)

    def write_result(self, job_id: str, end: End) -> None:
        self._write(self._path(job_id, "result"), msgspec.msgpack.encode(end))

    def result(self, job_id: str) -> End | None:
        return self._decode(self._path(job_id, "result"), MAX_RESULT_BYTES, End)

    def drop(self, job_id: str) -> None:
        """Forget a job whose end is known and recorded. The order goes first: without it the rest is litter."""
        for suffix in ("job", "result", "claim"):
            self._path(job_id, suffix).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what belongs to no job: remains of a drop or a write that was cut short."""
        known = set(self.jobs())
        for path in [*self.directory.iterdir(), *self.records_directory.iterdir()]:
            job_id, _, suffix = path.name.rpartition(".")
            writer = path.name.rpartition("-")[2]
            if path.name.startswith(".") or suffix.startswith("claim-"):
                litter = not Path(f"/proc/{writer}").exists()
            else:
                litter = suffix in ("claim", "result") and job_id not in known
            if litter:
                path.unlink(missing_ok=True)

    # Records ---------------------------------------------------------------------------------------------------------

    def keep(self, name: str, data: bytes | None) -> None:
        """Replace the record `name`; None removes it."""
        path = self.records_directory / _file_name(name)
        if data is None:
            path.unlink(missing_ok=True)
            return
        if len(data) > MAX_RECORD_BYTES:
            raise SpoolError(f"record {name}: {len(data)} bytes are more than {MAX_RECORD_BYTES}")
        self._write(path, msgspec.msgpack.encode((name, data)))

    def records(self) -> tuple[dict[str, bytes], list[str]]:
        """All records by name, in order of name, and a sentence for each that could not be read."""
        found: dict[str, bytes] = {}
        complaints: list[str] = []
        for path in sorted(self.records_directory.iterdir()):
            if path.name.startswith("."):
                continue
            try:
                entry = self._decode(path, MAX_RECORD_BYTES + MAX_HOLDER_BYTES, tuple[str, bytes])
            except SpoolError as error:
                complaints.append(str(error))
                continue
            if entry is not None:
                found[entry[0]] = entry[1]
        return found, complaints

    # Files -----------------------------------------------------------------------------------------------------------

    def _path(self, job_id: str, suffix: str) -> Path:
        return self.directory / f"{job_id}.{suffix}"

    def _write(self, path: Path, data: bytes) -> None:
        scratch = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            _create(scratch, data)
            os.rename(scratch, path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                scratch.unlink()
            raise

    def _decode(self, path: Path, limit: int, kind: type[T]) -> T | None:
        data = _read(path, limit)
        if data is None:
            return None
        try:
            return msgspec.msgpack.decode(data, type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise SpoolError(f"{path}: {error}") from error


# Without Python's file objects: a runner uses each of these once, and pays for every page of memory it touches first.


def _create(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _read(path: Path, limit: int) -> bytes | None:
    """The file's content, None when there is none. Raises SpoolError when it is larger than `limit`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        if size > limit:
            raise SpoolError(f"{path}: more than {limit} bytes")
        parts: list[bytes] = []
        while part := os.read(descriptor, size + 1):  # files of the spool do not change once they are there
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _file_name(name: str) -> str:
    """A file name for any record name: readable, reversible while short, else shortened and hashed."""
    quoted = "=" + quote(name, safe=":@ ")
    assert unquote(quoted[1:]) == name
    if len(quoted) <= MAX_FILE_NAME_LENGTH:
        return quoted
    return quoted[: MAX_FILE_NAME_LENGTH - 65] + "=" + hashlib.sha256(name.encode()).hexdigest()
