"""The configuration of smtpscanner: what its keys say, what cannot be, what is doubtful, what is shown and imported."""

from __future__ import annotations

import ipaddress
import os
import shutil
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.cli.smtpscanner_options import read_options
from kavfs.config import mail, mail_kinds, mail_show, server_kinds, show
from kavfs.config.importer import import_files
from kavfs.config.ini import parse
from kavfs.config.keys import Key
from kavfs.config.kinds import Kind
from kavfs.config.load import Loaded, load
from kavfs.config.mail_keys import OWN, RULE_OF, own_keys_of
from kavfs.config.mail_settings import MailSettings, NoticeSettings, Place
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError
from kavfs.forwarding import Destination
from kavfs.model import Status, Switch
from tests.unit.test_config_show import EXAMPLES as SHARED

EXAMPLES: dict[Kind, tuple[str, ...]] = {
    **SHARED,
    mail_kinds.PATTERNS: (r"@example\.org$,^a{1,2}b,[,]x", "*.exe", ""),
    mail_kinds.TYPES: ("pe,ole*", ""),
    mail_kinds.ACTION: ("remove", "UNCHANGED", ""),
    mail_kinds.ACTION_CURED: ("cured", "remove", ""),
    mail_kinds.PROTOCOL: ("lmtp", "smtp"),
    mail_kinds.MILTER_GROUPS: ("defer", "strictest"),
    mail_kinds.FORM: ("5.5", "5.6"),
    mail_kinds.FORWARD: ("smtp:localhost:10026", "smtp:(exim -bs -C/etc/exim/exim.conf)", "lmtp:[::1]", ""),
    mail_kinds.PLACES: ("lmtp:127.0.0.1:10025,smtp:/run/x,[::1]:25", "10025", ""),
    mail_kinds.MILTER_PLACES: ("inet:10027@127.0.0.1,unix:/run/m,[::1]:9", ""),
    mail_kinds.NETWORKS: ("127.0.0.1,192.0.2.0/24,2001:db8::/32", ""),
    mail_kinds.WORDS: ("name ADDR", ""),
    mail_kinds.HOST_NAME: ("mx.example.org", ""),
    mail_kinds.NESTING: ("7",),
    mail_kinds.ADDRESS: ("a@b",),
    server_kinds.ADDRESSES: ("9000,[::1]:9001", ""),
    server_kinds.GROUP: ("mail",),
    server_kinds.NUMBER: ("0", "5"),
    server_kinds.POSITIVE: ("5",),
    server_kinds.JOBS: ("3",),
    server_kinds.FORMAT: ("json",),
    server_kinds.SOME_TIME: ("0", "90", "2m"),
}


def loaded(text: str) -> Loaded:
    return mail.read_all(list(parse(text.encode(), "k.conf")))


def settings(text: str) -> MailSettings:
    result = loaded(text)
    assert result.errors == []
    made: MailSettings = result.settings
    return made


def shown(result: Loaded, changed: bool = False) -> str:
    rows = mail_show.rows(result.settings, result.given, result.table)
    return b"\n".join(show.lines(row for row in rows if not changed or show.is_changed(row))).decode()


# ---- values ----


def test_without_anything_there_are_defaults() -> None:
    assert settings("") == settings("[smtpscan.group:default]\n") == MailSettings()


def test_values_of_the_product_are_understood() -> None:
    made = settings(
        "[path]\nLocalSocketPath=/var/run/aveserver\nBasesPath=/b\n"
        "[smtpscan.general]\nForwardMailer=smtp: (/usr/sbin/sendmail -bs \\\n-C /etc/mail/sendmail.cf)\n"
        "NotifyFromAddress=virus@example.org\nProtocol=smtp\nEHLOsupport8BITMIME=no\nEHLOsupportDSN=no\n"
        "EHLOsupportXFORWARD=yes\nEHLOattrsXFORWARD=NAME ADDR PROTO HELO\n"
        "[smtpscan.limits]\nMaxCheckTime=90\n"
        "[smtpscan.license]\nLicenseDomains=example\\.org,example\\.com\n"
        "[smtpscan.report]\nReportFileName=/var/log/s.log\nReportFilePermission=0660\nShowOk=yes\nAVStatistics=/var/s\n"
        "[smtpscan.notify.sender.infected]\nSubject=Virus %VIRUSNAME%\nTemplate=/etc/kav/t\n"
        "[smtpscan.options]\nArchives=no\nJobs=3\n"
    )
    command = ("/usr/sbin/sendmail", "-bs", "-C", "/etc/mail/sendmail.cf")
    assert made.forward == Destination("smtp", command=command)
    assert (made.notify_from, made.lmtp, made.eight_bit, made.dsn) == ("virus@example.org", False, False, False)
    assert (made.xforward, made.xforward_attributes) == (True, ("NAME", "ADDR", "PROTO", "HELO"))
    assert (made.check_time, made.jobs, made.statistics) == (90.0, 3, "/var/s")
    assert [pattern.text for pattern in made.domains] == [r"example\.org", r"example\.com"]
    assert (made.scan.report_file, made.scan.report_mode, made.scan.report_ok) == (b"/var/log/s.log", 0o660, True)
    assert made.scan.databases == b"/b"
    assert not made.scan.switches & Switch.ARCHIVES
    assert made.notices == {("sender", Status.INFECTED): NoticeSettings("Virus %VIRUSNAME%", b"/etc/kav/t")}


