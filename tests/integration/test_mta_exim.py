"""Exim 4 with us as its filter, with the real engine: a program that its LMTP transport starts, a socket, a daemon that
speaks LMTP or SMTP. What arrives at the next mail server is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.exim_ways import WAYS, exim_ways
from tests.support.mail_kinds import KINDS
from tests.support.mailing import open_folder
from tests.support.mta_house import (
    Ways,
    check_engine_killed,
    check_groups,
    check_kind,
    check_nothing,
    check_too_large,
    check_waiting,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="Exim takes another configuration from root alone"),
]


@pytest.fixture(scope="module")
def house() -> Iterator[Ways]:
    with open_folder("exim") as top, exim_ways(top) as ways:
        yield ways


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_mail_arrives_as_the_rules_say(house: Ways, way: str, kind: str) -> None:
    check_kind(house.way(way), kind)


@pytest.mark.parametrize("way", WAYS)
def test_recipients_of_a_message_get_each_their_own(house: Ways, way: str) -> None:
    """By SMTP those of another group are told to come again, and Exim does so."""
    check_groups(house.way(way))


@pytest.mark.parametrize("way", ["command", "smtp"])
def test_what_is_removed_without_a_word_does_not_arrive(house: Ways, way: str) -> None:
    check_nothing(house.way(way))


@pytest.mark.parametrize("way", ["command", "smtp"])
def test_too_large_a_mail_comes_back(house: Ways, way: str) -> None:
    check_too_large(house.way(way))


@pytest.mark.parametrize("way", ["daemon", "smtp", "socket"])
def test_while_we_are_not_there_mail_waits_in_the_queue(house: Ways, way: str) -> None:
    check_waiting(house.way(way), house.scanner)


def test_when_the_engine_dies_in_the_middle_the_mail_is_not_lost(house: Ways) -> None:
    check_engine_killed(house.way("command"), house.scanner)
