"""Allow list: what an administrator has declared harmless, with a reason and, better, an end.

    STATE/allow.json    {"version": 1, "entries": [...]}, written by allowwriter.py and renamed into place

Entries by digest and by signature become two more databases of an image (.sfp, .ign2): so they hold wherever its
signatures are used, inside containers too, and the generation changes with them. Entries by path lift what was found
when the verdict is in: judge(). What was lifted is never remembered, so an entry that is withdrawn or has ended leaves
nothing behind. Ended entries are left out when an image is opened.

A list that cannot be read, or that somebody else could have written, allows nothing, and a note says so.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kavfs.model import FOUND, Member, Result, Threat, gravest, status_of_reasons
from kavfs.signatures.ignore import MARK
from kavfs.signatures.sources import Identity, Source, absolute_path

FILE = b"allow.json"
VERSION = 1
SIZE_MAX = 16 << 20  # bytes; 100,000 entries fit

DIGESTS = {"sha256": 64, "md5": 32}  # kind -> hexadecimal digits
KINDS = (*DIGESTS, "signature", "path")


class Allowed(NamedTuple):
    """One entry."""

    number: int
    kind: str  # one of KINDS
    value: str  # digits, name of a signature, or a path or mask as os.fsdecode gives it
    size: int | None  # bytes, for digests; None = any, which makes every scan compute more
    reason: str
    added: float  # seconds since 1970
    by: str  # who added it
    expires: float = 0.0  # 0 = never

    def holds(self, now: float) -> bool:
        return not self.expires or now < self.expires

    def covers(self, path: bytes) -> bool:
        """Whether an entry by path is about *path*. A path with ".." may lead anywhere, so none covers it."""
        if b".." in path.split(b"/"):
            return False
        mask = os.fsencode(self.value)
        if not any(sign in mask for sign in b"*?["):
            return path == mask or path.startswith(mask.rstrip(b"/") + b"/")
        return fnmatch.fnmatchcase(path if b"/" in mask else os.path.basename(path), mask)


class AllowList:
    """The entries of one state folder as they were read."""

    def __init__(self, entries: Sequence[Allowed] = (), notes: tuple[str, ...] = (), path: bytes = b"") -> None:
        self.entries = tuple(entries)
        self.notes = notes  # why the list is not used
        self._path = path
        now = time.time()
        active = [entry for entry in entries if entry.holds(now)]
        self._paths = [entry for entry in active if entry.kind == "path"]
        self._names = {entry.value: entry for entry in active if entry.kind == "signature"}
        self._digests = [entry for entry in active if entry.kind in DIGESTS]

    @property
    def judges(self) -> bool:
        """Whether judge() could change anything."""
        return bool(self._paths or self._names or self._digests)

    def sources(self) -> tuple[Source, ...]:
        """The databases that the entries of now are. Their identity changes with what stands in them."""
        digests = b"".join(
            b"%s:%s:Allowed-%d%s\n" % (e.value.encode(), size, e.number, b":73" if e.size is None else b"")
            for e in self._digests
            for size in (b"*" if e.size is None else b"%d" % e.size,)
        )
        names = b"".join(name.encode() + b"\n" for name in self._names)
        texts = (("sfp", digests), ("ign2", names))
        return tuple(self._source(kind, text) for kind, text in texts if text)

    def _source(self, kind: str, text: bytes) -> Source:
        number = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
        path = os.path.splitext(self._path)[0] + b"." + kind.encode()
        return Source(path, kind, Identity(len(text), 0, 0, number), text=text)

    def judge(self, result: Result) -> Result:
        """*result* without what is allowed. What nobody looked at stays: coverage has nothing to do with it."""
        if not result.threats:
            return result
        entry = self._about(result)
        if entry is not None:
            return _lifted(result, (), _why(entry, result.threats))
        gone = [threat for threat in result.threats if self._named(threat)]
        if not gone:
            return result
        entry = self._named(gone[0])
        assert entry is not None
        kept = tuple(threat for threat in result.threats if not self._named(threat))
        return _lifted(result, kept, _why(entry, gone))

    def _about(self, result: Result) -> Allowed | None:
        """The entry that covers the object as a whole."""
        now = time.time()
        found = (entry for entry in self._paths if entry.holds(now) and entry.covers(result.path))
        digest = result.sha256.hex() if result.sha256 else ""
        same = (
            entry
            for entry in self._digests
            if digest and entry.value == digest and entry.size in (None, result.size) and entry.holds(now)
        )
        return next(found, None) or next(same, None)

    def _named(self, threat: Threat) -> Allowed | None:
        return self._names.get(threat.name.removesuffix(MARK.decode()))


def read_allow(state: bytes) -> AllowList:
    """The allow list in a state folder; an empty one with a note where it cannot be used."""
    path = os.path.join(absolute_path(state), FILE)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return AllowList(path=path)
    except OSError as error:
        why = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        return _unusable(path, why)
    try:
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return _unusable(path, "it is no regular file")
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                return _unusable(path, "another user could have written it")
            return AllowList(entries_from(file.read(SIZE_MAX + 1)), path=path)
    except (OSError, ValueError) as error:
        return _unusable(path, error.strerror or str(error) if isinstance(error, OSError) else str(error))


def entries_from(data: bytes) -> tuple[Allowed, ...]:
    """The entries in the bytes of a list; ValueError says what is wrong."""
    if len(data) > SIZE_MAX:
        raise ValueError("it is too large")
    try:
        tree = json.loads(data)
        if tree["version"] != VERSION:
            raise ValueError("it was written by another version")
        entries = tuple(Allowed(**row) for row in tree["entries"])
        if all(_is_sound(entry) for entry in entries):
            return entries
    except json.JSONDecodeError:
        raise ValueError("it is damaged") from None
    except (TypeError, KeyError, UnicodeError, RecursionError):
        raise ValueError("it is damaged") from None
    raise ValueError("it is damaged: an entry makes no sense")


def to_bytes(entries: Iterable[Allowed]) -> bytes:
    """The bytes of a list."""
    tree = {"version": VERSION, "entries": [entry._asdict() for entry in entries]}
    return json.dumps(tree, indent=1).encode() + b"\n"


def _is_sound(entry: Allowed) -> bool:
    texts = all(isinstance(text, str) for text in (entry.value, entry.reason, entry.by))
    moments = all(isinstance(n, int | float) and 0 <= n < 1 << 40 for n in (entry.added, entry.expires))
    size = entry.size is None or (type(entry.size) is int and 0 <= entry.size < 1 << 62)
    return type(entry.number) is int and texts and moments and size and value_is_sound(entry.kind, entry.value)


def value_is_sound(kind: str, value: str) -> bool:
    """Whether a value is one of its kind. Lines of a database are made of it, so it must not make two."""
    if kind in DIGESTS:
        return re.fullmatch(f"[0-9a-f]{{{DIGESTS[kind]}}}", value) is not None
    if kind == "signature":
        return re.fullmatch(r"[!-9;-~]{1,1000}", value) is not None and not value.startswith("#")
    return kind == "path" and bool(value) and "\0" not in value and os.fsencode(value) != b""


def _unusable(path: bytes, why: str) -> AllowList:
    return AllowList(notes=(f"the allow list {os.fsdecode(path)} is not used: {why}",), path=path)


def _why(entry: Allowed, threats: Sequence[Threat]) -> str:
    names = list(dict.fromkeys(threat.name for threat in threats))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{entry.reason or 'no reason was given'}; {names[0]}{more}"


def _lifted(result: Result, kept: tuple[Threat, ...], why: str) -> Result:
    """*result* with no other threats than *kept*."""
    own = gravest([status_of_reasons(result.reasons), *(threat.status for threat in kept)])
    still = {threat.member for threat in kept}
    members = tuple(member if member.path in still else _quiet(member) for member in result.members)
    return result._replace(status=own, threats=kept, members=members, suppressed=True, allowed=why)


def _quiet(member: Member) -> Member:
    return member._replace(status=status_of_reasons(member.reasons)) if member.status in FOUND else member
