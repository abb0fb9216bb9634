"""Cython: the border says how it reports errors and never forgets that memory may run out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BORDERS = sorted((CHECKOUT / "ext").glob("*/*.pyx"))
FUNCTION = re.compile(r"^\s*cp?def\s+(?!class\b|extern\b|struct\b|enum\b|union\b|packed\b)(.*?)\(", re.MULTILINE)
PYTHON_TYPES = ("object", "bytes", "bytearray", "list", "tuple", "dict", "set", "str")


def headers(text: str) -> list[tuple[int, str]]:
    """(line, header up to its colon) of each cdef function; declarations of foreign functions have none."""
    found = []
    for match in FUNCTION.finditer(text):
        depth, at = 0, match.end() - 1
        while at < len(text):
            depth += (text[at] == "(") - (text[at] == ")")
            if depth == 0 and text[at] in ":\n":
                break
            at += 1
        header = " ".join(text[match.start() : at].split())
        if at < len(text) and text[at] == ":" and "=" not in match[1]:
            found.append((text.count("\n", 0, match.end()) + 1, header))
    return found


def silent(header: str) -> bool:
    """Whether a cdef function with this header could lose an exception."""
    words = [word for word in header.partition("(")[0].split() if word != "inline"]
    result = words[1] if len(words) > 2 else "object"  # without a type it returns an object
    told = re.search(r"\b(noexcept|except)\b", header.rpartition(")")[2])
    own = result[0] == "_" or result[0].isupper()  # a class of ours
    return not told and result not in PYTHON_TYPES and not own


@pytest.mark.parametrize("path", BORDERS, ids=lambda p: p.name)
def test_every_c_function_says_how_it_reports_errors(path: Path) -> None:
    assert [f"{path.name}:{line}: {h}" for line, h in headers(path.read_text("utf-8")) if silent(h)] == []


@pytest.mark.parametrize("path", BORDERS, ids=lambda p: p.name)
def test_every_allocation_is_checked_and_freed(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    calls = re.compile(r"\b(malloc|calloc|realloc)\(")
    made = [i for i, line in enumerate(lines) if calls.search(line) and "cimport" not in line]
    unchecked = [i + 1 for i in made if not re.search(r"NULL|if not ", "\n".join(lines[i : i + 5]))]
    assert unchecked == []
    assert not made or "free(" in "\n".join(lines)


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ("cdef int f(int a)", True),
        ("cdef int f(int a) except -1", False),
        ("cdef void f() noexcept nogil", False),
        ("cdef void f() nogil", True),
        ("cdef bytes f(const char *p, size_t n)", False),
        ("cdef f(self)", False),
        ("cdef inline bint f()", True),
    ],
)
def test_a_silent_function_is_seen(header: str, wrong: bool) -> None:
    found = headers(header + ":\n    pass\n")
    assert len(found) == 1
    assert silent(found[0][1]) is wrong
