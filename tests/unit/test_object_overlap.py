"""Zip members that share bytes: a few are a packer's mistake, more are a bomb, and neighbours are neither."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from tests.support import bombs
from tests.support.objects import EICAR, image_of, scan, scanner

NAME = b"Heuristics.Zip.OverlappingFiles"
STORED = 0


def archive(contents: list[bytes], reach: int = 0, gap: int = 0) -> bytes:
    """Stored members; each but the last has the first *reach* bytes of the next one's header for its own as well."""
    entries, out = [], bytearray()
    for number, content in enumerate(contents, 1):
        entries.append((len(out), len(content) + (reach if number < len(contents) else 0)))
        out += b"PK\3\4" + bytes(26) + content + bytes(gap)
    records = []
    for at, size in reversed(entries):  # the header that a member takes in is complete before its checksum
        checksum = zlib.crc32(out[at + 30 : at + 30 + size])
        struct.pack_into("<HHHIIIIHH", out, at + 4, 20, 0, STORED, 0, checksum, size, size, 0, 0)
        fields = (20, 20, 0, STORED, 0, checksum, size, size, 1, 0, 0, 0, 0, 0, at)
        records.append(b"PK\1\2" + struct.pack("<HHHHIIIIHHHHHII", *fields) + b"m")
    directory = b"".join(reversed(records))
    count = len(contents)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(out), 0)
    return bytes(out) + directory + b"PK\5\6" + end


def members(count: int) -> list[bytes]:
    return [b"member number %d" % n for n in range(count)]


@pytest.mark.parametrize("reach", [1, 4, 20])
def test_more_than_a_few_members_that_share_bytes_are_suspicious(reach: int) -> None:
    verdict = scan(archive(members(7), reach))
    assert verdict.status is Status.SUSPICIOUS
    assert verdict.threats == [(b"", NAME)]
    assert verdict.reasons == Reason.DAMAGED


@pytest.mark.parametrize(
    "data",
    [archive(members(7)), archive(members(7), gap=9), archive(members(6), 1), archive([b""] * 20)],
    ids=["side by side", "with room between", "five overlaps", "without bytes"],
)
def test_neighbours_and_a_few_mistakes_are_clean(data: bytes) -> None:
    assert scan(data).clean


def test_folders_and_sizes_behind_the_data_do_not_overlap() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(20):
            made.writestr(zipfile.ZipInfo(f"{number}/"), b"")
            made.writestr(f"{number}/same.name", b"content %d" % number)
    assert scan(out.getvalue()).clean


def test_without_heuristics_it_is_coverage_that_lacks() -> None:
    verdict = scan(archive(members(7), 1), scanner(switches=EVERYTHING & ~Switch.HEURISTIC))
    assert (verdict.status, verdict.reasons, verdict.threats) == (Status.CORRUPTED, Reason.DAMAGED, [])


def test_what_is_infected_among_them_is_found() -> None:
    for place in (0, 4, 8):
        contents = members(9)
        contents[place] = EICAR
        verdict = scan(archive(contents, 1))
        assert verdict.status is Status.INFECTED
        assert b"m" in verdict.infected


def test_bytes_that_many_claim_are_unpacked_a_few_times_only() -> None:
    size, count = 1 << 20, 40
    verdict = scan(bombs.overlapping_zip(count, size))
    assert verdict.status is Status.SUSPICIOUS
    assert verdict.members < count / 2
    assert verdict.scanned < size * count / 2


def test_an_exception_for_the_archive_lifts_it(tmp_path: Path) -> None:
    data = archive(members(7), 1)
    line = f"{hashlib.md5(data).hexdigest()}:{len(data)}:known.zip\n"
    signature = "Test.Nothing:0:*:" + b"nothing of the kind".hex() + "\n"
    verdict = scan(data, scanner(of=image_of(tmp_path, {"t.ndb": signature, "t.fp": line})))
    assert verdict.threats == []
    assert verdict.status is Status.CORRUPTED


def test_a_zip_that_holds_itself_ends_at_the_limit_of_depth() -> None:
    data = bombs.quine_zip()
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        assert made.read(made.namelist()[0]) == data
    assert scan(data).reasons == Reason.DEPTH
