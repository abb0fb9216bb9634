"""Every element of ClamAV's body notation: what it takes, and the near miss that it does not take."""

from __future__ import annotations

import pytest

from kavfs._native import match
from tests.support.matching import image, layer, names, segment


def found(pattern: object, data: bytes, expression: bytes | None = None) -> bool:
    """Whether a signature over this one pattern is true, the same from memory and from a file in tiny windows."""
    part = segment((b"It", expression, pattern))
    whole = image(part).scan(data)
    with layer(data) as fd:
        assert image(part, window=16).scan(fd) == whole
    return names(whole) == ["It"]


HIT_AND_MISS = [
    # (pattern, taken, not taken)
    (b"6162636465", b"xabcdex", b"xabcdx"),
    (b"6162??6465", b"ab\x00de", b"abde"),
    (b"61626?6465", b"abodede", b"abpde"),
    (b"6162?36465", b"abSde", b"abTde"),
    (b"61626364??", b"abcdx", b"abcd"),
    (b"??61626364", b"xabcd", b"abcd"),
    (b"6162*6364", b"ab......cd", b"cd......ab"),
    (b"6162*6364", b"abcd", b"abd"),
    (b"6162{3}6364", b"ab...cd", b"ab..cd"),
    (b"6162{3}6364", b"ab...cd", b"ab....cd"),
    (b"6162{2-4}6364", b"ab..cd", b"ab.cd"),
    (b"6162{2-4}6364", b"ab....cd", b"ab.....cd"),
    (b"6162{-2}6364", b"abcd", b"ab...cd"),
    (b"6162{3-}6364", b"ab...........cd", b"ab..cd"),
    (b"6162{200}6364", b"ab" + 200 * b"." + b"cd", b"ab" + 199 * b"." + b"cd"),
    (b"6162{200}6364", b"ab" + 200 * b"." + b"cd", b"ab" + 201 * b"." + b"cd"),
    (b"61[2-3]62636465", b"a..bcde", b"a.bcde"),
    (b"62636465[2-3]61", b"bcde...a", b"bcde....a"),
    (b"6162(63|64)6566", b"abdef", b"abgef"),
    (b"6162(6364|6566)6768", b"abefgh", b"abcfgh"),
    (b"6162(63|646566)6768", b"abdefgh", b"abdegh"),
    (b"6162(63|6363)636768", b"abcccgh", b"abccccgh"),
    (b"6162(6?|7?70)6768", b"abpjgh".replace(b"j", b"p"), b"abpogh"),
    (b"6162!(63|64)6566", b"abgef", b"abdef"),
    (b"6162!(6364|6566)6768", b"abcfgh", b"abcdgh"),
    (b"(B)61626364", b"x abcd", b"x,abcd"),
    (b"(B)61626364", b"abcd", b"1abcd"),
    (b"61626364(B)", b"abcd=", b"abcd."),
    (b"61626364(B)", b"abcd", b"abcdx"),
    (b"61626364!(B)", b"abcd.", b"abcd="),
    (b"6162(B)6364", b"ab/cd", b"abcd"),
    (b"(L)61626364", b"x\nabcd", b"x\rabcd"),
    (b"61626364(L)", b"abcd\r\n", b"abcd\r"),
    (b"61626364(L)", b"abcd", b"abcd "),
    (b"6162(L)6364", b"ab\r\ncd", b"ab\r\rcd"),
    (b"(W)61626364", b".abcd", b"9abcd"),
    (b"61626364(W)", b"abcd_", b"abcdZ"),
    (b"6162(W)6364", b"ab-cd", b"ab1cd"),
    (b"00000000", b"a\0\0\0\0b", b"a\0\0\0b\0"),
    (b"0000", b"\1\0\0", b"\0\1\0"),
]


@pytest.mark.parametrize(("pattern", "taken", "missed"), HIT_AND_MISS)
def test_elements(pattern: bytes, taken: bytes, missed: bytes) -> None:
    assert found(pattern, taken)
    assert not found(pattern, missed)


OFFSETS = [
    (b"0", b"abcd..", b".abcd"),
    (b"2", b"..abcd", b"...abcd"),
    (b"2,2", b"....abcd", b".....abcd"),
    (b"2,2", b"..abcd", b".abcd"),
    (b"EOF-4", b"..abcd", b"..abcd."),
    (b"EOF-6", b".abcd..", b".abcd..."),
    (b"EOF-6,2", b"...abcd", b".abcd..."),
]


@pytest.mark.parametrize(("offset", "taken", "missed"), OFFSETS)
@pytest.mark.parametrize("hexadecimal", [b"61626364", b"6162??64", b"6162*6364"])
def test_offsets(offset: bytes, taken: bytes, missed: bytes, hexadecimal: bytes) -> None:
    assert found((hexadecimal, offset, b""), taken)
    assert not found((hexadecimal, offset, b""), missed)


