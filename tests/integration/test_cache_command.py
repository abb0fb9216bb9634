"""kavfs cache: what an administrator sees of what is remembered, on stores that real scans have made."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from kavfs.cache.stores import open_stores
from kavfs.limits import Limits
from kavfs.options import EVERYTHING
from tests.support.programs import EICAR, STARTER, kavfs, kavscanner, start


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("one", "two", "three"):
        (folder / name).write_text(name)
    (folder / "bad").write_bytes(EICAR)
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def scan(state: Path, *words: str | Path) -> int:
    return kavscanner("--db", STARTER, "--state", state, *words).exit_code


def refused(*words: str | Path) -> str:
    """The one line of a command that must fail."""
    process = start("kavfs", *words)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 30
    (line,) = errors.decode().splitlines()
    return line


def why(state: Path, *paths: Path) -> str:
    return kavfs("cache", "why", "--db", STARTER, "--state", state, *paths)


def test_before_any_scan_there_is_nothing(state: Path, tree: Path) -> None:
    for words in (("stats",), ("clear",)):
        assert kavfs("cache", *words, "--state", state) == "there is no cache: nothing is remembered\n"
    assert why(state, tree / "one") == f"{tree}/one: scanned: there is no cache: nothing is remembered\n"
    assert not (state / "cache").exists()


def test_stats_say_what_there_is(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    text = kavfs("cache", "stats", "--state", state)
    assert f"Cache: {state}/cache\n" in text
    assert re.search(r"^Files: [\d,]+", text, re.MULTILINE)
    assert re.search(r"^Objects: [\d,]+; .* of at most 64\.0 MiB$", text, re.MULTILINE)
    assert re.search(r"^Settings of scans: 1, the last on \d{4}-", text, re.MULTILINE)


def test_no_cache_makes_none(state: Path, tree: Path) -> None:
    assert scan(state, "--no-cache", tree) == 25
    assert not (state / "cache").exists()


def test_no_object_cache_makes_none_and_the_rest(state: Path, tree: Path) -> None:
    assert scan(state, "--no-object-cache", tree) == 25
    assert not (state / "cache" / "objects").exists()
    assert "Objects: there is no object cache\n" in kavfs("cache", "stats", "--state", state)


def test_clear_forgets_everything_but_the_key(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    folder = state / "cache"
    key = (folder / "key").read_bytes()
    (folder / "files.damaged-20200101-000000").write_bytes(b"x" * 100_000)
    (folder / "notes-of-the-administrator").write_bytes(b"not ours")
    assert re.fullmatch(r"everything is forgotten; [\d.]+ [KM]iB freed\n", kavfs("cache", "clear", "--state", state))
    assert sorted(os.listdir(folder)) == ["key", "notes-of-the-administrator"]
    assert (folder / "key").read_bytes() == key
    assert scan(state, tree) == 25


def test_clear_is_refused_while_a_scan_runs(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    with open_stores(os.fsencode(state), limits=Limits(), switches=EVERYTHING):
        assert "cannot be used: another process is using it" in refused("cache", "clear", "--state", state)
        assert (state / "cache" / "objects").exists()
    kavfs("cache", "clear", "--state", state)


def test_a_folder_that_others_may_write_to_is_not_looked_at(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    (state / "cache").chmod(0o777)
    assert "others than its owner may write to it" in refused("cache", "stats", "--state", state)
    assert "others than its owner may write to it" in refused("cache", "clear", "--state", state)


def test_a_scan_with_a_cache_it_cannot_use_says_so_and_finds_the_same(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    (state / "cache").chmod(0o777)
    run = kavscanner("--db", STARTER, "--state", state, tree)
    assert run.exit_code == 25
    assert f"no cache, everything is scanned: {state}/cache: others than its owner may write to it" in run.notes
    assert run.status(tree / "bad") == "infected"


def test_a_damaged_store_is_set_aside_with_a_note_and_nothing_is_missed(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    files = state / "cache" / "files"
    files.write_bytes(b"\0" * 100_000)
    assert "it is damaged; the next scan begins it anew" in refused("cache", "stats", "--state", state)
    run = kavscanner("--db", STARTER, "--state", state, tree)
    assert run.exit_code == 25
    (note,) = [note for note in run.notes if "files" in note]
    assert "files is damaged, or of another version; it is kept as files.damaged-" in note
    assert "Set aside: files.damaged-" in kavfs("cache", "stats", "--state", state)
    assert kavscanner("--db", STARTER, "--state", state, tree).notes == []


def test_why_names_what_can_never_be_remembered(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    text = why(state, tree, Path("/proc/version"))
    assert f"{tree}: not a regular file; only these are remembered\n" in text
    assert "/proc/version: scanned: its file system is not trusted: proc " in text


def test_why_goes_on_after_a_path_that_is_not_there_and_says_so_in_the_end(state: Path, tree: Path) -> None:
    process = start("kavfs", "cache", "why", "--db", STARTER, "--state", state, tree / "gone", tree)
    output, errors = process.communicate(timeout=60)
    assert output.decode().splitlines() == [
        f"{tree}/gone: No such file or directory",
        f"{tree}: not a regular file; only these are remembered",
    ]
    assert errors == b"kavfs: 1 path could not be looked at\n"
    assert process.returncode == 30


def test_why_follows_a_file_through_its_life(state: Path, tree: Path) -> None:
    """From the first scan over a change to the next; only where the file system can be trusted."""
    assert scan(state, tree) == 25
    path = tree / "one"
    first = why(state, path)
    if "its file system is not trusted" in first:
        pytest.skip(f"the temporary folder is no place to remember files: {first.strip()}")
    assert first.startswith(f"{path}: scanned: ")  # it was made just before the scan
    deadline = time.monotonic() + 30
    while not (text := why(state, path)).startswith(f"{path}: answered from the store: clean\n"):
        assert time.monotonic() < deadline, text
        assert scan(state, tree) == 25
    assert ", that of now\n" in text
    assert why(state, tree / "bad").startswith(f"{tree}/bad: scanned: it is not remembered")
    path.write_text("other")
    text = why(state, path)
    assert text.startswith(f"{path}: scanned: it has changed: size, modification time, change time\n")
    assert "    size: 3, now 5\n" in text
    assert "    it was changed in the last 3 s: a scan would not remember it yet\n" in text


def test_a_reader_that_goes_away_is_no_error(state: Path, tree: Path) -> None:
    assert scan(state, tree) == 25
    process = start("kavfs", "cache", "stats", "--state", state)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
