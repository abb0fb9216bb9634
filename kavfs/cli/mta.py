"""kavfs mta: mail of Postfix, Exim, Sendmail or qmail goes through smtpscanner, or does not any more."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from kavfs.cli.program import put
from kavfs.cli.request import absolute, usual_configuration
from kavfs.config import mail as mail_configuration
from kavfs.errors import ConfigError, SystemFailure, UsageError
from kavfs.mail.mta import files, found, kept, qmail, targets, told, wish
from kavfs.mail.mta.found import Found
from kavfs.mail.mta.wish import Address, Refused, Wish
from kavfs.report.names import shown_text

STATE = "/var/lib/kavfs"

_DEFAULTS = Wish("")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``mta`` and its sub-commands; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("mta", help="mail programs whose mail goes through smtpscanner", description=__doc__)
    commands = parser.add_subparsers(dest="mta_command", required=True, metavar="COMMAND")
    detecting = commands.add_parser("detect", help="which mail programs are here, and what of ours they have")
    adding = commands.add_parser("integrate", help="edit the configuration so that mail is scanned; say what is left")
    checking = commands.add_parser("check", help="say what an integration lacks (exit code 30: something)")
    removing = commands.add_parser("remove", help="take everything of ours out of the configuration")
    for command in (adding, checking, removing):
        command.add_argument("mta", choices=found.NAMES, help="which mail program")
    ways = "; ".join(f"{name}: {', '.join(names)}" for name, names in told.WAYS.items())
    for command in (adding, checking):
        command.add_argument("--way", default="", metavar="WAY", help=f"{ways} (default: the first)")
        command.add_argument("--scanner", default="", metavar="HOST:PORT", help="where smtpscanner listens "
                             f"({wish.SCANNER}, as a milter {wish.MILTER})")  # fmt: skip
        command.add_argument("--back", default="", metavar="HOST:PORT", help="where the mail program takes what was "
                             f"scanned ({wish.BACK}). Safety: what comes in there is not scanned")  # fmt: skip
        command.add_argument("--program", default="", metavar="PATH", help="what the mail program starts "
                             f"({_DEFAULTS.program}; for qmail {qmail.PROGRAM})")  # fmt: skip
        command.add_argument("--user", default=_DEFAULTS.user, metavar="NAME", help="as whom Postfix and Exim start it")
        command.add_argument("-c", "--config", default="", metavar="FILE", help="configuration of smtpscanner")
    for command in (detecting, adding, checking, removing):
        command.add_argument("--root", default="/", metavar="DIR", help="edit the system below DIR instead of this one")
        command.add_argument("--state", default=STATE, metavar="DIR", help="state folder, where copies are kept")
        if command is not detecting:
            command.add_argument("--conf", default="", metavar="PATH", help="the mail program's configuration: the "
                                 "folder of Postfix, Debian's Exim, Sendmail; exim.conf; home of qmail")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs mta`` command; the return value is the exit code."""
    args.root = os.fsdecode(absolute(os.fsencode(args.root)))
    commands = {"detect": _detect, "integrate": _integrate, "check": _check, "remove": _remove}
    lines = list(commands[args.mta_command](args))
    put("".join(f"{shown_text(line)}\n" for line in lines))
    faulty = args.mta_command == "check" and lines[-1:] != [_WHOLE]
    return SystemFailure.exit_code if faulty else 0


_WHOLE = "the integration is whole"


def _detect(args: argparse.Namespace) -> Iterator[str]:
    running = {True: "running", False: "not running", None: "running or not is not known"}
    some = False
    for name in found.NAMES:
        one = found.find(name, args.root)
        if one.here:
            some = True
            where = f"configuration {one.place}" + (f" ({one.form})" if one.form else "")
            parts = [one.program or "no program", where if one.place else "no configuration", running[one.running]]
            yield f"{name:<9}{', '.join(parts)}, {_state_of(one, args)}"
    if not some:
        yield "no mail program that we know is here"


def _state_of(one: Found, args: argparse.Namespace) -> str:
    if one.name == "qmail":
        is_ours = qmail.look(args.root, one.place).original is not None
        return "integrated (queue)" if is_ours else "not integrated"
    record = kept.load(_folder(one.name, args))
    return f"integrated ({record.wish.way})" if record else "not integrated"


def _integrate(args: argparse.Namespace) -> Iterator[str]:
    one, asked = _found(args), _wish(args)
    if one.name == "qmail":
        changed = qmail.integrate(args.root, one.place, asked.program)
    else:
        _account(args.root, asked)
        changed = kept.integrate(_target(one, args.root), asked, _folder(one.name, args))
    yield f"{one.name}: {'integrated' if changed else 'is integrated so already'} ({asked.way})"
    yield from _left("kavfs.conf needs", told.settings(one, asked))
    yield from _left("then", told.commands(one, asked))