def test_places_are_read_as_administrators_write_them() -> None:
    made = settings(
        "[smtpscan.general]\nForwardMailer=smtp:localhost:10026\n[smtpscan.network]\nListen=lmtp:127.0.0.1:10025,10024,"
        "smtp:/run/a.sock\nMilterListen=inet:10027@127.0.0.1,unix:/run/m,inet:[::1]:1\nTrustedNetworks=10.0.0.0/8,::1\n"
    )
    tcp = Place("lmtp", "127.0.0.1", 10025)
    assert made.listen == (tcp, Place("", "127.0.0.1", 10024), Place("smtp", path="/run/a.sock"))
    milter = (Place("milter", "127.0.0.1", 10027), Place("milter", path="/run/m"), Place("milter", "::1", 1))
    assert made.milter == milter
    assert made.trusted == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))


def test_groups_stand_in_the_order_of_the_file_and_may_be_written_in_pieces() -> None:
    made = settings(
        "[smtpscan.group:B]\nRecipients=b\n[smtpscan.group:default]\nCheck=no\n[smtpscan.group:a]\nRecipients=a\n"
        "[smtpscan.group:b]\nQuarantine=yes\n"
    )
    assert [group.name for group in made.groups] == ["B", "a"]
    assert made.groups[0].rules[Status.ERROR].quarantine
    assert not made.default.check


def test_what_a_status_says_wins_and_an_empty_action_says_nothing() -> None:
    made = settings(
        "[smtpscan.group:default]\nInfectedRecipientAction=unchanged\nRecipientAction=remove\nQuarantine=yes\n"
        "WarningQuarantine=\nCuredAdminAction=\nErrorRecipientAction=\n"
    ).default.rules
    assert made[Status.INFECTED].recipient_action == "unchanged"
    assert made[Status.ERROR].recipient_action == "remove"
    assert made[Status.CURED].recipient_action == "remove"  # RecipientAction says it of all
    assert made[Status.CURED].admin_action == "cured"  # nothing is said: as usual
    assert (made[Status.WARNING].quarantine, made[Status.ERROR].quarantine) == (False, True)  # an empty switch is no


def test_each_name_of_the_matrix_is_a_key_of_every_group() -> None:
    assert len(RULE_OF) == 7 + 8 * 7
    text = "".join(f"{name}={'remove' if 'Action' in name else 'yes'}\n" for name in RULE_OF)
    for rule in settings("[smtpscan.group:default]\n" + text).default.rules.values():
        assert tuple(rule) == (True, True, "remove", True, True, True, "remove")


