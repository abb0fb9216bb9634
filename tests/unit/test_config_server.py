"""The configuration of aveserver: its own sections, what they share with kavscanner, and who passes over what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.config import server
from kavfs.config.importer import import_files
from kavfs.config.load import Loaded, load
from kavfs.config.server_settings import ServerSettings
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError
from kavfs.model import Switch

CLAMD = """\
LocalSocket /run/clamav/clamd.ctl
LocalSocketMode 660
LocalSocketGroup mail
TCPSocket 3310
TCPAddr 10.0.0.1
PidFile /run/clamav/clamd.pid
StreamMaxLength 25M
MaxThreads 4
MaxQueue 50
ReadTimeout 90
SendBufTimeout 500
AlertEncrypted yes
MaxFileSize 30M
ScanArchive no
LogFile /var/log/clamav/clamav.log
"""


def loaded(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return server.read(os.fsencode(path))


def settings(tmp_path: Path, text: str) -> ServerSettings:
    result = loaded(tmp_path, text)
    assert result.errors == []
    made: ServerSettings = result.settings
    return made


def test_names_of_the_product_are_understood(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        "[path]\nLocalSocketPath=/var/run/aveserver\nAVSpidPATH=/var/run/aveserver.pid\nLicensePath=/x\n"
        "[aveserver.report]\nReportFileName=/var/log/kav/aveserver.log\nReportLevel=3\nShowOk=yes\n"
        "[aveserver.options]\nArchives=no\nUseAVbasesSet=standard\nIchecker=yes\nMaxLoadAvg=0.5\n",
    )
    assert (made.ave_socket, made.pid_file) == (b"/var/run/aveserver", b"/var/run/aveserver.pid")
    assert (made.scan.report_file, made.scan.report_level, made.scan.report_ok) == (
        b"/var/log/kav/aveserver.log",
        3,
        True,
    )
    assert not made.scan.switches & Switch.ARCHIVES
    assert made.scan.max_load == 0.5


def test_each_program_passes_over_the_sections_of_the_other(tmp_path: Path) -> None:
    text = "[scanner.options]\nMaxDepth=3\n[aveserver.options]\nMaxDepth=4\n[path]\nTempPath=/tmp\n"
    made = settings(tmp_path, text)
    scanner = load(os.fsencode(tmp_path / "k.conf"))
    assert (made.scan.max_depth, scanner.max_depth) == (4, 3)
    assert (made.scan.temp, scanner.temp) == (b"/tmp", b"/tmp")
    assert loaded(tmp_path, "[scanner.options]\nNonsense=1\n[icapserver.path]\nX=1\n").errors == []
    assert scanner == Settings(max_depth=3, temp=b"/tmp")


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("3310", (("127.0.0.1", 3310),)),
        ("10.0.0.1:3310, [::1]:3311", (("10.0.0.1", 3310), ("::1", 3311))),
        ("localhost:1", (("localhost", 1),)),
        ("", ()),
    ],
)
def test_a_port_alone_is_on_loopback(tmp_path: Path, value: str, addresses: object) -> None:
    assert settings(tmp_path, f"[aveserver.network]\nListenClamd={value}\n").clamd_tcp == addresses


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[aveserver.network]\nListenAve=::1:70\n", "k.conf:2: ListenAve: '::1:70' is neither HOST:PORT nor a port"),
        ("[aveserver.network]\nListenAve=host:\n", "k.conf:2: ListenAve: 'host:' is neither"),
        ("[aveserver.network]\nListenAve=:25\n", "k.conf:2: ListenAve: ':25' is neither"),
        ("[aveserver.network]\nListenAve=65536\n", "k.conf:2: ListenAve: '65536' is neither"),
        ("[aveserver.network]\nPathFolders=srv\n", "k.conf:2: PathFolders: 'srv' is not an absolute path"),
        ("[aveserver.network]\nMaxConnections=0\n", "k.conf:2: MaxConnections: '0' is not a whole number from 1"),
        ("[aveserver.network]\nListenAveTls=1\n", "k.conf:2: ListenAveTls: TLS needs a TlsCertificate"),
        ("[aveserver.options]\nArchive=no\n", "[aveserver.options] has no key Archive; did you mean Archives?"),
        ("[aveserver.optoins]\nArchives=no\n", "there is no section [aveserver.optoins]; did you mean"),
        ("[aveserver.report]\nReportFormat=xml\n", "ReportFormat: 'xml' is neither text nor json"),
        ("[path]\nLocalSocketPath=no\n[aveserver.path]\nClamdSocketPath=no\n", "there is no place left"),
        (
            "[path]\nLocalSocketPath=/run/s\n[aveserver.path]\nClamdSocketPath=/run/s\n",
            "k.conf:4: ClamdSocketPath: /run/s is the place of LocalSocketPath already",
        ),
        (
            "[aveserver.path]\nClamdSocketPath=/run/s\n[aveserver.options]\nClamdAddress=/run/s\n",
            "k.conf:4: ClamdAddress: /run/s is its own socket",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_an_error_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (error,) = loaded(tmp_path, text).errors
    assert said in error
    with pytest.raises(ConfigError):
        server.load(os.fsencode(tmp_path / "k.conf"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[aveserver.network]\nListenClamd=0.0.0.0:3310\n", "everybody who reaches 0.0.0.0:3310 can use it"),
        ("[aveserver.network]\nPathFolders=/srv\n", "PathFolders has no effect: nothing listens on TCP"),
        ("[aveserver.network]\nTlsClients=/ca\n", "TlsClients has no effect: there is no ListenAveTls"),
        ("[aveserver.network]\nAnyLocalUser=yes\n", "anybody can learn what is found"),
        ("[aveserver.report]\nAppend=no\n", "Append has no effect: the report goes to no file"),
        ("[aveserver.report]\nShowOk=yes\nReportLevel=2\n", "ShowOk has no effect: clean objects are reported from"),
    ],
)
def test_what_hardly_means_what_it_says_is_told(tmp_path: Path, text: str, said: str) -> None:
    result = loaded(tmp_path, text)
    assert result.errors == []
    assert said in "\n".join(result.doubts())


def test_nothing_is_doubtful_about_loopback_or_about_defaults(tmp_path: Path) -> None:
    text = "[aveserver.network]\nListenClamd=3310,[::1]:3310\nSocketMode=0660\nAnyLocalUser=yes\nTlsClients=\n"
    assert loaded(tmp_path, text).doubts() == []


def test_a_configuration_of_clamd_becomes_one_of_aveserver(tmp_path: Path) -> None:
    old, new = tmp_path / "clamd.conf", tmp_path / "kavfs.conf"
    old.write_text(CLAMD)
    new.write_bytes(b"\n".join(import_files([os.fsencode(old)]).lines()))
    made = server.load(os.fsencode(new))
    assert made == ServerSettings()._replace(
        scan=ServerSettings().scan._replace(
            max_file_size=30 << 20,
            switches=Settings().switches & ~(Switch.ARCHIVES | Switch.SFX),
            report_file=b"/var/log/clamav/clamav.log",
        ),
        clamd_socket=b"/run/clamav/clamd.ctl",
        socket_mode=0o660,
        socket_group="mail",
        clamd_tcp=(("10.0.0.1", 3310),),
        pid_file=b"/run/clamav/clamd.pid",
        stream_max=25 << 20,
        jobs=4,
        queue_max=50,
        stall=90.0,
        send=0.5,
        alert_protected=True,
    )


def test_clamd_that_listened_everywhere_is_imported_to_loopback(tmp_path: Path) -> None:
    old = tmp_path / "clamd.conf"
    old.write_text("TCPSocket 3310\nStreamMaxLength 0\nReadTimeout 0\n")
    result = import_files([os.fsencode(old)])
    text = b"\n".join(result.lines()).decode()
    assert "ListenClamd=127.0.0.1:3310" in text
    assert "clamd listens everywhere" in text
    assert [left.source.text for left in result.left] == [b"StreamMaxLength 0", b"ReadTimeout 0"]


def test_a_configuration_of_the_product_keeps_what_it_says_of_its_server(tmp_path: Path) -> None:
    old, new = tmp_path / "kav4mailservers.conf", tmp_path / "kavfs.conf"
    old.write_text(
        "[path]\nLocalSocketPath=/var/run/aveserver\nAVSpidPATH=/var/run/aveserver.pid\n"
        "[aveserver.options]\nPacked=yes\nMailBases=no\nUseAVbasesSet=redundant\n[aveserver.report]\nReportLevel=3\n"
    )
    new.write_bytes(b"\n".join(import_files([os.fsencode(old)]).lines()))
    made = server.load(os.fsencode(new))
    assert (made.ave_socket, made.pid_file) == (b"/var/run/aveserver", b"/var/run/aveserver.pid")
    assert (made.scan.report_level, bool(made.scan.switches & Switch.MAILBASES)) == (3, False)
    assert load(os.fsencode(new)).switches == Settings().switches
