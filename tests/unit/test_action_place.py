"""Places: what is done to a scanned file, and everything that must keep it from being done."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from kavfs._native import action
from kavfs.action import facts, place
from kavfs.action.aside import Aside
from kavfs.action.place import ActionError, Parent, Places
from tests.support.acting import hold, left_aside, scanned

ACL_FOR_DAEMON = bytes.fromhex(
    "0200000001000600ffffffff020004000100000004000400ffffffff10000400ffffffff20000000ffffffff"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"infected")
    return path


def give_attributes(path: Path) -> None:
    os.setxattr(path, "user.colour", b"blue\0\xff")
    os.setxattr(path, facts.ACL, ACL_FOR_DAEMON)
    os.chmod(path, 0o4640)
    os.utime(path, ns=(1_111_111_111_111_111_111, 1_222_222_222_222_222_222))


def all_facts(path: Path) -> facts.Facts:
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        return facts.read(fd, b"", b"")
    finally:
        os.close(fd)


def test_removed_is_the_name_and_nothing_else(file: Path) -> None:
    neighbour = file.with_name("neighbour")
    neighbour.write_bytes(b"clean")
    with hold(file) as held:
        assert held.remove() == ""
    assert os.listdir(file.parent) == ["neighbour"]


def test_other_hard_links_stay_and_are_told_of(file: Path) -> None:
    for name in ("second", "third"):
        os.link(file, file.with_name(name))
    identity = scanned(file)
    places = Places([os.fsencode(file.parent)])
    with places.open(os.fsencode(file), identity) as held:
        assert held.others == 2
        assert held.remove() == "the file has 2 other names still"
    with places.open(os.fsencode(file.with_name("second")), identity) as held:
        assert held.remove() == "the file has 1 other name still"
    with places.open(os.fsencode(file.with_name("third")), identity) as held:
        assert held.remove() == ""
    assert os.listdir(file.parent) == []


def test_renamed_in_its_folder(file: Path) -> None:
    with hold(file) as held:
        assert held.rename(b"file.infected") == f"{file}.infected"
        assert held.rename(b"again") == str(file.with_name("again"))
    assert os.listdir(file.parent) == ["again"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_name_that_is_taken_is_not_given(file: Path, kind: str) -> None:
    taken = file.with_name("taken")
    if kind == "folder":
        taken.mkdir()
    elif kind == "link":
        taken.symlink_to("nowhere")
    else:
        taken.write_bytes(b"precious")
    with hold(file) as held:
        with pytest.raises(ActionError, match="new name already"):
            held.rename(b"taken")
        assert file.read_bytes() == b"infected"
        assert held.remove() == "", "after a failure the next action finds it as it was"
    assert sorted(os.listdir(file.parent)) == ["taken"]


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
def test_what_is_no_name_is_refused(file: Path, name: bytes) -> None:
    with hold(file) as held, pytest.raises(ActionError):
        held.rename(name)
    assert os.listdir(file.parent) == ["file"]


@pytest.mark.parametrize("named", [False, True], ids=["O_TMPFILE", "file system without O_TMPFILE"])
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "file system without exchange"])
def test_replaced_keeps_all_but_the_bytes(
    file: Path, named: bool, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_attributes(file)
    before = all_facts(file)
    if named:
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_RDWR | os.O_EXCL)
    if not exchange:
        monkeypatch.setattr(place.action, "exchange", refuse_exchange, raising=True)
    with hold(file) as held:
        out = held.temp_file()
        os.write(out, b"cured and longer")
        assert held.replace(out) == ""
        os.close(out)
    assert file.read_bytes() == b"cured and longer"
    after = all_facts(file)
    assert after._replace(size=before.size, atime_ns=before.atime_ns) == before
    assert os.listdir(file.parent) == ["file"]


def refuse_exchange(one: int, name: bytes, other: int, other_name: bytes) -> None:
    raise OSError(22, "Invalid argument")


def test_a_given_up_replacement_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_RDWR | os.O_EXCL)
    with hold(file) as held:
        os.close(held.temp_file())
        os.close(held.temp_file())
    assert os.listdir(file.parent) == ["file"]


def test_changed_since_the_scan(file: Path) -> None:
    identity = scanned(file)
    for change in (
        lambda: file.write_bytes(b"INFECTED"),
        lambda: os.truncate(file, 3),
    ):
        change()
        with pytest.raises(ActionError, match="changed since"):
            hold(file, identity)
    assert file.exists()


def test_other_rights_and_names_do_not_save_it(file: Path) -> None:
    identity = scanned(file)
    os.chmod(file, 0o600)
    os.link(file, file.with_name("link"))
    file.rename(file.with_name("moved"))
    file.with_name("moved").rename(file)
    with hold(file, identity) as held:
        held.remove()
    assert os.listdir(file.parent) == ["link"]


@pytest.mark.parametrize("born", [None, 1 << 62], ids=["not known", "after the scan"])
def test_a_file_that_was_given_the_number_of_the_scanned_one(file: Path, born, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = scanned(file)
    os.chmod(file, 0o600)
    monkeypatch.setattr(action, "born", lambda fd: born)
    with pytest.raises(ActionError, match="changed since"):
        hold(file, identity)
    assert file.exists()


def test_changed_while_it_is_held(file: Path) -> None:
    with hold(file) as held:
        with open(file, "ab") as writer:
            writer.write(b"more")
        for act in (held.remove, lambda: held.rename(b"x"), lambda: held.replace(held.temp_file())):
            with pytest.raises(ActionError, match="changed since"):
                act()
    assert file.read_bytes() == b"infectedmore"
    assert left_aside(file.parent) == []


def test_another_file_at_the_name(file: Path) -> None:
    identity = scanned(file)
    file.rename(file.with_name("moved"))
    file.write_bytes(b"foreign!")
    with pytest.raises(ActionError, match="another file"):
        hold(file, identity)
    for kind in (os.mkfifo, os.mkdir):
        file.unlink()
        kind(file)
        with pytest.raises(ActionError, match="another file"):
            hold(file, identity)
        if stat.S_ISDIR(os.stat(file).st_mode):
            break
    assert file.with_name("moved").read_bytes() == b"infected"


def test_a_link_at_the_name_or_on_the_way(file: Path, tmp_path: Path) -> None:
    identity = scanned(file)
    other = tmp_path / "other"
    other.symlink_to("folder")
    places = Places([os.fsencode(tmp_path)])
    with pytest.raises(ActionError, match="link stands in its path"):
        places.open(os.fsencode(other / "file"), identity)
    (file.parent / "link").symlink_to("file")
    with pytest.raises(ActionError, match="another file"):
        places.open(os.fsencode(file.parent / "link"), identity)
    with Places([os.fsencode(tmp_path)], follow=True).open(os.fsencode(other / "file"), identity) as held:
        assert held.facts.place == os.fsencode(file)


def test_a_link_that_is_the_root_is_resolved(file: Path, tmp_path: Path) -> None:
    folder, single = tmp_path / "root", tmp_path / "single"
    folder.symlink_to("folder")
    single.symlink_to("folder/file")
    places = Places([os.fsencode(folder) + b"/", os.fsencode(single)])
    for path in (folder / "file", single):
        with places.open(os.fsencode(path), scanned(file)) as held:
            assert (held.facts.path, held.facts.place) == (os.fsencode(path), os.fsencode(file))


def test_no_identity_no_action(file: Path) -> None:
    with pytest.raises(ActionError, match="not opened"):
        Places().open(os.fsencode(file), None)


def test_what_takes_the_name_in_the_last_moment_comes_back(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the move: the other file is put back, whatever it is."""
    take = Aside.take

    def swap_first(self: Aside, name: bytes, *, second: bool = False) -> None:
        file.rename(file.with_name("scanned"))
        file.write_bytes(b"foreign")
        take(self, name, second=second)

    monkeypatch.setattr(Aside, "take", swap_first)
    with hold(file) as held, pytest.raises(ActionError, match="another file had its name"):
        held.remove()
    assert sorted(os.listdir(file.parent)) == ["file", "scanned"]
    assert file.read_bytes() == b"foreign"


