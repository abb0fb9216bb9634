"""Request: what one run of kavscanner shall do, from the configuration file and the command line together.

    request = read_request(words)

Options win over the configuration whatever their order. Nothing is touched here but the files that are named to be
read (configuration, lists of paths); whether a path exists is the walker's to say.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from kavfs.cli.arguments import Given, parse
from kavfs.config import values
from kavfs.config.settings import Settings
from kavfs.errors import UsageError
from kavfs.model import Switch
from kavfs.options import NATIVE, EnginePlaces, EngineUse, ScanOptions, WalkOptions, engine_names
from kavfs.record import field, record
from kavfs.report.names import shown_text

_LETTERS = {
    "p": Switch.PACKED,
    "a": Switch.ARCHIVES,
    "s": Switch.SFX,
    "b": Switch.MAILBASES,
    "m": Switch.MAILPLAIN,
    "e": Switch.HEURISTIC,
}
_SHOW = {"n": "ok", "p": "progress", "c": "containers_only", "o": "objects_only"}


@record
class Request:
    """Filled by read_request, only read afterwards."""

    settings: Settings = field(default_factory=Settings)
    task: str = "scan"  # or "version", "help"
    roots: tuple[bytes, ...] = ()  # absolute; none at all when a list of paths was empty
    databases: tuple[bytes, ...] = ()
    state: bytes = b""  # b"" = the usual place
    lists: list[tuple[str, bytes]] = field(default_factory=list)  # letter of -p, file
    path_lists: list[tuple[bytes, bytes]] = field(default_factory=list)  # file, what its names end with
    json: bytes = b""
    events: bool = False  # also those of a short scan without findings
    quiet: bool = False
    jobs: int = 0
    all_match: bool = False
    until: float = 0.0  # seconds since 1970; 0 = no end
    resume: bool = False
    lock: bytes = b""  # a word, or an absolute path
    action: int | None = None  # digit of -i; None = not given
    report_only: bool = False
    engines_named: bool = False  # by an option; else they are those of the configuration

    @property
    def may_act(self) -> bool:
        """Whether options or configuration ask for anything that could change a file."""
        settings = self.settings
        return bool(self.action or (settings.cure and self.action is None) or settings.actions)

    def switches(self, all_members: bool) -> Switch:
        """What is opened and told about; *all_members*: some report names clean members."""
        switches = self.settings.switches
        switches |= Switch.ALL_MATCH if self.all_match else Switch(0)
        switches |= Switch.ALL_MEMBERS if all_members else Switch(0)
        switches |= Switch.DIGEST if self.json else Switch(0)
        return switches

    @property
    def keeps(self) -> bool:
        """Whether the quarantine is to be looked after."""
        settings = self.settings
        asked = settings.quarantine_max_age or settings.quarantine_max_size or settings.rescan_after_update
        return bool(asked) and not self.report_only

    def quarantine(self, state: bytes) -> bytes:
        """The folder of the quarantine; *state* is the folder that is used."""
        return self.settings.quarantine_path or os.path.join(state, b"quarantine")

    def backups(self, state: bytes) -> bytes:
        """The folder where a copy goes before a cure or a removal; b"" when none is wanted."""
        path = self.settings.backup_path
        return b"" if path is None else path or self.quarantine(state)

    def places(self, state: bytes) -> EnginePlaces:
        """Where engines look for what they need; *state* is the folder that is used."""
        settings = self.settings
        return EnginePlaces(self.databases, state, settings.clamav_databases, settings.clamd, settings.yara_rules)

    def scan_options(
        self,
        stores: tuple[tuple[int, int], ...],
        all_members: bool,
        engines: tuple[EngineUse, ...] = (NATIVE,),
    ) -> ScanOptions:
        """What the scan is given. *stores* are our own folders, which a walker does not enter."""
        settings = self.settings
        walk = WalkOptions(
            roots=self.roots,
            recurse=settings.recursion,
            follow_symlinks=settings.follow_symlinks,
            one_file_system=settings.local_fs,
            exclude_masks=settings.exclude_masks,
            exclude_dirs=settings.exclude_dirs,
            stores=stores,
        )
        return ScanOptions(
            walk,
            settings.limits,
            self.switches(all_members),
            jobs=self.jobs,
            spill_dir=settings.temp,
            polite=settings.polite,
            max_load=settings.max_load,
            until=self.until,
            engines=engines,
            page_cache=settings.page_cache_as_found,
        )


def read_request(words: Sequence[bytes]) -> Request:
    """The request that *words* (without the program's name) and the configuration make; UsageError or ConfigError."""
    given, paths = parse(words)
    request = Request()
    for one in given:
        if one.option.name in ("version", "help"):
            request.task = one.option.name
            return request
    request.settings = configuration([one.value for one in given if one.option.name == "config"])
    if request.settings.databases:
        request.databases = (request.settings.databases,)
    named = tuple(absolute(one.value) for one in given if one.option.name == "databases")
    request.databases = named or request.databases
    for one in given:
        apply_option(request, one)
    request.roots = _roots(request, paths)
    return request


def apply_option(request: Request, given: Given) -> None:
    """What one option says, into *request*."""
    try:
        _APPLY[given.option.name](request, given)
    except ValueError as error:
        raise UsageError(f"option {given.typed}: {shown_text(str(error))}") from None


def absolute(path: bytes) -> bytes:
    """*path* from the root, without "." and doubled slashes. ".." stays: behind a link it is not what it seems."""
    joined = path if path.startswith(b"/") else _here() + b"/" + path
    return b"/" + b"/".join(part for part in joined.split(b"/") if part not in (b"", b"."))


def _here() -> bytes:
    try:
        return os.getcwdb()
    except OSError as error:
        raise UsageError(f"the current directory cannot be found: {error.strerror}") from None


def configuration(named: list[bytes]) -> Settings:
    """The settings of the file named last, or of the usual one if it is there."""
    path = absolute(named[-1]) if named else usual_configuration()
    if not named and not os.path.lexists(path):
        return Settings()
    from kavfs.config.load import load  # most runs have no configuration file and need not wait for its reader

    return load(path)


def usual_configuration() -> bytes:
    """Where the configuration is looked for, unless -c names a file."""
    if os.geteuid() == 0:
        return b"/etc/kavfs/kavfs.conf"
    folder = os.environb.get(b"XDG_CONFIG_HOME") or os.path.expanduser(b"~/.config")
    return os.path.join(folder, b"kavfs/kavfs.conf")


def _roots(request: Request, paths: list[bytes]) -> tuple[bytes, ...]:
    for path, end in request.path_lists:
        paths = paths + _names_in(path, end)
    if not paths and not request.path_lists:
        paths = [_here()]
    if b"" in paths:
        raise UsageError("a path is empty")
    return tuple(absolute(path) for path in paths)


def _names_in(path: bytes, end: bytes) -> list[bytes]:
    try:
        with open(0 if path == b"-" else path, "rb", closefd=path != b"-") as file:
            names = file.read().split(end)
    except OSError as error:
        closed = path == b"-" and error.errno == errno.EBADF
        why = "standard input is closed" if closed else error.strerror
        raise UsageError(f"list of paths {_shown(path)}: {why}") from None
    if any(b"\0" in name for name in names):
        raise UsageError(f"list of paths {_shown(path)}: a name holds a NUL byte; --files0-from reads such lists")
    return [name for name in names if name]


def _shown(value: bytes) -> str:
    return shown_text(value.decode("utf-8", "surrogateescape"))


# ---- one function for each option that is more than setting a field ----


def _set(request: Request, **changes: object) -> None:
    request.settings = request.settings._replace(**changes)  # type: ignore[arg-type]  # names and values stand below


def _engine_switches(request: Request, given: Given) -> None:
    switches = request.settings.switches
    for letter in _shown(given.value):
        switch = _LETTERS.get(letter.lower())
        if switch is None:
            raise ValueError(f"there is no letter {letter}; the letters are P A S B M E")
        switches = switches | switch if letter.isupper() else switches & ~switch
    _set(request, switches=switches)


def _show_letters(request: Request, given: Given) -> None:
    place = given.option.name.removesuffix("_letters")
    for letter in _shown(given.value):
        what = _SHOW.get(letter.lower())
        if what is None:
            raise ValueError(f"there is no letter {letter}; the letters are N P C O")
        if (place, what) != ("report", "progress"):  # accepted: a report never shows progress
            _set(request, **{f"{place}_{what}": letter.isupper()})


def _action(request: Request, given: Given) -> None:
    if given.value not in (b"0", b"1", b"2", b"3", b"4"):
        raise ValueError(f"'{_shown(given.value)}' is not one of 0 1 2 3 4")
    request.action = int(given.value)


def _engine(request: Request, given: Given) -> None:
    _set(request, engines=engine_names(_shown(given.value)))
    request.engines_named = True


def _clamd(request: Request, given: Given) -> None:
    _set(request, clamd=values.address(_shown(given.value)))


def _report_file(request: Request, given: Given) -> None:
    logs = (b"syslog", b"journald")
    _set(request, report_file=given.value if given.value in logs else absolute(given.value))


def _events(request: Request, given: Given) -> None:
    request.events = given.option.name == "events"
    _set(request, event_store=(request.settings.event_store or b"") if request.events else None)


def _exclude_dir(request: Request, given: Given) -> None:
    _set(request, exclude_dirs=(*request.settings.exclude_dirs, absolute(given.value)))


def _exclude_mask(request: Request, given: Given) -> None:
    _set(request, exclude_masks=(*request.settings.exclude_masks, given.value))


def _cache_size(request: Request, given: Given) -> None:
    _set(request, cache_size=values.size_from(_shown(given.value), values.CACHE_LEAST))


def _until(request: Request, given: Given) -> None:
    """The last of --until and --for; either means that another run shall go on."""
    from kavfs.cli import window  # datetime is slow to import, and few scans have an end

    read = window.until if given.option.name == "until" else window.lasting
    request.until = read(_shown(given.value))
    request.resume = True


def _lock(request: Request, given: Given) -> None:
    from kavfs.cli.lock import checked  # few scans have one

    name = checked(given.value)
    request.lock = absolute(name) if b"/" in name else name


def _max_load(request: Request, given: Given) -> None:
    _set(request, max_load=values.load(_shown(given.value)))


def _jobs(request: Request, given: Given) -> None:
    request.jobs = values.whole(_shown(given.value), 0, 1024)


def _level(request: Request, given: Given) -> None:
    _set(request, report_level=values.whole(_shown(given.value), 0, 9))


def _limit(name: str, read: Callable[[str], object]) -> Callable[[Request, Given], None]:
    def apply(request: Request, given: Given) -> None:
        _set(request, **{name: read(_shown(given.value))})

    return apply


def _setting(**changes: object) -> Callable[[Request, Given], None]:
    return lambda request, given: _set(request, **changes)


def _field(name: str, value: Callable[[Given], object]) -> Callable[[Request, Given], None]:
    return lambda request, given: setattr(request, name, value(given))


_APPLY: dict[str, Callable[[Request, Given], None]] = {
    "engine_switches": _engine_switches,
    "recursion": _setting(recursion=True),
    "no_recursion": _setting(recursion=False),
    "action": _action,
    "keep_container": _setting(keep_container=True),
    "report_only": _field("report_only", lambda given: True),
    "report_file": _report_file,
    "report_level": _level,
    "report_letters": _show_letters,
    "display_letters": _show_letters,
    "list": lambda request, given: request.lists.append((given.kind, absolute(given.value))),
    "files_from": lambda request, given: request.path_lists.append((given.value, b"\n")),
    "files0_from": lambda request, given: request.path_lists.append((given.value, b"\0")),
    "config": lambda request, given: None,  # read before all others
    "quiet": _field("quiet", lambda given: True),
    "local": _setting(local_fs=True),
    "no_symlinks": _setting(follow_symlinks=False),
    "follow_symlinks": _setting(follow_symlinks=True),
    "accepted": lambda request, given: None,
    "exclude_mask": _exclude_mask,
    "exclude_dir": _exclude_dir,
    "json": _field("json", lambda given: given.value if given.value == b"-" else absolute(given.value)),
    "html": lambda request, given: _set(request, report_html=absolute(given.value)),
    "events": _events,
    "no_events": _events,
    "progress": _setting(display_progress=True),
    "no_progress": _setting(display_progress=False),
    "engine": _engine,
    "clamav_databases": lambda request, given: _set(request, clamav_databases=absolute(given.value)),
    "clamd": _clamd,
    "yara_rules": lambda request, given: _set(request, yara_rules=absolute(given.value)),
    "databases": lambda request, given: None,  # read before all others
    "state": _field("state", lambda given: absolute(given.value)),
    "jobs": _jobs,
    "no_cache": _setting(cache=False),
    "no_object_cache": _setting(object_cache_size=0),
    "cache_size": _cache_size,
    "remember_digests": _setting(remember_digests=True),
    "distrust_owners": _setting(distrust_owners=True),
    "polite": _setting(polite=True),
    "max_load": _max_load,
    "until": _until,
    "for": _until,
    "resume": _field("resume", lambda given: True),
    "lock": _lock,
    "fill_page_cache": _setting(page_cache_as_found=False),
    "all_match": _field("all_match", lambda given: True),
    "max_file_size": _limit("max_file_size", values.size),
    "max_member_size": _limit("max_member_size", values.positive_size),
    "max_unpacked": _limit("max_unpacked", values.positive_size),
    "max_depth": _limit("max_depth", values.count),
    "max_members": _limit("max_members", values.count),
    "time_limit": _limit("time_base", values.positive_duration),
    "time_rate": _limit("time_rate", values.positive_size),
    "memory_limit": _limit("memory", values.memory),
    "spill_limit": _limit("spill", values.positive_size),
}
