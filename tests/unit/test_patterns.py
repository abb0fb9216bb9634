"""Patterns: what POSIX expressions and masks fit, how lists of them are taken apart, and that no text takes long."""

from __future__ import annotations

import contextlib
import ctypes
import re
import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kavfs.patterns.automaton import LEARNED_MAX, TEXT_MAX
from kavfs.patterns.lists import Pattern, read_masks, read_patterns, write_patterns


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        (r".*\.exe$", ["a.exe", "A.EXE", ".exe", "x/y.Exe"], ["a.exe.txt", "aexe", "a.ex"]),
        (
            r"@example\.org$",
            ["u@example.org", "U@EXAMPLE.ORG"],
            ["u@example.org.evil", "u@exampleXorg", "u@xample.org"],
        ),
        (r"^root@", ["root@a", "ROOT@b"], ["xroot@a", "root"]),
        ("b", ["abc"], ["ac", ""]),
        ("^$", [""], ["a"]),
        ("^(a|b)+c{2,3}$", ["acc", "abccc"], ["acccc", "cc", "ac"]),
        ("^a{2}$", ["aa"], ["a", "aaa"]),
        ("^ab{0,1}c?$", ["a", "abc", "ac"], ["abb"]),
        ("^a{2,}$", ["aa", "aaaaa"], ["a"]),
        ("^[[:digit:]-]+$", ["1-2"], ["a", "1 2"]),
        ("^[]x]$", ["]", "x", "X"], ["[", "a"]),
        ("^[^]x]$", ["a"], ["]", "x", "X"]),
        (r"^[\.]$", ["\\", "."], ["a"]),
        ("^[A-C]$", ["b", "B"], ["d", "D"]),
        ("^[^A-C]$", ["d"], ["b", "B"]),
        ("^[[.-.][=a=]]$", ["-", "a"], ["b"]),
        (r"^\$\*$", ["$*"], ["$$"]),
        (r"^\w+\s\S\W$", ["a_ä x!", "1 --"], ["a", "a b", "- x!"]),
        ("a|^b$", ["xax", "b"], ["bb"]),
        ("(^x|y)$", ["x", "ay"], ["ax", "xa"]),
        ("^ä.$", ["Äb", "äé"], ["ae", "äbc"]),
        ("a^b", [], ["ab", "a^b"]),
        ("*.exe", ["a.exe", "A.EXE", ".exe"], ["a.exe.txt", "aexe"]),
        ("*@[!a-c]x.?", ["u@dx.z", "@zX.1"], ["u@ax.z", "u@dx.", "u@dx.zz"]),
        (r"*\*", ["a*"], ["ab"]),
    ],
)
def test_what_fits_and_what_nearly_does(pattern: str, fits: list[str], fails: list[str]) -> None:
    (made,) = read_patterns(pattern)
    assert [text for text in fits if not made(text.encode())] == []
    assert [text for text in fails if made(text.encode())] == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a(b", "( or { is not closed"),
        ("a)b", ") without ("),
        ("a[b", "[ is not closed"),
        ("[[:digits:]]", "there is no class [:digits:]"),
        ("a||b", "an empty alternative fits everything"),
        ("()", "an empty alternative fits everything"),
        ("+a", "nothing before +"),
        ("(*a)", "nothing before *"),
        ("^*a", "nothing before *"),
        ("a{x}", "{ } must hold a count"),
        ("a{2,1}", "{2,1} is no count from 0 to 255"),
        ("a{256}", "{256} is no count from 0 to 255"),
        (r"(a)\1", r"\1: references to what was found before are not understood"),
        (r"\d", r"\d is not one of POSIX"),
        ("a\\", "nothing behind the last backslash"),
        ("[b-a]", "b-a is the wrong way round"),
        ("(((a{99}){99}){99}){99}", "the expression is too large"),
        ("*.{exe,com}", "masks have no { }; write several"),
        ("a****", "more than 3 counts behind one another"),
        ("(" * 51 + "a" + ")" * 51, "more than 50 parentheses"),
    ],
)
def test_what_is_no_expression_is_told(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_patterns(pattern)
    assert str(caught.value).startswith("'") or "too large" in said


def test_a_list_is_taken_apart_at_commas_that_are_nowhere_within() -> None:
    text = r" ^a{1,2}b$ ,, [,;]x,(c,d),foo\,bar , *[,].z, tail\ "
    parts = ["^a{1,2}b$", "[,;]x", "(c,d)", r"foo\,bar", "*[,].z", "tail\\ "]
    assert [pattern.text for pattern in read_patterns(text)] == parts
    assert read_patterns("") == read_patterns(" , ") == ()


def test_in_a_list_of_masks_each_is_for_the_whole_text() -> None:
    zip_, ole = read_masks("zip,ole?")
    assert (zip_(b"zip"), zip_(b"ZIP"), zip_(b"gzip"), zip_(b"zipx")) == (True, True, False, False)
    assert (ole(b"ole2"), ole(b"ole")) == (True, False)


def test_bytes_that_are_no_utf8_fit_a_point_and_no_letter() -> None:
    assert Pattern("^a.b$")(b"a\xffb")
    assert not Pattern("^a[[:alpha:]]b$")(b"a\xffb")
    assert Pattern(r"\.exe$")(b"\xff\xfe.EXE")


def test_of_a_very_long_text_both_ends_are_looked_at() -> None:
    text = b"begin" + b"x" * 10 * TEXT_MAX + b".exe"
    assert Pattern("^begin")(text)
    assert Pattern(r"\.exe$")(text)
    assert not Pattern(r"^\.exe|begin$")(text)


LITERAL = st.text(string.ascii_letters + "@._- ,äß\\", min_size=1, max_size=6)
ATOM = st.one_of(
    LITERAL.map(lambda text: "".join("\\" + c if c in r".,\ -" or not c.isalnum() else c for c in text)),
    st.sampled_from(["[,;]", "[^],]", "[[:alpha:],]", ".", "(a|b,c)", r"\,", "[a-f]"]),
)
PIECE = st.tuples(ATOM, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{1,}"])).map("".join)
EXPRESSION = st.tuples(st.sampled_from(["", "^"]), st.lists(PIECE, min_size=1, max_size=4), st.sampled_from(["", "$"]))
WRITTEN = EXPRESSION.map(lambda parts: parts[0] + "".join(parts[1]) + parts[2])
MASK = st.lists(ATOM, min_size=1).map(lambda parts: "*" + "".join(parts))


@given(st.lists(st.one_of(WRITTEN, MASK)))
def test_what_is_written_is_read_again(texts: list[str]) -> None:
    patterns = tuple(Pattern(text) for text in texts)
    assert read_patterns(write_patterns(patterns)) == patterns


@given(WRITTEN, st.text("abcdefgABC@._-,; ", max_size=12))
@example("^(a|ab)(c|bcd)(d*)$", "ABCD")
@example("[[:alpha:],]{1,3}$", "a,b ")
@example("(^a|b$)+c?", "ab")
def test_it_fits_what_the_c_library_fits(written: str, text: str) -> None:
    """The product took the C library's; on short texts the two agree."""
    assume(written.isascii())
    assert Pattern(written)(text.encode()) == fits_for_libc(written.encode(), text.encode())


def fits_for_libc(pattern: bytes, text: bytes) -> bool:
    libc = ctypes.CDLL(None)
    compiled = ctypes.create_string_buffer(256)  # regex_t, with room to spare
    extended, icase, nosub = 1, 2, 8
    assert libc.regcomp(compiled, pattern, extended | icase | nosub) == 0
    try:
        return bool(libc.regexec(compiled, text, 0, None, 0) == 0)
    finally:
        libc.regfree(compiled)


@given(st.one_of(st.text(max_size=30), st.text("ab(){}[]*+?|^$.\\,:=-!019 ", max_size=30)))
def test_no_text_is_read_as_a_list_but_with_a_word_about_what_is_wrong(text: str) -> None:
    with contextlib.suppress(ValueError):
        for pattern in (*read_patterns(text), *read_masks(text)):
            pattern(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*a){12}b", "([ab]*a[ab]{9}){3}$", "(a|a?)+$"])
def test_no_text_takes_more_steps_than_it_has_letters(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lets other engines try for years: here each letter is one step at most, and little is kept."""
    made = Pattern(pattern)
    automaton = made._automaton
    steps = 0
    step = automaton._step

    def counted(state: object, letter: str) -> object:
        nonlocal steps
        steps += 1
        return step(state, letter)  # type: ignore[arg-type]

    monkeypatch.setattr(type(automaton), "_step", lambda self, state, letter: counted(state, letter))
    for text in (b"a" * 320 + b"!", b"ab" * 1000 + b"!", bytes(97 + (i * i) % 2 for i in range(2000))):
        steps = 0
        made(text)
        assert steps <= len(text)
    assert automaton._learned <= LEARNED_MAX
