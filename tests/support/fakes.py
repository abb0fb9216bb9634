"""Fakes around a scan: an image without signatures, a report that remembers, and a worker in Python.

The fake worker speaks the real wire and finds what the bytes of an object say: EVIL makes it infected, and each word of
DEEDS does something that no honest worker would do. It lets tests drive dispatcher and fork server without the matcher.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kavfs.engine.contract import Budget, EngineFailed, Finding, Offer, Setup
from kavfs.errors import DatabaseDamaged, SystemFailure
from kavfs.limits import Limits
from kavfs.model import Reason, Result, Skip, Status, Threat, Totals
from kavfs.options import EnginePlaces, EngineUse, ScanOptions, WalkOptions, When
from kavfs.ports import Delta, ImagePart
from kavfs.scan import roles
from kavfs.scan.control import Message
from kavfs.scan.crew import Crew
from kavfs.scan.forkserver import ForkServer, Parts, Role
from kavfs.scan.job import Job
from kavfs.scan.records import Known

WORK = struct.Struct("=IIQ")
RESULTS = struct.Struct("=IIQII")
RESULT = struct.Struct("=IBBHIIQQIIQQ32sqqQQ16x")
NOTE = struct.Struct("=IIQQIBBBB")
WORK_MAGIC, RESULT_MAGIC = 0x4B52574B, 0x5345524B
LAST, MORE, STABLE, ELSEWHERE = 1, 1, 1 << 4, 1 << 9
NO_OFFSET = 2**64 - 1


class NoImage:
    """ports.Image with nothing in it."""

    parts: tuple[ImagePart, ...] = ()
    deltas: tuple[Delta, ...] = ()
    delta_table = b""
    generation = bytes(16)
    signature_count = 0
    newest = 0.0
    demonstration = True
    kinds: dict[str, int] = {}  # noqa: RUF012  # of nobody

    def close(self) -> None: ...


@dataclass
class Notebook:
    """ports.Report that remembers everything."""

    wants_clean: bool = True
    results: list[Result] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    totals: Totals | None = None

    def add(self, result: Result) -> None:
        self.results.append(result)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        self.results.extend(Known(directory, names, sizes).results())

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        self.results.extend(results())

    def skip(self, skip: Skip) -> None:
        self.skips.append(skip)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self, totals: Totals) -> None:
        self.totals = totals

    def of(self, path: os.PathLike[str] | str) -> Result:
        """The one verdict on a path; it is an error when there are none or two."""
        (found,) = [r for r in self.results if r.path == os.fsencode(path)]
        return found

    def verdicts(self) -> list[tuple[bytes, str, tuple[str, ...]]]:
        """What must not depend on the order of things."""
        return sorted((r.path, r.status.name, tuple(t.name for t in r.threats)) for r in self.results)


Deed = Callable[["Peer"], object]
Run = Callable[[Message, list[int], Parts], None]

# ---- the worker ------------------------------------------------------------------------------------------------------


@dataclass
class Peer:
    """What a deed gets: the batch in hand and the means to answer."""

    sock: socket.socket
    slot: mmap.mmap
    batch: int
    count: int
    index: int
    fd: int

    def record(
        self, status: int = 0, notes: bytes = b"", note_count: int = 0, offset: int = 0, **changes: int
    ) -> bytes:
        st = os.fstat(self.fd)
        values = {"index": self.index, "target": 0, "format": 2, "reasons": 0, "ino": st.st_ino} | changes
        dev = os.major(st.st_dev) << 32 | os.minor(st.st_dev)
        length = values.get("length", len(notes))
        flags = values.get("flags", STABLE)
        return RESULT.pack(
            values["index"], status, values["target"], values["format"], values["reasons"], flags, st.st_size,
            st.st_size, 0, note_count, 0, length, bytes(32), st.st_mtime_ns, st.st_ctime_ns, dev, values["ino"],
        )  # fmt: skip

    def send(self, *records: bytes, payload: bytes = b"", last: bool = False, batch: int | None = None) -> None:
        batch = self.batch if batch is None else batch
        header = RESULTS.pack(RESULT_MAGIC, len(records), batch, LAST if last else 0, len(payload))
        self.sock.send(header + b"".join(records) + payload)


def note(name: bytes, member: bytes = b"", status: int = 1, *, reasons: int = 0, container: bool = False) -> bytes:
    text = name + member
    return (
        NOTE.pack(len(name), len(member), NO_OFFSET, 0, reasons, status, 0, container, 0) + text + bytes(-len(text) % 8)
    )


def send_bytes(data: bytes) -> Deed:
    return lambda peer: peer.sock.send(data)


def with_note(raw: bytes, **changes: int) -> Deed:
    return lambda peer: peer.send(peer.record(1, raw, 1, **changes), payload=raw)


def changed(**changes: int) -> Deed:
    return lambda peer: peer.send(peer.record(**changes))


def answer_twice(peer: Peer) -> None:
    peer.send(peer.record())
    peer.send(peer.record())


def call_clean_what_was_infected(peer: Peer) -> None:
    """The finding goes ahead in a message of its own."""
    raw = note(b"X")
    peer.send(peer.record(0, raw, 1, flags=MORE), payload=raw)
    peer.send(peer.record())


def flood(peer: Peer) -> None:
    socket.send_fds(peer.sock, [RESULTS.pack(RESULT_MAGIC, 0, peer.batch, LAST, 0)], [peer.fd] * 200)


def hang(peer: Peer) -> None:
    while True:
        signal.pause()


def close_and_hang(peer: Peer) -> None:
    peer.sock.close()
    hang(peer)


def work_forever(peer: Peer) -> None:
    while True:
        beat, _, handled = struct.unpack_from("=QQQ", peer.slot)
        struct.pack_into("=QQQ", peer.slot, 0, beat + 1, peer.batch, handled + (1 << 40))
        time.sleep(0.01)


DEEDS: dict[bytes, Deed] = {
    b"DO-ABORT": lambda peer: os.abort(),
    b"DO-EXIT": lambda peer: os._exit(3),
    b"DO-KILL": lambda peer: os.kill(os.getpid(), signal.SIGKILL),
    b"DO-HANG": hang,
    b"DO-SPIN": work_forever,
    b"DO-CLOSE": close_and_hang,
    b"DO-GARBAGE": send_bytes(b"\xff" * 500),
    b"DO-SHORT": send_bytes(b"KRES"),
    b"DO-PICKLE": send_bytes(pickle.dumps({"status": "clean"})),
    b"DO-LONG": send_bytes(bytes(170_000)),
    b"DO-GIANT": lambda peer: peer.sock.send(RESULTS.pack(RESULT_MAGIC, 1, peer.batch, 1, 0xFFFFFFF8)),
    b"DO-COUNT": lambda peer: peer.sock.send(RESULTS.pack(RESULT_MAGIC, 0xFFFFFFFF, peer.batch, 1, 0)),
    b"DO-FLOOD": flood,
    b"DO-TWICE": answer_twice,
    b"DO-FOREIGN": lambda peer: peer.send(peer.record(), batch=peer.batch + 1),
    b"DO-INDEX": changed(index=64),
    b"DO-INODE": changed(ino=1),
    b"DO-TARGET": changed(target=8),
    b"DO-FORMAT": changed(format=60000),
    b"DO-REASON": changed(reasons=1 << 14),
    b"DO-FLAGS": changed(flags=1 << 20),
    b"DO-STATUS": lambda peer: peer.send(peer.record(77)),
    b"DO-CURED": lambda peer: peer.send(peer.record(7)),
    b"DO-PARTIAL-CLEAN": changed(reasons=1),
    b"DO-INFECTED-CLEAN": lambda peer: peer.send(peer.record(0, note(b"X"), 1), payload=note(b"X")),
    b"DO-INFECTED-MORE-CLEAN": call_clean_what_was_infected,
    b"DO-NUL": with_note(note(b"Bad\0Name")),
    b"DO-NOTE-LONG": with_note(NOTE.pack(0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0, 1, 0, 0, 0)),
    b"DO-NOTE-PAST": with_note(note(b"Name"), length=1 << 40),
    b"DO-NOTE-ENGINE": with_note(NOTE.pack(8, 0, 0, 0, 0, 1, 9, 0, 0) + b"ABCDEFGH"),
    b"DO-NOTE-SPARE": with_note(note(b"Name") + bytes(8)),
    b"DO-LAST-EARLY": lambda peer: peer.send(last=True),
    b"DO-NOTHING": lambda peer: peer.send(),
}


def serve(sock: socket.socket, slot: mmap.mmap) -> None:
    """Answer batches until the other end closes."""
    while True:
        data, fds, _, _ = socket.recv_fds(sock, 4096, 64)
        if not data:
            return
        magic, count, batch = WORK.unpack_from(data)
        assert magic == WORK_MAGIC
        assert count == len(fds)
        for index, fd in enumerate(fds):
            scan(Peer(sock, slot, batch, count, index, fd))
        struct.pack_into("=II", slot, 32, 0, 0)
        sock.send(RESULTS.pack(RESULT_MAGIC, 0, batch, LAST, 0))
        for fd in fds:
            os.close(fd)


def scan(peer: Peer) -> None:
    beat = struct.unpack_from("=Q", peer.slot)[0]
    struct.pack_into("=QQQ", peer.slot, 0, beat + 1, peer.batch, 0)
    struct.pack_into("=II", peer.slot, 32, peer.index, 1)
    content = os.pread(peer.fd, 4096, 0)
    for word, deed in DEEDS.items():
        if word == content.split(b" ", 1)[0]:
            deed(peer)
    if b"EVIL" in content:
        more, threat = note(b"", b"inside", 0), note(b"Test.Evil")
        peer.send(peer.record(0, more, 1, flags=MORE), payload=more)
        peer.send(peer.record(1, threat, 1), payload=threat)
    else:
        peer.send(peer.record(flags=STABLE | (ELSEWHERE if b"ELSEWHERE" in content else 0)))


def run_fake_worker(setup: Message, fds: list[int], parts: Parts) -> None:
    """In place of roles.run_worker, sandbox included."""
    socket_fd, slot_fd, _ = fds
    roles.enter(setup, parts)
    with socket.socket(fileno=socket_fd) as sock, mmap.mmap(slot_fd, 64) as slot:
        roles.greet(socket_fd)
        serve(sock, slot)


# ---- another engine -------------------------------------------------------------------------------------------------


class FakeEngine:
    """An engine (kavfs.engine.contract) that finds what the bytes of an object say; its module is this class, too."""

    def __init__(self, setup: Setup) -> None:
        self._name = setup["name"]
        self._known = setup.get("finds", "EVIL").encode()

    @staticmethod
    def offer(places: EnginePlaces) -> Offer:
        return Offer("fake 1", setup={"name": "clamav"})

    @classmethod
    def make(cls, setup: Setup) -> FakeEngine:
        if setup.get("broken"):
            raise SystemFailure("there is no such server")
        if setup.get("damaged"):
            raise DatabaseDamaged("/databases: makes no sense")
        return cls(setup)

    folder = b""

    def begin(self) -> None: ...

    def scan(self, fd: int, size: int, budget: Budget) -> Finding:
        content = os.read(fd, 4096)
        budget.tell(len(content))
        assert budget.left > 0
        if b"E-ABORT" in content:
            os.abort()
        if b"E-HANG" in content:
            signal.pause()
        if b"E-FAIL" in content:
            raise EngineFailed
        if b"E-EAT" in content:
            bytearray(3 << 30)
        if b"E-PART" in content:
            return Finding(reasons=Reason.SIZE, scanned=7)
        if b"E-MANY" in content:
            return Finding(tuple(Threat(f"Fake.{n:05d}" + "x" * 60, Status.INFECTED, self._name) for n in range(4000)))
        if self._known in content:
            return Finding((Threat("Fake.Evil", Status.INFECTED, self._name, b"inside", 3),))
        return Finding()

    def close(self) -> None: ...


def run_fake_engine(setup: Message, fds: list[int], parts: Parts) -> None:
    """In place of roles.run_engine: any engine is the fake one, sandbox and serve loop are real."""
    roles.serve_engine(FakeEngine, setup, fds)  # type: ignore[arg-type]  # a class in the place of a module


def fake_use(name: str, when: When = When.EVERY, **setup: object) -> EngineUse:
    """The fake engine in the place of the engine called *name*."""
    own = {"name": name, **setup}
    return EngineUse(name, when, f"fake {name} 1", own, jobs=1, memory=1 << 30, start_seconds=20)


def fake_server(worker: Run = run_fake_worker, walker: Run = roles.run_walker) -> ForkServer:
    """A fork server with real walkers and fake workers, unless told otherwise."""
    return ForkServer(
        {"walker": Role(walker), "worker": Role(worker, takes_image=True), "engine": Role(run_fake_engine)}
    )


# ---- a scan ----------------------------------------------------------------------------------------------------------


def options(*paths: os.PathLike[str] | str, jobs: int = 2, limits: Limits = Limits(), **more: object) -> ScanOptions:  # noqa: B008
    walk = WalkOptions(roots=tuple(os.fsencode(path) for path in paths))
    return ScanOptions(walk, limits, jobs=jobs, **more)  # type: ignore[arg-type]


def fake_scan(*paths: os.PathLike[str] | str, wants_clean: bool = True, **how: object) -> Notebook:
    """Scan with fake workers."""
    book = Notebook(wants_clean)
    Job(NoImage(), options(*paths, **how), book, server=fake_server()).run()  # type: ignore[arg-type]
    return book


def fake_crew(jobs: int = 2, **how: object) -> Crew:
    return Crew(NoImage(), options(jobs=jobs, **how), want_clean=True, server=fake_server())  # type: ignore[arg-type]
