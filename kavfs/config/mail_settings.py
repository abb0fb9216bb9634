"""Settings of smtpscanner: what the configuration file can say to it, as one frozen value with its defaults.

``rule_of`` of a group is what its seven general names and the 56 of statuses say together. The product's order: what a
group says of a status, then what it says in general; and only where it says neither, what is usual.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple

from kavfs.config.settings import Settings
from kavfs.forwarding import Destination
from kavfs.model import Status
from kavfs.patterns.lists import Pattern

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

STATUSES = {
    "Infected": Status.INFECTED,
    "Cured": Status.CURED,
    "Suspicious": Status.SUSPICIOUS,
    "Warning": Status.WARNING,
    "Corrupted": Status.CORRUPTED,
    "Filtered": Status.FILTERED,
    "Error": Status.ERROR,
    "Protected": Status.PROTECTED,
}
"""Words in names of keys: InfectedQuarantine ... Nothing is done with what is clean, so it has none."""

ROLES = ("admin", "sender", "recipient")
ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")


class Place(NamedTuple):
    """Where clients connect: *path* of a UNIX socket, or *host* and *port*."""

    protocol: str = ""  # smtp, lmtp; "" = as Protocol says, or milter
    host: str = ""
    port: int = 0
    path: str = ""


class RuleSettings(NamedTuple):
    """One row of the matrix. Actions: "unchanged", "remove" and, for what was cured, "cured"."""

    quarantine: bool = False
    admin_notify: bool = True
    admin_action: str = "unchanged"
    sender_notify: bool = False
    recipient_notify: bool = True
    recipient_attach_report: bool = True
    recipient_action: str = "remove"


USUAL: Mapping[Status, RuleSettings] = {
    **dict.fromkeys(STATUSES.values(), RuleSettings()),
    Status.CURED: RuleSettings(admin_action="cured", recipient_action="cured"),
    Status.PROTECTED: RuleSettings(recipient_action="unchanged"),
}


class GroupSettings(NamedTuple):
    """[smtpscan.group:NAME]. *rules*: complete, one for each of STATUSES."""

    name: str = "default"
    check: bool = True
    senders: tuple[Pattern, ...] = ()  # none: everybody
    recipients: tuple[Pattern, ...] = ()
    admin: str = "postmaster@localhost"
    quarantine_path: bytes = b""  # b"" = the store of the whole product (`MailSettings.scan.quarantine_path`)
    x_headers: bool = True
    header_form: str = "5.5"  # or "5.6"
    filter_names: tuple[Pattern, ...] = ()
    filter_mime: tuple[Pattern, ...] = ()
    filter_types: tuple[Pattern, ...] = ()
    filter_size: int = 0  # bytes, decoded; 0 = any size
    exclude_names: tuple[Pattern, ...] = ()
    exclude_mime: tuple[Pattern, ...] = ()
    rules: Mapping[Status, RuleSettings] = USUAL


class NoticeSettings(NamedTuple):
    """[smtpscan.notify.ROLE.STATUS]; what is empty is as shipped."""

    subject: str = ""
    template: bytes = b""  # path of a text file


class MailSettings(NamedTuple):
    """One field per key; what it has in common with kavscanner stands in ``scan`` (switches, engines, limits, report
    file and level, event store, quarantine)."""

    scan: Settings = Settings(report_ok=False)
    # [smtpscan.path]
    socket: bytes | None = b""  # where `smtpscanner` without --listen finds the daemon; b"" = usual place; None = none
    status_socket: bytes | None = b""
    pid_file: bytes = b""  # b"" = the usual place, and none with --foreground
    state: bytes = b""  # b"" = the usual place
    # [smtpscan.general]
    notify_from: str = "MAILER-DAEMON@localhost"
    forward: Destination | None = None
    lmtp: bool = False  # Protocol: what comes in on stdin, and on places that name none
    eight_bit: bool = True
    dsn: bool = True
    xforward: bool = False
    xforward_attributes: tuple[str, ...] = ATTRIBUTES
    host_name: str = ""  # "" = that of the machine
    bare_newlines: bool = False  # CR and LF alone become CR LF; else the message is refused
    pass_unscanned: bool = False  # without a verdict messages go on; else 451
    # [smtpscan.network]
    listen: tuple[Place, ...] = ()
    milter: tuple[Place, ...] = ()
    milter_groups: str = "strictest"  # or "defer"
    metrics: tuple[tuple[str, int], ...] = ()
    trusted: tuple[Network, ...] = ()  # may use XCLIENT
    socket_mode: int = 0o660
    socket_group: str = ""  # "" = that of the daemon
    # [smtpscan.limits]
    check_time: float = 60.0  # seconds for the scan of one message; 0 = as long as it takes
    message_max: int = 0  # bytes of a message that is looked at (more: status Error); 0 = any
    parts_max: int = 1000
    nesting_max: int = 50
    received_max: int = 0  # bytes of a message that is taken at all (more: 552); 0 = as the next hop says
    recipients_max: int = 1000
    messages_max: int = 50  # looked at at once
    connections: int = 100
    connections_client: int = 0  # 0 = any
    idle: float = 300.0
    notices_hour: int = 100  # of one role; 0 = any
    # [smtpscan.options]
    cure: bool = True
    jobs: int = 0  # scanning processes; 0 = one for each core
    user: str = ""  # as whom the daemon goes on; "" = who started it
    group: str = ""  # "" = that of the user
    watch: bool = True
    drain: float = 30.0
    # [smtpscan.report]
    statistics: str = ""  # path of a file or a socket, or HOST:PORT; "" = none
    report_json: bool = False
    # [smtpscan.license]
    domains: tuple[Pattern, ...] = ()
    # [smtpscan.group:NAME], in the order of the file, without the default one
    groups: tuple[GroupSettings, ...] = ()
    default: GroupSettings = GroupSettings()
    # [smtpscan.notify.ROLE.STATUS]; (role, status) -> what the file says; others are as shipped
    notices: Mapping[tuple[str, Status], NoticeSettings] = {}
