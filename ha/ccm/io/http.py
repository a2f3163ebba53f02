# SPDX-License-Identifier: GPL-2.0-or-later
"""A register behind HTTP: one object, replaced by a conditional PUT.

GET gives the object with its ETag, or 404 when there is none. PUT with `If-Match: ETAG` (`If-None-Match: *` when there
was none) replaces it only if it is still that one, else the server answers 412, or 409 when two came at once. Object
stores do so (Amazon S3 since 2024, MinIO, Ceph, Azure), and so do WebDAV servers.

Source: RFC 9110, sections 8.8.3, 13.1.1 and 13.1.2. A weak ETag (W/...) does not name one content: it is refused.
"""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from ha.ccm.model.register import (
    GRANT_LIMIT_BYTES,
    Contents,
    Failed,
    Outdated,
    ReadOutcome,
    WriteOutcome,
    Written,
)

MAX_ETAG_LENGTH = 1000


class HttpRegister:
    def __init__(self, url: str, timeout_ms: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.name = url
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_ms / 1000

    def read(self) -> ReadOutcome:
        status, etag, body = self._ask("GET", b"", {"Cache-Control": "no-cache"})
        if status in (404, 410):
            return Contents("", b"")
        if status != 200:
            return Failed(f"GET {self.name} is answered {status}")
        if not etag.startswith('"') or not etag.isascii() or not etag.isprintable() or len(etag) > MAX_ETAG_LENGTH:
            return Failed(f"GET {self.name} is answered without a strong ETag: no compare-and-swap is possible")
        return Contents(etag, body)

    def write(self, version: str, data: bytes) -> WriteOutcome:
        condition = {"If-Match": version} if version else {"If-None-Match": "*"}
        status, _, _ = self._ask("PUT", data, {**condition, "Content-Type": "application/json"})
        if status in (200, 201, 204):
            return Written()
        if status in (409, 412):
            return Outdated()
        return Failed(f"PUT {self.name} is answered {status}")

    def _ask(self, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        """(status, ETag or "", body up to the limit). Raises OSError."""
        connection: http.client.HTTPConnection
        if self._is_secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, self._target, body=body if method == "PUT" else None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("ETag") or "", answer.read(GRANT_LIMIT_BYTES + 1)
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {type(error).__name__} {error}".rstrip()) from error
        finally:
            connection.close()
