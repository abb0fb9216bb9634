"""Parts of an image: what is in them, and that a damaged or foreign one is refused and never harms."""

from __future__ import annotations

import os
import random
import struct

import pytest

from kavfs._native import match
from tests.support.matching import DIGEST, hashes, image, names, open_parts, segment

TEXT = b"00112233445566778899aabbccddeeff:77:Hash.One\n"
ROWS = [
    (b"First", None, b"61626364(65|6667)68"),
    (b"Second", b"0&1>2", b"7a79", (b"6162??6364{3-9}6566", b"*", b"aw")),
]


def parts() -> dict[str, bytes]:
    body = segment(*ROWS, official=False)
    return {
        "body": body,
        "hash": hashes(TEXT),
        "exception": hashes(TEXT, exception=True),
        "ignore": match.build_ignore([b"Other", b"Some"]),
        "group": match.build_group([body]),
    }


def test_a_part_says_what_it_is() -> None:
    made = parts()
    assert {match.part_kind(part): kind for kind, part in made.items()} == {kind: kind for kind in made}
    assert all(match.part_is_whole(part) for part in made.values())
    assert match.part_database(made["body"]) == b"test.ldb"
    assert match.part_database(made["hash"]) == b"test.hdb"
    assert list(match.part_names(made["body"])) == ["First.UNOFFICIAL", "Second.UNOFFICIAL"]
    assert list(match.part_names(made["hash"])) == ["Hash.One"]
    assert list(match.part_names(made["group"])) == []
    assert match.literal_count(made["body"]) >= 3


def test_the_same_source_gives_the_same_part() -> None:
    assert parts() == parts()


def test_a_part_may_lie_anywhere_in_a_file_at_a_page() -> None:
    made = list(parts().values())
    fd = os.memfd_create("image")
    rows, at = [], 0
    for part in made:
        os.pwrite(fd, part, at)
        rows.append((fd, at, len(part)))
        at += (len(part) + 8191) // 4096 * 4096
    scanner = match.Image(rows)
    os.close(fd)
    assert names(scanner.scan(b"abcdfgh")) == ["First.UNOFFICIAL"]


def flipped(part: bytes, at: int) -> bytes:
    return part[:at] + bytes([part[at] ^ 0x41]) + part[at + 1 :]


