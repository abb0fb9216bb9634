"""Keys that kavscanner reads: section, name, the field of Settings and how its value is read.

conf/kavfs.conf documents each of them; tests/unit/test_config_documented.py holds the two together. A key of the
product that this version cannot carry out is here too, with a reader that refuses every value but the harmless ones:
what an administrator asked for happens or is refused, it is never passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from kavfs.config import values
from kavfs.model import Switch
from kavfs.options import engine_names

Reader = Callable[[bytes], object]


@dataclass(frozen=True)
class Key:
    """One key. ``field`` is "" when there is nothing to set; ``switch`` names a bit of Settings.switches instead."""

    section: str
    name: str
    read: Reader
    field: str = ""
    switch: Switch | None = None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _boolean(value: bytes) -> bool:
    return values.boolean(_text(value))


def _path(value: bytes) -> bytes:
    if value and not value.startswith(b"/"):
        raise ValueError(f"'{_text(value)}' is not an absolute path")
    return value.rstrip(b"/") or value[:1]


def _folder(value: bytes) -> bytes:
    path = _path(value)
    if path and not os.path.isdir(path):
        raise ValueError(f"'{_text(value)}' is not a directory")
    return path


def _folders(value: bytes) -> tuple[bytes, ...]:
    return tuple(_path(part) for part in values.colon_list(value))


def _report_file(value: bytes) -> bytes:
    return value if value == b"syslog" else _path(value)


def _engines(value: bytes) -> tuple[str, ...]:
    return engine_names(_text(value))


def _address(value: bytes) -> str:
    return values.address(_text(value))


def _level(value: bytes) -> int:
    return values.whole(_text(value), 0, 9)


def _mode(value: bytes) -> int:
    return values.octal_mode(_text(value))


def _format(value: bytes) -> str:
    return values.time_format(_text(value))


def _cache_size(value: bytes) -> int:
    return values.size_from(_text(value), values.CACHE_LEAST)


def _object_cache_size(value: bytes) -> int:
    return values.size_or_none(_text(value), values.CACHE_LEAST)


def _load(value: bytes) -> float:
    return values.load(_text(value)) if value else 0.0


def _no(value: bytes) -> None:
    if _boolean(value):
        raise ValueError("not available yet; only 'no' can be set")


def _empty(value: bytes) -> None:
    if value:
        raise ValueError("not available yet; only an empty value can be set")


def _standard(value: bytes) -> None:
    if value.lower() not in (b"", b"standard"):
        raise ValueError("only 'standard' can be set: choose signatures by the files in BasesPath")


def _anything(value: bytes) -> None:
    """Accepted and without effect here: a setting of another component in a section that we share."""


def _text_of(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda value: read(_text(value))


_ACTIONS = ("OnInfected", "OnSuspicion", "OnWarning", "OnCured", "OnProtected", "OnCorrupted", "OnError")
_OTHERS = ("LicensePath", "LocalSocketPath", "AVSpidPATH", "IcheckerDbFile", "PidPath")

KEYS: tuple[Key, ...] = (
    Key("path", "BasesPath", _path, "databases"),
    Key("path", "TempPath", _folder, "temp"),
    *(Key("path", name, _anything) for name in _OTHERS),
    Key("locale", "DateFormat", _format, "date_format"),
    Key("locale", "TimeFormat", _format, "time_format"),
    Key("scanner.options", "ExcludeDirs", _folders, "exclude_dirs"),
    Key("scanner.options", "ExcludeDir", _folders, "exclude_dirs"),
    Key("scanner.options", "ExcludeMask", values.colon_list, "exclude_masks"),
    Key("scanner.options", "Packed", _boolean, switch=Switch.PACKED),
    Key("scanner.options", "Archives", _boolean, switch=Switch.ARCHIVES),
    Key("scanner.options", "SelfExtArchives", _boolean, switch=Switch.SFX),
    Key("scanner.options", "MailBases", _boolean, switch=Switch.MAILBASES),
    Key("scanner.options", "MailPlain", _boolean, switch=Switch.MAILPLAIN),
    Key("scanner.options", "Heuristic", _boolean, switch=Switch.HEURISTIC),
    Key("scanner.options", "Engine", _engines, "engines"),
    Key("scanner.options", "ClamavBasesPath", _path, "clamav_databases"),
    Key("scanner.options", "ClamdAddress", _address, "clamd"),
    Key("scanner.options", "YaraRulesPath", _path, "yara_rules"),
    Key("scanner.options", "LocalFS", _boolean, "local_fs"),
    Key("scanner.options", "Recursion", _boolean, "recursion"),
    Key("scanner.options", "FollowSymlinks", _boolean, "follow_symlinks"),
    Key("scanner.options", "Cache", _boolean, "cache"),
    Key("scanner.options", "Ichecker", _boolean, "ichecker"),
    Key("scanner.options", "CacheSize", _cache_size, "cache_size"),
    Key("scanner.options", "ObjectCacheSize", _object_cache_size, "object_cache_size"),
    Key("scanner.options", "RememberDigests", _boolean, "remember_digests"),
    Key("scanner.options", "DistrustOwners", _boolean, "distrust_owners"),
    Key("scanner.options", "Cure", _no),
    Key("scanner.options", "Polite", _boolean, "polite"),
    Key("scanner.options", "MaxLoadAvg", _load, "max_load"),
    Key("scanner.options", "PageCacheAsFound", _boolean, "page_cache_as_found"),
    Key("scanner.options", "MaxFileSize", _text_of(values.size), "max_file_size"),
    Key("scanner.options", "MaxMemberSize", _text_of(values.positive_size), "max_member_size"),
    Key("scanner.options", "MaxUnpacked", _text_of(values.positive_size), "max_unpacked"),
    Key("scanner.options", "MaxDepth", _text_of(values.count), "max_depth"),
    Key("scanner.options", "MaxMembers", _text_of(values.count), "max_members"),
    Key("scanner.options", "TimeLimit", _text_of(values.positive_duration), "time_base"),
    Key("scanner.options", "TimeRate", _text_of(values.positive_size), "time_rate"),
    Key("scanner.options", "MemoryLimit", _text_of(values.memory), "memory"),
    Key("scanner.options", "SpillLimit", _text_of(values.positive_size), "spill"),
    Key("scanner.options", "UseAVbasesSet", _standard),
    Key("scanner.path", "BackupPath", _empty),
    *(Key("scanner.object", name, _empty) for name in _ACTIONS),
    *(Key("scanner.container", name, _empty) for name in _ACTIONS),
    Key("scanner.report", "ReportFileName", _report_file, "report_file"),
    Key("scanner.report", "ReportLevel", _level, "report_level"),
    Key("scanner.report", "ReportFileMode", _mode, "report_mode"),
    Key("scanner.report", "Append", _boolean, "report_append"),
    Key("scanner.report", "ShowOk", _boolean, "report_ok"),
    Key("scanner.report", "ShowObjectResultOnly", _boolean, "report_objects_only"),
    Key("scanner.report", "ShowContainerResultOnly", _boolean, "report_containers_only"),
    Key("scanner.display", "ShowOk", _boolean, "display_ok"),
    Key("scanner.display", "ShowProgress", _boolean, "display_progress"),
    Key("scanner.display", "ShowObjectResultOnly", _boolean, "display_objects_only"),
    Key("scanner.display", "ShowContainerResultOnly", _boolean, "display_containers_only"),
)

SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.section for key in KEYS))
