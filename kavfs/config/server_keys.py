"""Keys that aveserver reads: its own, and those of kavscanner that mean the same in its own sections.

No program but aveserver and ``kavfs config`` loads this: a scan must not wait for what it does not read.
"""

from __future__ import annotations

from kavfs.config import kinds, server_kinds
from kavfs.config.keys import KEYS as SCANNER_KEYS
from kavfs.config.keys import Key
from kavfs.record import replace

_OWN_PATHS = ("LocalSocketPath", "AVSpidPATH")  # kavscanner accepts these and does not use them
_EVENTS = ("EventStore", "EventRetention")
_AS_IN_A_SCAN = {
    "scanner.options": (
        *("Packed", "Archives", "SelfExtArchives", "MailBases", "MailPlain", "Heuristic"),
        *("Engine", "ClamavBasesPath", "ClamdAddress", "YaraRulesPath", "Cache", "ObjectCacheSize", "MaxLoadAvg"),
        *("MaxFileSize", "MaxMemberSize", "MaxUnpacked", "MaxDepth", "MaxMembers"),
        *("TimeLimit", "TimeRate", "MemoryLimit", "SpillLimit", "UseAVbasesSet"),
    ),
    "scanner.report": ("ReportFileName", "ReportLevel", "ReportFileMode", "Append", "ShowOk", *_EVENTS),
}


def _shared(section: str) -> tuple[Key, ...]:
    return tuple(key for key in SCANNER_KEYS if key.section == section and key.name not in _OWN_PATHS)


def _mirrored(section: str) -> tuple[Key, ...]:
    """The keys of a section of kavscanner that stand in ours too."""
    ours = section.replace("scanner.", "aveserver.")
    named = {key.name: key for key in SCANNER_KEYS if key.section == section}
    return tuple(replace(named[name], section=ours) for name in _AS_IN_A_SCAN[section])


KEYS: tuple[Key, ...] = (
    *_shared("path"),
    Key("path", "LocalSocketPath", kinds.PATH_OR_NO, "ave_socket"),
    Key("path", "AVSpidPATH", kinds.PATH, "pid_file"),
    *_shared("locale"),
    Key("aveserver.path", "ClamdSocketPath", kinds.PATH_OR_NO, "clamd_socket"),
    Key("aveserver.path", "StatePath", kinds.PATH, "state"),
    Key("aveserver.path", "StatusSocketPath", kinds.PATH_OR_NO, "status_socket"),
    Key("aveserver.network", "SocketMode", kinds.MODE, "socket_mode"),
    Key("aveserver.network", "SocketGroup", server_kinds.GROUP, "socket_group"),
    Key("aveserver.network", "AnyLocalUser", kinds.BOOLEAN, "any_local_user"),
    Key("aveserver.network", "ListenAve", server_kinds.ADDRESSES, "ave_tcp"),
    Key("aveserver.network", "ListenClamd", server_kinds.ADDRESSES, "clamd_tcp"),
    Key("aveserver.network", "ListenAveTls", server_kinds.ADDRESSES, "ave_tls"),
    Key("aveserver.network", "ListenClamdTls", server_kinds.ADDRESSES, "clamd_tls"),
    Key("aveserver.network", "ListenMetrics", server_kinds.ADDRESSES, "metrics"),
    Key("aveserver.network", "TlsCertificate", kinds.PATH, "tls_certificate"),
    Key("aveserver.network", "TlsKey", kinds.PATH, "tls_key"),
    Key("aveserver.network", "TlsClients", kinds.PATH, "tls_clients"),
    Key("aveserver.network", "PathFolders", server_kinds.FOLDERS, "path_folders"),
    Key("aveserver.network", "MaxConnections", server_kinds.POSITIVE, "connections"),
    Key("aveserver.network", "MaxConnectionsClient", server_kinds.NUMBER, "connections_client"),
    Key("aveserver.network", "StreamMaxLength", kinds.POSITIVE_SIZE, "stream_max"),
    Key("aveserver.network", "IdleTimeout", server_kinds.SOME_TIME, "idle"),
    Key("aveserver.network", "ReadTimeout", kinds.DURATION, "stall"),
    Key("aveserver.network", "SendTimeout", kinds.DURATION, "send"),
    *_mirrored("scanner.options"),
    Key("aveserver.options", "Ichecker", kinds.BOOLEAN),  # what it would remember only a walker can tell
    Key("aveserver.options", "Jobs", server_kinds.JOBS, "jobs"),
    Key("aveserver.options", "MaxObjects", server_kinds.NUMBER, "objects_max"),
    Key("aveserver.options", "MaxQueue", server_kinds.POSITIVE, "queue_max"),
    Key("aveserver.options", "MaxQueueClient", server_kinds.POSITIVE, "queue_max_client"),
    Key("aveserver.options", "RequestTimeout", server_kinds.SOME_TIME, "deadline"),
    Key("aveserver.options", "AlertProtected", kinds.BOOLEAN, "alert_protected"),
    Key("aveserver.options", "AlertUnscanned", kinds.BOOLEAN, "alert_unscanned"),
    Key("aveserver.options", "AllowShutdown", kinds.BOOLEAN, "allow_shutdown"),
    Key("aveserver.options", "WatchChanges", kinds.BOOLEAN, "watch"),
    Key("aveserver.options", "DrainTime", server_kinds.SOME_TIME, "drain"),
    *_mirrored("scanner.report"),
    Key("aveserver.report", "ReportFormat", server_kinds.FORMAT, "report_json"),
)
OWN = tuple(key for key in KEYS if key.section.startswith("aveserver."))
