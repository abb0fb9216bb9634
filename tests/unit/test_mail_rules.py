"""Rules of mail: which group a message is for, as the configuration says it."""

from __future__ import annotations

import pytest

from kavfs.cli.smtpscanner_judging import rules as rules_of
from kavfs.config import mail
from kavfs.config.ini import parse
from kavfs.config.mail_settings import MailSettings
from kavfs.mail.rules import RULED, Action, Group, Rule, Rules
from kavfs.model import Status

GROUPS = r"""
[smtpscan.group:default]
AdminAddress=all@example.org
[smtpscan.group:Both]
Senders=@partner\.example$,^boss@
Recipients=@example\.org$
[smtpscan.group:to]
Recipients=^(a|b)@example\.org$,*@sales.example.org
Check=no
[smtpscan.group:from]
Senders=@partner\.example$
HeaderForm=5.6
FilterByName=\.exe$
FilterByType=zip
FilterBySize=1k
ExcludeName=^known\.exe$
QuarantinePath=/var/q/
AdminAction=remove
"""


def rules(text: str) -> Rules:
    result = mail.read_all(list(parse(text.encode(), "k.conf")))
    assert result.errors == []
    return rules_of(result.settings)


@pytest.mark.parametrize(
    ("sender", "recipient", "group"),
    [
        ("x@partner.example", "y@example.org", "Both"),
        ("BOSS@elsewhere", "a@EXAMPLE.org", "Both"),  # the first that fits, though "to" does so too
        ("x@other", "a@example.org", "to"),  # the recipient alone fits the first
        ("x@partner.example", "y@example.com", "from"),  # the sender alone does
        ("x@partner.example.com", "y@example.com", "default"),
        ("x@other", "c@example.org", "default"),
        ("x@other", "any@Sales.Example.org", "to"),
        ("", "a@example.org", "to"),  # a bounce has no sender
        ("", "c@example.org", "default"),
        ("x@partnerXexample", "y@example.com", "default"),  # a point that is escaped is a point
        ("x@other", '"a"@example.org', "to"),  # however the address is written
        ("x@other", r"\a@example.org.", "to"),
        ("@relay.example,@other:x@partner.example", "@relay:y@example.org", "Both"),
        ("x@other", '"c"@example.org', "default"),
        ("x@other", '"a b"@example.org', "default"),  # these quotes belong to it
        ("x@other", '"x@sales.example.org:c"@example.org', "default"),
    ],
)
def test_the_first_group_of_which_both_lists_fit(sender: str, recipient: str, group: str) -> None:
    assert rules(GROUPS).group_of(sender.encode(), recipient.encode()).name == group


def test_all_that_is_said_of_a_group_arrives() -> None:
    made = rules(GROUPS)
    assert made.default.admin == b"all@example.org"
    _, to, from_ = made.groups
    assert (to.check, from_.check, from_.long_header, from_.quarantine_path) == (False, True, True, b"/var/q")
    filters = from_.filters
    assert (filters.size_over, filters.names[0](b"A.EXE"), filters.spare_names[0](b"known.exe")) == (1024, True, True)
    assert (filters.types[0](b"zip"), filters.types[0](b"gzip")) == (True, False)
    assert from_.rule(Status.WARNING).admin_action is Action.REMOVE


def test_without_a_file_the_defaults_are_those_of_the_rules_themselves() -> None:
    default = rules_of(MailSettings()).default
    assert default._replace(rules={}) == Group()
    assert set(default.rules) == set(RULED)
    cured = Rule(admin_action=Action.CURED, recipient_action=Action.CURED)
    special = {Status.CURED: cured, Status.PROTECTED: Rule(recipient_action=Action.UNCHANGED)}
    for status in RULED:
        assert default.rule(status) == special.get(status, Rule())
