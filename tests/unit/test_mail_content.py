"""Content of DATA: one end, found wherever bytes are cut; what goes in comes out; and no other end ever leaves us."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.mail.content import Stuffer, Unstuffer, has_bare
from kavfs.mail.envelope import pass_on
from kavfs.mail.pool import Pool
from kavfs.mail.relay import Counts, Relay
from kavfs.mail.session import Session
from kavfs.mail.settings import Settings
from kavfs.mail.spool import Spool
from tests.support.hops import Client, NextHop, drive

ENDS = (b"\r", b"\n", b"\r\n")
FORMS = [a + b"." + b + c for a, b, c in product(ENDS, ENDS, ENDS)]  # what may pass for an end somewhere
SHORT = [a + b"." + b for a, b in product(ENDS, ENDS)]
SMUGGLED = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nevil\r\n.\r\n"
CONTENT = b"Subject: one\r\n\r\nfirst"
pieces = st.lists(st.sampled_from([b"a", b".", b"..", b"\r\n", b"\r", b"\n", b"\0", b"\xff" * 3]), max_size=40)
lines = st.lists(st.sampled_from([b"a\r\n", b".\r\n", b"..\r\n", b"\r\n", b".x\r\n"]), max_size=20).map(b"".join)
places = st.lists(st.integers(0, 1000), max_size=8)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def stuffed(chunks: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([*(stuffer.feed(chunk) for chunk in chunks), stuffer.finish(), Stuffer.END_LINE])


def unstuffed(chunks: list[bytes], normalise: bool = False) -> tuple[bytes, bytes, Unstuffer]:
    reader = Unstuffer(normalise)
    content = behind = b""
    for chunk in chunks:
        if reader.ended:
            behind += chunk
        else:
            data, rest = reader.feed(chunk)
            content, behind = content + data, behind + rest
    return content, behind, reader


# ---- reader and writer ---------------------------------------------------------------------------------------------


@given(lines, places, places)
def test_what_goes_in_comes_out(content: bytes, there: list[int], back: list[int]) -> None:
    wire = stuffed(cut(content, there))
    got, behind, reader = unstuffed(cut(wire + b"QUIT\r\n", back))
    assert (got, behind) == (content, b"QUIT\r\n")
    assert not reader.bare


@given(pieces, places)
def test_nothing_that_leaves_us_ends_twice(chunks: list[bytes], at: list[int]) -> None:
    wire = stuffed(cut(b"".join(chunks), at))
    assert not has_bare(wire)
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3


@given(pieces, places)
def test_where_bytes_are_cut_changes_nothing(chunks: list[bytes], at: list[int]) -> None:
    wire = b"".join(chunks)
    for normalise in (False, True):
        content, behind, reader = unstuffed(cut(wire, at), normalise)
        whole, rest, once = unstuffed([wire], normalise)
        assert (content, behind, reader.bare, reader.ended) == (whole, rest, once.bare, once.ended)


@given(pieces)
def test_what_is_normalised_has_no_bare_ends(chunks: list[bytes]) -> None:
    content, _, _ = unstuffed([*chunks, b"\r\n.\r\n"], normalise=True)
    assert not has_bare(content)


@pytest.mark.parametrize(("wire", "content"), [(b".\r\n", b""), (b"\r\n.\r\n", b"\r\n"), (b"..\r\n.\r\n", b".\r\n")])
def test_the_shortest_messages(wire: bytes, content: bytes) -> None:
    assert unstuffed([wire])[0] == content
    assert stuffed([content]) == wire


@pytest.mark.parametrize("length", [998, 1000, 1001, 65536, 3_000_000])
def test_lines_of_any_length(length: int) -> None:
    content = b"x" * length + b"\r\n"
    wire = stuffed(cut(content, [length // 3]))
    assert unstuffed([wire[i : i + 65536] for i in range(0, len(wire), 65536)])[0] == content


def test_the_last_line_gets_an_end() -> None:
    assert stuffed([b"text"]) == b"text\r\n.\r\n"
    assert stuffed([b"text\r"]) == b"text\r\n.\r\n"


# ---- smuggling: the whole way --------------------------------------------------------------------------------------


def through(
    chunks: list[bytes], normalise: bool, lmtp: bool = False
) -> tuple[list[tuple[bytes, bytes]], list[bytes], bytes]:
    """A message in these pieces: what the next hop took, its command lines, what the client heard."""
    hop = NextHop()
    hello = b"LHLO me\r\n" if lmtp else b"EHLO me\r\n"
    steps = [
        ("EHLO", hello, 1),
        ("MAIL", b"MAIL FROM:<from@example.org>\r\n", 1),
        ("RCPT0", b"RCPT TO:<to@example.org>\r\n", 1),
        ("DATA", b"DATA\r\n", 1),
        *(("content", chunk, 0) for chunk in chunks if chunk),
    ]
    client = Client(steps)
    client.steps.append(("end", b"", 0))
    session = Session(Settings(b"us", normalise=normalise, lmtp=lmtp), Spool)
    drive(Relay(session, client, Pool(hop.connect, False, b"us"), pass_on, Counts()).run())
    return hop.taken, hop.lines, bytes(client.heard)


def test_there_are_27_forms() -> None:
    assert len(FORMS) == 27


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("form", [*FORMS, *SHORT], ids=repr)
def test_no_form_of_an_end_smuggles(form: bytes, normalise: bool) -> None:
    """A hidden message behind every form, cut at each byte: one message at most, and the hidden one is never sent as
    a message of its own, unless the form has the true end in it: then what follows are the client's own commands."""
    wire = CONTENT + form + SMUGGLED
    true_end = b"\r\n.\r\n" in CONTENT + form + SMUGGLED[:1]
    for at in range(len(CONTENT), len(wire) + 1):
        taken, _, heard = through([wire[:at], wire[at:], b"\r\n.\r\n", b"QUIT\r\n"], normalise)
        if true_end:
            assert taken[0] == (b"to@example.org", CONTENT + b"\r\n")
            continue
        assert b"victim" not in b"".join(address for address, _ in taken)
        assert len(taken) <= 1
        if has_bare(wire[: wire.find(b"\r\n.\r\n") + 2]) and not normalise:
            assert taken == []
            assert b"550 5.5.2" in heard
        else:
            assert len(taken) == 1


@pytest.mark.parametrize("form", [*FORMS, *SHORT], ids=repr)
def test_what_is_normalised_travels_as_one(form: bytes) -> None:
    """The next hop, which is ever so generous, sees one end of the message."""
    wire = CONTENT + form + b"text\r\n.\r\n"
    if b"\r\n.\r\n" in CONTENT + form:
        return
    taken, lines, _ = through([wire], normalise=True)
    assert len(taken) == 1
    assert not has_bare(taken[0][1])
    assert taken[0][1].startswith(CONTENT + b"\r\n.") or form.startswith(b"\r\n.")
    assert [line for line in lines if line.startswith(b"MAIL")] == [b"MAIL FROM:<from@example.org>"]


@pytest.mark.parametrize("lmtp", [False, True])
def test_a_refused_message_takes_all_behind_it_along(lmtp: bool) -> None:
    taken, lines, heard = through([b"text\n.\r\n" + SMUGGLED, b"QUIT\r\n"], normalise=False, lmtp=lmtp)
    assert taken == []
    assert sum(line.startswith(b"MAIL") for line in lines) == 1
    assert heard.endswith(b"550 5.5.2 Bare CR or LF in the message\r\n221 2.0.0 Bye\r\n")
