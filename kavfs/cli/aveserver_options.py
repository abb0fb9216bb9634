"""Options of aveserver: what its command line and the configuration file say together.

Options win over the file. ``definitions()`` is what --help, the manual page and completions of shells are made of.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
from kavfs.config import server as configuration
from kavfs.config.server_settings import Addresses, ServerSettings
from kavfs.daemon.settings import DaemonSettings, FrontSettings, Listener, Tls
from kavfs.options import EngineChoice, EnginePlaces
from kavfs.scan.shift import KNOWN, ServiceSettings

AVE_SOCKET = RUN + b"/aveserver"
CLAMD_SOCKET = RUN + b"/clamd.sock"
STATUS_SOCKET = b"aveserver.status"  # beside the first of them
PID_FILE = RUN + b"/aveserver.pid"
MEMORY_OF_A_STREAM = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What is to be done."""

    task: str  # "help", "version", "serve"
    settings: ServerSettings = field(default_factory=ServerSettings)
    databases: tuple[bytes, ...] = ()  # none: the usual places
    foreground: bool = False
    configuration: bytes = b""  # the file; b"" = there is none

    @property
    def state(self) -> bytes:
        return self.settings.state

    @property
    def daemon(self) -> DaemonSettings:
        """What the front end is given."""
        s = self.settings
        certificate = s.tls_certificate.decode("utf-8", "surrogateescape")
        tls = Tls(certificate, os.fsdecode(s.tls_key) or certificate, os.fsdecode(s.tls_clients))
        return DaemonSettings(
            listeners=tuple(_listeners(s)),
            front=FrontSettings(
                connections=s.connections,
                per_client=s.connections_client,
                stream_max=s.stream_max,
                memory_max=MEMORY_OF_A_STREAM,
                idle=s.idle,
                stall=s.stall,
                send=s.send,
                spill_dir=s.scan.temp,
            ),
            folders=s.path_folders,
            everybody=s.any_local_user,
            strict=s.alert_protected,
            alert_unscanned=s.alert_unscanned,
            shutdown=s.allow_shutdown,
            drain=s.drain,
            tls=tls if certificate else None,
            max_load=s.scan.max_load,
            watch=s.watch,
            status=_status(s),
            metrics=tuple(_tcp("metrics", s.metrics, tls=False)),
        )

    def service(self, state: bytes, engines: EngineChoice = NATIVE_ALONE) -> ServiceSettings:
        """What the core is given. *state*: the folder that is used."""
        s = self.settings
        options = scan_options(s.scan, s.jobs)
        return ServiceSettings(
            options,
            state,
            engines,
            cache=s.scan.cache,
            cache_size=s.scan.object_cache_size,
            known=KNOWN if s.scan.cache else 0,
            distrust_owners=s.scan.distrust_owners,
            objects_max=s.objects_max,
            queue_max=s.queue_max,
            queue_max_client=s.queue_max_client,
            deadline=s.deadline,
        )

    def places(self, state: bytes) -> EnginePlaces:
        """Where engines look for what they need."""
        return engine_places(self.databases, state, self.settings.scan)


def _listeners(settings: ServerSettings) -> Iterator[Listener]:
    """What is to be listened on, sockets that systemd hands over instead left out later."""
    for protocol, path, usual in (
        ("ave", settings.ave_socket, AVE_SOCKET),
        ("clamd", settings.clamd_socket, CLAMD_SOCKET),
    ):
        if path is not None:
            yield Listener(protocol, path or usual, mode=settings.socket_mode, group=settings.socket_group)
    yield from _tcp("ave", settings.ave_tcp, tls=False)
    yield from _tcp("clamd", settings.clamd_tcp, tls=False)
    yield from _tcp("ave", settings.ave_tls, tls=True)
    yield from _tcp("clamd", settings.clamd_tls, tls=True)


def status_path(settings: ServerSettings) -> bytes:
    """Where `kavfs status` asks; b"" = nowhere."""
    if settings.status_socket is None or settings.status_socket:
        return settings.status_socket or b""
    sockets = ((settings.ave_socket, AVE_SOCKET), (settings.clamd_socket, CLAMD_SOCKET), (b"", AVE_SOCKET))
    first = next(path or usual for path, usual in sockets if path is not None)
    return os.path.join(os.path.dirname(first), STATUS_SOCKET)


def _status(settings: ServerSettings) -> Listener | None:
    path = status_path(settings)
    return Listener("status", path, mode=0o600) if path else None


def _tcp(protocol: str, addresses: Addresses, *, tls: bool) -> Iterator[Listener]:
    for host, port in addresses:
        yield Listener(protocol, host=host, port=port, tls=tls)


def definitions() -> argparse.ArgumentParser:
    parser = Parser("aveserver")
    add = parser.add_argument
    add_configuration(parser)
    add("--foreground", action="store_true", help="stay in the foreground; under systemd it does so by itself")
    add_signatures(parser)
    add("--ave-socket", metavar="SOCKET", help="socket of the aveserver protocol (/run/kavfs/aveserver)")
    add("--clamd-socket", metavar="SOCKET", help="socket of clamd's protocol (/run/kavfs/clamd.sock)")
    add_rest(parser)
    return parser


def usage() -> str:
    return definitions().format_help()


def read_options(words: Sequence[bytes]) -> Wanted:
    """What *words* and the configuration come to; UsageError or ConfigError."""
    given = definitions().parse_args([os.fsdecode(word) for word in words])
    if given.help or given.version:
        return Wanted("help" if given.help else "version")
    path, settings = configured(given.config, configuration.load, ServerSettings())
    if given.ave_socket is not None:
        settings = settings._replace(ave_socket=path_of("--ave-socket", given.ave_socket))
    if given.clamd_socket is not None:
        settings = settings._replace(clamd_socket=path_of("--clamd-socket", given.clamd_socket))
    if given.state is not None:
        settings = settings._replace(state=path_of("--state", given.state))
    if given.jobs is not None:
        settings = settings._replace(jobs=jobs_of(given.jobs))
    databases = databases_of(given.db, settings.scan)
    return Wanted("serve", settings, databases, given.foreground, path)
