"""Judging: the configuration's groups and limits as the judge of mail wants them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from weakref import WeakKeyDictionary

from kavfs.cli.smtpscanner_parts import name_of
from kavfs.config.mail_settings import GroupSettings, MailSettings, RuleSettings
from kavfs.mail.about import Formats
from kavfs.mail.headers import Bases
from kavfs.mail.notices import Manner
from kavfs.mail.rules import Action, Filters, Group, Rule, Rules
from kavfs.mail.scanning import Bounds
from kavfs.mail.templates import Chosen, Role, Templates, load
from kavfs.ports import Image
from kavfs.scan.service import Service
from kavfs.temporary import writable


def rules(settings: MailSettings) -> Rules:
    return Rules(tuple(_group(group) for group in settings.groups), _group(settings.default))


def _group(group: GroupSettings) -> Group:
    return Group(
        name=group.name,
        check=group.check,
        senders=group.senders,
        recipients=group.recipients,
        admin=group.admin.encode("utf-8", "surrogateescape"),
        quarantine_path=group.quarantine_path,
        x_headers=group.x_headers,
        long_header=group.header_form == "5.6",
        filters=Filters(
            group.filter_names,
            group.filter_mime,
            group.filter_types,
            group.filter_size or None,
            group.exclude_names,
            group.exclude_mime,
        ),
        rules={status: _rule(rule) for status, rule in group.rules.items()},
    )


def _rule(rule: RuleSettings) -> Rule:
    return Rule(
        rule.quarantine,
        rule.admin_notify,
        Action(rule.admin_action),
        rule.sender_notify,
        rule.recipient_notify,
        rule.recipient_attach_report,
        Action(rule.recipient_action),
    )


def bounds(settings: MailSettings) -> Bounds:
    return Bounds(
        seconds=settings.check_time,
        size=settings.message_max,
        parts=settings.parts_max,
        nesting=settings.nesting_max,
    )


def bases(service: Service) -> Callable[[], Bases]:
    """The signatures in use, for the header."""
    known: WeakKeyDictionary[Image, Bases] = WeakKeyDictionary()  # asked for each message, and the same for an image

    def asked() -> Bases:
        image = service.image
        if image not in known:
            date = datetime.datetime.fromtimestamp(image.newest, datetime.UTC).date()
            known[image] = Bases(date, image.signature_count)
        return known[image]

    return asked


def templates(settings: MailSettings, note: Callable[[str], None]) -> Templates:
    """Texts of notices. *note* is told of files that are missing. ConfigError: one cannot be read."""
    return load(
        {
            (Role(role), status): Chosen(notice.subject, notice.template)
            for (role, status), notice in settings.notices.items()
        },
        note,
    )


def manner(settings: MailSettings) -> Manner:
    """How notices are written."""
    return Manner(
        settings.notify_from.encode("utf-8", "surrogateescape"),
        name_of(settings),
        Formats(settings.scan.date_format, settings.scan.time_format),
        writable(settings.scan.temp),
    )
