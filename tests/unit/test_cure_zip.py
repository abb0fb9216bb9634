"""Zip: an infected member goes, everything else stays byte for byte, and the usual tools open what is left."""

from __future__ import annotations

import io
import struct
import subprocess
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.action.cure.refused import Refused, Why
from tests.support.archives import with_libarchive
from tests.support.curing import clean_of, contents, cured, in_order, noise, seeds, tar_of, unzipped, zip_of
from tests.support.objects import EICAR, NEAR_MISS


def refused(data: bytes) -> Why:
    with pytest.raises(Refused) as caught:
        cured(data)
    return caught.value.why


@pytest.mark.parametrize("places", [(0,), (1,), (2,), (0, 2), (0, 1), (1, 2)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_infected_members_go_and_the_others_stay(places: tuple[int, ...], method: int) -> None:
    members = list(in_order(places))
    outcome = cured(zip_of(members, method, b"a comment"))
    assert unzipped(outcome.data) == clean_of(members)
    assert outcome.gone == [b"m%d" % place for place in places]
    assert zipfile.ZipFile(io.BytesIO(outcome.data)).comment == b"a comment"


def test_entries_that_stay_are_copied_as_they_lie() -> None:
    """Times, modes, extra fields, comments, bits and compressed bytes: equal but for places."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in in_order((1,), 4):
            entry = zipfile.ZipInfo(name + "\N{LATIN SMALL LETTER O WITH DIAERESIS}", (1999, 2, 3, 4, 5, 6))
            entry.external_attr, entry.comment = 0o100751 << 16, b"comment of " + name.encode()
            entry.extra, entry.compress_type = struct.pack("<HH4s", 0x7875, 4, b"\1\0\2\3"), zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    before, after = out.getvalue(), cured(out.getvalue()).data
    old = {entry.filename: entry for entry in zipfile.ZipFile(io.BytesIO(before)).infolist()}
    kept = zipfile.ZipFile(io.BytesIO(after)).infolist()
    assert len(kept) == 3
    for entry in kept:
        was = old[entry.filename]
        for field in ("date_time", "comment", "extra", "external_attr", "flag_bits", "create_version", "compress_size"):
            assert getattr(entry, field) == getattr(was, field)
        length = 30 + len(entry.filename.encode()) + len(entry.extra) + entry.compress_size
        raw = after[entry.header_offset : entry.header_offset + length]
        assert raw == before[was.header_offset : was.header_offset + length]


def test_data_descriptors_and_unseekable_writers() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    members = list(in_order((1,)))
    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    assert out.getvalue()[6] & 8
    assert unzipped(cured(out.getvalue()).data) == clean_of(members)


def test_zip64_fields_and_end_records() -> None:
    members = list(in_order((0,)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
    assert unzipped(cured(out.getvalue()).data) == clean_of(members)
    assert unzipped(cured(with_end64(out.getvalue())).data) == clean_of(members)


def with_end64(data: bytes) -> bytes:
    """The archive with a 64-bit end record, as if it had 65,535 members."""
    end = len(data) - 22
    count, size, offset = struct.unpack_from("<HII", data, end + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    return (
        data[:end] + record + locator + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, -1 & 0xFFFF, -1 & 0xFFFF, *WIDE, 0)
    )


WIDE = (0xFFFFFFFF, 0xFFFFFFFF)


def test_stub_in_front_stays_whether_offsets_count_it_or_not(tmp_path: Path) -> None:
    stub = b'#!/bin/sh\nexec unzip "$0"\n' + bytes(range(256)) * 8
    members = list(in_order((0,)))
    loose = cured(stub + zip_of(members)).data
    assert loose.startswith(stub)
    assert unzipped(loose) == clean_of(members)
    path = tmp_path / "sfx"
    path.write_bytes(stub)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    counted = cured(path.read_bytes()).data
    assert counted.startswith(stub)
    assert unzipped(counted) == clean_of(members)


def test_member_of_a_member_goes_and_its_container_stays() -> None:
    inner = [("clean", noise(3000)), ("e.com", EICAR)]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        deep = zip_of([("inner.zip", zip_of(inner)), ("beside", b"b")], method)
        members = [("first", b"1" * 999), ("deep.zip", deep), ("t.tar.gz", tar_of(inner, "w:gz")), ("last", b"2")]
        outcome = cured(zip_of(members, method))
        assert outcome.gone == [b"deep.zip/inner.zip/e.com", b"t.tar.gz/#1/e.com"]
        kept = dict(unzipped(outcome.data))
        assert list(kept) == [name for name, _ in members]
        middle = dict(unzipped(kept["deep.zip"]))
        assert middle["beside"] == b"b"
        assert unzipped(middle["inner.zip"]) == inner[:1]


def test_member_of_a_kind_that_is_not_written_goes_whole() -> None:
    cpio = with_libarchive({"e.com": EICAR}, "newc")
    outcome = cured(zip_of([("a.cpio", cpio), ("b", b"b")]))
    assert (outcome.gone, unzipped(outcome.data)) == ([b"a.cpio"], [("b", b"b")])
    empty = zip_of([("only.zip", zip_of([("e.com", EICAR)])), ("b", b"b")])
    assert cured(empty).gone == [b"only.zip"]


def test_of_two_members_of_one_name_the_infected_one_goes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = zip_of([("same", b"clean"), ("same", EICAR), ("same", b"clean as well")])
        both = zip_of([("same", EICAR), ("same", EICAR), ("other", b"1")])
        twins = zip_of([("same", NEAR_MISS), ("same", EICAR), ("other", b"1")])
    assert unzipped_raw(cured(data).data) == [5, 13]
    assert unzipped(cured(both).data) == [("other", b"1")]
    assert refused(twins) is Why.DOUBLED


def unzipped_raw(data: bytes) -> list[int]:
    return [entry.file_size for entry in zipfile.ZipFile(io.BytesIO(data)).infolist()]


def test_names_that_look_like_members_of_members() -> None:
    members = [("a", b"a file"), ("a/b", EICAR), ("a/b/c", b"below it"), ("x.zip/e.com", b"no member of a zip")]
    outcome = cured(zip_of([*members, ("x.zip", zip_of([("e.com", EICAR), ("f", b"f")]))]))
    assert outcome.gone == [b"a/b", b"x.zip/e.com"]
    assert [name for name, _ in unzipped(outcome.data)] == ["a", "a/b/c", "x.zip/e.com", "x.zip"]


def test_a_name_that_is_also_a_member_of_a_member_of_the_same_size() -> None:
    """Nothing tells which of the two is infected, unless both are."""
    inner = ("x.zip", zip_of([("e.com", EICAR), ("f", b"f")]))
    assert refused(zip_of([("x.zip/e.com", b"x" * len(EICAR)), inner])) is Why.DOUBLED
    outcome = cured(zip_of([("x.zip/e.com", EICAR), inner]))
    assert [name for name, _ in unzipped(outcome.data)] == ["x.zip"]
    assert [name for name, _ in unzipped(unzipped(outcome.data)[0][1])] == ["f"]


def test_strange_names() -> None:
    members = [("x" * 2000 + ".com", EICAR), ("line\nfeed \x1b[2J", EICAR), ("../../etc/passwd", EICAR), ("ok", b"1")]
    assert unzipped(cured(zip_of(members)).data) == [("ok", b"1")]


def test_encrypted_neighbours_stay_encrypted(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    (tmp_path / "e.com").write_bytes(EICAR)
    subprocess.run(["zip", "-q", "-P", "word", "a.zip", "secret"], cwd=tmp_path, check=True)
    subprocess.run(["zip", "-q", "a.zip", "e.com"], cwd=tmp_path, check=True)
    (tmp_path / "b.zip").write_bytes(cured((tmp_path / "a.zip").read_bytes()).data)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert archive.namelist() == ["secret"]
        assert archive.read("secret", b"word") == b"secret" * 100


def test_hidden_member_between_members_goes() -> None:
    first = zip_of([("a", b"a" * 50), ("e.com", EICAR), ("b", b"b" * 50)])
    start = first.index(b"PK\1\2")
    second = first.index(b"PK\1\2", start + 4)
    third = first.index(b"PK\1\2", second + 4)
    end = first.index(b"PK\5\6")
    directory = first[start:second] + first[third:end]
    hidden = first[:start] + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2, 2, len(directory), start, 0)
    outcome = cured(hidden)
    assert unzipped(outcome.data) == [("a", b"a" * 50), ("b", b"b" * 50)]
    assert b"e.com" not in outcome.data


@pytest.mark.parametrize(
    ("name", "why"), [("META-INF/CERT.RSA", Why.SIGNED), ("META-INF/documentsignatures.xml", Why.SIGNED)]
)
def test_signed_archives_are_refused(name: str, why: Why) -> None:
    assert refused(zip_of([("e.com", EICAR), (name, b"signature"), ("a", b"a")])) is why


def test_refused_where_nothing_would_be_left_or_nothing_is_infected() -> None:
    assert refused(zip_of([("e.com", EICAR), ("d/", b"")])) is Why.NOTHING_LEFT
    assert refused(zip_of([("e.com", NEAR_MISS)])) is Why.NOT_FOUND


def patched(data: bytes, *changes: tuple[int, str, int]) -> bytes:
    copy = bytearray(data)
    for at, form, value in changes:
        struct.pack_into(form, copy, at, value)
    return bytes(copy)


def test_archives_that_lie_are_refused() -> None:
    data = zip_of([("a", b"a" * 500), ("e.com", EICAR), ("c", b"c" * 500)])
    central, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    second = data.index(b"PK\1\2", central + 4)
    third = data.index(b"PK\1\2", second + 4)
    place = struct.unpack_from("<I", data, second + 42)[0]
    assert refused(patched(data, (end + 8, "<H", 9), (end + 10, "<H", 9))) is Why.DAMAGED
    assert refused(patched(data, (third + 42, "<I", place))) is not None  # two entries, one member
    assert refused(patched(data, (third + 20, "<I", 1 << 20))) is not None  # a size beyond the end
    assert refused(patched(data, (end + 4, "<H", 1), (end + 6, "<H", 1))) is Why.MULTI_VOLUME
    assert refused(patched(data, (central + 42, "<I", 0x7FFFFFFF))) is not None
    assert refused(patched(data, (8, "<H", 0))) is Why.ODD  # the headers disagree on the method


def test_every_truncation_and_changed_byte_is_cured_whole_or_refused() -> None:
    data = zip_of([("a", b"a" * 50), ("e.com", EICAR), ("c.zip", zip_of([("e", EICAR), ("f", b"f")]))])
    for at in range(len(data)):
        for broken in (data[:at], patched(data, (at, "<B", data[at] ^ 0xFF)), patched(data, (at, "<B", 0))):
            with suppress(Refused):
                cured(broken)


@pytest.mark.long
def test_hundred_thousand_members() -> None:
    members = [(f"m{number}", b"x") for number in range(99_990)]
    members[50_000] = ("e.com", EICAR)
    data = zip_of(members, zipfile.ZIP_STORED)
    outcome = cured(data)
    assert len(zipfile.ZipFile(io.BytesIO(outcome.data)).namelist()) == 99_989


@pytest.mark.parametrize("seed", seeds(18, 60))
def test_cured_archives_open_in_the_reference_tools(seed: int, tmp_path: Path) -> None:
    members = contents(seed, 1 + seed % 3)
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[seed % 2]
    (tmp_path / "a.zip").write_bytes(cured(zip_of(members, method)).data)
    for command in (["unzip", "-t", "a.zip"], ["7z", "t", "a.zip"], ["zip", "-T", "a.zip"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert unzipped((tmp_path / "a.zip").read_bytes()) == clean_of(members)
