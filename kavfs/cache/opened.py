"""Opened: stores that a scan may use, for as long as it lasts; OpenStores(None, ()) has none and loads nothing."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from kavfs.ports import Stores

if TYPE_CHECKING:
    from kavfs.cache.folder import Folder


class OpenStores:
    """Stores with the descriptors that they name, until close()."""

    def __init__(
        self,
        stores: Stores | None,
        notes: tuple[str, ...],
        folder: Folder | None = None,
        generations: frozenset[bytes] | None = None,
    ) -> None:
        self.stores = stores
        self.notes = notes
        self.generations = generations  # of signatures that files are remembered for; None = it cannot be told
        self._folder = folder

    def close(self) -> None:
        """May be called twice."""
        if self.stores is not None:
            for fd in (self.stores.objects_memory, self.stores.objects_file):
                if fd >= 0:
                    os.close(fd)
            self.stores = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def __enter__(self) -> OpenStores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
