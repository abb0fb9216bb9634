"""Words of the project as values: statuses, reasons, targets, threats, results.

Everything here but the totals is frozen and imports nothing of ours. The numbers are those of ext/common/kav.h;
tests/unit/test_words.py compares the two.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from kavfs.record import field, record

ENGINES = ("native", "clamav", "clamd", "yara")
"""In the order in which an object goes through them (enum kav_engine)."""

ENGINE_NUMBERS = {name: number for number, name in enumerate(ENGINES)}


class Status(enum.IntEnum):
    """The verdict on an object, in the product's own words."""

    CLEAN = 0
    INFECTED = 1
    WARNING = 2
    SUSPICIOUS = 3
    CORRUPTED = 4
    PROTECTED = 5
    ERROR = 6
    CURED = 7
    CUREFAILED = 8
    FILTERED = 9


class Reason(enum.IntFlag):
    """Why coverage is partial. ``COMPLETE`` (no bit) is complete coverage."""

    DEPTH = 1 << 0
    MEMBERS = 1 << 1
    BYTES = 1 << 2
    SIZE = 1 << 3
    TIME = 1 << 4
    ENCRYPTED = 1 << 5
    DAMAGED = 1 << 6
    UNREADABLE = 1 << 7
    CHANGED = 1 << 8
    METHOD = 1 << 9
    WORKER = 1 << 10
    MATCH = 1 << 11
    MEMORY = 1 << 12
    ENGINE = 1 << 13


class Target(enum.IntEnum):
    """Target types with ClamAV's numbers: which signatures an object is compared with besides those for ANY."""

    ANY = 0
    PE = 1
    OLE2 = 2
    HTML = 3
    MAIL = 4
    GRAPHICS = 5
    ELF = 6
    TEXT = 7
    MACHO = 9
    PDF = 10
    FLASH = 11
    JAVA = 12


class Entry(enum.IntEnum):
    """What the walker met at a path."""

    FILE = 0
    ERROR = 1
    VANISHED = 2
    SPECIAL = 3
    SYMLINK = 4
    EXCLUDED = 5
    SUBMOUNT = 6
    PSEUDO = 7
    STORE = 8
    SEEN = 9


class Switch(enum.IntFlag):
    """What a scan opens and reports; the first six are the letters of ``kavscanner -e``."""

    PACKED = 1 << 0
    ARCHIVES = 1 << 1
    SFX = 1 << 2
    MAILBASES = 1 << 3
    MAILPLAIN = 1 << 4
    HEURISTIC = 1 << 5
    ALL_MATCH = 1 << 6
    ALL_MEMBERS = 1 << 7
    DIGEST = 1 << 8
    ALL_DIGESTS = 1 << 9
    NO_CERTIFICATES = 1 << 10


class Outcome(NamedTuple):
    """One row of the table of outcomes, the same for every interface."""

    word: str  # on a line of output, always the last or last but one
    exit_code: int  # of kavscanner, when it is the gravest that occurred
    meaning: str


OUTCOMES: dict[Status, Outcome] = {
    Status.INFECTED: Outcome("INFECTED", 25, "a signature matched"),
    Status.CUREFAILED: Outcome("CUREFAILED", 25, "infected, and the cure failed"),
    Status.WARNING: Outcome("WARNING", 21, "unwanted software (PUA. signatures)"),
    Status.SUSPICIOUS: Outcome("SUSPICION", 20, "a heuristic spoke (Heuristics. names)"),
    Status.ERROR: Outcome("ERROR", 30, "not or not wholly scanned: a limit, time, or unreadable"),
    Status.CORRUPTED: Outcome("CORRUPTED", 15, "damaged; what was readable is clean"),
    Status.PROTECTED: Outcome("PROTECTED", 10, "needs a password; what was readable is clean"),
    Status.CURED: Outcome("CURED", 5, "was infected, has been cured"),
    Status.FILTERED: Outcome("FILTERED", 0, "kept out by a filter rule (mail)"),
    Status.CLEAN: Outcome("OK", 0, "wholly scanned, nothing found"),
}
"""Gravest first: with several statuses in one object or one run, the first in this order is the answer."""

FOUND = (Status.INFECTED, Status.CUREFAILED, Status.WARNING, Status.SUSPICIOUS)
"""Statuses for which something was found."""

REASON_WORDS: dict[Reason, str] = {
    Reason.DEPTH: "nested too deep",
    Reason.MEMBERS: "too many members",
    Reason.BYTES: "unpacks to too much",
    Reason.SIZE: "too large",
    Reason.TIME: "time limit",
    Reason.ENCRYPTED: "encrypted",
    Reason.DAMAGED: "damaged",
    Reason.UNREADABLE: "unreadable",
    Reason.CHANGED: "changed while read",
    Reason.METHOD: "unknown packing method",
    Reason.WORKER: "scanning process died",
    Reason.MATCH: "match table full",
    Reason.MEMORY: "memory limit",
    Reason.ENGINE: "engine failed",
}


