"""Service: the scan core of a daemon. Objects come as descriptors from many clients, verdicts go back by callbacks.

    service = Service(server, image, image.allow, settings, note=log.warning)
    ticket = service.submit(fd, b"name", done, client=uid)          done(Result | Refusal), from step()
    service.step()          after submits, when fileno() is readable, and when timeout() is over; never waits

Every submit is answered exactly once, unless it was cancelled. Clients take turns; what is too much is BUSY. A deadline
counts from submit: who still waits then is LATE, and a worker that has the object is killed (ERROR with Reason.TIME).
Who gives *begun* has that time twice: for waiting, and again from the moment when a worker has his object in hand.
What recall() knows to be clean needs no submit. The same bytes at once are scanned once: files by their inode, streams
by what they hold, if signatures and the way of matching are the same; where the first came to nothing, the next is
scanned itself.

renew() changes signatures without a gap: the new crew is made beside the old one and takes over when all of its workers
have greeted. One thread; make it, like the server, before threads.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from kavfs.model import Reason, Result, Status
from kavfs.ports import Image
from kavfs.scan import records
from kavfs.scan.asked import Answer, Begun, Done, Request
from kavfs.scan.asked import Refusal as Refusal
from kavfs.scan.closing import Closing
from kavfs.scan.deadlines import Deadlines
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.known import Known
from kavfs.scan.shift import Edition, Note, Shift
from kavfs.scan.shift import ServiceSettings as ServiceSettings
from kavfs.scan.shifts import Shifts
from kavfs.scan.standing import TICK, Verdict
from kavfs.scan.streams import Streams
from kavfs.scan.waiting import Waiting
from kavfs.signatures.allow import AllowList

IDLE = 1.0  # seconds between two looks when nothing goes on
ROUNDS = 4  # of giving and hearing in one step, so that others of the daemon's loop have their turn
NOTHING = Reason.WORKER | Reason.TIME | Reason.UNREADABLE | Reason.ENGINE  # says nothing about the bytes


class ServiceStats(NamedTuple):
    """What a service is doing, and has done since it was made."""

    waiting: int  # requests, joined ones too
    in_scan: int  # objects that a crew has
    workers: int  # that can be given work now
    answered: int  # with a verdict
    refused: int
    cached: int  # verdicts that came out of a store ...
    known: int  # ... or were known without a look inside
    joined: int  # verdicts that were those of another request
    losses: dict[str, int]  # of workers, by why: crew.loss_of
    switches: int  # generations that took over
    generation: bytes  # of the signatures in use
    signatures: int
    kinds: Mapping[str, int]  # of these, by the kind of their database
    newest: float  # seconds since 1970: of the newest database file
    demonstration: bool  # these are only the test signatures that come with the program
    caches: Mapping[tuple[str, str], int]  # bytes that they take: by name, and "memory" or "disk"

    @property
    def deaths(self) -> int:
        """Workers that were lost."""
        return sum(self.losses.values())


class Service:
    """Begins to make workers at once. *server* stays the caller's and serves nobody else; *image* is the service's."""

    def __init__(
        self,
        server: ForkServer,
        image: Image,
        allow: AllowList,
        settings: ServiceSettings,
        note: Note = lambda text: None,
    ) -> None:
        self._settings = settings
        self.full = False  # True: nothing new is taken, all that comes is BUSY
        self._server = server
        self._epoll = select.epoll()
        self._epoll.register(server.fileno(), select.EPOLLIN)
        self._requests: dict[int, Request] = {}
        self._waiting = Waiting(settings.queue_max, settings.queue_max_client)
        self._streams = Streams()
        self._deadlines = Deadlines()
        self._unbegun: set[int] = set()  # that a shift has, and somebody wants to know when a worker has
        self._answers: deque[Callable[[], None]] = deque()
        self._last_ticket = 0
        self._tick_at = 0.0
        self._closing = False
        self._in_scan = self._answered = self._refused = self._cached = self._joined = self._recalled = 0
        lasting = settings.known and not settings.engines.passing
        self._known = Known(settings.known, settings.distrust_owners) if lasting else None
        self._asked_otherwise = False  # what is known was asked with other settings than what comes
        self._switches = 0
        self.closing = Closing()
        self._epoll.register(self.closing.fileno(), select.EPOLLIN)
        self._owners: dict[int, object] = {}  # clients, by the descriptors that shifts have
        self._shifts = Shifts(server, self._epoll, settings, self._lost, note, self._spent)
        edition = Edition(image, allow)
        try:
            self._shifts.begin(edition)
            self._switched()
        except BaseException:
            edition.retire()
            self.closing.end()
            self._epoll.close()
            raise

    # ---- what clients want -----------------------------------------------------------------------------------------

    def recall(self, fd: int, name: bytes, *, all_match: bool = False) -> Result | bytes | None:
        """The verdict, if what is behind a descriptor is known to be clean; else what submit() is to be given as *key*.
        The descriptor stays the caller's."""
        if self._known is None or self._closing:
            return None
        answer = self._known.look(fd, all_match)
        if not isinstance(answer, int):
            return answer
        self._answered += 1
        self._recalled += 1
        return Result(name, Status.CLEAN, size=answer, scanned=answer, cached=True)

    def submit(
        self,
        fd: int,
        name: bytes,
        done: Done,
        *,
        client: object,
        all_match: bool = False,
        deadline: float | None = None,
        key: bytes | None = None,
        begun: Begun | None = None,
    ) -> int:
        """Scan what is behind a descriptor, which is the service's from now on. *client* tells clients apart, for
        turns and limits. *deadline*: seconds, instead of the usual ones; 0 = none. *begun*: is told once, at the latest
        before a verdict, since when it has been scanned; never of who joined another. Returns a ticket for cancel()."""
        self._last_ticket += 1
        request = Request(self._last_ticket, fd, name, done, client, all_match, key=key)
        self._requests[request.ticket] = request
        crowded = self.closing.crowded(client) or not self._waiting.has_room(client)
        if self._closing or self.full or crowded:
            self._refuse(request, Refusal.CLOSING if self._closing else Refusal.BUSY)
            return request.ticket
        seconds = self._settings.deadline if deadline is None else deadline
        if seconds:
            self._deadlines.add(request.ticket, time.monotonic() + seconds)
        if begun is not None:
            request.seconds, request.begun = seconds, begun
        self._enter(request)
        return request.ticket

    def cancel(self, ticket: int) -> None:
        """Nobody waits for it any more: done is not called. What has been begun may be finished. A ticket that has its
        answer is no error."""
        request = self._requests.get(ticket)
        if request is None:
            return
        request.done = None
        if request.shift is None:
            self._end(request, None)

    def renew(self, image: Image, allow: AllowList, told: Callable[[str], None] = lambda why: None) -> None:
        """Change to *image*, which is the service's from now on. *told*, from step(): "" when it has taken over, else
        why it cannot; then the old one stays. One that comes while another is on its way takes its place."""
        self._shifts.renew(Edition(image, allow), lambda why: self._answers.append(partial(told, why)))

    def change(self, settings: ServiceSettings) -> None:
        """Other settings, in the same state folder: limits and deadlines hold at once, what scanning processes are made
        with when the next ones are, so at the next renew()."""
        self._asked_otherwise |= settings != self._settings
        self._settings = settings
        self._waiting.limit(settings.queue_max, settings.queue_max_client)
        self._shifts.change(settings)

    # ---- the loop --------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """An epoll descriptor."""
        return self._epoll.fileno()

    @property
    def due(self) -> bool:
        """Whether step() has something to do now, whatever is readable."""
        return bool(self._answers) or (self._waiting.anybody and self._in_scan < self._most)

    def timeout(self) -> float:
        """Seconds after which step() is due though nothing is readable."""
        if self.due:
            return 0.0
        now = time.monotonic()
        at = now + (TICK if self._shifts.busy else IDLE)
        late = self._deadlines.next()
        return max(0.0, min(at, at if late is None else late) - now)

    def step(self) -> None:
        """Do what there is to do, and tell answers. SystemFailure: the fork server is gone, and so is everything."""
        ready = {fd for fd, _ in self._epoll.poll(0)}
        if self._server.fileno() in ready:
            self._server.news()  # the ends of other servers, which their shifts notice themselves
        now = time.monotonic()
        self._end_late(now)
        tick = now >= self._tick_at
        if tick:
            self._tick_at = now + TICK
            self._tell_begun(now)
        if tick or self.closing.fileno() in ready:
            self.closing.step()
        self._hear(self._shifts.turn(ready, tick))
        for _ in range(ROUNDS):
            if not self._give():
                break
            self._hear(self._shifts.turn((), False))
        if tick:
            self._shifts.tidy(now)
            if self._shifts.switches != self._switches:
                self._switched()
        for _ in range(len(self._answers)):
            self._answers.popleft()()

    def _hear(self, verdicts: list[Verdict]) -> None:
        for ticket, result, said in verdicts:
            request = self._requests.get(ticket)
            if request is None or request.shift is None:
                continue
            shift = self._take_back(request)
            if request.begun is not None:
                now = time.monotonic()
                request.begun(max(request.given, now - TICK))  # no tick saw it in hand
            judged = shift.edition.allow.judge(result)
            if request.again >= 0 and shift.edition is self._shifts.edition:
                self._learn(request, judged, said)
            self._end(request, judged)

    def _learn(self, request: Request, judged: Result, said: bytes) -> None:
        assert self._known is not None
        assert request.key is not None
        self._known.add(request.again, request.key, judged, said)

    def _switched(self) -> None:
        """Others serve from now on."""
        self._switches = self._shifts.switches
        if self._known is None:
            return
        if self._asked_otherwise or self._settings.engines.knowledge:  # a delta tells nothing of other engines
            self._known.forget()
        self._asked_otherwise = False
        self._known.renew(self._shifts.edition.image)

    def _end_late(self, now: float) -> None:
        for ticket in self._deadlines.due(now):
            request = self._requests[ticket]
            held = None if request.shift is None else request.shift.crew.held(ticket)
            if request.shift is None:
                self._refuse(request, Refusal.LATE)
            elif request.seconds and held is not None and held < request.seconds:
                self._deadlines.add(ticket, now + request.seconds - held)
            elif request.seconds and held is None:
                self._shifts.abort(request.shift, ticket)
                self._take_back(request)
                self._refuse(request, Refusal.LATE)
            else:
                request.late = True
                self._shifts.abort(request.shift, ticket)

    def _tell_begun(self, now: float) -> None:
        for ticket in list(self._unbegun):
            request = self._requests[ticket]
            assert request.shift is not None
            assert request.begun is not None
            held = request.shift.crew.held(ticket)
            if held is not None:
                self._unbegun.remove(ticket)
                begun, request.begun = request.begun, None
                begun(now - held)

    def _take_back(self, request: Request) -> Shift:
        """It has its verdict, or is not waited for: its shift has one less."""
        shift, request.shift = request.shift, None
        assert shift is not None
        shift.given -= 1
        self._in_scan -= 1
        return shift

    @property
    def _most(self) -> int:
        return self._settings.objects_max or 2 * self._shifts.jobs

    def _give(self) -> bool:
        """Whether anything was given to a shift."""
        given = False
        while self._in_scan < self._most and (request := self._waiting.take()) is not None:
            shift = self._shifts.serving(request.all_match)
            if shift is None:
                self._refuse(request, Refusal.FAILED)
                continue
            try:
                row = 0
                if request.key is not None and self._known is not None:
                    request.again = os.dup(request.fd)
                    row = self._known.row(request.key)
                shift.crew.give(request.fd, request.name, request.ticket, row)
            except OSError as error:
                self._end(request, records.unreadable(request.name, error.strerror or str(error)))
                continue
            self._owners[request.fd] = request.client
            request.fd = -1
            request.shift = shift
            if request.begun is not None:
                request.given = time.monotonic()
                self._unbegun.add(request.ticket)
            shift.given += 1
            self._in_scan += 1
            given = True
        return given

    # ---- one request -----------------------------------------------------------------------------------------------

    def _enter(self, request: Request) -> None:
        self._streams.look(request)
        leader = self._streams.leader(request, self._shifts.current(request.all_match))
        if leader is None:
            self._streams.add(request)
            self._waiting.add(request)
            return
        request.leader = leader
        leader.joined.append(request)
        self._waiting.join(request)

    def _refuse(self, request: Request, why: Refusal) -> None:
        self._refused += request.done is not None
        self._end(request, why)

    def _end(self, request: Request, answer: Answer | None) -> None:
        """The answer is there; None: nobody asks any more."""
        del self._requests[request.ticket]
        self._unbegun.discard(request.ticket)
        self._deadlines.drop(request.ticket)
        self._streams.drop(request)
        if request.leader is not None:
            request.leader.joined.remove(request)
            self._waiting.leave(request)
        elif request.waits:
            self._waiting.remove(request)
        self._close(request)
        if answer is not None:
            self._tell(request, answer)
        if request.joined:
            self._pass_on(request, answer)

    def _close(self, request: Request) -> None:
        fds, request.fd, request.again = (request.fd, request.again), -1, -1
        for fd in fds:
            if fd >= 0:
                self.closing.close(fd, request.client)

    def _spent(self, fd: int) -> None:
        self.closing.close(fd, self._owners.pop(fd))

    def _tell(self, request: Request, answer: Answer) -> None:
        if isinstance(answer, Result):
            self._answered += 1
            self._cached += answer.cached
        if request.done is not None:
            self._answers.append(partial(request.done, answer))

    def _pass_on(self, request: Request, answer: Answer | None) -> None:
        """Those who joined get the verdict, if it is one about the bytes; else the next of them is scanned itself."""
        joined, request.joined = request.joined, []
        for other in joined:
            other.leader = None
            self._waiting.leave(other)
        if isinstance(answer, Result) and not request.late and (request.second or not answer.reasons & NOTHING):
            for other in joined:
                self._joined += 1
                self._end(other, _renamed(answer, other))
            return
        heir, *others = joined
        heir.second = request.second or (isinstance(answer, Result) and not request.late)
        self._streams.add(heir)
        self._waiting.add(heir, first=True)
        for other in others:
            other.leader = heir
            heir.joined.append(other)
            self._waiting.join(other)

    def _lost(self, shift: Shift) -> None:
        """A shift has failed: what it had comes to nothing, and who joined is scanned by the next."""
        for request in [one for one in self._requests.values() if one.shift is shift]:
            request.shift = None
            self._in_scan -= 1
            self._refuse(request, Refusal.FAILED)

    # ---- the whole -------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether every request has its answer, told ones too."""
        return not self._requests and not self._answers

    @property
    def image(self) -> Image:
        """The signatures in use."""
        return self._shifts.edition.image

    def stats(self) -> ServiceStats:
        image = self._shifts.edition.image
        return ServiceStats(
            waiting=len(self._waiting),
            in_scan=self._in_scan,
            workers=self._shifts.workers,
            answered=self._answered,
            refused=self._refused,
            cached=self._cached,
            known=self._recalled,
            joined=self._joined,
            losses=self._shifts.losses,
            switches=self._shifts.switches,
            generation=image.generation,
            signatures=image.signature_count,
            kinds=image.kinds,
            newest=image.newest,
            demonstration=image.demonstration,
            caches=self._cache_bytes(),
        )

    def _cache_bytes(self) -> dict[tuple[str, str], int]:
        caches = {("objects", place): size for place, size in self._shifts.cache_bytes.items()}
        return caches if self._known is None else {**caches, ("known", "memory"): self._known.bytes}

    def close(self) -> None:
        """Refuse what has no answer yet, and end every process but the server. May be called twice."""
        if self._closing:
            return
        self._closing = True
        for request in list(self._requests.values()):
            if request.done is not None:
                self._answers.append(partial(request.done, Refusal.CLOSING))
            self._close(request)
        self._requests.clear()
        self._unbegun.clear()
        self._shifts.close()
        self._epoll.close()
        self.closing.end()
        while self._answers:
            self._answers.popleft()()


def _renamed(result: Result, request: Request) -> Result:
    """The verdict on the same bytes under another name."""
    return result._replace(path=request.name, identity=None)
