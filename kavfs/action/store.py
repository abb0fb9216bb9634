"""Store: a folder in which files are kept encrypted: quarantine and backups, or the folder of `move` and `movePath`.

The order of every change is the promise: an item is on disk with its folder before its row is committed, and only then
may the caller take the source away; a restored file is on disk with its folder before the row goes, and only then the
item goes. So whatever stops us, a file is whole in at least one place. What was written without coming to a row is
removed by prune().
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol

from kavfs.action import facts as facts_of
from kavfs.action import seal
from kavfs.action.catalogue import BACKUP, MESSAGE, QUARANTINE, Finding, Item, told
from kavfs.action.layout import file_of
from kavfs.action.place import ActionError, Held, Parent
from kavfs.action.vault import Vault, shown, split, text_of
from kavfs.errors import KavfsError, SystemFailure
from kavfs.model import Result
from kavfs.ports import Rescan

VERSIONS = 3  # backups of a path that are kept
RESERVE = 16 << 20  # bytes of the disk that are left to others
IN_MEMORY = 64 << 20  # bytes of an item that are decrypted into memory; larger ones into a file without a name


class Missing(KavfsError):
    """There is no such item, or more than one is meant."""


class Content(Protocol):
    """What is put into a store: a file that is held, or what never was one."""

    @property
    def fd(self) -> int: ...

    @property
    def facts(self) -> facts_of.Facts: ...

    def unchanged(self) -> bool:
        """Its bytes are what they were when it was looked at."""
        ...


class Judged(NamedTuple):
    """What a rescan says of an item now, and what became of it."""

    item: Item
    result: Result | None = None  # None: it could not be judged, text says why
    restored: bool = False
    text: str = ""  # where it went, or why it could not be restored

    @property
    def complete(self) -> bool:
        return self.result is not None and self.result.complete


class Store(Vault):
    """The items of a vault. It is made, used and closed as that is."""

    # -- in ----------------------------------------------------------------------------------------------------------

    def put(self, held: Content, finding: Finding, kind: str = QUARANTINE, letter: str = "") -> str:
        """A copy of the scanned file, on disk when this returns; the id of the item. ActionError: there is none, and
        the source must stay. What is there already
        as a backup of the same path is not stored again."""
        known = self._known_backup(held) if kind == BACKUP else None
        if known is not None:
            return known
        number = os.urandom(seal.ID)
        item = Item(number.hex(), kind, b"", held.facts, finding, time.time_ns(), os.getuid(), b"")
        item = item._replace(file=file_of(self.layout, item), letter=letter)
        try:
            self._must_have_room(held.facts.size)
            digest = self._write(item, held)
            self._commit(item._replace(sha256=digest))
        except (OSError, sqlite3.Error) as error:
            raise ActionError(f"it cannot be stored in {self.shown}: {text_of(error)}") from None
        if kind == BACKUP:
            self._drop_versions(held.facts.place)
        return item.id

    def take(self, held: Held, finding: Finding, kind: str = QUARANTINE) -> tuple[str, str]:
        """put() and then remove the source: the id of the item and a text for the report. When the source cannot be
        removed, the copy goes again, unless the name means something else now: then it may be the only one."""
        item = self.put(held, finding, kind)
        try:
            return item, held.remove()
        except ActionError as error:
            if held.in_place():
                with suppress(ActionError):
                    self.delete(item)
                raise
            raise ActionError(f"{error}; a copy is kept as item {item}") from None

    # -- out ---------------------------------------------------------------------------------------------------------

    def open(self, item: str) -> Iterator[bytes]:
        """The content of an item, piece by piece. ActionError when it is damaged, at the latest at its end."""
        found = self.get(item)
        digest = hashlib.sha256()
        try:
            with self.opened(found.file) as fd:
                for piece in split(seal.opened(self.key, bytes.fromhex(found.id), fd))[1]:
                    digest.update(piece)
                    yield piece
            if digest.digest() != found.sha256:
                raise seal.Damaged("its digest is not that of the catalogue")
        except seal.Damaged as error:
            raise ActionError(f"item {found.id} is damaged: {error}") from None
        except OSError as error:
            raise ActionError(f"item {found.id} cannot be read: {text_of(error)}") from None

    def export(self, item: str, fd: int) -> None:
        """The content of an item into a descriptor."""
        for piece in self.open(item):
            try:
                seal.write(fd, piece)
            except OSError as error:
                raise ActionError(f"item {item} cannot be written: {text_of(error)}") from None

    def plain(self, item: str) -> int:
        """The content as a file without a name, open for reading and writing, at offset 0: the caller's descriptor."""
        fd = self._nameless(self.get(item).facts.size)
        try:
            self.export(item, fd)
            os.lseek(fd, 0, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def restore(self, item: str, to: bytes | None = None, *, keep: bool = False) -> tuple[bytes, tuple[str, ...]]:
        """Put a file back as it was, where it was or at the path *to*; then the item goes, unless *keep*. Never over
        anything, never through a link. Returns where it is, and the attributes that could not be given back. A message
        has never been anywhere: it needs *to*."""
        found = self.get(item)
        if found.kind == MESSAGE and not to:
            raise ActionError(f"item {found.id} is a message: it is released, or restored to a path that is named")
        target = to or found.facts.place
        folder, name = os.path.split(os.path.abspath(target))
        try:
            parent = Parent(folder)
        except OSError as error:
            raise ActionError(f"{shown(folder)} cannot be used: {text_of(error)}") from None
        try:
            missing = self._restore(found, parent, name)
        except FileExistsError:
            raise ActionError(f"{shown(target)} is there already; it was not written over") from None
        except OSError as error:
            raise ActionError(f"{shown(target)} cannot be restored: {text_of(error)}") from None
        finally:
            parent.close()
        if not keep:
            self.delete(found.id)
        return os.path.join(folder, name), missing

    def delete(self, item: str) -> None:
        """The row, and then the item, go."""
        found = self.get(item)
        try:
            self.catalogue.remove(found.id)
            self.unlink(found.file)
        except (OSError, sqlite3.Error) as error:
            raise ActionError(f"item {found.id} cannot be removed: {text_of(error)}") from None

    # -- all of them -------------------------------------------------------------------------------------------------

    def get(self, item: str) -> Item:
        """An item by its id, or by the beginning of it. Raises Missing."""
        try:
            found = self.catalogue.find(item) if item and all(c in "0123456789abcdefABCDEF" for c in item) else []
        except sqlite3.Error as error:
            raise SystemFailure(f"the catalogue of {self.shown} cannot be read: {error}") from None
        if len(found) != 1:
            raise Missing(f"{'more than one' if found else 'no'} item {item} in {self.shown}")
        return found[0]

    def items(self, kind: str = "", path: bytes = b"") -> list[Item]:
        """All items, or those of a kind or a path, the oldest first."""
        try:
            return self.catalogue.items(kind, path)
        except sqlite3.Error as error:
            raise SystemFailure(f"the catalogue of {self.shown} cannot be read: {error}") from None

    def prune(self, age: float | None = None, size: int | None = None, kind: str = "") -> list[Item]:
        """Remove items that are older than *age* seconds, then the oldest until the rest has no more than *size* bytes;
        and what was written without coming to a row. Returns the items that went."""
        there, gone = self.items(kind), []
        limit = time.time_ns() - int(age * 1e9) if age is not None else 0
        total = sum(item.facts.size for item in there)
        for item in there:
            if item.added_ns < limit or (size is not None and total > size):
                self.delete(item.id)
                total -= item.facts.size
                gone.append(item)
        self.tidy()
        return gone

    def waiting(self, known: str, since_ns: int = 0) -> list[Item]:
        """What is in quarantine and was judged last by somebody who did not know just what is *known* now, or before
        *since_ns*; what has waited longest comes first."""
        found = []
        for item in self.items():
            if item.kind == BACKUP:
                continue
            by = item.judged_by or item.finding.generation.hex()
            if by != known or max(item.added_ns, item.judged_ns) < since_ns:
                found.append(item)
        return sorted(found, key=lambda item: item.judged_ns or item.added_ns)

    def rescan(
        self,
        rescan: Rescan,
        items: Iterable[Item],
        *,
        restore: bool = False,
        engines: Collection[str] = (),
        known: str = "",
    ) -> Iterator[Judged]:
        """Judge *items* again. What is clean now is marked so, and with *restore* goes back where it was, but for
        backups: there something else is in its place. *engines* are those that *rescan* asks (none = all): what
        another one has found is not theirs to acquit. *known* is a word for what they know."""
        for item in items:
            if engines and item.finding.engine not in engines:
                yield Judged(item, text=f"found by engine {item.finding.engine}, which is not asked")
                continue
            try:
                judged = self._judged(rescan, item, known)
                if restore and item.kind == QUARANTINE and judged.item.good and judged.complete:
                    judged = self._given_back(judged)
                yield judged
            except (ActionError, Missing) as error:  # Missing: somebody else has given it back or deleted it
                yield Judged(item, text=str(error))

    def _judged(self, rescan: Rescan, item: Item, known: str) -> Judged:
        fd = self.plain(item.id)
        try:
            result = rescan(fd, item.facts.path)
        finally:
            os.close(fd)
        item = item._replace(judged=result.status, judged_by=known, judged_ns=time.time_ns())
        try:
            self.catalogue.judge(item)
        except sqlite3.Error as error:
            raise ActionError(f"the verdict on item {item.id} cannot be kept: {error}") from None
        return Judged(item, result)

    def _given_back(self, judged: Judged) -> Judged:
        try:
            place, _ = self.restore(judged.item.id)
        except (ActionError, Missing) as error:
            return judged._replace(text=f"not restored: {error}")
        return judged._replace(restored=True, text=shown(place))

    # -- writing -----------------------------------------------------------------------------------------------------

    def _write(self, item: Item, held: Content) -> bytes:
        """The item's file, on disk with its folder; the digest of the content."""
        digest = hashlib.sha256()
        folder, name = os.path.split(item.file)
        with self.parent(folder, make=True) as parent:
            fd = parent.temp_file()
            try:
                for data in seal.sealed(self.key, bytes.fromhex(item.id), _told_and(item, held.fd, digest)):
                    seal.write(fd, data)
                if not held.unchanged():
                    raise ActionError("it was changed while it was copied")
                parent.publish(fd, name)
            finally:
                os.close(fd)
        return digest.digest()

    def _commit(self, item: Item) -> None:
        try:
            self.catalogue.add(item)
        except sqlite3.Error:
            with suppress(sqlite3.Error, OSError):  # in doubt the file stays: prune() knows whether it has a row
                if self.catalogue.get(item.id) is None:
                    self.unlink(item.file)
            raise

    def _must_have_room(self, size: int) -> None:
        room = os.fstatvfs(self.fd)
        if size + RESERVE > room.f_bavail * room.f_frsize:
            raise ActionError(f"there is no room for it in {self.shown}")

    def _known_backup(self, held: Content) -> str | None:
        """A backup of the very same: an infection that comes back as it was makes no new version."""
        same = [
            item
            for item in self.items(BACKUP, held.facts.place)
            if item.facts._replace(atime_ns=held.facts.atime_ns, path=held.facts.path) == held.facts
        ]
        if not same:
            return None
        digest = hashlib.sha256()
        for piece in seal.pieces(held.fd):
            digest.update(piece)
        if not held.unchanged():
            return None
        return next((item.id for item in same if item.sha256 == digest.digest()), None)

    def _drop_versions(self, place: bytes) -> None:
        """Three backups of a path are kept besides those that a rescan found to be clean, of which three are kept too.
        Copies with one and the same threat push each other out first: a file that is infected again and again by the
        same thing must not cost an older version of it."""
        versions = [item for item in self.items(BACKUP) if item.facts.place == place]
        for good in (True, False):
            kept = [item for item in versions if item.good is good]
            while len(kept) > VERSIONS:
                with suppress(ActionError):
                    self.delete(_superfluous(kept).id)
                kept.remove(_superfluous(kept))

    # -- reading -----------------------------------------------------------------------------------------------------

    def _restore(self, item: Item, parent: Parent, name: bytes) -> tuple[str, ...]:
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
            raise FileExistsError
        fd = parent.temp_file()
        try:
            self.export(item.id, fd)
            missing = facts_of.apply(fd, item.facts)
            parent.publish(fd, name)
        finally:
            os.close(fd)
        return missing

    def _nameless(self, size: int) -> int:
        if size <= IN_MEMORY:
            return os.memfd_create("kavfs-item", os.MFD_CLOEXEC)
        try:
            return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        except OSError:  # a file system without
            return os.memfd_create("kavfs-item", os.MFD_CLOEXEC)


def identities(folders: Iterable[bytes]) -> tuple[tuple[int, int], ...]:
    """Device and inode of each folder that is there: what a scan does not enter."""
    found = []
    for folder in folders:
        with suppress(OSError):
            status = os.stat(folder)
            found.append((status.st_dev, status.st_ino))
    return tuple(dict.fromkeys(found))


def _superfluous(versions: list[Item]) -> Item:
    """Of backups, the oldest first, the one to lose: the oldest with a threat that a newer one has too, but for the
    first of all; else the oldest."""
    for number, item in enumerate(versions[1:], 1):
        if any(item.finding.threat == other.finding.threat for other in versions[number + 1 :]):
            return item
    return versions[0]


def _told_and(item: Item, fd: int, digest: hashlib._Hash) -> Iterator[bytes]:
    """What is sealed: the length of the item's own words, these, and the content, which is counted on its way."""
    words = told(item)
    yield len(words).to_bytes(4, "big") + words
    for piece in seal.pieces(fd):
        digest.update(piece)
        yield piece
