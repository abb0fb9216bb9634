"""Combinations: what each key may say alone, but not together with another.

``conflicts`` cannot be carried out, and no program starts with them. ``doubts`` can, but hardly mean what they say:
``kavfs config check`` tells of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kavfs.config.ini import Entry, file_name
from kavfs.config.keys import KEYS, Key
from kavfs.config.settings import Settings

_KEY = {(key.section, key.name): key for key in KEYS}
_NOTIFY = ("On", "Subject", "From", "Sendmail")
_OF_CACHE = ("Ichecker", "CacheSize", "ObjectCacheSize", "RememberDigests", "DistrustOwners")
_OF_REPORT = ("ReportLevel", "ReportFileMode", "Append", "ShowOk", "ShowObjectResultOnly", "ShowContainerResultOnly")

Given = Mapping[Key, Entry]


def conflicts(settings: Settings, given: Given) -> Iterator[str]:
    """What is wrong, each with its place."""
    files = {
        ("scanner.report", "ReportFileName"): b"" if settings.report_file == b"syslog" else settings.report_file,
        ("scanner.report", "Html"): settings.report_html,
        ("scanner.report", "EventStore"): settings.event_store or b"",
    }
    folders = {
        ("scanner.path", "BackupPath"): settings.backup_path or b"",
        ("scanner.path", "QuarantinePath"): settings.quarantine_path,
    }
    seen: dict[bytes, str] = {}
    for name, path in {**files, **folders}.items():
        if path in seen:
            yield f"{_place(given, *name)}{name[1]}: {file_name(path)} is the place of {seen[path]} already"
        elif path:
            seen[path] = name[1]
    for name, path in folders.items():
        if path == b"/":
            yield f"{_place(given, *name)}{name[1]}: '/' cannot be a store: nothing would be scanned"


def doubts(settings: Settings, given: Given) -> Iterator[str]:
    """What has no effect, each with its place."""
    for key, entry in given.items():
        why = _no_effect(settings, given, key, entry) if _says_something(key, entry) else ""
        if why:
            yield f"{entry.place}: {key.name} has no effect: {why}"
    if settings.max_member_size > settings.max_unpacked:
        place = _place(given, "scanner.options", "MaxMemberSize") or _place(given, "scanner.options", "MaxUnpacked")
        yield f"{place}MaxMemberSize is larger than MaxUnpacked, which ends a container first"


def _no_effect(settings: Settings, given: Given, key: Key, entry: Entry) -> str:
    """Why what *key* says cannot happen, or nothing."""
    section, name = key.section, key.name
    if section in ("scanner.object", "scanner.container") and name == "OnCured" and not settings.cure:
        return "nothing is cured with Cure=no (options -i1 to -i3 cure)"
    if name == "KeepContainer" and not settings.cure:
        return "nothing is cured or removed with Cure=no (options -i1 to -i4 do)"
    if section == "scanner.options" and name in _OF_CACHE and not settings.cache:
        return "Cache=no"
    if name == "DistrustOwners" and not settings.ichecker:
        return "Ichecker=no"
    if section == "scanner.report" and name in _OF_REPORT and not settings.report_file:
        return "there is no ReportFileName (option -o may name one)"
    if name in ("ReportFileMode", "Append") and settings.report_file == b"syslog":
        return "the report goes to syslog"
    if name == "EventRetention" and settings.event_store is None:
        return "EventStore=no"
    if section == "scanner.notify" and name in _NOTIFY and not settings.notify_mail:
        if name != "On":
            return "Mail is empty"
        return "" if settings.notify_command else "Mail and Command are empty"
    return ""


def _says_something(key: Key, entry: Entry) -> bool:
    """Whether the entry asks for anything but what would be so without it."""
    default = Settings()
    if key.switch or not key.field:
        return True
    if key.field in ("actions", "notify_command"):
        return bool(entry.value)
    if not entry.value and key.kind.empty_is_default:
        return False
    return bool(key.kind.read(entry.value) != getattr(default, key.field))


def _place(given: Given, section: str, name: str) -> str:
    entry = given.get(_KEY[section, name])
    return f"{entry.place}: " if entry else ""
