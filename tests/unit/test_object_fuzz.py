"""Damaged archives: bytes flipped, cut and doubled from a seed. Nothing may crash, hang or break its own rules."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import time
from collections.abc import Callable, Iterator

import pytest

from kavfs.limits import MIB, Limits
from kavfs.model import Status, gravest, status_of_reasons
from tests.support import archives
from tests.support.archives import with_libarchive
from tests.support.objects import EICAR, NEAR_MISS, scan, scanner, spill_file

LIMITS = Limits(
    max_member_size=8 * MIB, max_unpacked=32 * MIB, max_members=500, max_depth=6, time_base=5.0, spill=16 * MIB
)
SECONDS = 15.0  # of one case: the time budget and what a machine under load may add

TEXT = b"".join(b"line %d of a text that packs well\n" % n for n in range(400))
FILES = {"text.txt": TEXT, "dir/near.com": NEAR_MISS, "eicar.com": EICAR}


def _raw(packing: str) -> bytes:
    return with_libarchive({"x": TEXT + EICAR}, "raw", (packing,))


def samples() -> dict[str, bytes]:
    tar = archives.make_tar(FILES)
    layouts = ("7zip", "newc", "odc", "bin", "arbsd", "argnu", "iso9660", "xar", "warc", "pax", "gnutar", "zip")
    return {
        **{layout: with_libarchive(FILES, layout) for layout in layouts},
        **{packing: _raw(packing) for packing in ("zstd", "lz4", "lzip", "compress", "uuencode")},
        "zip by python": archives.make_zip(FILES),
        "zip in zip": archives.make_zip({"in.zip": archives.make_zip(FILES), "in.tar": tar}),
        "cab": archives.make_cab(FILES),
        "lha": archives.make_lha(FILES),
        "rar 4": archives.make_rar4(FILES),
        "rar 5": archives.make_rar5(FILES),
        "rpm": archives.make_rpm(FILES),
        "tar.gz": gzip.compress(tar),
        "tar.bz2": bz2.compress(tar),
        "tar.xz": lzma.compress(tar),
        "tar.lzma": lzma.compress(tar, lzma.FORMAT_ALONE),
    }


SAMPLES = samples()


def flip(data: bytearray, dice: random.Random) -> bytearray:
    for _ in range(dice.choice((1, 1, 2, 5, 30))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data


def overwrite(data: bytearray, dice: random.Random) -> bytearray:
    """Numbers that parsers stumble over, mostly near the front or the end, where headers are."""
    value = dice.choice((b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\1\0\0\0"))
    reach = min(len(data), dice.choice((64, 512, len(data))))
    at = dice.randrange(reach)
    if dice.random() < 0.5:
        at = len(data) - 1 - at
    data[at : at + len(value)] = value
    return data


def cut(data: bytearray, dice: random.Random) -> bytearray:
    return data[: dice.randrange(len(data))]


def drop(data: bytearray, dice: random.Random) -> bytearray:
    at = dice.randrange(len(data))
    del data[at : at + dice.randrange(1, 200)]
    return data


def double(data: bytearray, dice: random.Random) -> bytearray:
    at, length = dice.randrange(len(data)), dice.randrange(1, 2000)
    return data[: at + length] + data[at:]


DAMAGES: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip,
    flip,
    overwrite,
    overwrite,
    cut,
    drop,
    double,
)


def damaged(name: str, seed: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        dice = random.Random(f"{seed} {name} {number}")
        data = bytearray(SAMPLES[name])
        for _ in range(dice.choice((1, 1, 1, 3))):
            if data:
                data = dice.choice(DAMAGES)(data, dice)
        yield bytes(data)


def check(name: str, seed: int, count: int) -> None:
    with spill_file() as spill:
        using = scanner(LIMITS, spill_fd=spill)
        for number, data in enumerate(damaged(name, seed, count)):
            case = f"{name}, seed {seed}, number {number}"
            begun = time.monotonic()
            verdict = scan(data, using)
            assert time.monotonic() - begun < SECONDS, case
            assert verdict.members <= LIMITS.max_members, case
            assert verdict.scanned <= len(data) + LIMITS.max_unpacked, case
            partial = status_of_reasons(verdict.reasons)
            assert gravest([verdict.status, partial]) is verdict.status, case
            assert bool(verdict.threats) == (verdict.status is Status.INFECTED), case
            for status, reasons in verdict.lines.values():
                assert gravest([status, status_of_reasons(reasons)]) is status, case
                assert verdict.reasons & reasons == reasons, case


@pytest.mark.parametrize("name", SAMPLES)
def test_an_undamaged_sample_is_infected_and_complete(name: str) -> None:
    verdict = scan(SAMPLES[name])
    assert verdict.status is Status.INFECTED
    assert not verdict.reasons


@pytest.mark.parametrize("name", SAMPLES)
def test_damage_never_breaks_the_rules(name: str) -> None:
    check(name, seed=1, count=30)


@pytest.mark.long
@pytest.mark.parametrize("name", SAMPLES)
def test_much_damage_never_breaks_the_rules(name: str) -> None:
    check(name, seed=2, count=3000)
