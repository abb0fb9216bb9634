"""Libraries of the system: another file of one of them makes another answer, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.cache import settings as module
from kavfs.cache.libraries import installed
from kavfs.cache.settings import Seen, Settings, asked, read, write
from kavfs.limits import Limits
from kavfs.options import EVERYTHING

OURS = b"/usr/lib/x86_64-linux-gnu/libarchive.so.13"
OTHERS = b"/usr/lib/x86_64-linux-gnu/libarchives.so.13"
LATER = 1_000_000_000_000_000_000


def place(root: Path, name: bytes, text: bytes = b"code") -> Path:
    path = root / os.fsdecode(name.lstrip(b"/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    os.utime(path, ns=(0, 0))
    return path


@pytest.fixture(params=["the linker's list", "no list"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    if request.param == "no list":
        place(tmp_path, b"/usr/lib/libarchive.so.13")
        return tmp_path
    cache = b"\0".join([b"ld.so", b"libarchive.so.13", OURS, OTHERS, b"/gone/libz.so.1", b""])
    place(tmp_path, b"/etc/ld.so.cache", cache)
    place(tmp_path, OURS)
    place(tmp_path, OTHERS)
    return tmp_path


def of(root: Path) -> int:
    return installed(str(root))


def test_the_same_libraries_are_the_same(root: Path) -> None:
    assert of(root) == of(root)


def test_an_update_that_keeps_name_and_size_is_seen(root: Path) -> None:
    before = of(root)
    (library,) = root.rglob("libarchive.so.13")
    os.utime(library, ns=(0, LATER))
    assert of(root) != before


def test_an_update_of_another_size_is_seen(root: Path) -> None:
    before = of(root)
    (library,) = root.rglob("libarchive.so.13")
    place(root, b"/" + os.fsencode(library.relative_to(root)), b"more code")
    assert of(root) != before


def test_other_libraries_do_not_count(root: Path) -> None:
    before = of(root)
    place(root, OTHERS, b"more code")
    place(root, b"/usr/lib/libarchive.so", b"for compilers")
    place(root, b"/usr/lib/libmagic.so.1")
    assert of(root) == before


def test_libraries_from_elsewhere_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(root)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/other")
    assert of(root) != before


def test_what_other_libraries_said_holds_for_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed", lambda: 1)
    before, context = Settings.of(Limits(), EVERYTHING), Settings.of(Limits(), EVERYTHING).context
    monkeypatch.setattr(module, "installed", lambda: 2)
    now = Settings.of(Limits(), EVERYTHING)
    assert asked(now, [Seen(before, 1)]) == (now.digest,)
    assert before.digest != now.digest
    assert Settings.of(Limits(), EVERYTHING).context != context


def test_a_list_of_another_format_is_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    key = bytes(32)
    text = write([Seen(Settings.of(Limits(), EVERYTHING), 1)], key)
    assert read(text, key)
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert not read(text, key)
