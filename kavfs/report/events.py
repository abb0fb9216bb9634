"""Event store: what scans did and found, kept for `kavfs report` and whoever else asks later.

    STATE/events.db    0600; an SQLite file with a write-ahead log beside it, written by several scans at once
    STATE/events.db.lock    held while the file is made, or set aside
    STATE/events.db.damaged-<time>    a damaged one, of which the newest is kept

A scan never fails for its sake: whatever is wrong is an EventsFailed with one line for the administrator. Paths are
bytes, exactly; beside them stands the text that a report shows. Oldest scans go first when it is too old or too large.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, NoReturn

FILE = b"events.db"
LOCK = b".lock"
DAMAGED = b".damaged-"
VERSION = 1
APPLICATION = 0x6B617666  # "kavf", in the head of the file
BUSY = 5.0  # seconds that one commit waits for those of others
CACHE = 256  # KiB: of a daemon that writes for weeks, SQLite would come to hold 2 MB of pages nobody reads again

# What a damaged file may raise: Python cannot even read some of what SQLite says of it.
FAILURES = (sqlite3.Error, UnicodeDecodeError)

Row = tuple[object, ...]

SCHEMA = """
CREATE TABLE scan (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    begun REAL NOT NULL,        -- seconds since 1970
    ended REAL,                 -- NULL: it is running, or was cut off
    program TEXT NOT NULL,
    version TEXT NOT NULL,
    user INTEGER NOT NULL,      -- uid
    roots BLOB NOT NULL,        -- a NUL behind each path
    signatures TEXT NOT NULL,   -- JSON: count, newest, generation, engines
    totals TEXT,                -- JSON: statuses, reasons, bytes ...
    exit_code INTEGER,
    unkept INTEGER NOT NULL DEFAULT 0   -- findings beyond those that are kept of one scan
);
CREATE TABLE finding (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scan INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    at REAL NOT NULL,
    path BLOB NOT NULL,
    shown TEXT NOT NULL,        -- the path as a report shows it
    status TEXT NOT NULL,
    reasons TEXT NOT NULL,      -- words with commas between them; '' = wholly looked at
    size INTEGER NOT NULL,
    format TEXT NOT NULL,
    sha256 BLOB,
    engine TEXT NOT NULL,
    error TEXT,
    allowed TEXT                -- why it is none, by the allow list
);
CREATE TABLE threat (
    finding INTEGER NOT NULL REFERENCES finding ON DELETE CASCADE,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    engine TEXT NOT NULL,
    member BLOB NOT NULL,
    offset INTEGER,
    PRIMARY KEY (finding, place)
) WITHOUT ROWID;
CREATE TABLE deed (
    finding INTEGER NOT NULL REFERENCES finding ON DELETE CASCADE,
    place INTEGER NOT NULL,
    verb TEXT NOT NULL,
    done INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (finding, place)
) WITHOUT ROWID;
CREATE TABLE note (
    scan INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    at REAL NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX scan_begun ON scan (begun);
CREATE INDEX finding_scan ON finding (scan);
CREATE INDEX finding_at ON finding (at);
CREATE INDEX note_scan ON note (scan);
"""


class EventsFailed(Exception):
    """The store cannot be used; str() says why, in one line."""


class Retention(NamedTuple):
    """How much is kept."""

    seconds: float = 365 * 86400.0  # 0 = for ever
    size: int = 256 << 20  # bytes


class Found(NamedTuple):
    """A row of `finding` behind its scan, with its threats and deeds behind their place."""

    row: Row
    threats: Sequence[Row] = ()
    deeds: Sequence[Row] = ()


class EventStore:
    """The store in one file, open. Close it, or use it in a with statement."""

    def __init__(self, path: bytes, *, create: bool = True) -> None:
        """Raises EventsFailed, or FileNotFoundError when there is none and none is to be made. A damaged store is set
        aside, and ``note`` says so; without *create* nothing is changed, and it is an EventsFailed."""
        self.path = path
        self.note = ""
        self._folder = os.path.dirname(path)
        self._database = self._open(create)

    def _open(self, create: bool) -> sqlite3.Connection:
        try:
            if create:
                os.makedirs(self._folder, 0o755, exist_ok=True)
            self._check_file(create)
            try:
                return self._connect(create)
            except FAILURES as error:
                if not create or not _is_damage(error):
                    raise
                return self._begin_anew()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise EventsFailed(self._cannot(error.strerror or str(error))) from None
        except FAILURES as error:
            raise EventsFailed(self._cannot(str(error))) from None

    def _cannot(self, why: str) -> str:
        return f"the event store {os.fsdecode(self.path)} cannot be used: {why}"

    def _check_file(self, create: bool) -> None:
        """Have the file there, ours and nobody else's. The log beside it gets its mode and owner."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0)
        fd = os.open(self.path, flags, 0o600)
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        if not stat.S_ISREG(status.st_mode):
            raise EventsFailed(self._cannot("it is no regular file"))
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise EventsFailed(self._cannot("another user could have written it"))

    def _connect(self, create: bool) -> sqlite3.Connection:
        database = sqlite3.connect(os.fsdecode(self.path), timeout=BUSY, isolation_level=None, cached_statements=32)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("PRAGMA synchronous = NORMAL")  # with a log: the last commits may go with a power cut
            database.execute(f"PRAGMA cache_size = -{CACHE}")
            version = self._version(database)
            if version == 0 and create:
                with self._alone():
                    if self._version(database) == 0:
                        _make(database)
            elif version != VERSION:
                text = "it is empty" if version == 0 else f"it was made by another version of this program ({version})"
                raise EventsFailed(self._cannot(text))
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def _version(database: sqlite3.Connection) -> int:
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        owner = int(database.execute("PRAGMA application_id").fetchone()[0])
        if owner not in (0, APPLICATION):
            raise sqlite3.DatabaseError("malformed: the file of another program")
        return version

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        fd = os.open(self.path + LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _begin_anew(self) -> sqlite3.Connection:
        """Set a damaged file aside, unless another process has done so meanwhile, and begin another one."""
        with self._alone():
            aside = b""
            if self._is_damaged():
                if not self._is_ours():
                    raise EventsFailed(self._cannot("it is no event store"))
                aside = self.path + DAMAGED + b"%d" % time.time()
                for name in os.listdir(self._folder):
                    if name.startswith(os.path.basename(self.path) + DAMAGED):
                        os.unlink(os.path.join(self._folder, name))
                os.rename(self.path, aside)
                for ending in (b"-wal", b"-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.path + ending)
        if aside:
            self.note = f"the event store was damaged and has been set aside as {os.fsdecode(aside)}"
        self._check_file(create=True)
        return self._connect(create=True)

    def _is_damaged(self) -> bool:
        try:
            with contextlib.closing(sqlite3.connect(os.fsdecode(self.path), timeout=BUSY)) as database:
                self._version(database)
                return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except FAILURES as error:
            return _is_damage(error)

    def _is_ours(self) -> bool:
        """Whether the file may be moved: by its name in a state folder, else by its head. Somebody's configuration may
        name the file of another program."""
        with open(self.path, "rb") as file:
            head = file.read(72)
        return os.path.basename(self.path) == FILE or head[68:72] == APPLICATION.to_bytes(4, "big")

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._database.close()

    def __enter__(self) -> EventStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- writing -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in it is kept, or nothing. What is damaged is begun anew, and then nothing is kept of before."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise
        except FAILURES as error:
            if _is_damage(error):
                self._set_aside()
            raise EventsFailed(self._cannot(str(error))) from None

    def _set_aside(self) -> NoReturn:
        self._database.close()
        try:
            self._database = self._begin_anew()
        except (OSError, *FAILURES) as error:
            raise EventsFailed(self._cannot(str(error))) from None
        raise SetAside(self.note) from None

    def confirm(self, scan: int) -> None:
        """Look whether others will read what was committed: our own connection holds pages, and sees no damage done
        since. SetAside if not."""
        try:
            with contextlib.closing(sqlite3.connect(os.fsdecode(self.path), timeout=BUSY)) as other:
                other.execute(f"PRAGMA cache_size = -{CACHE}")
                other.execute("SELECT count(*), max(path) FROM finding WHERE scan = ?", (scan,)).fetchone()
        except FAILURES as error:
            if _is_damage(error):
                self._set_aside()

    def begin_scan(self, row: Row) -> int:
        """A scan: begun, program, version, user, roots, signatures. Its number."""
        with self._transaction() as database:
            columns = "begun, program, version, user, roots, signatures"
            done = database.execute(f"INSERT INTO scan ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
            return int(done.lastrowid or 0)

    def add(self, scan: int, findings: Sequence[Found], notes: Sequence[Row]) -> None:
        """Findings and notes (at, text) of a scan, all or none."""
        columns = "scan, at, path, shown, status, reasons, size, format, sha256, engine, error, allowed"
        insert = f"INSERT INTO finding ({columns}) VALUES ({', '.join('?' * 12)})"
        with self._transaction() as database:
            for found in findings:
                number = database.execute(insert, (scan, *found.row)).lastrowid
                if found.threats:
                    rows = [(number, place, *row) for place, row in enumerate(found.threats)]
                    database.executemany("INSERT INTO threat VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                if found.deeds:
                    rows = [(number, place, *row) for place, row in enumerate(found.deeds)]
                    database.executemany("INSERT INTO deed VALUES (?, ?, ?, ?, ?)", rows)
            database.executemany("INSERT INTO note VALUES (?, ?, ?)", [(scan, *note) for note in notes])

    def end_scan(self, scan: int, ended: float, totals: str, exit_code: int, unkept: int) -> None:
        with self._transaction() as database:
            values = (ended, totals, exit_code, unkept, scan)
            database.execute("UPDATE scan SET ended = ?, totals = ?, exit_code = ?, unkept = ? WHERE id = ?", values)

    def prune(self, keep: Retention, now: float) -> int:
        """Remove scans that are too old, then the oldest while the store is too large; how many went."""
        gone = 0
        if keep.seconds:
            with self._transaction() as database:
                gone += database.execute("DELETE FROM scan WHERE begun < ?", (now - keep.seconds,)).rowcount
        while self._used() > keep.size:
            with self._transaction() as database:
                share = "SELECT id FROM scan ORDER BY begun LIMIT (SELECT max(1, count(*) / 10) FROM scan)"
                some = database.execute(f"DELETE FROM scan WHERE id IN ({share})").rowcount
            if not some:
                break
            gone += some
        if gone:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("PRAGMA incremental_vacuum").fetchall()
        return gone

    def _used(self) -> int:
        """Bytes of the file that hold something."""
        try:
            numbers = ("page_count", "freelist_count", "page_size")
            pages, free, size = (self._database.execute(f"PRAGMA {n}").fetchone()[0] for n in numbers)
        except FAILURES as error:
            raise EventsFailed(self._cannot(str(error))) from None
        return int((pages - free) * size)

    # -- reading -----------------------------------------------------------------------------------------------------

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a query."""
        try:
            yield from self._database.execute(query, tuple(values))
        except FAILURES as error:
            raise EventsFailed(self._cannot(str(error))) from None


class SetAside(EventsFailed):
    """The store was damaged and has been begun anew: numbers of before mean nothing."""


def _make(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    script = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {script} COMMIT;")


def _is_damage(error: Exception) -> bool:
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "malformed" in str(error)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA) or _lacks_table(error)


def _lacks_table(error: Exception) -> bool:
    return "no such table" in str(error) or "no such column" in str(error)
