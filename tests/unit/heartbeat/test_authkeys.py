# SPDX-License-Identifier: GPL-2.0-or-later
"""authkeys: what is accepted, what is refused and where, and the digests against independent arithmetic."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from ha.heartbeat.io import load_authkeys
from ha.heartbeat.model import AuthKeysError, parse_authkeys
from ha.heartbeat.model.authkeys import MAX_AUTHKEYS_BYTES, crc32_posix
from ha.root import Root


def crc_bit_by_bit(data: bytes) -> int:
    """The definition, slowly: polynomial 0x04C11DB7, from 0, highest bit first, inverted at the end."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
            crc &= 0xFFFFFFFF
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"\0", b"123456789", bytes(range(256)), b"#" * 999])
def test_crc(data: bytes) -> None:
    assert crc32_posix(data) == crc_bit_by_bit(data)


def test_methods() -> None:
    text = "auth 1\n1 sha1 s3cret # mine\n\n2 md5 other\n3 crc\n4 hmac-sha256 long\n5 sha256 longer\n"
    keys = parse_authkeys(text, "authkeys")
    assert keys.sign(b"data") == "1 " + hmac.new(b"s3cret", b"data", hashlib.sha1).hexdigest()
    assert keys.verify(b"data", "2 " + hmac.new(b"other", b"data", hashlib.md5).hexdigest())
    assert keys.verify(b"data", f"3 {crc_bit_by_bit(b'data'):x}")
    assert keys.verify(b"data", "4 " + hmac.new(b"long", b"data", hashlib.sha256).hexdigest())
    assert keys.verify(b"data", "5 " + hmac.new(b"longer", b"data", hashlib.sha256).hexdigest())
    assert not keys.verify(b"data", "2 " + hmac.new(b"s3cret", b"data", hashlib.md5).hexdigest())


def test_keys_do_not_show_their_secrets() -> None:
    assert "s3cret" not in repr(parse_authkeys("auth 1\n1 sha1 s3cret\n", "authkeys"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "f:"),
        ("1 sha1 key\nauth 1\n", "f:1:"),
        ("auth 1\n", "f:"),
        ("auth\n", "f:1:"),
        ("auth 1 2\n", "f:1:"),
        ("auth 16\n", "f:1:"),
        ("auth -1\n", "f:1:"),
        ("auth ¹\n", "f:1:"),
        ("auth 1\nauth 1\n1 crc\n", "f:2:"),
        ("auth 1\n1 crc key\n", "f:2:"),
        ("auth 1\n1 sha1\n", "f:2:"),
        ("auth 1\n1 sha1 two words\n", "f:2:"),
        ("auth 1\n1 rot13 key\n", "f:2:"),
        ("auth 1\n1\n", "f:2:"),
        ("auth 1\n\n1 crc\n1 crc\n", "f:4:"),
        ("auth 1\n1 sha1 " + "k" * 5000, "f:2:"),
        ("#" * (MAX_AUTHKEYS_BYTES + 1), "f:"),
        ("auth 1\n\x00\x01\x02\n", "f:2:"),
    ],
)
def test_mistakes_are_named_with_file_and_line(text: str, place: str) -> None:
    with pytest.raises(AuthKeysError) as caught:
        parse_authkeys(text, "f")
    assert str(caught.value).startswith(place)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(str(tmp_path))
    root.config_dir.mkdir(parents=True)
    return root


def test_a_file_that_others_can_use_is_refused(root: Root) -> None:
    root.authkeys.write_text("auth 1\n1 crc\n")
    for mode in (0o640, 0o604, 0o620, 0o611, 0o777):
        root.authkeys.chmod(mode)
        with pytest.raises(AuthKeysError, match=f"{mode:04o}.*chmod 600"):
            load_authkeys(root)
    root.authkeys.chmod(0o600)
    assert load_authkeys(root).signing == 1


def test_unreadable_files_are_errors_of_their_own(root: Root) -> None:
    with pytest.raises(AuthKeysError, match="No such file"):
        load_authkeys(root)
    root.authkeys.write_bytes(b"auth 1\n1 sha1 \xff\xfe\n")
    root.authkeys.chmod(0o600)
    with pytest.raises(AuthKeysError, match="UTF-8"):
        load_authkeys(root)