def wide(text: bytes) -> bytes:
    return b"".join(bytes([b, 0]) for b in text)


MODIFIERS = [
    (b"i", b"aBcD", b"aBcE"),
    (b"", b"abcd", b"abcD"),
    (b"w", wide(b"abcd"), b"abcd"),
    (b"wi", wide(b"aBCd"), b"aBCd"),
    (b"aw", b"abcd", b"a\0bcd"),
    (b"aw", wide(b"abcd"), wide(b"abCd")),
    (b"a", b"abcd", wide(b"abcd")),
    (b"f", b"x abcd.", b"xabcd."),
    (b"f", b"abcd", b"abcd9"),
    (b"fw", wide(b".abcd."), wide(b"zabcd.")),
    (b"fw", b"x" + wide(b"abcd") + b"!", wide(b"abcdz")),
    (b"fi", b"-ABCD-", b"-ABCD_"[:-1] + b"d"),
]


@pytest.mark.parametrize(("modifiers", "taken", "missed"), MODIFIERS)
def test_modifiers(modifiers: bytes, taken: bytes, missed: bytes) -> None:
    assert found((b"61626364", b"*", modifiers), taken)
    assert not found((b"61626364", b"*", modifiers), missed)


def test_an_upper_end_of_zero_is_none_as_in_clamav() -> None:
    assert found(b"6162{0}6364", b"ab" + 500 * b"." + b"cd")
    assert found(b"6162{2-0}6364", b"ab" + 500 * b"." + b"cd")


def test_gaps_count_from_the_end_of_the_piece_before() -> None:
    assert found(b"6162(63|6364){2-2}7a7a", b"abcd..zz")
    assert found(b"6162(63|6364){2-2}7a7a", b"abcd.zz")
    assert not found(b"6162(63|6364){2-2}7a7a", b"abcd...zz")


COUNTS = [
    (b"6161", b"aaaa", 3),  # overlapping places count
    (b"6162", b"ab ab ab", 3),
    (b"6162*6364", b"ab cd cd", 2),  # each place of the last piece counts
    (b"6162*6364", b"ab ab cd", 1),
    (b"6162{1-3}6364", b"ab.cd..cd", 1),
    (b"6162??", b"ab.abab", 2),
]


@pytest.mark.parametrize(("pattern", "data", "count"), COUNTS)
def test_how_often_a_pattern_counts(pattern: bytes, data: bytes, count: int) -> None:
    assert found(pattern, data, b"0=%d" % count)
    assert not found(pattern, data, b"0=%d" % (count + 1))
    assert found(pattern, data, b"0>%d" % (count - 1))
    assert not found(pattern, data, b"0<%d" % count)


REFUSED = [
    ((b"616", b"*", b""), "odd number of hexadecimal digits"),
    ((b"61zz", b"*", b""), "not hexadecimal"),
    ((b"61??62", b"*", b""), "needs two known bytes side by side"),
    ((b"6162*63", b"*", b""), "needs two known bytes side by side"),
    ((b"", b"*", b""), "nothing between two gaps"),
    ((b"6162**6364", b"*", b""), "nothing between two gaps"),
    ((b"6162{x}6364", b"*", b""), "unreadable range"),
    ((b"6162{2-6364", b"*", b""), "unreadable range"),
    ((b"6162(63", b"*", b""), "missing ')'"),
    ((b"6162(63*64)", b"*", b""), "gap inside an alternative"),
    ((b"6162(63(64|65))", b"*", b""), "nested alternatives are not supported"),
    ((b"6162()6364", b"*", b""), "empty alternative"),
    ((b"6162!(63|6465)66", b"*", b""), "negated alternatives must be plain"),
    ((b"6162!(63|64)66", b"*", b"i"), "negated alternatives must be plain"),
    ((b"6162[1-3]6364", b"*", b""), "square brackets need a single byte beside"),
    ((b"61[1-99]6364", b"*", b""), "unreadable range in square brackets"),
    ((b"6162", b"*", b"x"), "unknown modifier"),
    ((b"6162", b"EP4", b""), "unreadable offset"),
    ((b"6162", b"EP+0x4", b""), "unreadable offset"),
    ((b"6162", b"S0-4", b""), "unreadable offset"),
    ((b"6162", b"S+4", b""), "unreadable offset"),
    ((b"6162", b"SL-4", b""), "unreadable offset"),
    ((b"6162", b"SEx", b""), "unreadable offset"),
    ((b"6162", b"*,4", b""), "unreadable offset"),
    ((b"6162", b"12,x", b""), "unreadable offset"),
    ((b"6162", b"EOF+4", b""), "unreadable offset"),
    ((b"61" * 60001, b"*", b""), "longer than 60,000 bytes without a gap"),
]