def gravest(statuses: list[Status]) -> Status:
    """The status that wins when an object or a run has several; CLEAN for none."""
    present = set(statuses)
    for status in OUTCOMES:
        if status in present:
            return status
    return Status.CLEAN


def status_of_reasons(reasons: Reason) -> Status:
    """The status that partial coverage alone gives."""
    if reasons & ~(Reason.ENCRYPTED | Reason.DAMAGED):
        return Status.ERROR
    if reasons & Reason.DAMAGED:
        return Status.CORRUPTED
    if reasons & Reason.ENCRYPTED:
        return Status.PROTECTED
    return Status.CLEAN


def status_of_name(name: str) -> Status:
    """The status that a match of the signature called *name* gives."""
    if name.startswith("PUA."):
        return Status.WARNING
    if name.startswith("Heuristics."):
        return Status.SUSPICIOUS
    return Status.INFECTED


COMPLETE = Reason(0)


class Threat(NamedTuple):
    """One signature that matched, and where."""

    name: str
    status: Status
    engine: str
    member: bytes = b""  # path inside the object, b"" = the object itself
    offset: int | None = None  # bytes from the start of that layer; None for a hash


class Member(NamedTuple):
    """The status line of one member of a container."""

    path: bytes  # names joined with b"/"
    status: Status
    reasons: Reason
    size: int
    container: bool = False


class Identity(NamedTuple):
    """Which file was scanned, and in which state: the same later, the same bytes."""

    dev: int  # st_dev as major << 32 | minor
    ino: int
    size: int  # bytes
    mtime_ns: int  # since 1970
    ctime_ns: int


class Deed(NamedTuple):
    """One action on a target: carried out, or why not."""

    verb: str  # "backup", "cure", "quarantine", "move", "movePath", "remove", "rename", "exec"
    done: bool
    text: str = ""  # where it went, which item it became; or why it could not be done


class Result(NamedTuple):
    """What is known about one path after a scan."""

    path: bytes
    status: Status
    reasons: Reason = COMPLETE
    threats: tuple[Threat, ...] = ()
    members: tuple[Member, ...] = ()
    size: int = 0  # bytes
    scanned: int = 0  # bytes, unpacked members included
    member_count: int = 0
    target: Target = Target.ANY
    format: str = "unknown"
    sha256: bytes | None = None
    engine: str = "native"
    error: str | None = None  # text for ERROR
    container: bool = False
    suppressed: bool = False  # a match was lifted by an exception, or a program is trusted by its signature
    cached: bool = False  # answered from a store; scanned says what was read when it was found
    identity: Identity | None = None  # of the file; None where no file was opened
    deeds: tuple[Deed, ...] = ()  # what was done about it, in order; the first failure ends them
    allowed: str = ""  # a finding was lifted by the allow list: its reason, and what was found

    @property
    def complete(self) -> bool:
        """Whether every byte and every member was looked at."""
        return not self.reasons


class Skip(NamedTuple):
    """A path that was not scanned and why; ``kind`` is never FILE or ERROR."""

    path: bytes
    kind: Entry


@record
class Totals:
    """Counts of one run. Filled by the coordinator, read by reports."""

    files: int = 0  # objects with a verdict, every path counted
    bytes: int = 0  # bytes of these files
    scanned: int = 0  # bytes read, members included
    members: int = 0
    directories: int = 0
    seconds: float = 0.0
    expected: int = 0  # bytes of all files, once they have been counted ahead; 0 = not known
    statuses: dict[Status, int] = field(default_factory=dict)
    reasons: dict[Reason, int] = field(default_factory=dict)
    entries: dict[Entry, int] = field(default_factory=dict)
    known: int = 0  # of the files: unchanged, answered from a store
    known_bytes: int = 0
    delta: int = 0  # files that were compared with nothing but what is new in the signatures
    unopened: int = 0  # containers kept closed by a switch
    suppressed: int = 0  # objects of which that holds
    found_by: dict[str, int] = field(default_factory=dict)  # engine -> objects in which it found the gravest
    worker_deaths: int = 0
    deeds: dict[str, int] = field(default_factory=dict)  # verb of a Deed -> how often it was done
    deeds_failed: int = 0  # what cannot be cured is no failure, but a status
    interrupted: bool = False
    window_ended: bool = False  # ... by its time window, as planned
