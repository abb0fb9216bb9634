"""Layers of every size: window edges, parts far apart, holes, limits, digests, and files that change."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.model import Reason
from tests.support.matching import hashes, image, layer, names, open_parts, segment

WINDOW = 4096
MEGA = 1 << 20


@contextlib.contextmanager
def sparse(folder: Path, size: int, *pieces: tuple[int, bytes]) -> Iterator[int]:
    """A file of holes with some bytes in it."""
    fd = os.open(folder / "sparse", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        os.truncate(fd, size)
        for at, data in pieces:
            os.pwrite(fd, data, at)
        yield fd
    finally:
        os.close(fd)


ACROSS = {
    "literal": (b"6162636465666768696a", b"abcdefghij"),
    "short": (b"7a79", b"zy"),
    "long": (b"6162" + b"??" * 100 + b"63646566", b"ab" + b"." * 100 + b"cdef"),
    "choice": (b"61626364(65|666768)696a6b6c", b"abcdfghijkl"),
    "variable": (b"(61|62636465)666768696a", b"bcdefghij"),
    "gap": (b"61626364{2-40}65666768", b"abcd" + b"." * 20 + b"efgh"),
    "open gap": (b"61626364*65666768", b"abcdefgh"),
    "word": ((b"61626364", b"*", b"f"), b".abcd."),
    "wide": ((b"616263", b"*", b"w"), b"a\0b\0c\0"),
    "line": (b"(L)61626364(L)", b"\nabcd\r\n"),
    "near": (b"7a[3-9]61626364", b"z.......abcd"),
}


@pytest.mark.parametrize("kind", ACROSS)
def test_a_match_lies_anywhere_around_a_window_edge(kind: str) -> None:
    pattern, text = ACROSS[kind]
    scanner = image(segment((b"It", b"0=1", pattern)), window=WINDOW)
    for at in range(WINDOW - len(text) - 2, WINDOW + 3):
        data = b"," * at + text + b"," * 64
        with layer(data) as fd:
            found = scanner.scan(fd)
        assert names(found) == ["It"], at
        assert found.size == len(data)


@pytest.mark.parametrize("edge", [3 * WINDOW, 64 << 10, 256 << 10])
@pytest.mark.parametrize("window", [WINDOW, 0])
def test_a_match_across_later_edges_counts_once(edge: int, window: int) -> None:
    scanner = image(segment((b"Once", b"0=1", b"616263646566"), (b"Weak", b"0=1", b"3020")), window=window)
    for at in range(edge - 7, edge + 2):
        with layer(b"," * at + b"abcdef0 " + b"," * 9000) as fd:
            assert names(scanner.scan(fd, all_match=True)) == ["Once", "Weak"], at


def test_parts_of_a_pattern_300_megabytes_apart(tmp_path: Path) -> None:
    scanner = image(
        segment(
            (b"Open", None, b"6669727374{100-}7365636f6e64"),
            (b"Bounded", None, b"6669727374{-314572900}7365636f6e64"),
            (b"TooFar", None, b"6669727374{-314572000}7365636f6e64"),
            (b"Logical", b"0&1", b"6669727374", b"7365636f6e64"),
            (b"Wrong", None, b"7365636f6e64*6669727374"),
        )
    )
    far = 300 * MEGA
    with sparse(tmp_path, far + 4096, (10, b"first"), (far, b"second")) as fd:
        found = scanner.scan(fd, all_match=True)
    assert names(found) == ["Open", "Bounded", "Logical"]
    assert (found.size, found.reasons) == (far + 4096, 0)
    assert [hit.offset for hit in found.hits] == [10, 10, 10]


@pytest.mark.long
def test_parts_300_megabytes_of_data_apart(tmp_path: Path) -> None:
    scanner = image(segment((b"It", None, b"6669727374*7365636f6e64"), (b"Count", b"0>299", b"6d61726b6564")))
    path = tmp_path / "large"
    block = os.urandom(MEGA - 6).replace(b"marked", b"------")
    with path.open("wb") as out:
        out.write(b"first")
        for _ in range(300):
            out.write(block + b"marked")
        out.write(b"second")
    with path.open("rb") as file:
        assert names(scanner.scan(file.fileno(), all_match=True)) == ["It", "Count"]


def test_a_terabyte_of_hole_takes_no_time(tmp_path: Path) -> None:
    scanner = image(
        segment(
            (b"Last", None, (b"6c617374", b"EOF-4", b"")),
            (b"First", None, (b"6669727374", b"0", b"")),
            (b"Zeros", b"0>5", b"00000000"),
            (b"InTheHole", None, (b"0000", b"200000", b"")),
            (b"BesideTheHole", None, b"6669727374{1000-2000}00000000"),
            (b"Across", None, b"6669727374*00000000*6c617374"),
        )
    )
    size = 1 << 40
    with sparse(tmp_path, size, (0, b"first"), (size - 4, b"last")) as fd:
        found = scanner.scan(fd, all_match=True)
    assert names(found) == ["Last", "First", "Zeros", "InTheHole", "BesideTheHole", "Across"]
    assert (found.size, found.reasons) == (size, 0)


@pytest.mark.parametrize("hole", [70_000, 1_000_000, 3_000_000])
def test_a_hole_is_nothing_but_zeros(tmp_path: Path, hole: int) -> None:
    part = segment(
        (b"Gap", None, b"61626364{900000-1100000}65666768"),
        (b"Zeros", b"0>3", b"0000"),
        (b"End", None, b"000000006566676869"),
        (b"Begin", None, b"6162636400000000"),
    )
    for window in (WINDOW, 0):
        scanner = image(part, window=window)
        with sparse(tmp_path, hole + 10_000, (100, b"abcd"), (hole + 104, b"efghi")) as fd:
            data = os.pread(fd, hole + 10_000, 0)
            found = scanner.scan(fd, all_match=True, digests=4)
        assert found == scanner.scan(data, all_match=True, digests=4)
        assert found.sha256 == hashlib.sha256(data).digest()


def test_many_ends_before_a_gap_of_one_length() -> None:
    scanner = image(segment((b"It", None, b"61626364{5000}65666768")))
    assert names(scanner.scan(b"abcd." * 2000 + b"...." + b"efgh")) == ["It"]
    near_miss = scanner.scan(b"abcd." * 2000 + b"..." + b"efgh")
    assert (near_miss.hits, near_miss.reasons) == ([], 0)


def test_more_ends_than_a_table_holds_are_reported_not_dropped() -> None:
    scanner = image(segment((b"It", None, b"61620161{9000}65666768")))
    found = scanner.scan(b"ab\1a" * 5000 + b"efgh")
    assert found.hits or found.reasons == Reason.MATCH
    assert scanner.scan(b"ab\1a" * 100 + b"efgh").reasons == 0


def test_a_limit_is_a_reason() -> None:
    scanner = image(segment((b"It", None, b"61626364"), (b"End", None, (b"2e2e", b"EOF-2", b""))))
    data = b"." * 5000 + b"abcd" + b"." * 5000
    with layer(data) as fd:
        cut = scanner.scan(fd, limit=5002, digests=4, all_match=True)
        whole = scanner.scan(fd, limit=len(data), digests=4, all_match=True)
    assert (names(cut), cut.reasons, cut.size, cut.sha256) == ([], Reason.SIZE, 5002, None)
    assert (names(whole), whole.reasons, whole.sha256) == (["It", "End"], 0, hashlib.sha256(data).digest())


def test_a_file_that_has_shrunk_is_told() -> None:
    scanner = image(segment((b"It", None, b"61626364")), hashes(b""), window=WINDOW)
    data = b"abcd" + b"." * 50_000
    with layer(data) as fd:
        found = scanner.scan(fd, size=90_000, digests=4)
    assert (names(found), found.reasons, found.size) == (["It"], Reason.CHANGED, len(data))
    assert found.sha256 == hashlib.sha256(data).digest()


def test_what_a_file_grew_by_is_not_read() -> None:
    scanner = image(segment((b"It", None, b"61626364")))
    with layer(b"." * 500 + b"abcd") as fd:
        found = scanner.scan(fd, size=500)
    assert (names(found), found.reasons, found.size) == ([], 0, 500)


def test_a_read_error_is_told() -> None:
    scanner = image(segment((b"It", None, b"61626364")))
    fd = os.open("/", os.O_RDONLY)
    try:
        found = scanner.scan(fd, size=500)
    finally:
        os.close(fd)
    assert (found.reasons, found.hits, found.error > 0) == (Reason.UNREADABLE, [], True)


def test_an_empty_layer_has_only_its_digest() -> None:
    empty = hashlib.md5(b"").hexdigest().encode()
    scanner = image(segment((b"Absent", b"0=0", b"61626364")), hashes(empty + b":*:Empty:73\n"))
    assert names(scanner.scan(b"", all_match=True)) == ["Empty"]
    assert names(scanner.scan(b"x", all_match=True)) == ["Absent"]


def test_digests_that_signatures_need_are_made_and_others_are_not() -> None:
    data = b"a certain text"
    scanner = image(hashes(hashlib.sha1(data).hexdigest().encode() + b":%d:ByHash\n" % len(data), official=False))
    found = scanner.scan(data)
    assert names(found) == ["ByHash.UNOFFICIAL"]
    assert (found.hits[0].offset, found.sha1, found.md5) == (None, hashlib.sha1(data).digest(), None)
    other = scanner.scan(data + b"!")
    assert (other.hits, other.sha1) == ([], None)
    assert names(scanner.scan(b"A certain text")) == []


def test_the_least_match_by_database_and_line_or_all_of_them() -> None:
    first = segment((b"B", None, b"62626262", {"line": 7}), (b"A", None, b"61616161", {"line": 3}), database=b"1.ldb")
    second = segment((b"C", None, b"61616161"), database=b"2.ldb", official=False)
    scanner = image(first, hashes(b""), second)
    found = scanner.scan(b"bbbb aaaa", all_match=True)
    assert [(h.name, h.database, h.line) for h in found.hits] == [
        (b"A", 0, 3),
        (b"B", 0, 7),
        (b"C.UNOFFICIAL", 2, 1),
    ]
    assert names(scanner.scan(b"bbbb aaaa")) == ["A"]
    assert names(scanner.scan(b"bbbb bbbb")) == ["B"]


def test_an_ignored_signature_is_told_but_not_named() -> None:
    part = segment((b"Loud", None, b"61616161"), (b"Silent", None, b"62626262"), official=False)
    scanner = open_parts([part, match.build_ignore([b"Silent", b"Other"]), match.build_group([part])])
    assert names(scanner.scan(b"bbbb aaaa")) == ["Loud.UNOFFICIAL"]
    quiet = scanner.scan(b"bbbb")
    assert (quiet.hits, quiet.suppressed) == ([], True)
    assert scanner.scan(b"cccc").suppressed is False


def test_target_type_and_size_decide_too() -> None:
    scanner = image(
        segment(
            (b"Elf", None, b"61626364", {"target": 6}),
            (b"Any", None, b"61626364"),
            (b"Small", None, b"61626364", {"max_size": 10}),
            (b"Large", None, b"61626364", {"min_size": 20}),
        )
    )
    elf = bytes.fromhex("7f454c4602010100") + bytes(8) + b"\x02\0\x3e\0\x01\0\0\0" + bytes(40)
    assert names(scanner.scan(b"\1\2abcd", all_match=True)) == ["Any", "Small"]
    assert names(scanner.scan(elf + b"abcd", all_match=True)) == ["Elf", "Any", "Large"]


def test_a_session_remembers_nothing_of_the_layer_before() -> None:
    scanner = image(segment((b"Both", b"0&1", b"61616161", b"3020"), (b"Chain", None, b"62626262*63636363")))
    for _ in range(3):
        assert names(scanner.scan(b"aaaa", all_match=True)) == []
        assert names(scanner.scan(b"0 bbbb", all_match=True)) == []
        assert names(scanner.scan(b"cccc", all_match=True)) == []
        assert names(scanner.scan(b"0 aaaa bbbb cccc", all_match=True)) == ["Both", "Chain"]
