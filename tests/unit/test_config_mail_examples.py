"""Examples of the product's manual, 5.2.1 to 5.2.5, as they are printed: what each means for every status and role."""

from __future__ import annotations

import pytest

from kavfs.config import mail
from kavfs.config.ini import parse
from kavfs.config.mail_settings import STATUSES, GroupSettings, MailSettings

CLEANED = """\
[smtpscan.group:default]
Check=yes
AdminAddress=admin@example.org

AdminNotify=yes
AdminAction=unchanged
SenderNotify=yes
RecipientNotify=yes
RecipientAttachReport=yes
RecipientAction=remove
CuredRecipientNotify=yes
CuredRecipientAttachReport=yes
CuredRecipientAction=cured
[smtpscan.report]
ShowOk=yes
ReportFileName=/tmp/report.log

ReportFilePermission=0660
"""

ISOLATED = """\
[smtpscan.group:default]
Check=yes
QuarantinePath=/var/db/Quarantine
Quarantine=yes
InfectedQuarantine=yes
SuspiciousQuarantine=yes
CorruptedQuarantine=yes
ErrorQuarantine=yes
ProtectedQuarantine=yes
AdminAddress=admin@example.org
AdminNotify=yes
AdminAction=unchanged
SenderNotify=yes
RecipientNotify=yes
RecipientAttachReport=yes
RecipientAction=remove
CuredRecipientNotify=yes
CuredRecipientAttachReport=yes

CuredRecipientAction=cured
"""

URGENT = """\
[smtpscan.group:urgent]
Check=yes

Quarantine=no
AdminAddress=admin@example.org
AdminNotify=yes
AdminAction=unchanged
SenderNotify=yes
RecipientNotify=yes
RecipientAttachReport=yes

RecipientAction=unchanged
"""

USERS = """\
[smtpscan.group:users]

Check=yes
QuarantinePath=/var/db/Quarantine
Quarantine=yes
AdminAddress=admin@example.org
AdminNotify=yes
AdminAction=unchanged
SenderNotify=yes
RecipientNotify=yes
RecipientAttachReport=yes
RecipientAction=remove
FilterByName=.*\\.exe$
FilteredQuarantine=yes
FilteredRecipientNotify=yes
CuredRecipientNotify=yes
CuredRecipientAttachReport=yes
CuredRecipientAction=cured
ProtectedRecipientNotify=yes
ProtectedRecipientAction=unchanged
ProtectedRecipientAttachReport=no
ProtectedSenderNotify=no
ProtectedAdminNotify=no
[smtpscan.group:default]
Check=yes
QuarantinePath=/var/db/Quarantine
Quarantine=yes
InfectedQuarantine=yes
SuspiciousQuarantine=yes
CorruptedQuarantine=yes
ErrorQuarantine=yes

AdminAddress=admin@example.org
AdminNotify=yes
AdminAction=unchanged
SenderNotify=yes
RecipientNotify=yes
RecipientAttachReport=no
RecipientAction=remove
ProtectedRecipientNotify=yes
ProtectedRecipientAttachReport=yes
ProtectedRecipientAction=unchanged
CuredRecipientNotify=yes
CuredRecipientAttachReport=yes

CuredRecipientAction=cured
"""

ALL = tuple(STATUSES)


def settings(text: str) -> MailSettings:
    result = mail.read_all(list(parse(text.encode(), "k.conf")))
    assert result.errors == []
    made: MailSettings = result.settings
    return made


def where(group: GroupSettings, field: str, value: object) -> tuple[str, ...]:
    """The statuses of which that is said."""
    return tuple(word for word, status in STATUSES.items() if getattr(group.rules[status], field) == value)


def but(*words: str) -> tuple[str, ...]:
    return tuple(word for word in ALL if word not in words)


def test_5_2_1_clean_and_disinfected_messages_are_delivered() -> None:
    made = settings(CLEANED)
    group = made.default
    assert (group.check, group.admin, made.groups) == (True, "admin@example.org", ())
    assert where(group, "recipient_action", "remove") == but("Cured")
    assert where(group, "recipient_action", "cured") == ("Cured",)
    for field in ("admin_notify", "sender_notify", "recipient_notify", "recipient_attach_report"):
        assert where(group, field, True) == ALL
    assert where(group, "admin_action", "unchanged") == ALL
    assert where(group, "quarantine", False) == ALL
    assert (made.scan.report_ok, made.scan.report_file, made.scan.report_mode) == (True, b"/tmp/report.log", 0o660)


