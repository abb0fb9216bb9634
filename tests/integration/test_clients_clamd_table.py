"""clamd's protocol command by command, in every framing: our bytes beside those of the real clamd.

Both have the same signatures and see the same files. What is not of the protocol is made equal before: the folder of
the test, the version, the numbers in STATS, the number that clamd gives a passed descriptor, the order of lines about
several files and of replies in a session. What differs on purpose is listed below, with what we say and why.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.archives import make_zip
from tests.support.daemons import MARKS, PATIENCE, Pair, pair
from tests.support.programs import EICAR

pytestmark = pytest.mark.clamav
FRAMINGS = {"z": (b"z", b"\0"), "n": (b"n", b"\n"), "plain": (b"", b"\n"), "crlf": (b"", b"\r\n"), "bare": (b"", b"")}
WORDS = (
    *("PING", "VERSION", "VERSIONCOMMANDS", "STATS", "RELOAD", "END", "STREAM", "SESSION", "DETSTATS", "DETSTATSCLEAR"),
    *("FOO", "ping", "SCAN", "CONTSCAN", "MULTISCAN", "ALLMATCHSCAN", "IDSESSION", "INSTREAM", "FILDES"),
)
BY_PATH = (b"SCAN", b"CONTSCAN", b"MULTISCAN", b"ALLMATCHSCAN")
FINISH = bytes(4)
SESSION = b"zIDSESSION\0"
STREAM = b"zINSTREAM\0"
TOO_MUCH = struct.pack("!I", 0xFFFFFFFF)


class Row(NamedTuple):
    """What a client sends, @ standing for the folder with the files."""

    said: bytes
    passed: str = ""  # a descriptor that goes with a byte behind it
    then: bytes = b""  # sent behind that


class Differs(NamedTuple):
    row: Row
    ours: bytes
    why: str


def chunk(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def framed() -> dict[str, Row]:
    rows = {}
    for framing, (before, after) in FRAMINGS.items():
        rows |= {f"{word}-{framing}": Row(before + word.encode() + after) for word in WORDS}
        rows[f"empty-{framing}"] = Row(before + after)
        rows[f"argument-{framing}"] = Row(before + b"PING x" + after)
        rows[f"blank-{framing}"] = Row(before + b"PING " + after)
        rows |= {f"{verb.decode()}-e-{framing}": Row(before + verb + b" @/eicar" + after) for verb in BY_PATH}
        rows |= {f"{verb.decode()}-tree-{framing}": Row(before + verb + b" @/tree" + after) for verb in BY_PATH}
        rows[f"SCAN-nothing-{framing}"] = Row(before + b"SCAN " + after)
    return rows


PATHS = (
    "clean",
    "eicar",
    "empty",
    "missing",
    "zip",
    "tree/",
    "tree/one/../one/eicar",
    "eicar/",
    "clean/x",
    "caf\udce9",
)
SESSIONS = {
    "ping": b"zPING\0zEND\0",
    "two": b"zPING\0zVERSION\0zEND\0",
    "versioncommands": b"zVERSIONCOMMANDS\0zEND\0",
    "stats": b"zSTATS\0zEND\0",
    "scan": b"zSCAN @/eicar\0zEND\0",
    "scan-tree": b"zSCAN @/tree\0zEND\0",
    "scan-missing": b"zSCAN @/missing\0zEND\0",
    "scan-nothing": b"zSCAN\0",
    "stream": STREAM + chunk(EICAR) + FINISH + b"zEND\0",
    "streams": STREAM + chunk(EICAR) + FINISH + STREAM + chunk(b"x") + FINISH + b"zEND\0",
    "stream-too-long": STREAM + TOO_MUCH,
    "contscan": b"zCONTSCAN @/eicar\0",
    "multiscan": b"zMULTISCAN @/tree\0",
    "allmatchscan": b"zALLMATCHSCAN @/tree\0",
    "reload": b"zRELOAD\0",
    "shutdown": b"zSHUTDOWN\0",
    "unknown": b"zFOO\0zPING\0",
    "other-framing": b"nPING\nzEND\0",
    "again": SESSION + b"zEND\0",
    "behind-the-end": b"zEND\0zPING\0",
    "no-end": b"zPING\0",
    "nothing": b"",
}
STREAMS = {
    "clean": chunk(b"hello") + FINISH,
    "eicar": chunk(EICAR) + FINISH,
    "bytewise": b"".join(chunk(EICAR[i : i + 1]) for i in range(len(EICAR))) + FINISH,
    "empty": FINISH,
    "zip": chunk(make_zip({"a": EICAR})) + FINISH,
    "something-behind": chunk(EICAR) + FINISH + b"zPING\0",
    "too-long": TOO_MUCH,
    "no-end": chunk(EICAR),
    "half-a-chunk": struct.pack("!I", 100) + EICAR,
    "half-a-length": b"\0\0",
    "nothing": b"",
}
SAME = (
    framed()
    | {f"{verb.decode()}-{path}": Row(b"z%s @/%s\0" % (verb, os.fsencode(path))) for verb in BY_PATH for path in PATHS}
    | {f"SCAN-{name}": Row(b"nSCAN @/%s\n" % name) for name in (b" blank", b"x" * 300)}
    | {"new-line": Row(b"zSCAN @/new\nline\0"), "relative": Row(b"zSCAN eicar\0")}
    | {f"session-{name}": Row(SESSION + said) for name, said in SESSIONS.items()}
    | {"session-n": Row(b"nIDSESSION\nnPING\nnEND\n"), "session-mixed": Row(b"nIDSESSION\nzPING\0nEND\n")}
    | {f"stream-{name}": Row(STREAM + said) for name, said in STREAMS.items()}
    | {f"stream-n-{name}": Row(b"nINSTREAM\n" + said) for name, said in STREAMS.items()}
    | {f"passed-{what}": Row(b"zFILDES\0", what) for what in ("eicar", "clean", "empty", "tree", "pipe", "two")}
    | {f"passed-n-{what}": Row(b"nFILDES\n", what) for what in ("eicar", "clean", "tree", "none")}
    | {"passed-in-session": Row(SESSION + b"zFILDES\0", "eicar", b"zPING\0zEND\0")}
    | {"two": Row(b"zPING\0zPING\0"), "two-n": Row(b"nPING\nnVERSION\n"), "garbage": Row(bytes(range(1, 256)))}
    | {"nul": Row(bytes(100)), "http": Row(b"GET / HTTP/1.0\r\n\r\n"), "nobody": Row(b""), "half": Row(b"zPI")}
)
_LINK = "clamd calls a link clean that it does not look behind; we scan what was asked for"
_TWICE = "clamd says OK behind the ERROR of the same object; who reads the last line takes it for clean"
_MORE = "clamd stops at the first find, though all were asked for; we go on, and say each name once"
_RETURN = "clamd takes the carriage return for a second command"
_READ = "clamd calls clean what it cannot read"
_WITH = "clamd wants a byte of its own behind the command; we take the descriptor with the command too"
_NOT_FOUND = b"File path check failure: No such file or directory. ERROR"
_FOUND = b"Eicar.Body.UNOFFICIAL FOUND"
DIFFERENT = {
    "pipe": Differs(Row(b"zSCAN @/pipe\0"), b"@/pipe: Not supported file type ERROR\0", _TWICE),
    "device": Differs(Row(b"zSCAN /dev/null\0"), b"/dev/null: Not supported file type ERROR\0", _TWICE),
    "link": Differs(Row(b"zSCAN @/link\0"), b"@/link: " + _FOUND + b"\0", _LINK),
    "link-to-folder": Differs(Row(b"zCONTSCAN @/up\0"), b"@/up/one/eicar: " + _FOUND + b"\0", _LINK),
    "dangling": Differs(Row(b"zSCAN @/dangling\0"), b"@/dangling: " + _NOT_FOUND + b"\0", _LINK),
    "multiscan-of-nothing": Differs(Row(b"zMULTISCAN @/none\0"), b"@/none: OK\0", "clamd says not a word"),
    "working-folder": Differs(Row(b"zSCAN .\0"), b".: " + _NOT_FOUND + b"\0", "nobody knows where that is"),
    "new-line-in-n": Differs(
        Row(b"nCONTSCAN @/lines\n"),
        rb"@/lines/new\nline: " + _FOUND + b"\n",
        "a name must not end a line that a client reads",
    ),
    "all-names": Differs(
        Row(b"zALLMATCHSCAN @/marks\0"),
        b"@/marks: Mark.One.UNOFFICIAL FOUND\0@/marks: Mark.Two.UNOFFICIAL FOUND\0",
        "clamd says a name once for each form of an object",
    ),
    "all-names-of-a-folder": Differs(
        Row(b"zALLMATCHSCAN @/two\0"), b"@/two/a: %s\0@/two/b: %s\0" % (_FOUND, _FOUND), _MORE
    ),
    "carriage-return": Differs(Row(b"nSCAN @/eicar\r\n"), b"@/eicar: " + _FOUND + b"\n", _RETURN),
    "FILDES-crlf": Differs(Row(b"FILDES\r\n"), b"", "clamd takes half of the line's end for the byte behind it"),
    "passed-write-only": Differs(Row(b"zFILDES\0", "write"), b"fd[N]: Not open for reading ERROR\0", _READ),
    "passed-path-only": Differs(Row(b"zFILDES\0", "path"), b"fd[N]: Not open for reading ERROR\0", _READ),
    "passed-with-command": Differs(Row(b"", "eicar", b"FILDES\0"), b"fd[N]: " + _FOUND + b"\0", _WITH),
    "plain-in-session": Differs(
        Row(SESSION + b"PING\n"), b"1: Command invalid inside IDSESSION. ERROR\n", "clamd waits for ever"
    ),
    "endless-line": Differs(Row(b"n" + b"x" * 70_000), b"UNKNOWN COMMAND\n", "clamd says nothing, or half of that"),
}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("table")) as both:
        yield both


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("files")
    for folder in ("tree/one", "none", "lines", "two"):
        (top / folder).mkdir(parents=True)
    for name in ("eicar", " blank", "new\nline", "caf\udce9", "tree/one/eicar", "lines/new\nline", "two/a", "two/b"):
        (top / name).write_bytes(EICAR)
    for name, content in (("clean", b"hello"), ("empty", b""), ("tree/clean", b"fine")):
        (top / name).write_bytes(content)
    (top / "marks").write_bytes(b"a " + b" b ".join(MARKS))
    (top / "zip").write_bytes(make_zip({"a/eicar.com": EICAR}))
    os.mkfifo(top / "pipe")
    for name, target in (("link", "eicar"), ("dangling", "missing"), ("up", "tree")):
        (top / name).symlink_to(target)
    return top


def descriptors(files: Path, what: str) -> list[int]:
    flags = {"write": os.O_WRONLY, "path": os.O_PATH, "pipe": os.O_RDWR | os.O_NONBLOCK}
    names = {"write": ["clean"], "path": ["eicar"], "two": ["eicar", "clean"], "none": []}
    return [os.open(files / name, flags.get(what, os.O_RDONLY)) for name in names.get(what, [what])]


def converse(path: Path, files: Path, row: Row) -> bytes:
    """All that a server says to a client that sends *row*, and then that it sends no more."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(os.fspath(path))
        with suppress(BrokenPipeError, ConnectionResetError):  # a server reads no more than it answers
            send(connection, files, row)
        said = b""
        with suppress(ConnectionResetError):
            while more := connection.recv(1 << 16):
                said += more
    return made_equal(said.replace(bytes(files), b"@"))


