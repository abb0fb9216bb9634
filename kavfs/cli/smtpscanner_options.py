"""Options of smtpscanner: what its command line and the configuration file say together.

Options win over the file. ``definitions()`` is what --help, the manual page and completions of shells are made of.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from kavfs.cli.daemon_options import (
    NATIVE_ALONE,
    Parser,
    add_configuration,
    add_rest,
    add_signatures,
    configured,
    databases_of,
    engine_places,
    jobs_of,
    path_of,
    scan_options,
)
from kavfs.cli.serving import RUN
from kavfs.config import mail as configuration
from kavfs.config import mail_combinations, mail_kinds
from kavfs.config.mail_settings import MailSettings, Place
from kavfs.daemon.settings import Listener
from kavfs.errors import ConfigError, UsageError
from kavfs.model import Switch
from kavfs.options import EngineChoice, EnginePlaces
from kavfs.record import replace
from kavfs.scan.shift import ServiceSettings

SOCKET = RUN + b"/smtpscanner"
STATUS_SOCKET = b"smtpscanner.status"  # beside it
PID_FILE = RUN + b"/smtpscanner.pid"
RELAY, MILTER = "relay", "milter"  # names of listeners that are neither smtp nor lmtp


class _Rights(TypedDict):
    mode: int
    owner: str
    group: str


@dataclass(frozen=True)
class Wanted:
    """What is to be done."""

    task: str  # "help", "version", "serve", "converse"
    settings: MailSettings = field(default_factory=MailSettings)
    databases: tuple[bytes, ...] = ()  # none: the usual places
    foreground: bool = False
    configuration: bytes = b""  # the file; b"" = there is none

    @property
    def state(self) -> bytes:
        return self.settings.state

    def listeners(self) -> tuple[Listener, ...]:
        """Where clients connect. Their protocol is "smtp", "lmtp", RELAY or MILTER."""
        s = self.settings
        usual = "lmtp" if s.lmtp else "smtp"
        found = [self._listener(place, usual) for place in s.listen]
        found += [self._listener(place, MILTER) for place in s.milter]
        if s.socket is not None:
            found.append(Listener(RELAY, s.socket or SOCKET, **self._rights()))
        return tuple(found)

    def _listener(self, place: Place, usual: str) -> Listener:
        return Listener(
            place.protocol or usual,
            os.fsencode(place.path),
            place.host,
            place.port,
            **self._rights(),
        )

    def _rights(self) -> _Rights:
        """Of UNIX sockets, which root makes for whom the daemon goes on as."""
        s = self.settings
        return {"mode": s.socket_mode, "owner": s.user, "group": s.socket_group or s.group}

    def status(self) -> Listener | None:
        """Where `kavfs status` asks."""
        path = status_path(self.settings)
        return Listener("status", path, mode=0o600) if path else None

    def metrics(self) -> tuple[Listener, ...]:
        return tuple(Listener("metrics", host=host, port=port) for host, port in self.settings.metrics)

    def service(self, state: bytes, engines: EngineChoice = NATIVE_ALONE) -> ServiceSettings:
        """What the core is given. *state*: the folder that is used."""
        s = self.settings
        options = scan_options(s.scan, s.jobs)
        options = replace(options, switches=options.switches | Switch.MAILPLAIN)  # or no part would be scanned
        return ServiceSettings(
            options, state, engines, cache=s.scan.cache, cache_size=s.scan.object_cache_size, known=0, deadline=0.0
        )

    def places(self, state: bytes) -> EnginePlaces:
        """Where engines look for what they need."""
        return engine_places(self.databases, state, self.settings.scan)


def status_path(settings: MailSettings) -> bytes:
    """Where `kavfs status smtpscanner` asks; b"" = nowhere."""
    if settings.status_socket is None or settings.status_socket:
        return settings.status_socket or b""
    return os.path.join(os.path.dirname(settings.socket or SOCKET), STATUS_SOCKET)


def definitions() -> argparse.ArgumentParser:
    parser = Parser("smtpscanner")
    add = parser.add_argument
    add_configuration(parser)
    add(
        "--listen",
        action="append",
        nargs="?",
        const="",
        metavar="PLACE",
        help="be a daemon, on smtp:HOST:PORT, lmtp:HOST:PORT, smtp:/PATH or lmtp:/PATH; without one, where the "
        "configuration says; may be repeated",
    )
    add("--foreground", action="store_true", help="stay in the foreground; under systemd a daemon does so by itself")
    add_signatures(parser)
    add_rest(parser)
    return parser


def usage() -> str:
    return definitions().format_help()


def read_options(words: Sequence[bytes]) -> Wanted:
    """What *words* and the configuration come to; UsageError or ConfigError."""
    given = definitions().parse_args([os.fsdecode(word) for word in words])
    if given.help or given.version:
        return Wanted("help" if given.help else "version")
    path, settings = configured(given.config, configuration.load, MailSettings())
    if any(given.listen or ()):
        settings = settings._replace(listen=tuple(_places(given.listen)))
        for loop in mail_combinations.loops(settings, {}):
            raise ConfigError(loop)
    if given.state is not None:
        settings = settings._replace(state=path_of("--state", given.state))
    if given.jobs is not None:
        settings = settings._replace(jobs=jobs_of(given.jobs))
    databases = databases_of(given.db, settings.scan)
    task = "converse" if given.listen is None else "serve"
    return Wanted(task, settings, databases, given.foreground, path)


def _places(words: Sequence[str]) -> Iterator[Place]:
    for word in words:
        try:
            yield from mail_kinds.PLACES.read(os.fsencode(word))
        except ValueError as error:
            raise UsageError(f"option --listen: {error}") from None
