"""Clients of aveserver: each reads and judges as the real one does, in our own words, its mistakes included.

Each is ``client(place, file)``: the socket and the file's name as it sends it. What it would do is CLEAN (it lets
pass), FOUND with the names that it would tell, or FAILED (it tells an error, keeps or returns the mail). A client that
would wait or turn in circles for ever has FAILED too, as "waits".
"""

from __future__ import annotations

import os
import re
import select
import socket
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

CLEAN, FOUND, FAILED = "clean", "found", "failed"
PATIENCE = 20.0  # seconds; each of them has its own time limit, of a minute or more
MAIL = b"bPQRSTUW"  # letters of those that read what comes first
VERBOSE = b"xmQPRSTUWabcdefghi"


class Judged(NamedTuple):
    what: str
    names: tuple[bytes, ...] = ()
    why: str = ""


def connected(place: Path | str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(os.fspath(place))
    sock.settimeout(PATIENCE)
    return sock


def one_recv(sock: socket.socket, most: int) -> bytes | None:
    """What one recv gives: b"" at the end, None when nothing comes or the connection was broken."""
    try:
        return sock.recv(most)
    except (TimeoutError, ConnectionResetError):
        return None


class Lines:
    """A reader that keeps what it has read too far."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""

    def next(self) -> bytes | None:
        """A line without its LF; what was left at the end; None when nothing comes."""
        while b"\n" not in self.rest:
            piece = one_recv(self.sock, 4096)
            if piece is None:
                return None
            if not piece:
                line, self.rest = self.rest, b""
                return line
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        return line


def exim(place: Path, file: bytes) -> Judged:
    """av_scanner = aveserver:/path (malware.c): first line 2, then lines until one begins with 2 or 5, then `quit`."""

    def line() -> bytes:
        return (lines.next() or b"").replace(b"\r", b"")

    with connected(place) as sock:
        lines = Lines(sock)
        if not line().startswith(b"2"):
            return Judged(FAILED, why="greeting")
        sock.sendall(b"SCAN " + MAIL + b" " + file + b"\r\n")
        names: tuple[bytes, ...] = ()
        deferred = False
        while (reply := line()) and not reply.startswith(b"2"):
            if reply.startswith(b"5"):
                deferred = True
                break
            if reply.startswith(b"322"):
                name, blank, _ = reply[4:].partition(b" ")
                assert blank, "Exim would crash here"
                names = (name,)
        try:
            sock.sendall(b"quit\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return Judged(FAILED, why="quit could not be sent")
        if not line().startswith(b"2") or deferred:
            return Judged(FAILED)
        return Judged(FOUND, names) if names else Judged(CLEAN)


def e2guardian(place: Path, file: bytes) -> Judged:
    """kavdscan.cpp of e2guardian and DansGuardian: the first line alone decides; a read that fails leaves in the buffer
    what was there before, so that the greeting would be read as the answer."""
    with connected(place) as sock:
        lines = Lines(sock)
        buffer = lines.next() or b""
        if not buffer.startswith(b"2"):
            return Judged(FAILED, why="greeting")
        sock.sendall(b"SCAN " + MAIL + b" " + file + b"\r\n")
        got = lines.next()
        buffer = buffer if got is None else got
        if buffer.startswith(b"2"):
            return Judged(CLEAN)
        if not buffer.startswith(b"322"):
            return Judged(FAILED)
        names = []
        while not buffer.startswith(b"2"):
            names.append(buffer.partition(b"322-")[2].partition(b" ")[0])
            got = lines.next()
            if not got:
                break
            buffer = got
        return Judged(FOUND, tuple(names))


class Havp:
    """kasperskyscanner.cpp: one connection for as long as it lasts; another one when a request cannot be sent."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None

    def __call__(self, place: Path, file: bytes) -> Judged:
        request = b"SCAN " + VERBOSE + b" " + file + b"\r\n"
        if self.sock is None and not self._connect(place):
            return Judged(FAILED, why="greeting")
        assert self.sock is not None
        try:
            self.sock.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            if not self._connect(place):
                return Judged(FAILED, why="greeting")
            self.sock.sendall(request)
        return self._answer()

    def _connect(self, place: Path) -> bool:
        self.sock = connected(place)
        if (self._line() or b"").startswith(b"201"):
            return True
        self.close()
        return False

    def _answer(self) -> Judged:
        found = False
        name = b""
        while True:
            line = self._line()
            if line is None:
                self.close()
                return Judged(FAILED, why="read")
            slash = line.find(b"/", 4)
            if line.startswith(b"322-") and slash > 0:
                found, name = True, line[4 : slash - 1]
            if not line.startswith(b"3"):
                break
        if line.startswith(b"220"):
            return Judged(CLEAN)
        if line.startswith((b"230", b"232")):
            return Judged(FOUND, (name if found else b"Unknown",))
        if line.startswith((b"241", b"5")):
            return Judged(FAILED)
        return Judged(CLEAN) if line.startswith(b"2") else Judged(FAILED, why="unknown answer")

    def _line(self) -> bytes | None:
        """It looks without taking until there is an end, adding up what it saw: a line that comes in two pieces is
        read wrongly."""
        assert self.sock is not None
        seen = b""
        while b"\r\n" not in seen:
            try:
                piece = self.sock.recv(14000, socket.MSG_PEEK)
            except (TimeoutError, ConnectionResetError):
                return None
            if not piece:
                return None
            seen += piece
        taken = self.sock.recv(seen.index(b"\r\n") + 2, socket.MSG_WAITALL)
        return taken[:-2]

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None


def havp(place: Path, file: bytes) -> Judged:
    """One request of HAVP."""
    client = Havp()
    try:
        return client(place, file)
    finally:
        client.close()


def clapf(place: Path, file: bytes) -> Judged:
    """kav.c of clapf: what one recv brings is looked at by its first bytes; all but a last text of
    `230 File is infected` passes."""
    with connected(place) as sock:
        if not (one_recv(sock, 8192) or b"").startswith(b"201 "):
            return Judged(FAILED, why="greeting")
        sock.sendall(b"SCAN " + VERBOSE + b" " + file + b"\r\n")
        name, seen = b"", b""
        while seen := one_recv(sock, 8192) or b"":
            if seen.startswith(b"322-"):
                name = seen.partition(b" ")[0]
            if seen[:1] in (b"2", b"5") and seen[3:4] == b" ":
                break
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(b"QUIT\r\n")
        if seen.startswith(b"230 File is infected"):
            return Judged(FOUND, (name.removeprefix(b"322-"),))
        return Judged(CLEAN)


def cgpav(place: Path, file: bytes) -> Judged:
    """kavcomm.c: asks before it is greeted, takes errors for clean, and ends at 200 or at the connection's end."""
    over = {220, 221, 230, 231, 232, 233, 234, 240, 241, 401, 402, 500, 501, *range(520, 536)} - {522}
    with connected(place) as sock:
        lines = Lines(sock)
        sock.sendall(b"SCAN " + VERBOSE + b" " + file + b"\r\n")
        names: list[bytes] = []
        infected = False
        while line := lines.next():
            assert len(line) < 1024, "cgpav would take the rest for another line"
            code = int(line[:3]) if line[:3].isdigit() else 0
            if len(line) < 5:
                continue
            if code == 200:
                break
            if code == 322 and b" " in line[4:]:
                names.append(line[4:].partition(b" ")[0])
            infected |= code in (221, 230, 231, 232, 233)
            if code in over:
                try:
                    sock.sendall(b"QUIT\r\n\0")
                except (BrokenPipeError, ConnectionResetError):
                    return Judged(FAILED, why="write")
        return Judged(FOUND, tuple(names)) if infected else Judged(CLEAN)


def p3scan(place: Path, file: bytes) -> Judged:
    """scanner_avpd_new.c: a line whose third character is 2 is a virus, one whose fourth is a blank is the end, and
    clean."""
    with connected(place) as sock:
        if select.select([sock], [], [], 1.0)[0] and one_recv(sock, 1024) is None:
            return Judged(FAILED, why="greeting")
        try:
            sock.sendall(b"SCAN " + VERBOSE + b" " + file + b"\r\n\0")
        except (BrokenPipeError, ConnectionResetError):
            return Judged(FAILED, why="write")
        while piece := one_recv(sock, 4095):
            assert b"\r" in piece, "p3scan would crash here"
            for line in piece.split(b"\r\n"):
                if line[2:3] == b"2":
                    return Judged(FOUND, (line[4:],))
                if line[3:4] == b" ":
                    return Judged(CLEAN)
        return Judged(FAILED, why="waits")


SOCKET = {"exim": exim, "e2guardian": e2guardian, "havp": havp, "clapf": clapf, "cgpav": cgpav, "p3scan": p3scan}

# Those that let pass what they get an error for, whatever a server says in this protocol but "infected".
CARELESS = ("clapf", "cgpav", "p3scan")


# ---- what programs make of aveclient: its exit code, standard output and standard error as one text -----------------


def amavis(code: int, text: str) -> Judged:
    """The entry that amavisd-new ships; infected is looked for first."""
    if re.search(r"\b(INFECTED|SUSPICION|SUSPICIOUS)\b", text, re.MULTILINE):
        names = re.findall(r"(?:INFECTED|WARNING|SUSPICION|SUSPICIOUS) (.+)", text)
        return Judged(FOUND, tuple(name.encode() for name in names))
    return Judged(CLEAN) if code in (0, 3, 6, 8) else Judged(FAILED)


def mimedefang(code: int, text: str) -> Judged:
    """Antivirus.pm, *_avp5, and AVP5 of File::VirusScan, which has the same table."""
    if code in (0, 5, 6):
        return Judged(CLEAN)
    if code not in (2, 3, 4, 8):
        return Judged(FAILED)
    name = re.search(r"INFECTED (\S+)", text)
    return Judged(FOUND, (name[1].encode(),) if name else ())


def qpsmtpd(code: int, text: str) -> Judged:
    """plugins/virus/aveclient with blockonerror 1; without it errors pass, as its documentation says."""
    if code in (2, 3, 4, 6, 8):
        return Judged(FOUND, tuple(line.encode() for line in text.splitlines()[1:]))
    return Judged(FAILED) if code else Judged(CLEAN)


def old_havp(code: int, text: str) -> Judged:
    """HAVP up to 0.77: the first line's end, and the second behind its first blank."""
    first, _, rest = text.partition("\n")
    if first.endswith("OK"):
        return Judged(CLEAN)
    if first.endswith("INFECTED"):
        return Judged(FOUND, (rest.partition("\n")[0].partition(" ")[2].encode(),))
    return Judged(FAILED)


PIPED = {"amavis": amavis, "mimedefang": mimedefang, "qpsmtpd": qpsmtpd}
