"""Packs: many database files in one, as ClamAV's are given out (.cvd, .cld, .cud).

    +---------+ 0
    | head    |  ClamAV-VDB:time:version:signatures:level:MD5 of the rest:signature of that:builder:seconds
    +---------+ 512
    | tar     |  with gzip around it or without; one member, .info, lists the others with size and SHA-256
    +---------+

A pack is used as a whole or not at all: whatever is wrong with it is DatabaseDamaged. What is checked:

    .cvd    the head's signature over all bytes, and the signature in .info
    .cld    the signature in .info: whoever updates a .cvd at home has no key to sign the whole again
    .cud    none: it stands for what somebody put together, and its signatures are printed as unofficial
    all     head and .info agree; every database in it is listed in .info, with its size and digest, each name once

As ClamAV does, but for names, which ClamAV lets appear twice. The signature files of ClamAV 1.5 beside a pack
(.cvd.sign) are not looked at. Nothing is written anywhere, and one member at a time is in memory.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, Self

from kavfs.errors import DatabaseDamaged, DatabaseMissing
from kavfs.signatures import dsig
from kavfs.signatures.kinds import PACKS, kind_of
from kavfs.signatures.sources import Identity, Source, is_settled, read_source

HEAD = 512
BLOCK = 512
CHUNK = 1 << 20
INFO_MAX = 1 << 20  # bytes of .info; ClamAV's have 3 KiB
MEMBER_MAX = 1 << 30  # bytes of one member; ClamAV's largest has 250 MB
TOTAL_MAX = 8 << 30
MEMBERS_MAX = 100_000
NAME = re.compile(rb"[A-Za-z0-9._+-]{1,100}")


class Head(NamedTuple):
    """The head of a pack, and the first line of its .info."""

    version: int
    signatures: int
    level: int
    md5: bytes
    signature: bytes
    seconds: int


class Listed(NamedTuple):
    """A member as .info lists it."""

    size: int
    sha256: bytes


class Member(NamedTuple):
    """A database file in a pack, to be read before the next one is asked for."""

    source: Source
    text: bytes


class _Wrong(Exception):
    """What is wrong with a pack, to be said behind its name."""


def outdated_packs(sources: Sequence[Source]) -> set[bytes]:
    """Paths of those beside which a newer version of the same lies: of X.cvd and X.cld only one is read."""
    outdated = set()
    paths = {source.path for source in sources}
    for source in sources:
        updated = source.path[:-3] + b"cld"
        if source.kind == "cvd" and updated in paths and updated != source.path:
            newer = _read_version(updated) >= _read_version(source.path)
            outdated.add(source.path if newer else updated)
    return outdated


def _read_version(path: bytes) -> int:
    """As the head says, without any check of what follows."""
    with _Pack(path, verify=False) as pack:
        return pack.head.version


def read_members(source: Source) -> Iterator[Member]:
    """The database files in a pack, in its order, after all that can be checked before they are read; their own
    digests are compared one by one. The identity in each member's source is that of the pack when it was opened."""
    with _Pack(source.path) as pack:
        yield from pack.members()


def read_text(source: Source) -> tuple[bytes, Identity, bool]:
    """sources.read_source for a database file that may lie in a pack."""
    if source.text:
        return source.text, source.identity, True
    if not source.member:
        return read_source(source.path)
    for member in read_members(source):
        if member.source.member == source.member:
            return member.text, member.source.identity, is_settled(member.source.identity)
    raise DatabaseDamaged(f"{os.fsdecode(source.path)}: {os.fsdecode(source.member)} is no longer in it")


def read_texts(sources: Sequence[Source]) -> Iterator[tuple[Source, bytes]]:
    """The texts of several database files, a pack gone through once. Those that are gone from a pack are left out."""
    packed: dict[bytes, dict[bytes, Source]] = {}
    for source in sources:
        if source.member:
            packed.setdefault(source.path, {})[source.member] = source
        else:
            yield source, read_source(source.path)[0]
    for wanted in packed.values():
        for member in read_members(next(iter(wanted.values()))):
            if member.source.member in wanted:
                yield wanted[member.source.member], member.text


