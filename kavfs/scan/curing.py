"""Curing: a file without what is infected in it, made by a process that has nothing but descriptors.

    with Curing(options) as cure:                            a ports.Curer; processes start when first needed
        cured = cure(source, out, result)

The process has the rights of a scanning one (sandbox profile "cure"), a time limit, and limits of memory and of file
size. It answers with numbers: which members it took out, or a reason of the table in action/cure/refused.py. Nothing of
that is believed: whoever asked scans the result again. A file that was not cured leaves nothing behind.

*recipes* gives the lines that cure what a signature finds (kavfs/recipe.py), as Image.recipes does; those of a file's
threats go with it to the process.

Taken out is what has the status of the file: of an infected one, no adware. A signature found in a container that also
has infected members (a tar holds their bytes as they are) is put down to them. With *rescan* this is looked at at once,
and where it was wrong such a container goes as a whole.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from kavfs.action.cure.refused import WHY_TEXTS, Why
from kavfs.limits import MIB, Limits
from kavfs.model import Result, Threat
from kavfs.options import ScanOptions
from kavfs.ports import Cured, Rescan
from kavfs.record import asdict
from kavfs.scan import sandbox
from kavfs.scan.children import open_spill, worker_user
from kavfs.scan.control import Message, bytes_of, text_of
from kavfs.scan.forkserver import ForkServer, Parts, Role
from kavfs.scan.stopwatch import Stopwatch
from kavfs.temporary import writable

if TYPE_CHECKING:
    from kavfs.action.cure.recipes import Found

LINES_MAX = 10_000  # infected members of one file
ANSWER = struct.Struct("=II")  # why (0 = cured), count; then as many numbers of lines
NUMBER = struct.Struct("=I")
PIPE_BYTES = 65536  # what a pipe takes without anybody reading: the longest answer
ROOM = 16 * MIB  # bytes by which a file that was packed again may be larger
Lines = Sequence[tuple[bytes, int]]  # infected members, and what only holds such: path, bytes
SLASH = ord("/")
LATE = "time limit of curing"
SLOW = 4.0  # packing takes so much longer than scanning


DOCUMENTS = ("ole2", "zip", "ooxml-word", "ooxml-xl", "ooxml-ppt")
"""Where something can be taken out though a signature found the file as a whole: macros."""


def no_recipes(name: str) -> Sequence[str]:
    return ()


class Curing:
    """Cures one file after the other, each in a process of its own. Some of them cure at once."""

    def __init__(
        self, options: ScanOptions, rescan: Rescan | None = None, recipes: Callable[[str], Sequence[str]] = no_recipes
    ) -> None:
        self._options = options
        self._rescan = rescan
        self._recipes = recipes
        self._server: ForkServer | None = None
        self._number = 0
        self._end = math.inf

    def another(self) -> Curing:
        """One that cures while this one does; made at any time, from a thread too. It ends with this one's processes at
        the latest."""
        curing = Curing(self._options, self._rescan, self._recipes)
        curing._server = self.start().another()
        return curing

    def __call__(
        self, source: int, out: int, result: Result, end: float = math.inf, rescan: Rescan | None = None
    ) -> Cured:
        """*end*: of time.monotonic(): the latest, whatever the limits allow. *rescan*: instead of the usual one."""
        self._end = end
        found = [threat for threat in result.threats if threat.status is result.status]
        recipes = self._known(found)
        threats = {threat.member for threat in found if threat.member}
        lines = [(line.path, line.size) for line in result.members if line.status is result.status]
        if not threats and found and (recipes or result.format in DOCUMENTS):
            threats = {b""}
            lines.append((b"", result.size))
        if not threats:
            return Cured(why=WHY_TEXTS[Why.ITSELF])
        if len(lines) > LINES_MAX:
            return Cured(why=WHY_TEXTS[Why.TOO_MANY])
        inmost = inmost_of(threats)
        about = {"form": result.format, "name": text_of(os.path.basename(result.path)), "recipes": recipes}
        cured = self._cured(source, out, about, inmost, lines)
        rescan = rescan or self._rescan
        if cured.why or inmost == threats or rescan is None:
            return cured
        again = rescan(out, result.path)
        if any(threat.status is result.status for threat in again.threats):
            os.ftruncate(out, 0)
            return self._cured(source, out, about, threats, lines)
        return cured

    def _known(self, found: Sequence[Threat]) -> Message:
        """Recipes by signature, and the places of threats; empty where there are no recipes."""
        lines = {name: list(self._recipes(name)) for name in {threat.name for threat in found}}
        if not any(lines.values()):
            return {}
        return {"lines": lines, "threats": [[text_of(one.member), one.offset, one.name] for one in found]}

    def _cured(self, source: int, out: int, about: Message, threats: set[bytes], lines: Lines) -> Cured:
        changed, why = self._run(source, out, about, threats, lines)
        if why:
            os.ftruncate(out, 0)
            return Cured(why=why)
        return Cured(changed=changed)

    def _run(
        self, source: int, out: int, about: Message, threats: set[bytes], lines: Lines
    ) -> tuple[tuple[bytes, ...], str]:
        size = os.fstat(source).st_size
        setup = {
            **about,
            "size": size,
            "infected": [text_of(path) for path in threats],
            "lines": [[text_of(path), length] for path, length in lines],
            "limits": asdict(self._options.limits),
            "user": worker_user(self._options.user),
            "polite": self._options.polite,
            "seconds": min(time_limit(self._options.limits, size), self._end - time.monotonic()),
        }
        if setup["seconds"] <= 0:
            return (), LATE
        answer, ours = os.pipe2(os.O_CLOEXEC)
        try:
            spill = open_spill(writable(self._options.spill_dir))
            try:
                ended = self._wait(setup, [ours, source, out, spill])
            finally:
                os.close(spill)
                os.close(ours)
            return ((), ended) if ended else _read(answer, [path for path, _ in lines])
        finally:
            os.close(answer)

    def start(self) -> ForkServer:
        """Have the fork server now: a program with threads makes it before them."""
        if self._server is None:
            self._server = ForkServer({"cure": Role(run_cure, prepare)})
        return self._server

    def _wait(self, setup: Message, fds: list[int]) -> str:
        """Start a process and wait for its end; "" when it ended well, else why not."""
        server = self.start()
        self._number += 1
        server.start("cure", self._number, setup, fds)
        clock, late = Stopwatch(), False
        end = clock.seconds() + setup["seconds"]
        poll = select.poll()
        poll.register(server.fileno(), select.POLLIN)
        while True:
            poll.poll(max(0, int((end - clock.seconds()) * 1000)) + 1 if not late else None)
            for message in server.news():
                if message["id"] == self._number:
                    return _ending(message, late)
            if not late and clock.seconds() >= end:
                late = True
                server.kill(self._number)

    def close(self) -> None:
        """End all processes. May be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Curing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def inmost_of(threats: set[bytes]) -> set[bytes]:
    """Those that hold no other."""
    holding = {path[:at] for path in threats for at, byte in enumerate(path) if byte == SLASH}
    return threats - holding


