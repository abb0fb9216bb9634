"""Log: a line for each detection, refusal and error of the service, and for what happens to the service itself.

Text is ``VERDICT NAME=value ... path=PATH`` (the path last: nothing in it can pass for a field), JSON one object on
a line.
The letters of kavfs.report.sinks choose: errors E, findings and refusals W, clean objects A, the rest I.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NamedTuple

from kavfs.daemon.task import Task
from kavfs.model import OUTCOMES, REASON_WORDS, Result, Status
from kavfs.report.journald import CLEAN, FINDING, MESSAGE, PARTIAL, JournalSink, fields_of
from kavfs.report.names import shown_name, shown_path, shown_text
from kavfs.report.sinks import LEVELS, Sink
from kavfs.scan.service import Refusal

NAMES_MAX = 16  # signatures that are named of one object
WORDS = {"F": "fatal", "E": "error", "W": "warning", "I": "information", "A": "activity", "D": "debug"}
_REFUSED = {
    Refusal.BUSY: "too many requests",
    Refusal.LATE: "time limit",
    Refusal.CLOSING: "the server is going down",
    Refusal.FAILED: "scanning is not possible",
}


class Place(NamedTuple):
    """Where lines go."""

    sink: Sink
    flush: Callable[[], None] = lambda: None  # so that nothing waits for more


class Log:
    """*open_place* is called now and by reopen(). *clean*: clean objects too."""

    def __init__(self, open_place: Callable[[], Place], *, clean: bool = False, as_json: bool = False) -> None:
        self._open = open_place
        self._place = open_place()
        self._clean = clean and self._place.sink.wants("A")
        self._as_json = as_json

    def note(self, text: str, letter: str = "I") -> None:
        """Something about the service itself."""
        if self._as_json:
            self._write(letter, _json({**_head(letter, "note"), "text": text}))
        else:
            self._write(letter, shown_text(text).encode("utf-8", "backslashreplace"))

    def told(self, task: Task, path: bytes, answer: Result | Refusal | str, seconds: float) -> None:
        """What became of an object that a client asked about; a text: why it came to no scan. A desk.Watcher."""
        if not isinstance(answer, Result):
            why = answer if isinstance(answer, str) else _REFUSED[answer]
            self._object("W", task, path, "REFUSED", [], why, seconds)
            return
        if answer.status in (Status.CLEAN, Status.FILTERED) and not self._clean:
            return
        letter = "E" if answer.status is Status.ERROR else "A" if answer.status is Status.CLEAN else "W"
        names = list(dict.fromkeys(threat.name for threat in answer.threats))[:NAMES_MAX]
        why = answer.error or ", ".join(word for reason, word in REASON_WORDS.items() if reason & answer.reasons)
        sink = self._place.sink
        if isinstance(sink, JournalSink):
            sink.about = [*fields_of(answer._replace(path=path)), ("KAVFS_CLIENT", _client(task).encode())]
            sink.kind = FINDING if names else CLEAN if answer.status is Status.CLEAN else PARTIAL
        self._object(letter, task, path, OUTCOMES[answer.status].word, names, why, seconds)
        if isinstance(sink, JournalSink):
            sink.about, sink.kind = [], MESSAGE

    def flush(self) -> None:
        """Nothing waits behind this."""
        self._place.flush()

    def reopen(self) -> None:
        """The file may have been moved away: begin another at its place. What cannot be opened leaves the old one."""
        try:
            place = self._open()
        except OSError as error:
            self.note(f"cannot open the log again: {error.strerror}", "E")
            return
        self.close()
        self._place = place

    def close(self) -> None:
        self._place.sink.close()

    def _object(
        self, letter: str, task: Task, path: bytes, verdict: str, names: list[str], why: str, seconds: float
    ) -> None:
        milliseconds = round(seconds * 1000, 1)
        if self._as_json:
            peer = task.peer
            client: dict[str, object] = {"pid": peer.pid, "uid": peer.uid, "gid": peer.gid} if peer.uid >= 0 else {}
            if peer.address:
                client["address"] = peer.address.decode("utf-8", "backslashreplace")
            what = {"verdict": verdict, "names": names, "why": why, "milliseconds": milliseconds, "client": client}
            self._write(letter, _json({**_head(letter, "object"), **what, "path": _text(path)}))
            return
        words = [verdict.encode()]
        words += [b"name=" + shown_name(name) for name in names]
        words += [f"client={_client(task)} ms={milliseconds}".encode()]
        if why:
            words.append(b'why="' + shown_text(why).replace('"', "'").encode("utf-8", "backslashreplace") + b'"')
        self._write(letter, b" ".join([*words, b"path=" + shown_path(path)]))

    def _write(self, letter: str, line: bytes) -> None:
        if self._place.sink.wants(letter):
            self._place.sink.line(letter, line)
            if letter != "A":
                self.flush()


class LineSink:
    """Lines of JSON in a file: they say themselves when and how grave. Promises sinks.Sink."""

    raw = False

    def __init__(self, write: Callable[[bytes], None], close: Callable[[], None], level: int) -> None:
        self._write = write
        self._close = close
        self._level = level

    def wants(self, letter: str) -> bool:
        return LEVELS[letter] <= self._level

    def line(self, letter: str, text: bytes) -> None:
        self._write(text + b"\n")

    def lines(self, letter: str, text: bytes) -> None:
        self._write(text)

    def banner(self, text: bytes) -> None:
        """There is none."""

    def close(self) -> None:
        self._close()


def _head(letter: str, event: str) -> dict[str, object]:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
    return {"time": stamp, "level": WORDS[letter], "event": event}


def _json(what: dict[str, object]) -> bytes:
    return json.dumps(what, ensure_ascii=True).encode()


def _text(path: bytes) -> str:
    """Bytes that are no UTF-8 as \\xNN, which a reader cannot take for anything else: a backslash is doubled."""
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _client(task: Task) -> str:
    peer = task.peer
    if peer.uid >= 0:
        return f"uid:{peer.uid},pid:{peer.pid}"
    return shown_text(peer.address.decode("utf-8", "backslashreplace")).replace(" ", ":") or "unknown"
