"""Import: settings of other products become ours, are listed, or are an error; none is lost."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.config.clamav_options import ALWAYS, FRESHCLAM_ONLY, NONE
from kavfs.config.import_clamav import import_clamav
from kavfs.config.imported import Imported
from kavfs.config.importer import import_files
from kavfs.config.ini import parse
from kavfs.config.load import load, loaded
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError
from kavfs.model import Switch
from kavfs.options import EVERYTHING

V55 = """\
# kav4mailservers 5.5
[path]
BasesPath=/var/db/kav/5.5/kav4mailservers/bases
LicensePath=/var/db/kav/5.5/kav4mailservers/licenses
IcheckerDbFile=/var/db/kav/5.5/ichecker.db
TempPath=/tmp
[locale]
DateFormat=%d-%m-%Y
[aveserver.report]
ReportLevel=3
[smtpscan.general]
ForwardMailer=smtp:localhost:10026
[smtpscan.license]
LicenseDomain=example\\.org,example\\.com
[smtpscan.group:default]
Check=yes
[scanner.options]
ExcludeDir=/dev:/proc
Packed=yes
Archives=yes
MailBases=no
Cure=yes
UseAVbasesSet=redundant
MaxLoadAvg=
FileCacheSize=2000
[scanner.path]
BackupPath=/var/backup
[scanner.object]
OnInfected=movePath /tmp/infected
OnSuspicion=
[scanner.report]
ReportFileName=/var/log/kav/kavscanner.log
ReportLevel=3
[updater.options]
UpdateServerUrl=http://updates.example.org
"""

V56 = """\
[options]
User=kluser
Group=klusers
[path]
iCheckerDBFile=/var/opt/kaspersky/kav4lms/ichecker.db
PidPath=/var/run
[locale]
DateFormat=%Y-%m-%d
[kav4lms:groups]
_includes=kav4lms/groups.d/
[group.filter]
IncludeName=re:.*\\.exe
IncludeName=re:.*\\.scr
[scanner.options]
ExcludeDirs=/dev:/udev:/proc:/sys
FollowSymlinks=true
Ichecker=true
Heuristic=false
[scanner.display]
ShowOk=false
"""

SAMBA = """\
[samba.options]
Archives=no
ExcludeDirs=/srv/cache
HashType=md5
[samba.actions]
OnInfected=remove
"""

V4 = """\
[Object]
Names=*/home;./tmp
Files=Yes
FileMask=2
ExcludeFiles=1
ExcludeMask=*.txt, *.cmd
ExcludeDir=/srv
Packed=Yes
Archives=No
Embedded=Yes
CodeAnalyser=No
SubDirectories=No
CrossFs=No
InfectedAction=3
[ActionWithInfected]
InfectedCopy=Yes
InfectedFolder=/var/infected
CopyWithPaths=Yes
ChangeExt=No
NewExtension=vir
ChownTo=No
[TempFiles]
TempPath=/tmp
[Report]
Report=Yes
ReportFileName=/var/log/avp.log
RepCreateFlag=640
Append=No
Showok=No
UseCR=No
[Object]
Names=*/srv
Archives=Yes
"""


def imported(tmp_path: Path, **files: str) -> tuple[Imported, Settings]:
    """What is made of *files*, and the settings of the file that comes out."""
    paths = []
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        paths.append(os.fsencode(tmp_path / name))
    result = import_files(paths)
    text = b"\n".join(result.lines())
    for file in files.values():
        for line in file.splitlines():
            assert line[:1] in ("", "#", "[") or line.encode() in text, line  # nothing is lost
    out = tmp_path / "out.conf"
    out.write_bytes(text)
    return result, load(os.fsencode(out))


def actions(settings: Settings) -> dict[str, bytes]:
    return {f"{entry.section}/{entry.key}": entry.value for entry in settings.actions}


def left(result: Imported) -> str:
    return "\n".join(item.message() for item in result.left)


def refused(tmp_path: Path, text: str) -> str:
    (tmp_path / "f.conf").write_text(text)
    with pytest.raises(ConfigError) as caught:
        import_files([os.fsencode(tmp_path / "f.conf")])
    return str(caught.value)


def test_version_5_5(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, conf=V55)
    assert settings._replace(actions=()) == Settings(
        temp=b"/tmp",
        exclude_dirs=(b"/dev", b"/proc"),
        switches=EVERYTHING & ~Switch.MAILBASES,
        cure=True,
        backup_path=b"/var/backup",
        report_file=b"/var/log/kav/kavscanner.log",
        report_level=3,
    )
    assert actions(settings) == {"scanner.object/OnInfected": b"movePath /tmp/infected"}
    text = left(result)
    assert "conf:3: [path] BasesPath=/var/db/kav/5.5/kav4mailservers/bases: there is no such folder" in text
    assert "UseAVbasesSet=redundant: unwanted software is always looked for" in text
    assert "smtpscan" not in text
    assert "FileCacheSize=2000: there is no such key" in text
    assert "[updater.options] UpdateServerUrl=http://updates.example.org: updates" in text


def test_an_empty_backup_path_of_the_product_is_told(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, conf=V55.replace("BackupPath=/var/backup", "BackupPath="))
    assert settings.backup_path == b""
    assert "[scanner.path] BackupPath=: copies are kept all the same" in left(result)


def test_version_5_6_spells_some_names_otherwise_and_repeats_others(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, conf=V56)
    assert settings == Settings(
        date_format="%Y-%m-%d",
        exclude_dirs=(b"/dev", b"/udev", b"/proc", b"/sys"),
        follow_symlinks=True,
        switches=EVERYTHING & ~Switch.HEURISTIC,
        display_ok=False,
    )
    assert left(result).count("IncludeName=re:") == 2


def test_databases_of_the_product_are_not_taken_for_ours(tmp_path: Path) -> None:
    for name, taken in (("main.cvd", True), ("base001.avc", False)):
        folder = tmp_path / name[0]
        folder.mkdir()
        (folder / name).touch()
        _, settings = imported(tmp_path, conf=f"[path]\nBasesPath={folder}\nTempPath=/tmp\n")
        assert settings.databases == (os.fsencode(folder) if taken else b"")


def test_a_sibling_gives_its_switches_but_not_its_actions(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, conf=SAMBA)
    assert settings == Settings(switches=EVERYTHING & ~Switch.ARCHIVES, exclude_dirs=(b"/srv/cache",))
    assert "[samba.actions] OnInfected=remove" in left(result)


def test_the_mail_filter_5_6_has_names_of_its_own(tmp_path: Path) -> None:
    text = "[kavmilter.engine]\nScanArchives=no\nScanPacked=yes\nScanCodeanalyzer=no\nMaxScanTime=10\n"
    result, settings = imported(tmp_path, conf=text)
    closed = Switch.ARCHIVES | Switch.SFX | Switch.HEURISTIC
    assert settings == Settings(switches=EVERYTHING & ~closed)
    assert "MaxScanTime=10" in left(result)


def test_a_siblings_switches_do_not_win_over_kavscanners(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, conf=SAMBA + "[scanner.options]\nArchives=yes\n")
    assert settings == Settings()
    assert "[samba.options] Archives=no" in left(result)


def test_version_4(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, prf=V4)
    assert settings._replace(actions=()) == Settings(
        temp=b"/tmp",
        exclude_masks=(b"*.txt", b"*.cmd"),
        switches=EVERYTHING & ~(Switch.ARCHIVES | Switch.HEURISTIC),
        recursion=False,
        local_fs=True,
        report_file=b"/var/log/avp.log",
        report_mode=0o640,
        report_append=False,
        report_ok=False,
    )
    assert actions(settings) == {"scanner.object/OnInfected": b"movePath /var/infected"}
    text = left(result)
    assert "Names=*/home;./tmp: name what is to be scanned on the command line" in text
    assert "prf:7: [Object] ExcludeDir=/srv: ExcludeFiles had switched it off" in text
    assert "InfectedAction=3: for containers" in text
    assert "prf:33: [Object] Archives=Yes: Archives is taken from" in text  # a second location


@pytest.mark.parametrize(
    ("code", "cure", "action"),
    [("0", False, {}), ("1", False, {}), ("2", True, {}), ("3", False, {"scanner.object/OnInfected": b"remove"})],
)
def test_actions_of_version_4(tmp_path: Path, code: str, cure: bool, action: dict[str, bytes]) -> None:
    _, settings = imported(tmp_path, prf=f"[Object]\nPacked=Yes\nInfectedAction={code}\n")
    assert (settings.cure, actions(settings)) == (cure, action)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[scanner.options]\n\nArchives=perhaps\n",
            "f.conf:3: Archives=perhaps: Archives: 'perhaps' is neither yes nor",
        ),
        ("[scanner.report]\nReportLevel=12\n", "f.conf:2: ReportLevel=12: ReportLevel: '12' is not a whole number"),
        ("[path]\nTempPath=/nonexistent\n", "f.conf:2: TempPath=/nonexistent: TempPath: '/nonexistent' is not a dir"),
        ("[Object]\nInfectedAction=9\n", "f.conf:2: '9' is not a whole number from 0 to 3"),
        ("[Object]\nCrossFs=maybe\n", "f.conf:2: 'maybe' is neither yes nor no"),
        ("MaxFileSize 10X\n", "f.conf:1: MaxFileSize 10X: '10X' is not a size"),
        ("\nScanArchive maybe\n", "f.conf:2: ScanArchive maybe: 'maybe' is neither yes nor no"),
        ("MaxFiles -1\n", "f.conf:1: MaxFiles -1: '-1' is not a whole number"),
        ("TemporaryDirectory tmp\n", "f.conf:1: TemporaryDirectory tmp: TempPath: 'tmp' is not an absolute path"),
        ("LogFile\n", "f.conf:1: LogFile: a path is missing"),
        ("# nothing\n", "there are no settings in it"),
        ("[scanner.path]\nBackupPath=/\n", "f.conf:2: BackupPath: '/' cannot be a store"),
    ],
)
def test_a_value_that_would_be_wrong_is_an_error_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def clamd(tmp_path: Path, text: str) -> Settings:
    return imported(tmp_path, **{"clamd.conf": text})[1]


def test_limits_of_clamd(tmp_path: Path) -> None:
    assert clamd(
        tmp_path, "MaxFileSize 30M\nMaxScanSize 1G\nMaxRecursion 5\nMaxFiles 70\nMaxScanTime 1500\n"
    ) == Settings(max_file_size=30 << 20, max_unpacked=1 << 30, max_depth=5, max_members=70, time_base=1.5)


def test_limits_that_clamd_has_not_are_listed_where_we_need_one(tmp_path: Path) -> None:
    text = "MaxFileSize 0\nMaxScanSize 0\nMaxRecursion 0\nMaxFiles 0\nMaxScanTime 0\n"
    result, settings = imported(tmp_path, **{"clamd.conf": text})
    assert settings == Settings(max_file_size=0)
    assert [item.source.text.split()[0] for item in result.left] == [
        line.split()[0].encode() for line in text.splitlines()[1:]
    ]


def test_what_clamd_leaves_out(tmp_path: Path) -> None:
    text = "ExcludePath ^/proc/\nExcludePath ^/sys/|^/dev/\nExcludePath \\.iso$\nExcludePath ^/a(b|c)\n"
    text += "CrossFilesystems no\n"
    result, settings = imported(tmp_path, **{"clamd.conf": text})
    assert settings == Settings(exclude_dirs=(b"/proc", b"/sys", b"/dev"), exclude_masks=(b"*.iso",), local_fs=True)
    (item,) = result.left
    assert "clamd.conf:4: ExcludePath ^/a(b|c): this regular expression" in item.message()


@pytest.mark.parametrize(
    ("text", "follow", "listed"),
    [
        ("FollowFileSymlinks yes\nFollowDirectorySymlinks 1\n", True, 0),
        ("FollowFileSymlinks yes\n", False, 1),
        ("FollowFileSymlinks false\nFollowDirectorySymlinks true\n", False, 1),
        ("FollowFileSymlinks no\nFollowDirectorySymlinks no\n", False, 0),
    ],
)
def test_links_are_followed_only_where_clamd_follows_all(tmp_path: Path, text: str, follow: bool, listed: int) -> None:
    result, settings = imported(tmp_path, **{"clamd.conf": text})
    assert (settings.follow_symlinks, len(result.left)) == (follow, listed)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("LocalSocket /run/clamd\nTCPSocket 3310\n", "/run/clamd"),
        ("TCPSocket 3310\n", "localhost:3310"),
        ("TCPAddr 10.0.0.1\nTCPSocket 3310\n", "10.0.0.1:3310"),
        ("TCPSocket 3310\nTCPAddr ::1\nTCPAddr 10.0.0.1\n", "[::1]:3310"),
        ("TCPSocket 3310\nTCPAddr 0.0.0.0\n", "localhost:3310"),
    ],
)
def test_where_clamd_listens(tmp_path: Path, text: str, address: str) -> None:
    assert clamd(tmp_path, text).clamd == address


def test_reports_of_clamd(tmp_path: Path) -> None:
    assert clamd(tmp_path, "LogFile /var/log/c\nLogSyslog yes\nLogClean yes\n").report_file == b"/var/log/c"
    assert clamd(tmp_path, "LogSyslog yes\n").report_file == b"syslog"


def test_an_event_of_clamd_becomes_an_action_with_its_variables(tmp_path: Path) -> None:
    found = actions(clamd(tmp_path, 'VirusEvent /usr/local/bin/alert %v "$CLAM_VIRUSEVENT_FILENAME"\n'))
    assert set(found) == {"scanner.object/OnInfected", "scanner.container/OnInfected"}
    assert found["scanner.object/OnInfected"] == (
        b'exec export CLAM_VIRUSEVENT_FILENAME="%FULLPATH%/%FILENAME%" CLAM_VIRUSEVENT_VIRUSNAME="%VIRUSNAME%" && '
        b'/usr/local/bin/alert %VIRUSNAME% "$CLAM_VIRUSEVENT_FILENAME"'
    )


def test_what_kavfs_always_does_is_told_from_what_it_never_does(tmp_path: Path) -> None:
    result, settings = imported(
        tmp_path, **{"clamd.conf": "ScanPDF yes\nScanELF no\nDetectPUA yes\nStreamMinPort 9\nFrobnicate 1\n"}
    )
    assert settings == Settings()
    assert [item.source.text for item in result.already] == [b"ScanPDF yes", b"DetectPUA yes"]
    assert [item.source.text for item in result.left] == [b"ScanELF no", b"StreamMinPort 9", b"Frobnicate 1"]


def test_what_freshclam_logs_is_not_what_a_scan_reports(tmp_path: Path) -> None:
    text = "DatabaseDirectory /var/db\nLogSyslog yes\nChecks 24\nHTTPProxyPassword sec ret\nOnUpdateExecute reload\n"
    result, settings = imported(tmp_path, **{"freshclam.conf": text})
    assert settings == Settings(databases=b"/var/db")
    assert "OnUpdateExecute reload: updates of signatures; in kavfs [updater.options] PostUpdateCmd" in left(result)
    assert "ret" not in left(result)


def test_passwords_are_not_shown_on_the_terminal(tmp_path: Path) -> None:
    result, _ = imported(tmp_path, conf="[updater.options]\nProxyAddress=http://me:s3cret@10.0.0.1:80\n")
    assert "ProxyAddress=http://me:...@10.0.0.1:80" in left(result)


def test_the_first_of_several_files_counts(tmp_path: Path) -> None:
    result, settings = imported(
        tmp_path, a="DatabaseDirectory /a\nMaxFiles 5\n", b="DatabaseDirectory /b\nMaxFiles 5\n"
    )
    assert (settings.databases, settings.max_members) == (b"/a", 5)
    assert "b:1: DatabaseDirectory /b: BasesPath is taken from" in left(result)


def test_names_of_files_cannot_write_settings(tmp_path: Path) -> None:
    result, settings = imported(tmp_path, **{"a\n[scanner.options]\nCure=yes\n#": "MaxFiles 5\nMaxQueue 1\n"})
    assert settings == Settings(max_members=5)
    assert "\n" not in left(result)


TAKEN = ("MaxFileSize", "MaxScanTime", "VirusEvent", "ExcludePath", "LocalSocket")
NAMES = sorted({*ALWAYS, *FRESHCLAM_ONLY, *NONE, *TAKEN})
PARTS = [b"[scanner.options]", b"[path]", b"[Object]", b"a=b", b"\\", b'="', b"\r", b"#", b"\xff", b"\n"]
VALUES = st.sampled_from(["yes", "no", "0", "7", "10M", "/tmp", '"/a b"', "^/a/", "x; y"]) | st.text(max_size=12)


@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), min_size=1, max_size=6))
def test_whatever_a_file_of_clamav_says_it_is_refused_or_loads(options: list[tuple[str, str]]) -> None:
    into = Imported()
    data = "".join(f"{name} {value}\n" for name, value in options).encode("utf-8", "surrogatepass")
    try:
        import_clamav(into, data, "clamd.conf")
    except ConfigError:
        return
    text = b"\n".join(into.lines())
    assert loaded(list(parse(text, "out"))).errors == []
    for line in data.split(b"\n"):
        assert line.strip() in text or line.lstrip().startswith(b"#")


@given(st.lists(st.sampled_from(PARTS)))
def test_whatever_a_file_holds_it_is_read_or_refused(parts: list[bytes]) -> None:
    """Nothing but ConfigError comes out of bytes."""
    with contextlib.suppress(ConfigError):
        assert all(error.startswith("f:") for error in loaded(list(parse(b"".join(parts), "f"))).errors)