@pytest.mark.parametrize("kind", ["body", "hash", "exception", "ignore", "group"])
def test_a_damaged_part_is_refused(kind: str) -> None:
    made = parts()
    step = max(1, len(made[kind]) // 400)
    for at in [*range(400), *range(400, len(made[kind]), step)]:
        broken = flipped(made[kind], at)
        assert not match.part_is_whole(broken)
        with pytest.raises((match.ImageDamaged, match.ImageForeign)):
            open_parts([broken if k == kind else part for k, part in made.items()])


@pytest.mark.parametrize("kind", ["body", "hash", "exception", "ignore", "group"])
def test_a_part_cut_short_is_refused(kind: str) -> None:
    made = parts()
    for length in (0, 1, 100, 391, 392, len(made[kind]) // 2, len(made[kind]) - 1):
        assert not match.part_is_whole(made[kind][:length])
        with pytest.raises(match.ImageDamaged):
            open_parts([part[:length] if k == kind else part for k, part in made.items()])


def test_a_file_shorter_than_its_part_is_refused() -> None:
    fd = os.memfd_create("short")
    os.write(fd, parts()["body"][:1000])
    with pytest.raises(match.ImageDamaged, match="cut short"):
        match.Image([(fd, 0, 100_000)])
    os.close(fd)


@pytest.mark.parametrize("kind", ["body", "hash", "exception", "ignore", "group"])
def test_damage_behind_a_right_checksum_does_no_harm(kind: str) -> None:
    """Every 4-byte word of header and tables overwritten with extremes: refused, or scanned without a crash."""
    made = parts()
    end = len(made[kind]) if kind != "group" else 4096  # a database is Vectorscan's: only the checksum guards it
    for at in range(12, end - 4, 4):
        for word in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            broken = match.resealed(made[kind][:at] + struct.pack("<I", word) + made[kind][at + 4 :])
            try:
                scanner = open_parts([broken if k == kind else part for k, part in made.items()])
            except (match.ImageDamaged, match.ImageForeign, OSError):
                continue
            for data in (b"abcdfgh", b"zy zy abxcd....ef", b"\0" * 300):
                scanner.scan(data, all_match=True, digests=7)


def test_a_part_of_another_format_version_is_foreign() -> None:
    part = parts()["body"]
    other = part[:8] + struct.pack("<I", match.FORMAT_VERSION + 1) + part[12:]
    with pytest.raises(match.ImageForeign, match="another version"):
        open_parts([other])


def test_a_group_made_elsewhere_is_foreign() -> None:
    made = parts()
    stamp = match.cpu_stamp().encode()
    at = made["group"].index(stamp)
    other = match.resealed(made["group"][:at] + b"9" + made["group"][at + 1 :])
    with pytest.raises(match.ImageForeign, match="another Vectorscan or CPU"):
        open_parts([made["body"], other])


def test_segments_and_groups_must_belong_together() -> None:
    made = parts()
    other = segment((b"Third", None, b"61626364"))
    with pytest.raises(match.ImageDamaged, match="in no group"):
        open_parts([made["body"]])
    with pytest.raises(match.ImageDamaged, match="a segment that is not here"):
        open_parts([other, made["group"]])
    with pytest.raises(match.ImageDamaged, match="a segment that is not here"):
        open_parts([made["body"], made["group"], made["group"]])


def test_one_group_over_several_segments_and_several_groups() -> None:
    bodies = [segment((b"S%d" % i, None, b"616263%02x" % i), database=b"%d.ndb" % i) for i in range(5)]
    groups = [match.build_group(bodies[:3]), match.build_group(bodies[3:])]
    scanner = open_parts([*bodies, *groups])
    text = b"".join(b"abc" + bytes([i]) for i in range(5))
    assert names(scanner.scan(text, all_match=True)) == ["S0", "S1", "S2", "S3", "S4"]
    assert [hit.database for hit in scanner.scan(text, all_match=True).hits] == [0, 1, 2, 3, 4]


def test_each_target_type_finds_its_own_and_those_for_any() -> None:
    scanner = image(
        segment(
            (b"Elf", None, b"61626364", {"target": 6}),
            (b"ElfWeak", None, b"3020", {"target": 6}),
            (b"Pdf", None, b"61626364", {"target": 10}),
            (b"Any", None, b"65666768"),
            (b"AnyWeak", None, b"2020"),
        )
    )
    elf = bytes.fromhex("7f454c4602010100") + bytes(8) + b"\x02\0\x3e\0\x01\0\0\0" + bytes(40)
    text = b"abcd0  efgh"
    assert names(scanner.scan(elf + text, all_match=True)) == ["Elf", "ElfWeak", "Any", "AnyWeak"]
    assert names(scanner.scan(b"%PDF-1.4\n" + text, all_match=True)) == ["Pdf", "Any", "AnyWeak"]
    assert names(scanner.scan(b"\1\2\3" + text, all_match=True)) == ["Any", "AnyWeak"]


def test_an_image_without_parts_or_with_hashes_only_scans() -> None:
    assert open_parts([]).scan(b"anything").hits == []
    assert open_parts([hashes(TEXT)]).scan(b"anything").hits == []
    empty = match.SegmentBuilder(b"empty.ldb", DIGEST).finish()
    assert image(empty).scan(b"anything").hits == []


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("length", [2, 3, 6])
def test_small_databases_miss_nothing(count: int, length: int) -> None:
    """Vectorscan 5.4.9 loses matches near the end of short data when it has few literals (compile.c tells more)."""
    rnd = random.Random(count * 100 + length)
    for _ in range(12):
        words = {bytes(rnd.randrange(97, 103) for _ in range(length)) for _ in range(count)}
        scanner = image(segment(*((word, None, word.hex().encode()) for word in sorted(words))))
        for _ in range(60):
            data = bytes(rnd.choice([0, 0, 0, rnd.randrange(97, 103)]) for _ in range(rnd.randrange(1, 150)))
            data = b"\1\2" + data + rnd.choice(sorted(words)) + bytes(rnd.randrange(6))
            assert set(scanner.scan(data, all_match=True).names) == {word for word in words if word in data}
