"""Postfix with us as its filter, with the real engine: as a content filter that it starts or that listens, before the
queue, and as a milter. What arrives at the next mail server is looked at."""

from __future__ import annotations

import os
import signal
import smtplib
from collections.abc import Iterator

import pytest

from tests.support.mail_kinds import KINDS, Letter
from tests.support.mailing import PATIENCE, open_folder
from tests.support.mta_house import (
    Holding,
    Scanner,
    Ways,
    check_engine_killed,
    check_groups,
    check_kind,
    check_nothing,
    check_too_large,
    check_waiting,
)
from tests.support.postfix_ways import WAYS, postfix_ways

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="Postfix changes its user")]


@pytest.fixture(scope="module")
def house() -> Iterator[Ways]:
    with open_folder("postfix") as top, postfix_ways(top) as ways:
        yield ways


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_mail_arrives_as_the_rules_say(house: Ways, way: str, kind: str) -> None:
    check_kind(house.way(way), kind)


@pytest.mark.parametrize("way", ["daemon", "spawn"])
def test_recipients_of_a_message_get_each_their_own(house: Ways, way: str) -> None:
    check_groups(house.way(way))


def test_before_the_queue_recipients_of_another_group_come_again(house: Ways) -> None:
    """One reply stands for all whom the message is for, so those who would hear another one are told so before."""
    way, mail = house.way("proxy"), Letter("infected")
    with smtplib.SMTP("127.0.0.1", way.port, local_hostname="test.example.org", timeout=PATIENCE) as client:
        client.ehlo()
        client.mail("a@example.org", ["BODY=8BITMIME"])
        assert client.rcpt("b@example.org")[0] == 250
        code, said = client.rcpt("brave@example.org")
        assert (code, said[:5]) == (452, b"4.5.3")
        assert client.data(mail.content)[0] == 250
    mail.check(way.last.get(mail.id, "b@example.org"))
    way.sent(mail.content, "brave@example.org")
    mail.check_unchanged(way.last.get(mail.id, "brave@example.org"), "infected")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_removed_without_a_word_does_not_arrive(house: Ways, way: str) -> None:
    check_nothing(house.way(way))


@pytest.mark.parametrize("way", WAYS)
def test_too_large_a_mail_comes_back(house: Ways, way: str) -> None:
    check_too_large(house.way(way))


def test_while_we_are_not_there_mail_waits_in_the_queue(house: Ways) -> None:
    check_waiting(house.way("daemon"), house.scanner)


@pytest.mark.parametrize("way", ["proxy", "milter"])
def test_while_we_are_not_there_clients_come_again(house: Ways, way: str) -> None:
    mail = Letter("clean")
    house.scanner.stop(signal.SIGKILL)
    try:
        assert house.way(way).attempt(mail.content, "b@example.org") in (421, 451)
    finally:
        house.scanner.start()
    check_kind(house.way(way), "clean")
    assert not any(mail.id.encode() in one.content for one in house.way("daemon").last.seen)


def test_when_the_engine_dies_in_the_middle_the_mail_is_not_lost(house: Ways) -> None:
    check_engine_killed(house.way("daemon"), house.scanner)


def test_when_we_are_killed_before_the_next_server_has_answered_the_mail_comes_once(house: Ways) -> None:
    """At that moment the message was scanned and is on its way; nobody has said 250 for it."""
    with open_folder("killed") as top, Holding() as house_behind:
        ours = Scanner(top, f"smtp:127.0.0.1:{house_behind.port}", lmtp=house.holding)
        mail = Letter("infected")
        ours.start()
        try:
            way = house.way("hold")
            way.sent(mail.content, "b@example.org")
            assert house_behind.came.wait(PATIENCE)
            ours.stop(signal.SIGKILL)
            house_behind.free.set()
            ours.start()
            mail.check(house_behind.next().content)
            assert house_behind.arrived.empty()
        finally:
            ours.stop()
