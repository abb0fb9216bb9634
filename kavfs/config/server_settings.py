"""Settings of aveserver: what the configuration file can say to it, as one frozen value with its defaults."""

from __future__ import annotations

from typing import NamedTuple

from kavfs.config.settings import Settings

Addresses = tuple[tuple[str, int], ...]  # hosts and ports


class ServerSettings(NamedTuple):
    """One field per key of its own; what it has in common with kavscanner stands in ``scan``."""

    scan: Settings = Settings(report_ok=False)
    ave_socket: bytes | None = b""  # b"" = the usual place; None = there is none
    clamd_socket: bytes | None = b""
    status_socket: bytes | None = b""  # b"" = beside the first of them
    pid_file: bytes = b""  # b"" = the usual place, and none with --foreground
    state: bytes = b""  # b"" = the usual place
    ave_tcp: Addresses = ()
    clamd_tcp: Addresses = ()
    ave_tls: Addresses = ()
    clamd_tls: Addresses = ()
    metrics: Addresses = ()
    socket_mode: int = 0o666
    socket_group: str = ""  # "" = that of the daemon
    any_local_user: bool = False
    path_folders: tuple[bytes, ...] = ()
    tls_certificate: bytes = b""
    tls_key: bytes = b""  # b"" = in the file of the certificate
    tls_clients: bytes = b""  # b"" = clients need none
    connections: int = 1000
    connections_client: int = 200  # 0 = any
    stream_max: int = 100 << 20
    idle: float = 600.0  # 0 = for ever
    stall: float = 30.0
    send: float = 30.0
    jobs: int = 0  # 0 = one for each core
    objects_max: int = 0  # 0 = two for each process
    queue_max: int = 1000
    queue_max_client: int = 500
    deadline: float = 120.0  # 0 = none
    alert_protected: bool = False
    alert_unscanned: bool = False
    allow_shutdown: bool = False
    watch: bool = True
    drain: float = 30.0
    report_json: bool = False
