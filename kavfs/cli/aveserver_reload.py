"""Reload of aveserver: its configuration read again, and what of it can change while it serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from kavfs.cli.aveserver_options import Wanted, read_options
from kavfs.cli.serving import changed
from kavfs.daemon.renewing import Applied
from kavfs.daemon.server import Server
from kavfs.daemon.watching import Places
from kavfs.options import EngineChoice
from kavfs.scan.service import Service
from kavfs.signatures.sources import absolute, absolute_path, default_databases

_AT_START = (
    *("ave_socket", "clamd_socket", "pid_file", "state", "ave_tcp", "clamd_tcp", "ave_tls", "clamd_tls"),
    *("socket_mode", "socket_group", "any_local_user", "tls_certificate", "tls_key", "tls_clients"),
    *("connections", "connections_client", "stream_max", "idle", "stall", "send", "watch", "report_json"),
    *("status_socket", "metrics"),
)


class Reload:
    """Promises renewing.Settings. *words*: the command line, which wins now as it did at the start."""

    def __init__(
        self,
        words: Sequence[bytes],
        wanted: Wanted,
        state: bytes,
        engines: EngineChoice,
        daemon: Server,
        service: Service,
    ) -> None:
        self._words = words
        self._wanted = wanted
        self._state = state
        self._daemon = daemon
        self._service = service
        self._engines = engines

    def places(self, wanted: Wanted) -> Places:
        """What is to be watched for *wanted*."""
        databases = absolute(wanted.databases or default_databases())
        return Places(databases, absolute_path(self._state), wanted.configuration)

    def read(self) -> object:
        return read_options(self._words)

    def apply(self, read: object) -> Applied:
        wanted = cast(Wanted, read)
        before, self._wanted = self._wanted, wanted
        notes = tuple(f"{name} changes with a restart" for name in changed(before.settings, wanted.settings, _AT_START))
        self._daemon.change(wanted.daemon)
        service = wanted.service(self._state, self._engines)
        old = before.service(self._state, self._engines)
        self._service.change(service)
        crew = (service.options, service.cache, service.cache_size) != (old.options, old.cache, old.cache_size)
        return Applied(self.places(wanted), crew, notes)
