"""Combinations of smtpscanner's settings: what cannot be together, and what hardly means what it says."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping

from kavfs.config.ini import Entry, file_name
from kavfs.config.keys import Key
from kavfs.config.mail_keys import DEFAULT, GROUP, NOTIFY, RULE_OF
from kavfs.config.mail_settings import STATUSES, GroupSettings, MailSettings, Place
from kavfs.config.server_kinds import LOOPBACK
from kavfs.config.settings import Settings

Given = Mapping[Key, Entry]

_LOGS = (b"", b"syslog", b"journald")
_ANYWHERE = ("0.0.0.0", "::")
_ALWAYS = ("Check", "Senders", "Recipients", "AddXHeaders", "HeaderForm")  # mean something with Check=no
_WRITE_AND_ENTER = 0o3
_FILTERS = ("filter_names", "filter_mime", "filter_types", "filter_size")


# ---- what cannot be ----


def conflicts(settings: MailSettings, given: Given) -> Iterator[str]:
    """What cannot be carried out together, each with its place."""
    s = settings
    protocols = [place.protocol or ("lmtp" if s.lmtp else "smtp") for place in s.listen] or [
        "lmtp" if s.lmtp else "smtp"
    ]
    if s.xforward and "smtp" not in protocols:
        yield f"{_place(given, 'EHLOsupportXFORWARD')}EHLOsupportXFORWARD: XFORWARD is of SMTP alone (Protocol, Listen)"
    if s.listen and s.forward is None:
        yield f"{_place(given, 'Listen')}Listen: there is no ForwardMailer: nobody would get the mail"
    yield from loops(settings, given)
    yield from _twice(settings, given)
    for group in (*s.groups, s.default):
        yield from _quarantine(settings, group, given)


def loops(settings: MailSettings, given: Given) -> Iterator[str]:
    """Where mail would go back to one of our own places."""
    to = settings.forward
    if to is None:
        return
    why = ""
    if to.command and os.path.basename(to.command[0]) == "smtpscanner":
        why = "runs smtpscanner"
    for place in settings.listen:
        same = to.path == place.path if to.path else to.port == place.port and _same_host(to.host, place.host)
        if same:
            why = "is a place of Listen"
    if to.path and settings.socket and to.path == file_name(settings.socket):
        why = "is SocketPath"
    if why:
        yield f"{_place(given, 'ForwardMailer')}ForwardMailer: {to} {why}: mail would come back for ever"


def _same_host(to: str, at: str) -> bool:
    if not to or not at:
        return False
    ours = (_is_loopback(to) or to in _ANYWHERE) and (_is_loopback(at) or at in _ANYWHERE)
    return ours or to.lower() == at.lower()


def _is_loopback(host: str) -> bool:
    return host.lower() in LOOPBACK or host.startswith("127.")


def _twice(settings: MailSettings, given: Given) -> Iterator[str]:
    """Paths, and hosts with ports, that two keys want."""
    report = settings.scan.report_file
    wanted: list[tuple[str, str]] = [
        ("SocketPath", file_name(settings.socket or b"")),
        ("StatusSocketPath", file_name(settings.status_socket or b"")),
        ("PidFile", file_name(settings.pid_file)),
        ("ReportFileName", "" if report in _LOGS else file_name(report)),
        ("AVStatistics", settings.statistics if settings.statistics.startswith("/") else ""),
        *(("Listen", _at(place)) for place in settings.listen),
        *(("MilterListen", _at(place)) for place in settings.milter),
        *(("ListenMetrics", f"{host}:{port}") for host, port in settings.metrics),
    ]
    seen: dict[str, str] = {}
    for name, at in wanted:
        if at in seen:
            yield f"{_place(given, name)}{name}: {at} is the place of {seen[at]} already"
        elif at:
            seen[at] = name


def _at(place: Place) -> str:
    return place.path or f"{place.host}:{place.port}"


def _quarantine(settings: MailSettings, group: GroupSettings, given: Given) -> Iterator[str]:
    """Where something is to be put, there must be room for a folder."""
    path, above, place = _store(settings, group, given)
    if not path:
        return
    why = "" if os.path.isdir(above) else f"{file_name(above)} is not a folder"
    if path == b"/":
        why = "'/' cannot be a store"
    if why:
        yield f"{place}: {why}"


def _rights(settings: MailSettings, group: GroupSettings, given: Given) -> Iterator[str]:
    """Whom the daemon goes on as must be able to write to the store, or to make it."""
    path, above, place = _store(settings, group, given)
    if not path or not settings.user or not os.path.isdir(above):
        return
    try:
        person = pwd.getpwnam(settings.user)
        groups = os.getgrouplist(person.pw_name, person.pw_gid)
        status = os.stat(above)
    except (KeyError, OSError):
        return
    if not person.pw_uid:
        return
    bits = status.st_mode >> (6 if status.st_uid == person.pw_uid else 3 if status.st_gid in groups else 0)
    if bits & _WRITE_AND_ENTER != _WRITE_AND_ENTER:
        why = "what is to be kept could not be, and its mail would wait (451)"
        yield f"{place}: {settings.user} (User) may not write to {file_name(above)}: {why}"


def _store(settings: MailSettings, group: GroupSettings, given: Given) -> tuple[bytes, bytes, str]:
    """The folder that a group's quarantine is said to be, what there is of its path, and where that is said; b"" where
    it puts nothing away, or in the usual place."""
    path = group.quarantine_path or settings.scan.quarantine_path
    if not path or not any(rule.quarantine for rule in group.rules.values()):
        return b"", b"", ""
    section = GROUP + group.name if group.quarantine_path else "scanner.path"
    above = path
    while len(above) > 1 and not os.path.lexists(above):
        above = os.path.dirname(above)
    return path, above, f"{_place(given, 'QuarantinePath', section)}QuarantinePath"


# ---- what is doubtful ----


def doubts(settings: MailSettings, given: Given) -> Iterator[str]:
    """What has no effect, or more than is thought, each with its place."""
    for key, entry in given.items():
        if entry.value and (why := _no_effect(settings, key, entry)):
            yield f"{entry.place}: {key.name} has no effect: {why}"
    yield from _network(settings, given)
    for group in (*settings.groups, settings.default):
        yield from _group(settings, group, given)
        yield from _rights(settings, group, given)
    for (role, status), notice in settings.notices.items():
        section = f"{NOTIFY}{role}.{_word(status)}"
        if notice.template and not os.path.isfile(notice.template):
            why = f"there is no file {file_name(notice.template)}: the text that is shipped is used"
            yield f"{_place(given, 'Template', section)}Template: {why}"


def _no_effect(settings: MailSettings, key: Key, entry: Entry) -> str:
    """Why what *key* says cannot happen, or nothing."""
    if key.name == "EHLOattrsXFORWARD" and not settings.xforward:
        usual = settings.xforward_attributes == MailSettings().xforward_attributes
        return "" if usual else "EHLOsupportXFORWARD=no"
    if key.section == "smtpscan.report" and key.name in ("ReportFilePermission", "Append"):
        usual = key.kind.read(entry.value) == getattr(Settings(), key.field)
        return "the report goes to no file" if settings.scan.report_file in _LOGS and not usual else ""
    if key.section == "smtpscan.options" and key.name == "MailPlain" and not key.kind.read(entry.value):
        return "smtpscanner opens every message"
    if key.section == "smtpscan.report" and key.name == "ShowOk" and settings.scan.report_ok:
        return "" if settings.scan.report_level >= 4 else "clean messages are reported from ReportLevel=4 on"
    return ""


def _network(settings: MailSettings, given: Given) -> Iterator[str]:
    open_to_all = "everybody who reaches it can send mail through it"
    for name, places, why in (
        ("Listen", settings.listen, open_to_all),
        ("MilterListen", settings.milter, "everybody who reaches it can use it, and what goes there can be read"),
        ("ListenMetrics", [Place(host=host, port=port) for host, port in settings.metrics], "everybody can read it"),
    ):
        for place in places:
            if place.host and not _is_loopback(place.host):
                yield f"{_place(given, name)}{name}: {_at(place)}: {why}"
    if any(network.prefixlen == 0 for network in settings.trusted):
        yield f"{_place(given, 'TrustedNetworks')}TrustedNetworks: everybody may say on whose behalf mail comes"
    if settings.milter and settings.forward is None:
        why = "there is no ForwardMailer: notices, and what is released from quarantine, have no way"
        yield f"{_place(given, 'MilterListen')}MilterListen: {why}"
    if settings.pass_unscanned:
        why = "infected mail goes through whenever nothing can be scanned"
        yield f"{_place(given, 'PassUnscanned')}PassUnscanned: {why}"


def _group(settings: MailSettings, group: GroupSettings, given: Given) -> Iterator[str]:
    section = GROUP + group.name
    said = {key.name: entry for key, entry in given.items() if key.section.lower() == section.lower()}
    if not said:
        return
    first = next(iter(said.values())).place
    if group.name == DEFAULT:
        for name in ("Senders", "Recipients"):
            if name in said and said[name].value:
                yield f"{said[name].place}: {name} has no effect: the default group is for all that no other is for"
    elif not group.senders and not group.recipients:
        yield f"{first}: group {group.name} is for everybody: no group behind it is ever used, nor the default one"
    if not group.check:
        for name, entry in said.items():
            if name not in _ALWAYS and entry.value:
                yield f"{entry.place}: {name} has no effect: Check=no"
        return
    yield from _without_use(group, said)
    lost = [word for word, status in STATUSES.items() if _is_lost(group, status)]
    if lost:
        why = "taken from recipients and kept nowhere (no quarantine, and the administrator does not get it)"
        yield f"{first}: group {group.name}: what is {', '.join(lost)} is {why}"
    telling = [name for name, entry in said.items() if _asks(name, entry, "sender_notify")]
    if telling:
        why = "senders of infected mail are mostly forged, and strangers get the notice"
        yield f"{said[telling[0]].place}: {telling[0]}: {why}"


def _without_use(group: GroupSettings, said: Mapping[str, Entry]) -> Iterator[str]:
    path = said.get("QuarantinePath")
    if path and path.value and not any(rule.quarantine for rule in group.rules.values()):
        yield f"{path.place}: QuarantinePath has no effect: nothing is put in quarantine"
    if not any(getattr(group, field) for field in _FILTERS):
        for name in ("ExcludeName", "ExcludeMime"):
            if name in said and said[name].value:
                yield f"{said[name].place}: {name} has no effect: nothing is filtered"


def _is_lost(group: GroupSettings, status: object) -> bool:
    rule = next(rule for of, rule in group.rules.items() if of is status)
    told = rule.admin_notify and rule.admin_action != "remove"
    return rule.recipient_action == "remove" and not rule.quarantine and not told


def _asks(name: str, entry: Entry, field: str) -> bool:
    return name in RULE_OF and RULE_OF[name][1] == field and entry.value.lower() in (b"yes", b"true", b"on", b"1")


def _word(status: object) -> str:
    return next(word for word, of in STATUSES.items() if of is status).lower()


def _place(given: Given, name: str, section: str = "") -> str:
    for key, entry in given.items():
        if key.name == name and (
            key.section.lower() == section.lower() if section else key.section.startswith("smtpscan.")
        ):
            return f"{entry.place}: "
    return ""
