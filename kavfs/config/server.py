"""Table of aveserver: how its part of the configuration file is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kavfs.config.ini import Entry, file_name, read_entries
from kavfs.config.keys import Key
from kavfs.config.load import Loaded, Table, checked, loaded
from kavfs.config.server_keys import KEYS
from kavfs.config.server_kinds import LOOPBACK
from kavfs.config.server_settings import ServerSettings
from kavfs.config.settings import Settings

_KEY = {key.name: key for key in KEYS}
_OF_REPORT = ("ReportFileMode", "Append")
_LOGS = (b"", b"syslog", b"journald")

Given = Mapping[Key, Entry]


def load(path: bytes) -> ServerSettings:
    """The settings of the file at *path*; ConfigError says file and line of what is wrong."""
    settings: ServerSettings = checked(read(path)).settings
    return settings


def read(path: bytes) -> Loaded:
    """The settings of the file at *path*, where they stand in it, and all that is wrong with them."""
    return loaded(read_entries(path), TABLE)


def conflicts(settings: ServerSettings, given: Given) -> Iterator[str]:
    """What cannot be carried out together, each with its place."""
    report = settings.scan.report_file
    places = {
        "LocalSocketPath": settings.ave_socket,
        "ClamdSocketPath": settings.clamd_socket,
        "StatusSocketPath": settings.status_socket,
        "AVSpidPATH": settings.pid_file,
        "ReportFileName": b"" if report in _LOGS else report,
    }
    seen: dict[bytes, str] = {}
    for name, path in places.items():
        if path in seen:
            yield f"{_place(given, name)}{name}: {file_name(path)} is the place of {seen[path]} already"
        elif path:
            seen[path] = name
    for name in ("ListenAveTls", "ListenClamdTls"):
        if getattr(settings, _KEY[name].field) and not settings.tls_certificate:
            yield f"{_place(given, name)}{name}: TLS needs a TlsCertificate"
    asked = settings.scan.clamd.encode("utf-8", "surrogateescape")
    if asked and asked == (settings.clamd_socket or b""):
        yield f"{_place(given, 'ClamdAddress')}ClamdAddress: {file_name(asked)} is its own socket (ClamdSocketPath)"
    if not any(listening(settings)):
        yield f"{_place(given, 'LocalSocketPath')}LocalSocketPath: there is no place left where clients could connect"


def listening(settings: ServerSettings) -> tuple[object, ...]:
    """Where there are listeners; all that is false is none."""
    sockets = (settings.ave_socket is not None, settings.clamd_socket is not None)
    return (*sockets, settings.ave_tcp, settings.clamd_tcp, settings.ave_tls, settings.clamd_tls)


def doubts(settings: ServerSettings, given: Given) -> Iterator[str]:
    """What has no effect, or more than is thought, each with its place."""
    tls = settings.ave_tls or settings.clamd_tls
    tcp = settings.ave_tcp or settings.clamd_tcp or tls
    for key, entry in given.items():
        why = ""
        if key.name in ("TlsCertificate", "TlsKey", "TlsClients") and not tls and entry.value:
            why = "there is no ListenAveTls and no ListenClamdTls"
        elif key.name == "PathFolders" and not tcp and entry.value:
            why = "nothing listens on TCP"
        elif key.section == "aveserver.report" and key.name in _OF_REPORT and settings.scan.report_file in _LOGS:
            usual = key.kind.read(entry.value) == getattr(Settings(), key.field)
            why = "" if usual else "the report goes to no file"
        elif key.section == "aveserver.report" and key.name == "ShowOk" and settings.scan.report_ok:
            why = "" if settings.scan.report_level >= 4 else "clean objects are reported from ReportLevel=4 on"
        if why:
            yield f"{entry.place}: {key.name} has no effect: {why}"
    if settings.any_local_user and settings.socket_mode & 0o006:
        why = "anybody can learn what is found in files that only the daemon can read (SocketMode)"
        yield f"{_place(given, 'AnyLocalUser')}AnyLocalUser: {why}"
    for name in ("ListenAve", "ListenClamd", "ListenMetrics"):
        for host, port in getattr(settings, _KEY[name].field):
            if host not in LOOPBACK and not host.startswith("127."):
                yield f"{_place(given, name)}{name}: everybody who reaches {host}:{port} can use it, and read along"
    for name in ("ListenAveTls", "ListenClamdTls"):
        if getattr(settings, _KEY[name].field) and not settings.tls_clients:
            yield f"{_place(given, name)}{name}: without TlsClients everybody who reaches it can use it"


def _place(given: Given, name: str) -> str:
    entry = given.get(_KEY[name])
    return f"{entry.place}: " if entry else ""


TABLE = Table(KEYS, ServerSettings(), "aveserver.", conflicts, doubts, likeness=0.9)
