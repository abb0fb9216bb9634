"""kavfs config: a file is checked, shown and made, with the real configuration files of Debian's ClamAV packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs.cli.kavfs import kavfs as program
from kavfs.config.keys import KEYS
from kavfs.config.mail_keys import own_keys_of
from kavfs.config.server_keys import OWN
from kavfs.errors import ConfigError
from tests.support.programs import kavfs, start

SHIPPED = Path(__file__).resolve().parents[2] / "conf" / "kavfs.conf"
CLAMAV = [Path("/etc/clamav/clamd.conf"), Path("/etc/clamav/freshclam.conf")]


def tried(*words: str | Path) -> tuple[int, str, str]:
    process = start("kavfs", *words)
    out, errors = process.communicate(timeout=60)
    return process.returncode, out.decode(), errors.decode()


def test_check_says_all_that_is_wrong_and_what_has_no_effect(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("[scanner.options]\nArchive=no\nMaxDepth=x\n[scanner.report]\nAppend=no\n[icapserver.path]\nA=b\n")
    code, out, errors = tried("config", "check", path)
    assert code == 65
    assert errors.splitlines() == [
        f"kavfs: {path}:2: [scanner.options] has no key Archive; did you mean Archives?",
        f"kavfs: {path}:3: MaxDepth: 'x' is not a whole number from 1 to 4294967295",
    ]
    assert f"warning: {path}:5: Append has no effect" in out
    assert "passed over: [icapserver.path]" in out


def test_check_of_the_shipped_file_finds_nothing() -> None:
    assert re.fullmatch(r".*/kavfs\.conf: \d+ settings, nothing wrong\n", kavfs("config", "check", SHIPPED))


def test_the_usual_file_is_read_and_without_it_there_are_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def answer(*words: bytes) -> str:
        assert program([b"config", *words]) == 0
        return capfd.readouterr().out

    none = "there is no configuration file; defaults are in force"
    assert answer(b"check") == none + "\n"
    assert answer(b"show", b"--changed") == f"# {none}\n"
    path = tmp_path / "kavfs" / "kavfs.conf"
    path.parent.mkdir()
    path.write_text("[scanner.options]\nRecursion=no\n")
    assert answer(b"check") == f"{path}: 1 setting, nothing wrong\n"
    assert answer(b"show", b"--changed") == f"# {path}\n[scanner.options]\n# {path}:2\nRecursion=no\n"


def test_a_run_without_a_file_loads_nothing_that_reads_one(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.geteuid = lambda: 1000; from kavfs.cli.request import read_request; read_request([b'/a']);"
        "print(*sorted(name for name in sys.modules if name.startswith('kavfs.config.')))"
    )
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["kavfs.config.settings", "kavfs.config.values"]


def test_show_says_where_each_value_comes_from_and_can_be_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("[scanner.options]\nMaxDepth=3\nArchives=no\nExcludeDirs=/b:/a\n")
    options = ("-eaS", "-R", "-j3", "--max-members", "9", "--exclude-dir", "/c")
    text = kavfs("config", "show", path, "--options", *options)
    lines = text.splitlines()
    assert len([line for line in lines if "=" in line]) == len(KEYS) + len(OWN) + len(own_keys_of(()))

    def origin(line: str) -> str:
        at = lines.index(line)
        return next(above for above in reversed(lines[:at]) if above.startswith("# "))

    assert origin("MaxDepth=3") == f"# {path}:2"
    assert origin("Archives=no") == f"# {path}:3"
    assert origin("ExcludeDirs=/b:/a:/c") == "# option --exclude-dir"
    assert origin("MaxMembers=9") == "# option --max-members"
    assert origin("ReportLevel=3") == "# option -j"
    assert origin("MailBases=yes") == "# default"
    again = tmp_path / "again.conf"
    again.write_text(text)
    changed = kavfs("config", "show", again, "--changed")
    wanted = ["ExcludeDirs=/b:/a:/c", "Archives=no", "MaxDepth=3", "MaxMembers=9", "ReportLevel=3"]
    assert [line for line in changed.splitlines() if "=" in line] == wanted


@pytest.mark.parametrize("words", [("show",), ("check",)])
def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, _, errors = tried("config", *words, tmp_path / "none.conf")
    assert (code, errors) == (65, f"kavfs: configuration {tmp_path}/none.conf: No such file or directory\n")


def test_debians_clamav_is_imported_and_the_result_loads(tmp_path: Path) -> None:
    out = tmp_path / "kavfs.conf"
    code, _, errors = tried("config", "import", *CLAMAV, "-o", out)
    assert code == 0
    text = out.read_text()
    for path in CLAMAV:
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                assert line.strip() in text
    assert "has no such option" not in errors
    assert tried("config", "check", out)[0] == 0
    shown = kavfs("config", "show", out, "--changed")
    assert "BasesPath=/var/lib/clamav" in shown
    assert "MaxMembers=10000" in shown
    assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["clamd.conf", "freshclam.conf"])
def test_every_option_that_clamav_documents_has_its_answer(tmp_path: Path, name: str) -> None:
    """All options of the sample that ClamAV itself prints, switched on."""
    command = ["clamconf", "-g", name]
    sample = subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": "/usr/bin"}).stdout
    options = re.findall(r"^#?([A-Z][A-Za-z0-9]+ \S.*)$", sample, re.MULTILINE)
    assert len(options) > 35
    (tmp_path / name).write_text("\n".join(options))
    code, out, errors = tried("config", "import", tmp_path / name)
    assert code == 0
    assert "has no such option" not in errors
    assert [option for option in options if option not in out] == []


def test_import_overwrites_nothing(tmp_path: Path) -> None:
    out = tmp_path / "kavfs.conf"
    out.write_text("mine")
    code, _, errors = tried("config", "import", CLAMAV[0], "-o", out)
    assert code == 30
    assert f"cannot write {out}: File exists" in errors
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ("movePath", "OnInfected: movePath needs the absolute path of a folder"),
        ("movepath quarantine", "OnInfected: movePath needs the absolute path of a folder"),
        ("delete", "OnInfected: there is no action 'delete'"),
        ("exec echo '%FILENAME%'", "OnInfected: %FILENAME% cannot stand inside single quotes"),
        ("remove; quarantine", "OnInfected: nothing is left for quarantine after remove"),
    ],
)
def test_an_action_that_cannot_be_is_found_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], actions: str, said: str
) -> None:
    path = tmp_path / "k.conf"
    path.write_text(f"[path]\n[scanner.container]\nOnInfected={actions}\n")
    assert program([b"config", b"check", os.fsencode(path)]) == 65
    assert f"k.conf:3: {said}" in capfd.readouterr().err
    with pytest.raises(ConfigError) as caught:
        program([b"config", b"import", os.fsencode(path)])
    assert f"k.conf:3: {said}" in str(caught.value)


def test_an_event_of_clamd_is_an_action_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "clamd.conf"
    path.write_text('VirusEvent /usr/local/bin/alert %v; logger "$CLAM_VIRUSEVENT_FILENAME"\n')
    code, out, _ = tried("config", "import", path)
    assert (code, out.count("\nOnInfected=exec export CLAM_VIRUSEVENT_FILENAME=")) == (0, 2)
    path.write_text("VirusEvent echo 'found %v'\n")
    code, _, errors = tried("config", "import", path)
    assert (code, errors.count("clamd.conf:1: OnInfected: %VIRUSNAME% cannot stand inside single quotes")) == (65, 1)
