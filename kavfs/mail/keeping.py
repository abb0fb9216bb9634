"""Keeping: a message into quarantine, whole and with its envelope, durably, before anything is said of it.

What was found in it lies in it: `kavfs quarantine export --part` takes a single object out again. A group may have a
store of its own (QuarantinePath). What cannot be kept is not taken from the client: he hears 451.
"""

from __future__ import annotations

import logging
import os
import time
from typing import NamedTuple

from kavfs.action.catalogue import MESSAGE, Finding
from kavfs.action.facts import Facts
from kavfs.action.place import ActionError
from kavfs.action.store import Store
from kavfs.errors import KavfsError
from kavfs.mail.case import Case
from kavfs.mail.letter import letter_of, written

log = logging.getLogger(__name__)

HOUR = 3600.0  # seconds from one look after a store to the next


class Kept(NamedTuple):
    """Promises store.Content: a spool, which nobody writes to any more."""

    fd: int
    facts: Facts

    def unchanged(self) -> bool:
        return os.fstat(self.fd).st_size == self.facts.size


class Keeping:
    """Promises case.Keep; for any threads. *folder*: the store of groups that name none. *most* and *age*: bytes that
    it may have, and seconds that an item lies in it, 0 = any (MaxSize, MaxAge); as a scan of files does, but hourly,
    what is more goes. A message that is larger than all of it is refused."""

    def __init__(self, folder: bytes, most: int = 0, generation: bytes = b"", age: float = 0.0) -> None:
        self._folder = folder
        self._most = most
        self._age = age
        self._looked = -HOUR
        self.generation = generation  # of the signatures; set again when they change

    def __call__(self, case: Case) -> tuple[str, ...]:
        if self._most and case.spool.size > self._most:
            raise ActionError("the message is larger than all that the quarantine may hold")
        name = b"mail/" + case.id.encode("ascii", "replace") + b".eml"
        now = int(case.time * 1e9)
        facts = Facts(name, name, os.geteuid(), os.getegid(), 0o600, now, now, case.spool.size)
        threat = next((name for one in case.findings for name in one.threats), "")
        finding = Finding(threat, case.status, generation=self.generation)
        folder = case.group.quarantine_path or self._folder
        with Store(folder) as store:  # opened each time: for the thread we are in
            item = store.put(Kept(case.spool.fd, facts), finding, MESSAGE, written(letter_of(case)))
            if folder == self._folder:
                self._look_after(store)
        return (item,)

    def _look_after(self, store: Store) -> None:
        now = time.monotonic()
        if not (self._most or self._age) or now - self._looked < HOUR:
            return
        self._looked = now
        try:
            for item in store.prune(self._age or None, self._most or None):
                log.info("quarantine: item %s was deleted, as MaxAge and MaxSize have it", item.id)
        except (KavfsError, OSError) as error:  # somebody else may be doing the same
            log.warning("the quarantine was not looked after: %s", error)
