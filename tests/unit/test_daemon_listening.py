"""Sockets that daemons make: whose they are, and what is called for it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from kavfs.daemon.listening import listen
from kavfs.daemon.settings import Listener
from kavfs.errors import SystemFailure


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
def test_a_socket_belongs_to_whom_the_daemon_goes_on_as(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for group, gid in (("", nobody.pw_gid), ("root", 0)):
        listen(Listener("relay", bytes(tmp_path / "s"), mode=0o640, owner="nobody", group=group)).close()
        status = (tmp_path / "s").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (nobody.pw_uid, gid, 0o640)
    with pytest.raises(SystemFailure, match="no such user or group: nobody-is-called-so"):
        listen(Listener("relay", bytes(tmp_path / "s"), owner="nobody-is-called-so"))


@pytest.mark.parametrize("owner", ["", pwd.getpwuid(os.geteuid()).pw_name])
def test_nobody_is_asked_to_change_what_is_right(tmp_path: Path, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The units forbid chown(2)."""

    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", forbidden)
    listen(Listener("relay", bytes(tmp_path / "s"), mode=0o600, owner=owner)).close()
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
