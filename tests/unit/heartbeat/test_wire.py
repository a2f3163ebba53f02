# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of Heartbeat 3.0.6, byte for byte, and what malformed ones do: nothing but WireError."""

from __future__ import annotations

import bz2
import zlib

import pytest

from ha.heartbeat.model import parse_authkeys
from ha.heartbeat.model.wire import (
    MAX_FIELDS,
    MAX_NESTING,
    MAX_PACKET_BYTES,
    BadSignature,
    Compression,
    Fields,
    WireError,
    classic,
    compress,
    decode_unsigned,
    encode_unsigned,
    netstring,
    pack,
    unpack,
)

SHA1 = parse_authkeys("auth 1\n1 sha1 SecretKey42\n2 md5 OtherKey\n", "authkeys")
MD5 = parse_authkeys("auth 2\n1 sha1 SecretKey42\n2 md5 OtherKey\n", "authkeys")
CRC = parse_authkeys("auth 3\n3 crc\n", "authkeys")
SHA256 = parse_authkeys("auth 4\n4 hmac-sha256 k\n", "authkeys")

# Captured from running Heartbeat 3.0.6 daemons.
ACK = bytes.fromhex(
    "2323230a31343a283029743d4e535f61636b6d73672c31333a283029646573743d616c7068612c31313a28302961636b7365713d"
    "312c32383a28312964657374757569643df2be5c03bb71425680f870cf87ba4a7f2c31323a2830297372633d616c7068612c3237"
    "3a283129737263757569643df2be5c03bb71425680f870cf87ba4a7f2c31343a28302968673d36623032616433642c31343a2830"
    "2974733d36623032616433632c383a28302974746c3d332c35303a283029617574683d3120663263383936313732383638666262"
    "663766323132663766373263613836356638636430353234632c2525250a34323a31206134343333363335373731666234393435"
    "37656530633837383432613930393965323539646331372c"
)
STATUS = bytes.fromhex(
    "2323230a31313a283029743d7374617475732c31323a28302973743d6163746976652c393a28302964743d6661302c31333a2830"
    "2970726f746f636f6c3d312c31323a2830297372633d616c7068612c32373a283129737263757569643df2be5c03bb71425680f8"
    "70cf87ba4a7f2c31303a2830297365713d3262372c31343a28302968673d36623032616433642c31343a28302974733d36623032"
    "616538382c33303a2830296c643d312e333720302e383720302e343820322f313438203636352c383a28302974746c3d332c3432"
    "3a283029617574683d322063333231306138363561613631386130636532613135643039646238616435642c2525250a33343a32"
    "2032336662623838656639363639646466326664653934646236383464656161302c"
)
UUID = bytes.fromhex("f2be5c03bb71425680f870cf87ba4a7f")


@pytest.mark.parametrize(("packet", "keys"), [(ACK, SHA1), (STATUS, MD5), (STATUS, SHA1)], ids=["ack", "status", "old"])
def test_real_packets_are_authentic(packet: bytes, keys) -> None:
    """Also when it is signed with another key than ours: each packet is checked with its own key's secret."""
    fields = unpack(packet, keys)
    assert fields.text("src") == "alpha"
    assert fields.binary("srcuuid") == UUID


@pytest.mark.parametrize(("packet", "keys"), [(ACK, SHA1), (STATUS, MD5)], ids=["ack", "status"])
def test_real_packets_are_made_again_byte_for_byte(packet: bytes, keys) -> None:
    assert pack(unpack(packet, keys), keys) == packet


@pytest.mark.parametrize("packet", [ACK, STATUS], ids=["ack", "status"])
def test_the_classic_signature_inside_real_packets_is_ours_too(packet: bytes) -> None:
    """With msgfmt classic a real sender puts the classic `auth` field inside; its bytes prove our classic lines."""
    fields, _ = netstring.decode(packet)
    assert SHA1.verify(classic.encode_lines(fields), fields.text("auth"))


def test_numbers_have_the_base_of_their_field() -> None:
    fields = unpack(STATUS, MD5)
    assert (fields.hexadecimal("seq"), fields.hexadecimal("dt"), fields.decimal("ttl")) == (0x2B7, 4000, 3)


EVERYTHING = Fields(
    [
        ("t", "x"),
        ("empty", ""),
        ("text", "naïve ü\udcff"),
        ("binary", bytes(range(256))),
        ("nested", Fields([("a", "1"), ("b", Fields([]))])),
        ("list", ("one", "", "two,3:")),
        ("twice", "first"),
        ("twice", "second"),
    ]
)


