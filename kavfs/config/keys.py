"""Keys that kavscanner reads: section, name, the field of Settings and how its value is read.

conf/kavfs.conf documents each of them; tests/unit/test_config_documented.py holds the two together. A key of the
product that this version cannot carry out is here too, with a reader that refuses every value but the harmless ones:
what an administrator asked for happens or is refused, it is never passed over.
"""

from __future__ import annotations

from kavfs.config import kinds
from kavfs.config.kinds import Kind
from kavfs.model import Switch
from kavfs.record import record


@record(frozen=True)
class Key:
    """One key. ``field`` is "" when there is nothing to set; ``switch`` names a bit of Settings.switches instead."""

    section: str
    name: str
    kind: Kind
    field: str = ""
    switch: Switch | None = None
    synonyms: tuple[str, ...] = ()  # other names of the same key


_ACTIONS = ("OnInfected", "OnSuspicion", "OnWarning", "OnCured", "OnProtected", "OnCorrupted", "OnError")
_OTHERS = ("LicensePath", "LocalSocketPath", "AVSpidPATH", "IcheckerDbFile", "PidPath")

KEYS: tuple[Key, ...] = (
    Key("path", "BasesPath", kinds.PATH, "databases"),
    Key("path", "TempPath", kinds.FOLDER, "temp"),
    *(Key("path", name, kinds.ANYTHING) for name in _OTHERS),
    Key("locale", "DateFormat", kinds.TIME_FORMAT, "date_format"),
    Key("locale", "TimeFormat", kinds.TIME_FORMAT, "time_format"),
    Key("locale", "Strings", kinds.ANYTHING),
    Key("scanner.options", "ExcludeDirs", kinds.FOLDERS, "exclude_dirs", synonyms=("ExcludeDir",)),
    Key("scanner.options", "ExcludeMask", kinds.MASKS, "exclude_masks"),
    Key("scanner.options", "Packed", kinds.BOOLEAN, switch=Switch.PACKED),
    Key("scanner.options", "Archives", kinds.BOOLEAN, switch=Switch.ARCHIVES),
    Key("scanner.options", "SelfExtArchives", kinds.BOOLEAN, switch=Switch.SFX),
    Key("scanner.options", "MailBases", kinds.BOOLEAN, switch=Switch.MAILBASES),
    Key("scanner.options", "MailPlain", kinds.BOOLEAN, switch=Switch.MAILPLAIN),
    Key("scanner.options", "Heuristic", kinds.BOOLEAN, switch=Switch.HEURISTIC),
    Key("scanner.options", "Engine", kinds.ENGINES, "engines"),
    Key("scanner.options", "ClamavBasesPath", kinds.PATH, "clamav_databases"),
    Key("scanner.options", "ClamdAddress", kinds.SERVER, "clamd"),
    Key("scanner.options", "YaraRulesPath", kinds.PATH, "yara_rules"),
    Key("scanner.options", "LocalFS", kinds.BOOLEAN, "local_fs"),
    Key("scanner.options", "Recursion", kinds.BOOLEAN, "recursion"),
    Key("scanner.options", "FollowSymlinks", kinds.BOOLEAN, "follow_symlinks"),
    Key("scanner.options", "Cache", kinds.BOOLEAN, "cache"),
    Key("scanner.options", "Ichecker", kinds.BOOLEAN, "ichecker"),
    Key("scanner.options", "CacheSize", kinds.CACHE_SIZE, "cache_size"),
    Key("scanner.options", "ObjectCacheSize", kinds.CACHE_SIZE_OR_NONE, "object_cache_size"),
    Key("scanner.options", "RememberDigests", kinds.BOOLEAN, "remember_digests"),
    Key("scanner.options", "DistrustOwners", kinds.BOOLEAN, "distrust_owners"),
    Key("scanner.options", "Cure", kinds.BOOLEAN, "cure"),
    Key("scanner.options", "KeepContainer", kinds.BOOLEAN, "keep_container"),
    Key("scanner.options", "ActionTimeLimit", kinds.DURATION, "action_time"),
    Key("scanner.options", "Polite", kinds.BOOLEAN, "polite"),
    Key("scanner.options", "MaxLoadAvg", kinds.LOAD, "max_load"),
    Key("scanner.options", "PageCacheAsFound", kinds.BOOLEAN, "page_cache_as_found"),
    Key("scanner.options", "MaxFileSize", kinds.SIZE, "max_file_size"),
    Key("scanner.options", "MaxMemberSize", kinds.POSITIVE_SIZE, "max_member_size"),
    Key("scanner.options", "MaxUnpacked", kinds.POSITIVE_SIZE, "max_unpacked"),
    Key("scanner.options", "MaxDepth", kinds.COUNT, "max_depth"),
    Key("scanner.options", "MaxMembers", kinds.COUNT, "max_members"),
    Key("scanner.options", "TimeLimit", kinds.DURATION, "time_base"),
    Key("scanner.options", "TimeRate", kinds.POSITIVE_SIZE, "time_rate"),
    Key("scanner.options", "MemoryLimit", kinds.MEMORY, "memory"),
    Key("scanner.options", "SpillLimit", kinds.POSITIVE_SIZE, "spill"),
    Key("scanner.options", "UseAVbasesSet", kinds.STANDARD),
    Key("scanner.path", "BackupPath", kinds.PATH_OR_NO, "backup_path"),
    Key("scanner.path", "QuarantinePath", kinds.PATH, "quarantine_path"),
    *(Key("scanner.object", name, kinds.ACTIONS, "actions") for name in _ACTIONS),
    *(Key("scanner.container", name, kinds.ACTIONS, "actions") for name in _ACTIONS),
    Key("scanner.report", "ReportFileName", kinds.REPORT_FILE, "report_file"),
    Key("scanner.report", "ReportLevel", kinds.LEVEL, "report_level"),
    Key("scanner.report", "ReportFileMode", kinds.MODE, "report_mode"),
    Key("scanner.report", "Append", kinds.BOOLEAN, "report_append"),
    Key("scanner.report", "ShowOk", kinds.BOOLEAN, "report_ok"),
    Key("scanner.report", "ShowObjectResultOnly", kinds.BOOLEAN, "report_objects_only"),
    Key("scanner.report", "ShowContainerResultOnly", kinds.BOOLEAN, "report_containers_only"),
    Key("scanner.report", "Html", kinds.PATH, "report_html"),
    Key("scanner.report", "EventStore", kinds.PATH_OR_NO, "event_store"),
    Key("scanner.report", "EventRetention", kinds.AGE, "event_retention"),
    Key("scanner.display", "ShowOk", kinds.BOOLEAN, "display_ok"),
    Key("scanner.display", "ShowProgress", kinds.BOOLEAN, "display_progress"),
    Key("scanner.display", "ShowObjectResultOnly", kinds.BOOLEAN, "display_objects_only"),
    Key("scanner.display", "ShowContainerResultOnly", kinds.BOOLEAN, "display_containers_only"),
    Key("scanner.notify", "Mail", kinds.ADDRESSES, "notify_mail"),
    Key("scanner.notify", "Command", kinds.COMMAND, "notify_command"),
    Key("scanner.notify", "On", kinds.OCCASIONS, "notify_on"),
    Key("scanner.notify", "Subject", kinds.LINE, "notify_subject"),
    Key("scanner.notify", "From", kinds.ADDRESS, "notify_from"),
    Key("scanner.notify", "Sendmail", kinds.PROGRAM, "notify_sendmail"),
    Key("quarantine", "MaxAge", kinds.AGE, "quarantine_max_age"),
    Key("quarantine", "MaxSize", kinds.SIZE, "quarantine_max_size"),
    Key("quarantine", "RescanAfterUpdate", kinds.BOOLEAN, "rescan_after_update"),
    Key("quarantine", "RestoreClean", kinds.BOOLEAN, "restore_clean"),
)

SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.section for key in KEYS))
