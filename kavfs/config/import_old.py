"""Settings of version 4 of the product: AvpUnix.ini and profiles (defUnix.prf).

A profile may have several [Object] sections, one for each location, each with its own switches; here one configuration
is for all, so the first one counts, and what others say differently is listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kavfs.config import kinds, values
from kavfs.config.imported import Imported, Source
from kavfs.config.ini import Entry
from kavfs.errors import ConfigError

SECTIONS = ("avp32", "configuration", "object", "actionwithinfected", "actionwithsuspicion", "actionwithcorrupted")

_SAME = {name.lower(): name for name in ("Packed", "Archives", "SelfExtArchives", "MailBases", "MailPlain")}
_ACTIONS = {
    "actionwithinfected": ("Infected", "OnInfected"),
    "actionwithsuspicion": ("Suspicious", "OnSuspicion"),
    "actionwithcorrupted": ("Corrupted", "OnCorrupted"),
}
_SWITCHED_OFF = ("no", "false", "none", "0", "")

_NONE = {
    "names": "name what is to be scanned on the command line, or in a list with -@",
    "filemask": "every file is scanned, whatever its name",
    "usermask": "every file is scanned, whatever its name",
    "memory": "memory is not scanned",
    "sectors": "sectors are not scanned",
    "scanallsectors": "sectors are not scanned",
    "backupinfected": "copies are always kept; BackupPath says where",
    "warnings": "these findings are always told, as WARNING",
    "redundantscan": "everything is always scanned to its end",
    "basepath": "databases of the product cannot be read by kavfs",
    "setfile": "databases of the product cannot be read by kavfs",
    "keyfile": "there are no licences",
    "defaultprofile": "import that file too",
}

Section = dict[str, tuple[bytes, Source]]


def import_old(into: Imported, entries: list[Entry]) -> None:
    """All *entries* of one file, taken over or listed."""
    sections: list[tuple[str, Section]] = []
    for entry in entries:
        name, key = entry.section.lower(), entry.key.lower()
        source = Source(entry.place, entry.section, entry.key.encode() + b"=" + entry.value)
        if not sections or sections[-1][0] != name or key in sections[-1][1]:
            sections.append((name, {}))
        sections[-1][1][key] = (entry.value, source)
    infected = next((_action_code(section) for name, section in sections if name == "object"), 0)
    for name, section in sections:
        reader = _READERS.get(name, _unknown)
        if name in _ACTIONS:
            _copies(into, section, *_ACTIONS[name], deleted=infected == 3)
        else:
            reader(into, section)
        for value, source in section.values():  # what the reader has not taken out
            _rest(into, value, source)


def _object(into: Imported, section: Section) -> None:
    for name, ours in _SAME.items():
        _move(into, section, name, "scanner.options", ours)
    _move(into, section, "codeanalyser", "scanner.options", "Heuristic")
    _move(into, section, "subdirectories", "scanner.options", "Recursion")
    if "crossfs" in section:
        value, source = section.pop("crossfs")
        into.take("scanner.options", "LocalFS", b"no" if _yes(value, source) else b"yes", source)
    _excluded(into, section)
    _infected(into, section)


def _excluded(into: Imported, section: Section) -> None:
    """ExcludeFiles says which of the two lists counts."""
    which = 3
    if "excludefiles" in section:
        value, source = section.pop("excludefiles")
        which = _number(value, source, 3)
        into.as_here(source, "the lists themselves say it")
    for bit, name, ours in ((1, "excludemask", "ExcludeMask"), (2, "excludedir", "ExcludeDirs")):
        if name in section:
            value, source = section.pop(name)
            parts = [part for part in re.split(rb"[,;\s]+", value) if part]
            if not which & bit:
                into.leave(source, "ExcludeFiles had switched it off")
            elif parts:
                into.take("scanner.options", ours, b":".join(parts), source)
            else:
                into.as_here(source, "empty")


def _action_code(section: Section) -> int:
    return _number(*section["infectedaction"], 3) if "infectedaction" in section else 0


def _infected(into: Imported, section: Section) -> None:
    code = _action_code(section)
    impossible = section.pop("ifdisinfimpossible", None)
    if "infectedaction" in section:
        _, source = section.pop("infectedaction")
        if code == 1:
            into.leave(source, "kavscanner asks nobody; Cure=yes would cure without asking")
        elif code == 3:
            into.take("scanner.object", "OnInfected", b"remove", source)
            into.leave(source, "for containers: there it would delete them whole; set OnInfected if that is meant")
        else:
            into.take("scanner.options", "Cure", b"yes" if code == 2 else b"no", source)
    if impossible:
        value, source = impossible
        if code == 2 and _number(value, source, 1) == 1:
            into.take("scanner.object", "OnInfected", b"remove", source)
        else:
            into.as_here(source, "what cannot be cured stays as it is")


def _copies(into: Imported, section: Section, status: str, ours: str, deleted: bool) -> None:
    """Copies of what was found, and new names for it."""
    copy, folder = section.pop(f"{status.lower()}copy", None), section.pop(f"{status.lower()}folder", None)
    paths = section.pop("copywithpaths", None) or section.pop("copywithpath", None)
    rename, suffix = section.pop("changeext", None), section.pop("newextension", None)
    whole = bool(paths and _yes(*paths))
    parts = [part for part in (copy, folder, paths) if part]
    if copy and _yes(*copy) and folder and folder[0].startswith(b"/") and deleted and ours == "OnInfected":
        # A copy and then removal is one move.
        action = (b"movePath " if whole else b"move ") + folder[0]
        into.replace("scanner.object", ours, action, [source for _, source in parts])
        parts = []
    for value, source in parts:
        if copy and _yes(*copy):
            into.leave(source, f"a copy with the original left in place; {ours}=quarantine or movePath moves it there")
        else:
            into.as_here(source, f"no copies are made; it says {kinds.text(value)}")
    if rename and suffix and kinds.text(rename[0]).lower() not in _SWITCHED_OFF and not deleted:
        action = b"rename ." + suffix[0].lstrip(b".")
        into.replace("scanner.object", ours, action, [rename[1], suffix[1]])
    else:
        for part in filter(None, (rename, suffix)):
            into.as_here(part[1], "names are not changed")


def _report(into: Imported, section: Section) -> None:
    report = section.pop("report", None)
    wanted = report is None or _yes(*report)
    if report:
        into.as_here(report[1], "the name of the report file says it")
    name, syslog = section.pop("reportfilename", None), section.pop("usesyslog", None)
    if syslog and _yes(*syslog) and wanted:
        into.take("scanner.report", "ReportFileName", b"syslog", syslog[1])
        syslog = None
    if syslog:
        into.as_here(syslog[1], "no report to syslog unless asked for")
    if name and wanted and name[0].startswith(b"/"):
        into.take("scanner.report", "ReportFileName", name[0], name[1])
    elif name:
        into.leave(name[1], "a report file needs an absolute path" if wanted else "Report=No")
    _move(into, section, "append", "scanner.report", "Append")
    _move(into, section, "repcreateflag", "scanner.report", "ReportFileMode")
    _move(into, section, "showok", "scanner.report", "ShowOk")


def _temp(into: Imported, section: Section) -> None:
    _move(into, section, "temppath", "path", "TempPath")


def _configuration(into: Imported, section: Section) -> None:
    _move(into, section, "keyspath", "path", "LicensePath")


def _unknown(into: Imported, section: Section) -> None:
    """Nothing of it is known: all is listed."""


_READERS: dict[str, Callable[[Imported, Section], None]] = {
    "object": _object,
    "tempfiles": _temp,
    "report": _report,
    "configuration": _configuration,
}


def _move(into: Imported, section: Section, name: str, ours_section: str, ours: str) -> None:
    if name in section:
        value, source = section.pop(name)
        into.take(ours_section, ours, value, source)


def _rest(into: Imported, value: bytes, source: Source) -> None:
    name = source.text.partition(b"=")[0].decode().strip().lower()
    if name in ("files", "embedded") and kinds.text(value).lower() in ("yes", "true", "1"):
        into.as_here(source, "always")
    else:
        into.leave(source, _NONE.get(name, "there is nothing like it"))


def _yes(value: bytes, source: Source) -> bool:
    try:
        return values.boolean(kinds.text(value))
    except ValueError as error:
        raise ConfigError(f"{source.place}: {error}") from None


def _number(value: bytes, source: Source, most: int) -> int:
    try:
        return values.whole(kinds.text(value), 0, most)
    except ValueError as error:
        raise ConfigError(f"{source.place}: {error}") from None