@pytest.mark.parametrize("keys", [SHA1, MD5, CRC, SHA256], ids=["sha1", "md5", "crc", "sha256"])
def test_netstring_carries_every_type(keys) -> None:
    fields = unpack(pack(EVERYTHING, keys), keys)
    assert fields == EVERYTHING
    assert fields.text("twice") == "first"


@pytest.mark.parametrize("keys", [SHA1, MD5, CRC, SHA256], ids=["sha1", "md5", "crc", "sha256"])
def test_classic_carries_strings_and_binary(keys) -> None:
    fields = Fields([("t", "status"), ("uuid", bytes(range(256))), ("ld", "0.1 = x"), ("(x", "(0)")])
    packet = pack(fields, keys, "classic")
    assert packet.startswith(b">>>\nt=status\n(1)uuid=AAEC")
    assert packet.endswith(b"<<<\n\0")
    assert unpack(packet, keys) == fields


@pytest.mark.parametrize("value", ["two\nlines", "nul\0", Fields([]), ("a",)], ids=["break", "nul", "nested", "list"])
def test_what_lines_cannot_carry_travels_as_netstrings(value) -> None:
    packet = pack(Fields([("t", value)]), CRC, "classic")
    assert packet.startswith(b"###\n")
    assert unpack(packet, CRC) == Fields([("t", value)])


def nested(depth: int) -> Fields:
    fields = Fields([("leaf", "1")])
    for _ in range(depth - 1):
        fields = Fields([("n", fields)])
    return fields


def test_nesting_has_a_limit_both_ways() -> None:
    assert unpack(pack(nested(MAX_NESTING), CRC), CRC) == nested(MAX_NESTING)
    with pytest.raises(WireError):
        pack(nested(MAX_NESTING + 1), CRC)
    body = b"###\n%%%\n"
    for _ in range(200):
        record = b"(2)n=" + body
        body = b"###\n%d:%s,%%%%%%\n" % (len(record), record)
    with pytest.raises(WireError):
        unpack(body + b"3:3 0,", CRC)


def test_a_packet_has_a_greatest_size() -> None:
    with pytest.raises(WireError):
        pack(Fields([("b", bytes(MAX_PACKET_BYTES))]), CRC)
    with pytest.raises(WireError):
        unpack(b"###\n" + bytes(MAX_PACKET_BYTES), CRC)


def test_fields_have_a_greatest_number() -> None:
    packet = pack(Fields([("a", "1")] * (MAX_FIELDS + 1)), CRC)
    with pytest.raises(WireError):
        unpack(packet, CRC)


def signed(body: bytes) -> bytes:
    signature = CRC.sign(body).encode()
    return b"%s%d:%s," % (body, len(signature), signature)


@pytest.mark.parametrize(
    "body",
    [
        b"###\n%%%\n"[:-1],
        b"###\n",
        b"###\n5:(0)a=,",
        b"###\n:(0)a=1,%%%\n",
        b"###\n-1:(0)a=1,%%%\n",
        b"###\n99999999999999999999:(0)a=1,%%%\n",
        b"###\n6:(0)a=1;%%%\n",
        b"###\n6:(7)a=1,%%%\n",
        b"###\n6:(10a=1,%%%\n",
        b"###\n5:(0)=1,%%%\n",
        b"###\n4:(0)a,%%%\n",
        b"###\n0:,%%%\n",
        b"###\n6:(2)a=1,%%%\n",
        b"###\n6:(3)a=1,%%%\n",
        b"###\n\xd9\xa3:(0)a=1,%%%\n",
        b"###\n14:(2)a=###\n%%%\nx,%%%\n",
    ],
)
def test_malformed_netstrings_are_wire_errors(body: bytes) -> None:
    with pytest.raises(WireError):
        unpack(signed(body), CRC)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        b">>>\n",
        b">>>\n<<<\n\0",
        b">>>\nt=1\n<<<\n\0",
        b">>>\nt\nauth=3 0\n<<<\n\0",
        b">>>\n=1\nauth=3 0\n<<<\n\0",
        b">>>\n(1)t=!!!\nauth=3 0\n<<<\n\0",
        b">>>\n(9)t=1\nauth=3 0\n<<<\n\0",
        b">>>\nauth=\n<<<\n\0",
        b"GET / HTTP/1.1\r\n\r\n",
        STATUS[:-1],
        STATUS + b"x",
        STATUS[:100],
    ],
)
def test_other_garbage_is_a_wire_error(packet: bytes) -> None:
    with pytest.raises(WireError):
        unpack(packet, SHA1)