class _Pack:
    """A pack while it is open."""

    def __init__(self, path: bytes, *, verify: bool = True) -> None:
        self.path = path
        self.kind = kind_of(os.path.basename(path))
        self._verify = verify

    def __enter__(self) -> Self:
        try:
            self._file = open(self.path, "rb", buffering=0)
        except FileNotFoundError:
            raise DatabaseMissing(f"no signatures: {os.fsdecode(self.path)} does not exist") from None
        except OSError as why:
            raise self._unreadable(why) from None
        try:
            self.identity = Identity.of(os.fstat(self._file.fileno()))
            self.head = _parse_head(self._file.read(HEAD))
            if self._verify and self.kind == "cvd":
                self._check_signature()
        except BaseException as why:
            self.__exit__()
            raise self._explained(why) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def members(self) -> Iterator[Member]:
        try:
            listed = self._read_info()
            seen: set[bytes] = set()
            for name, size, tar in self._entries():
                if kind_of(name) in (None, "info"):
                    continue
                if kind_of(name) in PACKS:
                    raise _Wrong(f"has a pack in it: {os.fsdecode(name)}")
                wanted = listed.get(name)
                if wanted is None or name in seen:
                    raise _Wrong(f"holds {os.fsdecode(name)}, which its .info does not list")
                seen.add(name)
                if size != wanted.size:
                    raise _Wrong(f"is damaged: {os.fsdecode(name)} has another size than its .info says")
                text = _read(tar, size)
                if hashlib.sha256(text).digest() != wanted.sha256:
                    raise _Wrong(f"is damaged: {os.fsdecode(name)} has another digest than its .info says")
                source = Source(self.path, kind_of(name) or "", self.identity, name)
                member = Member(source, text)
                del text
                yield member
                del member  # before the next one is read: they are large
            if missing := sorted(name for name in listed.keys() - seen if kind_of(name)):
                raise _Wrong(f"is not whole: {os.fsdecode(missing[0])} is not in it")
            if Identity.of(os.fstat(self._file.fileno())) != self.identity:
                raise _Wrong("was changed while it was read")
        except (_Wrong, OSError, EOFError, zlib.error, MemoryError) as why:
            raise self._explained(why) from None

    def _explained(self, why: BaseException) -> BaseException:
        shown = os.fsdecode(self.path)
        match why:
            case _Wrong():
                return DatabaseDamaged(f"{shown} {why}")
            case gzip.BadGzipFile() | EOFError() | zlib.error():
                return DatabaseDamaged(f"{shown} is damaged: it cannot be decompressed to its end")
            case OSError():
                return self._unreadable(why)
            case _:
                return why

    def _unreadable(self, why: OSError) -> DatabaseDamaged:
        return DatabaseDamaged(f"signatures cannot be read: {os.fsdecode(self.path)}: {why.strerror}")

    def _check_signature(self) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        self._file.seek(HEAD)
        while data := self._file.read(CHUNK):
            digest.update(data)
        if digest.hexdigest().encode() != self.head.md5:
            raise _Wrong("is damaged: its bytes are not those that were signed")
        if not dsig.signs_digest(dsig.TRUSTED.head, self.head.signature, digest.digest()):
            raise _Wrong("has a wrong digital signature")

    def _read_info(self) -> dict[bytes, Listed]:
        for name, size, tar in self._entries():
            if kind_of(name) == "info":
                if size > INFO_MAX:
                    raise _Wrong("is damaged: its .info is too long")
                return self._parse_info(_read(tar, size))
        raise _Wrong("is damaged: it has no .info")

    def _parse_info(self, text: bytes) -> dict[bytes, Listed]:
        body, mark, signature = (b"\n" + text).partition(b"\nDSIG:")
        body = body[1:] + (b"\n" if mark else b"")
        if self.kind != "cud":
            if not mark:
                raise _Wrong("has no digital signature in its .info")
            if not dsig.signs_text(dsig.TRUSTED.info, signature.partition(b"\n")[0].rstrip(b"\r"), body):
                raise _Wrong("has a wrong digital signature in its .info")
        first, *rows = body.rstrip(b"\n").split(b"\n")
        head = _parse_head(first)
        if head._replace(md5=b"", signature=b"") != self.head._replace(md5=b"", signature=b""):
            raise _Wrong("is damaged: its head is not the one that its .info has")
        listed: dict[bytes, Listed] = {}
        for row in rows:
            fields = row.rstrip(b"\r").split(b":")
            if len(fields) != 3 or not fields[1].isdigit() or not re.fullmatch(rb"[0-9a-fA-F]{64}", fields[2]):
                raise _Wrong("is damaged: its .info makes no sense")
            listed[fields[0]] = Listed(int(fields[1][:19]), bytes.fromhex(fields[2].decode()))
        return listed

    def _entries(self) -> Iterator[tuple[bytes, int, BinaryIO]]:
        """(name, size, where its bytes can be read) of each file; what was not read of one is passed over."""
        self._file.seek(HEAD)
        plain = self._file.read(7) == b"COPYING"  # as ClamAV tells a bare tar from a compressed one
        self._file.seek(HEAD)
        tar: BinaryIO = io.BufferedReader(self._file, CHUNK) if plain else gzip.GzipFile(fileobj=self._file)  # type: ignore[assignment]
        try:
            yield from _walk(tar)
        finally:
            if isinstance(tar, io.BufferedReader):
                tar.detach()  # the file below stays open