# ---- what cannot be, what is doubtful ----


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[smtpscan.group:default]\nQuarantin=yes\n",
            "k.conf:2: [smtpscan.group:default] has no key Quarantin; did you",
        ),
        (
            "[smtpscan.groups:x]\nCheck=yes\n",
            "k.conf:2: there is no section [smtpscan.groups:x]; did you mean smtpscan.gr",
        ),
        ("[smtpscan.group:]\nCheck=yes\n", "k.conf:2: there is no section [smtpscan.group:]"),
        ("[smtpscan.notify.admin.virus]\nSubject=x\n", "there is no section [smtpscan.notify.admin.virus]"),
        ("[smtpscan.general]\nQuarantine=yes\n", "has no key Quarantine; it belongs to [smtpscan.group:default]"),
        ("[smtpscan.group:a]\nRecipientAction=cured\n", "k.conf:2: RecipientAction: 'cured' can stand only in Cured"),
        ("[smtpscan.group:a]\nErrorAdminAction=delete\n", "ErrorAdminAction: 'delete' is not unchanged or remove"),
        ("[smtpscan.group:a]\nSenders=a,(b\n", "k.conf:2: Senders: '(b': ( or { is not closed"),
        ("[smtpscan.group:a]\nFilterByType=pe,exe\n", "k.conf:2: FilterByType: 'exe' fits none of unknown empty text"),
        ("[smtpscan.group:a]\nFilterByName=(a)\\1\n", "references to what was found before are not understood"),
        (
            "[smtpscan.group:a]\nAdminAddress=<e-mail address>\n",
            "AdminAddress: '<e-mail address>' is not a mail address",
        ),
        ("[smtpscan.group:a]\nCheck=yes\nCheck=no\n", "k.conf:3: Check is set a second time (first at k.conf:2)"),
        (
            "[smtpscan.general]\nForwardMailer=localhost:25\n",
            "k.conf:2: ForwardMailer: 'localhost:25' is none of smtp:h",
        ),
        ("[smtpscan.general]\nProtocol=esmtp\n", "Protocol: 'esmtp' is not smtp or lmtp"),
        (
            "[smtpscan.general]\nProtocol=lmtp\nEHLOsupportXFORWARD=yes\n",
            "k.conf:3: EHLOsupportXFORWARD: XFORWARD is of",
        ),
        ("[smtpscan.general]\nEHLOattrsXFORWARD=NAME X\n", "'X' is not one of NAME ADDR PORT"),
        ("[smtpscan.general]\nForwardMailer=smtp:(/usr/bin/smtpscanner)\n", "runs smtpscanner: mail would come back"),
        ("[smtpscan.network]\nListen=10025\n", "k.conf:2: Listen: there is no ForwardMailer"),
        ("[smtpscan.network]\nListen=x\n", "Listen: 'x' is neither HOST:PORT, nor a port"),
        ("[smtpscan.network]\nTrustedNetworks=10.0.0.1/8\n", "10.0.0.1/8 has host bits set"),
        ("[smtpscan.limits]\nMaxNesting=101\n", "MaxNesting: '101' is not a whole number from 1 to 100"),
        (
            "[smtpscan.path]\nPidFile=/run/x\nSocketPath=/run/x\n",
            "k.conf:2: PidFile: /run/x is the place of SocketPath",
        ),
        ("[smtpscan.group:a]\nQuarantine=yes\nQuarantinePath=/\n", "k.conf:3: QuarantinePath: '/' cannot be a store"),
        ("[smtpscan.group:a]\nErrorQuarantine=yes\nQuarantinePath=/dev/null/q\n", "/dev/null is not a folder"),
    ],
)
def test_what_cannot_be_carried_out_is_an_error_with_its_place(text: str, said: str) -> None:
    (error,) = loaded(text).errors
    assert said in error


@pytest.mark.parametrize(
    ("forward", "listen", "loop"),
    [
        ("smtp:localhost:25", "127.0.0.1:25", True),
        ("smtp:[::1]:25", "localhost:25", True),
        ("lmtp:127.0.0.1", "0.0.0.0:25", True),
        ("smtp:mx.example.org:25", "MX.example.org:25", True),
        ("lmtp:/run/a", "lmtp:/run/a", True),
        ("smtp:localhost:26", "127.0.0.1:25", False),
        ("smtp:10.0.0.1:25", "127.0.0.1:25", False),
        ("lmtp:/run/a", "lmtp:/run/b", False),
        ("smtp:localhost:25", "/run/a", False),
    ],
)
def test_mail_that_would_come_back_is_refused(forward: str, listen: str, loop: bool) -> None:
    errors = loaded(f"[smtpscan.general]\nForwardMailer={forward}\n[smtpscan.network]\nListen={listen}\n").errors
    assert ["ForwardMailer" in error and "come back for ever" in error for error in errors] == [True] * loop


def test_a_place_of_the_command_line_is_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("[smtpscan.general]\nForwardMailer=smtp:localhost:10026\n")
    words = [b"-c", os.fsencode(path), b"--listen"]
    assert read_options([*words, b"lmtp:127.0.0.1:10025"]).settings.listen == (Place("lmtp", "127.0.0.1", 10025),)
    with pytest.raises(ConfigError, match="come back for ever"):
        read_options([*words, b"smtp:127.0.0.1:10026"])


NOBODY = "Senders=^nobody$\n"


