"""Lookups: what a walker gets so that it can ask the stores.

The coordinator opens the files for it, because a walker may read any directory but has no business in ours. They are
opened anew for each walker, so that a later one finds what an earlier one's files have added.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from kavfs.ports import Image, Stores
from kavfs.record import field, record
from kavfs.scan.control import Message, bytes_of, text_of
from kavfs.walk import filesystems
from kavfs.walk.mounts import Mount, MountTable

FILES = "files"  # in the folder of stores
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""Walkers check the table once and then trust it: none of them may change it under the others."""

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@record
class Lookups:
    """Of one scan. close() is due."""

    stores: Stores
    generation: bytes
    names: bool  # somebody wants to see clean files
    delta: int = -1  # a memfd with the delta table, if there is one
    system: filesystems.System = field(default_factory=filesystems.System)

    def words(self, mount: Mount | None, table: MountTable) -> Message | None:
        """What is said to a walker on *mount*; None: there is nothing that it could ask for or add."""
        if mount is None:
            return None
        seen = filesystems.look(mount, table, self.system)
        if not self.stores.journal and (seen.why or not self.stores.files):
            return None
        return {
            "secret": text_of(self.stores.secret),
            "generation": text_of(self.generation),
            "settings": [text_of(one) for one in self.stores.settings],
            "names": self.names,
            "files": self.stores.files,
            "distrust": self.stores.distrust_owners,
            "journal": bool(self.stores.journal),
            "mount": {name: text_of(v) if isinstance(v, bytes) else v for name, v in seen._asdict().items()},
        }

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[list[str], list[int]]]:
        """What is sent along, and the descriptors for as long as that takes."""
        kinds, fds = [], []
        try:
            for kind, name in (("file", FILES if self.stores.files else ""), ("journal", self.stores.journal)):
                with contextlib.suppress(OSError):  # not written yet
                    if name:
                        fds.append(os.open(name, _OPEN, dir_fd=self.stores.folder))
                        kinds.append(kind)
            shared = [self.delta] if self.delta >= 0 else []
            yield kinds + ["delta"] * len(shared), fds + shared
        finally:
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """May be called twice."""
        if self.delta >= 0:
            os.close(self.delta)
            self.delta = -1


def make(stores: Stores | None, image: Image, names: bool) -> Lookups | None:
    """None without stores. Where walkers have nothing to ask (words() is None), workers may have the object cache."""
    if stores is None:
        return None
    lookups = Lookups(stores, image.generation, names)
    if table := image.delta_table:
        lookups.delta = os.memfd_create("kavfs-delta", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with open(lookups.delta, "wb", closefd=False) as file:
            file.write(table)
        fcntl.fcntl(lookups.delta, fcntl.F_ADD_SEALS, _SEALS)
    return lookups


def seen_in(words: Message) -> filesystems.Seen:
    """What words() was told of the mount."""
    mount = words["mount"]
    return filesystems.Seen(
        number=mount["number"],
        fstype=bytes_of(mount["fstype"]),
        place=bytes_of(mount["place"]),
        why=mount["why"],
        uuid=bytes_of(mount["uuid"]),
        disks=bytes_of(mount["disks"]),
        boot=bytes_of(mount["boot"]),
        bound=mount["bound"],
    )