@pytest.mark.parametrize(("pattern", "reason"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_pattern_is_refused_with_its_reason(pattern: tuple[bytes, bytes, bytes], reason: str) -> None:
    builder = match.SegmentBuilder(b"x", bytes(32))
    with pytest.raises(match.PatternError, match=f"^{reason.replace('(', '[(]').replace(')', '[)]')}$"):
        builder.pattern(*pattern)
    assert builder.pattern(b"61626364") == 0  # and leaves nothing behind


def test_patterns_that_are_equal_are_one() -> None:
    builder = match.SegmentBuilder(b"x", bytes(32))
    assert builder.pattern(b"6162AAbb(B)") == builder.pattern(b"6162aaBB(B)") == 0
    assert builder.pattern(b"6162aabb(B)", b"0") == 1
    assert builder.pattern(b"6162aabb(B)", b"*", b"i") == 2
    assert builder.pattern_count == 3


BAD_SIGNATURES = [
    ((b"", 1, 0, [0], None), "name missing or too long"),
    ((b"N", 1, 8, [0], None), "unknown target type"),
    ((b"N", 1, 99, [0], None), "unknown target type"),
    ((b"N", 1, 0, [], None), "no subsignature"),
    ((b"N", 1, 0, [7], None), "unknown pattern"),
    ((b"N", 1, 0, [0] * 65, b"0"), "more than 64 subsignatures"),
    ((b"N", 1, 0, [0, 0], b"0"), "subsignatures and logical expression do not agree"),
    ((b"N", 1, 0, [0], b"0&1"), "subsignatures and logical expression do not agree"),
    ((b"N", 1, 0, [0], b"(0"), "missing '[)]' in the logical expression"),
    ((b"N", 1, 0, [0], b"0)"), "unreadable logical expression"),
    ((b"N", 1, 0, [0], b"0&"), "number missing or too large in the logical expression"),
    ((b"N", 1, 0, [0], b"0>"), "number missing or too large in the logical expression"),
    ((b"N", 1, 0, [0], b"(0)>1"), "nothing to count inside a parenthesis"),
    ((b"N", 1, 0, [0], b"0>99999999999"), "number missing or too large in the logical expression"),
    ((b"N", 1, 0, [0], b"(" * 100 + b"0" + b")" * 100), "logical expression nested too deep"),
]


@pytest.mark.parametrize(("signature", "reason"), BAD_SIGNATURES, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_signature_is_refused_with_its_reason(signature: tuple, reason: str) -> None:
    builder = match.SegmentBuilder(b"x", bytes(32))
    builder.pattern(b"61626364")
    with pytest.raises(match.SignatureError, match=f"^{reason}$"):
        builder.signature(*signature)
    builder.signature(b"Good", 1, 0, [0], None)
    assert builder.signature_count == 1


A, B, C, D = b"61616161", b"62626262", b"63636363", b"64646464"

EXPRESSIONS = [
    # (expression, how often a, b, c, d are there, true?)
    (b"0&1&2&3", (1, 1, 1, 1), True),
    (b"0&1&2&3", (1, 1, 0, 1), False),
    (b"0&1|2&3", (1, 0, 1, 1), True),  # without parentheses from the right: 0&(1|(2&3))
    (b"0&1|2&3", (0, 1, 1, 1), False),
    (b"(0&1|2)&3", (1, 0, 1, 1), True),  # inside them the last operator is the outermost: (0&1)|2
    (b"(0&1|2)&3", (0, 0, 1, 1), True),
    (b"(0|1|2|3)>2", (1, 1, 1, 0), True),
    (b"(0|1|2|3)>2", (1, 1, 0, 0), False),
    (b"(0|1|2|3)>2,2", (3, 0, 0, 0), False),
    (b"(0|1|2|3)>2,2", (2, 1, 0, 0), True),
    (b"(0&1)>2&2&3", (1, 1, 1, 1), False),
    (b"(0&1)>2&2&3", (2, 1, 1, 1), True),
    (b"(0|1|2|3)=2", (1, 1, 1, 0), False),
    (b"(0|1|2|3)<3", (1, 1, 0, 0), True),
    (b"0=0&1&2&3", (0, 1, 1, 1), True),
    (b"0=0&1&2&3", (1, 1, 1, 1), False),
    (b"0=2&(1|2|3)", (2, 1, 0, 0), True),
    (b"0=2&(1|2|3)", (3, 1, 0, 0), False),
]


@pytest.mark.parametrize(("expression", "counts", "true"), EXPRESSIONS)
def test_logical_expressions(expression: bytes, counts: tuple[int, ...], true: bool) -> None:
    text = b"|".join(
        bytes.fromhex(hexadecimal.decode())
        for hexadecimal, n in zip((A, B, C, D), counts, strict=True)
        for _ in range(n)
    )
    scanner = image(segment((b"It", expression, A, B, C, D)))
    assert bool(scanner.scan(b"start|" + text).hits) is true
