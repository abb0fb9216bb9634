"""A worker that cannot have the object cache scans without it, and one note says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import kavfs
from kavfs.model import Status
from kavfs.scan import children
from kavfs.scan.lookups import Lookups
from kavfs.signatures.sources import STARTER

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
WITHOUT = "a scanning process went on without: the object cache: Invalid argument"


def scanned(tmp_path: Path) -> tuple[set[Status], list[str]]:
    files = tmp_path / "files"
    files.mkdir()
    (files / "bad").write_bytes(EICAR)
    (files / "good").write_bytes(b"words " * 2000)
    with kavfs.Scanner(STARTER, tmp_path / "state", jobs=1) as scanner:
        statuses = {result.status for result in scanner.scan([files])}
        return statuses, list(scanner.notes)


def test_the_scan_goes_on_and_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = children.objects_setup

    def broken(lookups: Lookups | None) -> tuple[dict[str, object], list[int]]:
        setup, fds = honest(lookups)
        os.dup2(os.open(os.devnull, os.O_RDONLY), fds[0], inheritable=False)
        return setup, fds

    monkeypatch.setattr(children, "objects_setup", broken)
    assert scanned(tmp_path) == ({Status.CLEAN, Status.INFECTED}, [WITHOUT])


def test_nothing_is_said_where_it_can_be_had(tmp_path: Path) -> None:
    assert scanned(tmp_path) == ({Status.CLEAN, Status.INFECTED}, [])
