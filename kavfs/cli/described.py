"""Described: every program of ours with its commands and options as plain values, from the definitions that the
programs themselves read. Manual pages and completion of shells are made of this; no program imports it.
"""

from __future__ import annotations

import argparse
import importlib
from typing import NamedTuple

from kavfs.cli import aveserver_options, smtpscanner_options
from kavfs.cli.arguments import OPTIONS
from kavfs.cli.kavfs import COMMANDS

KAVSCANNER = "kavscanner"
KAVFS = "kavfs"
AVESERVER = "aveserver"
AVECLIENT = "aveclient"
SMTPSCANNER = "smtpscanner"

# Commands that read their words without argparse: what stands behind them.
_PLAIN = {"demo": "DIR", "help": "COMMAND"}


_SHORT = 40  # characters of choices that are written out in a line of usage


class Argument(NamedTuple):
    """An option, or (without spellings) a word in its place."""

    name: str
    spellings: tuple[str, ...]  # with their hyphens
    value: str  # what its argument is called; "" = it has none
    help: str
    choices: tuple[str, ...] = ()


class Command(NamedTuple):
    """What can be called: a program, or one of its commands that has no commands below."""

    words: tuple[str, ...]  # ("kavfs", "db", "info")
    usage: str  # the words and what may follow them
    help: str
    arguments: tuple[Argument, ...]

    @property
    def options(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if argument.spellings)

    @property
    def places(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if not argument.spellings)


def kavscanner() -> Command:
    """The scanner, from its table of options."""
    options = []
    for option in OPTIONS:
        letters = [f"-{option.letter}{kind}" for kind in option.kinds or ("",)] if option.letter else []
        spellings = (*letters, *([option.word] if option.word else []))
        options.append(Argument(option.name, spellings, option.value, option.help))
    path = Argument("path", (), "PATH", "a file or a directory")
    return Command((KAVSCANNER,), f"{KAVSCANNER} [OPTION ...] [PATH ...]", "", (*options, path))


def aveclient() -> Command:
    """The client in C (ext/aveclient); its own help says the same, and a test compares them."""
    options = (
        Argument("scan", ("-s",), "", "scan the files, which aveserver opens with your rights"),
        Argument("socket", ("-p",), "SOCKET", "socket of aveserver"),
        Argument("conf", ("-c",), "FILE", "take the socket from this configuration"),
        Argument("time", ("-t",), "SECONDS", "how long to wait for the answer about one file (300)"),
        Argument("version", ("-v", "--version"), "", "show the version and end"),
        Argument("help", ("-h", "--help"), "", "show this and end"),
    )
    path = Argument("path", (), "PATH", "a file")
    return Command((AVECLIENT,), f"{AVECLIENT} [-p SOCKET] [-t SECONDS] -s FILE ...", "", (*options, path))


def aveserver() -> Command:
    """The service."""
    (command,) = _commands(aveserver_options.definitions(), (AVESERVER,), "")
    return command


def smtpscanner() -> Command:
    """The mail service."""
    (command,) = _commands(smtpscanner_options.definitions(), (SMTPSCANNER,), "")
    return command


def kavfs() -> tuple[Command, ...]:
    """The commands of kavfs, each with those below it, in the order of its help."""
    found: list[Command] = []
    for name, help_ in COMMANDS.items():
        if name in _PLAIN:
            value = _PLAIN[name]
            choices = tuple(COMMANDS) if value == "COMMAND" else ()
            shown = f"[{value}]" if choices else value
            place = Argument(value.lower(), (), value, "", choices)
            found.append(Command((KAVFS, name), f"{KAVFS} {name} {shown}", help_, (place,)))
            continue
        subparsers = argparse.ArgumentParser(prog=KAVFS).add_subparsers()
        importlib.import_module(f"kavfs.cli.{name}").add_parser(subparsers)
        found += _commands(subparsers.choices[name], (KAVFS, name), help_)
    return tuple(found)


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...], help_: str) -> list[Command]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        parser.formatter_class = _Wide
        for action in parser._actions:
            if action.choices and len("|".join(map(str, action.choices))) > _SHORT:
                action.metavar = action.metavar or action.dest.upper()
        usage = " ".join(parser.format_usage().removeprefix("usage: ").replace(" [-h]", "").split())
        arguments = [_argument(action) for action in parser._actions if not isinstance(action, argparse._HelpAction)]
        return [Command(words, usage, help_, tuple(arguments))]
    helps = {choice.dest: choice.help or "" for choice in below[0]._choices_actions}
    found = []
    for name, inner in below[0].choices.items():
        found += _commands(inner, (*words, name), helps.get(name, ""))
    return found


class _Wide(argparse.HelpFormatter):
    """Usage on one line, however long."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=10_000)


def _argument(action: argparse.Action) -> Argument:
    takes = action.nargs != 0
    choices = tuple(str(choice) for choice in action.choices or ())
    metavar = action.metavar if isinstance(action.metavar, str) else None
    value = (metavar or ("|".join(choices) if choices else action.dest.upper())) if takes else ""
    return Argument(action.dest, tuple(action.option_strings), value, (action.help or "").replace("%%", "%"), choices)