@pytest.mark.parametrize(
    ("owner", "mode", "wrong"), [("root", 0o700, True), ("root", 0o777, False), ("nobody", 0o700, False)]
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_quarantine_that_the_daemon_could_not_write_to_is_told(
    tmp_path: Path, owner: str, mode: int, wrong: bool
) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    shutil.chown(place, owner)
    place.chmod(mode)
    text = f"[smtpscan.options]\nUser=nobody\n[smtpscan.group:a]\nErrorQuarantine=yes\nQuarantinePath={place}/q\n"
    said = f"k.conf:5: QuarantinePath: nobody (User) may not write to {place}"
    assert any(said in doubt for doubt in loaded(text).doubts()) == wrong
    assert not any("may not write" in doubt for doubt in loaded(text.replace("User=nobody", "User=")).doubts())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[smtpscan.general]\nPassUnscanned=yes\n", "k.conf:2: PassUnscanned: infected mail goes through"),
        ("[smtpscan.general]\nEHLOattrsXFORWARD=NAME\n", "EHLOattrsXFORWARD has no effect: EHLOsupportXFORWARD=no"),
        ("[smtpscan.network]\nListen=0.0.0.0:25\n", "0.0.0.0:25: everybody who reaches it can send mail through it"),
        ("[smtpscan.network]\nTrustedNetworks=0.0.0.0/0\n", "everybody may say on whose behalf"),
        ("[smtpscan.network]\nMilterListen=10027\n", "MilterListen: there is no ForwardMailer: notices"),
        ("[smtpscan.report]\nReportFilePermission=0660\n", "ReportFilePermission has no effect: the report goes to no"),
        ("[smtpscan.group:a]\nCheck=yes\n", "k.conf:2: group a is for everybody: no group behind it is ever used"),
        ("[smtpscan.group:default]\nSenders=a\n", "Senders has no effect: the default group is for all"),
        (
            f"[smtpscan.group:a]\n{NOBODY}Check=no\nErrorQuarantine=yes\n",
            "k.conf:4: ErrorQuarantine has no effect: Che",
        ),
        ("[smtpscan.group:default]\nSenderNotify=yes\n", "k.conf:2: SenderNotify: senders of infected mail are mostly"),
        (
            "[smtpscan.group:default]\nErrorAdminNotify=no\n",
            "group default: what is Error is taken from recipients and k",
        ),
        ("[smtpscan.group:default]\nQuarantinePath=/q\n", "QuarantinePath has no effect: nothing is put in quarantine"),
        ("[smtpscan.group:default]\nExcludeName=a\n", "ExcludeName has no effect: nothing is filtered"),
        ("[smtpscan.options]\nMailPlain=no\n", "k.conf:2: MailPlain has no effect: smtpscanner opens every message"),
        ("[smtpscan.notify.admin.error]\nTemplate=/no/such\n", "k.conf:2: Template: there is no file /no/such"),
    ],
)
def test_what_hardly_means_what_it_says_is_told(text: str, said: str) -> None:
    result = loaded(text)
    assert [doubt for doubt in result.doubts() if said in doubt]


@pytest.mark.parametrize(
    "text",
    [
        f"[smtpscan.group:a]\n{NOBODY}Check=no\nAddXHeaders=no\n",
        "[smtpscan.group:default]\nAdminNotify=no\nQuarantine=yes\nQuarantinePath=/var/q\n",
        "[smtpscan.group:default]\nAdminNotify=no\nRecipientAction=unchanged\n",
        "[smtpscan.options]\nMailPlain=yes\nMailBases=no\n",
        "[smtpscan.group:default]\nFilterByName=a\nExcludeName=b\nSenderNotify=no\n",
        "[smtpscan.general]\nForwardMailer=smtp:localhost:10026\n[smtpscan.network]\nListen=10025,lmtp:/run/x\n"
        "MilterListen=10027\n",
    ],
)
def test_nothing_is_doubtful_about_what_is_meant(text: str) -> None:
    result = loaded(text)
    assert (result.errors, result.doubts()) == ([], [])


