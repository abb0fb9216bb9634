"""Several engines in one scan: who is asked what, how verdicts become one, and what an engine that fails leaves."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Result, Status, Switch
from kavfs.options import EVERYTHING, NATIVE, EngineUse, When
from kavfs.report.summary import Signatures, summary_lines
from kavfs.scan import roles
from kavfs.scan.crew import FAILED_STARTS
from kavfs.scan.forkserver import ForkServer, Role
from kavfs.scan.job import Job
from kavfs.signatures.image import open_image
from kavfs.signatures.sources import STARTER
from tests.support.fakes import NoImage, Notebook, fake_server, fake_use, options, run_fake_engine
from tests.support.kavscanner import run


def scan(path: Path, *uses: EngineUse, wants_clean: bool = True, **how: object) -> Notebook:
    """With the fake native worker, which finds EVIL, and fake engines, which find what they are told."""
    book = Notebook(wants_clean)
    asked = options(path, engines=uses, **how)  # type: ignore[arg-type]
    Job(NoImage(), asked, book, server=fake_server()).run()
    return book


def names(result: Result) -> list[tuple[str, str]]:
    return [(threat.engine, threat.name) for threat in result.threats]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "plain": "nothing",
        "both": "EVIL WORSE",
        "native": "EVIL",
        "other": "WORSE",
        "part": "E-PART",
        "fail": "E-FAIL",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_each_object_is_shown_to_every_engine_and_each_says_what_it_found(tree: Path) -> None:
    book = scan(tree, NATIVE, fake_use("clamav", finds="WORSE"), fake_use("yara", finds="WORSE"))
    assert names(book.of(tree / "native")) == [("native", "Test.Evil")]
    assert names(book.of(tree / "other")) == [("clamav", "Fake.Evil")]
    assert book.of(tree / "other").engine == "clamav"
    assert book.of(tree / "other").threats[0].member == b"inside"
    assert book.of(tree / "plain").status is Status.CLEAN
    assert book.of(tree / "plain").engine == "native"
    assert book.totals is not None
    assert book.totals.found_by == {"native": 2, "clamav": 1}


def test_what_is_infected_is_not_shown_to_others_unless_all_matches_are_wanted(tree: Path) -> None:
    uses = NATIVE, fake_use("clamav", finds="WORSE")
    assert names(scan(tree, *uses).of(tree / "both")) == [("native", "Test.Evil")]
    all_of_them = scan(tree, *uses, switches=EVERYTHING | Switch.ALL_MATCH).of(tree / "both")
    assert names(all_of_them) == [("native", "Test.Evil"), ("clamav", "Fake.Evil")]


def test_without_native_the_others_are_asked_alone(tree: Path) -> None:
    book = scan(tree, fake_use("clamd", finds="WORSE"), switches=EVERYTHING | Switch.DIGEST)
    assert names(book.of(tree / "both")) == [("clamd", "Fake.Evil")]
    plain = book.of(tree / "plain")
    assert (plain.status, plain.engine) == (Status.CLEAN, "clamd")
    assert plain.sha256 is not None


def test_who_sees_only_what_native_leaves_is_not_shown_the_rest(tree: Path) -> None:
    book = scan(tree, NATIVE, fake_use("clamav", When.ELSEWHERE, finds="WORSE"))
    assert book.of(tree / "other").status is Status.CLEAN
    (tree / "packed").write_text("ELSEWHERE WORSE")
    book = scan(tree, NATIVE, fake_use("clamav", When.ELSEWHERE, finds="WORSE"))
    assert names(book.of(tree / "packed")) == [("clamav", "Fake.Evil")]


def test_an_engine_that_gives_no_answer_makes_neither_clean_nor_a_name(tree: Path) -> None:
    book = scan(tree, NATIVE, fake_use("clamd"))
    failed = book.of(tree / "fail")
    assert (failed.status, failed.reasons, failed.threats) == (Status.ERROR, Reason.ENGINE, ())
    assert failed.error == "engine failed: clamd"
    part = book.of(tree / "part")
    assert (part.status, part.reasons) == (Status.ERROR, Reason.SIZE)
    assert part.error == "too large: clamd"


def test_what_native_found_stays_when_another_engine_fails(tree: Path) -> None:
    (tree / "mixed").write_text("EVIL E-FAIL")
    mixed = scan(tree, NATIVE, fake_use("clamd"), switches=EVERYTHING | Switch.ALL_MATCH).of(tree / "mixed")
    assert (mixed.status, mixed.reasons) == (Status.INFECTED, Reason.ENGINE)
    assert names(mixed)[0] == ("native", "Test.Evil")


def test_an_engine_that_dies_twice_on_an_object_is_named_and_the_next_one_is_asked(tree: Path) -> None:
    (tree / "kills").write_text("E-ABORT")
    book = scan(tree, NATIVE, fake_use("clamav"), fake_use("yara", finds="E-ABORT"))
    kills = book.of(tree / "kills")
    # both fakes abort on it; native has said clean
    assert (kills.status, kills.reasons) == (Status.ERROR, Reason.WORKER)
    assert kills.error is not None
    assert "clamav: killed by signal 6 (SIGABRT); yara: killed by signal 6 (SIGABRT)" in kills.error
    assert book.of(tree / "plain").status is Status.CLEAN
    assert any("a clamav process was lost and is replaced" in note for note in book.notes)


def test_an_engine_that_hangs_is_killed_by_its_budget(tmp_path: Path) -> None:
    (tmp_path / "hangs").write_text("E-HANG")
    (tmp_path / "plain").write_text("nothing")
    book = scan(tmp_path, NATIVE, fake_use("clamav"), limits=Limits(time_base=0.3, time_rate=1 << 30))
    hangs = book.of(tmp_path / "hangs")
    assert (hangs.status, hangs.reasons) == (Status.ERROR, Reason.WORKER)
    assert hangs.error == "scanning process died: clamav: time limit"
    assert book.of(tmp_path / "plain").status is Status.CLEAN


def test_an_engine_that_cannot_be_started_is_given_up_and_nothing_is_clean_without_it(tree: Path) -> None:
    book = scan(tree, NATIVE, fake_use("clamav", broken=True), fake_use("yara", finds="WORSE"))
    plain = book.of(tree / "plain")
    assert (plain.status, plain.reasons) == (Status.ERROR, Reason.ENGINE)
    assert plain.error == "engine failed: clamav: there is no such server"
    assert names(book.of(tree / "native")) == [("native", "Test.Evil")]
    assert names(book.of(tree / "other")) == [("yara", "Fake.Evil")]
    *lost, given_up = book.notes
    assert given_up == "the scan goes on without clamav, which cannot be started: there is no such server"
    assert lost == ["a clamav process was lost and is replaced: there is no such server"] * (FAILED_STARTS - 1)


def test_an_engine_whose_databases_are_damaged_is_not_tried_again(tree: Path) -> None:
    book = scan(tree, NATIVE, fake_use("clamav", damaged=True))
    assert book.of(tree / "plain").error == "engine failed: clamav: /databases: makes no sense"
    assert book.notes == ["the scan goes on without clamav, which cannot be started: /databases: makes no sense"]


def test_an_engine_has_no_more_memory_than_its_own_bound(tmp_path: Path) -> None:
    (tmp_path / "eats").write_text("E-EAT")
    (tmp_path / "plain").write_text("nothing")
    book = scan(tmp_path, NATIVE, fake_use("yara"))
    assert book.of(tmp_path / "eats").reasons == Reason.MEMORY
    assert book.of(tmp_path / "plain").status is Status.CLEAN
    assert book.notes == []


def test_more_notes_than_fit_into_one_message_all_arrive(tmp_path: Path) -> None:
    (tmp_path / "many").write_text("E-MANY")
    assert len(scan(tmp_path, NATIVE, fake_use("yara")).of(tmp_path / "many").threats) == 4000


def test_many_objects_behind_a_slow_start(tmp_path: Path) -> None:
    for number in range(700):
        (tmp_path / f"{number}").write_text("WORSE" if number % 100 == 0 else "nothing")
    book = scan(tmp_path, NATIVE, fake_use("clamav", finds="WORSE"), fake_use("clamd"))
    assert len(book.results) == 700
    assert sum(result.status is Status.INFECTED for result in book.results) == 7


def test_what_the_real_native_engine_cannot_unpack_is_shown_to_those_who_see_what_it_leaves(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name, method in (("strange.zip", 97), ("usual.zip", 0)):
        with zipfile.ZipFile(tmp_path / "tree" / name, "w") as archive:
            archive.writestr("WORSE", "content")
        data = (tmp_path / "tree" / name).read_bytes()
        central = data.index(b"PK\x01\x02")
        changed = data[:8] + bytes([method]) + data[9 : central + 10] + bytes([method]) + data[central + 11 :]
        (tmp_path / "tree" / name).write_bytes(changed)
    book = Notebook()
    uses = NATIVE, fake_use("clamav", When.ELSEWHERE, finds="WORSE")
    server = ForkServer({**roles.roles(), "engine": Role(run_fake_engine)})
    with open_image((bytes(STARTER),), bytes(tmp_path / "state")) as image:
        Job(image, options(tmp_path / "tree", engines=uses), book, server=server).run()
    assert book.of(tmp_path / "tree" / "usual.zip").status is Status.CLEAN
    strange = book.of(tmp_path / "tree" / "strange.zip")
    assert names(strange) == [("clamav", "Fake.Evil")]
    assert Reason.METHOD in strange.reasons


# ---- what an administrator sees -------------------------------------------------------------------------------------


def test_an_engine_that_is_not_there_is_an_error_of_whoever_named_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    words = ["--state", tmp_path / "state", "--json", "-", tmp_path / "file"]
    named = run(["--engine", "native,clamd", "--clamd", "/nonexistent/socket", *words], tmp_path)
    assert named.code == 66
    assert b"option --engine: engine clamd: " in named.err
    (failure,) = [json.loads(line) for line in named.out.splitlines()]
    assert (failure["type"], failure["exit_code"]) == ("failure", 66)
    (tmp_path / "kavfs.conf").write_text("[scanner.options]\nEngine=clamd\nClamdAddress=/nonexistent/socket\n")
    configured = run(["-c", tmp_path / "kavfs.conf", *words], tmp_path)
    assert configured.code == 65
    assert b"Engine: engine clamd: " in configured.err
    (tmp_path / "kavfs.conf").write_text("[scanner.options]\nEngine=norton\n")
    assert run(["-c", tmp_path / "kavfs.conf", *words], tmp_path).code == 65


def test_json_says_which_engines_were_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    done = run(["--engine", "native", "--state", tmp_path / "state", "--json", "-", tmp_path / "file"], tmp_path)
    start, *_, summary = [json.loads(line) for line in done.out.splitlines()]
    assert start["engines"] == [{"name": "native", "knowledge": ""}]
    assert summary["found_by"] == {}


def test_the_summary_names_engines_where_there_are_several(tree: Path) -> None:
    book = scan(tree, NATIVE, fake_use("clamav", finds="WORSE"))
    assert book.totals is not None
    hostile = (("native", ""), ("clamav", "x INFECTED Fake"))
    text = "\n".join(summary_lines(book.totals, Signatures(1, 0.0, False, engines=hostile)))
    assert "Engines: native, clamav\nFound by: native: 2, clamav: 1\n" in text
    assert "INFECTED" not in text
    assert "Engines" not in "\n".join(summary_lines(book.totals, Signatures(1, 0.0, False)))
