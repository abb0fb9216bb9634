"""Curing in a process of its own, and verifying: what comes of hostile files, kills and limits."""

from __future__ import annotations

import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from threading import Thread

import psutil
import pytest

from kavfs.action.cure.refused import WHY_TEXTS, Why
from kavfs.limits import Limits
from kavfs.model import Result, Status
from kavfs.options import ScanOptions, WalkOptions
from kavfs.ports import Cured
from kavfs.record import replace
from kavfs.scan import curing
from kavfs.scan.curing import Curing
from kavfs.scan.verifier import Verifier
from tests.support.archives import with_libarchive
from tests.support.curing import in_order, tar_of, unzipped, zip_of
from tests.support.objects import EICAR, image

OPTIONS = ScanOptions(WalkOptions(()))


@contextmanager
def crew(options: ScanOptions = OPTIONS) -> Iterator[tuple[Curing, Verifier]]:
    with Verifier(image(), options) as rescan, Curing(options, rescan) as cure:
        yield cure, rescan


def cured(cure: Curing, rescan: Verifier, data: bytes) -> tuple[Cured, bytes, Result]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
        source.write(data)
        source.flush()
        result = rescan(source.fileno(), b"name")
        done = cure(source.fileno(), out.fileno(), result)
        source.seek(0)
        assert source.read() == data  # whatever happens
        out.seek(0)
        written = out.read()
        assert bool(written) == (not done.why)
        return done, written, rescan(out.fileno(), b"out")


def samples() -> dict[str, bytes]:
    """One of each kind that is cured."""
    members = list(in_order((1,)))
    mail = EmailMessage()
    mail["From"] = "a@example.com"
    mail.set_content("words\n")
    for name, content in (*members, ("発票.zip", zip_of(members))):
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    made = {form: with_libarchive(dict(members), "gnutar", (form,)) for form in ("gzip", "bzip2", "xz", "zstd", "lz4")}
    made |= {f"zip {method}": zip_of(members, method) for method in (0, 8, 12)}
    made |= {"tar": tar_of(members), "7z": with_libarchive(dict(members), "7zip"), "mail": mail.as_bytes()}
    box = b"From a@example.com Mon Jan  1 12:34:56 2024\n" + mail.as_bytes() + b"\n"
    return made | {"mbox": box * 2, "koi8": mail.as_bytes().replace(b"m1", b"=?koi8-r?B?09ckzw==?=")}


def test_every_kind_is_cured_in_the_sandbox_and_clean_by_a_new_scan() -> None:
    """Nothing is missing there: no module, no table of characters, no system call."""
    with crew() as (cure, rescan):
        for name, data in samples().items():
            done, written, again = cured(cure, rescan, data)
            assert (name, done.why, again.status) == (name, "", Status.CLEAN)
            assert EICAR not in written


def test_nothing_is_written_where_nothing_can_be_cured() -> None:
    with crew() as (cure, rescan):
        for data, why in (
            (EICAR, Why.ITSELF),
            (b"clean", Why.ITSELF),
            (zip_of([("a", b"clean")]), Why.ITSELF),
            (zip_of([("e.com", EICAR)]), Why.NOTHING_LEFT),
            (zip_of([("e.com", EICAR), ("META-INF/A.RSA", b"")]), Why.SIGNED),
        ):
            done, written, _ = cured(cure, rescan, data)
            assert (done.why, done.changed, written) == (WHY_TEXTS[why], (), b"")


def test_result_is_verified_and_not_believed() -> None:
    """A result that names other members than those that are infected makes no clean file."""
    data = zip_of([("a", b"a"), ("b", b"b"), ("e.com", EICAR)])
    with crew() as (cure, rescan), tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
        source.write(data)
        source.flush()
        result = rescan(source.fileno(), b"name")
        threats = tuple(threat._replace(member=b"b") for threat in result.threats)
        lines = tuple(line._replace(path=b"b", size=1) for line in result.members)
        assert cure(source.fileno(), out.fileno(), result._replace(threats=threats, members=lines)).changed == (b"b",)
        assert rescan(out.fileno(), b"out").status is Status.INFECTED


