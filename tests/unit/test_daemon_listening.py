"""Listening: which of the sockets that systemd hands over are used, and for what; whose those are that are made."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from kavfs.daemon import listening
from kavfs.daemon.server import open_listeners
from kavfs.daemon.settings import DaemonSettings, Listener, Tls
from kavfs.errors import SystemFailure


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[str, socket.socket]:
    """By the names that their units give them."""
    given = {name: socket.socket(socket.AF_UNIX) for name in ("clamd", "clamd-tls", "clamd-ssl", "ave-tls-tls", "")}
    monkeypatch.setattr(listening, "handed", lambda: list(given.items()))
    return given


def test_a_name_means_one_way_of_speaking_and_others_are_told(handed: dict[str, socket.socket], tmp_path: Path) -> None:
    notes: list[str] = []
    own = (Listener("ave", bytes(tmp_path / "ave")), Listener("clamd", bytes(tmp_path / "clamd")))
    found = open_listeners(DaemonSettings(own, tls=Tls("/cert.pem", "/cert.pem")), notes.append)
    assert set(found) == {("ave", False), ("clamd", False), ("clamd", True)}
    assert found["clamd", False] == [handed["clamd"]]
    assert found["clamd", True] == [handed["clamd-tls"]]
    assert not (tmp_path / "clamd").exists()
    assert [name for name, sock in handed.items() if sock.fileno() < 0] == ["clamd-ssl", "ave-tls-tls", ""]
    assert len(notes) == 3
    assert "clamd-ssl" in notes[0]
    assert "FileDescriptorName" in notes[0]
    for some in found.values():
        for sock in some:
            sock.close()


def test_tls_without_certificate_is_told(handed: dict[str, socket.socket]) -> None:
    notes: list[str] = []
    found = open_listeners(DaemonSettings(()), notes.append)
    assert set(found) == {("clamd", False)}
    assert any("clamd-tls" in note and "TlsCertificate" in note for note in notes)
    handed["clamd"].close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
def test_a_socket_belongs_to_whom_the_daemon_goes_on_as(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for group, gid in (("", nobody.pw_gid), ("root", 0)):
        listening.listen(Listener("relay", bytes(tmp_path / "s"), mode=0o640, owner="nobody", group=group)).close()
        status = (tmp_path / "s").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (nobody.pw_uid, gid, 0o640)
    with pytest.raises(SystemFailure, match="no such user or group: nobody-is-called-so"):
        listening.listen(Listener("relay", bytes(tmp_path / "s"), owner="nobody-is-called-so"))


@pytest.mark.parametrize("owner", ["", pwd.getpwuid(os.geteuid()).pw_name])
def test_nobody_is_asked_to_change_what_is_right(tmp_path: Path, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The units forbid chown(2)."""

    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", forbidden)
    listening.listen(Listener("relay", bytes(tmp_path / "s"), mode=0o600, owner=owner)).close()
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
