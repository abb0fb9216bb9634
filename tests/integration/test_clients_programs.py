"""Programs that speak clamd's protocol: pyclamd itself, and what rspamd, Samba, Nextcloud, squidclamav and MIMEDefang
say and expect, rebuilt from what they document. Each reads an answer in its own way, and must come to the right
verdict.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pyclamd
import pytest

from tests.support.archives import make_zip
from tests.support.daemons import EICAR_NAME, MARKS, PATIENCE, Aveserver, databases
from tests.support.mailing import free_port
from tests.support.programs import EICAR

FINISH = bytes(4)
CLEAN, INFECTED, FAILED = "clean", "infected", "failed"
Verdict = tuple[str, str]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("files")
    for name in ("eicar", "with: blanks OK", "new\nline", "caf\udce9"):
        (top / name).write_bytes(EICAR)
    (top / "clean").write_bytes(b"fine")
    (top / "marks").write_bytes(b" ".join(MARKS))
    return top


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int, files: Path) -> Iterator[Aveserver]:
    top = tmp_path_factory.mktemp("programs")
    settings = f"[aveserver.network]\nListenClamd=127.0.0.1:{port}\nPathFolders={files}\nStreamMaxLength=1M\n"
    with Aveserver(top, databases(top / "databases"), settings) as running:
        yield running


# ---- pyclamd ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["unix", "network"])
def client(request: pytest.FixtureRequest, server: Aveserver, port: int) -> Iterator[pyclamd.ClamdUnixSocket]:
    if request.param == "unix":
        made = pyclamd.ClamdUnixSocket(str(server.clamd), PATIENCE)
    else:
        made = pyclamd.ClamdNetworkSocket("127.0.0.1", port, PATIENCE)
    yield made
    made._close_socket()  # it forgets that after errors


def test_pyclamd_scans(client: pyclamd.ClamdUnixSocket, files: Path) -> None:
    found = ("FOUND", EICAR_NAME)
    assert client.scan_file(str(files / "eicar")) == {str(files / "eicar"): found}
    assert client.scan_file(str(files / "clean")) is None
    assert client.scan_stream(EICAR) == {"stream": found}
    assert client.scan_stream(b"fine") is None
    assert client.scan_stream(EICAR + bytes(300_000), chunk_size=1000) == {"stream": found}
    assert client.contscan_file(str(files / "eicar")) == {str(files / "eicar"): found}
    assert client.multiscan_file(str(files / "eicar")) == {str(files / "eicar"): found}
    several = client.allmatchscan(str(files / "marks"))[str(files / "marks")]
    assert {name for _, name in several} == {"Mark.One.UNOFFICIAL", "Mark.Two.UNOFFICIAL"}


def test_pyclamd_asks(client: pyclamd.ClamdUnixSocket) -> None:
    assert client.ping() is True
    assert client.version().startswith("kavfs ")
    assert client.stats().startswith("POOLS: 1")
    assert client.reload() == "RELOADING"


def test_pyclamd_is_told_that_a_stream_is_too_long(client: pyclamd.ClamdUnixSocket) -> None:
    with pytest.raises((pyclamd.BufferTooLongError, pyclamd.ConnectionError, ConnectionError)):
        client.scan_stream(bytes(3_000_000))


# ---- dialogues -------------------------------------------------------------------------------------------------------


def connect(server: Aveserver) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(os.fspath(server.clamd))
    return connection


def chunk(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def rspamd(server: Aveserver, content: bytes) -> Verdict:
    """Everything in one write; reads up to a NUL, then compares with patterns."""
    with connect(server) as connection:
        connection.sendall(b"zINSTREAM\0" + chunk(content) + FINISH)
        said = b""
        while not said.endswith(b"\0"):
            said += (piece := connection.recv(1 << 16))
            assert piece, said
    said = said[:-1]
    if said == b"stream: OK":
        return CLEAN, ""
    found = re.fullmatch(rb"stream: (\S+) FOUND", said)
    return (INFECTED, found[1].decode()) if found else (FAILED, said.decode())


def nextcloud(server: Aveserver, content: bytes) -> Verdict:
    """Pieces of 8192 bytes, then one line, compared with rules in order: OK at its end, FOUND, ERROR."""
    with connect(server) as connection, connection.makefile("rb") as lines:
        connection.sendall(b"nINSTREAM\n")
        try:
            for at in range(0, len(content), 8192):
                connection.sendall(chunk(content[at : at + 8192]))
            connection.sendall(FINISH)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it looks for what was said before
        line = lines.readline().rstrip(b"\n").decode()
    for rule, verdict in ((r".*: OK$", CLEAN), (r".*: (.*) FOUND$", INFECTED), (r".* ERROR$", FAILED)):
        if hit := re.match(rule, line):
            return verdict, hit[1] if hit.groups() else ""
    return FAILED, line


def squidclamav(server: Aveserver, content: bytes) -> Verdict:
    """Asks whether we are there, then streams on another connection and reads lines until the end."""
    with connect(server) as connection:
        connection.sendall(b"PING")
        assert connection.recv(64).startswith(b"PONG")
    with connect(server) as connection:
        connection.sendall(b"zINSTREAM\0")
        for at in range(0, len(content), 4096):
            connection.sendall(chunk(content[at : at + 4096]))
        connection.sendall(FINISH)
        said = b""
        while piece := connection.recv(1024):
            said += piece
    text = said.rstrip(b"\0").decode()
    if text.endswith("FOUND"):
        return INFECTED, text.removeprefix("stream: ").removesuffix(" FOUND")
    return (CLEAN, "") if text.endswith("OK") else (FAILED, text)


@pytest.mark.parametrize("program", [rspamd, nextcloud, squidclamav])
@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"fine", (CLEAN, "")),
        (EICAR, (INFECTED, EICAR_NAME)),
        (make_zip({"a": EICAR, "b": b"x"}), (INFECTED, EICAR_NAME)),
        (EICAR + bytes(200_000), (INFECTED, EICAR_NAME)),
        (bytes(500_000), (CLEAN, "")),
    ],
    ids=["clean", "eicar", "zip", "in-front", "large"],
)
def test_programs_that_stream(
    server: Aveserver, program: Callable[[Aveserver, bytes], Verdict], content: bytes, verdict: Verdict
) -> None:
    assert program(server, content) == verdict


def test_a_stream_that_is_too_long_is_a_failure(server: Aveserver) -> None:
    assert nextcloud(server, bytes(2_000_000))[0] == FAILED


def samba(server: Aveserver, path: Path) -> Verdict:
    """One recv up to a NUL; the answer must begin with the path as it was sent, a colon and a blank."""
    name = bytes(path)
    with connect(server) as connection:
        connection.sendall(b"zSCAN " + name + b"\0")
        said = b""
        while not said.endswith(b"\0"):
            said += (piece := connection.recv(4096))
            assert piece, said
    assert said[: len(name) + 2] == name + b": ", said
    word = said[len(name) + 2 : -1].decode()
    if word.endswith(" FOUND"):
        return INFECTED, word.removesuffix(" FOUND")
    return (CLEAN, "") if word == "OK" else (FAILED, word.removesuffix(" ERROR"))


def mimedefang(server: Aveserver, folder: Path) -> Verdict:
    """A line without prefix for the folder of a mail, and lines up to the end."""
    with connect(server) as connection, connection.makefile("rb") as lines:
        connection.sendall(b"SCAN %s\n" % bytes(folder))
        said = [line.decode(errors="replace").strip() for line in lines]
    for line in said:
        if hit := re.search(r": (.+) FOUND$", line):
            return INFECTED, hit[1]
    return (CLEAN, "") if said and all(line.endswith(": OK") for line in said) else (FAILED, " ".join(said))


@pytest.mark.parametrize("name", ["eicar", "with: blanks OK", "new\nline", "caf\udce9"])
def test_samba_finds_its_path_again(server: Aveserver, files: Path, name: str) -> None:
    assert samba(server, files / name) == (INFECTED, EICAR_NAME)


def test_samba_takes_nothing_for_clean_that_was_not_scanned(server: Aveserver, files: Path, tmp_path: Path) -> None:
    assert samba(server, files / "clean") == (CLEAN, "")
    assert samba(server, files / "missing")[0] == FAILED
    os.mkfifo(tmp_path / "pipe")
    assert samba(server, tmp_path / "pipe")[0] == FAILED


def test_mimedefang(server: Aveserver, files: Path, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"fine")
    assert mimedefang(server, tmp_path) == (CLEAN, "")
    (tmp_path / "part2").write_bytes(EICAR)
    assert mimedefang(server, tmp_path) == (INFECTED, EICAR_NAME)
    assert mimedefang(server, tmp_path / "missing")[0] == FAILED
