"""Settings of clamd.conf and freshclam.conf (ClamAV 1.4, and names that older versions used).

A line is ``Name value`` without sections. ``clamav_options`` has what becomes of each name.
"""

from __future__ import annotations

from collections.abc import Callable

from kavfs.config import kinds, values
from kavfs.config.clamav_options import ALWAYS, FRESHCLAM_ONLY, NONE, UPDATER
from kavfs.config.imported import Imported, Source
from kavfs.config.ini import file_name
from kavfs.config.masks import folder_of, masks_of
from kavfs.errors import ConfigError

_LIMIT = "What is beyond this is an ERROR here; ClamAV calls it clean unless AlertExceedsMax is set."
_SIZE_MAX = 4 << 30  # more than this ClamAV itself does not take


def import_clamav(into: Imported, data: bytes, name: str) -> None:
    """All lines of one file, taken over or listed."""
    lines = [Line(f"{name}:{number}", raw.strip()) for number, raw in enumerate(data.split(b"\n"), 1)]
    lines = [line for line in lines if line.text and not line.text.startswith(b"#")]
    freshclam = any(line.name in FRESHCLAM_ONLY for line in lines)
    links: dict[str, Line] = {}
    address: dict[str, Line] = {}
    for line in lines:
        if line.name in ("FollowFileSymlinks", "FollowDirectorySymlinks"):
            links[line.name] = line
        elif line.name in ("LocalSocket", "TCPSocket", "TCPAddr"):
            if line.name in address:
                into.leave(line.source, "one address is enough")
            address.setdefault(line.name, line)
        elif freshclam and line.name != "DatabaseDirectory":
            _of_freshclam(into, line)
        else:
            _of_clamd(into, line)
    _links(into, links)
    _address(into, address)


class Line:
    """One line: the name of an option and its argument."""

    def __init__(self, place: str, text: bytes) -> None:
        name, _, value = text.replace(b"\t", b" ").partition(b" ")
        self.text = text
        self.name = name.decode("utf-8", "backslashreplace")
        value = text[len(name) :].strip()
        if value.startswith(b'"') and value.find(b'"', 1) > 0:
            value = value[1 : value.find(b'"', 1)]
        self.value = value
        self.source = Source(place, "", text)

    def wrong(self, why: str) -> ConfigError:
        """*why* with the place of the line."""
        return ConfigError(f"{self.source.place}: {file_name(self.text)}: {why}")

    def yes(self) -> bool:
        """Its value as a switch."""
        try:
            return values.boolean(kinds.text(self.value) or "?")
        except ValueError as error:
            raise self.wrong(str(error)) from None

    def number(self) -> int:
        """Its value as a number."""
        try:
            return values.whole(kinds.text(self.value), 0, 0xFFFF_FFFF)
        except ValueError as error:
            raise self.wrong(str(error)) from None

    def size(self) -> int:
        """Its value in bytes; ClamAV takes 4 GiB for more, and nothing for no limit."""
        try:
            return min(values.size(kinds.text(self.value)), _SIZE_MAX)
        except ValueError as error:
            raise self.wrong(str(error)) from None


def _of_freshclam(into: Imported, line: Line) -> None:
    if line.name in UPDATER:
        into.leave(line.source, f"updates of signatures; in kavfs {UPDATER[line.name]}")
    else:
        into.leave(line.source, "updates of signatures: no part of this version does them")


def _of_clamd(into: Imported, line: Line) -> None:
    reader = _READERS.get(line.name)
    if reader:
        reader(into, line)
    elif line.name in ALWAYS:
        so, why = ALWAYS[line.name]
        (into.as_here if line.yes() is so else into.leave)(line.source, why)
    elif line.name in NONE:
        into.leave(line.source, NONE[line.name])
    elif line.name.startswith("OnAccess"):
        into.leave(line.source, "files as they are opened: no part of this version scans them")
    elif line.name == "Example":
        into.leave(line.source, "ClamAV refuses a file with this line")
    else:
        into.leave(line.source, "ClamAV 1.4 has no such option")


# ---- one reader for each option that has a counterpart ----


def _switch(section: str, *names: str, inverted: bool = False) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        for name in names:
            into.take(section, name, b"yes" if line.yes() is not inverted else b"no", line.source)

    return read


def _size_limit(name: str, endless: bool = False) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        size = line.size()
        if size or endless:
            into.take("scanner.options", name, kinds.SIZE.write(size), line.source, _LIMIT)
        else:
            into.leave(line.source, f"no limit: {name} has always one; its default stays")

    return read


def _count_limit(name: str) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        number = line.number()
        if number:
            into.take("scanner.options", name, str(number).encode(), line.source, _LIMIT)
        else:
            into.leave(line.source, f"no limit: {name} has always one; its default stays")

    return read


