"""Crew: the processes of a scan with the dispatcher between them, as one thing that can be asked for happenings.

    with Crew(image, options) as crew:
        crew.walk(options.walk.roots)
        while not crew.done:
            for happening in crew.step():
                ...

A happening is a Result (a verdict on a path), Known (unchanged clean files of a directory), Listed (unchanged files
that are clean with all their members), a Skip (a path that was not scanned and why) or a str (a note for the
administrator). Every path that a walker found ends as one of the first four, or in the counts of clean files. Belongs
to one thread. close() leaves no process and no descriptor behind.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterable, Iterator
from types import TracebackType

from kavfs._native import dispatch
from kavfs.errors import DatabaseDamaged, SystemFailure
from kavfs.model import ENGINE_NUMBERS, Entry, Reason, Result, Skip, Status, Switch, Totals
from kavfs.options import EngineUse, ScanOptions
from kavfs.ports import Image, ImagePart, Stores
from kavfs.scan import lookups, records
from kavfs.scan.children import CLOSED, Children, Death
from kavfs.scan.forkserver import ForkServer, Part
from kavfs.scan.resources import WORKER_MEMORY, worker_count
from kavfs.scan.roles import start_server
from kavfs.scan.sandbox import FILTERS, LANDLOCK
from kavfs.scan.walks import Walks

Happening = Result | records.Known | records.Listed | Skip | str

TICK = 0.1  # seconds that a step takes at most
FAILED_STARTS = 3  # of workers in a row that end a scan
BATCH_FILES = 64
DESCRIPTORS_BESIDES = 48  # ours, besides those of objects and children
DESCRIPTORS_PER_CHILD = 3
IN_FLIGHT = 8192  # descriptors inside sockets, which the kernel holds against the same limit unless we are root


class Crew:
    """Made idle; walk() and submit() give it work. *server* may have been forked earlier; it ends with the crew."""

    def __init__(
        self,
        image: Image,
        options: ScanOptions,
        *,
        want_clean: bool = False,
        server: ForkServer | None = None,
        stores: Stores | None = None,
        standing: bool = False,
    ) -> None:
        self._server = server or start_server()
        self._notes: list[Happening] = []
        self._first = options.engines[0].name
        self._forgetful = stores.full if stores is not None else ""  # why nothing is remembered, as the report knows
        try:
            self._uses = {use.name: use for use in options.engines}
            self.jobs = jobs_of(options)
            self._dispatcher = make_dispatcher(options, self.jobs, want_clean, standing)
            answers = stores is not None and holds_answers(stores)
            if stores is not None:
                self._remember_in(stores, image)
            self._server.set_image(rows(image.parts), [rows(delta.parts) for delta in image.deltas])
            asked = lookups.make(stores, image, want_clean)
            self._children = Children(self._server, self._dispatcher, options, asked)
            if not answers and "native" in self._uses:  # else perhaps nothing is to be scanned at all
                self._children.start_worker()  # so that it is ready when the first batch is
        except BaseException:
            self._server.close()
            raise
        self._walks = Walks(options.walk, asked, options.page_cache)
        self._flags = 0
        self._held = False
        self._sandbox_told = False
        self.cut_off = False  # a walker was killed, and what it had not met is not known
        self._losses: dict[str, int] = {}  # workers by why
        self._failed_starts = dict.fromkeys(self._uses, 0)  # of workers, one after the other
        self._found_by: dict[str, int] = {}
        self._unreached: list[Result] = []  # roots whose walker failed: verdicts that the dispatcher knows nothing of
        self._mounts: dict[Entry, int] = {}  # what mounts that were not walked count as

    def _remember_in(self, stores: Stores, image: Image) -> None:
        try:
            self._dispatcher.set_stores(
                folder=stores.folder,
                journal=stores.journal,
                files=stores.files,
                secret=stores.secret,
                objects_secret=stores.objects_secret,
                generation=image.generation,
                delta=image.delta_table,
                size_limit=stores.size_limit,
                start_ns=time.time_ns(),
                objects_memory=stores.objects_memory,
                objects_file=stores.objects_file,
            )
        except OSError as error:
            self._notes += self._forgets(error)

    def _forgets(self, error: OSError) -> list[Happening]:
        """What the administrator is told of it, once for each reason."""
        why = error.strerror or str(error)
        if why == self._forgetful:
            return []
        self._forgetful = why
        return [f"what is found cannot be remembered: {why}"]

    # ---- work -----------------------------------------------------------------------------------------------------

    def walk(self, roots: tuple[bytes, ...]) -> None:
        """Scan what is at and below *roots*."""
        self._walks.add_named(roots)
        self._flags = 0

    def count(self) -> None:
        """Count beside the scan how much there is to walk; totals().expected says it as soon as it is known."""
        with contextlib.suppress(OSError):  # then it is never known
            self._children.start_counter(self._walks.counting())

    def submit(self, fd: int, path: bytes) -> None:
        """Scan what is behind an open descriptor, which is the crew's from now on; *path* names it in the result."""
        self._dispatcher.submit(fd, path, 0)
        self._flags = 0

    def forget(self) -> None:
        """The next walk is a scan of its own: inodes that were scanned are scanned again. Only when done."""
        self._dispatcher.forget()
        self._walks.forget()

    def finish(self) -> list[Happening]:
        """What was found is written to the stores. At the end of a scan, complete or not."""
        notes = [f"a scanning process went on without: {words}" for words in sorted(self._children.troubles())[:1]]
        try:
            self._dispatcher.finish()
        except OSError as error:
            return [*notes, *self._forgets(error)]
        return [*notes]

    @property
    def done(self) -> bool:
        """Whether everything has its verdict."""
        idle = bool(self._flags & dispatch.DONE)
        return idle and self._walks.empty and not self._children.count("walker")

    def hold(self, held: bool) -> None:
        """Begin nothing until this is taken back; what workers have is finished, and no other deadline runs."""
        if held != self._held:
            self._held = held
            self._flags &= ~dispatch.WANT
            self._dispatcher.set_held(held)

    @property
    def in_hand(self) -> int:
        """Objects that workers have."""
        return self._dispatcher.in_hand

    def step(self, seconds: float = TICK) -> list[Happening]:
        """Go on for a while; returns sooner when there is something to tell."""
        if not self._held:
            self._start_walkers()
        if self._flags & dispatch.WANT:
            self._start_workers()
        self._flags = self._dispatcher.step(self._server.fileno(), int(seconds * 1000))
        self._tell_of_sandbox()
        happenings = [*self._notes, *self._events()]
        self._notes.clear()
        for death in self._children.deaths():
            happenings += self._bury(death)
            happenings += self._events()
        return happenings

    def _tell_of_sandbox(self) -> None:
        """Once, as soon as the first worker has said what it does without. Only words that we know are repeated."""
        if not self._sandbox_told and (words := self._children.lacking()):
            self._sandbox_told = True
            if lacking := [name for name in (LANDLOCK, FILTERS) if name in words]:
                self._notes.append(f"scanning processes go on without {' and '.join(lacking)}: see kavfs doctor")

    def _start_workers(self) -> None:
        """One of each engine that could use another."""
        wanted = self._dispatcher.wanted
        for name, use in self._uses.items():
            if wanted & 1 << ENGINE_NUMBERS[name] and self._children.workers(name) < self.jobs[name]:
                self._children.start_engine(use)

    def _start_walkers(self) -> None:
        while (walk := self._walks.next(self._children.count("walker"))) is not None:
            self._children.start_walker(self._walks.setup(walk), walk.roots)

    # ---- what happened ---------------------------------------------------------------------------------------------

    def _events(self) -> Iterator[Happening]:
        for kind, number, path, data, text in self._dispatcher.events():
            if kind == dispatch.EV_RESULT:
                result = records.result(path, data, text, self._first)
                if result.threats:
                    self._found_by[result.engine] = self._found_by.get(result.engine, 0) + 1
                yield result
            elif kind == dispatch.EV_KNOWN:
                yield records.Known(path, text, data, self._first)
            elif kind == dispatch.EV_LISTED:
                yield records.Listed(text, data, self._first)
            elif kind == dispatch.EV_ENTRY:
                yield from self._entry(records.met(path, data))
            else:
                yield from self._peer(kind, number, text.decode())

    def _entry(self, met: records.Met) -> Iterator[Happening]:
        if met.kind is Entry.ERROR:
            yield records.unreadable_entry(met)
        elif met.kind is not Entry.SUBMOUNT:
            yield Skip(met.path, met.kind)
        elif (kind := self._walks.add_mount(met.path)) is not None:
            self._mounts[kind] = self._mounts.get(kind, 0) + 1
            yield Skip(met.path, kind)

    def _peer(self, kind: int, number: int, why: str) -> Iterator[Happening]:
        """The dispatcher has closed the socket of a worker or a walker."""
        if kind == dispatch.EV_LOST:
            self._children.distrust(number, why, kill=why != CLOSED)
        elif kind == dispatch.EV_WALKED:
            self._children.distrust(number, CLOSED, kill=False)
        elif (child := self._children.distrust(number, why, kill=True)) is not None:
            yield from self._unreachable(child.roots, why)
            child.roots = ()

    def _unreachable(self, roots: tuple[bytes, ...], why: str) -> Iterator[Happening]:
        for root in roots:
            self._unreached.append(result := records.unreadable(root, why))
            yield result

    def _bury(self, death: Death) -> Iterator[Happening]:
        child = death.child
        if child.role == "walker":
            if not death.well:
                self.cut_off = self.cut_off or not child.killed
                yield from self._unreachable(child.roots, death.why)
            return
        yield from self._bury_worker(child.engine, death)

    def _bury_worker(self, engine: str, death: Death) -> Iterator[Happening]:
        why, number = death.why.encode("utf-8", "backslashreplace"), ENGINE_NUMBERS[engine]
        ready = self._dispatcher.retire(death.child.number, why, death.outside)
        self._flags &= ~dispatch.DONE
        process = "scanning process" if engine == "native" else f"{engine} process"
        left = self._dispatcher.workers(number)
        if not (death.unborn and left):
            loss = loss_of(death)
            self._losses[loss] = self._losses.get(loss, 0) + 1
            self._failed_starts[engine] = 0 if ready else self._failed_starts[engine] + 1
        damaged = not ready and death.exit_code == DatabaseDamaged.exit_code  # the next one would read the same
        if engine == "native" and damaged:
            raise DatabaseDamaged(death.why)
        hopeless = damaged or self._failed_starts[engine] >= FAILED_STARTS
        if hopeless:
            left = self._dispatcher.ready(number)  # those that are being made will fail like this one
        if engine == "native" and hopeless:
            raise SystemFailure(f"scanning processes cannot be started: {death.why}")
        if left and (death.unborn or hopeless):
            self.jobs[engine] = left
            self._dispatcher.set_workers(left, number)
            many = f"one {process}" if left == 1 else f"{left} {process}es"
            yield f"the scan goes on with {many}, another cannot be made: {death.why}"
        elif hopeless and self.jobs[engine]:  # else that has been said
            self.jobs[engine] = 0
            self._dispatcher.give_up(number, why)
            yield f"the scan goes on without {engine}, which cannot be started: {death.why}"
        elif not hopeless:
            yield f"a {process} was lost and is replaced: {death.why}"

    # ---- counts and the end -----------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """Counts since the crew was made."""
        counts = self._dispatcher.totals()
        files, size, scanned, members, unopened, suppressed, known, known_bytes, delta, *lists = counts
        statuses, reasons, entries = lists
        _, directories = self._dispatcher.walked
        totals = Totals(
            files=files,
            bytes=size,
            scanned=scanned,
            members=members,
            directories=directories,
            known=known,
            known_bytes=known_bytes,
            delta=delta,
            unopened=unopened,
            suppressed=suppressed,
            worker_deaths=sum(self._losses.values()),
            expected=self._children.counted,
            found_by=dict(self._found_by),
        )
        totals.statuses = {Status(number): count for number, count in enumerate(statuses) if count}
        totals.reasons = {Reason(1 << bit): count for bit, count in enumerate(reasons) if count}
        totals.entries = {Entry(number): count for number, count in enumerate(entries) if count}
        totals.entries.pop(Entry.SUBMOUNT, None)  # the dispatcher counts those that were walked, too
        for kind, count in self._mounts.items():
            totals.entries[kind] = totals.entries.get(kind, 0) + count
        for result in self._unreached:
            totals.statuses[result.status] = totals.statuses.get(result.status, 0) + 1
            totals.reasons[result.reasons] = totals.reasons.get(result.reasons, 0) + 1
        return totals

    def close(self) -> None:
        """End every process and close every descriptor. May be called twice."""
        self._server.close()
        self._children.close()
        self._hand_back(self._dispatcher.close())

    def _hand_back(self, fds: list[int]) -> None:
        """What the dispatcher was given and has not closed."""
        assert not fds

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def loss_of(death: Death) -> str:
    """One word for why a worker is gone, for counts."""
    if death.unborn:
        return "unborn"
    if death.child.killed:
        return "limit"
    if death.outside:
        return "killed"
    return "crash" if death.exit_code is None else "exit"