def test_5_2_2_all_messages_of_one_group_are_delivered() -> None:
    made = settings(ISOLATED + URGENT)
    (urgent,) = made.groups
    assert urgent.name == "urgent"
    assert where(urgent, "recipient_action", "unchanged") == ALL  # what was cured in others' copies too
    assert where(urgent, "quarantine", False) == ALL  # nothing of InfectedQuarantine=yes of the default group
    for field in ("admin_notify", "sender_notify", "recipient_notify", "recipient_attach_report"):
        assert where(urgent, field, True) == ALL
    assert where(made.default, "quarantine", True) == ALL
    assert where(made.default, "recipient_action", "remove") == but("Cured")


@pytest.mark.parametrize("header", ["", "[smtpscan.group:default]\n"])
def test_5_2_3_what_is_protected_is_delivered_with_a_note(header: str) -> None:
    group = settings(header).default
    protected = group.rules[STATUSES["Protected"]]
    assert (protected.recipient_action, protected.recipient_attach_report, protected.admin_notify) == (
        "unchanged",
        True,
        True,
    )
    assert where(group, "recipient_action", "unchanged") == ("Protected",)


def test_5_2_3_its_note_can_be_switched_off_and_nothing_else_is() -> None:
    text = "[smtpscan.group:default]\nProtectedRecipientAttachReport=no\nProtectedAdminNotify=no\n"
    group = settings(text).default
    assert where(group, "recipient_attach_report", False) == ("Protected",)
    assert where(group, "recipient_notify", False) == ("Protected",)
    assert where(group, "admin_notify", False) == ("Protected",)
    assert where(group, "recipient_action", "unchanged") == ("Protected",)


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        ("ProtectedRecipientAttachReport=no\nRecipientNotify=yes\n", ("Protected",)),
        ("ProtectedRecipientAttachReport=no\nProtectedRecipientNotify=yes\n", ()),
        ("ProtectedRecipientAttachReport=yes\n", ()),
        ("RecipientAttachReport=no\n", ()),
        ("InfectedRecipientAttachReport=no\n", ()),
    ],
)
def test_5_2_3_without_the_note_recipients_hear_nothing_unless_their_notice_has_its_own_word(
    said: str, silent: tuple[str, ...]
) -> None:
    group = settings(f"[smtpscan.group:default]\n{said}").default
    assert where(group, "recipient_notify", False) == silent


def test_5_2_4_what_is_protected_can_be_blocked_with_all_others() -> None:
    group = settings(ISOLATED).default
    assert where(group, "recipient_action", "remove") == but("Cured")  # RecipientAction says it of Protected too
    assert where(group, "quarantine", True) == ALL
    assert where(group, "admin_action", "unchanged") == ALL
    assert group.quarantine_path == b"/var/db/Quarantine"


def test_5_2_5_attachments_are_filtered_in_one_group() -> None:
    made = settings(USERS)
    (users,) = made.groups
    (programs,) = users.filter_names
    assert (programs(b"setup.EXE"), programs(b"setup.exe.txt"), programs(b"exe")) == (True, False, False)
    assert where(users, "recipient_action", "unchanged") == ("Protected",)
    assert where(users, "recipient_action", "cured") == ("Cured",)
    for field in ("recipient_attach_report", "sender_notify", "admin_notify"):
        assert where(users, field, False) == ("Protected",)
    assert where(users, "recipient_notify", True) == where(users, "quarantine", True) == ALL
    default = made.default
    assert default.filter_names == ()
    assert where(default, "recipient_attach_report", True) == ("Cured", "Protected")
    assert where(default, "recipient_action", "unchanged") == ("Protected",)
    assert where(default, "recipient_action", "remove") == but("Cured", "Protected")


def test_5_2_5_a_group_without_lists_is_said_to_be_for_everybody() -> None:
    result = mail.read_all(list(parse(USERS.encode(), "k.conf")))
    said = "k.conf:3: group users is for everybody: no group behind it is ever used, nor the default one"
    assert said in result.doubts()
