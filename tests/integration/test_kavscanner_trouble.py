"""kavscanner in trouble: one clear line, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs.cli.demo import eicar
from kavfs.signatures.sources import STARTER
from tests.support.kavscanner import Run, command, environment, run

FILES = 2500  # whose lines are several times what a pipe and our buffer hold


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a state, one infected file, and a tree of many clean ones."""
    home = tmp_path_factory.mktemp("home")
    (home / "eicar.com").write_bytes(eicar())
    for i in range(FILES):
        path = home / "many" / f"{i % 10}" / f"{'x' * 80}-{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"clean {i}\n")
    assert run([*places(home), "-q", home / "eicar.com"], home).code == 25
    return home


def places(home: Path) -> list[str]:
    return ["--db", os.fsdecode(STARTER), "--state", str(home / "state")]


def one_line(done: Run, code: int) -> str:
    """The complaint of a run that failed, which is one line on standard error and nothing on standard output."""
    assert done.code == code, done.err
    assert done.out == b""
    lines = done.err.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("kavscanner: ")
    return lines[0]


def in_a_folder_that_is_gone(home: Path, module: str, *words: str | Path) -> Run:
    """The run of a program whose current directory was removed."""
    line = command(module, *(str(word) for word in words))
    shell = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh", *line]
    done = subprocess.run(shell, cwd=home, env=environment(home), capture_output=True, timeout=60, check=False)
    return Run(done.returncode, done.stdout, done.stderr)


def test_without_a_current_directory_absolute_paths_are_scanned(home: Path) -> None:
    done = in_a_folder_that_is_gone(home, "kavscanner", *places(home), home / "eicar.com")
    assert (done.code, done.err) == (25, b"")
    assert done.findings == [f"{home}/eicar.com INFECTED EICAR-Test-File"]


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("kavscanner", ["eicar.com"]),
        ("kavscanner", []),
        ("kavfs", ["db", "info", "--db", "rules"]),
        ("kavfs", ["db", "info", "--state", "state"]),
        ("kavfs", ["db", "compile", os.fsdecode(STARTER), "-o", "image"]),
    ],
)
def test_without_a_current_directory_other_paths_are_one_line(home: Path, module: str, words: list[str]) -> None:
    done = in_a_folder_that_is_gone(home, module, *words)
    assert (done.code, done.out) == (66, b"")
    assert done.err.decode().splitlines() == [
        f"{module}: the current directory cannot be found: No such file or directory"
    ]


def test_a_list_of_paths_from_a_standard_input_that_is_closed(home: Path) -> None:
    words = command("kavscanner", *places(home), "-@", "-")
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *words]
    done = subprocess.run(shell, cwd=home, env=environment(home), capture_output=True, timeout=60, check=False)
    line = one_line(Run(done.returncode, done.stdout, done.stderr), 66)
    assert line == "kavscanner: list of paths -: standard input is closed"


@pytest.mark.parametrize(
    "words", [["-o", "X", "-pi", "X"], ["--json", "X", "-o", "./X"], ["-pi", "X", "-pe", "Y"], ["-pi", "X", "-ps", "X"]]
)
def test_two_reports_are_not_written_to_one_file(home: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "X").write_text("of before")
    os.link(tmp_path / "X", tmp_path / "Y")
    done = run([*places(home), *words, home / "eicar.com"], home, cwd=tmp_path)
    assert "is the same file" in one_line(done, 66)


def test_a_report_is_not_written_to_the_file_that_standard_output_is(home: Path, tmp_path: Path) -> None:
    words = command("kavscanner", *places(home), "-o", "X", str(home / "eicar.com"))
    shell = ["sh", "-c", 'exec "$@" >X', "sh", *words]
    done = subprocess.run(shell, cwd=tmp_path, env=environment(home), capture_output=True, timeout=60, check=False)
    assert done.returncode == 66
    assert done.stderr.decode() == f"kavscanner: cannot write {tmp_path}/X: standard output is the same file\n"


def test_two_reports_may_be_thrown_away_together(home: Path) -> None:
    assert run([*places(home), "-o", "/dev/null", "-pi", "/dev/null", home / "eicar.com"], home).code == 25


INTERRUPTED = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == os.environ["MODULE"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from kavfs.cli.kavscanner import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["program", "request", "reports", "running"])
def test_ctrl_c_during_the_start_ends_quietly(home: Path, module: str) -> None:
    """Whichever module is being imported when it comes."""
    words = [sys.executable, "-c", INTERRUPTED, *places(home), str(home)]
    env = {**environment(home), "MODULE": f"kavfs.cli.{module}"}
    done = subprocess.run(words, cwd=home, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) in ((-signal.SIGINT, b""), (30, b"kavscanner: interrupted\n"))
    assert done.stdout == b""


