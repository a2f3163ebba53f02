# SPDX-License-Identifier: GPL-2.0-or-later
"""The parsers, by the name of their folder in the corpus: what each takes, and the errors by which it may refuse."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ha.apphbd.model import ConfigError, notices, read_apphbd_cf, registrations, watchdog_of_ha_cf
from ha.apphbd.model.applications import ProtocolError, Requests
from ha.cib.model.document import Document
from ha.cib.model.refusal import Refusal
from ha.cib.schema import load as load_schema
from ha.cli.timeline import log_lines
from ha.crm.core.traits import read_traits
from ha.haresources.model.haresources import HaresourcesError
from ha.haresources.model.haresources import parse as parse_haresources
from ha.heartbeat.model import AuthKeysError, HaCfError, parse, parse_authkeys
from ha.heartbeat.model.stream import from_fields
from ha.heartbeat.model.wire import WireError, decode_unsigned, pack, unpack
from ha.heartbeat.model.wire.line import MAX_LINE_PACKET_BYTES, Splitter
from ha.ipc import codec
from ha.ipc.frames import FrameError, FrameReader
from ha.logd import model as logd
from ha.lrm.io.results import agent_result
from ha.lrm.model import metadata, records
from ha.pe.core import read as read_for_scheduler
from ha.pe.model.document import CibError
from ha.rmd.model import read_rmd_cf, recovery
from ha.rmd.model.notify import notify_settings
from ha.rmd.model.recoverymgrd import read_recoverymgrd_conf
from ha.runner.model import End, Job
from ha.runner.spool import Spool, SpoolError
from ha.stonith.model.agent_metadata import MetadataError, parse_metadata

CORPUS = Path(__file__).parent / "corpus"
KEYS = parse_authkeys(f"auth 1\n1 crc\n2 hmac-sha256 k\n3 chacha20-poly1305 {'5e' * 32}\n", "authkeys")
MAX_FRAME_BYTES = 4096
NOW_S = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """`take` ends, or raises one of `refusals`. Everything else is a fault of the program."""

    take: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = ()


def corpus(name: str) -> list[bytes]:
    """Its pieces, in the order of their names; an empty one first."""
    return [b"", *(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))]


def _text(take: Callable[[str], object]) -> Callable[[bytes], object]:
    """For files, which are read as UTF-8: what is not is refused before."""
    return lambda data: take(data.decode("utf-8", "replace"))


def _packet(data: bytes) -> None:
    """As it comes, and as if its signature were right: nobody who guesses would come so far."""
    with contextlib.suppress(WireError):
        unpack(data, KEYS)
    fields, framing = decode_unsigned(data)
    unpack(pack(fields, KEYS, framing), KEYS)
    from_fields(fields)


def _serial_line(data: bytes) -> None:
    splitter = Splitter()
    for at in range(0, len(data), 100):
        splitter.feed(data[at : at + 100])
        assert len(splitter.buffer) <= 2 * MAX_LINE_PACKET_BYTES


def _frames(data: bytes) -> None:
    for body in FrameReader(MAX_FRAME_BYTES).feed(data):
        codec.decode(body)


def _cib(data: bytes) -> None:
    document = Document.from_bytes(data)
    if load_schema().check(document) is None:
        read_for_scheduler(data, NOW_S)
    document.snapshot()


def _scheduler(data: bytes) -> None:
    read_for_scheduler(data, NOW_S)


def _agent_output(data: bytes) -> None:
    for agent_class in ("ocf", "lsb", "heartbeat"):
        for operation in ("monitor", "start"):
            end = End(fate="exited", code=data[0] if data else 0, stdout=data[1:], stderr=data[1:])
            assert agent_result(agent_class, operation, end).status == "done"


def _spooled_job(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "j1.job").write_bytes(data)
        spool = Spool(Path(folder))
        assert isinstance(spool.read_job("j1"), Job)


def _environment(text: str) -> None:
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    recovery(pairs, "worker")
    notify_settings(pairs, "program")


TARGETS: dict[str, Target] = {
    "packet": Target(_packet, (WireError,)),
    "serial-line": Target(_serial_line),
    "ipc": Target(_frames, (FrameError, codec.CodecError)),
    "ipc-message": Target(codec.decode, (codec.CodecError,)),
    "apphb": Target(lambda data: Requests().feed(data), (ProtocolError,)),
    "notify": Target(lambda data: notices.parse(data, "program", 1), (notices.NoticeError,)),
    "applications": Target(registrations.decode, (registrations.RegistrationsError,)),
    "lrm-record": Target(lambda data: records.decode(data, records.ResourceRecord), (records.RecordError,)),
    "lrm-ticket": Target(lambda data: records.decode(data, records.Ticket), (records.RecordError,)),
    "spooled-job": Target(_spooled_job, (SpoolError,)),
    "log-line": Target(log_lines.parse),
    "cib": Target(_cib, (Refusal, CibError)),
    "scheduler": Target(_scheduler, (CibError,)),
    "ha.cf": Target(_text(lambda text: parse(text, "ha.cf")), (HaCfError,)),
    "authkeys": Target(_text(lambda text: parse_authkeys(text, "authkeys")), (AuthKeysError,)),
    "haresources": Target(_text(lambda text: parse_haresources(text, "haresources")), (HaresourcesError,)),
    "rmd.cf": Target(_text(lambda text: read_rmd_cf(text, "rmd.cf")), (ConfigError,)),
    "apphbd.cf": Target(_text(lambda text: read_apphbd_cf(text, "apphbd.cf")), (ConfigError,)),
    "watchdog": Target(_text(lambda text: watchdog_of_ha_cf(text, "ha.cf")), (ConfigError,)),
    "logd.cf": Target(_text(lambda text: logd.read_logd_cf(text, "logd.cf", logd.Settings())), (logd.ConfigError,)),
    "recoverymgrd.conf": Target(_text(lambda text: read_recoverymgrd_conf(text, "r")), (ConfigError,)),
    "stanza": Target(_text(_environment), (ConfigError,)),
    "agent-output": Target(_agent_output),
    "agent-metadata": Target(_text(read_traits)),
    "fence-metadata": Target(parse_metadata, (MetadataError,)),
    "lsb-header": Target(_text(lambda text: metadata.lsb_metadata("agent", text))),
}
