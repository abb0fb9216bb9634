"""Options of ClamAV that have no key of ours: what kavfs does always, and what it does not do, with the reason."""

from __future__ import annotations

_SERVER = "of clamd alone: aveserver has its own ways, and notices new signatures itself"
_LOG = "of the log file: logrotate does this"
_OWN_LIMIT = "a limit within ClamAV's own unpackers; MaxUnpacked, MaxMembers and TimeLimit are ours"
_UNKNOWN_DETECTION = "kavfs does not detect this"
_PACKED_ALWAYS = "is always looked into"
_BYTECODE = "bytecode is run only by the engine clamav, as the library does by itself"

# Name: the value that kavfs acts by without being told, and what to say of either.
ALWAYS: dict[str, tuple[bool, str]] = {
    "LogTime": (True, "report lines have always date and time"),
    "LogVerbose": (False, "ReportLevel says how much is reported"),
    "ScanPE": (True, _PACKED_ALWAYS),
    "ScanELF": (True, _PACKED_ALWAYS),
    "ScanOLE2": (True, _PACKED_ALWAYS),
    "ScanPDF": (True, _PACKED_ALWAYS),
    "ScanSWF": (True, _PACKED_ALWAYS),
    "ScanHTML": (True, _PACKED_ALWAYS),
    "ScanXMLDOCS": (False, "XML is scanned as text; what is coded in it is not looked into"),
    "ScanHWP3": (False, "files of this format are scanned as they lie there"),
    "ScanOneNote": (True, _PACKED_ALWAYS),
    "ScanImage": (True, "pictures are always scanned"),
    "ScanImageFuzzyHash": (True, "pictures are always compared by what they look like"),
    "ScanPartialMessages": (False, _UNKNOWN_DETECTION),
    "PhishingSignatures": (True, "is always on"),
    "PhishingScanURLs": (False, _UNKNOWN_DETECTION),
    "StructuredDataDetection": (False, _UNKNOWN_DETECTION),
    "StructuredCCOnly": (False, _UNKNOWN_DETECTION),
    "StructuredSSNFormatNormal": (False, _UNKNOWN_DETECTION),
    "StructuredSSNFormatStripped": (False, _UNKNOWN_DETECTION),
    "HeuristicScanPrecedence": (False, "the gravest finding is told, and all with --all-match"),
    "DetectPUA": (True, "unwanted software is always looked for, and told as WARNING"),
    "AlertBrokenExecutables": (False, "damage is told as CORRUPTED where it keeps from scanning"),
    "DetectBrokenExecutables": (False, "damage is told as CORRUPTED where it keeps from scanning"),
    "AlertBrokenMedia": (False, "damage is told as CORRUPTED where it keeps from scanning"),
    "AlertEncryptedArchive": (True, "is always told, as PROTECTED"),
    "AlertEncryptedDoc": (True, "is always told, as PROTECTED"),
    "AlertExceedsMax": (True, "is always told, as ERROR"),
    "BlockMax": (True, "is always told, as ERROR"),
    "AlertOLE2Macros": (False, "macros are scanned; that there are some is no finding"),
    "OLE2BlockMacros": (False, "macros are scanned; that there are some is no finding"),
    "AlertPhishingSSLMismatch": (False, _UNKNOWN_DETECTION),
    "PhishingAlwaysBlockSSLMismatch": (False, _UNKNOWN_DETECTION),
    "AlertPhishingCloak": (False, _UNKNOWN_DETECTION),
    "PhishingAlwaysBlockCloak": (False, _UNKNOWN_DETECTION),
    "AlertPartitionIntersection": (False, _UNKNOWN_DETECTION),
    "PartitionIntersection": (False, _UNKNOWN_DETECTION),
    "OfficialDatabaseOnly": (False, "all databases in BasesPath are read; what is not official is named .UNOFFICIAL"),
    "AllowAllMatchScan": (True, "--all-match is always allowed"),
    "ExtendedDetectionInfo": (False, "JSON lines have size and digests"),
    "LeaveTemporaryFiles": (False, "work files have no names"),
    "ForceToDisk": (False, "work files are on disk when they are large"),
    "GenerateMetadataJson": (False, "--json writes reports of our own form"),
    "Bytecode": (False, _BYTECODE),
    "BytecodeUnsigned": (False, _BYTECODE),
    "DisableCertCheck": (False, "rules for certificates (.crb) count; kavfs-clamscan has --nocerts"),
    "ConcurrentDatabaseReload": (True, "signatures are renewed beside those in use"),
    "Debug": (False, "ReportLevel=9 says most"),
    "Foreground": (True, "option --foreground of aveserver"),
    "LogRotate": (False, _LOG),
    "LogFileUnlock": (False, _LOG),
    "FixStaleSocket": (True, "a stale socket is always replaced"),
    "ExitOnOOM": (False, "a scanning process without memory is replaced, and its object told as ERROR"),
    "PreludeEnable": (False, "no part of kavfs reports to Prelude"),
    "StatsEnabled": (False, "kavfs sends nothing to anybody"),
    "DevACOnly": (False, "an option for developers of ClamAV"),
}

