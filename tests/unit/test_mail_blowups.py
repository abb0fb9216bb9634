"""Mail that is small and was made to cost much: what it costs is bounded, and what is not looked at is said."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kavfs.action.cure.pieces import Source
from kavfs.mail.coding import blocks, files_of
from kavfs.mail.examining import examined
from kavfs.mail.filtering import filtered
from kavfs.mail.message import Message
from kavfs.mail.names import VALUE_MAX, decoded_words, names_of, without_comments
from kavfs.mail.parts import LINES_MAX, parts_of
from kavfs.mail.rules import Filters
from kavfs.mail.scanning import Bounds, Examiner
from kavfs.mail.spool import Spool
from kavfs.model import Result, Status
from kavfs.patterns.lists import read_patterns
from kavfs.scan.asked import Begun

TEXT = b"Subject: x\r\n\r\n"


@contextmanager
def held(data: bytes) -> Iterator[Source]:
    fd = os.memfd_create("mail")
    try:
        os.write(fd, data)
        yield Source(fd, 0, len(data))
    finally:
        os.close(fd)


def steps(work: Callable[[], object]) -> int:
    """Lines of our Python that are run: a measure that the machine's load does not change."""
    count = 0

    def tracer(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count


NESTED = b"".join(b'Content-Type: multipart/mixed; boundary="n%d"\r\n\r\n--n%d\r\n' % (i, i) for i in range(99))
MARKED = b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n'


@pytest.mark.parametrize(
    ("head", "line"),
    [
        pytest.param(TEXT, b"--a\r\nX:y\r\n", id="headers in headers"),
        pytest.param(NESTED + b"\r\n", b"--\r\n", id="dashes in many parts"),
        pytest.param(NESTED + b"\r\n--n99--\r\n", b"--n99--\r\n", id="ends of what has ended"),
        pytest.param(TEXT, b"--a\r\nContent-Type: a/b\r\n\r\n", id="guesses"),
    ],
)
def test_twice_the_message_costs_about_twice(head: bytes, line: bytes) -> None:
    costs = []
    for times in (1000, 2000):
        with held(head + line * times) as source:
            costs.append(steps(lambda: parts_of(source)))
    assert costs[1] < 3 * costs[0]


def test_headers_of_guesses_that_lie_in_one_another_are_not_read_for_ever() -> None:
    with held(MARKED + b"--ab\r\nX:y\r\n" * 5000) as source:
        tree = parts_of(source)
    assert tree.over
    assert len(tree.guesses) * 10000 < 2 * LINES_MAX


@pytest.mark.parametrize(
    "value",
    [b'boundary="' + b";" * 100_000, b"a=b;" * 1000, b"; a*0=b" * 100_000],
    ids=["semicolons in quotes", "parameters", "pieces"],
)
def test_a_field_that_is_not_taken_apart_wholly_is_more_than_the_limits(value: bytes) -> None:
    with held(b"Content-Type: multipart/mixed; " + value + b"\r\n\r\nx") as source:
        assert parts_of(source).over


def test_the_header_of_the_message_that_is_too_long_is_more_than_the_limits() -> None:
    with held(b"X: y\r\n" * 300_000 + b"\r\nx") as source:
        assert parts_of(source).over


def test_a_text_with_very_many_documents_of_yaml_is_nothing_strange() -> None:
    with held(TEXT + b"---\r\nkind: a\r\nname: b\r\n" * 3000) as source:
        tree = parts_of(source)
    assert not tree.over
    assert not tree.guesses


def test_a_field_that_describes_content_makes_a_guess_wherever_it_stands_in_the_header() -> None:
    with held(TEXT + b"--x\r\nA: b\r\nContent-Type: text/html\r\n\r\nhi\r\n") as source:
        assert [part.kind for part in parts_of(source).guesses] == ["text/html"]
    with held(TEXT + b"--x\r\nA: b\r\n\r\nContent-Type: text/html\r\n\r\nhi\r\n") as source:
        assert parts_of(source).guesses == []


# ---- files in texts --------------------------------------------------------------------------------------------------

OPEN = b"".join(b"--%d\r\nContent-Type: text/plain\r\n\r\n" % number for number in range(300))


async def clean(fd: int, name: bytes, seconds: float, begun: Begun | None = None) -> Result:
    return Result(name, Status.CLEAN, format="mail")


def looked_at(data: bytes, bounds: Bounds) -> list[str]:
    with held(data) as source:
        return [one.why for one in asyncio.run(examined(Message(source), Examiner(clean, bounds, Spool)))]


def test_a_file_in_many_texts_that_lie_in_one_another_is_looked_for_once() -> None:
    data = TEXT + b"begin 644 a.txt\r\n" + OPEN + b"a\r\n" * 20_000
    with held(data) as source:
        message, names = Message(source), Filters(names=read_patterns(r"\.exe$"))
        assert steps(lambda: filtered(names, message)) < 300_000
        assert filtered(Filters(names=read_patterns(r"\.txt$")), message)


def test_very_many_files_in_texts_are_more_than_the_limits() -> None:
    assert looked_at(TEXT + b"begin 644 a\r\nend\r\n" * 10_000, Bounds()) == ["it has too many files in its texts"]


def test_a_message_with_too_many_parts_is_not_taken_apart() -> None:
    assert looked_at(TEXT + OPEN, Bounds(parts=100)) == ["it has more than 100 parts"]


def test_a_file_ends_where_its_own_end_is() -> None:
    rows = [b"begin 644 a", b"begin-base64 644 b", b"end", b"====", b"begin 644 c", b"more"]
    data = b"\r\n".join(rows)
    with held(data) as source:
        files = files_of(source)
        found = [(one.name, data[one.start : one.end].count(b"\n")) for one in blocks(files, 0, len(data))]
        inside = [one.name for one in blocks(files, 5, len(data))]
    assert found == [(b"a", 2), (b"c", 1)]
    assert inside == [b"b", b"c"]


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [b"=?a?q?x", b"(a\\", b"=?", b"a*", b"(", b'\\"'])
def test_a_field_of_the_greatest_length_is_taken_apart_at_once(unit: bytes) -> None:
    """Without an end of the test this would take very long: times are not asserted."""
    value = b'attachment; filename="' + unit * (VALUE_MAX // len(unit))
    for _ in range(50):
        names_of([(b"content-disposition", value)])


@pytest.mark.parametrize(
    ("value", "without"),
    [
        (b"a(b)c", b"a c"),
        (b"a(b(c)d)e(f)", b"a e "),
        (b"a(b\\)c)d", b"a d"),
        (b"a(b", b"a(b"),
        (b"a(b(c)", b"a(b "),
        (b"a)b(c)", b"a)b "),
        (b"a\\(b)", b"a\\ "),
    ],
)
def test_comments_are_taken_out(value: bytes, without: bytes) -> None:
    assert without_comments(value) == without


def test_what_stands_behind_encoded_words_stays() -> None:
    assert decoded_words(b"a =?utf-8?q?b?= c =?d?q?e") == b"a b c =?d?q?e"
    assert decoded_words(b"=?utf-8?q?a?=.exe") == b"a.exe"
    assert decoded_words(b"=?d?q?e") == b"=?d?q?e"


def test_guesses_that_lie_in_one_another_are_not_decoded_for_their_size() -> None:
    coded = OPEN.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    with held(TEXT + coded + b"QUJDREVG\r\n" * 20_000) as source:
        message = Message(source)
        assert len(message.tree.guesses) == 300
        assert steps(lambda: filtered(Filters(size_over=100_000), message)) < 100_000
        assert len(filtered(Filters(size_over=100_000), message)) == 301
        assert [one.name for one in filtered(Filters(size_over=190_000), message)] == ["message"]


@pytest.mark.parametrize(("rows", "over"), [(10_000, False), (80_000, True)])
def test_what_parts_hold_is_looked_into_up_to_a_bound(rows: int, over: bool) -> None:
    """Each of many guesses goes on to the end of the message, and nothing comes out of it."""
    coded = OPEN.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    with held(TEXT + coded + b"!!!!\r\n" * rows) as source:
        message = Message(source)
        found = filtered(Filters(types=read_patterns("^pe$")), message)
        assert [(one.status, one.part) for one in found] == ([(Status.ERROR, None)] if over else [])
        assert steps(lambda: filtered(Filters(types=read_patterns("^pe$")), message)) < 400_000


def test_of_a_large_message_with_many_parts_each_is_looked_into() -> None:
    part = b"\r\n--x\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    fine, bad = base64.encodebytes(b"fine" * 9000), base64.encodebytes(b"%PDF-1.4" + b"bad" * 9000)
    data = b"Content-Type: multipart/mixed; boundary=x\r\n" + part + (part + fine) * 300 + part + bad + b"\r\n--x--\r\n"
    with held(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) as source:
        found = filtered(Filters(types=read_patterns("^pdf$")), Message(source))
    assert [(one.status, one.why) for one in found] == [(Status.FILTERED, "what it holds is not allowed")]