def test_container_that_is_infected_itself_goes_whole() -> None:
    """A tar that holds infected bytes as they are matches itself too; it stays if it is clean without the member."""
    inner = tar_of([("e.com", EICAR), ("a", b"a" * 700)])
    other = tar_of([("e.com", EICAR), ("name", b"plain text around " + EICAR + b" in a member")])
    with crew() as (cure, rescan):
        done, written, again = cured(cure, rescan, zip_of([("in.tar", inner), ("b", b"b")]))
        assert (done.changed, again.status) == ((b"in.tar/e.com",), Status.CLEAN)
        assert [name for name, _ in unzipped(written)] == ["in.tar", "b"]
        done, written, again = cured(cure, rescan, zip_of([("in.tar", other), ("b", b"b")]))
        assert again.status is Status.CLEAN
        assert ("b", b"b") in unzipped(written)


def large(megabytes: int) -> bytes:
    """What takes a while to be packed again."""
    return tar_of([("e.com", EICAR), ("noise", random.Random(1).randbytes(megabytes << 20))], "w:xz")


def curing_process() -> psutil.Process | None:
    """The process that cures for us, once it works."""
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name() == "kavfs-cure":
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def kill_when_there() -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if (process := curing_process()) is not None:
            process.send_signal(signal.SIGKILL)
            return


@pytest.mark.filterwarnings("ignore")
def test_killed_process_leaves_nothing_and_the_next_one_works() -> None:
    with crew() as (cure, rescan):
        thread = Thread(target=kill_when_there)
        cured(cure, rescan, zip_of(in_order((1,))))  # processes are made before there is a thread
        thread.start()
        done, written, _ = cured(cure, rescan, large(3))
        thread.join()
        assert done.why == f"the curing process died of signal {int(signal.SIGKILL)}"
        assert written == b""
        assert cured(cure, rescan, zip_of(in_order((1,))))[0].why == ""


def test_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curing, "time_limit", lambda limits, size: 0.05)
    with crew() as (cure, rescan):
        done, written, _ = cured(cure, rescan, large(3))
    assert (done.why, written) == ("time limit of curing", b"")


def test_memory_limit() -> None:
    """Packing as xz takes about 100 MB."""
    options = replace(OPTIONS, limits=Limits(memory=48 << 20))
    data = large(1)
    with Verifier(image(), OPTIONS) as rescan, Curing(options) as cure:
        done, written, _ = cured(cure, rescan, data)
    assert (done.why, written) == (WHY_TEXTS[Why.MEMORY], b"")


def test_limit_of_file_size() -> None:
    data = tar_of([("e.com", EICAR), ("zeros", bytes(40 << 20))], "w:gz")
    options = replace(OPTIONS, limits=Limits(spill=8 << 20))
    with Verifier(image(), OPTIONS) as rescan, Curing(options) as cure:
        done, written, _ = cured(cure, rescan, data)
    assert (done.why, written) == (WHY_TEXTS[Why.SPACE], b"")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 8 << 20


def test_answers_of_a_process_that_was_taken_over() -> None:
    """Numbers that name nothing, reasons that are none, half an answer: all are a failure."""
    good = curing.ANSWER.pack(0, 1) + curing.NUMBER.pack(0)
    bad = (
        b"",
        b"\0",
        curing.ANSWER.pack(0, 1),
        curing.ANSWER.pack(0, 2) + curing.NUMBER.pack(0),
        curing.ANSWER.pack(0, 1) + curing.NUMBER.pack(9),
        curing.ANSWER.pack(9999, 0),
    )
    for answer, expected in [(good, ""), *((one, WHY_TEXTS[Why.DEFECT]) for one in bad)]:
        read, write = os.pipe()
        os.write(write, answer)
        os.close(write)
        changed, why = curing._read(read, [b"a/b"])
        os.close(read)
        assert (why, changed) == (expected, () if expected else (b"a/b",))


def test_processes_are_made_when_first_needed_and_end_with_their_owner() -> None:
    before = len(psutil.Process().children(recursive=True))
    with crew() as (cure, rescan):
        assert len(psutil.Process().children(recursive=True)) == before
        cured(cure, rescan, zip_of(in_order((1,))))
        assert len(psutil.Process().children(recursive=True)) > before
    assert len(psutil.Process().children(recursive=True)) == before
