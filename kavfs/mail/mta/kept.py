"""Kept: a copy of each file before it was changed, and a record of what was done, so that it can be undone to the byte.

    STATE/mta/postfix/record     which files, what they were and what they became (SHA-256), by which wish
    STATE/mta/postfix/0, 1, ...  what they were, with owner and mode; nobody else can enter the folder

The record stands on the disk before a file changes. So wherever a run is killed, each file is what it was or what it
became, and the next `integrate` or `remove` knows which.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from kavfs.errors import SystemFailure
from kavfs.mail.mta import files
from kavfs.mail.mta.files import Kept
from kavfs.mail.mta.wish import Address, Refused, Wish

Contents = dict[str, bytes | None]
"""Files by their paths inside the root, in the order in which they are to be written. None: not there."""


class Target(Protocol):
    """An MTA's configuration."""

    name: str
    root: str

    def current(self) -> Contents:
        """Every file that an integration could change, as it is."""

    def cleaned(self, now: Contents) -> Contents:
        """Without what is ours by its marks. Files that are left out stay as they are."""

    def wanted(self, clean: Contents, wish: Wish) -> Contents:
        """As they shall be. Raises Refused."""

    def complaints(self) -> list[str]:
        """What the MTA's own checker says against the files; none: it takes them."""

    def missing(self, now: Contents, wish: Wish) -> list[str]:
        """What *wish* needs and is not there any more."""


class Entry(NamedTuple):
    """A file of a record; digests are SHA-256 in hexadecimal, None: it was, or is, not there."""

    path: str
    before: str | None
    after: str | None


class Record(NamedTuple):
    wish: Wish
    entries: tuple[Entry, ...]


def integrate(target: Target, wish: Wish, folder: str) -> bool:
    """Carries out *wish*; False: it was so already. *folder* is where the copies of this MTA lie. Raises Refused, with
    everything as it was, when something stands in the way or the MTA's checker does not take it."""
    with _locked(folder):
        now = _current(target)
        record = load(folder)
        base = _base(target, now, record, folder)
        after = {**now, **target.wanted(base, wish)}
        if after == now:
            if record is None or record.wish != wish:
                _save(folder, target.root, base, after, wish)
            return False
        if troubles := target.complaints():
            raise Refused(f"{target.name} does not take its configuration as it is: {'; '.join(troubles)}")
        _save(folder, target.root, base, after, wish)
        try:
            _exchange(target, now, after)
        except BaseException:
            if record is None:
                _drop(folder)
            else:
                _save(folder, target.root, base, {path: now.get(path) for path in after}, record.wish)
            raise
        return True


def remove(target: Target, folder: str) -> bool:
    """Takes everything of ours away; False: there was nothing. Files that nobody has changed since get back the bytes
    that they had, others lose our parts. Raises Refused when the MTA's checker does not take what comes of it."""
    with _locked(folder):
        now = _current(target)
        base = _base(target, now, load(folder), folder)
        after = {path: base[path] for path in reversed(list(base))}  # what sends mail to us goes before what takes it
        if after != now:
            _exchange(target, now, after)
        _drop(folder)
        return after != now


def load(folder: str) -> Record | None:
    """None: no integration is on record."""
    try:
        with open(os.path.join(folder, "record"), encoding="ascii") as file:
            found = json.load(file)
        wish = {**found["wish"], "scanner": Address(*found["wish"]["scanner"]), "back": Address(*found["wish"]["back"])}
        return Record(Wish(**wish), tuple(Entry(*entry) for entry in found["entries"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SystemFailure(f"{folder}/record cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"{folder}/record is damaged ({error}); without it our parts are told by their marks") from None


def _current(target: Target) -> Contents:
    now = target.current()
    for path in now:
        files.sweep(target.root, path)
    return now


def _base(target: Target, now: Contents, record: Record | None, folder: str) -> Contents:
    """The files as they are without us."""
    known = {entry.path: (place, entry) for place, entry in enumerate(record.entries)} if record else {}
    found: Contents = {}
    clean: Contents | None = None
    for path, content in now.items():
        digest = _digest(content)
        place, entry = known.get(path, (0, None))
        if entry is not None and digest == entry.before:
            found[path] = content
        elif entry is not None and digest == entry.after:
            found[path] = None if entry.before is None else _copy(folder, place, entry.before)
        else:
            clean = target.cleaned(now) if clean is None else clean
            found[path] = clean.get(path, content)
    return found


def _exchange(target: Target, now: Contents, after: Mapping[str, bytes | None]) -> None:
    """Writes what differs; what was there comes back when that, or the check, fails."""
    done: list[str] = []
    try:
        for path, content in after.items():
            if content != now.get(path):
                done.append(path)
                files.write(target.root, path, content)
        if troubles := target.complaints():
            raise Refused(f"{target.name} does not take it, nothing was changed: {'; '.join(troubles)}")
    except BaseException:
        for path in reversed(done):
            files.write(target.root, path, now.get(path))
        raise


# -- the folder ------------------------------------------------------------------------------------------------------


def _save(folder: str, root: str, base: Contents, after: Mapping[str, bytes | None], wish: Wish) -> None:
    mine = Kept(os.geteuid(), os.getegid(), 0o600)
    entries = []
    changed = [path for path, content in after.items() if content != base.get(path)]
    try:
        for place, path in enumerate(changed):
            content = base.get(path)
            if content is not None:
                files.write_private(
                    os.path.join(folder, _name(place, content)), content, files.kept_of(root, path) or mine
                )
            entries.append(Entry(path, _digest(content), _digest(after[path])))
        record = {"wish": wish._asdict(), "entries": entries}
        files.write_private(os.path.join(folder, "record"), json.dumps(record).encode("ascii"), mine)
    except OSError as error:
        raise SystemFailure(f"{folder}: {error.strerror}") from None


def _copy(folder: str, place: int, digest: str) -> bytes:
    name = os.path.join(folder, f"{place}-{digest[:16]}")
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise SystemFailure(f"{name} cannot be read: {error.strerror}") from None
    if _digest(content) != digest:
        raise Refused(f"{name} is damaged: the file it is a copy of has to be put right by hand")
    return content


def _name(place: int, content: bytes) -> str:
    """By its content too: the copies of an older record stay until the new one is there."""
    return f"{place}-{hashlib.sha256(content).hexdigest()[:16]}"


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _drop(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, "record"))  # first: copies without it mean nothing
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(os.path.dirname(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SystemFailure(f"{folder}: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # nothing was kept