# Name: why there is nothing like it.
NONE: dict[str, str] = {
    **dict.fromkeys(("LogFileMaxSize",), _LOG),
    "LogFacility": "syslog gets reports as facility user",
    "PreludeAnalyzerName": "no part of kavfs reports to Prelude",
    "User": "programs run as whoever starts them, aveserver as its unit says",
    "AllowSupplementaryGroups": "programs run as whoever starts them, aveserver as its unit says",
    "CacheSize": "the entries of its cache; CacheSize of kavfs is bytes on disk",
    "FailIfCvdOlderThan": "the summary tells how old the signatures are",
    "MaxDirectoryRecursion": "directories are scanned to any depth; Recursion=no keeps to the first",
    "ExcludePUA": "kavfs allow takes signatures out by name",
    "IncludePUA": "all categories are looked for, and told as WARNING",
    "BytecodeSecurity": _BYTECODE,
    "BytecodeTimeout": _BYTECODE,
    "BytecodeMode": _BYTECODE,
    **dict.fromkeys(("StructuredMinCreditCardCount", "StructuredMinSSNCount"), _UNKNOWN_DETECTION),
    **dict.fromkeys(
        (
            *("MaxConnectionQueueLength", "StreamMinPort", "StreamMaxPort", "CommandReadTimeout", "IdleTimeout"),
            "SelfCheck",
        ),
        _SERVER,
    ),
    **dict.fromkeys(
        (
            *("MaxEmbeddedPE", "MaxHTMLNormalize", "MaxHTMLNoTags", "MaxScriptNormalize", "MaxZipTypeRcg"),
            *("MaxPartitions", "MaxIconsPE", "MaxRecHWP3", "PCREMatchLimit", "PCRERecMatchLimit", "PCREMaxFileSize"),
        ),
        _OWN_LIMIT,
    ),
}

# Options of freshclam alone: a file with one of them is its own.
FRESHCLAM_ONLY = frozenset(
    (
        *("DatabaseOwner", "UpdateLogFile", "Checks", "DNSDatabaseInfo", "DatabaseMirror", "PrivateMirror"),
        *("MaxAttempts", "ScriptedUpdates", "TestDatabases", "CompressLocalDatabase", "ExtraDatabase"),
        *("ExcludeDatabase", "DatabaseCustomURL", "HTTPProxyServer", "HTTPProxyPort", "HTTPProxyUsername"),
        *("HTTPProxyPassword", "HTTPUserAgent", "NotifyClamd", "OnUpdateExecute", "OnErrorExecute"),
        *("OnOutdatedExecute", "LocalIPAddress", "ConnectTimeout", "ReceiveTimeout", "SafeBrowsing"),
    )
)

# How the product, and so the updater of kavfs, calls them.
UPDATER: dict[str, str] = {
    "UpdateLogFile": "[updater.report] ReportFileName",
    "LogVerbose": "[updater.report] ReportLevel",
    "LogSyslog": "[updater.report] ReportFileName=syslog",
    "PidFile": "[updater.path] PidFile",
    "PrivateMirror": "[updater.options] UpdateServerUrl with UseUpdateServerUrlOnly=yes",
    "DatabaseMirror": "[updater.options] UpdateServerUrl",
    "DatabaseCustomURL": "[updater.options] UpdateServerUrl",
    "HTTPProxyServer": "[updater.options] ProxyAddress with UseProxy=yes",
    "HTTPProxyPort": "[updater.options] ProxyAddress",
    "HTTPProxyUsername": "[updater.options] ProxyAddress",
    "HTTPProxyPassword": "[updater.options] ProxyAddress",
    "ConnectTimeout": "[updater.options] ConnectTimeout",
    "OnUpdateExecute": "[updater.options] PostUpdateCmd",
    "OnErrorExecute": "[updater.actions] OnFailed",
    "OnOutdatedExecute": "[updater.actions] OnAny",
    "Checks": "a timer says how often",
}
