"""Catalogue: what is in a store: one row for each item, in SQLite.

A row is committed after its item is on disk, and removed before its item is: what has a row is there. Each commit is
on disk, with its folder, when the call returns. Paths are bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from kavfs.action.facts import Facts, pack, unpack
from kavfs.model import Result, Status, gravest

QUARANTINE = "quarantine"
BACKUP = "backup"
MESSAGE = "message"  # mail, with its envelope: it never was a file and goes back by mail only
KINDS = (QUARANTINE, BACKUP, MESSAGE)

WAIT = 30.0  # seconds for another process to finish its commit
VERSION = 3

_TABLE = """
CREATE TABLE IF NOT EXISTS items (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    file BLOB NOT NULL,        -- below the store's folder
    path BLOB NOT NULL,        -- as the report names it
    place BLOB NOT NULL,       -- the same without links
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    atime_ns INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    acl BLOB NOT NULL,
    xattrs TEXT NOT NULL,      -- JSON: pairs of name and value, both base64
    threat TEXT NOT NULL,
    status INTEGER NOT NULL,   -- the verdict for which it came here
    engine TEXT NOT NULL,
    generation TEXT NOT NULL,  -- hexadecimal
    added_ns INTEGER NOT NULL,
    who INTEGER NOT NULL,      -- user who put it here
    sha256 BLOB NOT NULL,
    judged INTEGER,            -- the verdict of the last rescan; NULL: there was none
    judged_by TEXT NOT NULL DEFAULT '',      -- what it knew
    judged_ns INTEGER NOT NULL DEFAULT 0,
    letter TEXT NOT NULL DEFAULT ''          -- of a message: JSON, envelope and findings
) STRICT, WITHOUT ROWID
"""
_SINCE_1 = {
    "judged_by": "TEXT NOT NULL DEFAULT ''",
    "judged_ns": "INTEGER NOT NULL DEFAULT 0",
    "letter": "TEXT NOT NULL DEFAULT ''",
}


class Finding(NamedTuple):
    """Why something goes into a store."""

    threat: str
    status: Status = Status.INFECTED
    engine: str = "native"
    generation: bytes = b""

    @classmethod
    def of(cls, result: Result, generation: bytes = b"") -> Finding:
        """What a result says: the first of its gravest threats."""
        worst = gravest([threat.status for threat in result.threats])
        name, engine = next(((t.name, t.engine) for t in result.threats if t.status is worst), ("", result.engine))
        return cls(name, result.status, engine, generation)


class Item(NamedTuple):
    """One item of a store."""

    id: str  # 16 hexadecimal digits
    kind: str
    file: bytes  # its file, below the store's folder
    facts: Facts
    finding: Finding
    added_ns: int  # since 1970
    who: int  # user
    sha256: bytes
    judged: Status | None = None  # the verdict of the last rescan
    judged_by: str = ""  # the knowledge of which it was; "" = that of the finding
    judged_ns: int = 0  # since 1970
    letter: str = ""  # of a message: what kavfs.mail.letter makes of its envelope

    @property
    def good(self) -> bool:
        """Whether a rescan has found nothing in it."""
        return self.judged is Status.CLEAN


class Catalogue:
    """The table, until close(). *path* is a file in a folder that only we may write to. Raises sqlite3.Error."""

    def __init__(self, path: bytes) -> None:
        self._base = sqlite3.connect(path, timeout=WAIT, isolation_level=None)  # each statement is a transaction
        try:
            self._base.execute("PRAGMA journal_mode = DELETE")
            self._base.execute("PRAGMA synchronous = EXTRA")  # the folder too, after the journal has gone
            self._base.execute("PRAGMA trusted_schema = OFF")
            self._base.execute(_TABLE)
            if self._version() < VERSION:
                self._renew()
        except BaseException:
            self._base.close()
            raise

    def close(self) -> None:
        """May be called twice."""
        self._base.close()

    @property
    def complete(self) -> bool:
        """Whether it has a row for each item: one that is made anew has not, until that is set."""
        return self._version() == VERSION

    @complete.setter
    def complete(self, yes: bool) -> None:
        self._base.execute(f"PRAGMA user_version = {VERSION if yes else 0}")

    def _version(self) -> int:
        return int(self._base.execute("PRAGMA user_version").fetchone()[0])

    def _renew(self) -> None:
        """An older catalogue gets the columns that it lacks, unless another process has been quicker. One that an older
        program has had in hand since may have them."""
        self._base.execute("BEGIN IMMEDIATE")
        with self._base:  # commits, or takes back
            complete = self._version() > 0
            there = {row[1] for row in self._base.execute("PRAGMA table_info(items)")}
            for name, kind in _SINCE_1.items():
                if name not in there:
                    self._base.execute(f"ALTER TABLE items ADD COLUMN {name} {kind}")
            self.complete = complete

    def add(self, item: Item) -> None:
        row = _row(item)
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self._base.execute(f"INSERT INTO items ({names}) VALUES ({marks})", tuple(row.values()))

    def get(self, item: str) -> Item | None:
        return next(self._select("WHERE id = ?", bytes.fromhex(item)), None)

    def find(self, start: str) -> list[Item]:
        """Items whose id begins with these digits."""
        return list(self._select("WHERE lower(hex(id)) LIKE ? || '%'", start.lower()))

    def items(self, kind: str = "", path: bytes = b"") -> list[Item]:
        """All, or those of a kind, or those of a path or place, the oldest first."""
        where, values = [], []
        if kind:
            where.append("kind = ?")
            values.append(kind)
        if path:
            where.append("? IN (path, place)")
            values.append(path)  # type: ignore[arg-type]
        return list(self._select("WHERE " + " AND ".join(where) if where else "", *values))

    def remove(self, item: str) -> None:
        self._base.execute("DELETE FROM items WHERE id = ?", (bytes.fromhex(item),))

    def judge(self, item: Item) -> None:
        """Note what a rescan said of it."""
        assert item.judged is not None
        self._base.execute(
            "UPDATE items SET judged = ?, judged_by = ?, judged_ns = ? WHERE id = ?",
            (int(item.judged), item.judged_by, item.judged_ns, bytes.fromhex(item.id)),
        )

    def _select(self, where: str, *values: object) -> Iterator[Item]:
        cursor = self._base.cursor()
        cursor.row_factory = sqlite3.Row
        for row in cursor.execute(f"SELECT * FROM items {where} ORDER BY added_ns, id", values):
            yield _item(row)


def told(item: Item) -> bytes:
    """What an item says of itself, beside its content: enough to make its row again but for the digest."""
    finding = item.finding
    values = {
        "kind": item.kind,
        "facts": json.loads(pack(item.facts)),
        "finding": [_plain(finding.threat), int(finding.status), _plain(finding.engine), finding.generation.hex()],
        "added_ns": item.added_ns,
        "who": item.who,
    }
    if item.letter:
        values["letter"] = item.letter
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")


def from_told(text: bytes, item: str, file: bytes, sha256: bytes) -> Item:
    """The opposite of told(). Raises ValueError."""
    try:
        values = json.loads(text)
        threat, status, engine, generation = values["finding"]
        finding = Finding(threat, Status(status), engine, bytes.fromhex(generation))
        facts = unpack(json.dumps(values["facts"]).encode())
        made = Item(item, values["kind"], file, facts, finding, values["added_ns"], values["who"], sha256)
        return made._replace(letter=values.get("letter", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an item's own words: {error}") from None


def _row(item: Item) -> dict[str, object]:
    facts, finding = item.facts, item.finding
    attributes = json.loads(pack(facts))["xattrs"]
    return {
        "id": bytes.fromhex(item.id),
        "kind": item.kind,
        "file": item.file,
        **{name: value for name, value in facts._asdict().items() if name != "xattrs"},
        "xattrs": json.dumps(attributes),
        "threat": _plain(finding.threat),
        "status": int(finding.status),
        "engine": _plain(finding.engine),
        "generation": finding.generation.hex(),
        "added_ns": item.added_ns,
        "who": item.who,
        "sha256": item.sha256,
        "judged": None if item.judged is None else int(item.judged),
        "judged_by": item.judged_by,
        "judged_ns": item.judged_ns,
        "letter": item.letter,
    }


def _item(row: sqlite3.Row) -> Item:
    values = {name: row[name] for name in Facts._fields if name != "xattrs"}
    empty = json.loads(pack(Facts(**values)))
    facts = unpack(json.dumps({**empty, "xattrs": json.loads(row["xattrs"])}).encode())
    finding = Finding(row["threat"], Status(row["status"]), row["engine"], bytes.fromhex(row["generation"]))
    judged = None if row["judged"] is None else Status(row["judged"])
    return Item(
        row["id"].hex(),
        row["kind"],
        row["file"],
        facts,
        finding,
        row["added_ns"],
        row["who"],
        row["sha256"],
        judged,
        row["judged_by"],
        row["judged_ns"],
        row["letter"],
    )


def _plain(text: str) -> str:
    """Text without halves of surrogate pairs, which no database takes."""
    return text.encode("utf-8", "backslashreplace").decode()