def _walk(tar: BinaryIO) -> Iterator[tuple[bytes, int, BinaryIO]]:
    at = total = count = 0
    while block := tar.read(BLOCK):
        if len(block) < BLOCK:
            raise _Wrong("is damaged: it ends within a member")
        if block[0] == 0:
            return
        name = block[:100].split(b"\0")[0]
        count += 1
        if not NAME.fullmatch(name) or block[156:157] not in (b"0", b"\0"):
            raise _Wrong("is damaged: it holds something that is no plain file")
        size = _octal(block[124:136])
        total += size
        if size > MEMBER_MAX or total > TOTAL_MAX or count > MEMBERS_MAX:
            raise _Wrong("is larger than any real one")
        at = tar.tell()
        yield name, size, tar
        left = size - (tar.tell() - at) + -size % BLOCK
        while left > 0:
            passed = tar.read(min(left, CHUNK))
            if not passed:
                raise _Wrong("is damaged: it ends within a member")
            left -= len(passed)


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        raise _Wrong("is damaged: the size of a member makes no sense")
    return int(digits, 8)


def _read(tar: BinaryIO, size: int) -> bytes:
    """*size* bytes: grown as they come, so that a size that lies takes no memory, and held once."""
    text = io.BytesIO()
    while (left := size - text.tell()) > 0:
        data = tar.read(min(left, CHUNK))
        if not data:
            raise _Wrong("is damaged: it ends within a member")
        text.write(data)
    return text.getvalue()


def _parse_head(data: bytes) -> Head:
    fields = data.split(b"\n")[0].rstrip(b" \r\0").split(b":")
    if fields[0] != b"ClamAV-VDB" or not 8 <= len(fields) <= 9:
        raise _Wrong("is no pack of signatures: its head makes no sense")
    numbers = [fields[i] for i in (2, 3, 4)] + fields[8:]
    if not all(number.isdigit() and len(number) < 19 for number in numbers):
        raise _Wrong("is no pack of signatures: its head makes no sense")
    version, signatures, level, *seconds = map(int, numbers)
    return Head(version, signatures, level, fields[5], fields[6], seconds[0] if seconds else 0)
