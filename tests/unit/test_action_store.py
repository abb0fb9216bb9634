"""Store: what is put comes back as it was; whose folder is used; which backups are kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from kavfs.action import facts, layout, seal
from kavfs.action.catalogue import BACKUP, Finding
from kavfs.action.place import ActionError
from kavfs.action.store import Missing, Store, identities
from kavfs.action.vault import CATALOGUE, KEY
from kavfs.errors import SystemFailure
from kavfs.model import COMPLETE, Reason, Result, Status, Threat
from tests.support.acting import FINDING, hold

CONTENT = b"infected" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "quarantine"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data" / os.fsdecode(b"na\xffme\n")
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    os.setxattr(path, "user.note", b"\0\xff")
    os.chmod(path, 0o2751)
    os.utime(path, ns=(10**18 + 1, 10**18 + 2))
    return path


def taken(store: Store, file: Path) -> str:
    with hold(file) as held:
        return store.take(held, FINDING)[0]


def backup(store: Store, file: Path, content: bytes, threat: str = "Threat") -> str:
    file.write_bytes(content)
    with hold(file) as held:
        return store.put(held, Finding(threat), BACKUP)


def facts_now(file: Path) -> facts.Facts:
    fd = os.open(file, os.O_RDONLY | os.O_NOATIME)
    try:
        return facts.read(fd, os.fsencode(file), os.fsencode(file))
    finally:
        os.close(fd)


def test_taken_and_restored_as_it_was(folder: Path, file: Path) -> None:
    before = facts_now(file)
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        assert os.listdir(file.parent) == []
        (row,) = store.items()
        assert (row.id, row.facts, row.finding, row.who) == (item, before, FINDING, os.getuid())
        assert row.sha256 == hashlib.sha256(CONTENT).digest()
        assert b"".join(store.open(item)) == CONTENT
        assert store.restore(item) == (os.fsencode(file), ())
        assert store.items() == []
    assert facts_now(file) == before
    assert file.read_bytes() == CONTENT
    assert list((folder / "items").iterdir()) == []


def test_nothing_is_readable_by_others_and_nothing_is_plain(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        taken(store, file)
    for path in [folder, *folder.rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
        if path.is_file():
            assert CONTENT[:32] not in path.read_bytes()


def test_restored_elsewhere_and_kept(folder: Path, file: Path, tmp_path: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        store.restore(item, os.fsencode(tmp_path / "copy"), keep=True)
        assert [row.id for row in store.items()] == [item]
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert not file.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file", "dangling link"])
def test_restore_writes_over_nothing(folder: Path, file: Path, tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        if kind == "file":
            file.write_bytes(b"precious")
        elif kind == "folder":
            file.mkdir()
        else:
            file.symlink_to(precious if kind == "link to a file" else tmp_path / "nowhere")
        with pytest.raises(ActionError, match="there already"):
            store.restore(item)
        assert [row.id for row in store.items()] == [item]
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert kind != "file" or file.read_bytes() == b"precious"


def test_restore_follows_no_link(folder: Path, file: Path, tmp_path: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        file.parent.rmdir()
        (tmp_path / "elsewhere").mkdir()
        file.parent.symlink_to("elsewhere")
        with pytest.raises(ActionError, match="cannot be used"):
            store.restore(item)
        assert [row.id for row in store.items()] == [item]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_two_files_of_one_name_are_two_items(folder: Path, file: Path) -> None:
    contents = {}
    with Store(os.fsencode(folder)) as store:
        for content in (b"one", b"two"):
            file.write_bytes(content)
            contents[taken(store, file)] = content
        assert len(contents) == 2
        assert {item: b"".join(store.open(item)) for item in contents} == contents


@pytest.mark.parametrize("form", [layout.FLAT, layout.TREE])
def test_folders_of_move_and_move_path(tmp_path: Path, file: Path, form: str) -> None:
    target = tmp_path / "infected"
    with Store(os.fsencode(target), layout=form) as store:
        item = taken(store, file)
        (moved,) = target.rglob("*.kavq")
        name = os.fsencode(file.name) + b"." + item.encode() + b".kavq"
        below = os.fsencode(file.parent).lstrip(b"/") if form == layout.TREE else b""
        assert os.fsencode(moved) == os.path.join(os.fsencode(target), below, name)
        store.restore(item)
    assert file.read_bytes() == CONTENT


def test_a_source_that_changes_while_it_is_copied_stays(folder: Path, file: Path, monkeypatch) -> None:
    def changing(fd: int, size: int = 0):
        yield b"x"
        with open(file, "ab") as writer:
            writer.write(b"more")

    with Store(os.fsencode(folder)) as store, hold(file) as held:
        monkeypatch.setattr(seal, "pieces", changing)
        with pytest.raises(ActionError, match="changed while"):
            store.take(held, FINDING)
        assert store.items() == []
    assert file.read_bytes() == CONTENT + b"more"
    assert list((folder / "items").iterdir()) == []


def test_a_source_that_cannot_be_removed_is_not_in_quarantine_too(folder: Path, file: Path, monkeypatch) -> None:
    with Store(os.fsencode(folder)) as store, hold(file) as held:
        monkeypatch.setattr(held, "remove", lambda: (_ for _ in ()).throw(ActionError("not permitted")))
        with pytest.raises(ActionError, match="not permitted"):
            store.take(held, FINDING)
        assert store.items() == []
    assert file.read_bytes() == CONTENT


def test_a_source_that_has_gone_is_kept_as_an_item(folder: Path, file: Path) -> None:
    class Gone(Store):
        def put(self, *words, **more):
            item = super().put(*words, **more)
            file.unlink()
            return item

    with Gone(os.fsencode(folder)) as store, hold(file) as held:
        with pytest.raises(ActionError, match="a copy is kept as item"):
            store.take(held, FINDING)
        (row,) = store.items()
        assert b"".join(store.open(row.id)) == CONTENT


def test_items_are_found_by_the_beginning_of_their_id(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        assert store.get(item[:5].upper()).id == item
        for wrong in ("", "g", "%", "0" * 16 if item[0] != "0" else "f" * 16):
            with pytest.raises(Missing):
                store.get(wrong)


def test_a_damaged_item_is_said_to_be_and_not_restored(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        (path,) = (folder / "items").iterdir()
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ActionError, match="damaged"):
            store.restore(item)
        assert os.listdir(file.parent) == []
        assert [row.id for row in store.items()] == [item]


def test_a_lost_catalogue_is_made_again(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        before = store.get(item)
    (folder / os.fsdecode(CATALOGUE)).unlink()
    with Store(os.fsencode(folder)) as store:
        assert store.get(item) == before
        store.restore(item)
    assert file.read_bytes() == CONTENT


def test_a_lost_or_open_key_is_said_and_not_replaced(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        taken(store, file)
    key = folder / os.fsdecode(KEY)
    key.chmod(0o640)
    with pytest.raises(SystemFailure, match="open to others"):
        Store(os.fsencode(folder))
    key.unlink()
    with pytest.raises(SystemFailure, match="lost its key"):
        Store(os.fsencode(folder))
    assert not key.exists()


def test_folders_that_others_could_exchange_are_refused(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    for mode, wrong in ((0o757, True), (0o775, os.geteuid() == 0), (0o1777, False)):
        above.chmod(mode)
        if wrong:
            with pytest.raises(SystemFailure, match="others may write"):
                Store(os.fsencode(above / f"store{mode}"))
        else:
            Store(os.fsencode(above / f"store{mode}")).close()
    above.chmod(0o755)
    (above / "own").mkdir()
    (above / "own").chmod(0o1777)
    with pytest.raises(SystemFailure, match="others may write"):
        Store(os.fsencode(above / "own"))
    if os.geteuid() == 0:
        for path in (above / "own", above):
            path.chmod(0o755)
            os.chown(path, 65534, 65534)
            with pytest.raises(SystemFailure, match="belongs to user 65534"):
                Store(os.fsencode(above / "own"))
            os.chown(path, 0, 0)


def test_a_link_that_somebody_else_has_put_there_is_not_followed(tmp_path: Path) -> None:
    shared, target = tmp_path / "shared", tmp_path / "target"
    shared.mkdir()
    shared.chmod(0o1777)
    target.mkdir(0o755)
    (shared / "ours").symlink_to(target)
    Store(os.fsencode(shared / "ours" / "store")).close()
    assert os.listdir(target) == ["store"]
    if os.geteuid() == 0:
        os.chown(shared / "ours", 65534, 65534, follow_symlinks=False)
        with pytest.raises(SystemFailure, match="link that user 65534 has made"):
            Store(os.fsencode(shared / "ours" / "other"))
        assert os.listdir(target) == ["store"]


def test_no_store_is_made_for_who_only_looks(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Store(os.fsencode(folder), create=False)
    assert not folder.exists()


def test_the_last_three_versions_are_kept(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        made = [backup(store, file, b"version %d" % number, f"Threat-{number}") for number in range(5)]
        assert [item.id for item in store.items(BACKUP)] == made[2:]
        other = file.with_name("other")
        kept = backup(store, other, b"other")
        assert [item.id for item in store.items(BACKUP)] == [*made[2:], kept]
    assert len(list((folder / "items").iterdir())) == 4


def test_an_infection_that_comes_back_does_not_cost_the_first_version(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        first = backup(store, file, b"work of years, and Threat")
        later = [backup(store, file, b"%d Threat" % number) for number in range(10)]
        assert [item.id for item in store.items(BACKUP)] == [first, *later[-2:]]


def test_the_same_bytes_make_no_new_version(folder: Path, file: Path) -> None:
    file.write_bytes(b"same")
    with Store(os.fsencode(folder)) as store:
        made = set()
        for _ in range(5):
            with hold(file) as held:
                made.add(store.put(held, FINDING, BACKUP))
        assert len(made) == 1
        assert [item.id for item in store.items()] == list(made)


def judging(status: Status, reasons: Reason = COMPLETE):
    seen: list[bytes] = []

    def rescan(fd: int, name: bytes) -> Result:
        seen.append(os.pread(fd, 1 << 20, 0))
        return Result(name, status, reasons)

    return rescan, seen


def test_a_version_found_clean_is_not_pushed_out_by_infected_ones(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        good = backup(store, file, b"good", "Mistake")
        list(store.rescan(judging(Status.CLEAN)[0], store.items(BACKUP)))
        later = [backup(store, file, b"%d" % number, f"T{number}") for number in range(6)]
        assert [item.id for item in store.items(BACKUP)] == [good, *later[-3:]]


def test_rescan_judges_again_and_restores_only_when_asked(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        rescan, seen = judging(Status.INFECTED)
        assert [j.item.judged for j in store.rescan(rescan, store.items(), restore=True)] == [Status.INFECTED]
        assert seen == [CONTENT]
        partly = judging(Status.CLEAN, Reason.SIZE)[0]
        assert [j.restored for j in store.rescan(partly, store.items(), restore=True)] == [False]
        assert [j.restored for j in store.rescan(judging(Status.CLEAN)[0], store.items())] == [False]
        assert store.get(item).good
        assert [j.restored for j in store.rescan(judging(Status.CLEAN)[0], store.items(), restore=True)] == [True]
        assert store.items() == []
    assert file.read_bytes() == CONTENT


def test_what_goes_while_others_are_judged_does_not_stop_them(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        gone, kept = taken(store, file), None
        file.write_bytes(CONTENT)
        kept = taken(store, file)
        items = store.items()
        with Store(os.fsencode(folder)) as other:
            other.delete(gone)
        first, second = store.rescan(judging(Status.CLEAN)[0], items, restore=True)
        assert "no item" in first.text
        assert (second.item.id, second.restored) == (kept, True)


def test_what_waits_is_what_was_not_judged_by_the_same(folder: Path, file: Path) -> None:
    known = FINDING.generation.hex()
    with Store(os.fsencode(folder)) as store:
        made = []
        for _ in range(3):
            file.write_bytes(CONTENT)
            made.append(taken(store, file))
        assert store.waiting(known) == [], "whoever found it knows of it"
        assert [item.id for item in store.waiting("newer")] == made
        list(store.rescan(judging(Status.INFECTED)[0], [store.get(made[0])], known="newer"))
        assert [item.id for item in store.waiting("newer")] == made[1:]
        assert [item.id for item in store.waiting("newest")] == [*made[1:], made[0]], "the longest judged come first"
        assert [item.id for item in store.waiting("newer", since_ns=time.time_ns())] == [*made[1:], made[0]]
        assert backup(store, file, b"x", "T") not in [item.id for item in store.waiting("newest")]


def test_a_catalogue_of_the_first_version_is_renewed(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = store.get(taken(store, file))
    with contextlib.closing(sqlite3.connect(folder / "kavfs.catalogue")) as base:
        for column in ("judged_by", "judged_ns"):
            base.execute(f"ALTER TABLE items DROP COLUMN {column}")
        base.execute("PRAGMA user_version = 1")
        base.commit()
    for _ in range(2):
        with Store(os.fsencode(folder)) as store:
            assert store.items() == [item]
            assert [judged.item.good for judged in store.rescan(judging(Status.CLEAN)[0], [item])] == [True]
            assert store.get(item.id).good
            item = store.get(item.id)


def test_pruned_by_age_and_by_size(folder: Path, file: Path, monkeypatch) -> None:
    with Store(os.fsencode(folder)) as store:
        made = []
        for days in (30, 20, 10, 0):
            file.write_bytes(b"x" * 100)
            now = time.time_ns() - days * 86400 * 10**9
            monkeypatch.setattr(time, "time_ns", lambda now=now: now)
            made.append(taken(store, file))
            monkeypatch.undo()
        assert [item.id for item in store.prune(age=25 * 86400)] == made[:1]
        assert [item.id for item in store.prune(size=250)] == made[1:2]
        assert [item.id for item in store.items()] == made[2:]
        assert store.prune() == []
    assert len(list((folder / "items").iterdir())) == 2


def test_prune_removes_what_never_came_to_a_row_unless_somebody_is_at_work(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
        store.catalogue.remove(item)
        with Store(os.fsencode(folder)):
            store.prune()
            assert len(list((folder / "items").iterdir())) == 1
        store.prune()
    assert list((folder / "items").iterdir()) == []


def test_no_room(folder: Path, file: Path, monkeypatch) -> None:
    with Store(os.fsencode(folder)) as store, hold(file) as held:
        monkeypatch.setattr("kavfs.action.store.RESERVE", 1 << 62)
        with pytest.raises(ActionError, match="no room"):
            store.take(held, FINDING)
    assert file.read_bytes() == CONTENT


def test_the_gravest_threat_names_the_finding() -> None:
    threats = (Threat("PUA.X", Status.WARNING, "native"), Threat("Worm", Status.INFECTED, "clamav", b"member"))
    found = Finding.of(Result(b"/x", Status.INFECTED, threats=threats), b"\1" * 16)
    assert found == Finding("Worm", Status.INFECTED, "clamav", b"\1" * 16)
    assert Finding.of(Result(b"/x", Status.ERROR)).threat == ""


def test_identities_name_the_folders_that_are_there(tmp_path: Path) -> None:
    status = tmp_path.stat()
    asked = [os.fsencode(tmp_path), os.fsencode(tmp_path), b"/nowhere/at/all"]
    assert identities(asked) == ((status.st_dev, status.st_ino),)


def test_an_ordinary_user_has_a_store_of_his_own(tmp_path: Path) -> None:
    """Taken, and restored, without any right of root."""
    if os.geteuid() != 0:
        pytest.skip("every other test here is run by an ordinary user already")
    top = Path(f"/tmp/kavfs-store-{os.getpid()}")
    top.mkdir()
    os.chown(top, 65534, 65534)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            file = top / "file"
            file.write_bytes(CONTENT)
            with Store(os.fsencode(top / "state" / "quarantine")) as store:
                item = taken(store, file)
                assert not file.exists()
                store.restore(item)
            assert file.read_bytes() == CONTENT
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for path in sorted(top.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    top.rmdir()


def test_a_store_opened_with_another_layout_keeps_its_items(folder: Path, file: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        item = taken(store, file)
    (folder / "kavfs.catalogue").unlink()
    with Store(os.fsencode(folder), layout=layout.TREE) as store:
        assert [found.id for found in store.items()] == [item]
    with Store(os.fsencode(folder)) as store:
        assert store.prune() == []
        assert b"".join(store.open(item)) == CONTENT


def test_who_could_not_tidy_up_is_still_at_work(folder: Path) -> None:
    with Store(os.fsencode(folder)) as store:
        with Store(os.fsencode(folder)):
            store.tidy()
        key = os.open(folder / os.fsdecode(KEY), os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(key, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(key)
