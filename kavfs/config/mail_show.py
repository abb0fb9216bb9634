"""Showing settings of smtpscanner: rows for ``show.lines``, which read again give the same settings.

A rule of a status is shown as it is in force. Among what has changed it stands only if the general rule of its group
does not say it: a general rule that is printed holds for every status that has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kavfs.config.ini import Entry
from kavfs.config.keys import Key
from kavfs.config.load import Table
from kavfs.config.mail_keys import FAMILY, GROUP, GROUP_FIELDS, NOTIFY, RULE_OF
from kavfs.config.mail_settings import STATUSES, USUAL, GroupSettings, MailSettings, NoticeSettings, RuleSettings
from kavfs.config.show import DEFAULT, Row, value_of

Given = Mapping[Key, Entry]


def rows(settings: MailSettings, given: Given, table: Table) -> Iterator[Row]:
    """All keys of its own sections, in order."""
    groups = {GROUP + group.name: group for group in (*settings.groups, settings.default)}
    by_name = {(key.section, key.name): entry for key, entry in given.items()}
    for key in table.keys:
        if not key.section.startswith(FAMILY):
            continue
        origin = given[key].place if key in given else DEFAULT
        if key.section in groups:
            yield _of_group(key, groups[key.section], by_name, origin, table)
        elif key.section.startswith(NOTIFY):
            value = _notice(settings, key)
            yield Row(key, value, origin, table, changed=bool(value))
        else:
            yield Row(
                key, _plain(settings, key, given), origin, table, _plain(MailSettings(), key) != _plain(settings, key)
            )


def _plain(settings: MailSettings, key: Key, given: Given | None = None) -> bytes:
    if key.field in MailSettings._fields:
        return key.kind.write(getattr(settings, key.field))
    return value_of(settings.scan, key, given)


def _notice(settings: MailSettings, key: Key) -> bytes:
    role, _, word = key.section[len(NOTIFY) :].partition(".")
    notice = settings.notices.get((role, STATUSES[word.capitalize()]), NoticeSettings())
    return key.kind.write(getattr(notice, key.name.lower()))


def _of_group(key: Key, group: GroupSettings, given: Mapping[tuple[str, str], Entry], origin: str, table: Table) -> Row:
    if key.name in GROUP_FIELDS:
        field = GROUP_FIELDS[key.name]
        value = getattr(group, field)
        named = key.name == "Check" and group.name != "default"  # so that the group is there at all
        return Row(key, key.kind.write(value), origin, table, changed=named or value != getattr(GroupSettings(), field))
    return _of_rule(key, group, given, origin, table)


def _of_rule(key: Key, group: GroupSettings, given: Mapping[tuple[str, str], Entry], origin: str, table: Table) -> Row:
    status, field = RULE_OF[key.name]
    usual = {of: getattr(rule, field) for of, rule in USUAL.items()}
    ours = {of: getattr(rule, field) for of, rule in group.rules.items()}
    general = given.get((key.section, _general(field)))
    told = general is not None and bool(general.value or not key.kind.empty_is_default)
    said = key.kind.read(general.value) if general and told else getattr(RuleSettings(), field)
    printed = told and ours != usual
    if status is None:
        return Row(key, key.kind.write(said), origin, table, changed=printed)
    if origin == DEFAULT and general and told:
        origin = general.place
    changed = ours[status] != (said if printed else usual[status])
    return Row(key, key.kind.write(ours[status]), origin, table, changed=changed)


def _general(field: str) -> str:
    """The key that says it of every status."""
    return next(name for name, told in RULE_OF.items() if told == (None, field))
