"""Tar, plain and packed: an infected member goes with the headers that are its own, the rest stays as it lies."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.action.cure.refused import Refused, Why
from tests.support.archives import with_libarchive
from tests.support.curing import clean_of, contents, cured, in_order, noise, seeds, tar_of, untarred, zip_of
from tests.support.objects import EICAR, NEAR_MISS, scan

FORMS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def refused(data: bytes) -> Why:
    with pytest.raises(Refused) as caught:
        cured(data)
    return caught.value.why


@pytest.mark.parametrize("places", [(0,), (1,), (2,), (0, 2), (1, 2)])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_infected_members_go_and_the_others_stay(places: tuple[int, ...], mode: str) -> None:
    members = list(in_order(places))
    outcome = cured(tar_of(members, mode))
    assert untarred(outcome.data) == clean_of(members)
    above = b"" if mode == "w" else b"#1/"
    assert outcome.gone == [above + b"m%d" % place for place in places]


@pytest.mark.parametrize("form", FORMS)
def test_headers_of_what_stays_are_copied(form: int) -> None:
    """What is left is what a tar without the infected member would be, byte for byte."""
    members = [("a", b"a" * 700), ("e.com", EICAR), ("z" * 90, noise(1024)), ("d/b", b"")]
    assert cured(tar_of(members, form=form)).data == tar_of(clean_of(members), form=form)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_go_and_stay_with_their_members(form: int) -> None:
    members = [("a/" * 80 + "kept", b"k"), ("b/" * 90 + "e.com", EICAR), ("c/" * 99 + "ä", b"kept as well")]
    outcome = cured(tar_of(members, form=form))
    assert outcome.data == tar_of(clean_of(members), form=form)


def test_links_to_what_goes_go_with_it() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, link in (("e.com", EICAR, ""), ("f", b"f", ""), ("g", b"", "e.com"), ("h", b"", "f")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.linkname = len(content), link
            entry.type = tarfile.LNKTYPE if link else tarfile.REGTYPE
            archive.addfile(entry, io.BytesIO(content))
        soft = tarfile.TarInfo("s")
        soft.type, soft.linkname = tarfile.SYMTYPE, "e.com"
        archive.addfile(soft)
    assert [name for name, _ in untarred(cured(out.getvalue()).data)] == ["f", "h", "s"]


@pytest.mark.parametrize(
    ("members", "left"),
    [
        (["e.com", "a>e.com", "b>a", "f"], ["f"]),
        (["e.com", "a>e.com", "e.com=f", "b>e.com"], ["e.com", "b"]),
        (["e.com=f", "a>e.com", "e.com", "b>e.com"], ["e.com", "a"]),
    ],
    ids=["link to a link", "a new file of the name", "an old file of the name"],
)
def test_links_mean_what_the_name_means_where_they_stand(tmp_path: Path, members: list[str], left: list[str]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            name, _, link = member.partition(">")
            name, _, text = name.partition("=")
            content = b"" if link else text.encode() or (EICAR if name == "e.com" else b"f")
            entry = tarfile.TarInfo(name)
            entry.size, entry.linkname = len(content), link
            entry.type = tarfile.LNKTYPE if link else tarfile.REGTYPE
            archive.addfile(entry, io.BytesIO(content))
    data = cured(out.getvalue()).data
    assert [name for name, _ in untarred(data)] == left
    subprocess.run(["tar", "-x", "-C", tmp_path], input=data, check=True)
    assert sorted(os.listdir(tmp_path)) == sorted(left)


def test_real_tar_with_everything_it_can_write(tmp_path: Path) -> None:
    tree = tmp_path / "in"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "e.com").write_bytes(EICAR)
    (tree / "kept").write_bytes(noise(5000))
    (tree / "link").symlink_to("kept")
    (tree / "hard").hardlink_to(tree / "kept")
    with open(tree / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    for form in ("gnu", "pax", "ustar", "v7", "oldgnu"):
        name = tmp_path / f"{form}.tar"
        holes = ["-S"] if form in ("gnu", "oldgnu", "pax") else []
        subprocess.run(["tar", *holes, "--format", form, "-cf", name, "-C", tree, "."], check=True, capture_output=True)
        new = tmp_path / f"{form}-cured.tar"
        new.write_bytes(cured(name.read_bytes()).data)
        out = tmp_path / f"out-{form}"
        out.mkdir()
        subprocess.run(["tar", "-xf", new, "-C", out], check=True)
        assert not (out / "folder" / "e.com").exists()
        for path in ("kept", "hard", "sparse"):
            assert (out / path).read_bytes() == (tree / path).read_bytes()
        assert (out / "link").is_symlink()


def test_member_of_a_member_goes_and_its_container_stays() -> None:
    inner = [("clean", noise(3000)), ("e.com", EICAR)]
    members = [("a", b"1"), ("in.tar", tar_of(inner)), ("in.zip", zip_of(inner)), ("b", b"2" * 600)]
    for mode in ("w", "w:gz"):
        kept = dict(untarred(cured(tar_of(members, mode)).data))
        assert list(kept) == ["a", "in.tar", "in.zip", "b"]
        assert untarred(kept["in.tar"]) == inner[:1]
        assert kept["b"] == b"2" * 600


def test_archive_behind_the_end_is_cured_or_goes() -> None:
    first, second = tar_of([("a", b"a")]), tar_of([("b", b"b"), ("e.com", EICAR)])
    outcome = cured(first + second)
    assert outcome.data.startswith(first)
    assert untarred(outcome.data[len(first) :]) == [("b", b"b")]
    assert untarred(cured(first + tar_of([("e.com", EICAR)])).data) == [("a", b"a")]
    kept = cured(second + first).data
    assert kept.endswith(first)


def test_of_two_members_of_one_name_the_infected_one_goes() -> None:
    outcome = cured(tar_of([("same", b"clean"), ("same", EICAR), ("same", b"clean too")]))
    assert untarred(outcome.data) == [("same", b"clean"), ("same", b"clean too")]
    assert refused(tar_of([("same", NEAR_MISS), ("same", EICAR), ("a", b"")])) is Why.DOUBLED


def test_compressed_tars_keep_their_method() -> None:
    members = list(in_order((1,)))
    head = b"\x1f\x8b\x08\x18" + struct.pack("<I", 1_000_000_000) + b"\x02\x03" + b"x.tar\0a comment\0"
    body = gzip.compress(tar_of(members))[10:]
    outcome = cured(head + body)
    assert outcome.data.startswith(head)
    assert outcome.gone == [b"x.tar/m1"]
    assert untarred(outcome.data) == clean_of(members)
    two = gzip.compress(tar_of(members)[:700]) + gzip.compress(tar_of(members)[700:])
    assert untarred(cured(two).data) == clean_of(members)
    sha = cured(lzma.compress(tar_of(members), check=lzma.CHECK_SHA256)).data
    assert sha[7] == lzma.CHECK_SHA256
    assert untarred(sha) == clean_of(members)
    alone = cured(lzma.compress(tar_of(members), lzma.FORMAT_ALONE)).data
    assert untarred(lzma.decompress(alone, lzma.FORMAT_ALONE)) == clean_of(members)


@pytest.mark.parametrize("form", ["zstd", "lz4"])
def test_tars_packed_by_libarchive(form: str, tmp_path: Path) -> None:
    members = dict([*in_order((0,)), ("noise", noise(3 << 20))])
    outcome = cured(with_libarchive(members, "gnutar", (form,)))
    assert outcome.gone == [b"#1/m0"]
    assert scan(outcome.data).format == form
    (tmp_path / "packed").write_bytes(outcome.data)
    plain = subprocess.run([form, "-dc", tmp_path / "packed"], check=True, capture_output=True).stdout
    assert dict(untarred(plain)) == dict(clean_of(members.items()))
    for at in range(0, 300, 7):
        with suppress(Refused):
            cured(outcome.data[:at] + b"\xff" + outcome.data[at + 1 :])


def test_zstd_of_several_frames_and_what_stands_behind() -> None:
    data = tar_of(in_order((1,)))
    frames = [
        subprocess.run(["zstd", "-c"], input=part, check=True, capture_output=True).stdout
        for part in (data[:1000], data[1000:])
    ]
    outcome = cured(b"".join(frames))
    plain = subprocess.run(["zstd", "-dc"], input=outcome.data, check=True, capture_output=True).stdout
    assert untarred(plain) == clean_of(in_order((1,)))


def test_refused_where_nothing_would_be_left_or_nothing_is_infected() -> None:
    assert refused(tar_of([("e.com", EICAR)])) is Why.NOTHING_LEFT
    assert refused(gzip.compress(EICAR)) is Why.NOTHING_LEFT
    assert refused(tar_of([("e.com", NEAR_MISS)])) is Why.NOT_FOUND
    assert refused(tar_of(in_order((1,)), "w:gz")[:-20]) is Why.NOTHING_LEFT  # broken off: all of it would go


def test_every_truncation_and_changed_byte_is_cured_whole_or_refused() -> None:
    for data in (tar_of([("a" * 120, b"a"), ("e.com", EICAR), ("b", b"b")])[:5120], tar_of(in_order((1,)), "w:gz")):
        for at in range(0, len(data), 5):
            for broken in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
                with suppress(Refused):
                    cured(broken)


@pytest.mark.parametrize("seed", seeds(18, 60))
def test_cured_archives_open_in_the_reference_tools(seed: int, tmp_path: Path) -> None:
    members = contents(seed, 1 + seed % 3)
    mode = ("w", "w:gz", "w:bz2", "w:xz")[seed % 4]
    data = cured(tar_of(members, mode, FORMS[seed % 3])).data
    (tmp_path / "a").write_bytes(data)
    done = subprocess.run(["tar", "-tf", tmp_path / "a"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert untarred(data) == clean_of(members)
