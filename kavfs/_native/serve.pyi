"""The front of the service: sockets, framing, streams, passed descriptors, replies (ext/serve/serve.h says how)."""

from typing import NamedTuple

AVE: int
CLAMD: int

SCAN: int
CONTSCAN: int
MULTISCAN: int
ALLMATCHSCAN: int
INSTREAM: int  # with a descriptor: a sealed memory file, or one without a name that is open for reading only
FILDES: int  # with a descriptor; without: the argument says what is wrong with it
PING: int
VERSION: int
VERSIONCOMMANDS: int
RELOAD: int
SHUTDOWN: int
STATS: int
QUIT: int
UNKNOWN: int  # the argument is the line
TOO_LONG: int
TOO_LARGE: int
BROKEN: int  # the argument says why: b"no descriptor", b"several descriptors", b"no space"

FLIGHTS: int  # requests of a session of CLAMD that are open at a time
HIGH: int  # bytes that wait to be sent: from here on a caller holds back

# connection, number in it, verb, option, argument, descriptor or -1.
# Option: AVE: the letters; CLAMD: b"n", b"z" or b"", then b"s" in a session.
Request = tuple[int, int, int, bytes, bytes, int]

class Peer(NamedTuple):
    pid: int
    uid: int  # -1: not told
    gid: int
    groups: tuple[int, ...]
    address: bytes  # "ip port", what adopt() was told, or nothing

class Front:
    def __init__(
        self,
        *,
        connections: int,
        per_client: int,  # 0: no limit
        line_max: int,
        stream_max: int,
        memory_max: int,  # bytes of one stream that are held in memory
        spill_dir: bytes,
        idle_ms: int,  # 0: for ever
        stall_ms: int,
        send_ms: int,
        memory_total: int = ...,  # of all streams; what is more goes to spill_dir ...
        spill_total: int = ...,  # ... as long as there is room: then BROKEN
    ) -> None: ...
    def close(self) -> list[tuple[int, int]]: ...  # as unwanted()
    def fileno(self) -> int: ...  # readable when step() has something to do
    def listen(self, fd: int, protocol: int) -> None: ...  # taken over
    def adopt(self, fd: int, protocol: int, address: bytes | None = None) -> int: ...  # taken over; 0: no room
    def accepting(self, on: bool) -> None: ...
    def greet(self, protocol: int, text: bytes) -> None: ...
    def set_busy(self, protocol: int, text: bytes) -> None: ...
    def set_late(self, protocol: int, text: bytes) -> None: ...
    def step(self) -> None: ...
    def requests(self) -> list[Request]: ...  # descriptors are the caller's
    def unwanted(self) -> list[tuple[int, int]]: ...  # uid (-1: not known), descriptor that is the caller's
    def mute(self, uid: int, on: bool) -> bool: ...  # whether this user's descriptors are refused now
    def gone(self) -> list[int]: ...  # after requests(): connections that ended with requests unanswered
    def peer(self, connection: int) -> Peer: ...
    def reply(  # bytes that wait to be sent
        self, connection: int, number: int, text: bytes, last: bool, apart: bool = False
    ) -> int: ...
    def waits(self, connection: int) -> int: ...
    def end(self, connection: int) -> None: ...
    def counts(self) -> dict[str, int]: ...