def send(connection: socket.socket, files: Path, row: Row) -> None:
    connection.sendall(row.said.replace(b"@", bytes(files)))
    if row.passed:
        passed = descriptors(files, row.passed)
        try:
            socket.send_fds(connection, [b"x" if row.said else b"z"], passed)
        finally:
            for one in passed:
                os.close(one)
    if row.then:
        connection.sendall(row.then)
    connection.shutdown(socket.SHUT_WR)


def made_equal(said: bytes) -> bytes:
    said = re.sub(rb"fd\[\d+\]", b"fd[N]", said)
    said = re.sub(rb"kavfs [\d.]+/[0-9a-f]{8}/[^\n\0|]+|ClamAV [\d.]+", b"VERSION", said)
    said = re.sub(rb"\t(IDLE|STREAM|SESSION) [\d.]+ \n", b"", said)
    if b"STATE:" in said:
        return re.sub(rb"[\d.]+", b"0", said)
    end = said[-1:]
    return b"".join(sorted(line + end for line in said.split(end)[:-1])) if end in (b"\0", b"\n") else said


@pytest.mark.parametrize("name", [name for name in SAME if name not in DIFFERENT])
def test_same_bytes_as_the_real_clamd(daemons: Pair, files: Path, name: str) -> None:
    row = SAME[name]
    assert converse(daemons.ours, files, row) == converse(daemons.theirs, files, row)


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_and_why(daemons: Pair, files: Path, name: str) -> None:
    row, ours, why = DIFFERENT[name]
    assert converse(daemons.ours, files, row) == ours
    assert converse(daemons.theirs, files, row) != ours, f"no difference any more: {why}"


