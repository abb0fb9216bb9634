"""JSON lines: one record a line for programs; kavfs/report/schema.json describes them.

The first record is "start", the last "summary" (a run without it was cut off), between them "result", "skip" and
"note". A run that could not be carried out ends with "failure" instead. Everything is ASCII, names exact: ``path`` is
the text of a name that is UTF-8; otherwise it is null and ``path_b64`` holds the bytes. The same goes for ``member``.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cache
from json.encoder import encode_basestring_ascii

from kavfs.model import Member, Reason, Result, Skip, Status, Target, Threat, Totals
from kavfs.report.output import Output
from kavfs.report.summary import Signatures
from kavfs.version import VERSION

SCHEMA = 1  # goes up when a record changes so that a reader of the old ones would go wrong

Record = dict[str, object]

# Lower-case words, looked up instead of made for each record.
_WORDS = {status: status.name.lower() for status in Status}
_TARGETS = {target: target.name.lower() for target in Target}


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


class JsonReport:
    """Writes records to *output*. Promises ports.Report."""

    def __init__(
        self,
        output: Output,
        signatures: Signatures,
        roots: tuple[bytes, ...],
        exit_code: Callable[[Totals], int],
        clean: bool = True,
        members: bool = True,
    ) -> None:
        """*clean*: records of clean objects too. *members*: the member lists. *exit_code* is asked at the end."""
        self.wants_clean = clean
        self._output = output
        self._exit_code = exit_code
        self._members = members
        self._engine = signatures.engines[0][0]  # whose word it is where nothing was found
        self._around = _around_known(self._engine)
        self._write(_start(signatures, roots))

    def add(self, result: Result) -> None:
        if self.wants_clean or result.status is not Status.CLEAN or result.reasons or result.allowed:
            self._write(_result(result, self._members), found=bool(result.threats))

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        if not self.wants_clean:
            return
        lines: list[str] = []
        head, middle, tail = self._around
        for name, size in zip(names[:-1].split(b"\0"), memoryview(sizes).cast("Q"), strict=True):
            try:
                path = encode_basestring_ascii((directory + name).decode("utf-8"))
            except UnicodeDecodeError:
                self._output.write("".join(lines).encode("ascii"))
                lines.clear()
                self._write(_result(_known(directory + name, size, self._engine), members=False))
                continue
            lines.append(f'{head}{path}{middle}"size":{size},"scanned":{size}{tail}\n')
        self._output.write("".join(lines).encode("ascii"))

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        if self.wants_clean:
            for result in results():
                self.add(result)

    def skip(self, skip: Skip) -> None:
        self._write({"type": "skip", **_bytes("path", skip.path), "kind": skip.kind.name.lower()})

    def note(self, text: str) -> None:
        self._write({"type": "note", "text": text})

    def finish(self, totals: Totals) -> None:
        self._write(_summary(totals, self._exit_code(totals)))
        self._output.close()

    def _write(self, record: Record, found: bool = False) -> None:
        self._output.write(_encode(record).encode("ascii") + b"\n")
        if found:  # whoever reads along waits for these
            self._output.flush()


def write_failure(output: Output, text: str, exit_code: int) -> None:
    """The last record of a run that could not be carried out."""
    record = {"type": "failure", "schema": SCHEMA, "text": text, "exit_code": exit_code}
    output.write(json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n")


def _start(signatures: Signatures, roots: tuple[bytes, ...]) -> Record:
    return {
        "type": "start",
        "schema": SCHEMA,
        "program": "kavscanner",
        "version": VERSION,
        "time": _moment(time.time()),
        "roots": [_bytes("path", root) for root in roots],
        "engines": [{"name": name, "knowledge": knowledge} for name, knowledge in signatures.engines],
        "signatures": {
            "count": signatures.loaded,
            "newest": _moment(signatures.newest) if signatures.loaded else None,
            "demonstration": signatures.demonstration,
            "generation": signatures.generation.hex(),
        },
    }


def _result(result: Result, members: bool) -> Record:
    return {
        "type": "result",
        **_bytes("path", result.path),
        "status": _WORDS[result.status],
        "threats": [_threat(threat) for threat in result.threats],
        "coverage": _coverage(result.reasons),
        "members": [_member(member) for member in result.members] if members else [],
        "member_count": result.member_count,
        "container": result.container,
        "size": result.size,
        "scanned": result.scanned,
        "sha256": result.sha256.hex() if result.sha256 else None,
        "engine": result.engine,
        "target": _TARGETS[result.target],
        "format": result.format,
        "error": result.error,
        "suppressed": result.suppressed,
        "allowed": result.allowed or None,
        "deeds": [{"verb": deed.verb, "done": deed.done, "text": deed.text} for deed in result.deeds],
        "cached": result.cached,
    }


def _known(path: bytes, size: int, engine: str) -> Result:
    return Result(path, Status.CLEAN, size=size, scanned=size, engine=engine, cached=True)


def _around_known(engine: str) -> tuple[str, str, str]:
    """What stands before the path, between it and the sizes, and behind them in the record of an unchanged file."""
    line = _encode(_result(_known(b"", 0, engine), members=False))
    head, rest = line.split('"path":""', 1)
    middle, tail = rest.split('"size":0,"scanned":0', 1)
    return head + '"path":', middle, tail


def _threat(threat: Threat) -> Record:
    return {
        "name": threat.name,
        "status": _WORDS[threat.status],
        "engine": threat.engine,
        **_bytes("member", threat.member),
        "offset": threat.offset,
    }


def _member(member: Member) -> Record:
    return {
        **_bytes("path", member.path),
        "status": _WORDS[member.status],
        "coverage": _coverage(member.reasons),
        "size": member.size,
        "container": member.container,
    }


@cache
def _coverage(reasons: Reason) -> Record:
    return {"complete": not reasons, "reasons": [r.name.lower() for r in Reason if r & reasons and r.name]}


def _summary(totals: Totals, exit_code: int) -> Record:
    return {
        "type": "summary",
        "time": _moment(time.time()),
        "files": totals.files,
        "bytes": totals.bytes,
        "scanned": totals.scanned,
        "members": totals.members,
        "directories": totals.directories,
        "seconds": round(totals.seconds, 6),
        "statuses": {status.name.lower(): totals.statuses.get(status, 0) for status in Status},
        "reasons": {r.name.lower(): n for r, n in totals.reasons.items() if n and r.name},
        "entries": {kind.name.lower(): n for kind, n in totals.entries.items() if n},
        "unchanged": totals.known,
        "unchanged_bytes": totals.known_bytes,
        "delta": totals.delta,
        "unopened": totals.unopened,
        "suppressed": totals.suppressed,
        "found_by": totals.found_by,
        "worker_deaths": totals.worker_deaths,
        "deeds": totals.deeds,
        "deeds_failed": totals.deeds_failed,
        "interrupted": totals.interrupted,
        "window_ended": totals.window_ended,
        "exit_code": exit_code,
    }


def _bytes(key: str, value: bytes) -> Record:
    try:
        return {key: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {key: None, f"{key}_b64": b64encode(value).decode("ascii")}


def _moment(seconds: float) -> str | None:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return None
