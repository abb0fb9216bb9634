"""Digests: the same as Python's own, whatever the origin and the kinds asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kavfs._native.basics import MD5, SHA1, SHA256, Source, digests


def own(data: bytes) -> tuple[bytes, bytes, bytes]:
    return hashlib.md5(data).digest(), hashlib.sha1(data).digest(), hashlib.sha256(data).digest()


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 262143, 262144, 262145, 1000000])
def test_every_size_is_digested_whole(size: int, tmp_path: Path) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    (tmp_path / "file").write_bytes(data)
    assert digests(data) == own(data)
    with (tmp_path / "file").open("rb") as file:
        assert digests(file.fileno()) == own(data)


@pytest.mark.parametrize("kinds", range(8))
def test_only_the_kinds_asked_for_are_there(kinds: int) -> None:
    md5, sha1, sha256 = own(b"abc")
    assert digests(b"abc", kinds) == (
        md5 if kinds & MD5 else None,
        sha1 if kinds & SHA1 else None,
        sha256 if kinds & SHA256 else None,
    )


def test_a_stretch_is_digested_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before" + b"inside" + b"after")
    with (tmp_path / "file").open("rb") as file:
        assert digests(Source(file.fileno(), base=6, size=6)) == own(b"inside")