def test_the_other_programs_pass_over_it(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("[smtpscan.general]\nNonsense=1\n[smtpscan.group:x]\nY=1\n[scanner.options]\nMaxDepth=3\n")
    assert load(os.fsencode(path)) == Settings(max_depth=3)
    with pytest.raises(ConfigError, match=r"\[smtpscan\.general\] has no key Nonsense"):
        mail.load(os.fsencode(path))


# ---- shown, and read again ----


@pytest.mark.parametrize("key", own_keys_of(()), ids=lambda key: f"{key.section}/{key.name}")
def test_what_is_shown_can_be_loaded_again(key: Key) -> None:
    for example in EXAMPLES[key.kind]:
        more = "[smtpscan.general]\nForwardMailer=smtp:x\n" if key.name == "Listen" else ""
        first = loaded(f"[{key.section}]\n{key.name}={example}\n{more}")
        for changed in (False, True):
            second = loaded(shown(first, changed))
            assert second.errors == first.errors == []
            assert second.settings == first.settings


NAMES = st.sampled_from(sorted(RULE_OF))
RULES = st.dictionaries(NAMES, st.booleans(), max_size=12)


@hypothesis.settings(deadline=None)
@given(RULES, RULES)
def test_whatever_rules_there_are_they_are_shown_so_that_they_are_read_again(
    users: dict[str, bool], default: dict[str, bool]
) -> None:
    text = ""
    for name, rules in (("Users", users), ("default", default)):
        text += f"[smtpscan.group:{name}]\nCheck=yes\n"
        for key, value in rules.items():
            text += f"{key}={('remove' if value else 'unchanged') if 'Action' in key else ('yes' if value else 'no')}\n"
    first = loaded(text)
    for changed in (False, True):
        assert loaded(shown(first, changed)).settings == first.settings


def test_what_has_changed_is_short_and_says_where_it_comes_from() -> None:
    text = "[smtpscan.group:users]\nSenders=a\nRecipientAction=unchanged\nErrorRecipientAction=remove\nQuarantine=no\n"
    assert shown(loaded(text), changed=True).splitlines() == [
        "[smtpscan.group:users]",
        "# default",
        "Check=yes",
        "# k.conf:2",
        "Senders=a",
        "# k.conf:3",
        "RecipientAction=unchanged",
        "# k.conf:4",
        "ErrorRecipientAction=remove",
    ]


# ---- import ----


def test_a_configuration_of_the_product_becomes_ours_and_nothing_is_lost(tmp_path: Path) -> None:
    old, new = tmp_path / "kav4mailservers.conf", tmp_path / "kavfs.conf"
    old.write_text(
        "[smtpscan.general]\nForwardMailer=smtp:localhost:10026\nProtocol=lmtp\nOther=1\n"
        "[aveserver.options]\nArchives=no\nPacked=yes\n"
        "[smtpscan.limits]\nMaxCheckTime=60\nCheckFilesLimit=20\n"
        "[smtpscan.license]\nLicenseDomain=example\\.org\n"
        "[smtpscan.report]\nReportFileName=\nReportFilePermission=0660\n"
        "[smtpscan.group:2]\nRecipients=@b$\nQuarantine=yes\nFilterByName=*.exe,.*\\.pif$\nSenders=\n"
        "[smtpscan.group:1]\nRecipients=@a$\nRecipientAction=unchanged\n"
        "[smtpscan.group:default]\nCheck=yes\nCuredAdminAction=cured\nSenderNotify=yes\n"
        "[smtpscan.notify.admin.infected]\nSubject=S\n[smtpscan.strange]\nX=1\n"
    )
    result = import_files([os.fsencode(old)])
    text = b"\n".join(result.lines()).decode()
    assert [line for line in old.read_text().splitlines() if "=" in line and line not in text] == []
    new.write_text(text)
    made = mail.load(os.fsencode(new))
    assert (made.forward, made.lmtp) == (Destination("smtp", "localhost", 10026), True)
    assert [(group.name, group.recipients[0].text) for group in made.groups] == [("2", "@b$"), ("1", "@a$")]
    assert [pattern.text for pattern in made.groups[0].filter_names] == ["*.exe", r".*\.pif$"]
    assert made.default.rules[Status.INFECTED].sender_notify
    assert not made.scan.switches & Switch.ARCHIVES  # the scan server had it for both
    assert not load(os.fsencode(new)).switches & Switch.ALL_MATCH & ~Settings().switches
    left = {item.source.text: item.why for item in result.left}
    assert left == {
        b"Other=1": "there is no such key",
        b"CheckFilesLimit=20": "there is no such key",
        b"X=1": "there is no such section of the mail filter",
    }


def test_every_kind_of_value_has_examples() -> None:
    assert {key.kind for key in own_keys_of(())} <= set(EXAMPLES)
    assert {key.name for key in OWN if not key.field and not key.switch} == {
        *("Ichecker", "UseAVbasesSet", "Subject", "Template")
    }
