"""Signed programs with rules for certificates, and what is found in each: by ClamAV, so it is tested, and by us."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.archives import make_zip
from tests.support.authenticode import (
    DAY,
    NOW,
    YEAR,
    Identity,
    Stamp,
    attribute,
    digest_of,
    identity,
    item,
    rule,
    sign,
    signature,
    with_table,
)  # fmt: skip
from tests.support.executables import Part, pe

MARK = b"a mark that a signature looks for"
BODY = f"Body.Mark:0:*:{MARK.hex()}\n"
FOUND = frozenset({"Body.Mark.UNOFFICIAL"})
NOTHING: frozenset[str] = frozenset()


def program(wide: bool = False, overlay: bytes = b"") -> bytes:
    return pe([Part(b".text", b"\x90" * 64 + MARK)], wide=wide, overlay=overlay)


@dataclass(frozen=True)
class Case:
    """What is scanned with which rules, and the names that are printed with --allmatch."""

    data: bytes
    rules: str
    names: frozenset[str]
    files: tuple[tuple[str, str], ...] = (("a.ndb", BODY),)


def root() -> Identity:
    return identity("Root", authority=True)


def leaf(**how: object) -> Identity:
    return identity("Leaf", root(), **{"uses": "code", **how})  # type: ignore[arg-type]


def stamper(**how: object) -> Identity:
    return identity("Stamper", root(), **{"uses": "time", "serial": 77, **how})  # type: ignore[arg-type]


PAST = {"begin": NOW - 3 * YEAR, "end": NOW - YEAR}
THEN = NOW - 2 * YEAR


def trusted(data: bytes, rules: str | None = None, **how: object) -> Case:
    return Case(data, rule(root(), "Trusted.Root") if rules is None else rules, NOTHING, **how)  # type: ignore[arg-type]


def plain(data: bytes, rules: str | None = None, **how: object) -> Case:
    return Case(data, rule(root(), "Trusted.Root") if rules is None else rules, FOUND, **how)  # type: ignore[arg-type]


def blocked(data: bytes, of: Identity, **how: object) -> Case:
    return Case(data, rule(of, "Blocked.One", trusted=False, **how), FOUND | {"Blocked.One"})  # type: ignore[arg-type]


def stamped(by: Identity, stamp: Stamp, more: tuple[Identity, ...] = ()) -> bytes:
    return sign(program(), by, [root(), stamp.by, *more], stamp=stamp)


def hashed() -> Case:
    """A digest of the whole file and of a section are no different."""
    data = sign(program(), leaf(), [root()])
    section = (b"\x90" * 64 + MARK).ljust(0x200, b"\0")
    whole = f"{hashlib.md5(data).hexdigest()}:{len(data)}:Whole.File\n"
    part = f"{len(section)}:{hashlib.md5(section).hexdigest()}:One.Section\n"
    return trusted(data, files=(("a.hdb", whole), ("a.mdb", part)))


def changed(data: bytes, at: int, by: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


def between() -> Identity:
    return identity("Between", root(), authority=True, serial=5)


def end() -> Identity:
    return identity("End", between(), uses="code", serial=6)


def unnamed(case: Case) -> Case:
    return Case(case.data, case.rules.replace("Blocked.One", "", 1), FOUND | {"(unnamed CRB rule)"})


ONE = 64 + 24 + 64  # where the checksum stands

CASES: dict[str, Callable[[], Case]] = {
    "no rules": lambda: plain(sign(program(), leaf(), [root()]), "# none\n"),
    "not signed": lambda: plain(program()),
    "a chain to a trusted root": lambda: trusted(sign(program(), leaf(), [root()])),
    "the root is not in the file": lambda: trusted(sign(program(), leaf())),
    "a chain of three": lambda: trusted(sign(program(), end(), [between(), root()])),
    "a chain of three, the wrong way round": lambda: trusted(sign(program(), end(), [end(), root(), between()])),
    "a chain with a gap": lambda: plain(sign(program(), end(), [root()])),
    "another root": lambda: plain(sign(program(), identity("Leaf", identity("Other", authority=True), uses="code"))),
    "a root of the same name": lambda: plain(
        sign(program(), leaf(), [root()]), rule(Identity(root().certificate, leaf().key), "Same.Name")
    ),
    "its own certificate": lambda: trusted(sign(program(), leaf()), rule(leaf(), "Leaf", uses="100")),
    "its own certificate, any serial": lambda: trusted(
        sign(program(), leaf()), rule(leaf(), "Leaf", uses="100", serial=False)
    ),
    "its own certificate, another serial": lambda: plain(
        sign(program(), leaf()), rule(leaf(serial=9), "Leaf", uses="100")
    ),
    "its own certificate, for less": lambda: plain(sign(program(), leaf()), rule(leaf(), "Leaf", uses="010")),
    "its own certificate, from a day on": lambda: trusted(
        sign(program(), leaf()), rule(leaf(), "Leaf", uses="100", before=str(int((NOW - 2 * YEAR).timestamp())))
    ),
    "its own certificate, older than that": lambda: plain(
        sign(program(), leaf()), rule(leaf(), "Leaf", uses="100", before=str(int((NOW - DAY).timestamp())))
    ),
    "a root that signs no code": lambda: plain(sign(program(), leaf(), [root()]), rule(root(), "Root", uses="011")),
    "a root that signs no certificates": lambda: plain(
        sign(program(), leaf()), rule(root(), "Root", uses="110")
    ),
    "a leaf for time stamps": lambda: plain(sign(program(), leaf(uses="time"), [root()])),
    "a leaf that signs a leaf": lambda: plain(
        sign(program(), identity("Deeper", leaf(), uses="code", serial=8), [leaf(), root()])
    ),
    "over": lambda: plain(sign(program(), leaf(**PAST), [root()])),
    "not begun": lambda: plain(sign(program(), leaf(begin=NOW + DAY), [root()])),
    "over, but stamped in time": lambda: trusted(stamped(leaf(**PAST), Stamp(stamper(), THEN))),
    "over, and stamped too late": lambda: plain(stamped(leaf(**PAST), Stamp(stamper(), NOW))),
    "valid, but stamped too early": lambda: plain(stamped(leaf(), Stamp(stamper(), THEN))),
    "stamped with sha256": lambda: trusted(stamped(leaf(**PAST), Stamp(stamper(), THEN, "sha256"))),
    "stamped by one who may not": lambda: plain(stamped(leaf(**PAST), Stamp(stamper(uses="code"), THEN))),
    "stamped by a stranger": lambda: plain(stamped(leaf(**PAST), Stamp(identity("Stranger", uses="time"), THEN))),
    "a stamp of something else": lambda: plain(stamped(leaf(**PAST), Stamp(stamper(), THEN, of=b"other"))),
    "a stamp of the other kind": lambda: trusted(
        sign(program(), leaf(), [root()], unsigned=[attribute("rfc3161", item(0x30))])
    ),
    "over, a stamp of the other kind": lambda: plain(
        sign(program(), leaf(**PAST), [root()], unsigned=[attribute("rfc3161", item(0x30))])
    ),
    "a second signature": lambda: trusted(
        sign(program(), leaf(), [root()], unsigned=[attribute("nested", item(0x30))])
    ),
    "changed in the code": lambda: plain(changed(sign(program(), leaf(), [root()]), 0x200)),
    "changed in the headers": lambda: plain(changed(sign(program(), leaf(), [root()]), 64 + 8)),
    "changed in the checksum": lambda: trusted(changed(sign(program(), leaf(), [root()]), ONE)),
    "changed in the signature": lambda: plain(changed(sign(program(), leaf(), [root()]), -300)),
    "something behind it": lambda: plain(sign(program(), leaf(), [root()]) + b"12345678"),
    "something in front of it": lambda: trusted(sign(program(overlay=b"overlay" * 99), leaf(), [root()])),
    "attributes that name another digest": lambda: plain(sign(program(), leaf(), [root()], claims=bytes(32))),
    "an old revision": lambda: plain(
        with_table(program(), signature(digest_of(program()), leaf(), [root()]), revision=0x100)
    ),
    "no PKCS 7": lambda: plain(with_table(program(), signature(digest_of(program()), leaf(), [root()]), kind=1)),
    "more in the table than the signature": lambda: trusted(
        with_table(program(), signature(digest_of(program()), leaf(), [root()]) + bytes(64))
    ),
    "a broken certificate beside": lambda: trusted(sign(program(), leaf(), [root(), item(0x30, b"no certificate")])),
    "no certificate at all beside": lambda: plain(sign(program(), leaf(), [root(), b"no item"])),
    "64 bits": lambda: trusted(sign(program(True), leaf(), [root()])),
    "md5": lambda: trusted(sign(program(), leaf(), [root()], method="md5")),
    "sha1": lambda: trusted(sign(program(), leaf(), [root()], method="sha1")),
    "sha384": lambda: trusted(sign(program(), leaf(method="sha384"), [root()], method="sha384")),
    "sha512": lambda: trusted(sign(program(), leaf(method="sha512"), [root()], method="sha512")),
    "digests": hashed,
    "what lies in it": lambda: trusted(sign(program(overlay=make_zip({"a": MARK})), leaf(), [root()])),
    "in an archive": lambda: trusted(make_zip({"a.exe": sign(program(), leaf(), [root()])})),
    "in an archive with another file": lambda: plain(
        make_zip({"a.exe": sign(program(), leaf(), [root()]), "b": MARK})
    ),
    "blocked": lambda: blocked(sign(program(), leaf(), [root()]), leaf()),
    "blocked without a name": lambda: unnamed(blocked(sign(program(), leaf(), [root()]), leaf())),
    "blocked, any serial": lambda: blocked(sign(program(), leaf(), [root()]), leaf(serial=99), serial=False),
    "blocked, another serial": lambda: plain(
        sign(program(), leaf(), [root()]), rule(leaf(serial=99), "Blocked.One", trusted=False)
    ),
    "blocked, another key": lambda: plain(
        sign(program(), leaf(), [root()]), rule(Identity(leaf().certificate, root().key), "Blocked.One", trusted=False)
    ),
    "the root is blocked": lambda: blocked(sign(program(), leaf(), [root()]), root()),
    "the root is blocked, and not there": lambda: plain(
        sign(program(), leaf()), rule(root(), "Blocked.One", trusted=False)
    ),
    "blocked, though nobody uses it": lambda: blocked(
        sign(program(), leaf(), [identity("Beside", serial=3)]), identity("Beside", serial=3)
    ),
    "blocked and changed": lambda: blocked(changed(sign(program(), leaf(), [root()]), 0x200), leaf()),
    "blocked and trusted": lambda: Case(
        sign(program(), leaf(), [root()]),
        rule(root(), "Trusted.Root") + rule(leaf(), "Blocked.One", trusted=False),
        frozenset({"Blocked.One"}),
    ),
    "blocked and trusted, but changed": lambda: Case(
        changed(sign(program(), leaf(), [root()]), 0x200),
        rule(root(), "Trusted.Root") + rule(leaf(), "Blocked.One", trusted=False),
        FOUND | {"Blocked.One"},
    ),
    "two are blocked": lambda: Case(
        sign(program(), leaf(), [root()]),
        rule(root(), "Blocked.Root", trusted=False) + rule(leaf(), "Blocked.Leaf", trusted=False),
        FOUND | {"Blocked.Root", "Blocked.Leaf"},
    ),
}  # fmt: skip
