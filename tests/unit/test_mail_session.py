"""Session: what a client of SMTP or LMTP is answered, what is announced to it, and what it may not do."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.replies import OK, Reply, reply
from kavfs.mail.session import Hello, Mail, Message, Rcpt, Session
from kavfs.mail.settings import ATTRIBUTES, PASSED, Limits, Settings, offered
from kavfs.mail.spool import Spool

ALL = dict.fromkeys([*PASSED, b"XFORWARD", b"XCLIENT"], b"") | {
    b"XFORWARD": b" ".join(ATTRIBUTES),
    b"XCLIENT": b"ADDR NAME",
    b"SIZE": b"1000",
}
OFFER = (*PASSED, b"XFORWARD", b"XCLIENT")


class Talk:
    """A session whose next hop takes everything but what is in *refused*."""

    def __init__(self, settings: Settings | None = None, trusted: bool = False, hop=ALL) -> None:
        self.settings = settings or Settings(b"us", offer=OFFER)
        self.session = Session(self.settings, Spool, b"192.0.2.1", trusted)
        self.trusted, self.hop = trusted, hop
        self.refused: dict[bytes, Reply] = {}
        self.messages: list[tuple[Envelope, bytes]] = []
        self.final = OK

    def say(self, data: bytes) -> bytes:
        session = self.session
        session.receive(data)
        while (event := session.next_event()) is not None:
            match event:
                case Hello():
                    session.welcome(offered(self.settings, self.hop, self.trusted))
                case Mail(slot, envelope):
                    session.answer(slot, self.refused.get(envelope.sender, OK))
                case Rcpt(slot, recipient):
                    session.answer(slot, self.refused.get(recipient.address, OK))
                case Message(envelope, spool):
                    self.messages.append((envelope, b"".join(spool.chunks())))
                    spool.close()
                    session.finish([self.final] * len(envelope.recipients))
        return session.output()

    def codes(self, data: bytes) -> list[int]:
        return [int(line[:3]) for line in self.say(data).split(b"\r\n") if line[3:4] == b" "]


def greeted(settings: Settings | None = None, trusted: bool = False) -> Talk:
    talk = Talk(settings, trusted)
    talk.say(b"LHLO me\r\n" if talk.settings.lmtp else b"EHLO me\r\n")
    return talk


MAIL = b"MAIL FROM:<a@example.org>\r\n"
RCPT = b"RCPT TO:<b@example.org>\r\n"


# ---- what is announced -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", OFFER)
def test_announced_as_configured_and_as_the_next_hop_has_it(keyword: bytes) -> None:
    settings = Settings(offer=OFFER)
    assert keyword in offered(settings, ALL, trusted=True)
    assert keyword not in offered(settings, {k: v for k, v in ALL.items() if k != keyword}, trusted=True)
    assert keyword not in offered(settings._replace(offer=tuple(k for k in OFFER if k != keyword)), ALL, trusted=True)


def test_what_we_cannot_do_is_never_announced() -> None:
    settings = Settings(offer=(*OFFER, b"CHUNKING", b"BINARYMIME", b"STARTTLS"))
    hop = ALL | {b"CHUNKING": b"", b"BINARYMIME": b"", b"STARTTLS": b""}
    assert set(offered(settings, hop, trusted=False)) == {*PASSED, b"XFORWARD"}


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [(0, b"", b""), (0, b"0", b""), (5, b"", b"5"), (0, b"7", b"7"), (5, b"7", b"5"), (7, b"5", b"5"), (5, b"x", b"5")],
)
def test_the_smaller_size_is_announced(ours: int, theirs: bytes, said: bytes) -> None:
    assert offered(Settings(limits=Limits(size=ours)), {b"SIZE": theirs}, trusted=False) == {b"SIZE": said}


def test_xforward_has_the_attributes_of_both() -> None:
    settings = Settings(offer=(b"XFORWARD",), xforward=(b"NAME", b"ADDR"))
    assert offered(settings, {b"XFORWARD": b"addr HELO"}, trusted=False) == {b"XFORWARD": b"ADDR"}
    assert offered(settings, {b"XFORWARD": b"HELO"}, trusted=False) == {}


# ---- the dialogue ----------------------------------------------------------------------------------------------------


def test_a_message_with_everything() -> None:
    talk = greeted()
    assert talk.codes(b"XFORWARD ADDR=192.0.2.9 NAME=[UNAVAILABLE]\r\n") == [250]
    assert talk.codes(b"MAIL FROM:<a@x> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=q+2B\r\n") == [250]
    assert talk.codes(b'rcpt to: <"odd>one"@x> NOTIFY=NEVER ORCPT=rfc822;b\r\n') == [250]
    assert talk.codes(b"DATA\r\n") == [354]
    assert talk.codes(b"..x\r\n.\r\n") == [250]
    [(envelope, content)] = talk.messages
    assert content == b".x\r\n"
    assert envelope == Envelope(
        b"a@x",
        (Recipient(b'"odd>one"@x', ((b"NOTIFY", b"NEVER"), (b"ORCPT", b"rfc822;b"))),),
        ((b"SIZE", b"5"), (b"BODY", b"8BITMIME"), (b"RET", b"HDRS"), (b"ENVID", b"q+2B")),
        ((b"ADDR", b"192.0.2.9"), (b"NAME", b"[UNAVAILABLE]")),
        (),
        b"me",
        b"192.0.2.1",
        b"ESMTP",
    )
    talk.say(MAIL + RCPT + b"DATA\r\n")
    talk.say(b"x\r\n.\r\n")
    assert talk.messages[1][0].xforward == (), "XFORWARD is of one message"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_group_of_commands_is_answered_in_order(size: int) -> None:
    talk = Talk()
    talk.refused[b"no@example.org"] = reply(550, b"5.1.1", b"nobody")
    group = b"EHLO me\r\n" + MAIL + b"RCPT TO:<no@example.org>\r\nRCPT TO:bad\r\n" + RCPT + b"DATA\r\n"
    rest = b"text\r\n.\r\n" + MAIL + b"RSET\r\nNOOP\r\nQUIT\r\n"
    data = group + rest
    heard = b"".join(talk.say(data[i : i + size]) for i in range(0, len(data), size))
    codes = [int(line[:3]) for line in heard.split(b"\r\n") if line[3:4] == b" "]
    assert codes == [220, 250, 250, 550, 501, 250, 354, 250, 250, 250, 250, 221]
    assert [r.address for r in talk.messages[0][0].recipients] == [b"b@example.org"]


def test_lmtp_has_a_reply_for_each_recipient_that_was_taken() -> None:
    talk = greeted(Settings(lmtp=True))
    talk.refused[b"no@example.org"] = reply(450, b"4.2.1", b"later")
    assert talk.codes(MAIL + RCPT + b"RCPT TO:<no@example.org>\r\n" + RCPT + b"DATA\r\n") == [250, 250, 450, 250, 354]
    assert talk.codes(b"x\r\n.\r\n") == [250, 250]
    assert talk.codes(MAIL + b"DATA\r\n") == [250, 503]
    assert greeted(Settings(lmtp=True)).codes(b"EHLO me\r\nHELO me\r\n") == [451, 451]
    assert greeted().codes(b"LHLO me\r\n") == [451]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:a@x", 501),
        (b"MAIL FROM:<a@x", 501),
        (b"MAIL FROM:<a@x>y", 501),
        (b"MAIL FROM:<a b@x>", 501),
        (b"MAIL FROM:<>", 250),
        (b"MAIL FROM:<a@x> SIZE=1001", 250),
        (b"MAIL FROM:<a@x> SIZE=x", 501),
        (b"MAIL FROM:<a@x> SIZE=1 SIZE=1", 501),
        (b"MAIL FROM:<a@x> BODY=BINARYMIME", 501),
        (b"MAIL FROM:<a@x> SMTPUTF8=1", 501),
        (b"MAIL FROM:<a@x> AUTH=<>", 555),
        (b"MAIL FROM:<a@x> AUTH=x", 555),
        (b"MAIL FROM:<\xc3\xa4@x>", 553),
        (b"MAIL FROM:<\xc3\xa4@x> SMTPUTF8", 250),
        (b"MAIL FROM:<a@x>\0", 500),
        (b"MAIL FROM:<a\r@x>", 500),
        (b"RCPT TO:<b@x>", 503),
        (b"DATA", 503),
        (b"STARTTLS", 502),
        (b"XCLIENT ADDR=1", 502),
        (b"XFORWARD FOO=1", 501),
        (b"NONSENSE", 500),
        (b"VRFY x", 252),
    ],
)
def test_commands_alone(line: bytes, code: int) -> None:
    assert greeted().codes(line + b"\r\n") == [code]


def test_after_helo_there_are_no_extensions() -> None:
    talk = Talk()
    assert talk.say(b"HELO me\r\n").endswith(b"250 us\r\n")
    assert talk.codes(b"MAIL FROM:<a@x> SIZE=1\r\n") == [555]
    assert Talk().codes(MAIL) == [220, 503]


def test_xclient_starts_anew_for_another_client() -> None:
    talk = greeted(trusted=True)
    assert talk.codes(b"XCLIENT ADDR=198.51.100.7\r\n") == [220]
    assert talk.codes(MAIL) == [503]
    talk.say(b"EHLO me\r\n" + MAIL + RCPT + b"DATA\r\n")
    talk.say(b"x\r\n.\r\n")
    assert talk.messages[0][0].client == b"198.51.100.7"
    assert talk.messages[0][0].xclient == ((b"ADDR", b"198.51.100.7"),)


# ---- what must not be carried out ------------------------------------------------------------------------------------


def test_nothing_behind_starttls_is_carried_out() -> None:
    talk = greeted()
    assert talk.codes(b"STARTTLS\r\n" + MAIL + RCPT + b"DATA\r\nx\r\n.\r\n") == [421]
    assert talk.session.over


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_content_behind_a_refused_data_is_not_carried_out(size: int) -> None:
    """The client did not wait; its content hides commands."""
    talk = greeted()
    data = b"DATA\r\nSubject: x\r\n" + MAIL + RCPT + b"DATA\r\nevil\r\n.\r\n"
    for i in range(0, len(data), size):
        talk.say(data[i : i + size])
    assert talk.session.over
    assert talk.messages == []


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"Subject: x", b"\x16\x03\x01", b"", b"."])
def test_other_protocols_are_not_talked_to(line: bytes) -> None:
    talk = greeted()
    assert talk.codes(line + b"\r\n" + MAIL) == [421]
    assert talk.session.over


def test_a_bare_lf_ends_no_command() -> None:
    talk = greeted()
    assert talk.codes(b"NOOP\n" + MAIL) == [550]
    assert talk.session.over
    assert greeted(Settings(normalise=True)).codes(b"NOOP\nNOOP\r\n") == [250, 250]


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_too_many_recipients_come_again() -> None:
    talk = greeted(Settings(limits=Limits(recipients=2, errors=2)))
    assert talk.codes(MAIL + RCPT * 3 + b"DATA\r\n") == [250, 250, 250, 452, 354]
    assert talk.codes(b"x\r\n.\r\n") == [250]
    assert talk.codes(MAIL + RCPT * 9 + b"DATA\r\n") == [250, 250, 250, *[452] * 7, 354], "these are no errors"
    assert talk.codes(b"x\r\n.\r\n") == [250]
    assert len(talk.messages) == 2


def test_a_line_may_not_be_endless() -> None:
    talk = greeted(Settings(limits=Limits(line=100)))
    assert talk.codes(b"NOOP " + b"x" * 95 + b"\r\n") == [500]
    assert [talk.codes(b"x" * 5000) for _ in range(20)].count([500]) == 1
    assert not talk.session.unread
    assert talk.codes(b"\r\nNOOP\r\n") == [250]


def test_a_client_that_only_chatters_is_sent_away() -> None:
    assert greeted(Settings(limits=Limits(commands=3))).codes(b"NOOP\r\n" * 9) == [250, 250, 421]
    assert greeted(Settings(limits=Limits(errors=2))).codes(b"NONSENSE\r\n" * 9) == [500, 500, 500, 421]


def test_a_message_that_is_too_large() -> None:
    talk = greeted(Settings(limits=Limits(size=10, excess=100)))
    assert talk.codes(b"MAIL FROM:<a@x> SIZE=11\r\n") == [552]
    assert talk.codes(MAIL + RCPT + b"DATA\r\n") == [250, 250, 354]
    assert talk.codes(b"123456789\r\n.\r\n") == [552]
    talk.say(MAIL + RCPT + b"DATA\r\n")
    assert talk.codes(b"12345678\r\n.\r\n") == [250]
    talk.say(MAIL + RCPT + b"DATA\r\n")
    assert talk.codes(b"x" * 200) == [421]
    assert [content for _, content in talk.messages] == [b"12345678\r\n"]


@pytest.mark.parametrize(
    ("ours", "theirs", "size", "code"),
    [
        (0, b"1000", 1000, 250),
        (0, b"1000", 1001, 552),  # the next hop will not have it: nor will our disk
        (2000, b"1000", 1001, 552),
        (500, b"1000", 501, 552),
        (500, b"1000", 500, 250),
        (0, b"0", 5000, 250),
        (0, b"", 5000, 250),
        (500, None, 501, 552),
        (0, None, 5000, 250),
    ],
)
@pytest.mark.parametrize("hello", [b"EHLO me\r\n", b"HELO me\r\n"])
def test_a_message_that_is_too_large_for_the_next_hop(
    hello: bytes, ours: int, theirs: bytes | None, size: int, code: int
) -> None:
    hop = {key: value for key, value in {**ALL, b"SIZE": theirs}.items() if value is not None}
    talk = Talk(Settings(limits=Limits(size=ours)), hop=hop)
    talk.say(hello + MAIL + RCPT + b"DATA\r\n")
    assert talk.codes(b"x" * (size - 2) + b"\r\n.\r\n") == [code]
    assert len(talk.messages) == (code == 250)


def test_no_room_is_said_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = greeted()
    talk.say(MAIL + RCPT + b"DATA\r\n")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        assert talk.codes(b"x\r\n.\r\n") == [452]
    talk.say(MAIL + RCPT + b"DATA\r\n")
    assert talk.codes(b"x\r\n.\r\n") == [250]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30), st.sampled_from([b"EHLO x\r\n", MAIL, RCPT, b"DATA\r\n", b".\r\n", b"\r\n.\r\n"])
        )
    )
)
def test_whatever_comes_is_answered_or_waited_for(chunks: list[bytes]) -> None:
    """A message is taken only behind MAIL, RCPT and DATA, and every reply is well formed."""
    talk = Talk()
    heard = b"".join(talk.say(chunk) for chunk in chunks)
    assert heard.endswith(b"\r\n") or not heard
    assert all(line[:3].isdigit() for line in heard.split(b"\r\n")[:-1])
    assert len(talk.messages) <= b"".join(chunks).upper().count(b"DATA")
    talk.session.close()
