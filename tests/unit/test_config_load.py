"""Configuration: a file becomes settings, or an error with file and line."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

import pytest

from kavfs.config.load import load
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError
from kavfs.model import Switch
from kavfs.options import EVERYTHING


@pytest.fixture
def conf(tmp_path: Path):
    def write(text: str | bytes) -> bytes:
        path = tmp_path / "kavfs.conf"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return os.fsencode(path)

    return write


def refused(path: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 65
    return str(caught.value)


def test_an_empty_file_gives_the_defaults(conf) -> None:
    assert load(conf("")) == Settings()


def test_every_kind_of_value_reaches_its_field(conf) -> None:
    settings = load(
        conf(
            "# a comment\n; another\n[path]\nBasesPath = /var/db\nTempPath=/tmp\n[locale]\nDateFormat=%Y-%m-%d\n"
            "[scanner.options]\nExcludeDirs=/dev:/proc/\nExcludeMask=*.iso:*/tmp/*\nArchives=no\nHeuristic=false\n"
            "LocalFS=yes\nRecursion=no\nFollowSymlinks=true\nIchecker=no\nCure=no\n"
            "Polite=yes\nMaxLoadAvg=0.5\nPageCacheAsFound=no\n"
            "Cache=no\nCacheSize=5G\nObjectCacheSize=0\nRememberDigests=yes\n"
            "[scanner.report]\nReportFileName=/var/log/kav.log\nReportLevel=3\nReportFileMode=0640\nAppend=no\nShowOk=no\n"
            "[scanner.display]\nShowProgress=no\nShowContainerResultOnly=yes\n"
        )
    )
    assert settings == Settings(
        databases=b"/var/db",
        temp=b"/tmp",
        date_format="%Y-%m-%d",
        exclude_dirs=(b"/dev", b"/proc"),
        exclude_masks=(b"*.iso", b"*/tmp/*"),
        switches=EVERYTHING & ~(Switch.ARCHIVES | Switch.HEURISTIC),
        local_fs=True,
        recursion=False,
        follow_symlinks=True,
        cache=False,
        ichecker=False,
        polite=True,
        max_load=0.5,
        page_cache_as_found=False,
        cache_size=5 << 30,
        object_cache_size=0,
        remember_digests=True,
        report_file=b"/var/log/kav.log",
        report_level=3,
        report_mode=0o640,
        report_append=False,
        report_ok=False,
        display_progress=False,
        display_containers_only=True,
    )


def test_bytes_of_paths_are_kept_as_they_are(conf) -> None:
    settings = load(conf(b"[scanner.options]\r\nExcludeDirs=/caf\xe9 # no comment:/b;c\r\n"))
    assert settings.exclude_dirs == (b"/caf\xe9 # no comment", b"/b;c")


def test_a_file_saved_by_a_plain_ini_library_loads_as_before(conf, tmp_path: Path) -> None:
    before = "[scanner.options]\nExcludeDirs=/dev\nMailPlain=no\n[scanner.report]\nReportFileName=\nShowOk=no\n"
    parser = configparser.ConfigParser()
    parser.read_string(before)
    saved = tmp_path / "saved.conf"
    with saved.open("w") as file:
        parser.write(file)
    assert "mailplain = no" in saved.read_text()
    assert load(os.fsencode(saved)) == load(conf(before))


def test_sections_of_other_components_are_passed_over(conf) -> None:
    text = "[smtpscan.group:all]\nCheck=yes\n[aveserver.report]\nX=1\n[updater.options]\nY=no\n[options]\nUser=a\n"
    assert load(conf(text)) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[scanner.options]\n\nArchive=no\n",
            "kavfs.conf:3: [scanner.options] has no key Archive; did you mean Archives?",
        ),
        (
            "[scaner.options]\nArchives=no\n",
            "kavfs.conf:2: there is no section [scaner.options]; did you mean scanner.options?",
        ),
        (
            "[scanner.report]\nshowprogress=no\n",
            "kavfs.conf:2: [scanner.report] has no key showprogress; it belongs to [scanner.display]",
        ),
        ("[scanner.report]\nArchives=no\n", "has no key Archives; it belongs to [scanner.options]"),
        (
            "[scanner.options]\nArchives=yes # all\n",
            "kavfs.conf:2: Archives: 'yes # all' is neither yes nor no (a comment needs a line of its own)",
        ),
        ("[scanner.optoins]\nArchives=no\n", "kavfs.conf:2: there is no section [scanner.optoins]"),
        ("[scanner.options]\nArchives=maybe\n", "kavfs.conf:2: Archives: 'maybe' is neither yes nor no"),
        ("[scanner.options]\nExcludeDirs=dev\n", "kavfs.conf:2: ExcludeDirs: 'dev' is not an absolute path"),
        ("[scanner.options]\nExcludeDir=/a\nExcludeDirs=/b\n", "kavfs.conf:3: ExcludeDirs is set a second time"),
        ("[scanner.report]\nReportLevel=10\n", "kavfs.conf:2: ReportLevel: '10' is not a whole number from 0 to 9"),
        ("[path]\nTempPath=/nonexistent\n", "kavfs.conf:2: TempPath: '/nonexistent' is not a directory"),
        ("Archives=no\n", "kavfs.conf:1: Archives stands before the first [section]"),
        ("[scanner.options\n", "kavfs.conf:1: a section is written [name]"),
        ("[scanner.options]\njust words\n", "kavfs.conf:2: neither [section] nor Name=value: just words"),
        ("[scanner.options]\n=no\n", "kavfs.conf:2: neither [section] nor Name=value"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(conf, text: str, said: str) -> None:
    assert said in refused(conf(text))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert refused(os.fsencode(tmp_path / "none.conf")).endswith("none.conf: No such file or directory")
    assert refused(os.fsencode(tmp_path)).endswith(": Is a directory")
    assert "not a text file" in refused(b"/dev/zero")
