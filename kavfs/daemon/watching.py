"""Watching: says when databases, the allow list or the configuration may have changed, and what they look like.

Events of the system say that it is worth looking; what counts is what is seen then. So a file of an editor beside ours
is nothing, and what no event tells (another host wrote it, a folder came back, an entry's time is over) is found by the
look that is due from time to time anyway.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from kavfs.signatures import allow
from kavfs.signatures.kinds import kind_of
from kavfs.signatures.sources import Identity, is_settled

CHANGES = ("created", "modified", "closed", "moved", "deleted")  # not that somebody reads, as we do ourselves

logging.getLogger("watchdog").addHandler(logging.NullHandler())  # where nobody set up logs, it would speak on stderr

UNWATCHED = "changes of signatures and settings are not told by the system ({why}): they are looked for every minute"


class Places(NamedTuple):
    """What is watched."""

    databases: tuple[bytes, ...]  # absolute: folders, database files, or an image file
    state: bytes  # where the allow list lies
    config: bytes = b""  # b"" = none


class Seen(NamedTuple):
    """What a look found; two that are equal found the same."""

    files: tuple[tuple[bytes, Identity | int], ...]  # an errno instead of what cannot be looked at
    allowed: tuple[object, ...]  # entries that hold now

    @property
    def settled(self) -> bool:
        """Whether a change after the look cannot have left the same time stamps."""
        return all(isinstance(identity, int) or is_settled(identity) for _, identity in self.files)


def look(places: Places) -> Seen:
    """Never fails, and reads nothing but the allow list."""
    found: dict[bytes, Identity | int] = {}
    for place in places.databases:
        found.update(_look_at(place))
    config = (places.config, _identity(places.config)) if places.config else ()
    entries = allow.read_allow(places.state)
    holding = tuple((source.kind, source.identity) for source in entries.sources())
    return Seen(
        (*sorted(found.items(), key=lambda item: item[0]), *((config,) if config else ())), (*entries.entries, *holding)
    )


def _look_at(place: bytes) -> Iterable[tuple[bytes, Identity | int]]:
    try:
        names = os.listdir(place) if stat.S_ISDIR(os.stat(place).st_mode) else None
    except OSError as error:
        return [(place, error.errno or 0)]
    if names is None:
        return [(place, _identity(place))]
    paths = [os.path.join(place, name) for name in names if kind_of(name) is not None]
    return [(path, _identity(path)) for path in paths]


def _identity(path: bytes) -> Identity | int:
    try:
        return Identity.of(os.stat(path))
    except OSError as error:
        return error.errno or 0


class Watcher:
    """*changed* is called by another thread. *note* is told what is not watched, once."""

    def __init__(self, changed: Callable[[], None], note: Callable[[str], None]) -> None:
        self._handler = _Handler(changed)
        self._note = note
        self._observer = Observer()
        self._watches: dict[bytes, tuple[ObservedWatch, tuple[int, int]]] = {}
        self._begun = False
        self._failed = False

    def follow(self, places: Places) -> None:
        """Watch the folders of *places* as they are now: call it again whenever they may be others."""
        self._handler.names = {allow.FILE, os.path.basename(places.config)}
        self._handler.files = {os.path.basename(place) for place in places.databases}
        wanted = {}
        for folder in _folders(places):
            try:
                status = os.stat(folder)
            except OSError:
                continue  # looked for again
            wanted[folder] = (status.st_dev, status.st_ino)
        for folder, (watch, inode) in tuple(self._watches.items()):
            if wanted.get(folder) != inode:
                del self._watches[folder]
                self._drop(watch)
        for folder, inode in wanted.items():
            if folder not in self._watches:
                self._watch(folder, inode)

    def _watch(self, folder: bytes, inode: tuple[int, int]) -> None:
        try:
            if not self._begun:
                self._observer.start()
                self._begun = True
            watch = self._observer.schedule(self._handler, os.fsdecode(os.path.realpath(folder)))
            self._watches[folder] = (watch, inode)
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be had
            if not self._failed:
                self._failed = True
                self._note(UNWATCHED.format(why=error.args[-1] if error.args else error))

    def _drop(self, watch: ObservedWatch) -> None:
        try:
            self._observer.unschedule(watch)
        except (OSError, KeyError):
            return  # it went with its folder

    @property
    def failed(self) -> bool:
        """Whether something is not watched."""
        return self._failed

    def close(self) -> None:
        if self._begun:
            self._observer.stop()
            self._observer.join()


class _Handler(FileSystemEventHandler):
    """Lets pass what could be about us: the state folder has many files that are written all the time."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.names: set[bytes] = set()
        self.files: set[bytes] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in CHANGES:
            return
        paths = (event.src_path, getattr(event, "dest_path", ""))  # older libraries have the second with moves alone
        names = [os.path.basename(os.fsencode(path)) for path in paths if path]
        if any(name in self.names or name in self.files or kind_of(name) is not None for name in names):
            self._changed()


def _folders(places: Places) -> set[bytes]:
    """A database file is watched by its folder, as it may be exchanged for another."""
    folders = {place if os.path.isdir(place) else os.path.dirname(place) for place in places.databases}
    return folders | {places.state, *([os.path.dirname(places.config)] if places.config else [])}
