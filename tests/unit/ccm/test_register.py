# SPDX-License-Identifier: GPL-2.0-or-later
"""The two registers against the devices: a folder on this disk, and an HTTP server of this process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ha.ccm.io import FolderRegister, HttpRegister
from ha.ccm.io.register import Register
from ha.ccm.model.register import GRANT_LIMIT_BYTES, Contents, Failed, Outdated, Written


class Store(ThreadingHTTPServer):
    """One object with conditional PUT. `etags` False: a server that gives none. `status`: it answers that always."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.data: bytes | None = None
        self.etags = True
        self.status = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/bucket/grant"


class Handler(BaseHTTPRequestHandler):
    server: Store

    def _etag(self) -> str:
        assert self.server.data is not None
        return f'"{hashlib.sha256(self.server.data).hexdigest()}"'

    def _end(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status == 200 and self.server.etags:
            self.send_header("ETag", self._etag())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        with self.server.lock:
            if self.server.status:
                self._end(self.server.status)
            elif self.server.data is None:
                self._end(404)
            else:
                self._end(200, self.server.data)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            exists = self.server.data is not None
            matches = exists and self.headers.get("If-Match") == self._etag()
            if self.server.status:
                self._end(self.server.status)
            elif matches or (not exists and self.headers.get("If-None-Match") == "*"):
                self.server.data = body
                self._end(200)
            else:
                self._end(412)

    def log_message(self, format: str, *args: object) -> None:
        """pytest has no use for it."""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["folder", "http"])
def register(request: pytest.FixtureRequest, tmp_path: Path, store: Store) -> Register:
    return FolderRegister(str(tmp_path)) if request.param == "folder" else HttpRegister(store.url, 5_000)


def test_who_has_read_it_may_replace_it_once(register: Register) -> None:
    assert register.read() == Contents("", b"")
    assert register.write("", b"one") == Written()
    assert register.write("", b"two") == Outdated()
    first = register.read()
    assert isinstance(first, Contents)
    assert first.data == b"one"
    assert register.write(first.version, b"two") == Written()
    assert register.write(first.version, b"three") == Outdated()
    second = register.read()
    assert isinstance(second, Contents)
    assert second.data == b"two"


def test_of_many_at_once_one_wins_each_round(register: Register) -> None:
    for turn in range(5):
        before = register.read()
        assert isinstance(before, Contents)
        outcomes: list[object] = []
        barrier = threading.Barrier(4)

        def claim(number: int, version: str = before.version, turn: int = turn, barrier: threading.Barrier = barrier,
                  outcomes: list[object] = outcomes) -> None:  # fmt: skip
            barrier.wait()
            outcomes.append(register.write(version, b"%d by %d" % (turn, number)))

        threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(Written()) == 1, outcomes
        assert outcomes.count(Outdated()) == 3, outcomes


def test_a_writer_that_slept_while_its_number_was_swept_away_has_not_won(tmp_path: Path) -> None:
    register = FolderRegister(str(tmp_path))
    for number in range(40):
        assert register.write(str(number) if number else "", b"%d" % number) == Written()
    assert not (tmp_path / "grant.3").exists()
    assert register.write("2", b"late") == Outdated()
    assert register.read() == Contents("40", b"39")


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        FolderRegister(str(tmp_path / "gone")).read()


def test_strange_files_in_the_folder_are_passed_by_and_long_ones_are_cut(tmp_path: Path) -> None:
    for name in ("grant.x", "grant.", "grant.-1", "claim.other.1", "grant.9999999999999999"):
        (tmp_path / name).write_text("?")
    register = FolderRegister(str(tmp_path))
    assert register.read() == Contents("", b"")
    (tmp_path / "grant.5").write_bytes(b"x" * (2 * GRANT_LIMIT_BYTES))
    contents = register.read()
    assert isinstance(contents, Contents)
    assert len(contents.data) == GRANT_LIMIT_BYTES + 1


def test_a_server_without_etags_or_with_other_answers_is_refused(store: Store) -> None:
    register = HttpRegister(store.url, 5_000)
    store.data, store.etags = b"x", False
    outcome = register.read()
    assert isinstance(outcome, Failed)
    assert "ETag" in outcome.reason
    for status in (301, 403, 500):
        store.status = status
        assert register.read() == Failed(f"GET {store.url} is answered {status}")
        assert register.write("", b"x") == Failed(f"PUT {store.url} is answered {status}")


@pytest.mark.parametrize("etag", ['W/"1"', "1", '"\u00e9"', '"' + "1" * 1000 + '"'])
def test_an_etag_that_names_no_single_content_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, etag: str
) -> None:
    monkeypatch.setattr(Handler, "_etag", lambda handler: etag)
    store.data = b"x"
    outcome = HttpRegister(store.url, 5_000).read()
    assert isinstance(outcome, Failed)
    assert "ETag" in outcome.reason


def test_nobody_listens_is_an_os_error() -> None:
    register = HttpRegister("http://127.0.0.1:1/x", 500)
    with pytest.raises(OSError, match="refused"):
        register.read()
