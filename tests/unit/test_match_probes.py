"""Subsignatures that are no patterns: what each flag and option takes, and the near miss that it does not take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.model import Reason
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from kavfs.signatures.ndb import read_ndb
from tests.support.matching import DIGEST, image, layer, names

KEY = b"key~"
COMMON = b"Engine:81-255,Target:0"


def open_lines(logical: bytes, bodies: bytes = b"", window: int = 0) -> match.Image:
    parts = []
    for database, text, reader in ((b"a.ldb", logical, read_ldb), (b"b.ndb", bodies, read_ndb)):
        builder, tally = match.SegmentBuilder(database, DIGEST, True), Tally()
        reader(text, builder, tally)
        assert tally.listed == []
        parts.append(builder.finish())
    return image(*parts, window=window)


def refused(part: bytes) -> str | None:
    tally = Tally()
    read_ldb(b"N;%b;0&1;%b;%b" % (COMMON, KEY.hex().encode(), part), match.SegmentBuilder(b"a", DIGEST, True), tally)
    return next(iter(tally.reasons), None)


def found(part: bytes, data: bytes, expression: bytes = b"0&1", bodies: bytes = b"") -> bool:
    """Whether the signature with the key and this part is true, from memory as from a file in tiny windows."""
    line = b"It;%b;%b;%b;%b" % (COMMON, expression, KEY.hex().encode(), part)
    whole = open_lines(line, bodies).scan(data)
    with layer(data) as fd:
        assert open_lines(line, bodies, 16).scan(fd) == whole
    assert whole.reasons == 0
    return names(whole) == ["It"]


REGEX = [
    # (subsignature, taken, not taken)
    (b"0/a+b/", b"key~aab", b"key~aac"),
    (b"0/a+b/", b"aab key~", b"aab keys"),
    (b"0>1/ab/", b"key~key~ab", b"key~ab"),
    (b"0/ab/i", b"key~AB", b"key~AC"),
    (b"0/[a-z]{2}\\.exe/", b"key~ab.exe", b"key~ab.exf"),
    (b"0/abcd?e{0,1}fgh/", b"key~abcfgh", b"key~abcdxfgh"),
    (b"0/abcd|fghi/", b"key~fghi", b"key~fgh"),
    (b"0/abcdef/i", b"key~ABCdef", b"key~ABCdeg"),
    (b"0/(?i)abcdef/", b"key~ABCdef", b"key~ABCdeg"),
    (b"0/abc def/x", b"key~abcdef", b"key~abc def"),
    (b"0/a.b/s", b"key~a\nb", b"key~a\n\nb"),
    (b"0/^ab/m", b"key~\nab", b"key~ab"),
    (b"0/a b/x", b"key~ab", b"key~a b"),
    (b"0/key/A", b"key~", b" key~"),
    (b"0/ab$/E", b"key~ab", b"key~ab\n"),
    (b"0/ab$/", b"key~ab\n", b"key~ab\n\n"),
    (b"0/(a+)b\\1$/U", b"key~aabaa", b"key~aabc"),
    (b"5:0/ab/", b"key~.ab", b"key~..ab"),
    (b"5:0/ab/r", b"key~...ab", b"ab..key~"),
    (b"5,2:0/ab/", b"key~...ab", b"key~....ab"),
    (b"5,4:0/ab+c/e", b"key~..abc", b"key~..abbc"),
    (b"EOF-3:0/ab/", b"key~ab.", b"key~ab.."),
    (b"0:0/key/", b"key~", b".key~"),
    (b"0/\\x00\\xff/", b"key~\0\xff", b"key~\0\xfe"),
    (b"0/a\\/;b/", b"key~a/;b", b"key~a;b"),
    (b"0/(?<x>a.)b(?P=x)/", b"key~acbac", b"key~acbad"),
]


@pytest.mark.parametrize(("part", "taken", "missed"), REGEX)
def test_a_regular_expression_takes_what_it_says(part: bytes, taken: bytes, missed: bytes) -> None:
    assert (found(part, taken), found(part, missed)) == (True, False)


@pytest.mark.parametrize(("part", "count"), [(b"0/ab/", 1), (b"0/ab/g", 3), (b"4:0/ab/g", 1), (b"4,9:0/ab/g", 3)])
def test_only_with_g_all_matches_count(part: bytes, count: int) -> None:
    data = b"key~ab.ab.ab"
    assert [found(part, data, b"0&(1=%d)" % n) for n in range(1, 5)] == [n == count for n in range(1, 5)]


def test_an_empty_match_is_counted_once() -> None:
    assert found(b"0/z*/g", b"key~", b"0&(1=1)")


COMPARE = [
    # (subsignature, taken, not taken)
    (b"0(>>4#ib1#>16)", b"key~\x11", b"key~\x10"),
    (b"0(>>4#il2#=0x1234)", b"key~\x34\x12", b"key~\x12\x34"),
    (b"0(>>4#ib2#=0x1234)", b"key~\x12\x34", b"key~\x34\x12"),
    (b"0(>>4#ib4#>0x7fffffff)", b"key~\x80\0\0\0", b"key~\x7f\xff\xff\xff"),
    (b"0(>>4#ib8#<0)", b"key~\xff" + bytes(7), b"key~\x7f" + bytes(7)),
    (b"0(<<2#ib1#=65)", b".A.key~", b".B.key~"),
    (b"0(>>4#db3#=123)", b"key~123", b"key~124"),
    (b"0(>>4#db3#=12)", b"key~12x", b"key~1x2"),
    (b"0(>>4#dbe3#=12)", b"key~012", b"key~12x"),
    (b"0(>>4#dbe3#=12)", b"key~012", b"key~ 12"),
    (b"0(>>4#db3#=12)", b"key~ 12", b"key~ 13"),
    (b"0(>>4#hb4#=0xff)", b"key~0xff", b"key~0xfe"),
    (b"0(>>4#hb2#=255)", b"key~fF", b"key~fg"),
    (b"0(>>4#hl4#=0x1234)", b"key~3412", b"key~1234"),
    (b"0(>>4#ab4#=0x12)", b"key~0x12", b"key~0012"),
    (b"0(>>4#ab4#=12)", b"key~0012", b"key~0x12"),
    (b"0(>>4#ab2#=12)", None, b"key~12"),
    (b"0(>>4#h2#=0x12)", None, b"key~12"),
    (b"0(>>4#db2#>5,<9)", b"key~7.", b"key~9."),
    (b"0(#ib4#=0x6b65797e)", b".key~", b"key~"),
    (b"0(>>4#ib010#=0)", b"key~" + bytes(8), b"key~" + bytes(7)),
]


@pytest.mark.parametrize(("part", "taken", "missed"), COMPARE)
def test_a_byte_comparison_takes_what_it_says(part: bytes, taken: bytes | None, missed: bytes) -> None:
    assert (taken is None or found(part, taken), found(part, missed)) == (True, False)


MEMBERS = b"D1:0:$12$:626262\nD2:0:$12:636363\nD3:0:$13$:646464\n"
MACRO = [
    (b"${4-7}12$", b"key~..bbb..key~", b"key~....bbb.key~"),
    (b"${4-7}12$", b"key~ccc..key~", b"key~ddd..key~"),
    (b"${4-4}13$", b"key~ddd.key~", b"key~ddd"),  # a match is settled by the next one
]


@pytest.mark.parametrize(("part", "taken", "missed"), MACRO)
def test_a_macro_takes_what_it_says(part: bytes, taken: bytes, missed: bytes) -> None:
    assert (found(part, taken, bodies=MEMBERS), found(part, missed, bodies=MEMBERS)) == (True, False)


def test_a_member_of_a_macro_group_is_no_signature_of_its_own() -> None:
    assert names(open_lines(b"", MEMBERS).scan(b"bbbcccddd", all_match=True)) == []


def test_a_trigger_may_name_a_pattern_that_is_looked_for_last() -> None:
    one = open_lines(b"It;" + COMMON + b";1;6b65;0/ab/")  # two bytes are too few for the first pass
    assert (names(one.scan(b"..keab")), names(one.scan(b"..kxab"))) == (["It"], [])


def test_a_trigger_may_name_another_regular_expression() -> None:
    one = open_lines(b"It;" + COMMON + b";2;" + KEY.hex().encode() + b";0/ab/;1/cd/")
    assert (names(one.scan(b"key~abcd")), names(one.scan(b"key~cd"))) == (["It"], [])


@pytest.mark.parametrize(
    "part",
    [
        b"/ab/", b"0/ab", b"0//", b"1/ab/", b"2/ab/", b"0&/ab/", b"0/(/", b"0/ab/q", b"x:0/ab/", b"EP-x:0/ab/",
        b"0(>4#ib1#>1)", b"0(>>4#ib3#>1)", b"0(>>4#hb19#>1)", b"0(>>4#dl2#>1)", b"0(>>4#hd2#>1)", b"0(>>4#ib0#>1)",
        b"0(>>4#ib1#!1)", b"0(>>4#ib1#>1,>2,>3)", b"0(>>4#ib1#>x)", b"0(>>4#ib1#>1#)", b"x(>>4#ib1#>1)",
        b"64(>>4#ib1#>1)", b"0(>>4#ib1#>1", b"${1-2}32$", b"${1-}3$", b"${1-2}3", b"$1-2$",
    ],
)  # fmt: skip
def test_what_cannot_be_read_rejects_the_line(part: bytes) -> None:
    assert refused(part) is not None


HOSTILE = [b"(a+)+x", b"(a|aa)+x", b"(a*)*x", b"((a?){30}){30}x", b"(?:a|a?)+x", b"(.*)*x", b"(a(?1)?)+x"]


@pytest.mark.parametrize("regex", HOSTILE)
def test_a_regular_expression_that_explodes_is_given_up_and_said_so(regex: bytes) -> None:
    one = open_lines(b"It;" + COMMON + b";0&1;" + KEY.hex().encode() + b";0/" + regex + b"\\x01y/")
    given_up = one.scan(KEY + b"a" * 3000 + b"\x01")
    assert names(given_up) == []
    assert given_up.reasons in (0, Reason.MATCH)


@pytest.mark.parametrize(
    ("regex", "missed", "taken"),
    [
        (b"(a|aa)+$", b"b", b"ba"),  # loops in loops
        (b"(?:a*?(?: _\\s*)*?)*,", b"b", b" _ a,"),
        (b"(a+)(a+)(a+)b\\1c", b"bad", b"bac"),  # a reference, and not too many ways
    ],
)
def test_where_the_first_search_gives_up_another_decides(regex: bytes, missed: bytes, taken: bytes) -> None:
    one = open_lines(b"It;" + COMMON + b";0&1;" + KEY.hex().encode() + b";0/" + regex + b"/")
    miss, hit = one.scan(KEY + b"a" * 120 + missed), one.scan(KEY + b"a" * 120 + missed + b"a" * 120 + taken)
    assert (names(miss), miss.reasons) == ([], 0)
    assert (names(hit), hit.reasons) == (["It"], 0)


def test_giving_up_is_a_reason() -> None:
    one = open_lines(b"It;" + COMMON + b";0&1;" + KEY.hex().encode() + b";0/(a|aa)+\\1$/")
    assert one.scan(KEY + b"a" * 100 + b"b").reasons == Reason.MATCH
    assert one.scan(b"other" + b"a" * 100 + b"b").reasons == 0  # the trigger does not hold


def test_what_gives_nothing_back_means_the_same_when_it_is_searched_further() -> None:
    """The search that follows all ways at once would take the longest of the last group, and find a match."""
    slow = b"(?:(a|aa)+x|" + KEY + b"(?>a|aa)b)"
    one = open_lines(b"It;" + COMMON + b";0&1;" + KEY.hex().encode() + b";0/" + slow + b"/")
    assert names(one.scan(KEY + b"aab" + b"a" * 100)) == []
    assert names(one.scan(KEY + b"ab" + b"a" * 100)) == ["It"]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_long_search_keeps_no_memory() -> None:
    """A reference cannot be followed without backtracking, of which every step in two million bytes is remembered."""
    one = open_lines(b"It;" + COMMON + b";0&1;" + KEY.hex().encode() + b";0/^(?:([ab])|[ab])*!\\1/")
    data = b"ab" * 1000000 + KEY
    before = resident()
    assert one.scan(data).reasons in (0, Reason.MATCH)
    assert resident() - before < 100 << 20


def test_beyond_the_largest_layer_nothing_is_run_and_said_so() -> None:
    one = open_lines(b"It;" + COMMON + b";0&1;" + KEY.hex().encode() + b";0/ab/")
    with layer(KEY + b"ab") as fd:
        found = one.scan(fd, size=6)
        assert (names(found), found.reasons) == (["It"], 0)
        os.truncate(fd, (100 << 20) + 1)
        found = one.scan(fd)
        assert (names(found), found.reasons) == ([], Reason.MATCH)
