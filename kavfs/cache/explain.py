"""Explain: what the store would answer for one file, and where it would not: which field or which rule is why.

    explainer = Explainer(folder, generation, delta_table)
    for line in explainer.explain(asked):
        ...

It asks the store as a walker does (kav_lookup), under the settings that the last scan had; then it looks at what lies
there itself, with the same C functions that decide for the walker.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from kavfs._native import cache
from kavfs.cache.folder import FILES, SETTINGS, Folder
from kavfs.cache.libraries import installed
from kavfs.cache.settings import LIST_MAX, Seen, Settings, asked, read
from kavfs.model import REASON_WORDS, Reason, Status

FRESH = 3.0  # seconds: what was changed later before a scan began is not remembered by it
_NAMES = {
    "ino": "inode",
    "size": "size",
    "mtime_ns": "modification time",
    "ctime_ns": "change time",
    "btime_ns": "birth time",
}
_FIELDS = dict(zip(cache.FIELDS, cache.Identity._fields, strict=True))
_UNTOLD = -(2**63)


class Question(NamedTuple):
    """One file as it is now."""

    file: cache.Identity
    directory: cache.Identity
    file_system: bytes | None  # 16 bytes; None = it is not trusted
    distrust: str  # why not


class _Stored(NamedTuple):
    """What lies in the store about an inode."""

    fact: cache.Fact
    generation: bytes
    settings: Seen


class Explainer:
    """Keeps the store open until close(). Raises OSError; cache.DamagedStore for a store that cannot be read."""

    def __init__(self, folder: Folder, generation: bytes, delta_table: bytes) -> None:
        self._secret = folder.secret
        self._generation = generation
        self._delta = cache.DeltaTable(delta_table) if delta_table else None
        self._seen = read(folder.read(SETTINGS, LIST_MAX), folder.secret)
        self._fd = -1
        self._file: cache.File | None = None
        try:
            self._fd = folder.open(FILES)
        except FileNotFoundError:
            return
        try:
            self._file = cache.File(self._fd, folder.secret)
            self._used = self._generations()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """May be called twice."""
        self._file = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _generations(self) -> dict[bytes, int]:
        assert self._file is not None
        try:
            return self._file.generations()
        except OSError as error:
            if error.errno == errno.EILSEQ:  # the sums are damaged; records need none of them
                return {}
            raise

    # -- answers -----------------------------------------------------------------------------------------------------

    def explain(self, question: Question) -> Iterator[str]:
        """The answer, then what it rests on, a line each. The first begins with "answered", "compared" or "scanned"."""
        if question.file_system is None:
            yield f"scanned: its file system is not trusted: {question.distrust}"
        elif self._file is None or not self._seen:
            yield "scanned: nothing is remembered of any file"
        else:
            yield from self._ask(question, question.file_system)

    def _ask(self, question: Question, file_system: bytes) -> Iterator[str]:
        mine = self._mine()
        digests = asked(mine, self._seen)
        lookup = cache.Lookup(self._secret, self._generation, digests, file=self._fd, delta=self._delta)
        lookup.dir(file_system, question.directory.ino, question.directory.btime_ns)
        answer, fact, _ = lookup.file(question.file)
        stored = [found for seen in self._seen if (found := self._stored(question, file_system, seen)) is not None]
        same = [one for one in stored if not cache.differs(one.fact.id, question.file)]
        asking = [one for one in same if one.settings.settings.digest in digests]
        since = next((one for one in asking if fact is not None and one.fact[:7] == fact[:7]), None)
        if answer == cache.ANSWER_UNKNOWN or since is None:
            yield from self._unknown(question, file_system, stored, same)
            return
        if answer == cache.ANSWER_DELTA:
            yield f"compared with new signatures only: it was {_verdict(since.fact)}"
        else:
            yield f"answered from the store: {_verdict(since.fact)}"
        yield f"found with generation {self._age(since.generation)}"
        if since.settings.settings != mine:
            yield f"by a scan with other settings ({_different(since.settings.settings, mine)})"

    def _unknown(
        self, question: Question, file_system: bytes, stored: list[_Stored], same: list[_Stored]
    ) -> Iterator[str]:
        mine = self._mine()
        if own := next((one for one in same if one.settings.settings == mine), None):
            if own.generation == self._generation:
                yield "scanned: what is remembered of it is damaged"
            else:
                yield "scanned: what is new in the signatures since then could change more than a comparison can tell"
            yield f"it was {_verdict(own.fact)} with generation {self._age(own.generation)}"
        elif same:
            other = same[0]
            yield f"scanned: it is remembered only under other settings ({_different(other.settings.settings, mine)})"
            yield f"there it is {_verdict(other.fact)}"
        elif stored:
            fact = stored[0].fact
            fields = [_FIELDS[word] for word in cache.differs(fact.id, question.file)]
            yield f"scanned: it has changed: {', '.join(_NAMES[name] for name in fields)}"
            for name in fields:
                yield f"{_NAMES[name]}: {_shown(name, fact.id)}, now {_shown(name, question.file)}"
        elif self._known_directory(question, file_system):
            yield "scanned: it is not remembered (its inode is not known in its directory)"
        else:
            yield "scanned: nothing is remembered of its directory"

    def _mine(self) -> Settings:
        """Those of the last scan, if it were made now."""
        return self._seen[0].settings._replace(libraries=installed())

    # -- what lies in the store --------------------------------------------------------------------------------------

    def _place(self, question: Question, file_system: bytes, settings: Settings) -> bytes:
        directory = question.directory
        return cache.place(self._secret, file_system, directory.ino, directory.btime_ns, settings.digest)

    def _known_directory(self, question: Question, file_system: bytes) -> bool:
        assert self._file is not None
        places = [self._place(question, file_system, seen.settings) for seen in self._seen]
        return any(self._file.read(place) is not None for place in places)

    def _stored(self, question: Question, file_system: bytes, seen: Seen) -> _Stored | None:
        """The fact of the file's inode under these settings, whatever it is worth."""
        assert self._file is not None
        place = self._place(question, file_system, seen.settings)
        record = self._file.read(place)
        depth = 0
        while record is not None and record.split and depth < DEPTH:
            place = cache.part_place(place, question.file.ino, depth)
            record = self._file.read(place)
            depth += 1
        for fact in record.facts if record is not None else ():
            if record is not None and fact.id.ino == question.file.ino and fact.generation < len(record.generations):
                return _Stored(fact, record.generations[fact.generation], seen)
        return None

    def _age(self, generation: bytes) -> str:
        name = generation.hex()
        if generation == self._generation:
            return f"{name}, that of now"
        used = self._used.get(generation)
        return name if used is None else f"{name}, last used {time.strftime('%Y-%m-%d %H:%M', time.localtime(used))}"