def test_ctrl_c_stays_ignored_where_it_is(home: Path) -> None:
    """As in the background of a script."""
    words = [sys.executable, "-c", INTERRUPTED, *places(home), str(home / "eicar.com")]
    env = {**environment(home), "MODULE": "kavfs.cli.program"}
    shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *words]
    done = subprocess.run(shell, cwd=home, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (25, b"")


def test_an_unknown_option(home: Path) -> None:
    assert "did you mean --jobs?" in one_line(run(["--jbos", "2"], home), 66)


def test_an_action_that_is_none(home: Path) -> None:
    assert "'5' is not one of 0 1 2 3 4" in one_line(run(["-i5", home], home), 66)


def test_a_configuration_that_cannot_be_read(home: Path, tmp_path: Path) -> None:
    assert "No such file" in one_line(run(["-c", tmp_path / "none.conf", home], home), 65)
    (tmp_path / "bad.conf").write_text("[scanner.options]\nRecursion=perhaps\n")
    assert "bad.conf:2: Recursion" in one_line(run(["-c", tmp_path / "bad.conf", home], home), 65)


def test_databases_that_are_missing_empty_or_damaged(home: Path, tmp_path: Path) -> None:
    words = ["--state", tmp_path / "state", home / "eicar.com"]
    assert one_line(run(["--db", tmp_path / "none", *words], home), 50)
    (tmp_path / "empty").mkdir()
    assert one_line(run(["--db", tmp_path / "empty", *words], home), 50)
    (tmp_path / "image").write_bytes(b"KAV" + bytes(5000))
    assert one_line(run(["--db", tmp_path / "image", *words], home), 55)


def test_a_start_that_fails_stands_in_the_report_too(home: Path, tmp_path: Path) -> None:
    run(["--db", tmp_path / "none", "-o", tmp_path / "log", home], home)
    assert re.search(r" F\] ", (tmp_path / "log").read_text())


def test_a_report_that_cannot_be_opened(home: Path) -> None:
    assert "No such file" in one_line(run([*places(home), "-o", "/nonexistent/log", home / "eicar.com"], home), 66)


def test_a_full_disk_costs_the_report_and_not_the_result(home: Path) -> None:
    done = run([*places(home), "-o", "/dev/full", home / "eicar.com"], home)
    assert done.code == 25
    assert done.err.decode().count("cannot write /dev/full: No space left on device") == 1
    assert "INFECTED" in done.out.decode()
    done = run([*places(home), "--json", "/dev/full", home / "many" / "1"], home)
    assert done.code == 30
    assert len(done.findings) == FILES // 10


@pytest.mark.parametrize("words", [["help"], ["db", "list"], ["why", "eicar.com"]])
def test_an_answer_that_cannot_be_written_is_one_line(home: Path, words: list[str]) -> None:
    more = places(home) if words[0] != "help" else []
    env = {**environment(home), "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("kavfs", *words, *more), cwd=home, env=env, stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.stderr.decode() == "kavfs: cannot write standard output: No space left on device\n"
    assert done.returncode == 30


def start(home: Path, *words: str | Path, **more) -> subprocess.Popen[bytes]:
    line = command("kavscanner", *places(home), *(str(word) for word in words))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(line, cwd=home, env=environment(home), **streams)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_scan_with_the_report_of_what_was_done(home: Path, number: signal.Signals) -> None:
    with start(home, home / "eicar.com", home / "many") as process:
        assert process.stdout is not None
        assert b"Version" in process.stdout.readline()
        while not process.stdout.readline().endswith(b" OK\n"):
            pass  # once one is here the scan is under way, and waits for us to read before it can end
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    text = rest.decode()
    assert "Scan interrupted" in text
    assert len(re.findall(r" OK$", text, re.MULTILINE)) < FILES - 1
    assert process.returncode in (25, 30)
    assert err == b""


def test_a_reader_that_goes_away_ends_the_scan_quietly(home: Path) -> None:
    with start(home, home / "many") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 30, "not everything was scanned"
        assert process.stderr.read() == b""


def test_closed_standard_streams_harm_nothing(home: Path, tmp_path: Path) -> None:
    words = command("kavscanner", *places(home), "-o", str(tmp_path / "log"), str(home / "eicar.com"))
    shell = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *words]
    done = subprocess.run(shell, cwd=home, env=environment(home), timeout=60, check=False)
    assert done.returncode == 25
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(re.match(r"\[[^\]]+ [FEWIA]\] ", line) for line in lines), "only the report's own lines"


def read_all(fd: int) -> bytes:
    """Everything a terminal shows until the other side closes it."""
    data = b""
    while select.select([fd], [], [], 60)[0]:
        try:
            piece = os.read(fd, 1 << 16)
        except OSError:  # EIO: closed
            break
        data += piece
    return data


@pytest.mark.parametrize("option", [None, "--no-progress", "-xp", "-q"])
def test_progress_is_shown_on_a_terminal_only(home: Path, option: str | None) -> None:
    terminal, side = pty.openpty()
    words = [option] if option else []
    with start(home, "-xn", *words, home / "many", stderr=side) as process:
        os.close(side)
        shown = read_all(terminal)
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    if option is None:
        assert re.search(rb"\r\d:\d\d:\d\d  [\d,]+ files  [\d,]+ files/s  [\d.,]+ MB/s  found 0\x1b\[K", shown)
        assert shown.endswith(b"\r\x1b[K"), "the line is taken away at the end"
    else:
        assert shown == b""
    assert b"files/s" not in run([*places(home), "-xn", "--progress", home / "many"], home).err


def test_records_on_a_terminal_are_not_mixed_with_progress(home: Path) -> None:
    terminal, side = pty.openpty()
    with start(home, "--json", "-", home / "eicar.com", stdout=side, stderr=side) as process:
        os.close(side)
        shown = read_all(terminal)
        assert process.wait(timeout=60) == 25
    os.close(terminal)
    assert [json.loads(line)["type"] for line in shown.splitlines()] == ["start", "result", "summary"]