def jobs_of(options: ScanOptions) -> dict[str, int]:
    """Most workers of each engine that takes part."""
    native = worker_count(options.jobs)
    return {
        use.name: worker_count(min(use.jobs or native, native), each=use.resident or WORKER_MEMORY)
        for use in options.engines
    }


def rows(parts: Iterable[ImagePart]) -> list[Part]:
    return [(part.fd, part.offset, part.length) for part in parts]


def holds_answers(stores: Stores) -> bool:
    """Whether an earlier scan has left something that walkers may answer from."""
    for name in (stores.journal, "files" if stores.files else ""):
        with contextlib.suppress(OSError):
            if name and os.stat(name, dir_fd=stores.folder).st_size:
                return True
    return False


def make_dispatcher(
    options: ScanOptions, jobs: dict[str, int], want_clean: bool, standing: bool
) -> dispatch.Dispatcher:
    """With the budgets of *options*, and no more descriptors than the system lets us hold."""
    limits = options.limits
    return dispatch.Dispatcher(
        max_unpacked=limits.max_unpacked,
        time_base_ms=int(limits.time_base * 1000),
        time_rate=limits.time_rate,
        grace_ms=int(grace(limits.time_base) * 1000),
        stall_ms=int(options.stall * 1000),
        fd_budget=BATCH_FILES if standing else descriptor_budget(sum(jobs.values())),
        classes={ENGINE_NUMBERS[use.name]: (use.when, jobs[use.name], starts(use)) for use in options.engines},
        want_clean=want_clean,
        all_match=Switch.ALL_MATCH in options.switches,
        one_by_one=standing,
        hand_back=standing,
    )


def starts(use: EngineUse) -> int:
    """Milliseconds until a worker of *use* must be ready."""
    return int(use.start_seconds * 1000)


def grace(time_base: float) -> float:
    """Seconds that a worker may overrun its own time limit, which it watches itself, before it is killed."""
    return max(1.0, min(15.0, time_base / 4))


def descriptor_budget(jobs: int) -> int:
    """Descriptors of objects that may be held at a time. The soft limit is raised when it is too low for *jobs*."""
    used = len(os.listdir("/proc/self/fd"))
    besides = used + DESCRIPTORS_BESIDES + DESCRIPTORS_PER_CHILD * (jobs + 8)
    wanted = besides + BATCH_FILES * (3 * jobs + 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + IN_FLIGHT:
        soft = wanted + IN_FLIGHT if hard == resource.RLIM_INFINITY else min(wanted + IN_FLIGHT, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = wanted - besides if soft == resource.RLIM_INFINITY else min(wanted, soft) - besides
    if room < BATCH_FILES:
        raise SystemFailure(f"too few open files are allowed ({soft}); at least {besides + BATCH_FILES} are needed")
    return room
