"""Combinations: what cannot be together is refused, what has no effect is told, with file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.config.load import Loaded, load, read
from kavfs.errors import ConfigError


def loaded(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return read(os.fsencode(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[scanner.path]\nBackupPath=/var/store\nQuarantinePath=/var/store/\n",
            "k.conf:3: QuarantinePath: /var/store is the place of BackupPath already",
        ),
        (
            "[scanner.report]\nReportFileName=/var/log/r\nHtml=/var/log/r\n",
            "k.conf:3: Html: /var/log/r is the place of ReportFileName already",
        ),
        (
            "[scanner.report]\nEventStore=/var/log/r\nHtml=/var/log/r\n",
            "k.conf:2: EventStore: /var/log/r is the place of Html already",
        ),
        ("[scanner.path]\nBackupPath=/\n", "k.conf:2: BackupPath: '/' cannot be a store"),
        ("[scanner.options]\nExcludeDirs=/proc:/\n", "k.conf:2: ExcludeDirs: '/' would leave out everything"),
        ("[scanner.options]\nExcludeMask=*.iso:*\n", "k.conf:2: ExcludeMask: '*' would leave out everything"),
        ("[scanner.notify]\nMail=a b\n", "k.conf:2: Mail: 'a b' is not a mail address"),
        ("[scanner.notify]\nMail=-oQ/tmp\n", "k.conf:2: Mail: '-oQ/tmp' is not a mail address"),
        ("[scanner.notify]\nFrom=a@b,c@d\n", "k.conf:2: From: 'a@b,c@d' is more than one mail address"),
        ("[scanner.notify]\nOn=infected,always\n", "k.conf:2: On: 'always' stands alone"),
        ("[scanner.notify]\nOn=clean\n", "k.conf:2: On: 'clean' is not one of infected, "),
        ("[quarantine]\nMaxAge=30\n", "k.conf:2: MaxAge: '30' has no unit"),
        ("[quarantine]\nMaxAgee=30d\n", "k.conf:2: [quarantine] has no key MaxAgee; did you mean MaxAge?"),
        ("[quarantin]\nMaxAge=30d\n", "k.conf:2: there is no section [quarantin]; did you mean quarantine?"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    result = loaded(tmp_path, text)
    assert [error for error in result.errors if said in error]
    with pytest.raises(ConfigError) as caught:
        load(os.fsencode(tmp_path / "k.conf"))
    assert said in str(caught.value)


def test_all_mistakes_of_a_file_are_found_at_once(tmp_path: Path) -> None:
    errors = loaded(
        tmp_path, "[scanner.options]\nArchive=no\nMailPlain=no\nMaxDepth=x\n[scanner.path]\nBackupPath=q\n"
    ).errors
    assert [error.split(":")[1] for error in errors] == ["2", "4", "6"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scanner.object]\nOnCured=rename .x\n", "k.conf:2: OnCured has no effect: nothing is cured with Cure=no"),
        ("[scanner.options]\nKeepContainer=yes\n", "k.conf:2: KeepContainer has no effect: nothing is cured"),
        ("[scanner.options]\nCache=no\nCacheSize=1GiB\n", "k.conf:3: CacheSize has no effect: Cache=no"),
        ("[scanner.report]\nReportLevel=3\n", "k.conf:2: ReportLevel has no effect: there is no ReportFileName"),
        ("[scanner.report]\nReportFileName=syslog\nAppend=no\n", "k.conf:3: Append has no effect: the report goes"),
        ("[scanner.report]\nEventStore=no\nEventRetention=9d\n", "k.conf:3: EventRetention has no effect: EventStore"),
        ("[scanner.notify]\nCommand=cat\nSubject=s\n", "k.conf:3: Subject has no effect: Mail is empty"),
        ("[scanner.notify]\nOn=always\n", "k.conf:2: On has no effect: Mail and Command are empty"),
        ("[scanner.options]\nMaxUnpacked=1MiB\nMaxMemberSize=2MiB\n", "k.conf:3: MaxMemberSize is larger than"),
    ],
)
def test_what_has_no_effect_is_told_and_loads(tmp_path: Path, text: str, said: str) -> None:
    result = loaded(tmp_path, text)
    assert result.errors == []
    (doubt,) = result.doubts()
    assert said in doubt


@pytest.mark.parametrize(
    "text",
    [
        "[scanner.options]\nCure=yes\nKeepContainer=yes\n[scanner.object]\nOnCured=rename .x\n",
        "[scanner.object]\nOnCured=\n",
        "[scanner.report]\nReportLevel=4\nReportFileMode=\n",
        "[scanner.report]\nReportFileName=/var/log/r\nReportLevel=3\n",
        "[scanner.notify]\nCommand=cat\nOn=always\n",
        "[quarantine]\nRestoreClean=yes\n",
        "[scanner.path]\nBackupPath=/a\nQuarantinePath=/b\n",
    ],
)
def test_what_is_meant_gives_no_doubts(tmp_path: Path, text: str) -> None:
    result = loaded(tmp_path, text)
    assert (result.errors, result.doubts()) == ([], [])


def test_an_action_keeps_its_place_for_those_who_read_it_later(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[scanner.container]\nONINFECTED=remove\n[scanner.notify]\nCommand=cat\n").settings
    (entry,) = settings.actions
    assert (entry.section, entry.key, entry.value) == ("scanner.container", "OnInfected", b"remove")
    assert entry.place.endswith("k.conf:2")
    assert settings.notify_command is not None
    assert settings.notify_command.place.endswith("k.conf:4")
