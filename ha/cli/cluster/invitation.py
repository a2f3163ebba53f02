# SPDX-License-Identifier: GPL-2.0-or-later
"""An invitation: what a machine must have to be a node, as one line of text. It holds the cluster's keys.

    ha-cluster-1.BASE64URL        zlib of JSON: {"cluster", "ha_cf", "authkeys"}, then the first 8 bytes of its SHA-256

The fingerprint is of the same text, so it is the same for each invitation until ha.cf or the keys change, and says
nothing of them. Who compares it knows that nobody has changed the file on its way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass

import msgspec

from ha.heartbeat.model.authkeys import AuthKeysError
from ha.heartbeat.model.authkeys import parse as parse_authkeys
from ha.heartbeat.model.ha_cf import HaCfError
from ha.heartbeat.model.ha_cf_parser import parse as parse_ha_cf

PREFIX = "ha-cluster-1."
MAX_TEXT_BYTES = 512 * 1024
MAX_CONTENT_BYTES = 1024 * 1024
CHECK_BYTES = 8
FINGERPRINT_GROUPS = 6


class InvitationError(ValueError):
    """The text is no invitation; says why, and quotes nothing of it."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str
    ha_cf: str
    authkeys: str


@dataclass(frozen=True, slots=True)
class Invitation:
    content: Content
    fingerprint: str
    """Six groups of four hexadecimal digits: 96 bits, to be read aloud."""

    def to_text(self) -> str:
        data = msgspec.json.encode(self.content)
        check = hashlib.sha256(data).digest()[:CHECK_BYTES]
        return PREFIX + base64.urlsafe_b64encode(zlib.compress(data, 9) + check).decode()


def invite(cluster: str, ha_cf: str, authkeys: str) -> Invitation:
    content = Content(cluster=cluster, ha_cf=ha_cf, authkeys=authkeys)
    return Invitation(content, _fingerprint(msgspec.json.encode(content)))


def read_invitation(text: str) -> Invitation:
    """Raises InvitationError for anything but an invitation that is whole and whose files can be used."""
    text = "".join(text.split())  # mail breaks lines
    if len(text) > MAX_TEXT_BYTES or not text.startswith(PREFIX):
        raise InvitationError(f"this is no invitation: it begins with {PREFIX} and is one line of `ha cluster invite`")
    try:
        packed = base64.b64decode(text[len(PREFIX) :].encode(), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed[:-CHECK_BYTES], MAX_CONTENT_BYTES)
        whole = unpacker.eof and not unpacker.unconsumed_tail and not unpacker.unused_data
        if not whole or hashlib.sha256(data).digest()[:CHECK_BYTES] != packed[-CHECK_BYTES:]:
            raise InvitationError("the invitation is not whole: copy all of it, to its last character")
        content = msgspec.json.decode(data, type=Content)
        parse_ha_cf(content.ha_cf, "the invitation's ha.cf")
        parse_authkeys(content.authkeys, "the invitation's authkeys")
    except (binascii.Error, UnicodeError, zlib.error, msgspec.DecodeError) as error:
        raise InvitationError("the invitation is damaged: copy all of it, to its last character") from error
    except HaCfError as error:
        raise InvitationError("; ".join(error.problems)) from error
    except AuthKeysError as error:
        raise InvitationError(str(error)) from error
    return Invitation(content, _fingerprint(data))


def _fingerprint(data: bytes) -> str:
    digits = hashlib.sha256(b"ha-cluster-fingerprint\0" + data).hexdigest()
    return "-".join(digits[at : at + 4] for at in range(0, 4 * FINGERPRINT_GROUPS, 4))


def same_fingerprint(given: str, known: str) -> bool:
    """Whether the operator's copy is this one; case and separators do not matter."""
    plain = "".join(c for c in given.lower() if c.isalnum())
    return plain == known.replace("-", "")
