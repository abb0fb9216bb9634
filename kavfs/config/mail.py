"""Table of smtpscanner: how its part of the configuration file is read.

    settings = mail.load(path)                     ConfigError says file and line of what is wrong
    settings.groups[0].rules[Status.INFECTED]      RuleSettings, complete

What cannot be together, and what hardly means what it says, is in ``mail_combinations``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kavfs.config import mail_combinations
from kavfs.config.ini import Entry, read_entries
from kavfs.config.keys import Key
from kavfs.config.load import Loaded, Table, checked, loaded, value_in
from kavfs.config.mail_keys import DEFAULT, FAMILY, GROUP, GROUP_FIELDS, NOTIFY, RULE_OF, keys_of, names_of_groups
from kavfs.config.mail_settings import (
    STATUSES,
    USUAL,
    GroupSettings,
    MailSettings,
    NoticeSettings,
    RuleSettings,
)
from kavfs.model import Status

Given = Mapping[Key, Entry]


def load(path: bytes) -> MailSettings:
    """The settings of the file at *path*; ConfigError says file and line of what is wrong."""
    settings: MailSettings = checked(read(path)).settings
    return settings


def read(path: bytes) -> Loaded:
    """The settings of the file at *path*, where they stand in it, and all that is wrong with them."""
    return read_all(read_entries(path))


def read_all(entries: list[Entry]) -> Loaded:
    """The same of entries."""
    return loaded(entries, table_of(entries))


def table_of(entries: Iterable[Entry]) -> Table:
    """The keys of a file with these entries: each group that it names has its own."""
    return Table(
        keys_of(names_of_groups(entry.section for entry in entries)),
        MailSettings(),
        FAMILY,
        mail_combinations.conflicts,
        mail_combinations.doubts,
        likeness=0.9,
        complete=complete,
    )


def complete(settings: MailSettings, given: Given) -> MailSettings:
    """*settings* with the groups and notices that the file says."""
    groups: dict[str, dict[str, Any]] = {}
    notices: dict[tuple[str, Status], NoticeSettings] = {}
    for key, entry in given.items():
        empty = key.kind.empty_is_default and not entry.value
        value = {} if empty else {key.name: value_in(key, entry)}
        if key.section.startswith(GROUP):
            groups.setdefault(key.section[len(GROUP) :], {}).update(value)
        elif key.section.startswith(NOTIFY) and entry.value:
            whom = _whom(key.section)
            notices[whom] = notices.get(whom, NoticeSettings())._replace(**{key.name.lower(): value[key.name]})
    default = group_of(DEFAULT, groups.pop(DEFAULT, {}))
    named = tuple(group_of(name, said) for name, said in groups.items())
    return settings._replace(groups=named, default=default, notices=notices)


def group_of(name: str, said: Mapping[str, Any]) -> GroupSettings:
    """A group of what its section says, by names of keys.

    What it does not say is usual: nothing is taken from the default group. For in the product's manual (5.2.2) a group
    that says Quarantine=no and RecipientAction=unchanged gets all its mail, though the default group beside it says
    InfectedQuarantine=yes and CuredRecipientAction=cured.

    ProtectedRecipientAttachReport=no is also said of the recipients' notice, unless that has its own word
    (ProtectedRecipientNotify): in 5.2.3 they hear nothing with that alone, and in 5.2.5 both stand there.
    """
    fields = {GROUP_FIELDS[key]: value for key, value in said.items() if key in GROUP_FIELDS}
    told = {RULE_OF[key]: value for key, value in said.items() if key in RULE_OF}
    general = {field: value for (status, field), value in told.items() if status is None}
    rules: dict[Status, RuleSettings] = {}
    for status, usual in USUAL.items():
        own = {field: value for (of, field), value in told.items() if of is status}
        if status is Status.PROTECTED and own.get("recipient_attach_report") is False:
            own.setdefault("recipient_notify", False)
        rules[status] = usual._replace(**{**general, **own})
    return GroupSettings(name=name, **fields, rules=rules)


def _whom(section: str) -> tuple[str, Status]:
    role, _, word = section[len(NOTIFY) :].partition(".")
    return role, STATUSES[word.capitalize()]
