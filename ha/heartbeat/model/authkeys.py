# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of the cluster and the signatures made with them.

File format (Heartbeat's authkeys): `auth N` names the signing key and stands before it; `N METHOD [KEY]` declares one.
Methods: crc (no key, authenticates nothing), md5, sha1 as in Heartbeat 3.0.6; our own hmac-sha256 (also `sha256`);
and chacha20-poly1305 and aes-256-gcm, which encrypt too (`wire.sealed`) and take 32 random bytes in hexadecimal, as
`ha keys generate` writes them. A signature is the text "N DIGEST". md5, sha1 and hmac-sha256 are HMAC (RFC 2104) in
lower-case hexadecimal.

Unlike Heartbeat 3.0.6, a receiver checks a packet with the secret of the packet's own key, so a key can be rotated:
add it everywhere, then name it in `auth` everywhere, then take the old one out.
"""

from __future__ import annotations

import hmac
import zlib
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

MAX_KEYS = 16  # numbers 0 to 15, as in Heartbeat 3.0.6
MAX_SECRET_BYTES = 4096
MAX_AUTHKEYS_BYTES = 128 * 1024
FORBIDDEN_MODE = 0o077
"""Permission bits that no authkeys file may have."""

Method: TypeAlias = Literal["crc", "md5", "sha1", "hmac-sha256", "chacha20-poly1305", "aes-256-gcm"]
_METHODS: dict[str, Method] = {
    "crc": "crc",
    "md5": "md5",
    "sha1": "sha1",
    "hmac-sha256": "hmac-sha256",
    "sha256": "hmac-sha256",
    "chacha20-poly1305": "chacha20-poly1305",
    "aes-256-gcm": "aes-256-gcm",
}
ENCRYPTING: tuple[Method, ...] = ("chacha20-poly1305", "aes-256-gcm")
LEGACY: tuple[Method, ...] = ("crc", "md5", "sha1")
"""What Heartbeat 3.0.6 knows."""

SECRET_BYTES = 32
"""Of a key that encrypts."""
_HASHES: dict[Method, str] = {"md5": "md5", "sha1": "sha1", "hmac-sha256": "sha256"}


class AuthKeysError(ValueError):
    """The authkeys file cannot be used; the text says where and why, and quotes no secret."""


class Cipher(Protocol):
    """Authenticated encryption with one key (an AEAD of `cryptography`)."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    number: int
    method: Method
    secret: bytes = b""

    @property
    def encrypts(self) -> bool:
        return self.method in ENCRYPTING

    def cipher(self, subkey: bytes) -> Cipher:
        assert len(subkey) == SECRET_BYTES
        # Loaded late: it takes 8 MB, and who does not encrypt never needs it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

        return ChaCha20Poly1305(subkey) if self.method == "chacha20-poly1305" else AESGCM(subkey)

    def digest(self, data: bytes) -> str:
        assert not self.encrypts
        if self.method == "crc":
            return f"{crc32_posix(data):x}"
        return hmac.digest(self.secret, data, _HASHES[self.method]).hex()

    def __repr__(self) -> str:
        return f"Key({self.number}, {self.method})"


@dataclass(frozen=True, slots=True)
class AuthKeys:
    """All keys we accept, and the number of the one we sign with."""

    signing: int
    keys: tuple[Key, ...]

    def key(self, number: int) -> Key | None:
        for key in self.keys:
            if key.number == number:
                return key
        return None

    def signing_key(self) -> Key:
        key = self.key(self.signing)
        assert key is not None, self.signing
        return key

    def sign(self, data: bytes) -> str:
        key = self.signing_key()
        return f"{key.number} {key.digest(data)}"

    def verify(self, data: bytes, signature: str) -> bool:
        """Compares in constant time. Anything that is not "N DIGEST" of a known key is false."""
        number, _, digest = signature.partition(" ")
        if not number.isascii() or not number.isdigit() or len(number) > 2:
            return False
        key = self.key(int(number))
        return (
            key is not None
            and not key.encrypts
            and hmac.compare_digest(key.digest(data).encode(), digest.encode("utf-8", "surrogateescape"))
        )


@dataclass(frozen=True, slots=True)
class WatchKeys:
    """Execute: finishes with an AuthKeys when the file says something else than `known`. A file that cannot be used
    is noted, and waited out."""

    known: AuthKeys


def crc32_posix(data: bytes) -> int:
    """CRC-32 with polynomial 0x04C11DB7, initial value 0, most significant bit first, inverted at the end.

    zlib computes the mirrored form at C speed: mirror each byte going in and the sum coming out. Its second
    argument is the inverse of the initial value.
    """
    mirrored = zlib.crc32(data.translate(_MIRRORED), 0xFFFFFFFF)
    return int(f"{mirrored:032b}"[::-1], 2)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def parse(text: str, filename: str) -> AuthKeys:
    """Parse the content of an authkeys file. Raises AuthKeysError naming file and line."""
    if len(text) > MAX_AUTHKEYS_BYTES:
        raise AuthKeysError(f"{filename}: longer than {MAX_AUTHKEYS_BYTES} bytes")
    signing: int | None = None
    keys: dict[int, Key] = {}
    for line_number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#", 1)[0].split()
        where = f"{filename}:{line_number}"
        if not words:
            continue
        if words[0] == "auth":
            if signing is not None:
                raise AuthKeysError(f"{where}: auth is given twice")
            signing = _parse_auth(words, where)
            continue
        key = _parse_key(words, where)
        if key.number in keys:
            raise AuthKeysError(f"{where}: key {key.number} is given twice")
        if key.number == signing or signing is not None:
            keys[key.number] = key
        else:
            raise AuthKeysError(f"{where}: auth must name the signing key before the keys: begin with a line `auth N`")
    if signing is None:
        raise AuthKeysError(f"{filename}: no line `auth N` names the signing key")
    if signing not in keys:
        raise AuthKeysError(f"{filename}: auth names key {signing}, but there is no line for it")
    return AuthKeys(signing, tuple(keys.values()))


def _parse_auth(words: list[str], where: str) -> int:
    if len(words) != 2:
        raise AuthKeysError(f"{where}: auth takes exactly one number")
    return _parse_number(words[1], where)


def _parse_number(word: str, where: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word[:4]) >= MAX_KEYS or len(word) > 2:
        raise AuthKeysError(f"{where}: a key number is 0 to {MAX_KEYS - 1}")
    return int(word)


def _parse_key(words: list[str], where: str) -> Key:
    number = _parse_number(words[0], where)
    if len(words) < 2 or words[1] not in _METHODS:
        raise AuthKeysError(f"{where}: the method of a key is one of {', '.join(_METHODS)}")
    method = _METHODS[words[1]]
    if method == "crc":
        if len(words) > 2:
            raise AuthKeysError(f"{where}: crc takes no key")
        return Key(number, method)
    if len(words) != 3:
        raise AuthKeysError(f"{where}: {method} takes exactly one key, a word without blanks")
    if method in ENCRYPTING:
        return Key(number, method, _parse_random(words[2], method, where))
    secret = words[2].encode()
    if len(secret) > MAX_SECRET_BYTES:
        raise AuthKeysError(f"{where}: a key is at most {MAX_SECRET_BYTES} bytes")
    return Key(number, method, secret)


def _parse_random(word: str, method: Method, where: str) -> bytes:
    if len(word) != 2 * SECRET_BYTES or not set(word) <= set("0123456789abcdefABCDEF"):
        what = f"{method} takes {SECRET_BYTES} random bytes in hexadecimal"
        raise AuthKeysError(f"{where}: {what}: let `ha keys generate` write the file")
    return bytes.fromhex(word)


def render(keys: AuthKeys) -> str:
    """The content of an authkeys file; `parse` reads it back."""
    lines = [f"auth {keys.signing}"]
    for key in keys.keys:
        secret = key.secret.hex() if key.encrypts else key.secret.decode()
        lines.append(f"{key.number} {key.method} {secret}".rstrip())
    return "\n".join(lines) + "\n"