def time_limit(limits: Limits, size: int) -> float:
    """Seconds that the cure of so many bytes may take."""
    return limits.time_base + SLOW * size / limits.time_rate


def _ending(message: Message, late: bool) -> str:
    if late:
        return LATE
    if "failed" in message:
        return f"no curing process: {message['failed']}"
    status = message["status"]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return LATE if number == signal.SIGXCPU else f"the curing process died of signal {number}"
    return WHY_TEXTS[Why.DEFECT] if os.WEXITSTATUS(status) else ""


def _read(answer: int, paths: Sequence[bytes]) -> tuple[tuple[bytes, ...], str]:
    """What the process answered, in our own words and names."""
    os.set_blocking(answer, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        data = os.read(answer, PIPE_BYTES)
    if len(data) < ANSWER.size:
        return (), WHY_TEXTS[Why.DEFECT]
    why, count = ANSWER.unpack_from(data)
    if why:
        return (), WHY_TEXTS.get(why, WHY_TEXTS[Why.DEFECT])
    numbers = [number for (number,) in struct.iter_unpack("=I", data[ANSWER.size : ANSWER.size + count * NUMBER.size])]
    if len(numbers) != count or any(number >= len(paths) for number in numbers):
        return (), WHY_TEXTS[Why.DEFECT]
    return tuple(paths[number] for number in numbers), ""


# ---- in the process -------------------------------------------------------------------------------------------------


def prepare() -> None:
    """What cannot be loaded in the sandbox, once in the fork server."""
    from kavfs.action import cure

    cure.prepare()


def run_cure(setup: Message, fds: list[int], parts: Parts) -> None:
    """Cure one file: [end of a pipe, source, out, scratch]."""
    from kavfs.action.cure import cure
    from kavfs.action.cure.pieces import Source
    from kavfs.action.cure.refused import Refused

    answer, source, out, scratch = fds
    paths = [bytes_of(text) for text, _ in setup["lines"]]
    lines: dict[bytes, list[int]] = {}
    for path, (_, size) in zip(paths, setup["lines"], strict=True):
        lines.setdefault(path, []).append(size)
    _give_up(setup)
    try:
        infected = frozenset(bytes_of(text) for text in setup["infected"])
        layer = Source(source, 0, setup["size"])
        recipes = _recipes_of(setup["recipes"])
        gone = cure(layer, out, scratch, setup["form"], infected, lines, bytes_of(setup["name"]), recipes)
        why = 0
    except Refused as refused:
        gone, why = [], refused.why
    except RecursionError:
        gone, why = [], Why.ODD
    numbers = {path: number for number, path in enumerate(paths)}
    told = [numbers[path] for path in gone]
    os.write(answer, ANSWER.pack(why, len(told)) + b"".join(NUMBER.pack(number) for number in told))


def _recipes_of(known: Message) -> dict[bytes, list[Found]]:
    """What the coordinator knows of threats, by path."""
    from kavfs.action.cure.recipes import Found
    from kavfs.recipe import parse

    recipes = {name: tuple(parse(line) for line in lines) for name, lines in known.get("lines", {}).items()}
    found: dict[bytes, list[Found]] = {}
    for path, offset, name in known.get("threats", ()):
        found.setdefault(bytes_of(path), []).append(Found(offset, recipes[name]))
    return found


def _give_up(setup: Message) -> None:
    """The sandbox of a scanning process, and less time."""
    limits = Limits(**setup["limits"])
    if setup["polite"]:
        sandbox.yield_to_others()
    user = setup["user"]
    seconds = int(setup["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    sandbox.enter_worker(
        sandbox.Bounds(
            user=(user[0], user[1]) if user else None,
            memory=limits.memory,
            spill=max(limits.spill, setup["size"] + ROOM),
            parent=setup["parent"],
        ),
        profile="cure",
    )
