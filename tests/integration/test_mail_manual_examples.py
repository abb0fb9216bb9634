"""The examples of the product's manual for mail, sections 5.2.1 to 5.2.5, through a real Postfix: each configuration as
it stands there, paths and addresses apart. Who gets what, who is told, what is kept: these and no others.

Where the manual leaves a group's lists of addresses to the reader there is one of each.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.daemons import EICAR_NAME
from tests.support.mail_kinds import HEURISTIC, Letter
from tests.support.mailing import open_folder
from tests.support.mta_house import Scanner, Ways
from tests.support.postfix_ways import postfix_ways, waiting
from tests.support.programs import kavfs

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="Postfix changes its user")]

CURED = """CuredRecipientNotify=yes
CuredRecipientAttachReport=yes
CuredRecipientAction=cured
"""
TOLD = """AdminNotify=yes
AdminAction=unchanged
SenderNotify=yes
RecipientNotify=yes
"""
KEPT = """QuarantinePath={top}/Quarantine
Quarantine=yes
InfectedQuarantine=yes
SuspiciousQuarantine=yes
CorruptedQuarantine=yes
ErrorQuarantine=yes
"""
ONLY_CLEAN = f"""
[smtpscan.group:default]
Check=yes
AdminAddress=admin@example.org
{TOLD}RecipientAttachReport=yes
RecipientAction=remove
{CURED}
[smtpscan.report]
ShowOk=yes
ReportFileName={{top}}/report.log
ReportFilePermission=0660
"""
BLOCKING = f"""
[smtpscan.group:default]
Check=yes
{KEPT}ProtectedQuarantine=yes
AdminAddress=admin@example.org
{TOLD}RecipientAttachReport=yes
RecipientAction=remove
{CURED}"""
ALL_TO_SOME = f"""{BLOCKING}
[smtpscan.group:urgent]
Recipients=^urgent@
Check=yes
Quarantine=no
AdminAddress=urgent-admin@example.org
{TOLD}RecipientAttachReport=yes
RecipientAction=unchanged
"""
PROTECTED = """
[smtpscan.group:default]
AdminAddress=admin@example.org
ProtectedRecipientAttachReport=no
ProtectedAdminNotify=no
"""
FILTERING = f"""
[smtpscan.group:users]
Recipients=^user@
Check=yes
QuarantinePath={{top}}/Quarantine
Quarantine=yes
AdminAddress=users-admin@example.org
{TOLD}RecipientAttachReport=yes
RecipientAction=remove
FilterByName=.*\\.exe$
FilteredQuarantine=yes
FilteredRecipientNotify=yes
{CURED}ProtectedRecipientNotify=yes
ProtectedRecipientAction=unchanged
ProtectedRecipientAttachReport=no
ProtectedSenderNotify=no
ProtectedAdminNotify=no
[smtpscan.group:default]
Check=yes
{KEPT}AdminAddress=admin@example.org
{TOLD}RecipientAttachReport=no
RecipientAction=remove
ProtectedRecipientNotify=yes
ProtectedRecipientAttachReport=yes
ProtectedRecipientAction=unchanged
{CURED}"""
LIMITS = """
[smtpscan.limits]
MaxMessageSize=256KiB
"""
FOUND = ("infected", "suspicious", "corrupted", "protected")


@pytest.fixture(scope="module")
def street() -> Iterator[Ways]:
    with open_folder("manual") as top, postfix_ways(top) as ways:
        yield ways


class Example:
    """smtpscanner as an example configures it, behind Postfix."""

    def __init__(self, street: Ways, top: Path) -> None:
        self.top = top
        self._way, self._last = street.way("hold"), street.last

    def send(self, kind: str, to: str = "b") -> Letter:
        mail = Letter(kind, sender=f"from-{kind}@example.org", to=f"{to}@example.org")
        code, said = self._way.send(mail.content, f"{to}@example.org", sender=f"from-{kind}@example.org")
        assert code == 250, said
        return mail

    def got(self, mail: Letter, to: str = "b") -> bytes:
        return self._last.get(mail.id, f"{to}@example.org")

    def told(self, mail: Letter, *whom: str) -> list[EmailMessage]:
        """The notices to these, who are written as "sender" or a name."""
        names = [f"from-{mail.kind}" if one == "sender" else one for one in whom]
        return [self._last.notice(mail.id, f"{one}@example.org") for one in names]

    def told_with_object(self, mail: Letter, admin: str, *others: str) -> None:
        """That all are told, and the administrator gets what it was, unchanged."""
        notice, *_ = self.told(mail, admin, *others)
        (attached,) = notice.iter_attachments()
        assert (attached.get_filename(), attached.get_content()) == (mail.name, mail.data)

    def kept(self) -> list[str]:
        """One line for each message in quarantine."""
        if not (self.top / "Quarantine").exists():
            return []
        words = ("--store", self.top / "Quarantine", "--layout", "quarantine")
        return [line for line in kavfs("quarantine", "list", *words).splitlines() if "  message  " in line]


@contextmanager
def example(street: Ways, text: str) -> Iterator[Example]:
    """Behind this nothing has come to anybody that was not asked for."""
    with open_folder("example") as top:
        ours = Scanner(top, street.scanner.forward, text.format(top=top) + LIMITS, lmtp=street.holding)
        with (top / "databases" / "test.ndb").open("a") as signatures:
            signatures.write(HEURISTIC)
        ours.start()
        try:
            yield Example(street, top)
        finally:
            ours.stop()  # it sends what notices wait
        wait_until(lambda: not waiting(street.scanner.top))
        assert street.last.rest() == []


def test_5_2_1_clean_and_disinfected_messages_are_delivered(street: Ways) -> None:
    with example(street, ONLY_CLEAN) as one:
        mails = {kind: one.send(kind) for kind in ("clean", "cured", *FOUND, "oversize")}
        mails["clean"].check(one.got(mails["clean"]))
        mails["cured"].check(one.got(mails["cured"]))
        for kind in FOUND:
            mails[kind].check_removed(one.got(mails[kind]), report=True)
        for kind in ("cured", *FOUND):
            one.told_with_object(mails[kind], "admin", "sender", "b")
        mails["oversize"].check(one.got(mails["oversize"]))
        notice, *_ = one.told(mails["oversize"], "admin", "sender", "b")
        (whole,) = notice.iter_attachments()
        assert whole.get_content()["Message-ID"] == f"<{mails['oversize'].id}>"
        log = one.top / "report.log"
        assert stat.S_IMODE(log.stat().st_mode) == 0o660
        lines = log.read_text()
        assert all(mail.id in lines for mail in mails.values())
        assert EICAR_NAME in lines


def test_5_2_2_some_get_everything(street: Ways) -> None:
    with example(street, ALL_TO_SOME) as one:
        mails = {kind: one.send(kind, "urgent") for kind in ("clean", "cured", *FOUND)}
        mails["clean"].check(one.got(mails["clean"], "urgent"))
        for kind in ("cured", *FOUND):  # nothing is cured for them
            mails[kind].check_with_report(one.got(mails[kind], "urgent"), kind.replace("cured", "infected"))
            one.told_with_object(mails[kind], "urgent-admin", "sender", "urgent")
        assert one.kept() == []
        for kind in ("cured", *FOUND):
            mail = one.send(kind)
            if kind == "cured":
                mail.check(one.got(mail))
            else:
                mail.check_removed(one.got(mail), report=True)
            one.told_with_object(mail, "admin", "sender", "b")
        assert len(one.kept()) == 5


def test_5_2_3_protected_archives_are_delivered_and_nobody_is_told(street: Ways) -> None:
    """By default the recipient and the administrator hear of it; both can be turned off."""
    with example(street, "[smtpscan.group:default]\nAdminAddress=admin@example.org\n") as one:
        mail = one.send("protected")
        mail.check(one.got(mail))
        one.told(mail, "admin", "b")
    with example(street, PROTECTED) as one:
        mail = one.send("protected")
        mail.check_unchanged(one.got(mail), "protected")  # and nobody hears of it: example()


def test_5_2_4_what_is_not_clean_is_kept_back(street: Ways) -> None:
    with example(street, BLOCKING) as one:
        mails = {kind: one.send(kind) for kind in ("clean", "cured", *FOUND, "oversize")}
        mails["clean"].check(one.got(mails["clean"]))
        mails["cured"].check(one.got(mails["cured"]))
        mails["oversize"].check(one.got(mails["oversize"]))
        for kind in FOUND:
            mails[kind].check_removed(one.got(mails[kind]), report=True)
        for kind in ("cured", *FOUND):
            one.told_with_object(mails[kind], "admin", "sender", "b")
        one.told(mails["oversize"], "admin", "sender", "b")
        assert len(one.kept()) == 6


def test_5_2_5_attachments_are_filtered_for_some_by_their_name(street: Ways) -> None:
    with example(street, FILTERING) as one:
        mails = {kind: one.send(kind, "user") for kind in ("filtered", "infected", "cured", "protected")}
        for kind in ("filtered", "infected"):
            mails[kind].check_removed(one.got(mails[kind], "user"), report=True)
            one.told_with_object(mails[kind], "users-admin", "sender", "user")
        mails["cured"].check(one.got(mails["cured"], "user"))
        one.told_with_object(mails["cured"], "users-admin", "sender", "user")
        mails["protected"].check_unchanged(one.got(mails["protected"], "user"), "protected")
        one.told(mails["protected"], "user")
        assert len(one.kept()) == 4

        others = {kind: one.send(kind) for kind in ("filtered", "cured", *FOUND)}
        others["filtered"].check_unchanged(one.got(others["filtered"]), "clean")
        others["cured"].check(one.got(others["cured"]))
        others["protected"].check(one.got(others["protected"]))
        for kind in ("infected", "suspicious", "corrupted"):
            others[kind].check_removed(one.got(others[kind]), report=False)
        for kind in ("cured", *FOUND):
            one.told_with_object(others[kind], "admin", "sender", "b")
        assert len(one.kept()) == 4 + 5
