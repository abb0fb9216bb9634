"""Keeping: a message into quarantine, whole and with its envelope, durably, before anything is said of it.

What was found in it lies in it: `kavfs quarantine export --part` takes a single object out again. A group may have a
store of its own (QuarantinePath). What cannot be kept is not taken from the client: he hears 451.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from kavfs.action.catalogue import MESSAGE, Finding
from kavfs.action.facts import Facts
from kavfs.action.place import ActionError
from kavfs.action.store import Store
from kavfs.mail.case import Case
from kavfs.mail.letter import letter_of, written


class Kept(NamedTuple):
    """Promises store.Content: a spool, which nobody writes to any more."""

    fd: int
    facts: Facts

    def unchanged(self) -> bool:
        return os.fstat(self.fd).st_size == self.facts.size


class Keeping:
    """Promises case.Keep; for any threads. *folder*: the store of groups that name none. *most*: bytes of one message,
    0 = any; what a store may have in all is looked after elsewhere ([quarantine] of the configuration)."""

    def __init__(self, folder: bytes, most: int = 0, generation: bytes = b"") -> None:
        self._folder = folder
        self._most = most
        self.generation = generation  # of the signatures; set again when they change

    def __call__(self, case: Case) -> tuple[str, ...]:
        if self._most and case.spool.size > self._most:
            raise ActionError("the message is larger than all that the quarantine may hold")
        name = b"mail/" + case.id.encode("ascii", "replace") + b".eml"
        now = int(case.time * 1e9)
        facts = Facts(name, name, os.geteuid(), os.getegid(), 0o600, now, now, case.spool.size)
        threat = next((name for one in case.findings for name in one.threats), "")
        finding = Finding(threat, case.status, generation=self.generation)
        with Store(case.group.quarantine_path or self._folder) as store:  # opened each time: for the thread we are in
            return (store.put(Kept(case.spool.fd, facts), finding, MESSAGE, written(letter_of(case))),)
