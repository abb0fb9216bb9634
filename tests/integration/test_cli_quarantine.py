"""kavfs quarantine: what an administrator sees of it, and what he gets back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kavfs.action.catalogue import BACKUP, QUARANTINE, Finding
from kavfs.action.layout import TREE
from kavfs.action.store import Store
from tests.support.acting import hold
from tests.support.programs import EICAR, STARTER, command, kavfs

FINDING = Finding("Eicar-Test-Signature", generation=bytes(range(16)))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def quarantined(state: Path, file: Path, content: bytes, finding: Finding = FINDING, kind: str = QUARANTINE) -> str:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with Store(os.fsencode(state / "quarantine")) as store, hold(file) as held:
        return store.put(held, finding, kind) if kind == BACKUP else store.take(held, finding)[0]


def said(state: Path, *words: str | bytes | Path) -> str:
    return kavfs("quarantine", *words, "--state", state)


def refused(state: Path, *words: str | bytes | Path, code: int = 30) -> str:
    """The one line of a command that must fail."""
    done = subprocess.run(command("kavfs", "quarantine", *words, "--state", state), capture_output=True, timeout=60)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.decode().splitlines()
    return line


def test_before_anything_was_taken(state: Path) -> None:
    assert said(state, "list") == "the quarantine is empty\n"
    assert said(state, "rescan", "--db", STARTER) == "the quarantine is empty\n"
    assert said(state, "prune") == "0 items removed\n"
    assert "no item abc" in refused(state, "show", "abc")
    assert not state.exists()


def test_listed_shown_and_restored(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "data" / os.fsdecode(b"two\nlines\xff")
    item = quarantined(state, file, b"infected")
    line, total = said(state, "list").splitlines()
    assert line.startswith(item)
    assert "Eicar-Test-Signature" in line
    assert line.endswith(f"{tmp_path}/data/two\\nlines\\xff")
    assert total == "1 item, 8 bytes"
    shown = said(state, "show", item[:6])
    for part in (item, "Signatures: 000102", f"by user {os.getuid()}", "8 bytes, SHA-256", "mode 0644"):
        assert part in shown
    assert said(state, "restore", item).startswith(f"{item}  restored  {tmp_path}/data/")
    assert file.read_bytes() == b"infected"
    assert said(state, "list") == "the quarantine is empty\n"


def test_lists_are_filtered(state: Path, tmp_path: Path) -> None:
    taken = quarantined(state, tmp_path / "data" / "one", b"1")
    kept = quarantined(state, tmp_path / "data" / "two", b"2", kind=BACKUP)
    assert [line[:16] for line in said(state, "list").splitlines()[:-1]] == [taken, kept]
    assert [line[:16] for line in said(state, "list", "--kind", "backup").splitlines()[:-1]] == [kept]
    assert [line[:16] for line in said(state, "list", "--path", tmp_path / "data/one").splitlines()[:-1]] == [taken]


def test_restored_to_another_place_and_over_nothing(state: Path, tmp_path: Path) -> None:
    items = [quarantined(state, tmp_path / "data" / name, name.encode()) for name in ("one", "two")]
    (tmp_path / "data" / "one").write_bytes(b"precious")
    assert "it was not written over" in refused(state, "restore", items[0])
    folder = tmp_path / "back"
    folder.mkdir()
    said(state, "restore", *items, "--to", folder, "--keep")
    assert [(folder / name).read_bytes() for name in ("one", "two")] == [b"one", b"two"]
    assert len(said(state, "list").splitlines()) == 3
    assert "folder only" in refused(state, "restore", *items, "--to", tmp_path / "new", code=66)
    assert (tmp_path / "data" / "one").read_bytes() == b"precious"


def test_exported_to_a_pipe_or_a_new_file(state: Path, tmp_path: Path) -> None:
    item = quarantined(state, tmp_path / "data" / "one", b"\0\xffbytes")
    done = subprocess.run(command("kavfs", "quarantine", "export", item, "--state", state), capture_output=True)
    assert done.stdout == b"\0\xffbytes"
    said(state, "export", item, "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"\0\xffbytes"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert "cannot be made" in refused(state, "export", item, "-o", tmp_path / "out")


def test_deleted_and_pruned(state: Path, tmp_path: Path) -> None:
    items = [quarantined(state, tmp_path / "data" / str(number), b"x" * 1000) for number in range(4)]
    said(state, "delete", items[0])
    assert said(state, "prune", "--days", "1").endswith("0 items removed\n")
    assert said(state, "prune", "--size", "2K").endswith("1 item removed\n")
    assert [line[:16] for line in said(state, "list").splitlines()[:-1]] == items[2:]
    assert "is no size" in refused(state, "prune", "--size", "lots", code=66)


def test_judged_again_and_given_back(state: Path, tmp_path: Path) -> None:
    bad = quarantined(state, tmp_path / "data" / "bad", EICAR)
    good = quarantined(state, tmp_path / "data" / "good", b"a mistake", Finding("Mistake"))
    other = quarantined(state, tmp_path / "data" / "other", b"yara's", Finding("Rule", engine="yara"))
    told = said(state, "rescan", "--db", STARTER)
    assert f"{bad}  INFECTED" in told
    assert f"{good}  OK" in told
    assert f"{other}  not judged" in told
    assert "1 item clean now, 0 restored" in told
    assert "clean now" in said(state, "list", "--path", tmp_path / "data" / "good")
    told = said(state, "rescan", "--db", STARTER, "--restore-clean")
    assert "1 item clean now, 1 restored" in told
    assert os.listdir(tmp_path / "data") == ["good"]
    assert (tmp_path / "data" / "good").read_bytes() == b"a mistake"


def test_the_folder_of_move_path(state: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "infected"
    file.write_bytes(b"infected")
    with Store(os.fsencode(folder), layout=TREE) as store, hold(file) as held:
        item = store.take(held, FINDING)[0]
    assert item in said(state, "list", "--store", folder)
    said(state, "restore", item, "--store", folder)
    assert file.read_bytes() == b"infected"


def test_the_folders_of_the_configuration(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "data" / "file"
    backup = quarantined(state, file, b"infected before", kind=BACKUP)
    (state / "quarantine").rename(tmp_path / "backups")
    item = quarantined(state, file, b"infected")
    (state / "quarantine").rename(tmp_path / "folder")
    settings = tmp_path / "kavfs.conf"
    settings.write_text(f"[scanner.path]\nQuarantinePath={tmp_path}/folder\nBackupPath={tmp_path}/backups\n")
    assert item in said(state, "list", "-c", settings)
    assert backup in said(state, "list", "-c", settings, "--backups")
    settings.write_text("[scanner.path]\nBackupPath=no\n")
    assert said(state, "list", "-c", settings) == "the quarantine is empty\n"
    assert "BackupPath=no" in refused(state, "list", "-c", settings, "--backups", code=66)
    assert f"no store {tmp_path}/none" in refused(state, "list", "--store", tmp_path / "none")