@pytest.mark.parametrize(
    "signature", ["", "1", "1 ", "9 00", "x 00", "1  00", "001 00", "-1 00", "² 00", "1 \udcff", "99999999999999 0"]
)
def test_impossible_signatures_are_no_signatures(signature: str) -> None:
    assert not SHA1.verify(b"data", signature)


def test_a_changed_byte_is_noticed() -> None:
    for position in range(4, len(STATUS)):
        changed = bytearray(STATUS)
        changed[position] ^= 1
        with pytest.raises(WireError):
            unpack(bytes(changed), MD5)


def test_an_unknown_key_is_a_bad_signature() -> None:
    with pytest.raises(BadSignature):
        unpack(ACK, CRC)


@pytest.mark.parametrize("value", ["", "-1", "+1", " 1", "1_0", "0x1", "g", "١", "1" * 17, b"1"])
def test_what_is_no_number_is_a_wire_error(value) -> None:
    with pytest.raises(WireError):
        Fields([("n", value)]).hexadecimal("n")


@pytest.mark.parametrize(("algorithm", "compress"), [("zlib", zlib.compress), ("bz2", bz2.compress)])
def test_messages_that_old_senders_compress_are_opened(algorithm: str, compress) -> None:
    inner = Fields([("t", "status"), ("st", "up")])
    data = compress(encode_unsigned(inner))
    outer = Fields([("_compressed_payload", data), ("_compression_algorithm", algorithm)])
    assert unpack(pack(outer, CRC), CRC) == inner
    record = b"(4)f=" + data
    body = b"###\n%d:%s,%d:(0)_compression_algorithm=%s,%%%%%%\n" % (
        len(record), record, len(algorithm) + 26, algorithm.encode()
    )  # fmt: skip
    assert unpack(signed(body), CRC).value("f") == inner


def test_compression_is_no_bomb() -> None:
    bomb = zlib.compress(bytes(64 * 1024 * 1024))
    outer = Fields([("_compressed_payload", bomb), ("_compression_algorithm", "zlib")])
    with pytest.raises(WireError):
        unpack(pack(outer, CRC), CRC)


@pytest.mark.parametrize("data", [b"", b"nonsense", zlib.compress(b"no message")])
def test_compressed_garbage_is_a_wire_error(data: bytes) -> None:
    for algorithm in ("zlib", "bz2", "rot13"):
        outer = Fields([("_compressed_payload", data), ("_compression_algorithm", algorithm)])
        with pytest.raises(WireError):
            unpack(pack(outer, CRC), CRC)


def test_local_messages_are_unsigned_in_both_framings() -> None:
    fields = Fields([("t", "hbapi-req"), ("reqtype", "signon")])
    for framing in ("netstring", "classic"):
        assert decode_unsigned(encode_unsigned(fields, framing)) == (fields, framing)
    with pytest.raises(WireError):
        decode_unsigned(encode_unsigned(fields) + b"rest")


@pytest.mark.parametrize("framing", ["netstring", "classic"])
def test_nothing_is_decoded_before_the_signature_is_checked(framing) -> None:
    """A malformed packet that nobody vouches for is a bad signature: its content was not looked at."""
    good = pack(Fields([("t", "x"), ("b", b"binary")]), SHA256, framing)
    malformed = good.replace(b"(1)b", b"(9)b")
    with pytest.raises(BadSignature):
        unpack(malformed, SHA256)


@pytest.mark.parametrize("algorithm", ["zlib", "bz2"])
@pytest.mark.parametrize("framing", ["netstring", "classic"])
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_sent_compressed_is_read_again(algorithm, framing, whole) -> None:
    large, small = Fields([("text", "x" * 5000)]), Fields([("text", "y")])
    fields = Fields([("t", "chat"), ("a", large), ("b", small), ("src", "n1"), ("b64", bytes(100))])
    smaller = compress(fields, Compression(algorithm, 2048, whole))
    packet = pack(smaller, SHA256, framing)
    assert len(packet) < 2000
    opened = unpack(packet, SHA256)
    assert [opened.value(name) for name, _ in fields] == [value for _, value in fields]
    assert compress(small, Compression(algorithm, 2048, whole)) == small
