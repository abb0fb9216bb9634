"""The milter: what a mail server sends is judged as the message that it holds, and what it hears are edits of it."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Callable
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kavfs.action.cure.pieces import Source, chunks_of
from kavfs.mail import milter_wire as wire
from kavfs.mail.envelope import Closable, Content, Delivery, Envelope, Plan, Recipient
from kavfs.mail.message import Message
from kavfs.mail.milter import MailItem, MilterLimits, MilterSession, Passed, Verdict
from kavfs.mail.milter_edits import Edits, NoEdits, edits
from kavfs.mail.milter_front import decided
from kavfs.mail.replies import reply
from kavfs.mail.spool import Spool
from kavfs.mail.surgery import Treatment, operated
from tests.support.milters import Heard, MailServer, frame

RECIPIENTS = [b"<b@example.org>", b"<c@example.org>"]
MESSAGE = (
    b"Received: from x by y;\r\n\tMon, 1 Jan 2024\r\nFrom:<a@example.org>\r\nX-Anti-Virus: clean, believe me\r\n"
    b"Subject:   folded\r\n over  lines\r\nMIME-Version: 1.0\r\nx-anti-virus: again\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\nEmpty:\r\n\r\n'
    b"--b\r\n\r\nHello\r\n--b\r\nContent-Disposition: attachment; filename=evil.exe\r\n\r\nevil\r\n--b--\r\n"
)
OLD = {"version": 2, "actions": 0x1F, "steps": 0x7F}


def spool(data: bytes) -> Spool:
    made = Spool()
    made.write(data)
    return made


def content(one: Content) -> bytes:
    return b"".join(one.chunks())


def opened(server: MailServer, **settings: Any) -> MilterSession:
    session = MilterSession(settings.pop("limits", MilterLimits()), Spool, settings.pop("mates", None))
    said = server.hello()
    session.receive(said[0][1])
    assert session.next_message() is None
    server.agreed(session.output()[5:])
    session.receive(b"".join(data for _, data in said[1:]))
    assert session.next_message() is None
    session.output()
    return session


def run(
    server: MailServer, message: bytes, verdict: Callable[[MailItem], Verdict], recipients: list[bytes] = RECIPIENTS
) -> Heard:
    session = opened(server)
    session.receive(b"".join(data for _, data in server.mail(message, recipients)))
    item = session.next_message()
    assert item is not None
    said = session.output() + b"".join(session.verdict(verdict(item)))
    item.spool.close()
    assert session.idle
    return server.hear(said, message, len(recipients))


def operated_on(message: bytes, plan: Callable[[Treatment, Message], None]) -> bytes:
    """By the same surgery that mail undergoes."""
    before = spool(message)
    source = Source(before.fd, 0, before.size)
    treatment, read = Treatment(), Message(source)
    plan(treatment, read)
    return b"".join(chunks_of(operated(source, read.tree, treatment, None)))  # type: ignore[arg-type]


def field_on_top(treatment: Treatment, _message: Message) -> None:
    treatment.add_field(b"X-Anti-Virus: ours,\r\n status: clean\r\n")


def part_removed(treatment: Treatment, message: Message) -> None:
    field_on_top(treatment, message)
    treatment.remove(message.tree.root.children[1], "it was infected")
    treatment.report("a report")


def all_removed(treatment: Treatment, message: Message) -> None:
    field_on_top(treatment, message)
    treatment.remove(message.tree.root, "nothing is left")


def reported(treatment: Treatment, message: Message) -> None:
    treatment.report("a report")


def by_name(message: bytes) -> tuple[dict[bytes, list[bytes]], bytes]:
    """Fields of each name in their order, and the body: what edits keep."""
    head, _, body = message.partition(b"\r\n\r\n")
    found: dict[bytes, list[bytes]] = {}
    for line in head.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n"):
        name, _, value = line.partition(b":")
        found.setdefault(name.lower(), []).append(value)
    return found, body


# ---- what comes in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [{}, OLD, {"chunk": 7}, {"steps": 0x100000}], ids=str)
def test_a_message_is_judged_as_the_server_holds_it(offer: dict[str, int]) -> None:
    seen: list[MailItem] = []

    def look(item: MailItem) -> None:
        seen.append(item)
        expected = MESSAGE if server.spaced else MESSAGE.replace(b"From:<", b"From: <").replace(b"Empty:", b"Empty: ")
        assert content(item.spool) == expected

    server = MailServer(**offer)
    assert run(server, MESSAGE, look).answer == "discarded"
    envelope = seen[0].envelope
    assert (envelope.sender, envelope.parameters) == (b"a@example.org", ((b"SIZE", b"100"),))
    assert envelope.recipients == tuple(Recipient(one[1:-1], ((b"NOTIFY", b"NEVER"),)) for one in RECIPIENTS)
    assert (envelope.client, envelope.helo, seen[0].queue) == (b"192.0.2.7", b"client.example.org", "4Zq1")


def test_cut_at_every_byte_the_same_is_said() -> None:
    server = MailServer()
    opened(server)
    dialogue = b"".join(data for _, data in [*MailServer().hello(), *server.mail(MESSAGE, RECIPIENTS)] * 2)

    def answers(pieces: list[bytes]) -> bytes:
        session, said = MilterSession(MilterLimits(), Spool), b""
        for piece in pieces:
            session.receive(piece)
            while (item := session.next_message()) is not None:
                assert content(item.spool) == MESSAGE
                item.spool.close()
                said += session.output() + b"".join(session.verdict(reply(451, b"4.3.0", b"later")))
            said += session.output()
        return said

    whole = answers([dialogue])
    assert whole.count(b"451 4.3.0 later") == 2
    assert answers([dialogue[i : i + 1] for i in range(len(dialogue))]) == whole
    assert all(answers([dialogue[:at], dialogue[at:]]) == whole for at in range(1, len(dialogue)))


def test_a_field_cannot_become_two_and_a_header_without_fields_is_one() -> None:
    def of(value: bytes) -> bytes:
        session = opened(MailServer())
        for data in (frame(b"M", b"<>\0"), frame(b"R", b"<b@x>\0"), frame(b"L", b"A\0" + value + b"\0"), frame(b"E")):
            session.receive(data)
        item = session.next_message()
        assert item is not None
        return content(item.spool)

    assert of(b" x\n y") == b"A: x\r\n y\r\n\r\n"
    assert of(b" x\nEvil: yes\n\n") == b"A: x\r\n Evil: yes\r\n \r\n \r\n\r\n"
    session = opened(MailServer())
    session.receive(frame(b"M", b"<>\0") + frame(b"R", b"<b@x>\0") + frame(b"E", b"body\r\n"))
    item = session.next_message()
    assert item is not None
    assert content(item.spool) == b"\r\nbody\r\n"
    assert edits(item.spool, spool(b"X: y\r\n\r\nbody\r\n")) == Edits(inserted=((b"X", b" y"),))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"EHLO x\r\n",
        b"\0\0\0\0",
        b"\xff\xff\xff\xffO",
        frame(b"O", b"short"),
        frame(b"O", b"\0\0\0\1" + bytes(8)),
        frame(b"M", b"<a@x>\0"),
        frame(b"E"),
    ],
    ids=repr,
)
def test_who_is_no_mail_server_is_not_spoken_with(data: bytes) -> None:
    session = MilterSession(MilterLimits(), Spool)
    session.receive(data)
    with pytest.raises(wire.Strange):
        session.next_message()
    assert session.output() == b""


@pytest.mark.parametrize(
    "data",
    [
        frame(b"B", b"body"),
        frame(b"E"),
        frame(b"R", b"<b@x>\0"),
        frame(b"L", b"A\0b\0"),
        frame(b"M", b"<a@x\r\nX: y>\0"),
        frame(b"M", b"<>\0") + frame(b"R", b"<b@x\x01>\0"),
        *(frame(b"M", b"<>\0") + frame(b"L", one) for one in (b"A", b"A\0b", b"\0b\0", b"A b\0c\0", b"A\0b\0c\0")),
        frame(b"M", b"<>\0") + frame(b"B", b"x") + frame(b"L", b"A\0b\0"),
        frame(b"M", b"<>\0") + frame(b"B", b"x") + frame(b"R", b"<b@x>\0"),
        frame(b"M", b"<>\0") + frame(b"O", bytes(12)),
        frame(b"C", b"host"),
        frame(b"Z"),
    ],
    ids=repr,
)
def test_what_makes_no_sense_ends_the_connection_and_is_never_accepted(data: bytes) -> None:
    session = opened(MailServer())
    session.receive(data)
    with pytest.raises(wire.Strange):
        session.next_message()
    session.close()
    assert session.idle


def test_limits() -> None:
    server = MailServer()
    session = opened(server, limits=MilterLimits(size=200, recipients=1))
    session.receive(frame(b"M", b"<a@x>\0SIZE=201\0"))
    assert session.next_message() is None
    assert b"552 5.3.4" in session.output()
    for big, said in (
        (frame(b"B", bytes(300)), b"552 5.3.4"),
        (frame(b"L", b"A\0" + b"x" * (1 << 20) + b"\0"), b"552"),
    ):
        session.receive(frame(b"M", b"<a@x>\0SIZE=200\0") + frame(b"R", b"<b@x>\0") + frame(b"R", b"<c@x>\0"))
        assert session.next_message() is None
        assert session.output().count(b"452 4.5.3") == 1
        session.receive(big + frame(b"E"))
        assert session.next_message() is None
        assert said in session.output()
        assert session.idle


def test_no_room_is_told_and_the_next_message_is_taken() -> None:
    class Full(Spool):
        def write(self, data: bytes) -> None:
            raise OSError("full")

    places: list[type[Spool]] = [Full, Spool]
    session = MilterSession(MilterLimits(), lambda: places.pop(0)())
    session.receive(b"".join(data for _, data in [*MailServer().hello(), *MailServer().mail(MESSAGE, RECIPIENTS)]))
    assert session.next_message() is None
    assert b"452 4.3.1" in session.output()
    session.receive(b"".join(data for _, data in MailServer().mail(MESSAGE, RECIPIENTS)))
    assert session.next_message() is not None


def test_a_message_that_is_given_up_leaves_nothing() -> None:
    made: list[Spool] = []

    def spools() -> Spool:
        made.append(Spool())
        return made[-1]

    for last in (b"A", b"Q", b"K", b"M"):
        session = MilterSession(MilterLimits(), spools)
        said = [data for _, data in [*MailServer().hello(), *MailServer().mail(MESSAGE, RECIPIENTS)]]
        session.receive(b"".join(said[:-1]) + frame(last, b"<n@x>\0" if last == b"M" else b""))
        assert session.next_message() is None
        assert made[-1].fd < 0
        assert (session.over, session.idle) == (last == b"Q", last != b"M")


# ---- what goes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [{}, {"counts_deleted": True}, OLD], ids=str)
@pytest.mark.parametrize("plan", [field_on_top, part_removed, all_removed, reported], ids=lambda plan: plan.__name__)
def test_edits_make_the_message_that_surgery_made(
    plan: Callable[[Treatment, Message], None], offer: dict[str, Any]
) -> None:
    server = MailServer(**offer)
    message = MESSAGE.replace(b"From:<", b"From: <").replace(b"Empty:", b"Empty: ") if offer is OLD else MESSAGE
    wanted = operated_on(message, plan)

    def verdict(item: MailItem) -> Passed:
        after = spool(wanted)
        return Passed(edits(item.spool, after), after)

    heard = run(server, message, verdict)
    assert heard.answer == "accepted"
    assert by_name(heard.message) == by_name(wanted)
    assert (b"b" in heard.codes) == (plan is not field_on_top)


def test_a_message_that_stays_is_not_touched() -> None:
    heard = run(MailServer(), MESSAGE, lambda item: Passed(edits(item.spool, item.spool), item.spool))
    assert (heard.answer, heard.message, heard.codes[-1:]) == ("accepted", MESSAGE, b"c")
    assert set(heard.codes) == set(b"c")


def test_any_header_becomes_any_other() -> None:
    dice = random.Random(7)
    names = [b"A", b"a", b"B", b"Cc"]
    for _ in range(800):
        before, after = (
            b"".join(
                b"%s: %d\r\n" % (dice.choice(names), dice.randrange(3)) + b"\tmore\r\n" * dice.randrange(2)
                for _ in range(dice.randrange(7))
            )
            + b"Z: end\r\n\r\n"
            for _ in range(2)
        )

        def verdict(item: MailItem, after: bytes = after) -> Passed:
            new = spool(after)
            return Passed(edits(item.spool, new), new)

        for counts in (False, True):
            heard = run(MailServer(counts_deleted=counts), before, verdict, [b"<b@x>"])
            assert by_name(heard.message) == by_name(after), (before, after)


def test_edits_that_cannot_be_said_are_refused() -> None:
    plain = spool(b"A: b\r\n\r\nbody")
    for bad in (b"A: b\r\nno field\r\n\r\nbody", b"A: b\r\n", b" A: b\r\n\r\n", b"A: b\0\r\n\r\n"):
        with pytest.raises(NoEdits):
            edits(plain, spool(bad))


def test_a_large_body_is_replaced_in_pieces_and_an_empty_one_is_said() -> None:
    big = b"A: b\r\n\r\n" + os.urandom(3 << 20)
    for wanted in (big, b"A: b\r\n\r\n"):
        after = spool(wanted)
        heard = run(MailServer(), b"A: b\r\n\r\nsmall", lambda item, to=after: Passed(edits(item.spool, to), to))
        assert heard.message == wanted


def test_recipients_are_taken_off_as_the_server_wrote_them() -> None:
    heard = run(MailServer(), MESSAGE, lambda item: Passed(Edits(), item.spool, (1,)))
    assert (heard.answer, heard.without) == ("accepted", [RECIPIENTS[1]])


@pytest.mark.parametrize("missing", [0x01, 0x02, 0x08, 0x10])
def test_what_a_server_cannot_do_is_not_left_out(missing: int) -> None:
    wanted = operated_on(MESSAGE, part_removed)

    def verdict(item: MailItem) -> Passed:
        after = spool(b"New: field\r\n" + wanted)
        return Passed(edits(item.spool, after), after, (0,))

    assert run(MailServer(actions=0x1F & ~missing), MESSAGE, verdict).answer == "451"
    assert run(MailServer(actions=0x1F), MESSAGE, verdict).answer == "accepted"


def test_replies_are_one_line_that_no_server_misreads() -> None:
    def said(code: int, enhanced: bytes, *lines: bytes) -> str:
        return run(MailServer(), MESSAGE, lambda _: reply(code, enhanced, *lines)).answer

    assert said(550, b"5.7.1", b"Virus found") == "550 5.7.1 Virus found"
    assert said(554, b"", b"100% bad", b"\r\n250 Ok\0\xff") == "554 5.3.0 100%% bad ??250 Ok??"
    assert said(421, b"4.3.2", b"closing") == "451 4.3.2 closing"
    assert said(250, b"2.0.0", b"Ok") == "451 4.3.0 Ok"
    assert len(said(550, b"5.7.1", b"x" * 9000)) < 512


def test_a_copy_that_cannot_be_read_to_its_end_is_not_accepted() -> None:
    def verdict(item: MailItem) -> Passed:
        after = spool(b"A: b\r\n\r\n" + bytes(200_000))
        made = Passed(edits(item.spool, after), after)
        os.ftruncate(after.fd, 100)
        return made

    heard = run(MailServer(), MESSAGE, verdict)
    assert heard.answer == "451"


def test_only_the_last_byte_accepts() -> None:
    """We die at any byte of what we say: the server has no answer then."""
    server = MailServer()
    session = opened(server)
    session.receive(b"".join(data for _, data in server.mail(MESSAGE, RECIPIENTS)))
    item = session.next_message()
    assert item is not None
    after = spool(operated_on(MESSAGE, part_removed))
    said = session.output() + b"".join(session.verdict(Passed(edits(item.spool, after), after)))
    assert server.hear(said, MESSAGE, 2).answer == "accepted"
    assert all(server.hear(said[:cut], MESSAGE, 2).answer == "" for cut in range(len(said)))


def test_dkim_of_a_message_that_stays_verifies_with_our_field() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    data = b"From: <a@example.com>\r\nTo: b@example.org\r\nSubject:  odd \r\n\tspaces\r\n\r\nbody \r\n\r\n"
    headers = [b"from", b"to", b"subject"]
    signed = dkim.sign(
        data, b"s", b"example.com", private, canonicalize=(b"simple", b"simple"), include_headers=headers
    )
    message = signed + data
    after = spool(operated_on(message, field_on_top))
    heard = run(MailServer(), message, lambda item: Passed(edits(item.spool, after), after))
    assert heard.message.startswith(b"X-Anti-Virus: ours,\r\n status: clean\r\n")
    assert dkim.verify(heard.message, dnsfunc=lambda name, timeout=5: record)
    assert not dkim.verify(heard.message.replace(b"body", b"evil"), dnsfunc=lambda name, timeout=5: record)


# ---- groups ---------------------------------------------------------------------------------------------------------


def test_recipients_of_another_group_are_to_come_again() -> None:
    server = MailServer()
    session = opened(server, mates=lambda envelope, one: one.address[:1] in b"bd")
    session.receive(b"".join(data for _, data in server.mail(MESSAGE, [b"<b@x>", b"<c@x>", b"<d@x>"])))
    item = session.next_message()
    assert item is not None
    assert [one.address for one in item.envelope.recipients] == [b"b@x", b"d@x"]
    said = session.output() + b"".join(session.verdict(Passed(Edits(), item.spool, (1,))))
    heard = server.hear(said, MESSAGE, 3)
    assert heard.refused == ["452 4.5.3 This recipient's mail is treated otherwise, send it again to him"]
    assert heard.without == [b"<d@x>"]


Rule = Callable[[bytes], "bytes | int"]  # a message as this recipient may have it, or the code of a reply


def choose(message: bytes, rules: dict[bytes, Rule]) -> tuple[Verdict, bytes]:
    """What becomes of it when each recipient has a rule of his own."""

    async def judge(envelope: Envelope, one: Spool) -> Plan:
        deliveries, settled = [], {}
        for number, recipient in enumerate(envelope.recipients):
            made = rules[recipient.address](content(one))
            if isinstance(made, int):
                settled[number] = reply(made, b"%d.0.0" % (made // 100), b"said")
            else:
                deliveries.append(Delivery((number,), spool(made)))
        return Plan(tuple(deliveries), settled)

    plans: list[Closable] = []
    envelope = Envelope(b"a@x", tuple(Recipient(one) for one in rules))
    verdict = asyncio.run(decided(judge, envelope, spool(message), plans))
    return verdict, content(verdict.message) if isinstance(verdict, Passed) else b""


def without(word: bytes) -> Rule:
    return lambda message: message.replace(word, b"[gone]")


def kept(message: bytes) -> bytes:
    return message


SIMPLE = b"A: b\r\n\r\nvirus and game\r\n"


def test_the_strictest_treatment_is_for_all() -> None:
    verdict, message = choose(SIMPLE, {b"b": kept, b"c": without(b"virus"), b"d": kept})
    assert (isinstance(verdict, Passed), message) == (True, b"A: b\r\n\r\n[gone] and game\r\n")
    verdict, message = choose(SIMPLE, {b"b": without(b"game"), b"c": without(b"virus"), b"d": kept})
    assert message == b"A: b\r\n\r\n[gone] and [gone]\r\n"
    verdict, message = choose(SIMPLE, {b"b": without(b"virus"), b"c": without(b"virus")})
    assert message == b"A: b\r\n\r\n[gone] and game\r\n"


def test_who_gets_nothing_is_taken_off() -> None:
    verdict, message = choose(SIMPLE, {b"b": kept, b"c": lambda _: 250, b"d": without(b"game")})
    assert isinstance(verdict, Passed)
    assert (verdict.without, message) == ((1,), b"A: b\r\n\r\nvirus and [gone]\r\n")
    assert choose(SIMPLE, {b"b": lambda _: 250, b"c": lambda _: 250}) == (None, b"")


def test_one_refusal_is_for_all() -> None:
    verdict, _ = choose(SIMPLE, {b"b": kept, b"c": lambda _: 550, b"d": lambda _: 250})
    assert verdict == reply(550, b"5.0.0", b"said")
    verdict, _ = choose(SIMPLE, {b"b": kept, b"c": lambda _: 550, b"d": lambda _: 451})
    assert verdict == reply(451, b"4.0.0", b"said")
