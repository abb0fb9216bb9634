"""Rules of mail: what the configuration says of groups and statuses, as the mail service takes it."""

from __future__ import annotations

from kavfs.config.mail_settings import GroupSettings, MailSettings, RuleSettings
from kavfs.mail.rules import Action, Filters, Group, Rule, Rules


def rules_of(settings: MailSettings) -> Rules:
    """All groups in their order, and the default one."""
    return Rules(tuple(_group(group) for group in settings.groups), _group(settings.default))


def _group(group: GroupSettings) -> Group:
    return Group(
        name=group.name,
        check=group.check,
        senders=group.senders,
        recipients=group.recipients,
        admin=group.admin.encode(),
        quarantine_path=group.quarantine_path,
        x_headers=group.x_headers,
        long_header=group.header_form == "5.6",
        filters=Filters(
            names=group.filter_names,
            mime=group.filter_mime,
            types=group.filter_types,
            size_over=group.filter_size or None,
            spare_names=group.exclude_names,
            spare_mime=group.exclude_mime,
        ),
        rules={status: _rule(rule) for status, rule in group.rules.items()},
    )


def _rule(rule: RuleSettings) -> Rule:
    said = rule._asdict()
    actions = {name: Action(said[name]) for name in ("admin_action", "recipient_action")}
    return Rule(**{**said, **actions})
