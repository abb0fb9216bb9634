"""Signed programs, as no processor runs them: certificates made at test time, and signatures put together by hand, so
that each field can be wrong."""

from __future__ import annotations

import datetime
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
YEAR = 365 * DAY
HASHES = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
OIDS = {
    "md5": "2a864886f70d0205", "sha1": "2b0e03021a", "sha256": "608648016503040201", "sha384": "608648016503040202",
    "sha512": "608648016503040203", "rsa": "2a864886f70d010101", "signed": "2a864886f70d010702",
    "data": "2a864886f70d010701", "content": "2a864886f70d010903", "digest": "2a864886f70d010904",
    "time": "2a864886f70d010905", "counter": "2a864886f70d010906", "indirect": "2b060104018237020104",
    "program": "2b06010401823702010f", "nested": "2b060104018237020401", "rfc3161": "2b060104018237030301",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def modulus(self) -> int:
        return self.key.public_key().public_numbers().n


@cache
def key(name: str, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, 1024)


def identity(
    name: str,
    issuer: Identity | None = None,
    *,
    uses: str = "",
    authority: bool = False,
    begin: datetime.datetime = NOW - YEAR,
    end: datetime.datetime = NOW + YEAR,
    serial: int = 0x1234,
    method: str = "sha256",
) -> Identity:
    """A certificate for these *uses*, "code" and "time"; of itself without an issuer."""
    own = key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject, subject, own.public_key(), serial, begin, end
    )
    builder = builder.add_extension(x509.BasicConstraints(authority, None), True)
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, False, False, False)
    builder = builder.add_extension(usage, True)
    purposes = {"code": ExtendedKeyUsageOID.CODE_SIGNING, "time": ExtendedKeyUsageOID.TIME_STAMPING}
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purposes[use] for use in uses.split()]), False)
    return Identity(builder.sign(issuer.key if issuer else own, HASHES[method]()), own)


def rule(
    of: Identity, name: str, *, trusted: bool = True, uses: str = "111", serial: bool = True, before: str = ""
) -> str:
    """A line of a .crb file. *uses*: for programs, time stamps, certificates."""
    subject = hashlib.sha1(inside(of.certificate.subject.public_bytes())).hexdigest()
    number = hashlib.sha1(integer(of.certificate.serial_number)[2:]).hexdigest() if serial else ""
    words = [name, f"{trusted:d}", subject, number, f"{of.modulus:x}", "010001", *uses, before, "made for a test"]
    return ";".join(words) + "\n"


# -- DER -------------------------------------------------------------------------------------------------------------


def item(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def inside(der: bytes) -> bytes:
    """What stands in an item."""
    return der[2 + (der[1] & 0x7F) :] if der[1] & 0x80 else der[2:]


def oid(name: str) -> bytes:
    return item(6, bytes.fromhex(OIDS[name]))


def algorithm(name: str) -> bytes:
    return item(0x30, oid(name), b"\5\0")


def integer(value: int) -> bytes:
    return item(2, value.to_bytes(value.bit_length() // 8 + 1))


def attribute(name: str, *values: bytes) -> bytes:
    return item(0x30, oid(name), item(0x31, *values))


# -- signatures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stamp:
    """Who says when something was signed."""

    by: Identity
    at: datetime.datetime = NOW
    method: str = "sha1"
    of: bytes | None = None  # what is stamped, where that is not the signature


def _signed_by(by: Identity, attributes: Sequence[bytes], method: str) -> tuple[bytes, bytes, bytes]:
    """Who signs, the attributes that are signed, and the signature of them."""
    who = item(0x30, by.certificate.issuer.public_bytes(), integer(by.certificate.serial_number))
    body = b"".join(attributes)
    signature = by.key.sign(item(0x31, body), padding.PKCS1v15(), HASHES[method]())
    return who, item(0xA0, body), signature


def _stamped(stamp: Stamp, signature: bytes) -> bytes:
    message = signature if stamp.of is None else stamp.of
    said = [
        attribute("content", oid("data")),
        attribute("time", item(0x17, stamp.at.strftime("%y%m%d%H%M%SZ").encode())),
        attribute("digest", item(4, hashlib.new(stamp.method, message).digest())),
    ]
    who, attributes, own = _signed_by(stamp.by, said, stamp.method)
    return item(0x30, integer(1), who, algorithm(stamp.method), attributes, algorithm("rsa"), item(4, own))


def signature(
    digest: bytes,
    by: Identity,
    chain: Sequence[Identity | bytes] = (),
    *,
    method: str = "sha256",
    stamp: Stamp | None = None,
    unsigned: Sequence[bytes] = (),
    claims: bytes | None = None,
) -> bytes:
    """The SignedData over a program's *digest*. *chain*: further certificates, in front of the signer's own; *claims*:
    the digest that the attributes name, where it is not that of the content."""
    program = item(0x30, oid("program"), item(0x30, item(3, b"\0"), item(0xA0, item(0xA2, item(0x80)))))
    content = program + item(0x30, algorithm(method), item(4, digest))
    said = [
        attribute("content", oid("indirect")),
        attribute("digest", item(4, hashlib.new(method, content).digest() if claims is None else claims)),
    ]
    who, attributes, own = _signed_by(by, said, method)
    rest = [attribute("counter", _stamped(stamp, own))] if stamp else []
    rest += unsigned
    signer = item(0x30, integer(1), who, algorithm(method), attributes, algorithm("rsa"), item(4, own),
                  *([item(0xA1, *rest)] if rest else []))  # fmt: skip
    certificates = [one if isinstance(one, bytes) else one.der for one in chain]
    if by.der not in certificates:
        certificates.append(by.der)
    data = item(
        0x30, integer(1), item(0x31, algorithm(method)), item(0x30, oid("indirect"), item(0xA0, item(0x30, content))),
        item(0xA0, *certificates), item(0x31, signer),
    )  # fmt: skip
    return item(0x30, oid("signed"), item(0xA0, data))


# -- programs --------------------------------------------------------------------------------------------------------


def _places(program: bytes) -> tuple[int, int]:
    """Where checksum and entry of the table of certificates stand."""
    optional = struct.unpack_from("<I", program, 60)[0] + 24
    wide = struct.unpack_from("<H", program, optional)[0] == 0x20B
    return optional + 64, optional + (112 if wide else 96) + 32


def prepared(program: bytes, table: int) -> bytes:
    """A program that says that a table of so many bytes follows it; its own bytes are made a multiple of eight."""
    whole = bytearray(program + bytes(-len(program) % 8))
    _, entry = _places(program)
    struct.pack_into("<II", whole, entry, len(whole), table)
    return bytes(whole)


def digest_of(program: bytes, method: str = "sha256") -> bytes:
    """What is signed of a program without its table."""
    checksum, entry = _places(program)
    pieces = program[:checksum] + program[checksum + 4 : entry] + program[entry + 8 :]
    return hashlib.new(method, pieces + bytes(-len(program) % 8)).digest()


def with_table(program: bytes, signed: bytes, *, revision: int = 0x0200, kind: int = 2) -> bytes:
    padded = signed + bytes(-len(signed) % 8)
    table = struct.pack("<IHH", 8 + len(padded), revision, kind) + padded
    return prepared(program, len(table)) + table


def sign(
    program: bytes, by: Identity, chain: Sequence[Identity | bytes] = (), *, method: str = "sha256", **how
) -> bytes:  # type: ignore[no-untyped-def]
    """The program with its signature; *how*: as `signature`."""
    return with_table(program, signature(digest_of(program, method), by, chain, method=method, **how))
