"""Verdicts out of a store of which nothing but paths has to be told: many at once, as text and as results."""

from __future__ import annotations

import random

import pytest

from kavfs._native import dispatch
from kavfs.model import Member, Reason, Result, Status
from kavfs.scan.records import Listed
from tests.support import dispatching
from tests.support.dispatching import CACHED, PLACE, renew, replay, send
from tests.support.fakes import note

CONTAINER = 1 << 2
LISTED_MAX = 1 << 20


@pytest.fixture
def bench():
    with dispatching.bench() as made:
        yield made


def inside(*names: bytes) -> bytes:
    return b"".join(note(b"", name, 0) for name in names)


def box(path: bytes, *names: bytes, **changes: int) -> bytes:
    """A clean container."""
    return replay(__file__, path, inside(*names), **{"said": len(names), "flags": CACHED | CONTAINER, **changes})


def lines(results: list[Result]) -> bytes:
    """The text that says the same as these results."""
    text = b""
    for result in results:
        text += result.path + (b"\0\0" if result.members else b"\0")
        text += b"".join(result.path + b"/" + member.path + b"\0" for member in result.members)
    return text


def told(bench) -> list[tuple[int, int, bytes]]:
    """Kind, number and, of those that are listed, the text."""
    return [(kind, number, text) for kind, number, _, _, text in bench.events]


def test_containers_of_one_message_are_one_event(bench):
    bench.walker.send(box(b"/d/one.zip", b"a", b"b/c") + box(b"/d/empty.zip") + box(b"/e/two.tar", b"x", b"x"))
    bench.step()
    text = (
        b"/d/one.zip\0\0" b"/d/one.zip/a\0" b"/d/one.zip/b/c\0"
        b"/d/empty.zip\0"
        b"/e/two.tar\0\0" b"/e/two.tar/x\0" b"/e/two.tar/x\0"
    )  # fmt: skip
    assert told(bench) == [(dispatch.EV_LISTED, 3, text)]
    results = bench.results()
    assert lines(results) == text
    assert results[0].members == tuple(Member(name, Status.CLEAN, Reason(0), 0) for name in (b"a", b"b/c"))
    assert {(r.status, r.container, r.cached, r.error) for r in results} == {(Status.CLEAN, True, True, None)}
    assert bench.dispatcher.totals()[0] == 3


MORE_TO_TELL = {
    "infected": replay(__file__, b"/d/x", note(b"Bad", b"m"), status=Status.INFECTED, said=1),
    "protected": replay(__file__, b"/d/x", inside(b"m"), status=Status.PROTECTED, reasons=Reason.ENCRYPTED, said=1),
    "warning alone": replay(__file__, b"/d/x", status=Status.WARNING),
    "a container inside": replay(__file__, b"/d/x", note(b"", b"in.zip", 0, container=True), said=1),
    "a member that is the object itself, named": replay(__file__, b"/d/x", note(b"N", b"", 0), said=1),
    "a name of a signature on what is clean": replay(__file__, b"/d/x", note(b"N", b"m", 0), said=1),
    "the last member partial": replay(__file__, b"/d/x", inside(b"m") + note(b"", b"n", 0, reasons=1), said=2),
}


@pytest.mark.parametrize("name", MORE_TO_TELL)
def test_what_has_more_to_tell_is_told_for_itself(bench, name):
    bench.walker.send(box(b"/d/a", b"m") + MORE_TO_TELL[name] + box(b"/d/b"))
    bench.step()
    assert sorted(told(bench)) == [(dispatch.EV_RESULT, 0, b""), (dispatch.EV_LISTED, 2, b"/d/a\0\0/d/a/m\0/d/b\0")]
    assert sorted(result.path for result in bench.results()) == [b"/d/a", b"/d/b", b"/d/x"]


def test_long_paths_of_many_members_do_not_swell(bench):
    """What a message becomes as text has a bound; what lies beyond is told without repeating the path."""
    path = b"/" + b"p" * 40_000
    small = box(b"/d/a", b"m")
    bench.walker.send(small + box(path, *[b"m"] * 30) + small)
    bench.walker.send(small + box(path, *[b"m"] * 20) + box(path, *[b"m"] * 20) + small)
    bench.step()
    assert [kind for kind, *_ in told(bench)] == [dispatch.EV_RESULT, dispatch.EV_LISTED] * 2
    listed = [(number, len(text)) for kind, number, text in told(bench) if kind == dispatch.EV_LISTED]
    assert [number for number, _ in listed] == [2, 3]
    assert all(length <= LISTED_MAX for _, length in listed)
    assert len(bench.results()) == bench.dispatcher.totals()[0] == 7


def test_nobody_is_told_where_clean_files_are_only_counted():
    with dispatching.bench(want_clean=False) as bench:
        bench.walker.send(box(b"/d/a", b"m") + MORE_TO_TELL["infected"] + box(b"/d/b"))
        bench.step()
        assert told(bench) == [(dispatch.EV_RESULT, 0, b"")]
        assert bench.dispatcher.totals()[0] == 3


WRONG_BEHIND = {
    "another message": renew(PLACE) * 20,
    "cut": box(b"/d/b", b"m")[:-8],
    "its header alone": box(b"/d/b", b"m")[:120],
    "a few bytes": box(b"/d/b", b"m")[:8],
    "one with a wrong field": box(b"/d/b") + replay(__file__, reasons=1),
    "one that reaches beyond the message": replay(__file__, notes_len=0xFFFFFFF8),
    "one whose path does": replay(__file__, path_len=0xFFFF),
    "notes that are more than are counted": replay(__file__, b"/d/b", inside(b"m", b"n"), said=1),
    "notes that are fewer": replay(__file__, b"/d/b", inside(b"m"), said=2),
    "notes that are not aligned": replay(__file__, b"/d/b", b"odd!"),
    "NUL in the name of a member": box(b"/d/b", b"a\0b"),
}


@pytest.mark.parametrize("name", WRONG_BEHIND)
def test_message_with_one_wrong_verdict_ends_the_walker_and_none_of_it_counts(bench, name):
    bench.walker.send(box(b"/d/a", b"m") + WRONG_BEHIND[name])
    bench.step()
    assert bench.kinds() == [dispatch.EV_STALLED]
    assert bench.dispatcher.totals()[0] == 0


@pytest.mark.parametrize("seed", range(40))
def test_damaged_messages_end_their_sender_or_say_the_same_twice(bench, seed):
    """Text and results come from the same bytes, whatever a walker sends; no NUL more or less."""
    dice = random.Random(seed)
    right = box(b"/d/one.zip", b"a", b"b/c") + MORE_TO_TELL["infected"] + box(b"/d/e") + box(b"/two", b"x" * 20)
    for _ in range(50):
        frame = bytearray(right)
        for _ in range(dice.randint(1, 3)):
            frame[dice.randrange(len(frame))] ^= 1 << dice.randrange(8)
        if dice.random() < 0.2:
            del frame[dice.randrange(len(frame)) :]
        send(bench.walker, bytes(frame) or b"?", __file__, 0)
        bench.step()
        for kind, number, _, data, text in bench.events:
            if kind == dispatch.EV_LISTED:
                results = list(Listed(text, data).results())
                assert len(results) == number
                assert lines(results) == text
        if dispatch.EV_STALLED in bench.kinds():
            return
        bench.events.clear()