def test_what_comes_back_to_a_name_that_is_taken_lies_beside(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Aside.take

    def swap_twice(self: Aside, name: bytes, *, second: bool = False) -> None:
        file.rename(file.with_name("scanned"))
        file.write_bytes(b"foreign")
        take(self, name, second=second)
        file.write_bytes(b"third")

    monkeypatch.setattr(Aside, "take", swap_twice)
    with hold(file) as held, pytest.raises(ActionError, match=r"which is called .*/?file\.kavfs-[0-9a-f]{16} now"):
        held.remove()
    assert {path.read_bytes() for path in file.parent.iterdir()} == {b"infected", b"foreign", b"third"}


def test_a_folder_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    at, path = os.dup(top), os.fsencode(tmp_path)
    for _ in range(30):
        name = b"d" * 200
        os.mkdir(name, dir_fd=at)
        following = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at, path = following, path + b"/" + name
    fd = os.open(b"leaf", os.O_CREAT | os.O_RDWR, dir_fd=at)
    identity = place.identity_of(fd)
    with Places([os.fsencode(tmp_path)]).open(path + b"/leaf", identity) as held:
        assert held.remove() == ""
    assert os.listdir(at) == []
    for each in (fd, at, top):
        os.close(each)
    subprocess.run(["rm", "-rf", tmp_path / ("d" * 200)], check=True)


def test_links_are_refused_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "l").symlink_to("a")
    (tmp_path / "a" / "l").symlink_to("b")
    for way in (b"l", b"l/b/c", b"a/l/c", b"a/l", b"/proc/self/cwd"):
        with pytest.raises(OSError, match=r"symbolic|directory"):
            action.directory(place.AT_CWD, way if way.startswith(b"/") else os.fsencode(tmp_path) + b"/" + way)
    os.close(action.directory(place.AT_CWD, os.fsencode(tmp_path) + b"//a/./b/c/"))
    with pytest.raises(ValueError, match="NUL"):
        action.directory(place.AT_CWD, b"/tmp\0/x")


