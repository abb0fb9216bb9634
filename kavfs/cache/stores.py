"""Stores: opens what a scan may look up and remember, for as long as it lasts.

    with open_stores(state, limits=limits, switches=switches) as opened:
        for note in opened.notes: ...
        Job(..., stores=opened.stores)          # None: there is no cache, and a note says why

No trouble here ever stops a scan: without a store everything is scanned. A store that is damaged, or was written by
another version, is set aside with a note and begun anew.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress

from kavfs._native import cache
from kavfs.cache.folder import FILES, OBJECTS, SETTINGS, Folder, Refused
from kavfs.cache.opened import OpenStores as OpenStores
from kavfs.cache.settings import LIST_MAX, Settings, asked, read, remember, write
from kavfs.limits import GIB, MIB, Limits
from kavfs.model import Switch
from kavfs.ports import Stores

FILES_SIZE = 2 * GIB  # bytes that a file of iChecker may have
OBJECTS_SIZE = 64 * MIB  # level 2
MEMORY_SIZE = 4 * MIB  # level 1, 65,536 objects; each process pays for every page of it that it looks at
BUCKET = 512  # bytes; KAV_OBJECT_WAYS records, of which a table is a multiple

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW  # whoever maps it for writing seals it against all others


def open_stores(
    state: bytes,
    *,
    limits: Limits,
    switches: Switch,
    files: bool = True,
    digests: bool = False,
    distrust_owners: bool = False,
    engines: int = 0,
    size_limit: int = FILES_SIZE,
    objects: int = OBJECTS_SIZE,
    journal: str = "",
) -> OpenStores:
    """The stores in *state* for a scan with these settings.

    *files*: whole files are looked up and remembered (iChecker), in *size_limit* bytes. *objects*: bytes of level 2 of
    the object cache; 0 = neither level is used. *digests*: all digests of every object are remembered.
    *distrust_owners*: only files to which nobody but root and the scanning user may write are remembered. *engines* is
    the knowledge of other engines that are asked (EngineChoice). *journal* names the journal that this scan keeps.
    """
    try:
        folder = Folder(state)
    except (OSError, Refused) as error:
        return OpenStores(None, (_no_cache(state, error),))
    notes = folder.notes
    memory = file = -1
    full = ""
    generations: frozenset[bytes] | None = frozenset()
    try:
        if files:
            files, generations = _usable(folder, FILES, notes)
        if objects >= BUCKET:
            memory, file, full = _open_objects(folder, objects - objects % BUCKET, notes)
        mine = Settings.of(limits, switches, distrust_owners, engines)
        stores = Stores(
            folder=folder.fd,
            secret=folder.secret,
            settings=_settings(folder, mine),
            context=mine.context,
            files=files,
            journal=journal,
            size_limit=size_limit,
            objects_memory=memory,
            objects_file=file,
            digests=digests,
            distrust_owners=distrust_owners,
            full=full,
        )
    except BaseException:
        for fd in (memory, file):
            if fd >= 0:
                os.close(fd)
        folder.close()
        raise
    return OpenStores(stores, tuple(notes), folder, generations)


def _no_cache(state: bytes, error: OSError | Refused) -> str:
    where = os.fsdecode(os.path.join(state, b"cache"))
    why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return f"no cache, everything is scanned: {where}: {why}"


def _usable(folder: Folder, name: str, notes: list[str]) -> tuple[bool, frozenset[bytes] | None]:
    """Whether a store can be used: it is ours, or is not there yet, or could be set aside; and its generations."""
    try:
        fd = folder.open(name)
    except FileNotFoundError:
        return True, frozenset()
    except OSError as error:
        return _set_aside(folder, name, f"cannot be opened ({error.strerror})", notes), frozenset()
    try:
        return True, _generations(cache.File(fd, folder.secret))
    except cache.DamagedStore:
        return _set_aside(folder, name, "is damaged, or of another version", notes, fd), frozenset()
    except OSError as error:
        return _set_aside(folder, name, f"cannot be read ({error.strerror})", notes, fd), frozenset()
    finally:
        os.close(fd)


def _generations(file: cache.File) -> frozenset[bytes] | None:
    try:
        return frozenset(file.generations())
    except OSError as error:
        if error.errno == errno.EILSEQ:  # the sums are damaged: whoever writes makes them anew
            return None
        raise


def _set_aside(folder: Folder, name: str, why: str, notes: list[str], judged: int = -1) -> bool:
    try:
        if note := folder.set_aside(name, why, judged):
            notes.append(note)
    except OSError as error:
        notes.append(f"the cache file {folder.show(name)} {why} and is not used: {error.strerror}")
        return False
    return True


def _open_objects(folder: Folder, size: int, notes: list[str]) -> tuple[int, int, str]:
    """Both levels of the object cache, -1 for one that cannot be had; and why the disk is full, if it is: that concerns
    more than this cache, and is said once for all."""
    memory = file = -1
    full = ""
    try:
        memory = os.memfd_create("kavfs-objects", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, MEMORY_SIZE)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        notes.append(f"no object cache in memory: {error.strerror}")
        if memory >= 0:
            os.close(memory)
            memory = -1
    try:
        file = folder.open(OBJECTS, os.O_RDWR | os.O_CREAT)
        if os.fstat(file).st_size != size:
            os.ftruncate(file, size)  # records that are elsewhere in a table of this size are misses from now on
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            full = os.strerror(error.errno)
            notes.append(f"not all that is found can be remembered: {full}")
        else:
            notes.append(f"no object cache on disk: {folder.show(OBJECTS)}: {error.strerror}")
        if file >= 0:
            os.close(file)
            file = -1
    return memory, file, full


def _settings(folder: Folder, mine: Settings) -> tuple[bytes, ...]:
    """Digests to ask for; ours goes to the list, so that other scans can ask for it."""
    seen, changed = remember(read(folder.read(SETTINGS, LIST_MAX), folder.secret), mine, int(time.time()))
    if changed:
        with suppress(OSError):  # then others scan what this scan has remembered
            folder.write(SETTINGS, write(seen, folder.secret))
    return asked(mine, seen)
