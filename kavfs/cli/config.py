"""kavfs config: check a configuration file, show what is in force and why, import files of other products."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator

from kavfs.action.policy import make_policy
from kavfs.cli.arguments import parse
from kavfs.cli.kavfs import PROGRAM
from kavfs.cli.program import answer, say
from kavfs.cli.request import Request, absolute, apply_option, usual_configuration
from kavfs.config import mail, mail_show, server, show
from kavfs.config.importer import import_files
from kavfs.config.ini import Entry, file_name, read_entries, shown
from kavfs.config.keys import KEYS
from kavfs.config.load import checked, loaded
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError, SystemFailure
from kavfs.report.summary import counted

NONE = "there is no configuration file; defaults are in force"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``config`` and its sub-commands; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("config", help="the configuration file", description=__doc__)
    commands = parser.add_subparsers(dest="config_command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="say what is wrong with a file, all of it; exit code 65 if anything is")
    showing = commands.add_parser("show", help="all settings as they are in force, and where each comes from")
    for command in (check, showing):
        command.add_argument("file", nargs="?", metavar="FILE", help="the file (default: the usual one)")
    showing.add_argument("--changed", action="store_true", help="only those that differ from the defaults")
    showing.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], metavar="OPTION", help="as if kavscanner got these options"
    )
    importing = commands.add_parser(
        "import",
        help="make a kavfs.conf of files of versions 4.0 to 5.7 of the product, of clamd.conf and freshclam.conf",
    )
    importing.add_argument("files", nargs="+", metavar="FILE", help="what the first of them says counts")
    importing.add_argument("-o", dest="output", default="", metavar="FILE", help="write it there; FILE must not exist")


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs config`` command; the return value is the exit code."""
    return {"check": _check, "show": _show, "import": _import}[args.config_command](args)


def _check(args: argparse.Namespace) -> int:
    path, entries = _entries(args.file)
    if not path:
        _put([NONE.encode()])
        return 0
    ours = loaded(entries)
    all_ = [ours, loaded(entries, server.TABLE), mail.read_all(entries)]
    wrong = [error for one in all_ for error in one.errors]
    errors = list(dict.fromkeys([*wrong, *_wrong_actions(ours.settings.actions)]))
    for error in errors:
        say(PROGRAM, error)
    lines = [f"warning: {doubt}".encode() for one in all_ for doubt in one.doubts()]
    foreign = [entry for entry in ours.foreign if all(entry in one.foreign for one in all_)]
    lines += [f"passed over: [{section}]".encode() for section in dict.fromkeys(entry.section for entry in foreign)]
    if not errors:
        number = counted(len(entries) - len(foreign), "setting")
        lines.append(f"{file_name(path)}: {number}, nothing wrong".encode())
    _put(lines)
    return ConfigError.exit_code if errors else 0


def _show(args: argparse.Namespace) -> int:
    given, _ = parse([os.fsencode(word) for word in args.options])
    named = [os.fsdecode(one.value) for one in given if one.option.name == "config"]
    path, entries = _entries(named[-1] if named else args.file)
    ours, daemon = checked(loaded(entries)), checked(loaded(entries, server.TABLE))
    filter_ = checked(mail.read_all(entries))
    request = Request(settings=ours.settings)
    options: dict[str, str] = {}
    for one in given:
        before = request.settings
        if one.option.name == "databases":
            request.settings = before._replace(databases=absolute(one.value))
        else:
            apply_option(request, one)
        options.update(dict.fromkeys(_changed(before, request.settings), one.typed))
    rows = [
        *show.rows(request.settings, ours.given, options),
        *show.rows(daemon.settings, daemon.given, {}, server.TABLE),
        *mail_show.rows(filter_.settings, filter_.given, filter_.table),
    ]
    head = b"# " + (shown(file_name(path)) if path else NONE).encode()
    _put([head, *show.lines(row for row in rows if not args.changed or show.is_changed(row))])
    return 0


def _changed(before: Settings, after: Settings) -> Iterator[str]:
    """Fields that differ, switches by their names."""
    for name in Settings._fields:
        if name != "switches" and getattr(before, name) != getattr(after, name):
            yield name
    for key in KEYS:
        if key.switch and before.switches & key.switch != after.switches & key.switch:
            yield key.switch.name or ""


def _import(args: argparse.Namespace) -> int:
    imported = import_files([absolute(os.fsencode(name)) for name in args.files])
    for error in _wrong_actions(imported.actions()):
        raise ConfigError(error)
    for left in imported.left:
        say(PROGRAM, left.message())
    if args.output:
        _write(absolute(os.fsencode(args.output)), imported.lines())
    else:
        _put(imported.lines())
    return 0


def _wrong_actions(actions: Iterable[Entry]) -> list[str]:
    """What is wrong with action lists: the configuration keeps them as they stand, the policy reads them."""
    errors = []
    for entry in actions:
        try:
            make_policy([entry])
        except ConfigError as error:
            errors.append(str(error))
    return errors


def _write(path: bytes, lines: Iterable[bytes]) -> None:
    """Into a new file that nobody else can read: a file may hold passwords."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SystemFailure(f"cannot write {file_name(path)}: {error.strerror}") from None
    try:
        with open(fd, "wb") as file:
            file.writelines(line + b"\n" for line in lines)
            file.flush()
            os.fsync(fd)
    except OSError as error:
        os.unlink(path)  # ours, and no whole configuration
        raise SystemFailure(f"cannot write {file_name(path)}: {error.strerror}") from None


def _entries(named: str | None) -> tuple[bytes, list[Entry]]:
    """The file that is used and what it says; b"" when there is none."""
    path = absolute(os.fsencode(named)) if named else usual_configuration()
    if not named and not os.path.lexists(path):
        return b"", []
    return path, read_entries(path)


def _put(lines: Iterable[bytes]) -> None:
    output = answer()
    for line in lines:
        output.write(line + b"\n")
    output.flush()
