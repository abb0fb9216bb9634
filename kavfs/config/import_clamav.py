"""Settings of clamd.conf and freshclam.conf (ClamAV 1.4, and names that older versions used).

A line is ``Name value`` without sections. ``clamav_options`` has what becomes of each name.
"""

from __future__ import annotations

from collections.abc import Callable

from kavfs.config import kinds, values
from kavfs.config.clamav_options import ALWAYS, FRESHCLAM_ONLY, NONE, UPDATER
from kavfs.config.imported import Imported, Source, has_key
from kavfs.config.ini import file_name
from kavfs.config.masks import folder_of, masks_of
from kavfs.errors import ConfigError

_DAEMON = {"scanner.options": "aveserver.options", "scanner.report": "aveserver.report"}
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


def _take(into: Imported, section: str, name: str, value: bytes, source: Source, note: str = "") -> None:
    """For kavscanner, and for aveserver where that has such a key."""
    into.take(section, name, value, source, note)
    daemon = _DAEMON.get(section, "")
    if has_key(daemon, name):
        into.take(daemon, name, value, source)


def _switch(section: str, *names: str, inverted: bool = False) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        for name in names:
            _take(into, section, name, b"yes" if line.yes() is not inverted else b"no", line.source)

    return read


def _size_limit(name: str, endless: bool = False) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        size = line.size()
        if size or endless:
            _take(into, "scanner.options", name, kinds.SIZE.write(size), line.source, _LIMIT)
        else:
            into.leave(line.source, f"no limit: {name} has always one; its default stays")

    return read


def _count_limit(name: str) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        number = line.number()
        if number:
            _take(into, "scanner.options", name, str(number).encode(), line.source, _LIMIT)
        else:
            into.leave(line.source, f"no limit: {name} has always one; its default stays")

    return read


def _path(section: str, name: str) -> Callable[[Imported, Line], None]:
    def read(into: Imported, line: Line) -> None:
        if not line.value:
            raise line.wrong("a path is missing")
        _take(into, section, name, line.value, line.source)

    return read


def _scan_time(into: Imported, line: Line) -> None:
    milliseconds = line.number()
    if milliseconds:
        _take(into, "scanner.options", "TimeLimit", kinds.DURATION.write(milliseconds / 1000), line.source, _LIMIT)
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
        _take(into, "scanner.report", "ReportFileName", b"syslog", line.source)


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
    """Where clamd listened: aveserver does, and engine clamd would ask there."""
    host = address.pop("TCPAddr", None)
    if "LocalSocket" in address:
        line = address["LocalSocket"]
        into.take("scanner.options", "ClamdAddress", line.value, line.source)
        into.take("aveserver.path", "ClamdSocketPath", line.value, line.source)
    if "TCPSocket" in address:
        _listen(into, address["TCPSocket"], host)
    elif host:
        into.leave(host.source, "without TCPSocket it has no effect")


def _listen(into: Imported, line: Line, host: Line | None) -> None:
    port = str(line.number()).encode()
    name = host.value if host else b"127.0.0.1"
    name = b"[" + name + b"]" if b":" in name else name
    note = "" if host else "Without TCPAddr clamd listens everywhere; this does on loopback."
    into.take("aveserver.network", "ListenClamd", name + b":" + port, line.source, note)
    if not into.has("scanner.options", "ClamdAddress"):
        asked = {b"0.0.0.0": b"localhost", b"[::]": b"localhost"}.get(name, name) if host else b"localhost"
        into.take("scanner.options", "ClamdAddress", asked + b":" + port, line.source)
    if host:
        into.as_here(host.source, "part of ListenClamd")


def _of_daemon(section: str, name: str, unit: float = 0.0) -> Callable[[Imported, Line], None]:
    """A value that aveserver takes as it stands; a number of *unit* seconds if that is given. 0 may be no value."""

    def read(into: Imported, line: Line) -> None:
        value = kinds.DURATION.write(line.number() * unit) if unit else line.value
        if value == b"0":
            into.leave(line.source, f"no limit: {name} has always one; its default stays")
        else:
            into.take(section, name, value, line.source)

    return read


def _stream(into: Imported, line: Line) -> None:
    size = line.size()
    if size:
        into.take("aveserver.network", "StreamMaxLength", kinds.SIZE.write(size), line.source)
    else:
        into.leave(line.source, "no limit: StreamMaxLength has always one; its default stays")


def _encrypted(into: Imported, line: Line) -> None:
    into.take("aveserver.options", "AlertProtected", b"yes" if line.yes() else b"no", line.source)


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
    "PidFile": _of_daemon("path", "AVSpidPATH"),
    "LocalSocketGroup": _of_daemon("aveserver.network", "SocketGroup"),
    "LocalSocketMode": _of_daemon("aveserver.network", "SocketMode"),
    "StreamMaxLength": _stream,
    "MaxThreads": _of_daemon("aveserver.options", "Jobs"),
    "MaxQueue": _of_daemon("aveserver.options", "MaxQueue"),
    "ReadTimeout": _of_daemon("aveserver.network", "ReadTimeout", 1.0),
    "SendBufTimeout": _of_daemon("aveserver.network", "SendTimeout", 0.001),
    "AlertEncrypted": _encrypted,
    "ArchiveBlockEncrypted": _encrypted,
}
