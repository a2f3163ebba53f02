# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program says to one worker is what the codec of all says."""

from __future__ import annotations

import pytest

from ha.attrd.msg import QueryAttributes
from ha.cib.msg import Query
from ha.ipc import codec
from ha.ipc.codec import CodecError
from ha.ipc.dialect import Dialect
from ha.ipc.hello import Refused
from ha.ipc.links import WORKERS


@pytest.mark.parametrize("worker", [*WORKERS, "rmd", "apphbd"])
def test_every_worker_has_one(worker: str) -> None:
    dialect = Dialect(worker)
    greeting = Refused(reason="full")
    assert dialect.encode(greeting) == codec.encode(greeting)
    assert dialect.decode(codec.encode(greeting)) == greeting


def test_what_others_say_is_understood_too() -> None:
    foreign = QueryAttributes(request_id="1")
    dialect = Dialect("cib")
    assert dialect.decode(codec.encode(foreign)) == foreign
    assert codec.decode(dialect.encode(foreign)) == foreign
    assert dialect.decode(codec.encode(Query(request_id="2"))) == Query(request_id="2")


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x81\xa4type\xa1x", b"\x93\x01\x02\x03", b"\xa3abc"])
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(CodecError):
        Dialect("cib").decode(garbage)
