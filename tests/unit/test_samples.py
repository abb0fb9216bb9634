"""Samples for the differential test: every kind of line gets a file that kavfs's own matcher finds, or a reason."""

from __future__ import annotations

import random

import pytest

from kavfs._native.match import SegmentBuilder
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from kavfs.signatures.ndb import read_ndb
from tests.support import differential
from tests.support.matching import image, names
from tests.support.samples.making import Made, samples
from tests.support.samples.regexes import Unmakeable, find, matching

ONE, TWO = b"first mark".hex(), b"second mark".hex()
MEMBER = f"Member:0:$3$:{b'member'.hex()}"
VERSION = "CompanyName\0\0Kilo".encode("utf-16-le").hex()
LINES = {
    "pattern": f"X;Engine:81-255,Target:0;0>2&1;{ONE};{TWO}::wi",
    "regular expression": f"X;Engine:81-255,Target:0;0&1;{ONE};0/(?P<v>[a-z]{{3}})=(?P=v)\\s+end/i",
    "semicolon in a regular expression": f"X;Engine:81-255,Target:0;0&1;{ONE};0/a;b+/",
    "byte comparison": f"X;Engine:81-255,Target:0;0&1;{ONE};0(>>12#hb4#>4660)",
    "macro": f"X;Engine:81-255,Target:0;0&1;{ONE};${{4-19}}3$",
    "entry point": f"X;Engine:81-255,Target:1;0&1;EP-16:{ONE};EP+40:{TWO}",
    "sections": f"X;Engine:81-255,Target:1;0&1&2;S1+8:{ONE};SE2:{TWO};SL+99:{ONE}",
    "sections of ELF": f"X;Engine:81-255,Target:6;0&1;S1+8:{ONE};EP+4:{TWO}",
    "sections of Mach-O": f"X;Engine:81-255,Target:9;0&1;S0+8:{ONE};EP+40:{TWO}",
    "version information": f"X;Engine:81-255,Target:1;0;VI:{VERSION}",
    "attributes": f"X;Engine:81-255,Target:1,NumberOfSections:4-5,EntryPoint:2048-4096,FileSize:9000-9999;0;{ONE}",
    "from the end": f"X;Engine:81-255,Target:0;0&1;EOF-64:{ONE};{TWO}",
}
NEVER = {
    "fuzzy image": "X;Engine:81-255,Target:5;0;fuzzy_img#af2ad01ed42993c7",
    "icon": f"X;Engine:81-255,Target:1,IconGroup1:A;0;{ONE}",
    "container": f"X;Engine:81-255,Target:0,Container:CL_TYPE_RAR;0;{ONE}",
    "pieces over one another": f"X;Engine:81-255,Target:1;0&1;S1+0:{ONE};S1+1:{TWO}",
}

pytestmark = pytest.mark.skipif(differential.missing() is not None, reason=str(differential.missing()))


def found(content: bytes, line: str) -> bool:
    parts = []
    for file, reader, text in (("a.ldb", read_ldb, line), ("a.ndb", read_ndb, MEMBER)):
        builder, tally = SegmentBuilder(file.encode(), bytes(32), True), Tally()
        reader(text.encode() + b"\n", builder, tally)
        assert tally.reasons == {}
        parts.append(builder.finish())
    return "X" in [name.removesuffix(".UNOFFICIAL") for name in names(image(*parts).scan(content, all_match=True))]


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_sample_is_found(kind: str, seed: int) -> None:
    made = Made()
    first = next(samples([LINES[kind], MEMBER], differential.SIGGEN, seed, made))
    assert made.by.total() == 1
    assert first.signature == "X"
    assert found(first.content, LINES[kind])
    assert first.near not in (None, first.content)


@pytest.mark.parametrize("kind", NEVER)
def test_what_cannot_be_made_is_counted_with_its_reason(kind: str) -> None:
    made = Made()
    assert list(samples([NEVER[kind]], differential.SIGGEN, 1, made)) == []
    assert made.skipped.total() == 1


@pytest.mark.parametrize(
    ("expression", "flags"),
    [
        (b"a(b|c)+d{2,}[^x-z]\\d\\x00", ""),
        (b"(?<name>q+)-\\k<name>\\Z", ""),
        (b"(?i)\\bword\\b(?=\\s)", "s"),
        (b"^line$", "m"),
        (b"x (?#c) y # comment\n z", "x"),
        (b"[[:alpha:]]+\\Q.*\\E(?>ab|a)c", ""),
    ],
)
def test_a_text_for_an_expression_is_one_that_the_library_matches(expression: bytes, flags: str) -> None:
    text, start, end = matching(expression, flags, random.Random(3))
    assert find(expression, flags, text) == (start, end)
    assert start < end


@pytest.mark.parametrize("expression", [b"a(?!b)b", b"(", b"a\\bb"])
def test_an_expression_that_nothing_matches_is_said_to_be_one(expression: bytes) -> None:
    with pytest.raises(Unmakeable):
        matching(expression, "", random.Random(3))
