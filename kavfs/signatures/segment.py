"""Segment: one database file compiled, under a name that is the digest of everything it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from kavfs._native import match
from kavfs.signatures.cdb import Reader, Rows, read_cdb, read_rmd, read_zmd
from kavfs.signatures.crb import read_crb
from kavfs.signatures.cure import Lines, read_cure, sealed
from kavfs.signatures.ftm import read_ftm
from kavfs.signatures.idb import read_idb
from kavfs.signatures.ignore import read_ign2
from kavfs.signatures.kinds import LATER as KINDS_LATER
from kavfs.signatures.kinds import READ, WHOLE_FILES, Form
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import LATER, LEVEL, OTHER_LEVEL, READERS, Builder, Tally
from kavfs.signatures.ndb import read_db, read_ndb
from kavfs.signatures.pwdb import read_pwdb
from kavfs.signatures.sources import Source


def segment_key(source: Source, text: bytes) -> str:
    """The name of the segment that *text* gives. The file's name is in it, because segments carry it."""
    digest = hashlib.sha256(f"kavfs segment {READERS} {match.BUILD} {LEVEL} {source.kind} ".encode())
    digest.update(b"%d %d\0%s" % (source.official, len(source.name), source.name))
    digest.update(text)
    return digest.hexdigest()


TEXT_READERS: dict[Form, Callable[[bytes, Builder, Tally], None]] = {
    Form.BODY: read_ndb,
    Form.OLDEST: read_db,
    Form.LOGICAL: read_ldb,
}


@dataclass(frozen=True)
class Segment:
    """What compiling one file gave. ``data`` is empty when nothing in it could be taken."""

    data: bytes
    tally: Tally
    literals: int = 0
    recipes: Lines | None = None


def compile_segment(source: Source, text: bytes, key: str) -> Segment:
    """Compile the text of a database file. No line stops it; what is not taken stands in the tally."""
    tally = Tally()
    form = READ.get(source.kind)
    if form is None:
        _count_for_later(source.kind, text, tally)
        return Segment(b"", tally)
    if form is Form.IGNORE:
        names, _ = read_ign2(text, tally)
        return Segment(match.build_ignore(names) if tally.taken else b"", tally)
    if form is Form.RECIPES:
        recipes = read_cure(text, tally)
        return Segment(b"", tally, recipes=recipes)
    if form in HASHES:
        return _compile_hashes(source, text, key, tally, form)
    if form in LISTED:
        return _compile_listed(source, text, key, tally, form)
    builder = match.SegmentBuilder(source.name, bytes.fromhex(key), source.official)
    TEXT_READERS[form](text, builder, tally)
    if not tally.taken:
        return Segment(b"", tally)
    data = builder.finish()
    return Segment(data, tally, match.literal_count(data))


LISTED: dict[Form, tuple[str, Reader]] = {
    Form.MEMBERS: ("metadata", read_cdb),
    Form.ZIP_MEMBERS: ("metadata", read_zmd),
    Form.RAR_MEMBERS: ("metadata", read_rmd),
    Form.PASSWORDS: ("passwords", read_pwdb),
    Form.TYPES: ("types", read_ftm),
    Form.ICONS: ("icons", read_idb),
    Form.TRUST: ("trust", read_crb),
}


def _compile_listed(source: Source, text: bytes, key: str, tally: Tally, form: Form) -> Segment:
    """Small kinds, whose rules are gone through one by one."""
    kind, read = LISTED[form]
    rows = Rows()
    read(text, rows, tally)
    if not tally.taken:
        return Segment(b"", tally)
    digest = bytes.fromhex(key)
    data = match.build_listed(
        kind, b"".join(rows.rows), bytes(rows.text), database=source.name, digest=digest, official=source.official
    )
    return Segment(data, tally)


HASHES = (Form.HASH, Form.EXCEPTION, Form.SECTIONS, Form.IMPORTS)

HASH_REASONS = {
    1: "wrong number of fields",
    2: "malformed digest",
    3: "malformed size",
    4: "no name",
    5: OTHER_LEVEL,
}


UNLISTED = "malformed, or for another engine level: more than are kept one by one"


def _compile_hashes(source: Source, text: bytes, key: str, tally: Tally, form: Form) -> Segment:
    """Hash databases are read in C: real ones have millions of lines."""
    built = match.build_hash_segment(
        text, LEVEL, form=form.value, database=source.name, digest=bytes.fromhex(key), official=source.official
    )
    tally.taken, tally.comments = built.accepted, built.comments
    for line, why in built.rejects:
        tally.reject(line, HASH_REASONS[why])
    if built.reject_count > len(built.rejects):
        tally.reasons[UNLISTED] = built.reject_count - len(built.rejects)
    return Segment(built.data if built.accepted else b"", tally)


def _count_for_later(kind: str, text: bytes, tally: Tally) -> None:
    reason = f"{LATER}.{kind} ({KINDS_LATER[kind]})"
    if kind in WHOLE_FILES:
        tally.reject(0, reason)
        return
    for row, line in enumerate(text.splitlines(), 1):
        if line and not line.startswith(b"#"):
            tally.reject(row, reason)
        else:
            tally.comments += 1


def tally_to_json(tally: Tally, literals: int, recipes: Lines | None = None) -> bytes:
    """The side file of a segment, for `kavfs db info` and for finding the segment again; of recipes, all there is."""
    tree = {
        "taken": tally.taken,
        "comments": tally.comments,
        "literals": literals,
        "reasons": tally.reasons,
        "listed": tally.listed,
        **(sealed(recipes) if recipes else {}),
    }
    return json.dumps(tree, separators=(",", ":")).encode()


def tally_from_json(data: bytes) -> tuple[Tally, int] | None:
    """(tally, literals), None when the side file is damaged."""
    try:
        tree = json.loads(data)
        listed = [(int(row), str(why)) for row, why in tree["listed"]]
        reasons = {str(why): int(n) for why, n in tree["reasons"].items()}
        return Tally(int(tree["taken"]), int(tree["comments"]), reasons, listed), int(tree["literals"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
