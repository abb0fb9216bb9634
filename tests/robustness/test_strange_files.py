"""Strange files: everything a tree may hold besides plain files. Each has its verdict, none is lost, none blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.programs import EICAR, EICAR_NAME, STARTER, Run, finish, kavscanner, start
from tests.support.trees import Device, Dir, Fifo, File, Hardlink, Socket, Sparse, Symlink, build
from tests.support.watching import IN_ACCESS, IN_OPEN, Watch

TERABYTE = 1 << 40
LARGE = 256 << 20  # takes long enough to read that a change at the first read falls into it
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="making a device node needs root")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def scan(state: Path, *words: str | bytes | Path, timeout: float = 120, before: tuple[str, ...] = ()) -> Run:
    return kavscanner("--db", STARTER, "--state", state, *words, timeout=timeout, before=before)


def entries_below(top: bytes) -> set[bytes]:
    """Every path below *top* that is not a directory."""
    return {os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names} | {
        os.path.join(folder, name)
        for folder, names, _ in os.walk(top)
        for name in names
        if os.path.islink(os.path.join(folder, name))
    }


# ---- what is not a file --------------------------------------------------------------------------------------------


def test_every_path_of_a_strange_tree_is_accounted_for(tmp_path: Path, state: Path) -> None:
    top = build(tmp_path / "tree", {
        "clean": b"nothing in here",
        "empty": b"",
        "eicar": EICAR,
        "pipe": Fifo(),
        "socket": Socket(),
        "dangling": Symlink("nowhere"),
        "loop": Symlink("."),
        "same": Hardlink("eicar"),
        b"not-utf8-\xff\xfe": EICAR,
        b"line\nbreak\x1b[31m\t\"'\\": b"plain",
        "n" * 255: EICAR,
        "closed": Dir({"inside": b"x"}),
        "folder": {"sub": {"clean": b"text"}},
    })  # fmt: skip
    run = scan(state, top)
    assert set(run.results) | set(run.skips) == entries_below(top)
    assert set(run.results) & set(run.skips) == set()
    assert run.exit_code == 25
    assert run.skips == {
        top + b"/pipe": "special",
        top + b"/socket": "special",
        top + b"/dangling": "symlink",
        top + b"/loop": "symlink",
    }
    infected = {path for path, record in run.results.items() if record["status"] == "infected"}
    assert infected == {top + b"/" + name for name in (b"eicar", b"same", b"not-utf8-\xff\xfe", b"n" * 255)}
    assert run.summary["files"] == len(run.results)


@pytest.mark.parametrize("node", [Fifo(), Socket()], ids=["fifo", "socket"])
def test_what_would_block_is_never_opened_even_when_named(tmp_path: Path, state: Path, node: Fifo | Socket) -> None:
    top = build(tmp_path / "tree", {"it": node})
    run = scan(state, top + b"/it", timeout=30)
    assert run.skips == {top + b"/it": "special"}
    assert run.exit_code == 0


@pytest.mark.root
@root_only
@pytest.mark.parametrize("node", [Device(1, 5), Device(5, 0), Device(7, 0, block=True)], ids=["zero", "tty", "loop0"])
def test_a_device_is_never_opened(tmp_path: Path, state: Path, node: Device) -> None:
    top = build(tmp_path / "tree", {"device": node, "beside": EICAR})
    run = scan(state, top, timeout=30)
    assert run.skips == {top + b"/device": "special"}
    assert run.status(top + b"/beside") == "infected"


def test_an_empty_file_is_clean(tmp_path: Path, state: Path) -> None:
    top = build(tmp_path / "tree", {"empty": b""})
    run = scan(state, top)
    assert run.status(top + b"/empty") == "clean"
    assert run.results[top + b"/empty"]["size"] == 0
    assert run.exit_code == 0


# ---- size and shape ------------------------------------------------------------------------------------------------


def test_the_end_of_a_sparse_terabyte_is_reached_without_reading_the_hole(tmp_path: Path, state: Path) -> None:
    top = build(tmp_path / "tree", {"huge": Sparse(TERABYTE, {-len(EICAR): EICAR})})
    started = time.monotonic()
    run = scan(state, top, timeout=60)
    assert run.threats(top + b"/huge") == [EICAR_NAME]
    assert run.results[top + b"/huge"]["threats"][0]["offset"] == TERABYTE - len(EICAR)
    assert run.exit_code == 25
    assert time.monotonic() - started < 10


def test_holes_do_not_hide_what_stands_between_them(tmp_path: Path, state: Path) -> None:
    pieces = {5 << 30: b"data", (9 << 30) - 20: EICAR, (20 << 30) + 1: b"more"}
    top = build(tmp_path / "tree", {"holes": Sparse(30 << 30, pieces)})
    run = scan(state, top)
    assert run.threats(top + b"/holes") == [EICAR_NAME]
    assert run.results[top + b"/holes"]["size"] == 30 << 30


def descend(top: Path, name: bytes, levels: int, content: bytes) -> bytes:
    """Folders inside each other, deeper than any path the kernel takes; the path of the file at the bottom."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open(b"bottom", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder)
    os.write(file, content)
    os.close(file)
    os.close(folder)
    return os.fsencode(top) + (b"/" + name) * levels + b"/bottom"