def test_stats_tell_how_much_signatures_take(daemons: Pair) -> None:
    told = re.search(rb"pools_used ([\d.]+)M pools_total ([\d.]+)M\n", daemons.server.ask(b"nSTATS\n"))
    assert told
    assert 0 < float(told[1]) <= float(told[2]) < 100


HALVES = {
    "nothing": b"",
    "command": b"zPIN",
    "path": b"nSCAN /a",
    "stream": STREAM + struct.pack("!I", 32) + b"half",
    "descriptor": b"zFILDES\0",
    "session": SESSION + b"zPING\0",
    "command-in-session": SESSION + b"zPING\0zVERS",
    "stream-in-session": SESSION + STREAM + b"\0\0",
}


def test_who_stops_in_the_middle_hears_the_same(tmp_path: Path) -> None:
    with (
        pair(
            tmp_path, ours="[aveserver.network]\nReadTimeout=1s\n", theirs="CommandReadTimeout 1\nReadTimeout 1\n"
        ) as both,
        ExitStack() as stack,
    ):
        asked = {}
        for name, said in HALVES.items():
            for path in (both.ours, both.theirs):
                connection = asked[name, path] = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.settimeout(PATIENCE)
                connection.connect(os.fspath(path))
                connection.sendall(said)
        heard = {what: connection.makefile("rb").read() for what, connection in asked.items()}
    for name in HALVES:
        assert heard[name, both.ours] == heard[name, both.theirs] != b"", name
