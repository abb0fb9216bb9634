"""Keys that smtpscanner reads: its own, those of each group and notice, and what it has in common with others.

Groups have names of the administrator's, so the keys of a file are made for the file: ``keys_of(names)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kavfs.config import kinds, mail_kinds, server_kinds
from kavfs.config.keys import KEYS as SCANNER_KEYS
from kavfs.config.keys import Key
from kavfs.config.kinds import Kind
from kavfs.config.mail_settings import ROLES, STATUSES
from kavfs.model import Status
from kavfs.record import replace

FAMILY = "smtpscan."
GROUP = "smtpscan.group:"
NOTIFY = "smtpscan.notify."
DEFAULT = "default"

_OWN_PATHS = ("LocalSocketPath", "AVSpidPATH")
_OPTIONS = (
    *("Packed", "Archives", "SelfExtArchives", "MailBases", "MailPlain", "Heuristic"),
    *("Engine", "ClamavBasesPath", "ClamdAddress", "YaraRulesPath", "Cache", "ObjectCacheSize", "MaxLoadAvg"),
    *("MaxFileSize", "MaxMemberSize", "MaxUnpacked", "MaxDepth", "MaxMembers"),
    *("TimeLimit", "TimeRate", "MemoryLimit", "SpillLimit", "UseAVbasesSet"),
)
_REPORT = ("ReportFileName", "ReportLevel", "Append", "ShowOk", "EventStore", "EventRetention")


def _shared(section: str) -> tuple[Key, ...]:
    return tuple(key for key in SCANNER_KEYS if key.section == section)


def _mirrored(section: str, names: Sequence[str]) -> tuple[Key, ...]:
    """Keys of a section of kavscanner that stand in ours too."""
    ours = section.replace("scanner.", FAMILY)
    named = {key.name: key for key in SCANNER_KEYS if key.section == section}
    return tuple(replace(named[name], section=ours) for name in names)


RULES: tuple[tuple[str, Kind, str], ...] = (
    ("Quarantine", kinds.BOOLEAN, "quarantine"),
    ("AdminNotify", kinds.BOOLEAN, "admin_notify"),
    ("AdminAction", mail_kinds.ACTION, "admin_action"),
    ("SenderNotify", kinds.BOOLEAN, "sender_notify"),
    ("RecipientNotify", kinds.BOOLEAN, "recipient_notify"),
    ("RecipientAttachReport", kinds.BOOLEAN, "recipient_attach_report"),
    ("RecipientAction", mail_kinds.ACTION, "recipient_action"),
)
"""What can be said of every status: name, kind and field of RuleSettings."""

RULE_OF: dict[str, tuple[Status | None, str]] = {
    status + name: (STATUSES.get(status), field) for status in ("", *STATUSES) for name, _, field in RULES
}
"""Name of a key -> which rows it says something of (None: all), and which field."""


_GROUP: tuple[tuple[str, Kind, str, tuple[str, ...]], ...] = (
    ("Check", kinds.BOOLEAN, "check", ()),
    ("Senders", mail_kinds.PATTERNS, "senders", ()),
    ("Recipients", mail_kinds.PATTERNS, "recipients", ()),
    ("AdminAddress", mail_kinds.ADDRESS, "admin", ()),
    ("QuarantinePath", kinds.PATH, "quarantine_path", ()),
    ("AddXHeaders", kinds.BOOLEAN, "x_headers", ()),
    ("HeaderForm", mail_kinds.FORM, "header_form", ()),
    ("FilterByName", mail_kinds.PATTERNS, "filter_names", ("IncludeName",)),  # the others are of the milter 5.6
    ("FilterByMime", mail_kinds.PATTERNS, "filter_mime", ("IncludeMime",)),
    ("FilterByType", mail_kinds.TYPES, "filter_types", ()),
    ("FilterBySize", kinds.SIZE, "filter_size", ("IncludeSize",)),
    ("ExcludeName", mail_kinds.PATTERNS, "exclude_names", ()),
    ("ExcludeMime", mail_kinds.PATTERNS, "exclude_mime", ()),
)
GROUP_FIELDS = {name: field for name, _, field, _ in _GROUP}
"""Name of a key of a group -> field of GroupSettings."""


def _group(section: str) -> tuple[Key, ...]:
    """The keys of one group. They set no field of MailSettings: ``mail.complete`` makes groups of what is given."""
    rules = [(status, name, kind) for status in ("", *STATUSES) for name, kind, _ in RULES]
    return (
        *(Key(section, name, kind, synonyms=others) for name, kind, _, others in _GROUP),
        *(Key(section, status + name, _kind(status, kind)) for status, name, kind in rules),
    )


def _kind(status: str, kind: Kind) -> Kind:
    return mail_kinds.ACTION_CURED if status == "Cured" and kind is mail_kinds.ACTION else kind


def _notices() -> tuple[Key, ...]:
    sections = [f"{NOTIFY}{role}.{status.lower()}" for role in ROLES for status in STATUSES]
    pairs = (("Subject", kinds.LINE), ("Template", kinds.PATH))
    return tuple(Key(section, *pair) for section in sections for pair in pairs)


COMMON: tuple[Key, ...] = (
    *(key for key in _shared("path") if key.name not in _OWN_PATHS),
    *(Key("path", name, kinds.ANYTHING) for name in _OWN_PATHS),
    *_shared("locale"),
    *_shared("scanner.path"),
    *_shared("quarantine"),
)
"""Of the whole product: where signatures, work files and the quarantine are."""

OWN: tuple[Key, ...] = (
    Key("smtpscan.path", "SocketPath", kinds.PATH_OR_NO, "socket"),
    Key("smtpscan.path", "StatusSocketPath", kinds.PATH_OR_NO, "status_socket"),
    Key("smtpscan.path", "StatePath", kinds.PATH, "state"),
    Key("smtpscan.path", "PidFile", kinds.PATH, "pid_file"),
    Key("smtpscan.general", "NotifyFromAddress", mail_kinds.ADDRESS, "notify_from"),
    Key("smtpscan.general", "ForwardMailer", mail_kinds.FORWARD, "forward"),
    Key("smtpscan.general", "Protocol", mail_kinds.PROTOCOL, "lmtp"),
    Key("smtpscan.general", "EHLOsupport8BITMIME", kinds.BOOLEAN, "eight_bit"),
    Key("smtpscan.general", "EHLOsupportDSN", kinds.BOOLEAN, "dsn"),
    Key("smtpscan.general", "EHLOsupportXFORWARD", kinds.BOOLEAN, "xforward"),
    Key("smtpscan.general", "EHLOattrsXFORWARD", mail_kinds.WORDS, "xforward_attributes"),
    Key("smtpscan.general", "HostName", mail_kinds.HOST_NAME, "host_name"),
    Key("smtpscan.general", "AcceptBareNewlines", kinds.BOOLEAN, "bare_newlines"),
    Key("smtpscan.general", "PassUnscanned", kinds.BOOLEAN, "pass_unscanned"),
    Key("smtpscan.network", "Listen", mail_kinds.PLACES, "listen"),
    Key("smtpscan.network", "MilterListen", mail_kinds.MILTER_PLACES, "milter"),
    Key("smtpscan.network", "MilterGroups", mail_kinds.MILTER_GROUPS, "milter_groups"),
    Key("smtpscan.network", "ListenMetrics", server_kinds.ADDRESSES, "metrics"),
    Key("smtpscan.network", "TrustedNetworks", mail_kinds.NETWORKS, "trusted"),
    Key("smtpscan.network", "SocketMode", kinds.MODE, "socket_mode"),
    Key("smtpscan.network", "SocketGroup", server_kinds.GROUP, "socket_group"),
    Key("smtpscan.limits", "MaxCheckTime", server_kinds.SOME_TIME, "check_time"),
    Key("smtpscan.limits", "MaxMessageSize", kinds.SIZE, "message_max"),
    Key("smtpscan.limits", "MaxParts", kinds.COUNT, "parts_max"),
    Key("smtpscan.limits", "MaxNesting", mail_kinds.NESTING, "nesting_max"),
    Key("smtpscan.limits", "MaxReceivedSize", kinds.SIZE, "received_max"),
    Key("smtpscan.limits", "MaxRecipients", server_kinds.POSITIVE, "recipients_max"),
    Key("smtpscan.limits", "MaxMessages", server_kinds.POSITIVE, "messages_max"),
    Key("smtpscan.limits", "MaxConnections", server_kinds.POSITIVE, "connections"),
    Key("smtpscan.limits", "MaxConnectionsClient", server_kinds.NUMBER, "connections_client"),
    Key("smtpscan.limits", "IdleTimeout", kinds.DURATION, "idle"),
    Key("smtpscan.limits", "NotifyPerHour", server_kinds.NUMBER, "notices_hour"),
    *_mirrored("scanner.options", _OPTIONS),
    Key("smtpscan.options", "Ichecker", kinds.BOOLEAN),  # a message is no file that comes again
    Key("smtpscan.options", "Cure", kinds.BOOLEAN, "cure"),
    Key("smtpscan.options", "Jobs", server_kinds.JOBS, "jobs"),
    Key("smtpscan.options", "User", server_kinds.GROUP, "user"),
    Key("smtpscan.options", "Group", server_kinds.GROUP, "group"),
    Key("smtpscan.options", "WatchChanges", kinds.BOOLEAN, "watch"),
    Key("smtpscan.options", "DrainTime", server_kinds.SOME_TIME, "drain"),
    *_mirrored("scanner.report", _REPORT),
    Key("smtpscan.report", "ReportFilePermission", kinds.MODE, "report_mode", synonyms=("ReportFileMode",)),
    Key("smtpscan.report", "ReportFormat", server_kinds.FORMAT, "report_json"),
    Key("smtpscan.report", "AVStatistics", kinds.SERVER, "statistics"),
    Key("smtpscan.license", "LicenseDomain", mail_kinds.PATTERNS, "domains", synonyms=("LicenseDomains",)),
    *_notices(),
)


def own_keys_of(groups: Sequence[str]) -> tuple[Key, ...]:
    """What stands in sections of our own: of a file with these groups besides the default one."""
    sections = [GROUP + name for name in (*groups, DEFAULT)]
    return (*OWN, *(key for section in sections for key in _group(section)))


def keys_of(groups: Sequence[str]) -> tuple[Key, ...]:
    """The same, and what it has in common with others."""
    return (*COMMON, *own_keys_of(groups))


def names_of_groups(sections: Iterable[str]) -> tuple[str, ...]:
    """Groups that have sections, in their order, as they are written first; without the default one."""
    groups: dict[str, str] = {}
    for section in sections:
        name = section[len(GROUP) :]
        if section.lower().startswith(GROUP) and name and name == name.strip():
            groups.setdefault(name.lower(), name)
    groups.pop(DEFAULT, None)
    return tuple(groups.values())