def _path(section: str, name: str) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        if not line.value:
            raise line.wrong("a path is missing")
        into.take(section, name, line.value, line.source)

    return read


def _scan_time(into: Imported, line: Line) -> None:
    milliseconds = line.number()
    if milliseconds:
        into.take("scanner.options", "TimeLimit", kinds.DURATION.write(milliseconds / 1000), line.source, _LIMIT)
    else:
        into.leave(line.source, "no limit: TimeLimit has always one; its default stays")


def _exclude(into: Imported, line: Line) -> None:
    masks = masks_of(line.value)
    if not masks:
        into.leave(line.source, "this regular expression cannot be said in shell masks; what it left out is scanned")
        return
    folders = [folder_of(mask) for mask in masks]
    if all(folders):
        into.take("scanner.options", "ExcludeDirs", b":".join(folders), line.source)
    else:
        into.take("scanner.options", "ExcludeMask", b":".join(masks), line.source)


def _syslog(into: Imported, line: Line) -> None:
    if not line.yes():
        into.as_here(line.source, "no report to syslog unless asked for")
    elif into.has("scanner.report", "ReportFileName"):
        into.leave(line.source, "there is one report; ReportFileName=syslog sends it there")
    else:
        into.take("scanner.report", "ReportFileName", b"syslog", line.source)


def _event(into: Imported, line: Line) -> None:
    """clamd's own variables stay; %v and %f are what they were before such variables."""
    if not line.value:
        raise line.wrong("a command is missing")
    command = line.value.replace(b"%v", b"%VIRUSNAME%").replace(b"%f", b"%FULLPATH%/%FILENAME%")
    names = b'CLAM_VIRUSEVENT_FILENAME="%FULLPATH%/%FILENAME%" CLAM_VIRUSEVENT_VIRUSNAME="%VIRUSNAME%"'
    for section in ("scanner.object", "scanner.container"):
        into.take(section, "OnInfected", b"exec export " + names + b" && " + command, line.source)


def _links(into: Imported, links: dict[str, Line]) -> None:
    if not links:
        return
    follow = [line.yes() for line in links.values()]
    both = len(follow) == 2 and all(follow)
    for line in links.values():
        if both or not line.yes():
            into.take("scanner.options", "FollowSymlinks", b"yes" if both else b"no", line.source)
        else:
            into.leave(line.source, "FollowSymlinks is for links to files and to directories alike; it stays no")


def _address(into: Imported, address: dict[str, Line]) -> None:
    if "LocalSocket" in address:
        line = address.pop("LocalSocket")
        into.take("scanner.options", "ClamdAddress", line.value, line.source)
        for other in address.values():
            into.leave(other.source, "ClamdAddress is the socket")
        return
    host = address.pop("TCPAddr", None)
    if "TCPSocket" in address:
        line = address["TCPSocket"]
        port = line.number()
        name = host.value if host else b"localhost"
        name = {b"0.0.0.0": b"localhost", b"::": b"localhost"}.get(name, name)
        name = b"[" + name + b"]" if b":" in name else name
        into.take("scanner.options", "ClamdAddress", name + b":" + str(port).encode(), line.source)
        if host:
            into.as_here(host.source, "part of ClamdAddress")
    elif host:
        into.leave(host.source, "without TCPSocket it has no effect")


_HEURISTIC = _switch("scanner.options", "Heuristic")

_READERS: dict[str, Callable[[Imported, Line], None]] = {
    "DatabaseDirectory": _path("path", "BasesPath"),
    "TemporaryDirectory": _path("path", "TempPath"),
    "LogFile": _path("scanner.report", "ReportFileName"),
    "LogSyslog": _syslog,
    "LogClean": _switch("scanner.report", "ShowOk"),
    "ExcludePath": _exclude,
    "CrossFilesystems": _switch("scanner.options", "LocalFS", inverted=True),
    "ScanArchive": _switch("scanner.options", "Archives", "SelfExtArchives"),
    "ScanMail": _switch("scanner.options", "MailBases", "MailPlain"),
    "HeuristicAlerts": _HEURISTIC,
    "AlgorithmicDetection": _HEURISTIC,
    "DisableCache": _switch("scanner.options", "Cache", inverted=True),
    "MaxFileSize": _size_limit("MaxFileSize", endless=True),
    "MaxScanSize": _size_limit("MaxUnpacked"),
    "MaxRecursion": _count_limit("MaxDepth"),
    "MaxFiles": _count_limit("MaxMembers"),
    "MaxScanTime": _scan_time,
    "VirusEvent": _event,
}