DEPTH = 8  # KAV_PART_DEPTH in ext/cache/place.h


def obstacles(path: bytes, identity: cache.Identity, now: float) -> Iterator[str]:
    """Rules that would keep a scan of now from remembering the file at *path*."""
    newest = max(identity.mtime_ns, identity.ctime_ns) / 1e9
    if newest > now:
        yield "it is dated in the future: a scan would not remember it"
    elif newest > now - FRESH:
        yield f"it was changed in the last {FRESH:.0f} s: a scan would not remember it yet"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        yield f"it cannot be opened: {error.strerror}"
        return
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        yield "somebody has it open for writing: a scan would not remember it"
    except OSError as error:
        # Who has no right to a lease trusts only files of root that it cannot write to itself.
        if os.fstat(fd).st_uid != 0 or os.access(path, os.W_OK, effective_ids=True):
            yield f"it cannot be told whether somebody writes to it ({error.strerror}): a scan would not remember it"
    finally:
        os.close(fd)


def _verdict(fact: cache.Fact) -> str:
    word = Status(fact.status).name.lower()
    reasons = Reason(fact.reasons)
    words = ", ".join(text for reason, text in REASON_WORDS.items() if reason in reasons)
    return f"{word} ({words})" if words else word


def _different(other: Settings, mine: Settings) -> str:
    names = [name for name in Settings._fields if getattr(other, name) != getattr(mine, name)]
    return ", ".join(name.replace("_", " ") for name in names)


def _shown(name: str, identity: cache.Identity) -> str:
    value: int = getattr(identity, name)
    if not name.endswith("_ns"):
        return str(value)
    if value == _UNTOLD:
        return "not told"
    seconds, rest = divmod(value, 10**9)
    try:
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest:09d}"
    except (OverflowError, ValueError, OSError):  # some file systems keep any number as a time
        return f"{seconds}.{rest:09d}"
