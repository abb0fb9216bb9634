"""kavfs status: what a running aveserver or smtpscanner does: requests or mail, queue, processes, signatures."""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from kavfs.cli import aveserver_options
from kavfs.cli.program import answer
from kavfs.cli.request import absolute
from kavfs.errors import SystemFailure, UsageError
from kavfs.report.names import shown_text
from kavfs.report.summary import counted, human

PROGRAMS = ("aveserver", "smtpscanner")
PATIENCE = 10.0  # seconds
ANSWER_MAX = 1 << 20

Tree = dict[str, Any]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``status``; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("status", help="what a running daemon does", description=__doc__)
    parser.add_argument("program", nargs="?", choices=PROGRAMS, default=PROGRAMS[0], help="which (default: aveserver)")
    parser.add_argument("--json", action="store_true", help="one object of JSON on one line")
    parser.add_argument("--socket", metavar="SOCKET", help="its StatusSocketPath (default: as the configuration says)")
    parser.add_argument("-c", dest="config", metavar="FILE", help="its configuration")


def run(args: argparse.Namespace) -> int:
    """0; a SystemFailure says that no daemon answers."""
    said = _ask(args.program, _place(args))
    output = answer()
    if args.json:
        output.write(said + b"\n")
    else:
        for line in _lines(_parsed(said), time.time()):
            output.write(line.encode("utf-8", "backslashreplace") + b"\n")
    output.flush()
    return 0


def _place(args: argparse.Namespace) -> bytes:
    if args.socket is not None:
        if not args.socket:
            raise UsageError("option --socket needs an argument")
        return absolute(os.fsencode(args.socket))
    words = [b"-c", os.fsencode(args.config)] if args.config else []
    if args.program == "smtpscanner":
        from kavfs.cli import smtpscanner_options

        path = smtpscanner_options.status_path(smtpscanner_options.read_options(words).settings)
    else:
        path = aveserver_options.status_path(aveserver_options.read_options(words).settings)
    if not path:
        raise UsageError(f"StatusSocketPath=no: {args.program} tells nobody what it does")
    return path


def _ask(program: str, path: bytes) -> bytes:
    shown = shown_text(os.fsdecode(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        try:
            sock.connect(path)
            said = b""
            while (part := sock.recv(65536)) and len(said) < ANSWER_MAX:
                said += part
        except (FileNotFoundError, ConnectionRefusedError):
            raise SystemFailure(f"{program} is not running: nobody listens on {shown}") from None
        except PermissionError:
            raise SystemFailure(f"only root and the user of {program} may ask it: {shown}") from None
        except OSError as error:
            raise SystemFailure(f"{program} does not answer on {shown}: {error.strerror or error}") from None
    if not said.endswith(b"\n"):
        raise SystemFailure(f"{program} does not tell us on {shown}: is it another user's?")
    return said[:-1]


def _parsed(said: bytes) -> Tree:
    try:
        tree: Tree = json.loads(said)
        return tree
    except ValueError:
        raise SystemFailure("what listens there is no daemon of ours") from None


def _lines(tree: Tree, now: float) -> Iterator[str]:
    yield f"{tree['program']} {tree['version']}, process {tree['pid']}, for {_span(now - tree['begun'])}"
    age = f"the newest database is {_span(now - tree['newest'])} old"
    yield f"Signatures: {tree['signatures']:,}, {age}, generation {tree['generation']}"
    yield f"Last change: {_change(tree, now)}"
    if "mail" in tree:
        yield from _mail(tree["mail"])
    for name, one in tree.get("protocols", {}).items():
        clients = counted(one["connections"], "client")
        yield f"Protocol {name}: {counted(one['requests'], 'request')}, {clients} connected"
        yield f"  Verdicts: {_listed(one['statuses'])}; {human(one['bytes'])}"
        if one["refusals"] or one["turned_away"]:
            away = {"connections turned away": one["turned_away"]} if one["turned_away"] else {}
            yield f"  Refused: {_listed(one['refusals'] | away)}"
        if number := sum(one["statuses"].values()):
            yield f"  Mean time: {1000 * one['seconds'] / number:.2f} ms"
    answered = tree["answered"]
    known, shared = _share(tree["cached"], answered), _share(tree["joined"], answered)
    yield f"Verdicts that were known: {known}, shared by requests: {shared}"
    yield f"Now: {tree['waiting']:,} waiting, {tree['in_scan']:,} in scan, {counted(tree['workers'], 'worker')}"
    yield f"Workers lost: {tree['deaths']:,}"
    if (events := tree["events"]) is not None and (events["lost"] or events["error"]):
        yield f"Findings that are in no event store: {events['lost']:,}; {shown_text(events['error'])}"


def _mail(mail: Tree) -> Iterator[str]:
    away = f", {mail['turned_away']:,} turned away" if mail["turned_away"] else ""
    yield f"Mail: {counted(mail['connections'], 'client')} connected of {mail['accepted']:,} so far{away}"
    yield f"  Messages: {_listed(mail['statuses'])}; {human(mail['bytes'])}"
    yield f"  Recipients: {_listed({name: mail[name] for name in ('delivered', 'settled', 'refused', 'deferred')})}"
    twice = {name: mail[name] for name in ("uncertain", "unheard", "repeated") if mail[name]}
    if twice:
        yield f"  Recipients that may get a message twice: {_listed(twice)}"
    if mail["quarantined"]:
        yield f"  In quarantine: {counted(mail['quarantined'], 'item')}"
    for role, outcomes in mail["notices"].items():
        yield f"  Notices, {role}: {_listed(outcomes)}"


def _change(tree: Tree, now: float) -> str:
    last = tree["reload"]
    if not last["at"]:
        return "none in this run"
    when = f"{_span(now - last['at'])} ago"
    if last["result"] == "failed":
        return f"failed {when}, what was in force stays: {shown_text(last['error'])}"
    return f"signatures {last['result']}, {when}"


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items()) or "none"


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f} %)" if whole else "none"


def _span(seconds: float) -> str:
    """A stretch of time in its largest unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return counted(int(seconds // length), unit)
    return counted(max(0, int(seconds)), "second")