@pytest.mark.parametrize(("name", "levels"), [(b"d" * 200, 250), (b"d", 2100)], ids=["long-names", "many-levels"])
def test_a_file_deeper_than_path_max_is_scanned(tmp_path: Path, state: Path, name: bytes, levels: int) -> None:
    bottom = descend(tmp_path / "deep", name, levels, EICAR)
    try:
        run = scan(state, tmp_path / "deep")
        assert {path: record["status"] for path, record in run.results.items()} == {bottom: "infected"}
        assert run.exit_code == 25
    finally:
        remove(tmp_path / "deep")


def test_a_path_longer_than_we_carry_is_an_error_and_not_silence(tmp_path: Path, state: Path) -> None:
    descend(tmp_path / "deep", b"d" * 250, 300, EICAR)
    try:
        run = scan(state, tmp_path / "deep")
        assert [record["status"] for record in run.results.values()] == ["error"]
        assert run.exit_code == 30
    finally:
        remove(tmp_path / "deep")


def remove(folder: Path) -> None:
    """rm goes down by descriptors and without recursion; shutil.rmtree does not reach these depths."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_five_thousand_links_to_one_file_are_scanned_once_and_reported_each(tmp_path: Path, state: Path) -> None:
    content = EICAR + bytes(1 << 20)
    top = build(tmp_path / "tree", {"first": content, **{f"link{i}": Hardlink("first") for i in range(4999)}})
    run = scan(state, top)
    assert len(run.results) == 5000
    assert {record["status"] for record in run.results.values()} == {"infected"}
    assert run.summary["scanned"] < 3 * len(content)


# ---- what may not be read, what is not there -----------------------------------------------------------------------


def without_rights() -> tuple[str, ...]:
    """Words before a command that make root an ordinary reader: it keeps its files, and reads no others."""
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--") if os.geteuid() == 0 else ()


def test_what_may_not_be_read_is_an_error_with_its_reason(tmp_path: Path, state: Path) -> None:
    top = build(tmp_path / "tree", {"secret": File(EICAR, mode=0), "shut": Dir({"x": EICAR}), "open": b"text"})
    for name in (b"/secret", b"/shut"):
        if os.geteuid() == 0:
            os.chown(top + name, 65534, 65534)
        os.chmod(top + name, 0)
    try:
        run = scan(state, top, before=without_rights())
        for name in (b"/secret", b"/shut"):
            assert run.status(top + name) == "error"
            assert run.reasons(top + name) == ["unreadable"]
            assert "ermission" in run.results[top + name]["error"]
        assert run.status(top + b"/open") == "clean"
        assert run.exit_code == 30
    finally:
        os.chmod(top + b"/shut", 0o700)


def test_a_root_that_is_not_there_is_an_error_and_the_others_are_scanned(tmp_path: Path, state: Path) -> None:
    top = build(tmp_path / "tree", {"eicar": EICAR})
    missing = os.fsencode(tmp_path / "missing")
    run = scan(state, missing, top)
    assert run.status(missing) == "error"
    assert run.status(top + b"/eicar") == "infected"
    assert run.exit_code == 25
    alone = scan(state, missing)
    assert alone.status(missing) == "error"
    assert alone.exit_code == 30


def test_a_root_that_vanishes_under_the_scan_ends_it_without_a_false_word(tmp_path: Path, state: Path) -> None:
    names = [f"file{i:04}" for i in range(3000)]
    top = build(tmp_path / "tree", dict.fromkeys(names, EICAR))
    with Watch(top, IN_OPEN) as watch:
        process = start("kavscanner", "-q", "--json", "-", "--db", STARTER, "--state", state, top)
        watch.wait()
        remove(tmp_path / "tree")
        run = finish(process)
    assert set(run.results) | set(run.skips) <= {top, *(top + b"/" + name.encode() for name in names)}
    assert set(run.skips.values()) <= {"vanished"}
    assert {record["status"] for record in run.results.values()} <= {"infected", "error"}
    assert run.summary["interrupted"] is False
    assert run.exit_code in (0, 25, 30)


# ---- files that change while they are read -------------------------------------------------------------------------


def scan_while(state: Path, path: Path, change: Callable[[], None]) -> Run:
    """Scan *path* and call *change* when its first bytes have been read."""
    with Watch(path, IN_ACCESS) as watch:
        process = start("kavscanner", "-q", "--json", "-", "--db", STARTER, "--state", state, path)
        watch.wait()
        change()
        return finish(process)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    """A file that takes a while to read, with the test string at its very end; removed, because of its size."""
    path = tmp_path / "large"
    with path.open("wb") as f:
        for _ in range(LARGE // (1 << 20)):
            f.write(b"0123456789abcdef" * (1 << 16))
        f.write(EICAR)
    yield path
    path.unlink(missing_ok=True)


def test_a_file_that_shrinks_under_the_scan_is_not_called_clean(large: Path, state: Path) -> None:
    run = scan_while(state, large, lambda: os.truncate(large, LARGE // 2))
    assert run.status(large) == "error"
    assert run.reasons(large) == ["changed"]
    assert run.exit_code == 30
    assert run.summary["worker_deaths"] == 0


def test_a_file_that_grows_under_the_scan_is_not_called_complete(large: Path, state: Path) -> None:
    os.truncate(large, LARGE)  # without the test string

    def grow() -> None:
        with large.open("ab") as f:
            f.write(bytes(1 << 20) + EICAR)

    run = scan_while(state, large, grow)
    assert run.status(large) in ("error", "infected")
    assert run.reasons(large) == ["changed"]
    assert run.exit_code in (25, 30)


def test_a_file_written_to_for_ever_ends_anyway(large: Path, state: Path) -> None:
    code = "import sys\nwith open(sys.argv[1], 'ab', buffering=0) as f:\n    while True: f.write(b'line\\n' * 100)\n"
    writer: list[subprocess.Popen[bytes]] = []
    try:
        run = scan_while(
            state, large, lambda: writer.append(subprocess.Popen([sys.executable, "-c", code, str(large)]))
        )
    finally:
        for process in writer:
            process.kill()
            process.wait()
    assert run.status(large) == "infected"
    assert run.exit_code == 25


def test_a_file_replaced_under_the_scan_is_judged_by_what_was_opened(large: Path, tmp_path: Path, state: Path) -> None:
    (tmp_path / "other").write_bytes(b"harmless")
    run = scan_while(state, large, lambda: os.replace(tmp_path / "other", large))
    assert run.threats(large) == [EICAR_NAME]
    assert run.exit_code == 25
    assert scan(state, large).status(large) == "clean"


def test_a_file_removed_under_the_scan_is_judged_by_what_was_opened(large: Path, state: Path) -> None:
    run = scan_while(state, large, large.unlink)
    assert run.threats(large) == [EICAR_NAME]
    assert run.exit_code == 25
