"""7z: an infected file goes from archives of 7-Zip with every method and block layout; 7-Zip opens what is left."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.sevenheader import Reader, bits, number
from tests.support.archives import with_libarchive
from tests.support.curing import clean_of, contents, cured, in_order, noise, seeds, unzipped, zip_of
from tests.support.objects import EICAR, NEAR_MISS

METHODS = ("LZMA", "LZMA2", "Deflate", "BZip2", "Copy", "BCJ LZMA", "BCJ LZMA2", "Delta:4 LZMA2", "Delta:2 LZMA")


def sevenzip(folder: Path, members: list[tuple[str, bytes]], *words: str) -> bytes:
    source = folder / "in"
    for name, content in members:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_000_000_000, 1_000_000_000 + len(name)))
    command = ["7z", "a", "-bd", "-y", *words, folder / "a.7z", *sorted(os.listdir(source))]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return (folder / "a.7z").read_bytes()


def opened(folder: Path, data: bytes, password: str = "") -> dict[str, bytes]:
    """What 7-Zip makes of it."""
    archive, out = folder / "new.7z", folder / "out"
    archive.write_bytes(data)
    subprocess.run(["7z", "t", "-bd", f"-p{password}", archive], check=True, capture_output=True)
    subprocess.run(["7z", "x", "-bd", "-y", f"-p{password}", f"-o{out}", archive], check=True, capture_output=True)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def methods(text: str) -> list[str]:
    return [f"-m{place}={method}" for place, method in enumerate(text.split())]


def refused(data: bytes) -> Why:
    with pytest.raises(Refused) as caught:
        cured(data)
    return caught.value.why


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("solid", ["on", "off"])
def test_infected_files_go_and_the_others_stay(method: str, solid: str, tmp_path: Path) -> None:
    members = [*in_order((1,)), ("program.bin", bytes(random.Random(1).choices((0xE8, 0, 1, 255), k=9001)))]
    data = sevenzip(tmp_path, members, f"-ms={solid}", *methods(method))
    outcome = cured(data)
    assert outcome.gone == [b"m1"]
    assert opened(tmp_path, outcome.data) == dict(clean_of(members))


@pytest.mark.parametrize("places", [(0,), (2,), (0, 2), (1, 2)])
def test_first_and_last(places: tuple[int, ...], tmp_path: Path) -> None:
    members = list(in_order(places))
    outcome = cured(sevenzip(tmp_path, members))
    assert opened(tmp_path, outcome.data) == dict(clean_of(members))
    assert opened(tmp_path, cured(with_libarchive(dict(members), "7zip")).data) == dict(clean_of(members))


def listing(folder: Path, data: bytes) -> dict[str, dict[str, str]]:
    (folder / "l.7z").write_bytes(data)
    told = subprocess.run(["7z", "l", "-slt", folder / "l.7z"], check=True, capture_output=True, text=True).stdout
    entries = {}
    for block in told.split("----------\n")[1].split("\n\n"):
        fields = dict(line.partition(" = ")[::2] for line in block.strip().splitlines())
        if fields:
            entries[fields["Path"]] = {key: fields.get(key, "") for key in ("Modified", "Attributes", "CRC", "Size")}
    return entries


def test_names_times_attributes_folders_and_empty_files_stay(tmp_path: Path) -> None:
    members = [("d/\N{GREEK SMALL LETTER OMEGA} name", b"x" * 99), ("d/e.com", EICAR), ("empty", b""), ("z", b"z")]
    (tmp_path / "in" / "empty folder").mkdir(parents=True)
    data = sevenzip(tmp_path, members, "-mtc=on", "-mta=on")
    before, after = listing(tmp_path, data), listing(tmp_path, cured(data).data)
    assert before.pop("d/e.com")
    assert after == before
    assert {"empty folder", "empty", "d"} <= set(after)


def test_blocks_without_an_infected_file_stay_packed_as_they_are(tmp_path: Path) -> None:
    members = [("a", noise(5000)), ("e.com", EICAR), ("z", noise(5000))]
    data = sevenzip(tmp_path, members, "-ms=off")
    after = cured(data).data
    assert data[32 : 32 + 5000] in after


def test_method_that_is_not_unpacked_stays_and_goes_in_blocks_of_its_own(tmp_path: Path) -> None:
    members = list(in_order((1,)))
    alone = sevenzip(tmp_path, members, "-ms=off", "-m0=PPMd")
    assert opened(tmp_path, cured(alone).data) == dict(clean_of(members))
    (tmp_path / "a.7z").unlink()
    assert refused(sevenzip(tmp_path, members, "-ms=on", "-m0=PPMd")) is Why.METHOD


def test_encrypted_neighbours_stay_encrypted(tmp_path: Path) -> None:
    members = [("e.com", EICAR), ("f", b"f" * 100)]
    sevenzip(tmp_path, members)
    (tmp_path / "secret").write_bytes(b"secret" * 50)
    subprocess.run(["7z", "a", "-pword", "a.7z", "secret"], cwd=tmp_path, check=True, capture_output=True)
    outcome = cured((tmp_path / "a.7z").read_bytes())
    assert opened(tmp_path, outcome.data, "word") == {"f": b"f" * 100, "secret": b"secret" * 50}


def test_member_of_a_member_goes_and_its_container_stays(tmp_path: Path) -> None:
    inner = [("clean", noise(3000)), ("e.com", EICAR)]
    outcome = cured(sevenzip(tmp_path, [("a", b"a"), ("in.zip", zip_of(inner)), ("z", b"z")]))
    files = opened(tmp_path, outcome.data)
    assert unzipped(files.pop("in.zip")) == inner[:1]
    assert files == {"a": b"a", "z": b"z"}
    deep = cured(zip_of([("a.7z", (tmp_path / "a.7z").read_bytes()), ("b", b"b")]))
    assert deep.gone == [b"a.7z/in.zip/e.com"]


def test_refused_where_nothing_would_be_left_or_nothing_is_infected(tmp_path: Path) -> None:
    assert refused(sevenzip(tmp_path, [("d/e.com", EICAR)])) is Why.NOTHING_LEFT
    assert refused(with_libarchive({"e.com": NEAR_MISS}, "7zip")) is Why.NOT_FOUND


def resealed(data: bytes, at: int, value: int) -> bytes:
    """With one byte of the header changed, and all checksums right."""
    offset, size = struct.unpack_from("<QQ", data, 12)
    header = bytearray(data[32 + offset : 32 + offset + size])
    header[at % len(header)] = value
    start = struct.pack("<QQI", offset, size, zlib.crc32(header))
    return data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32 : 32 + offset] + bytes(header)


def test_every_broken_header_is_cured_or_refused(tmp_path: Path) -> None:
    data = sevenzip(tmp_path, [*in_order((1,)), ("d/empty", b"")], "-mhc=off")
    size = struct.unpack_from("<Q", data, 20)[0]
    for at in range(size):
        for value in (0, 0xFF, 0x7F, 1):
            with suppress(Refused):
                cured(resealed(data, at, value))
    for at in range(0, len(data), 7):
        with suppress(Refused):
            cured(data[:at])


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**21, 2**28 - 1, 2**35, 2**56 - 1, 2**56, 2**64 - 1])
def test_numbers(value: int) -> None:
    reader = Reader(number(value) + b"rest")
    assert (reader.number(), reader.bytes(4)) == (value, b"rest")


def test_bits() -> None:
    for count in range(20):
        values = [bool(index % 3) for index in range(count)]
        assert Reader(bits(values)).bits(count) == values


@pytest.mark.parametrize("seed", seeds(12, 40))
def test_cured_archives_open_in_the_reference_tool(seed: int, tmp_path: Path) -> None:
    members = contents(seed, 1 + seed % 3)
    assert opened(tmp_path, cured(sevenzip(tmp_path, members)).data) == dict(clean_of(members))
