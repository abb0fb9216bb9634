"""Limits of one object: each ends the work in bounded time, says why, and never makes an object clean."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from kavfs.limits import GIB, MIB, Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from tests.support.archives import make_tar, make_zip, with_tool
from tests.support.objects import (
    EICAR,
    F_CONTAINER,
    F_UNOPENED,
    NEAR_MISS,
    image_of,
    scan,
    scan_fd,
    scanner,
    spill_file,
)


def nested(levels: int, innermost: bytes) -> bytes:
    data = innermost
    for _ in range(levels):
        data = make_zip({"z": data})
    return data


def test_depth_is_counted_in_containers() -> None:
    three = scanner(Limits(max_depth=3))
    assert scan(nested(3, EICAR), three).infected == [b"z/z/z"]
    assert scan(nested(3, NEAR_MISS), three).clean
    verdict = scan(nested(4, EICAR), three)
    assert (verdict.status, verdict.reasons, verdict.threats) == (Status.ERROR, Reason.DEPTH, [])
    assert verdict.lines[b"z/z/z"] == (Status.ERROR, Reason.DEPTH)


def test_a_container_that_is_too_deep_is_still_matched_itself() -> None:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("eicar", EICAR)
    verdict = scan(make_zip({"in.zip": stored.getvalue()}), scanner(Limits(max_depth=1)))
    assert verdict.infected == [b"in.zip"]
    assert verdict.reasons == Reason.DEPTH


def test_members_are_counted_over_all_depths() -> None:
    inner = make_zip({f"i{n}": b"x" for n in range(5)})
    data = make_zip({"a": inner, "b": inner})
    assert scan(data, scanner(Limits(max_members=12))).clean
    verdict = scan(data, scanner(Limits(max_members=11)))
    assert (verdict.status, verdict.reasons, verdict.members) == (Status.ERROR, Reason.MEMBERS, 11)


def test_a_member_over_its_limit_is_scanned_up_to_it_and_the_next_wholly() -> None:
    small = scanner(Limits(max_member_size=1000))
    verdict = scan(make_zip({"big": EICAR + bytes(2000), "next": EICAR}), small)
    assert verdict.infected == [b"big", b"next"]
    assert verdict.reasons == Reason.SIZE
    verdict = scan(make_zip({"big": bytes(2000) + EICAR, "fits": bytes(1000)}), small)
    assert (verdict.status, verdict.reasons, verdict.threats) == (Status.ERROR, Reason.SIZE, [])
    assert verdict.lines == {b"big": (Status.ERROR, Reason.SIZE)}


def test_unpacked_bytes_are_counted_over_all_members() -> None:
    data = make_zip({"a": bytes(600), "b": bytes(600), "c": EICAR})
    assert scan(data, scanner(Limits(max_unpacked=1200 + len(EICAR)))).infected == [b"c"]
    verdict = scan(data, scanner(Limits(max_unpacked=1000)))
    assert (verdict.status, verdict.reasons, verdict.members) == (Status.ERROR, Reason.BYTES, 2)


def test_a_file_over_its_limit_is_scanned_up_to_it() -> None:
    verdict = scan(EICAR + bytes(5000), scanner(Limits(max_file_size=1000)))
    assert verdict.status is Status.INFECTED
    assert verdict.reasons == Reason.SIZE
    verdict = scan(bytes(5000) + EICAR, scanner(Limits(max_file_size=1000)))
    assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.SIZE)
    assert scan(bytes(1000), scanner(Limits(max_file_size=1000))).clean


def test_a_container_over_the_limit_of_files_stays_closed() -> None:
    data = make_zip({"a": EICAR, "b": os.urandom(2000)})
    verdict = scan(data, scanner(Limits(max_file_size=1000)))
    assert (verdict.status, verdict.reasons, verdict.members) == (Status.ERROR, Reason.SIZE, 0)


def zeros_gz(size: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as packed:
        for _ in range(size // MIB):
            packed.write(bytes(MIB))
    return out.getvalue()


def test_a_bomb_ends_at_the_limit_of_bytes() -> None:
    with spill_file() as spill:
        verdict = scan(zeros_gz(200 * MIB), scanner(Limits(max_unpacked=64 * MIB), spill_fd=spill))
        assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.BYTES)
        assert verdict.scanned <= 64 * MIB + verdict.size
        assert os.fstat(spill).st_size == 0  # nothing is left behind


def test_a_bomb_of_many_streams_ends_at_the_limit_of_bytes() -> None:
    layer = make_zip({str(n): bytes(10 * MIB) for n in range(8)})
    bomb = make_zip({str(n): layer for n in range(16)})
    with spill_file() as spill:
        verdict = scan(bomb, scanner(Limits(max_unpacked=100 * MIB), spill_fd=spill))
        assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.BYTES)
        assert os.fstat(spill).st_size == 0


def test_members_that_overlap_are_counted_again_each_time() -> None:
    """A few kilobytes whose directory names one stretch of data thousands of times."""
    one = make_zip({"a": bytes(MIB)})
    start = one.index(b"PK\1\2")
    entry, end = one[start : one.index(b"PK\5\6")], one[one.index(b"PK\5\6") :]
    count = 1000
    total = count.to_bytes(2, "little")
    end = end[:8] + total + total + (len(entry) * count).to_bytes(4, "little") + end[16:]
    verdict = scan(one[:start] + entry * count + end, scanner(Limits(max_unpacked=50 * MIB)))
    assert (verdict.status, verdict.reasons, verdict.members) == (
        Status.SUSPICIOUS,
        Reason.BYTES | Reason.DAMAGED,
        51,
    )


def test_a_million_empty_members_end_at_the_limit_of_members() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(30_000):
            archive.writestr(str(number), b"")
    verdict = scan(out.getvalue(), scanner(Limits(max_members=20_000)))
    assert (verdict.status, verdict.reasons, verdict.members) == (Status.ERROR, Reason.MEMBERS, 20_000)


def test_an_archive_that_contains_itself_ends() -> None:
    """A gzip in a gzip in a gzip: as deep as anybody likes."""
    data = EICAR
    for _ in range(60):
        data = gzip.compress(data)
    verdict = scan(data)
    assert verdict.status is Status.ERROR
    assert verdict.reasons == Reason.DEPTH
    assert verdict.members == Limits().max_depth


def test_time_runs_out_while_unpacking() -> None:
    data = bz2.compress(os.urandom(4 * MIB))  # half a second of work and more
    begun = time.monotonic()
    verdict = scan(data, scanner(Limits(time_base=0.02, time_rate=1 * GIB)))
    assert Reason.TIME in verdict.reasons
    assert verdict.status is Status.ERROR
    assert time.monotonic() - begun < 10


def test_time_grows_with_the_size_on_disk() -> None:
    """No base at all, but a rate that a small file meets with ease."""
    assert scan(make_tar({"a": bytes(MIB)}), scanner(Limits(time_base=0.0, time_rate=MIB // 8))).clean


def test_without_a_spill_file_members_over_the_arena_say_so() -> None:
    verdict = scan(zeros_gz(40 * MIB))
    assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.MEMORY)
    with spill_file() as spill:
        assert scan(zeros_gz(40 * MIB), scanner(spill_fd=spill)).clean


def test_large_members_in_large_members_share_the_spill_file() -> None:
    with spill_file() as spill:
        noise = os.urandom(MIB) * 34
        inner = make_tar({"first": noise, "eicar": EICAR, "last": noise})
        data = make_tar({"in.tar": inner, "after": noise + EICAR})
        verdict = scan(data, scanner(spill_fd=spill))
        assert {b"in.tar/eicar", b"after"} <= set(verdict.infected)
        assert not verdict.reasons
        assert verdict.scanned >= 6 * len(noise)


@pytest.mark.parametrize("name", ["holes", "noise"])
def test_holes_are_zeros_where_another_member_lay_in_the_spill_file(tmp_path: Path, name: str) -> None:
    """Seen by its digest; what there was before is not."""
    size = 20 * MIB
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(size)
    (tmp_path / "noise").write_bytes(os.urandom(MIB) * 20)
    packed = tmp_path / "packed.tar"
    subprocess.run(["tar", "-C", tmp_path, "-Scf", packed, "noise", "holes"], check=True)
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    of = image_of(tmp_path, {"a.hsb": f"{digest}:{size}:Whole:73\n"})
    with spill_file() as spill:
        verdict = scan(packed.read_bytes(), scanner(spill_fd=spill, of=of))
        assert verdict.infected == [name.encode()]
        assert os.fstat(spill).st_size == 0


def test_a_full_spill_file_says_so_and_the_rest_goes_on() -> None:
    with spill_file() as spill:
        small = scanner(Limits(spill=36 * MIB), spill_fd=spill)
        verdict = scan(make_zip({"large": bytes(50 * MIB), "small": EICAR}), small)
        assert verdict.reasons == Reason.MEMORY
        assert verdict.infected == [b"small"]
        assert scan(make_zip({"large": bytes(35 * MIB)}), small).clean  # and the next object has it all again


def test_a_spill_file_that_cannot_grow_says_so() -> None:
    code = (
        "import resource, sys; from tests.support.objects import *; from kavfs.limits import MIB\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (36 * MIB, 36 * MIB))\n"
        "f = open(sys.argv[1], 'rb')\n"
        "with spill_file() as spill: print(int(scan_fd(f.fileno(), scanner(spill_fd=spill)).reasons))"
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(zeros_gz(50 * MIB))
        file.flush()
        done = subprocess.run([sys.executable, "-c", code, file.name], capture_output=True, text=True, check=True)
    assert Reason(int(done.stdout)) == Reason.MEMORY


def test_old_bytes_of_the_spill_file_never_show_in_holes() -> None:
    with spill_file() as spill:
        using = scanner(spill_fd=spill)
        assert scan(make_zip({"first": EICAR * (40 * MIB // len(EICAR))}), using).infected == [b"first"]
        make = "printf x > hole && truncate -s 40M hole && printf y >> hole && tar -Scf OUT hole"
        verdict = scan(with_tool({}, "sh", "-c", make), using)
        assert verdict.clean
        assert verdict.scanned >= 40 * MIB


def test_a_dictionary_larger_than_memory_ends_in_an_error_not_a_crash() -> None:
    code = (
        "import resource, sys; from tests.support.objects import *\n"
        "scan(b'warm up')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), -1))\n"
        "f = open(sys.argv[1], 'rb'); v = scan_fd(f.fileno()); print(int(v.status), int(v.reasons))"
    )
    packed = bytearray(lzma.compress(NEAR_MISS))
    size = (packed[12] + 1) * 4  # of the block header, which ends in its checksum
    assert packed[14:16] == b"\x21\x01"  # LZMA2, one byte of properties
    packed[16] = 39  # a dictionary of 3 GiB
    packed[12 + size - 4 : 12 + size] = zlib.crc32(packed[12 : 12 + size - 4]).to_bytes(4, "little")
    with tempfile.NamedTemporaryFile() as file:
        file.write(packed)
        file.flush()
        done = subprocess.run([sys.executable, "-c", code, file.name], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(int(Status.ERROR)), str(int(Reason.MEMORY))]


SWITCHED_OFF = {
    Switch.ARCHIVES: make_zip({"eicar": EICAR}),
    Switch.SFX: b"\x7fELF program" + bytes(100) + make_zip({"eicar": EICAR}),
}


@pytest.mark.parametrize("switch", SWITCHED_OFF)
def test_a_container_that_is_switched_off_stays_closed_and_is_not_partial(switch: Switch) -> None:
    data = SWITCHED_OFF[switch]
    verdict = scan(data)
    assert verdict.infected == [b"eicar"]
    assert verdict.flags & F_CONTAINER
    closed = scan(data, scanner(switches=EVERYTHING & ~switch))
    assert closed.clean
    assert closed.flags & F_UNOPENED
    assert not closed.flags & F_CONTAINER


def test_the_soft_limits_of_this_process_are_untouched() -> None:
    """A scan in the caller's own process changes no limit of it."""
    before = resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_FSIZE)
    with tempfile.TemporaryFile() as file:
        scan_fd(file.fileno())
    assert (resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_FSIZE)) == before


def test_time_runs_out_while_a_solid_archive_is_passed_over() -> None:
    """What lies behind an over-long member can only be reached by unpacking it: the clock runs meanwhile."""
    data = with_tool({"a": bytes(200 * MIB), "z": NEAR_MISS}, "7z", "a", "-mx1", "-ms=on", "OUT.7z", "FILES")
    limits = Limits(max_member_size=MIB, time_base=0.02, time_rate=1 * GIB)
    verdict = scan(data, scanner(limits))
    assert verdict.reasons == Reason.SIZE | Reason.TIME
    assert verdict.status is Status.ERROR
