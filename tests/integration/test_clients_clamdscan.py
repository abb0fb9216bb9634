"""clamdscan says the same about our socket as about that of the real clamd with the same signatures.

Both are run side by side and compared byte for byte, exit codes included. What differs is named: times in the summary,
the order of files (the daemons walk folders in different orders), the version, and --allmatch by path: clamd repeats a
name for each form of an object in which it was found, and stops in a folder at the first file with a find.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import make_zip
from tests.support.daemons import EICAR_NAME, MARKS, Pair, pair
from tests.support.programs import EICAR

pytestmark = pytest.mark.clamav
TIMES = re.compile(rb"^(Time|Start Date|End Date):.*$", re.MULTILINE)
MODES = {
    "plain": (),
    "multiscan": ("--multiscan",),
    "fdpass": ("--fdpass",),
    "stream": ("--stream",),
    "allmatch": ("--allmatch",),
    "allmatch-fdpass": ("--allmatch", "--fdpass"),
    "allmatch-stream": ("--allmatch", "--stream"),
    "multiscan-fdpass": ("--multiscan", "--fdpass"),
    "multiscan-stream": ("--multiscan", "--stream"),
    "infected": ("--infected",),
    "no-summary": ("--no-summary",),
    "quiet": ("--quiet",),
    "verbose": ("--verbose",),
}
SAYS_MORE = [("allmatch", "marks"), ("allmatch", "tree"), ("allmatch", "all")]
TARGETS = ("clean", "eicar", "marks", "empty", "zipped", "missing", "pipe", "link", "dangling", "none", "tree", "all")


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("clamdscan")) as both:
        yield both


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("files")
    (top / "clean").write_bytes(b"nothing in here")
    (top / "eicar").write_bytes(EICAR)
    (top / "marks").write_bytes(b"a " + b" b ".join(MARKS))
    (top / "empty").write_bytes(b"")
    (top / "zipped").write_bytes(make_zip({"a/eicar.com": EICAR, "b": b"fine"}))
    os.mkfifo(top / "pipe")
    (top / "link").symlink_to("eicar")
    (top / "dangling").symlink_to("missing")
    (top / "none").mkdir()
    (top / "tree" / "below" / "deep").mkdir(parents=True)
    (top / "tree" / "below" / "one.com").write_bytes(EICAR)
    (top / "tree" / "below" / "deep" / "clean").write_bytes(b"fine")
    (top / "tree" / "with blanks").write_bytes(MARKS[1])
    (top / "tree" / "up").symlink_to("..")
    return top


def clamdscan(socket: Path, *words: str | Path, stdin: bytes = b"") -> tuple[int, list[bytes], bytes]:
    """Exit code, lines of its output in order of the alphabet, and what it says otherwise."""
    settings = socket.with_suffix(".client")
    settings.write_text(f"LocalSocket {socket}\nStreamMaxLength 1M\n")
    command = ["clamdscan", "--config-file", str(settings), *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, sorted(TIMES.sub(rb"\1", done.stdout).split(b"\n")), done.stderr


def same(daemons: Pair, *words: str | Path, stdin: bytes = b"") -> tuple[int, list[bytes], bytes]:
    ours, theirs = (clamdscan(socket, *words, stdin=stdin) for socket in (daemons.ours, daemons.theirs))
    assert ours == theirs
    return ours


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_on_every_kind_of_file(daemons: Pair, files: Path, mode: str, target: str) -> None:
    if (mode, target) not in SAYS_MORE:
        same(daemons, *MODES[mode], files if target == "all" else files / target)


@pytest.mark.parametrize("target", [target for _, target in SAYS_MORE])
def test_all_names_of_all_files_each_once(daemons: Pair, files: Path, target: str) -> None:
    path = files if target == "all" else files / target
    (code, ours, errors), theirs = (clamdscan(one, "--allmatch", path) for one in (daemons.ours, daemons.theirs))
    named = [line for line in ours if line.endswith(b" FOUND")]
    assert (code, errors) == (theirs[0], theirs[2])
    assert len(set(named)) == len(named)
    assert {line for line in theirs[1] if line.endswith(b" FOUND")} <= set(named)
    assert {line.split(b": ")[0] for line in named} == found_by(daemons.ours, path)


def found_by(socket: Path, path: Path) -> set[bytes]:
    _, lines, _ = clamdscan(socket, "--multiscan", path)
    return {line.split(b": ")[0] for line in lines if line.endswith(b" FOUND")}


def test_the_name_and_the_exit_code(daemons: Pair, files: Path) -> None:
    code, lines, _ = same(daemons, files / "eicar")
    assert code == 1
    assert f"{files}/eicar: {EICAR_NAME} FOUND".encode() in lines
    assert same(daemons, files / "clean")[0] == 0
    assert same(daemons, files / "missing")[0] == 2


@pytest.mark.parametrize("mode", ["plain", "fdpass", "stream", "multiscan"])
def test_many_files_in_one_call(daemons: Pair, files: Path, mode: str) -> None:
    code, lines, _ = same(daemons, *MODES[mode], *(files / name for name in ("clean", "eicar", "missing", "marks")))
    assert code in (1, 2)
    assert any(line.endswith(b"Mark.One.UNOFFICIAL FOUND") for line in lines)


def test_a_list_of_files(daemons: Pair, files: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{files}/clean\n{files}/eicar\n{files}/tree\n")
    assert same(daemons, f"--file-list={tmp_path / 'list'}")[0] == 1


@pytest.mark.parametrize("content", [b"", b"fine", EICAR, b"x" * 300_000], ids=["empty", "clean", "eicar", "large"])
def test_standard_input(daemons: Pair, content: bytes) -> None:
    assert same(daemons, "-", stdin=content)[0] == (1 if content == EICAR else 0)


def test_a_stream_that_is_too_long(daemons: Pair, tmp_path: Path) -> None:
    """The client cuts at its own StreamMaxLength, so that the daemons never see the rest."""
    (tmp_path / "long").write_bytes(EICAR + bytes(1_500_000))
    same(daemons, "--stream", tmp_path / "long")


def test_ping_and_reload(daemons: Pair) -> None:
    assert same(daemons, "--ping", "1")[0] == 0
    assert same(daemons, "--reload")[0] == 0


def test_ping_of_a_server_that_is_not_there(daemons: Pair, tmp_path: Path) -> None:
    assert clamdscan(tmp_path / "nobody", "--ping", "1")[0] != 0


def test_version_is_the_one_answer_that_differs(daemons: Pair) -> None:
    ours, theirs = (clamdscan(socket, "--version") for socket in (daemons.ours, daemons.theirs))
    assert (ours[0], ours[2]) == (theirs[0], theirs[2]) == (0, b"")
    assert any(re.fullmatch(rb"ClamAV [\d.]+.*", line) for line in theirs[1])
    assert any(re.fullmatch(rb"kavfs [\d.]+/[0-9a-f]{8}/\w{3} \w{3} .*", line) for line in ours[1])
