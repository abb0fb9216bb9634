"""Settings of the daemon as plain values: what command line and configuration came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from kavfs.temporary import USUAL


@dataclass(frozen=True)
class Listener:
    """One place where clients connect: a path of a UNIX socket, or a host and a port."""

    protocol: str  # "ave" or "clamd"
    path: bytes = b""
    host: str = ""
    port: int = 0
    mode: int = 0o660  # of a UNIX socket
    group: str = ""  # of a UNIX socket; "" = that of the daemon
    owner: str = ""  # of a UNIX socket, the same
    tls: bool = False  # TCP: with the certificates of Tls

    def __str__(self) -> str:
        return self.path.decode("utf-8", "backslashreplace") or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Tls:
    """Files in PEM."""

    certificate: str
    key: str
    clients: str = ""  # authorities of clients' certificates; "" = clients need none


@dataclass(frozen=True)
class FrontSettings:
    """What one front grants its clients. Times in seconds, sizes in bytes."""

    connections: int = 1000
    per_client: int = 200  # 0 = as many as there are
    line_max: int = 8192
    stream_max: int = 100 << 20
    memory_max: int = 1 << 20  # of one stream; what is more goes to a file
    idle: float = 600.0  # between requests of the aveserver protocol; 0 = for ever
    stall: float = 30.0
    send: float = 30.0
    spill_dir: bytes = USUAL


@dataclass(frozen=True)
class DaemonSettings:
    listeners: tuple[Listener, ...]
    front: FrontSettings = field(default_factory=FrontSettings)
    folders: tuple[bytes, ...] = ()  # below which TCP clients may name files
    everybody: bool = False  # without root: any local client may name what the daemon can read
    strict: bool = False  # clamd protocol: encrypted and damaged objects are FOUND
    alert_unscanned: bool = False  # aveserver's protocol: all that is not known as harmless is called infected
    shutdown: bool = False  # clamd's SHUTDOWN is obeyed, from root and from the daemon's own user
    drain: float = 30.0  # seconds that requests have when the daemon is told to end
    tls: Tls | None = None
    watch: bool = True  # take up changed signatures and settings without being told to
    max_load: float = 0.0  # load average from which on new requests are refused; 0 = any
    status: Listener | None = None  # where `kavfs status` asks; only root and the daemon's own user are answered
    metrics: tuple[Listener, ...] = ()  # where Prometheus collects
