"""Options of aveserver: what its command line says."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from kavfs.daemon.settings import DaemonSettings, Listener
from kavfs.errors import UsageError
from kavfs.limits import Limits
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.scan.shift import ServiceSettings

RUN = b"/run/kavfs"


@dataclass(frozen=True)
class Wanted:
    """What is to be done."""

    task: str  # "help", "version", "serve"
    databases: tuple[bytes, ...] = ()
    state: bytes = b""
    jobs: int = 0
    daemon: DaemonSettings = field(default_factory=lambda: DaemonSettings(()))

    def service(self, state: bytes) -> ServiceSettings:
        options = ScanOptions(WalkOptions(()), Limits(), EVERYTHING, jobs=self.jobs)
        return ServiceSettings(options, state)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="aveserver", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this and end")
    parser.add_argument("-v", "--version", action="store_true", help="show the version and end")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground")
    parser.add_argument("-c", dest="config", metavar="FILE", help="take settings from FILE")
    parser.add_argument("--db", action="append", default=[], metavar="PATH", help="a folder of databases, or one")
    parser.add_argument("--state", default="", metavar="DIR", help="where compiled signatures and caches are kept")
    parser.add_argument("--ave-socket", metavar="PATH", help="socket of the aveserver protocol")
    parser.add_argument("--clamd-socket", metavar="PATH", help="socket of the clamd protocol")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="scanning processes; 0 = one for each core")
    return parser


def usage() -> str:
    return _parser().format_help()


def read_options(words: Sequence[bytes]) -> Wanted:
    given = _parser().parse_args([os.fsdecode(word) for word in words])
    if given.help or given.version:
        return Wanted("help" if given.help else "version")
    listeners = [
        Listener(protocol, os.fsencode(path or RUN + b"/" + name))
        for protocol, path, name in (
            ("ave", given.ave_socket, b"aveserver"),
            ("clamd", given.clamd_socket, b"clamd.sock"),
        )
    ]
    return Wanted(
        "serve",
        tuple(os.fsencode(path) for path in given.db),
        os.fsencode(given.state),
        given.jobs,
        DaemonSettings(tuple(listeners)),
    )
