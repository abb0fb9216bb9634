"""Parts of a daemon's core: whose turn it is, who is late, which streams are the same."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.scan import shifts
from kavfs.scan.asked import Request
from kavfs.scan.deadlines import SLACK, Deadlines
from kavfs.scan.scanner import memory_file
from kavfs.scan.streams import COMPARED, Streams
from kavfs.scan.waiting import Waiting
from tests.support.serving import desk


def request(ticket: int, client: object = "c", fd: int = -1) -> Request:
    return Request(ticket, fd, b"name", None, client, False)


def taken(waiting: Waiting) -> list[int]:
    found = []
    while (one := waiting.take()) is not None:
        found.append(one.ticket)
    return found


def test_clients_take_turns_each_with_its_oldest():
    waiting = Waiting(100, 100)
    for ticket, client in enumerate("aaaabbc"):
        waiting.add(request(ticket, client))
    assert taken(waiting) == [0, 4, 6, 1, 5, 2, 3]
    assert len(waiting) == 0


def test_one_that_has_waited_before_comes_before_its_clients_others():
    waiting = Waiting(100, 100)
    for ticket in (1, 2):
        waiting.add(request(ticket))
    waiting.add(request(3), first=True)
    assert taken(waiting) == [3, 1, 2]


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "remove", "join", "leave"]), st.integers(0, 3))))
def test_limits_count_what_is_there_whatever_came_before(steps):
    waiting = Waiting(6, 3)
    there: list[Request] = []
    joined: list[Request] = []
    for ticket, (step, client) in enumerate(steps):
        mine = sum(one.client == client for one in there + joined)
        room = len(there) + len(joined) < 6 and mine < 3
        assert waiting.has_room(client) is room
        if step in ("add", "join") and room:
            one = request(ticket, client)
            (there if step == "add" else joined).append(one)
            (waiting.add if step == "add" else waiting.join)(one)
        elif step == "take" and there:
            one = waiting.take()
            assert one is next(other for other in there if other.client == one.client)
            there.remove(one)
        elif step == "remove" and there:
            waiting.remove(there.pop())
        elif step == "leave" and joined:
            waiting.leave(joined.pop())
        assert len(waiting) == len(there) + len(joined)
    assert sorted(taken(waiting)) == sorted(one.ticket for one in there)


def test_deadlines_come_in_their_order_and_answered_ones_never():
    deadlines = Deadlines()
    for ticket, at in ((1, 5.0), (2, 3.0), (3, 4.0)):
        deadlines.add(ticket, at)
    deadlines.drop(3)
    assert deadlines.next() == 3.0
    assert deadlines.due(2.9) == []
    assert deadlines.due(10.0) == [2, 1]
    assert deadlines.next() is None


def test_deadlines_of_answered_requests_take_no_room():
    deadlines = Deadlines()
    for ticket in range(10 * SLACK):
        deadlines.add(ticket, 1000.0 + ticket)
        deadlines.drop(ticket)
    assert len(deadlines._heap) <= 2 * SLACK


@pytest.fixture
def streams():
    made: list[int] = []

    def stream(content: bytes, ticket: int = 0) -> Request:
        fd = memory_file(content)
        made.append(fd)
        return request(ticket, fd=fd)

    yield stream
    for fd in made:
        os.close(fd)


def test_streams_that_differ_in_one_byte_are_not_the_same(streams):
    book = Streams()
    content = bytes(600_000)
    first = streams(content)
    book.look(first)
    book.add(first)
    for place in (0, 299_999, 599_999):
        other = streams(content[:place] + b"x" + content[place + 1 :])
        book.look(other)
        assert book.leader(other, None) is None
    for length in (599_999, 600_001):
        other = streams(bytes(length))
        book.look(other)
        assert book.leader(other, None) is None
    same = streams(content)
    book.look(same)
    assert book.leader(same, None) is first
    book.drop(first)
    assert book.leader(same, None) is None


def test_nearly_equal_streams_are_compared_with_few(streams, monkeypatch):
    book = Streams()
    for number in range(50):
        one = streams(bytes(1000) + b"%04d" % number, number)
        book.look(one)
        book.add(one)
    last = streams(bytes(1000) + b"last")
    book.look(last)
    reads: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, place: reads.append(fd) or real(fd, size, place))
    assert book.leader(last, None) is None
    assert len(set(reads)) <= COMPARED + 1


def test_stream_that_cannot_be_read_is_nobodys(tmp_path):
    book = Streams()
    fd = memory_file(b"content")
    unreadable = os.open(f"/proc/self/fd/{fd}", os.O_PATH)
    for one in (unreadable, os.open(tmp_path, os.O_RDONLY)):
        asked = request(1, fd=one)
        book.look(asked)
        assert asked.size == -1
        os.close(one)
    os.close(fd)


def test_crew_for_all_matches_ends_when_nobody_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shifts, "IDLE_MATCHING", 0.0)
    with desk(tmp_path) as made:
        made.result(made.ask(b"one"))
        made.run(lambda: made.service.stats().workers == 1)
        made.result(made.ask(b"two", all_match=True))
        made.run(lambda: made.service.stats().workers == 1)
        assert made.result(made.ask(b"three", all_match=True))
