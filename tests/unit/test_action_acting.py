"""Acting: what becomes of a file, of its result and of the totals."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from kavfs.action.acting import CLOCK_OF_FILES, Acting, Means
from kavfs.action.place import Places
from kavfs.action.policy import make_policy
from kavfs.action.store import Store
from kavfs.model import Deed, Identity, Member, Reason, Result, Status, Threat, Totals
from kavfs.ports import Cured
from kavfs.report.names import shown_path
from tests.support.acting import left_aside, scanned
from tests.support.fakes import Notebook

BAD = Threat("Bad.Thing", Status.INFECTED, "native")


class Rule(NamedTuple):
    section: str
    key: str
    value: bytes
    place: str = "kavfs.conf:7"


class Scene:
    """A folder that was scanned, and whoever acts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "scanned"
        self.folder.mkdir()
        self.stores = folder / "stores"
        self.report = Notebook()
        self.means = Means(
            os.fsencode(self.stores / "quarantine"), os.fsencode(self.stores / "backup"), os.fsencode(folder)
        )
        self.means = replace(self.means, shown=shown_path, seconds=20)
        self.rules: list[Rule] = []
        self.mode: int | None = None
        self.follow = False

    def file(self, name: str = "bad.exe", content: bytes = b"evil bytes") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def on(self, key: str, value: str, section: str = "scanner.object") -> None:
        self.rules.append(Rule(section, key, value.encode()))

    def add(self, *results: Result) -> list[Result]:
        """Those results, acted upon."""
        self.totals = Totals(statuses=dict.fromkeys(Status, 0))
        places = Places([os.fsencode(self.folder)], follow=self.follow)
        acting = Acting(self.report, make_policy(self.rules, self.mode), places, self.means)
        before = len(self.report.results)
        for result in results:
            self.totals.statuses[result.status] += 1
            acting.add(result)
        acting.finish(self.totals)
        acting.close()
        return self.report.results[before:]

    def items(self, store: str = "quarantine") -> list[bytes]:
        with Store(os.fsencode(self.stores / store)) as opened:
            return [b"".join(opened.open(item.id)) for item in opened.items()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def found(path: Path, status: Status = Status.INFECTED, **changes: object) -> Result:
    threat = BAD._replace(status=status)
    threats = (threat,) if status in (Status.INFECTED, Status.SUSPICIOUS, Status.WARNING) else ()
    result = Result(os.fsencode(path), status, threats=threats, identity=scanned(path))
    return result._replace(**changes)


def test_quarantine_takes_the_file_away_and_keeps_it(scene: Scene) -> None:
    scene.on("OnInfected", "quarantine")
    path = scene.file()
    (result,) = scene.add(found(path))
    assert not path.exists()
    assert scene.items() == [b"evil bytes"]
    (deed,) = result.deeds
    assert (deed.verb, deed.done) == ("quarantine", True)
    assert os.fsdecode(scene.means.quarantine) in deed.text
    assert result.status is Status.INFECTED
    assert (scene.totals.deeds, scene.totals.deeds_failed) == ({"quarantine": 1}, 0)
    assert left_aside(scene.folder) == []


@pytest.mark.parametrize("verb", ["move", "movePath"])
def test_moved_files_are_stored_encrypted(scene: Scene, verb: str) -> None:
    scene.on("OnInfected", f"{verb} {scene.stores}/q")
    path = scene.file()
    scene.add(found(path))
    assert not path.exists()
    (stored,) = (scene.stores / "q").rglob("*.kavq")
    assert b"evil" not in stored.read_bytes()
    below = scene.folder.relative_to("/") if verb == "movePath" else Path()
    assert stored.parent == scene.stores / "q" / below


def test_a_file_is_removed_when_its_backup_is_kept(scene: Scene) -> None:
    scene.mode = 4
    path = scene.file()
    (result,) = scene.add(found(path))
    assert [deed.verb for deed in result.deeds] == ["backup", "remove"]
    assert not path.exists()
    assert scene.items("backup") == [b"evil bytes"]


def test_without_a_backup_nothing_is_removed(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    scene.means = replace(scene.means, backup=os.fsencode(tmp_path / "file" / "backup"))
    scene.mode = 4
    path = scene.file()
    (result,) = scene.add(found(path))
    assert path.read_bytes() == b"evil bytes"
    assert [(deed.verb, deed.done) for deed in result.deeds] == [("remove", False)]
    assert scene.totals.deeds_failed == 1


def test_rename_and_what_follows_it(scene: Scene, tmp_path: Path) -> None:
    scene.on("OnSuspicion", f"rename .bad; exec cat %FULLPATH%/%FILENAME% > {tmp_path}/out; quarantine")
    path = scene.file()
    (result,) = scene.add(found(path, Status.SUSPICIOUS))
    assert [deed.verb for deed in result.deeds] == ["rename", "exec", "quarantine"]
    assert (tmp_path / "out").read_bytes() == b"evil bytes"
    assert list(scene.folder.iterdir()) == []


def test_a_name_is_not_given_again_at_every_scan(scene: Scene) -> None:
    scene.on("OnInfected", "rename .vir")
    path = scene.file("bad.exe")
    scene.add(found(path))
    renamed = scene.folder / "bad.exe.vir"
    (again,) = scene.add(found(renamed))
    assert again.deeds == (Deed("rename", done=True, text="its name ends so already"),)
    assert [entry.name for entry in scene.folder.iterdir()] == ["bad.exe.vir"]


def test_the_first_failure_ends_the_list_and_is_told(scene: Scene, tmp_path: Path) -> None:
    scene.on("OnInfected", f"exec echo oh no; exit 7; exec touch {tmp_path}/never; remove")
    path = scene.file()
    (result,) = scene.add(found(path))
    assert result.deeds == (Deed("exec", False, "exit code 7: oh no"),)
    assert path.exists()
    assert not (tmp_path / "never").exists()
    assert (scene.totals.deeds, scene.totals.deeds_failed) == ({}, 1)


def test_a_command_is_not_run_for_another_file_of_that_name(scene: Scene, tmp_path: Path) -> None:
    scene.on("OnInfected", f"exec touch {tmp_path}/ran")
    path = scene.file()
    result = found(path)
    os.rename(path, scene.folder / "away")
    path.write_bytes(b"harmless")
    (acted,) = scene.add(result)
    assert not acted.deeds[0].done
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", [0, 2, 3, 4])
@pytest.mark.parametrize(
    "rest", ["", "; remove", "; exec chmod -x {to}/%FILENAME%", "; exec test -e {to}/%FILENAME%; remove"]
)
def test_what_a_command_has_taken_away_needs_no_removal(scene: Scene, tmp_path: Path, mode: int, rest: str) -> None:
    """As in 5.3.4 of the manual, whatever option -i says."""
    (tmp_path / "to").mkdir()
    scene.mode = mode
    scene.on("OnInfected", f"exec mv %FULLPATH%/%FILENAME% {tmp_path}/to/%FILENAME%" + rest.format(to=tmp_path / "to"))
    path = scene.file()
    path.chmod(0o755)
    (result,) = scene.add(found(path))
    assert scene.totals.deeds_failed == 0
    assert not path.exists()
    assert {deed.verb for deed in result.deeds} <= {"cure", "exec"}
    moved = tmp_path / "to" / path.name
    assert moved.read_bytes() == b"evil bytes"
    assert moved.stat().st_mode & 0o111 == (0 if "chmod" in rest else 0o111)


@pytest.mark.parametrize("verb", ["quarantine", "rename .bad"])
def test_what_a_command_has_taken_away_cannot_be_kept(scene: Scene, verb: str) -> None:
    scene.on("OnInfected", f"exec rm %FULLPATH%/%FILENAME%; {verb}")
    (result,) = scene.add(found(scene.file()))
    assert result.deeds[1:] == (Deed(verb.split()[0], done=False, text="a command before has taken it away"),)


def test_a_second_command_is_run_for_what_the_first_has_left(scene: Scene, tmp_path: Path) -> None:
    scene.mode = 3
    scene.on(
        "OnInfected",
        f"exec cd %FULLPATH%; echo cured > new; mv new %FILENAME%; exec cat %FULLPATH%/%FILENAME% > {tmp_path}/out",
    )
    path = scene.file()
    (result,) = scene.add(found(path))
    assert (tmp_path / "out").read_text() == "cured\n"
    assert [(deed.verb, deed.done) for deed in result.deeds if deed.verb == "exec"] == [("exec", True)] * 2
    assert path.read_text() == "cured\n", "what is there now was never scanned: it is not removed"


def test_a_second_command_is_not_run_for_a_file_that_was_there_before(scene: Scene, tmp_path: Path) -> None:
    other = scene.file("other.txt", b"harmless")
    while time.clock_gettime_ns(CLOCK_OF_FILES) <= other.stat().st_ctime_ns:
        pass  # a tick of the clock by which files are stamped: some milliseconds
    scene.on("OnInfected", f"exec mv {other} %FULLPATH%/%FILENAME%; exec touch {tmp_path}/ran")
    (result,) = scene.add(found(scene.file()))
    assert [deed.done for deed in result.deeds] == [True, False]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("action", ["remove", "quarantine", "rename .bad", "move /tmp/kavfs-never"])
@pytest.mark.parametrize("how", ["another inode", "changed", "link", "gone", "folder is a link"])
def test_nothing_else_is_acted_upon(scene: Scene, action: str, how: str) -> None:
    scene.on("OnInfected", action)
    (scene.folder / "in").mkdir()
    path = scene.file("in/bad.exe")
    other = scene.file("other.txt", b"harmless")
    result = found(path)
    if how == "changed":
        path.write_bytes(b"harmless bytes")
    elif how == "folder is a link":
        os.rename(scene.folder / "in", scene.folder / "moved")
        os.symlink("moved", scene.folder / "in")
    else:
        path.unlink()
    if how == "another inode":
        os.link(other, path)
    elif how == "link":
        path.symlink_to(other)
    before = sorted(os.fsencode(p) for p in scene.folder.rglob("*"))
    (acted,) = scene.add(result)
    assert [deed.done for deed in acted.deeds] == [False]
    assert sorted(os.fsencode(p) for p in scene.folder.rglob("*")) == before
    assert other.read_bytes() == b"harmless"
    assert not os.path.exists("/tmp/kavfs-never")


def test_every_name_of_one_inode_is_acted_upon(scene: Scene) -> None:
    scene.on("OnInfected", "quarantine")
    first = scene.file("first")
    os.link(first, scene.folder / "second")
    acted = scene.add(found(first), found(scene.folder / "second"))
    assert [deed.done for result in acted for deed in result.deeds] == [True, True]
    assert "other name" in acted[0].deeds[0].text
    assert list(scene.folder.iterdir()) == []


def test_a_file_that_went_by_another_path_has_gone(scene: Scene) -> None:
    scene.on("OnSuspicion", "quarantine")
    path = scene.file()
    (scene.folder / "link").symlink_to("bad.exe")
    first = found(path, Status.SUSPICIOUS)
    acted = scene.add(first, first._replace(path=os.fsencode(scene.folder / "link")))
    assert [deed.done for result in acted for deed in result.deeds] == [True, True]
    assert acted[1].deeds[0].text == f"already, as {path}"
    assert scene.totals.deeds == {"quarantine": 1}
    assert scene.totals.deeds_failed == 0
    assert scene.items() == [b"evil bytes"]


@pytest.mark.parametrize("action", ["quarantine", "exec cat %FULLPATH%/%FILENAME% > {}/out; remove"])
def test_where_links_were_followed_the_file_is_acted_upon(scene: Scene, tmp_path: Path, action: str) -> None:
    scene.on("OnInfected", action.format(tmp_path))
    scene.follow = True
    target = tmp_path / "elsewhere"
    target.write_bytes(b"evil bytes")
    link = scene.folder / "link"
    link.symlink_to(target)
    result = Result(os.fsencode(link), Status.INFECTED, threats=(BAD,), identity=scanned(target))
    (acted,) = scene.add(result)
    assert all(deed.done for deed in acted.deeds)
    assert not target.exists()
    assert link.is_symlink()
    assert action == "quarantine" or (tmp_path / "out").read_bytes() == b"evil bytes"


def test_what_was_answered_from_a_cache_is_acted_upon(scene: Scene) -> None:
    scene.on("OnProtected", "quarantine")
    path = scene.file()
    (result,) = scene.add(found(path, Status.PROTECTED, cached=True, reasons=Reason.ENCRYPTED))
    assert result.deeds[0].done
    assert not path.exists()


def test_what_was_never_opened_can_be_told_of_and_nothing_else(scene: Scene, tmp_path: Path) -> None:
    scene.on("OnError", f"exec echo %FULLPATH%/%FILENAME% > {tmp_path}/out; remove")
    path = scene.file()
    (result,) = scene.add(Result(os.fsencode(path), Status.ERROR, Reason.UNREADABLE, error="Permission denied"))
    assert [(deed.verb, deed.done) for deed in result.deeds] == [("exec", True), ("remove", False)]
    assert (tmp_path / "out").read_text() == f"{path}\n"
    assert path.exists()


def test_the_list_names_what_was_found_inside(scene: Scene, tmp_path: Path) -> None:
    scene.on("OnInfected", f"exec cat %LIST% > {tmp_path}/out", "scanner.container")
    path = scene.file("a.zip")
    threats = (BAD._replace(member=b"in/x\n.exe"), BAD._replace(member=b"y", name="Two words"))
    scene.add(found(path, container=True, threats=threats))
    assert (tmp_path / "out").read_text() == f"{path}/in/x\\n.exe INFECTED Bad.Thing\n{path}/y INFECTED Two_words\n"


def test_what_is_clean_or_has_no_list_is_handed_on_as_it_is(scene: Scene) -> None:
    scene.on("OnInfected", "remove")
    path = scene.file()
    results = [Result(os.fsencode(path), Status.CLEAN), found(path, Status.WARNING), found(path, container=True)]
    assert scene.add(*results) == results
    assert path.exists()


# ---- cure -------------------------------------------------------------------------------------------------------


class Healer:
    """A curer and a rescan: writes *content*; what it wrote is what *verdict* says."""

    def __init__(self, content: bytes = b"fine bytes", verdict: Status = Status.CLEAN, why: str = "") -> None:
        self.content, self.verdict, self.why = content, verdict, why
        self.reasons = Reason(0)

    def cure(self, source: int, out: int, result: Result) -> Cured:
        assert os.pread(source, 100, 0) == b"evil bytes"
        if self.why:
            return Cured(why=self.why)
        os.write(out, self.content)
        return Cured(changed=(b"bad.com",))

    def rescan(self, fd: int, name: bytes) -> Result:
        assert os.pread(fd, 100, 0) == self.content
        threats = () if self.verdict is Status.CLEAN else (BAD._replace(status=self.verdict),)
        return Result(name, self.verdict, self.reasons, threats)


def with_healer(scene: Scene, healer: Healer) -> None:
    scene.means = replace(scene.means, curer=healer.cure, rescan=healer.rescan)


def in_zip(path: Path) -> Result:
    members = (
        Member(b"bad.com", Status.INFECTED, Reason(0), 5),
        Member(b"fine.txt", Status.CLEAN, Reason(0), 5),
    )
    return found(path, container=True, members=members, threats=(BAD._replace(member=b"bad.com"),))


def test_a_cured_file_takes_the_place_of_the_old_one(scene: Scene, tmp_path: Path) -> None:
    scene.mode = 1
    scene.on("OnCured", f"exec cat %FULLPATH%/%FILENAME% > {tmp_path}/out", "scanner.container")
    with_healer(scene, Healer())
    path = scene.file("a.zip")
    path.chmod(0o640)
    (result,) = scene.add(in_zip(path))
    assert path.read_bytes() == b"fine bytes"
    assert path.stat().st_mode & 0o777 == 0o640
    assert result.status is Status.CURED
    assert [member.status for member in result.members] == [Status.CURED, Status.CLEAN]
    assert [deed.verb for deed in result.deeds] == ["backup", "cure", "exec"]
    assert "bad.com" in result.deeds[1].text
    assert scene.items("backup") == [b"evil bytes"]
    assert (tmp_path / "out").read_bytes() == b"fine bytes"
    statuses = scene.totals.statuses
    assert (statuses[Status.INFECTED], statuses[Status.CURED]) == (0, 1)
    assert scene.totals.deeds_failed == 0


def test_a_file_that_was_cured_by_another_path_is_cured(scene: Scene) -> None:
    scene.mode = 1
    with_healer(scene, Healer())
    first = in_zip(scene.file("a.zip"))
    acted = scene.add(first, first._replace(path=os.fsencode(scene.folder / "link")))
    assert [result.status for result in acted] == [Status.CURED, Status.CURED]
    assert scene.totals.statuses[Status.CURED] == 2
    assert (scene.totals.statuses[Status.INFECTED], scene.totals.statuses[Status.CUREFAILED]) == (0, 0)


def still(verdict: Status) -> Callable[[], Healer]:
    return lambda: Healer(verdict=verdict)


def partly() -> Healer:
    healer = Healer()
    healer.reasons = Reason.TIME
    return healer


@pytest.mark.parametrize(
    "healer", [lambda: Healer(why="no way"), still(Status.INFECTED), still(Status.SUSPICIOUS), partly]
)
def test_what_cannot_be_cured_is_treated_as_infected(scene: Scene, healer: Callable[[], Healer]) -> None:
    scene.mode = 1
    with_healer(scene, healer())
    path = scene.file("a.zip")
    (result,) = scene.add(in_zip(path))
    assert path.read_bytes() == b"evil bytes"
    assert result.status is Status.CUREFAILED
    assert [(deed.verb, deed.done) for deed in result.deeds] == [("cure", False)]
    assert scene.totals.statuses[Status.CUREFAILED] == 1
    assert scene.totals.deeds_failed == 0, "it has a status of its own"
    scene.on("OnInfected", "quarantine", "scanner.container")
    (result,) = scene.add(in_zip(path))
    assert [(deed.verb, deed.done) for deed in result.deeds] == [("cure", False), ("quarantine", True)]
    assert not path.exists()
    assert left_aside(scene.folder) == []


@pytest.mark.parametrize(("mode", "left"), [(1, True), (2, True), (3, False)])
def test_a_container_that_cannot_be_cured_goes_as_a_whole_with_i3(scene: Scene, mode: int, left: bool) -> None:
    scene.mode = mode
    with_healer(scene, Healer(why="no way"))
    path = scene.file("a.zip")
    scene.add(in_zip(path))
    assert path.exists() == left


def test_a_changed_file_is_not_cured(scene: Scene) -> None:
    scene.mode = 1
    with_healer(scene, Healer())
    path = scene.file("a.zip")
    result = in_zip(path)
    path.write_bytes(b"changed bytes")
    (acted,) = scene.add(result)
    assert acted.status is Status.CUREFAILED
    assert path.read_bytes() == b"changed bytes"


def test_deeds_are_text_whatever_names_hold(scene: Scene) -> None:
    scene.on("OnInfected", "rename .b")
    path = scene.folder / os.fsdecode(b"\xff\xfe")
    path.write_bytes(b"evil bytes")
    (result,) = scene.add(found(path))
    result.deeds[0].text.encode("utf-8")


def test_an_identity_of_nothing_is_no_file(scene: Scene) -> None:
    scene.mode = 4
    path = scene.file()
    (result,) = scene.add(found(path, identity=Identity(0, 0, 0, 0, 0)))
    assert not result.deeds[0].done
    assert path.exists()
