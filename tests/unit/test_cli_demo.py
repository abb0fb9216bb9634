"""demo: the tree shows what it should, is kept, and never overwrites."""

from __future__ import annotations

import base64
import errno
import io
import os
import resource
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from kavfs.cli.demo import demo, eicar, write_tree
from kavfs.errors import SystemFailure, UsageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(os.fsencode(tmp_path / "demo"))
    return tmp_path / "demo"


def test_the_test_string_is_the_one_every_scanner_knows() -> None:
    assert len(eicar()) == 68
    assert eicar().startswith(b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$")
    assert eicar().endswith(b"-TEST-FILE!$H+H*")


def test_it_lies_there_plain_zipped_nested_and_mailed(tree: Path) -> None:
    bad = tree / "infected"
    assert (bad / "eicar.com").read_bytes() == eicar()
    assert zipfile.ZipFile(bad / "eicar.zip").read("eicar.com") == eicar()
    inner = zipfile.ZipFile(bad / "nested.zip").read("inner.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        deep = archive.extractfile("deep/eicar.com")
        assert deep is not None
        assert deep.read() == eicar()
    mail = (bad / "mail.eml").read_text()
    assert base64.b64decode(mail.split("base64\n\n", 1)[1].split("\n--parts--")[0]) == eicar()


def test_the_protected_zip_opens_with_its_password_only(tree: Path) -> None:
    archive = zipfile.ZipFile(tree / "protected" / "secret.zip")
    assert archive.read("secret.txt", b"password") == b"clean but secret\n"
    with pytest.raises(RuntimeError, match="encrypted"):
        archive.read("secret.txt")


def test_the_truncated_zip_is_damaged_and_begins_readable(tree: Path) -> None:
    data = (tree / "corrupted" / "truncated.zip").read_bytes()
    assert data.startswith(b"PK\3\4")
    assert b"first.txt" in data
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(data))


def test_special_entries_are_there(tree: Path) -> None:
    assert stat.S_ISFIFO((tree / "skipped" / "fifo").stat().st_mode)
    assert (tree / "skipped" / "broken-link").is_symlink()
    assert not (tree / "skipped" / "broken-link").exists()
    assert (tree / "clean" / "empty").stat().st_size == 0
    assert os.listdir(os.fsencode(tree / "names")) == [b"caf\xe9.txt"]


def test_nothing_is_overwritten_and_only_what_is_missing_is_written(tree: Path) -> None:
    (tree / "clean" / "letter.txt").write_text("mine")
    (tree / "infected" / "eicar.zip").unlink()
    assert write_tree(os.fsencode(tree)) == 1
    assert (tree / "clean" / "letter.txt").read_text() == "mine"
    assert (tree / "infected" / "eicar.zip").exists()
    assert not list(tree.rglob("*.part"))


def test_a_full_disk_is_not_taken_for_a_name_that_is_refused(tmp_path: Path, monkeypatch) -> None:
    from kavfs.cli import demo as module

    def full(path: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_TREE", {module._ODD_NAME: full})
    with pytest.raises(SystemFailure, match="No space left"):
        write_tree(os.fsencode(tmp_path))


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """A limit for the size of files stands in for the disk: the write itself fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(SystemFailure, match="File too large"):
            write_tree(os.fsencode(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for words in ([], [b"a", b"b"], [b"--help"]):
        with pytest.raises(UsageError, match="kavfs demo DIR"):
            demo(words)
    (tmp_path / "file").touch()
    with pytest.raises(SystemFailure, match="cannot write"):
        demo([os.fsencode(tmp_path / "file")])


def test_the_source_holds_nothing_that_would_be_found() -> None:
    import kavfs.cli.demo

    source = Path(kavfs.cli.demo.__file__).read_bytes()
    assert eicar() not in source
    assert b"phrase one of two" not in source
