"""Sendmail in the manual's form of two instances, with us between them and the real engine: a mailer that starts
smtpscanner, which finds the daemon or holds the core itself. What arrives at the next mail server is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.mail_kinds import KINDS
from tests.support.mailing import open_folder
from tests.support.mta_house import Ways, check_engine_killed, check_groups, check_kind, check_nothing, check_too_large
from tests.support.sendmail_ways import sendmail_ways

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="a name of the machine needs root")]


@pytest.fixture(scope="module")
def house() -> Iterator[Ways]:
    with open_folder("sendmail") as top, sendmail_ways(top) as ways:
        yield ways


@pytest.mark.parametrize("kind", KINDS)
def test_mail_arrives_as_the_rules_say(house: Ways, kind: str) -> None:
    check_kind(house.way("mailer"), kind)


def test_recipients_of_a_message_get_each_their_own(house: Ways) -> None:
    check_groups(house.way("mailer"))


def test_what_is_removed_without_a_word_does_not_arrive(house: Ways) -> None:
    check_nothing(house.way("mailer"))


def test_too_large_a_mail_comes_back(house: Ways) -> None:
    check_too_large(house.way("mailer"))


def test_without_a_daemon_each_conversation_has_its_own_core(house: Ways) -> None:
    check_kind(house.way("alone"), "infected")


def test_when_the_engine_dies_in_the_middle_the_mail_is_not_lost(house: Ways) -> None:
    check_engine_killed(house.way("mailer"), house.scanner)