def test_a_published_file_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"precious")
    parent = Parent(os.fsencode(tmp_path))
    fd = parent.temp_file()
    with pytest.raises(FileExistsError):
        parent.publish(fd, b"there")
    parent.publish(fd, b"free")
    os.close(fd)
    parent.close()
    assert sorted(os.listdir(tmp_path)) == ["free", "there"]
    assert (tmp_path / "there").read_bytes() == b"precious"


def test_facts_survive_their_text(file: Path) -> None:
    give_attributes(file)
    fd = os.open(file, os.O_RDONLY)
    found = facts.read(fd, b"/\xff\n", b"/\x80")
    os.close(fd)
    assert facts.unpack(facts.pack(found)) == found
    for wrong in (b"", b"{}", b"[]", b'{"path":1}', b"\xff"):
        with pytest.raises(ValueError, match=r".*"):
            facts.unpack(wrong)


def test_what_a_folder_gives_at_birth_is_taken_away_again(tmp_path: Path, file: Path) -> None:
    os.setxattr(tmp_path, "system.posix_acl_default", ACL_FOR_DAEMON)
    (tmp_path / "new").write_bytes(b"")
    assert facts.ACL in os.listxattr(tmp_path / "new")
    fd = os.open(tmp_path / "new", os.O_RDWR)
    facts.apply(fd, all_facts(file))
    os.close(fd)
    assert all_facts(tmp_path / "new")._replace(size=0) == all_facts(file)._replace(size=0)


def test_who_may_not_give_a_file_back_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path = tmp_path / "file"
    path.write_bytes(b"x")
    fd = os.open(path, os.O_RDWR)
    monkeypatch.setattr(os, "fchown", refuse)
    try:
        there = facts.read(fd, b"/f", b"/f")
        with pytest.raises(PermissionError, match="only root can give it back to user 7 and group 8"):
            facts.apply(fd, there._replace(uid=7, gid=8))
    finally:
        os.close(fd)
