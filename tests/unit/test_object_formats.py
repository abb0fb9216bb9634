"""Every container format: what is inside is found under its path, and a sound archive of harmless files is clean."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import zipfile
from collections.abc import Callable, Mapping

import pytest

from kavfs.model import Reason, Status
from tests.support import archives
from tests.support.archives import Files, with_libarchive, with_tool
from tests.support.objects import EICAR, NEAR_MISS, scan

FILLER = bytes(range(256)) * 400  # 100 KB: more than one read of every decoder

Maker = Callable[[Files], bytes]

ARCHIVES: Mapping[str, tuple[Maker, str]] = {
    "zip": (archives.make_zip, "zip"),
    "zip, stored": (lambda f: archives.make_zip(f, zipfile.ZIP_STORED), "zip"),
    "zip, bzip2": (lambda f: archives.make_zip(f, zipfile.ZIP_BZIP2), "zip"),
    "zip, lzma": (lambda f: archives.make_zip(f, zipfile.ZIP_LZMA), "zip"),
    "zip by zip": (lambda f: with_tool(f, "zip", "-q", "OUT.zip", "FILES"), "zip"),
    "zip by 7z": (lambda f: with_tool(f, "7z", "a", "-tzip", "-mx9", "OUT.zip", "FILES"), "zip"),
    "zip by libarchive": (lambda f: with_libarchive(f, "zip"), "zip"),
    "7z": (lambda f: with_tool(f, "7z", "a", "OUT.7z", "FILES"), "7z"),
    "7z, ppmd": (lambda f: with_tool(f, "7z", "a", "-m0=ppmd", "OUT.7z", "FILES"), "7z"),
    "7z, bzip2": (lambda f: with_tool(f, "7z", "a", "-m0=bzip2", "OUT.7z", "FILES"), "7z"),
    "7z by libarchive": (lambda f: with_libarchive(f, "7zip"), "7z"),
    "tar, gnu": (lambda f: with_tool(f, "tar", "--format=gnu", "-cf", "OUT", "FILES"), "tar"),
    "tar, pax": (lambda f: with_tool(f, "tar", "--format=posix", "-cf", "OUT", "FILES"), "tar"),
    "tar, v7": (lambda f: with_tool(f, "tar", "--format=v7", "-cf", "OUT", "FILES"), "tar"),
    "tar, ustar": (lambda f: with_libarchive(f, "ustar"), "tar"),
    "cpio, newc": (lambda f: with_libarchive(f, "newc"), "cpio"),
    "cpio, odc": (lambda f: with_libarchive(f, "odc"), "cpio"),
    "cpio, binary": (lambda f: with_libarchive(f, "bin"), "cpio"),
    "ar": (lambda f: with_tool(f, "ar", "rc", "OUT", "FILES"), "ar"),
    "ar, bsd": (lambda f: with_libarchive(f, "arbsd"), "ar"),
    "xar": (lambda f: with_libarchive(f, "xar"), "xar"),
    "warc": (lambda f: with_libarchive(f, "warc"), "warc"),
    "iso, rock ridge": (lambda f: with_tool(f, "genisoimage", "-quiet", "-R", "-o", "OUT", "."), "iso"),
    "iso, joliet": (lambda f: with_tool(f, "genisoimage", "-quiet", "-J", "-o", "OUT", "."), "iso"),
    "iso by libarchive": (lambda f: with_libarchive(f, "iso9660"), "iso"),
    "cab": (archives.make_cab, "cab"),
    "cab, stored": (lambda f: archives.make_cab(f, packed=False), "cab"),
    "lha": (archives.make_lha, "lha"),
    "rar 4": (archives.make_rar4, "rar"),
    "rar 5": (archives.make_rar5, "rar"),
}

STREAMS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (lambda b: gzip.compress(b, 9), "gzip"),
    "bzip2": (bz2.compress, "bzip2"),
    "xz": (lzma.compress, "xz"),
    "lzma": (lambda b: lzma.compress(b, lzma.FORMAT_ALONE), "lzma"),
    "zstd": (lambda b: with_libarchive({"x": b}, "raw", ("zstd",)), "zstd"),
    "lz4": (lambda b: with_libarchive({"x": b}, "raw", ("lz4",)), "lz4"),
    "lzip": (lambda b: with_libarchive({"x": b}, "raw", ("lzip",)), "lzip"),
    "compress": (lambda b: with_libarchive({"x": b}, "raw", ("compress",)), "compress"),
    "uu": (lambda b: archives.make_uu({"x": b}), "uu"),
    "uu, base64": (lambda b: with_libarchive({"x": b}, "raw", ("b64encode",)), "uu"),
}


@pytest.mark.parametrize("layout", ARCHIVES)
def test_a_member_of_an_archive_is_found_under_its_name(layout: str) -> None:
    make, format = ARCHIVES[layout]
    verdict = scan(make({"before.bin": FILLER, "eicar.com": EICAR, "z.bin": FILLER}))
    assert verdict.format == format
    assert verdict.status is Status.INFECTED
    assert not verdict.reasons
    assert any(path in (b"eicar.com", b"file://eicar.com") for path in verdict.infected)  # a WARC has addresses


@pytest.mark.parametrize("layout", ARCHIVES)
def test_a_sound_archive_is_clean_and_complete(layout: str) -> None:
    make, _ = ARCHIVES[layout]
    verdict = scan(make({"before.bin": FILLER, "eicar.com": NEAR_MISS, "z.bin": FILLER}))
    assert verdict.clean
    assert verdict.members >= 3
    assert verdict.scanned >= verdict.size + 2 * len(FILLER) + len(NEAR_MISS)


@pytest.mark.parametrize("packing", STREAMS)
def test_what_a_stream_unpacks_to_is_scanned(packing: str) -> None:
    pack, format = STREAMS[packing]
    verdict = scan(pack(FILLER + EICAR + FILLER))
    assert (verdict.format, verdict.status, verdict.reasons) == (format, Status.INFECTED, 0)
    assert b"#1" in verdict.infected
    clean = scan(pack(FILLER + NEAR_MISS + FILLER))
    assert clean.clean
    assert clean.members == 1


@pytest.mark.parametrize("packing", STREAMS)
def test_a_tar_in_a_stream_is_opened(packing: str) -> None:
    pack, _ = STREAMS[packing]
    verdict = scan(pack(archives.make_tar({"a/eicar.com": EICAR, "b.bin": FILLER})))
    assert b"#1/a/eicar.com" in verdict.infected
    assert b"#1" in verdict.containers


def test_a_gzip_that_carries_a_name_gives_it_to_its_member() -> None:
    verdict = scan(with_tool({"eicar.com": EICAR}, "sh", "-c", "gzip -9 eicar.com && mv eicar.com.gz OUT"))
    assert verdict.infected == [b"eicar.com"]


def test_an_rpm_is_opened_down_to_its_files() -> None:
    verdict = scan(archives.make_rpm({"usr/bin/eicar": EICAR}))
    assert verdict.format == "rpm"
    assert b"#1/#1/usr/bin/eicar" in verdict.infected
    assert scan(archives.make_rpm({"usr/bin/eicar": NEAR_MISS})).clean


def test_a_debian_package_is_opened_down_to_its_files() -> None:
    package = archives.with_tool(
        {
            "debian-binary": b"2.0\n",
            "control.tar.xz": lzma.compress(archives.make_tar({"./control": b"Package: test\n"})),
            "data.tar.xz": lzma.compress(archives.make_tar({"./usr/bin/eicar": EICAR})),
        },
        "ar",
        "rc",
        "OUT",
        "FILES",
    )
    assert scan(package).infected == [b"data.tar.xz/#1", b"data.tar.xz/#1/./usr/bin/eicar"]


@pytest.mark.skipif(shutil.which("jar") is None, reason="no jar command: a jar is a zip, which is tested above")
def test_a_jar_is_clean() -> None:
    assert scan(with_tool({"a/B.txt": b"hello\n" * 50}, "jar", "cf", "OUT", "FILES")).clean


EMPTY = {
    "zip": archives.make_zip({}),
    "tar": archives.make_tar({}),
    "gzip": gzip.compress(b""),
    "bzip2": bz2.compress(b""),
    "xz": lzma.compress(b""),
    "ar": b"!<arch>\n",
    "zstd": bytes.fromhex("28b52ffd2000010000"),
}


@pytest.mark.parametrize("layout", EMPTY)
def test_an_empty_container_is_clean(layout: str) -> None:
    assert scan(EMPTY[layout]).clean


def test_containers_in_containers_give_paths_joined_with_slashes() -> None:
    inner = gzip.compress(archives.make_tar({"dir/eicar.com": EICAR}))
    outer = archives.make_zip(
        {"first.txt": b"harmless", "pack.tgz": inner, "sub/last.zip": archives.make_zip({"e": EICAR})}
    )
    verdict = scan(outer)
    assert set(verdict.infected) >= {b"pack.tgz/#1/dir/eicar.com", b"sub/last.zip/e"}
    assert verdict.containers == {b"pack.tgz", b"pack.tgz/#1", b"sub/last.zip"}


def test_every_infected_member_is_named_but_each_once() -> None:
    verdict = scan(archives.make_zip({"a": EICAR * 3, "b": b"harmless", "c": EICAR}))
    assert verdict.infected == [b"a", b"c"]
    assert {name for _, name in verdict.threats} == {b"EICAR-Test-File.UNOFFICIAL"}


def test_a_sparse_member_is_read_with_its_holes() -> None:
    make = 'truncate -s 3M big && printf %s "$0" >> big && truncate -s 5M big && tar -Scf OUT big'
    verdict = scan(with_tool({}, "sh", "-c", make, EICAR.decode()))
    assert b"big" in verdict.infected
    assert verdict.scanned >= 5 << 20
    assert scan(with_tool({}, "sh", "-c", make, NEAR_MISS.decode())).clean


def test_links_and_folders_count_as_members_without_bytes() -> None:
    make = "mkdir d && echo x >d/f && ln d/f d/hard && ln -s /etc/passwd d/soft && tar cf OUT d"
    verdict = scan(with_tool({}, "sh", "-c", make))
    assert verdict.clean
    assert verdict.members == 4
    assert verdict.scanned == verdict.size + len("x\n")


def test_streams_put_one_after_the_other_are_one() -> None:
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        verdict = scan(pack(FILLER) + pack(EICAR))
        assert verdict.infected[-1] == b"#1"
        assert not verdict.reasons


def test_bytes_after_a_gzip_are_no_damage() -> None:
    """gzip(1) unpacks such a file and warns; its bytes are scanned as part of the file itself and for themselves."""
    assert scan(gzip.compress(FILLER) + b"trailing garbage").clean
    assert scan(gzip.compress(FILLER) + bytes(512)).clean
    assert scan(gzip.compress(FILLER) + EICAR).infected == [b"", b"#2"]


ENDING = {
    "tar": lambda: archives.make_tar({"a": FILLER}),
    "cpio": lambda: with_libarchive({"a": FILLER}, "newc"),
    "cab": lambda: archives.make_cab({"a": FILLER}),
    "lha": lambda: archives.make_lha({"a": FILLER}),
    "rar 4": lambda: archives.make_rar4({"a": FILLER}),
    "rar 5": lambda: archives.make_rar5({"a": FILLER}),
    "gzip": lambda: gzip.compress(FILLER),
    "bzip2": lambda: bz2.compress(FILLER),
    "lzma": lambda: lzma.compress(FILLER, lzma.FORMAT_ALONE),
    "lz4": lambda: with_libarchive({"a": FILLER}, "raw", ("lz4",)),
    "lzip": lambda: with_libarchive({"a": FILLER}, "raw", ("lzip",)),
}


@pytest.mark.parametrize("layout", ENDING)
@pytest.mark.parametrize("padding", [0, 700])
def test_what_stands_behind_the_end_of_an_archive_is_opened(layout: str, padding: int) -> None:
    """An initrd is one cpio after the other; `tar --ignore-zeros` reads on; who opens a zip looks for its end."""
    first = ENDING[layout]()
    for second in (archives.make_zip({"x": EICAR}), archives.make_tar({"x.gz": gzip.compress(EICAR)})):
        verdict = scan(first + bytes(padding) + second)
        assert verdict.status is Status.INFECTED
        assert not verdict.reasons
    assert scan(first + bytes(padding) + archives.make_zip({"x": NEAR_MISS})).clean
    alone = scan(first)
    assert scan(first + bytes(padding)).members == alone.members  # padding is no member


@pytest.mark.parametrize("layout", ["7zip", "iso9660", "xar"])
def test_a_zip_at_the_end_of_another_archive_is_opened(layout: str) -> None:
    first = with_libarchive({"a": FILLER}, layout)
    assert scan(first + archives.make_zip({"x": EICAR})).infected == [b"x"]
    assert scan(first + archives.make_zip({"x": NEAR_MISS})).clean


@pytest.mark.parametrize("behind", [b"", b"\n", b"c" * 60000])
def test_a_zip_behind_a_picture_is_found_whatever_follows_it(behind: bytes) -> None:
    picture = b"GIF89a" + bytes(500)
    assert scan(picture + archives.make_zip({"x": EICAR}) + behind).infected == [b"x"]
    assert scan(picture + archives.make_zip({"x": NEAR_MISS}) + behind).clean


@pytest.mark.parametrize("packing", ["lzma", "compress"])
def test_a_stream_that_breaks_off_at_once_is_damage_though_its_magic_is_weak(packing: str) -> None:
    packed = STREAMS[packing][0](EICAR + bytes(range(256)))
    broken = packed[:-80] if packing == "lzma" else packed + b"\xff" * 80
    verdict = scan(broken)
    assert (verdict.status, verdict.reasons) == (Status.CORRUPTED, Reason.DAMAGED)


def test_a_uuencoded_file_that_breaks_off_is_damage_and_what_stands_before_is_scanned() -> None:
    for content in (EICAR, EICAR + bytes(60)):
        whole = archives.make_uu({"eicar.com": content})
        for broken in (whole[:-2], whole.replace(b"`\nend\n", b"\xff\xff\n")):
            verdict = scan(broken)
            assert verdict.status is Status.INFECTED
            assert verdict.reasons == Reason.DAMAGED
    assert scan(archives.make_uu({"x": NEAR_MISS})[:-2]).status is Status.CORRUPTED
    assert scan(b"begin 644 words\nand so on\n").clean


def test_an_image_with_a_second_file_system_that_cannot_be_read_is_partial() -> None:
    """Windows shows the UDF tree of such a disc, which may hold other files than the ISO 9660 tree."""
    image = with_tool({"a": FILLER}, "genisoimage", "-quiet", "-udf", "-o", "OUT", ".")
    verdict = scan(image)
    assert verdict.members > 0
    assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.METHOD)
