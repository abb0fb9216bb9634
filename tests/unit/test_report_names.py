"""Names on a line: readable, reversible, and unable to pretend to be anything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.report.names import shown_name, shown_path, shown_text


@pytest.mark.parametrize("path", [b"/srv/data/file.txt", b"/a b/c (1).zip", b"/x/INFECTED.txt", b"/x/infected file"])
def test_an_ordinary_path_is_written_as_it_is(path: bytes) -> None:
    assert shown_path(path) == path
    assert shown_path(path, raw=True) == path


def test_utf8_is_written_as_it_is() -> None:
    path = "/srv/Übung/日本.txt".encode()
    assert shown_path(path) == path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/a\nb", rb"/a\nb"),
        (b"/a\rb\tc", rb"/a\rb\tc"),
        (b"/a\x1b[2Jb", rb"/a\x1b[2Jb"),
        (b"/a\x7fb", rb"/a\x7fb"),
        (b"/a\\nb", rb"/a\\nb"),
        ("/a\u202eb".encode(), rb"/a\u202eb"),
        ("/a\u2028b".encode(), rb"/a\u2028b"),
        ("/a\u009bb".encode(), rb"/a\u009bb"),
        (b"/caf\xe9", rb"/caf\xe9"),
        (b"/a\x9bb", rb"/a\x9bb"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(path: bytes, shown: bytes) -> None:
    assert shown_path(path) == shown


def test_into_a_pipe_high_bytes_stay_so_that_an_old_client_finds_the_file() -> None:
    assert shown_path(b"/caf\xe9", raw=True) == b"/caf\xe9"
    assert shown_path(b"/caf\xe9\n\x9b", raw=True) == b"/caf\xe9\\n\\x9b"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/x/a INFECTED b", rb"/x/a \x49NFECTED b"),
        (b"/x/a INFECTED", rb"/x/a \x49NFECTED"),
        (b"/x/SUSPICIOUS one", rb"/x/\x53USPICIOUS one"),
        (b"/x/SUSPICION\xc2\xa0one", b"/x/\\x53USPICION\xc2\xa0one"),
        (b"/x/WARNING signs.jpg", rb"/x/\x57ARNING signs.jpg"),
    ],
)
def test_the_word_of_a_verdict_before_a_blank_is_taken_apart(path: bytes, shown: bytes) -> None:
    assert shown_path(path) == shown
    assert shown_path(path, raw=True) == shown


@given(st.binary(max_size=40).filter(lambda b: b"\0" not in b))
def test_a_shown_path_is_one_line_without_controls(path: bytes) -> None:
    for raw in (False, True):
        shown = shown_path(path, raw)
        assert not re.search(rb"[\x00-\x1f\x7f]", shown)
        assert len(shown.decode("utf-8", "surrogateescape").splitlines()) <= 1
    assert shown_path(path).decode("utf-8") is not None


@given(st.binary(max_size=40))
def test_escaping_can_be_undone(path: bytes) -> None:
    short = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}

    def undo(match: re.Match[bytes]) -> bytes:
        code = match[1].decode()
        if code[0] == "x":
            return bytes([int(code[1:], 16)])
        return chr(int(code[1:], 16)).encode() if code[0] == "u" else short[code]

    shown = shown_path(path)
    assert re.sub(rb"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|[nrt\\])", undo, shown) == path


def test_the_name_of_a_signature_has_no_blanks() -> None:
    assert shown_name("Win.Test-1 (a)\tb") == b"Win.Test-1_(a)_b"
    assert shown_name("A\x1bB") == rb"A\x1bB"


def test_other_text_stays_on_its_line() -> None:
    assert shown_text("a\nb \\ \udce9") == "a\\nb \\ \\xe9"
