"""Completion: real shells load the scripts and offer what the programs understand."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs.cli import completion, described

PATIENCE = 20.0  # seconds for a shell to answer

needs_zsh = pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
needs_fish = pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("share")
    for place, text in completion.scripts().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "some folder").mkdir()
    (tmp_path / "some file").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bash(scripts: Path, *words: str) -> set[str]:
    """What bash offers when Tab is pressed behind *words*."""
    name = words[0]
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    program = (
        f"source '{scripts}/bash-completion/completions/{name}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        f"_{name}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "--norc", "-uc", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


def fish(scripts: Path, line: str) -> set[str]:
    name = line.split()[0]
    script = f"{scripts}/fish/vendor_completions.d/{name}.fish"
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source '{script}'; complete -C '{line}'"],
        capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, "HOME": str(scripts)},
    )  # fmt: skip
    assert done.stderr == ""
    return {row.split("\t")[0] for row in done.stdout.splitlines()}


def zsh(scripts: Path, line: str, wanted: str) -> str:
    """Types *line* and Tab into an interactive zsh; its screen until *wanted* stands there."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", ZDOTDIR=str(scripts), HOME=str(scripts))
        os.execvp("zsh", ["zsh", "-f", "-i"])
    folder = scripts / "zsh/vendor-completions"
    setup = f"PS1='rea''dy> '; fpath=('{folder}' $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=10000\n"
    try:
        os.write(fd, setup.encode())
        screen_until(fd, "ready> ")
        os.write(fd, line.encode() + b"\t")
        return screen_until(fd, wanted)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)


def screen_until(fd: int, wanted: str) -> str:
    screen = ""
    while wanted not in screen:
        ready, _, _ = select.select([fd], [], [], PATIENCE)
        assert ready, f"{wanted!r} is not on the screen: {screen!r}"
        screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x07|\r", "", os.read(fd, 65536).decode("utf-8", "replace"))
    return screen


def test_bash_offers_every_option_of_the_scanner(scripts):
    spellings = {spelling for option in described.kavscanner().options for spelling in option.spellings}
    assert bash(scripts, "kavscanner", "-") == spellings
    assert bash(scripts, "kavscanner", "/srv", "--max-m") == {"--max-member-size", "--max-members"}


def test_bash_offers_files_where_files_belong_and_only_there(scripts, place):
    assert bash(scripts, "kavscanner", "some") == {"some folder", "some file"}
    assert bash(scripts, "kavscanner", "--exclude-dir", "some") == {"some folder"}
    assert bash(scripts, "kavscanner", "--json", "some") == {"some folder", "some file"}
    assert bash(scripts, "kavscanner", "--jobs", "some") == set()


def test_bash_knows_the_commands_below_each_command(scripts, place):
    assert bash(scripts, "kavfs", "d") == {"db", "doctor", "demo"}
    assert bash(scripts, "kavfs", "db", "") == {"compile", "info", "list"}
    assert bash(scripts, "kavfs", "db", "info", "--r") == {"--rejected"}
    assert bash(scripts, "kavfs", "bench", "--compare", "") == {"clamd"}
    assert bash(scripts, "kavfs", "why", "some") == {"some folder", "some file"}
    assert bash(scripts, "kavfs", "help", "cac") == {"cache"}


@needs_fish
def test_fish_offers_options_commands_and_files(scripts, place):
    words = {option.spellings[-1] for option in described.kavscanner().options if option.spellings[-1].startswith("--")}
    assert fish(scripts, "kavscanner --") >= words
    assert "some folder/" in fish(scripts, "kavscanner --exclude-dir some")
    assert fish(scripts, "kavfs d") == {"db", "doctor", "demo"}
    assert fish(scripts, "kavfs db ") >= {"compile", "info", "list"}
    assert "--rejected" in fish(scripts, "kavfs db info --")
    assert "--rejected" not in fish(scripts, "kavfs db list --")


@needs_zsh
def test_zsh_loads_and_completes(scripts, place):
    assert "--one-file-system" in zsh(scripts, "kavscanner --one", "--one-file-system")
    assert "--rejected" in zsh(scripts, "kavfs db info --rej", "--rejected")
    assert "compile" in zsh(scripts, "kavfs db com", "compile")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_is_parsed_by_its_shell(scripts, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    folder = {"bash": "bash-completion", "zsh": "zsh", "fish": "fish"}[shell]
    found = [path for path in (scripts / folder).rglob("*") if path.is_file()]
    assert found
    for path in found:
        done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, timeout=PATIENCE)
        assert (done.returncode, done.stderr) == (0, ""), path