def _remove(args: argparse.Namespace) -> Iterator[str]:
    one = _found(args)
    if one.name == "qmail":
        changed = qmail.remove(args.root, one.place)
    else:
        changed = kept.remove(_target(one, args.root), _folder(one.name, args))
    yield f"{one.name}: {'nothing of ours is there any more' if changed else 'is not integrated'}"
    if changed:
        yield from _left("then", told.commands(one, None))


def _check(args: argparse.Namespace) -> Iterator[str]:
    one = _found(args)
    record = kept.load(_folder(one.name, args))
    asked = record.wish if record and not args.way else _wish(args)
    faults = list(_faults(one, asked, args))
    yield from (f"{one.name}: {fault}" for fault in faults)
    if not faults:
        yield _WHOLE


def _faults(one: Found, asked: Wish, args: argparse.Namespace) -> Iterator[str]:
    if one.name == "qmail":
        if not qmail.look(args.root, one.place).ours(asked.program):
            yield f"{one.place}/bin/{qmail.QUEUE} is no link to {asked.program} with {qmail.ORIGINAL} beside it"
    else:
        target = _target(one, args.root)
        yield from target.missing(target.current(), asked)
        yield from target.complaints()
    yield from _configured(one, asked, args)
    if told.is_started(asked.way) and not os.access(files.real(args.root, asked.program), os.X_OK):
        yield f"{asked.program} cannot be started"
    if args.root == "/" and one.name != "qmail":
        if not told.is_started(asked.way):
            yield from told.silent(asked.scanner, "smtpscanner")
        if asked.way != "milter":
            yield from told.silent(asked.back, one.name)


def _configured(one: Found, asked: Wish, args: argparse.Namespace) -> Iterator[str]:
    """What kavfs.conf says against it."""
    path = files.real(args.root, _configuration(args))
    try:
        settings = mail_configuration.load(os.fsencode(path))
    except ConfigError as error:
        yield str(error)
        return
    needed, given = told.forward(one, asked), str(settings.forward or "")
    yield from told.loops(one, asked, given)
    if needed and given != needed:
        yield f"ForwardMailer={given or '(none)'}, but judged mail comes back by {needed}"
    places = [f"{place.protocol or ('lmtp' if settings.lmtp else 'smtp')}:{Address(place.host, place.port)}"
              for place in settings.listen if place.host]  # fmt: skip
    if (place := told.listen(asked)) and place not in places:
        yield f"Listen lacks {place}"
    if asked.way == "milter" and asked.scanner not in [(place.host, place.port) for place in settings.milter]:
        yield f"MilterListen lacks inet:{asked.scanner}"


def _left(title: str, lines: list[str] | tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"    {line}" for line in lines)


def _found(args: argparse.Namespace) -> Found:
    one = found.find(args.mta, args.root, wish.plain_path(args.conf) if args.conf else "")
    if not one.place:
        raise Refused(f"no configuration of {args.mta} was found; --conf says where it is")
    return one


def _wish(args: argparse.Namespace) -> Wish:
    ways = told.WAYS[args.mta]
    way = args.way or ways[0]
    if way not in ways:
        raise UsageError(f"--way {way}: for {args.mta} there are {', '.join(ways)}")
    usual = wish.MILTER if way == "milter" else wish.SCANNER
    program = args.program or (qmail.PROGRAM if way == "queue" else _DEFAULTS.program)
    asked = Wish(
        way,
        wish.address(args.scanner) if args.scanner else usual,
        wish.address(args.back) if args.back else wish.BACK,
        wish.plain_path(program),
        wish.plain_path(_configuration(args)),
        wish.account(args.user),
    )
    if asked.scanner == asked.back:
        raise UsageError("--scanner and --back are the same: mail would go round in a loop")
    return asked


def _configuration(args: argparse.Namespace) -> str:
    return os.fsdecode(absolute(os.fsencode(args.config)) if args.config else usual_configuration())


def _account(root: str, asked: Wish) -> None:
    """Mail programs start nothing as somebody who is not there."""
    known = [line.partition(b":")[0] for line in (files.read(root, "/etc/passwd") or b"").split(b"\n")]
    if asked.way in ("spawn", "command") and asked.user.encode() not in known:
        raise Refused(f"there is no account {asked.user} to start {asked.program} as; --user names another one")


def _folder(name: str, args: argparse.Namespace) -> str:
    return files.real(args.root, f"{os.path.join('/', args.state)}/mta/{name}")


def _target(one: Found, root: str) -> kept.Target:
    if one.name == "exim":
        return targets.Exim(root, one.place, one.form)
    return targets.Postfix(root, one.place) if one.name == "postfix" else targets.Sendmail(root, one.place)
