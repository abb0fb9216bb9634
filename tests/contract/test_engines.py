"""kavfs.engine.contract: every engine besides native is held to one suite, as the serve loop would ask it."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs.engine.choose import module_of
from kavfs.engine.contract import EngineFailed, EngineMissing
from kavfs.limits import Limits
from kavfs.model import COMPLETE, Reason, Status
from kavfs.options import EnginePlaces
from tests.support.archives import make_zip
from tests.support.engines import NAMES, Bench, bench, installed, write_signatures
from tests.support.programs import EICAR

ENGINES = list(NAMES)
LARGER_THAN_ANY = (2 << 30) + (1 << 20)  # bytes; sparse


@pytest.fixture(scope="module", params=ENGINES)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if not installed(request.param):
        pytest.skip(f"what the engine {request.param} needs is not installed (make system-test)")
    with bench(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


@pytest.fixture
def eicar(tmp_path: Path) -> Path:
    path = tmp_path / "eicar"
    path.write_bytes(EICAR)
    return path


def test_what_it_finds_has_its_name_and_the_signatures(asked: Bench, eicar: Path) -> None:
    finding = asked(eicar)
    assert [(t.name, t.status, t.engine) for t in finding.threats] == [(NAMES[asked.name], Status.INFECTED, asked.name)]
    assert finding.reasons == COMPLETE
    assert finding.scanned is None or finding.scanned >= len(EICAR)


@pytest.mark.parametrize("content", [b"", b"x", b"nothing to find here\n" * 99, EICAR[:-1] + b"+", EICAR[1:]])
def test_what_is_clean_is_clean_and_complete(asked: Bench, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    finding = asked(tmp_path / "file")
    assert (finding.threats, finding.reasons) == ((), COMPLETE)


def test_objects_do_not_depend_on_each_other(asked: Bench, eicar: Path, tmp_path: Path) -> None:
    (tmp_path / "clean").write_bytes(b"clean")
    order = [eicar, tmp_path / "clean", eicar, eicar, tmp_path / "clean"]
    assert [bool(asked(path).threats) for path in order] == [True, False, True, True, False]


def test_the_descriptor_stays_open_and_any_offset_will_do(asked: Bench, eicar: Path) -> None:
    fd = os.open(eicar, os.O_RDONLY)
    try:
        assert asked.ask(fd).threats
        os.lseek(fd, 0, os.SEEK_SET)
        assert asked.ask(fd).threats
        assert stat.S_ISREG(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def test_no_descriptor_and_no_file_is_left_behind(asked: Bench, eicar: Path) -> None:
    asked(eicar)
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        asked(eicar)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not asked.engine.folder or os.listdir(asked.engine.folder) == []


def test_what_cannot_be_read_is_not_clean(asked: Bench, eicar: Path) -> None:
    fd = os.open(eicar, os.O_WRONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        asked.ask(fd)
    os.close(fd)


def test_without_time_nothing_is_clean(asked: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    finding = asked(tmp_path / "file", seconds=0.0)
    assert (finding.threats, finding.reasons) == ((), Reason.TIME)


def test_what_is_larger_than_it_can_take_is_partial(asked: Bench) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(LARGER_THAN_ANY)
        finding = asked.ask(file.fileno())
        assert (finding.threats, finding.reasons) == ((), Reason.SIZE)


def test_the_offer_can_be_sent_and_says_what_is_known(asked: Bench) -> None:
    offer = module_of(asked.name).offer(asked.places)
    assert json.loads(json.dumps(offer.setup)) == json.loads(json.dumps(offer.setup))
    assert offer.knowledge
    assert "\n" not in offer.knowledge
    assert offer.start_seconds > 0
    assert asked.engine.folder == b"" or offer.spill > 0


@pytest.mark.parametrize("name", ["clamav", "yara"])
def test_other_signatures_are_other_knowledge(name: str, tmp_path: Path) -> None:
    databases, rules = write_signatures(tmp_path)
    places = EnginePlaces(state=os.fsencode(tmp_path), clamav=os.fsencode(databases), yara=os.fsencode(rules))
    module = module_of(name)
    first, again = module.offer(places).knowledge, module.offer(places).knowledge
    assert first == again
    (databases / "more.hdb").write_text("0" * 32 + ":1:Other\n")
    (rules / "more.yar").write_text("rule other { condition: false }\n")
    assert module.offer(places).knowledge != first


def test_what_a_server_knows_nobody_can_tell_from_outside(tmp_path: Path) -> None:
    if not installed("clamd"):
        pytest.skip("clamd is not installed (make system-test)")
    with bench("clamd", tmp_path) as one:
        assert not module_of("clamd").offer(one.places).lasting


@pytest.mark.parametrize(
    ("name", "places", "why"),
    [
        ("clamav", EnginePlaces(clamav=b"/nowhere"), "/nowhere: No such file or directory"),
        ("clamd", EnginePlaces(clamd="/nowhere/socket"), "/nowhere/socket: no connection: No such file"),
        ("clamd", EnginePlaces(clamd="127.0.0.1:1"), "127.0.0.1:1: no connection: Connection refused"),
        ("clamd", EnginePlaces(clamd="127.0.0.1"), "neither the path of a socket nor HOST:PORT"),
        ("clamd", EnginePlaces(clamd="127.0.0.1:99999"), "neither the path of a socket nor HOST:PORT"),
        ("yara", EnginePlaces(), "no files of rules"),
        ("yara", EnginePlaces(yara=b"/nowhere"), "no files of rules .* in /nowhere"),
    ],
)
def test_an_engine_that_is_not_there_says_why(name: str, places: EnginePlaces, why: str) -> None:
    with pytest.raises(EngineMissing, match=why):
        module_of(name).offer(places)


@pytest.mark.parametrize(
    ("name", "places"),
    [("clamav", EnginePlaces(clamav=b"/closed")), ("yara", EnginePlaces((b"/closed",))), ("yara", EnginePlaces())],
)
def test_a_folder_that_cannot_be_read_is_named(
    name: str, places: EnginePlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: bytes) -> list[bytes]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", closed)  # for root may read everything
    with pytest.raises(EngineMissing, match=r"^/[\w/]+: Permission denied$"):
        module_of(name).offer(places)


def test_a_hostile_object_costs_no_more_than_itself(asked: Bench, eicar: Path, tmp_path: Path) -> None:
    for number, content in enumerate((b"MZ" + b"\xff" * 5000, b"PK\3\4" + b"\xff" * 500, b"%PDF-" + b"<<" * 9999)):
        (tmp_path / f"{number}").write_bytes(content)
        try:
            assert asked(tmp_path / f"{number}").threats == ()
        except EngineFailed:
            continue
    assert asked(eicar).threats


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_unpacked=1 << 20), Reason.BYTES),
        (Limits(spill=4 << 20), Reason.BYTES),
        (Limits(max_depth=1), Reason.DEPTH),
        (Limits(max_members=2), Reason.MEMBERS),
    ],
)
def test_what_the_limits_of_the_scan_leave_out_is_told(tmp_path: Path, limits: Limits, reason: Reason) -> None:
    inner = make_zip({"inside": make_zip({"deep": EICAR[1:]}), "other": b"no", "more": b"none"})
    (tmp_path / "bomb.zip").write_bytes(make_zip({"large": bytes(3 << 20), "inner": inner}))
    with bench("clamav", tmp_path, limits=limits) as one:
        assert one(tmp_path / "bomb.zip").reasons == reason


def test_what_is_encrypted_is_a_reason_and_no_name(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(EICAR)
    words = ["7z", "a", "-tzip", "-psecret", str(tmp_path / "secret.zip"), str(tmp_path / "secret")]
    subprocess.run(words, check=True, capture_output=True)
    with bench("clamav", tmp_path) as one:
        finding = one(tmp_path / "secret.zip")
        assert (finding.threats, finding.reasons) == ((), Reason.ENCRYPTED)


def test_every_match_is_named_once(tmp_path: Path) -> None:
    members = {"a": EICAR, "b": EICAR, "c": b"here is a body of a test, found"}
    (tmp_path / "several.zip").write_bytes(make_zip(members))
    with bench("clamav", tmp_path) as one:
        assert [threat.name for threat in one(tmp_path / "several.zip").threats] == [
            "Test.Eicar.UNOFFICIAL",
            "Test.Body.UNOFFICIAL",
        ]
