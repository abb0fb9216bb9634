"""OpenSMTPD that relays what comes to us and takes it back, with the real engine. What arrives at the next mail server
is looked at. It takes a second or more for each connection, so mails of all kinds are under way at once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.mail_kinds import KINDS, Letter
from tests.support.mailing import open_folder
from tests.support.mta_house import Ways, check_groups, check_nothing, check_too_large, check_waiting
from tests.support.opensmtpd_ways import WAYS, opensmtpd_ways

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")]


@pytest.fixture(scope="module")
def house() -> Iterator[Ways]:
    with open_folder("opensmtpd") as top, opensmtpd_ways(top) as ways:
        yield ways


def test_mail_arrives_as_the_rules_say(house: Ways) -> None:
    mails = [(way, Letter(kind)) for way in WAYS for kind in KINDS]
    for way, mail in mails:
        house.way(way).sent(mail.content, "b@example.org")
    for _, mail in mails:
        mail.check(house.last.get(mail.id, "b@example.org"))


def test_recipients_of_another_group_come_again(house: Ways) -> None:
    """By SMTP: with LMTP it expects one answer for all recipients, and sends twice to those of whom it heard none."""
    check_groups(house.way("smtp"))


def test_what_is_removed_without_a_word_does_not_arrive(house: Ways) -> None:
    check_nothing(house.way("lmtp"))


def test_too_large_a_mail_comes_back(house: Ways) -> None:
    check_too_large(house.way("smtp"))


def test_while_we_are_not_there_mail_waits_in_the_queue(house: Ways) -> None:
    check_waiting(house.way("lmtp"), house.scanner)
