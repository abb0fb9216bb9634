"""Options that every daemon of ours has, and what the scan core is given by them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import NoReturn, TypeVar

from kavfs.cli.request import absolute, usual_configuration
from kavfs.config import values
from kavfs.config.settings import Settings
from kavfs.errors import UsageError
from kavfs.model import Switch
from kavfs.options import EngineChoice, EnginePlaces, ScanOptions, WalkOptions

NATIVE_ALONE = EngineChoice()

S = TypeVar("S")


class Parser(argparse.ArgumentParser):
    """Wrong words are a UsageError; nothing is printed."""

    def __init__(self, program: str) -> None:
        super().__init__(prog=program, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", dest="config", metavar="FILE", help="take settings from FILE instead of the usual place")


def add_signatures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--db",
        action="append",
        default=[],
        metavar="PATH",
        help="signatures: an image, or a folder of databases; may be repeated",
    )
    parser.add_argument("--state", metavar="DIR", help="where compiled signatures and the cache are kept")


def add_rest(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--jobs", metavar="N", help="scanning processes; 0 or nothing: one for each core")
    add("-v", "--version", action="store_true", help="print the version")
    add("-h", "--help", action="store_true", help="print this help")


def configured(named: str | None, load: Callable[[bytes], S], nothing: S) -> tuple[bytes, S]:
    """The file that is named, or the usual one if it is there, and what it says; else b"" and *nothing*."""
    path = path_of("-c", named) if named is not None else usual_configuration()
    if named is None and not os.path.lexists(path):
        return b"", nothing
    return path, load(path)


def databases_of(given: list[str], scan: Settings) -> tuple[bytes, ...]:
    """Where signatures are, by options or configuration; () = the usual places."""
    return tuple(path_of("--db", path) for path in given) or tuple(filter(None, (scan.databases,)))


def path_of(option: str, value: str) -> bytes:
    """Absolute; UsageError: it is empty."""
    if not value:
        raise UsageError(f"option {option} needs an argument")
    return absolute(os.fsencode(value))


def jobs_of(value: str) -> int:
    """Scanning processes; 0 = one for each core."""
    try:
        return values.whole(value, 0, 1024)
    except ValueError as error:
        raise UsageError(f"option --jobs: {error}") from None


def scan_options(scan: Settings, jobs: int) -> ScanOptions:
    """For objects that come one by one: clients say themselves when they want all matches."""
    switches = scan.switches & ~Switch.ALL_MATCH
    return ScanOptions(WalkOptions(()), scan.limits, switches, jobs=jobs, spill_dir=scan.temp)


def engine_places(databases: tuple[bytes, ...], state: bytes, scan: Settings) -> EnginePlaces:
    """Where engines look for what they need."""
    return EnginePlaces(databases, state, scan.clamav_databases, scan.clamd, scan.yara_rules)
