"""aveserver and rights: a client learns of a path what it could find out itself, and nothing more; nothing listens
where it was not told to.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.daemons import EICAR_NAME, PATIENCE, Aveserver, databases
from tests.support.mailing import free_port, open_folder
from tests.support.programs import EICAR

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
DENIED = b"File path check failure: Permission denied. ERROR\0"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
# Sends its first word, escapes undone, with a descriptor where one is named, and prints what comes.
CLIENT = """
import os, socket, sys
path, said, passed = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(60)
    client.connect(path)
    client.sendall(said.encode().decode("unicode_escape").encode("latin-1"))
    if passed:
        socket.send_fds(client, [b"x"], [os.open(passed, os.O_PATH)])
    client.shutdown(socket.SHUT_WR)
    while more := client.recv(65536):
        sys.stdout.buffer.write(more)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Aveserver]:
    with open_folder("rights") as top, Aveserver(top, databases(top / "databases")) as running:
        running.for_everybody()
        yield running


@pytest.fixture(scope="module")
def files(server: Aveserver) -> Path:
    """What root has: a file that others may not read, and a folder that they may not enter; and a file for all."""
    top = server.folder / "files"
    (top / "closed").mkdir(parents=True)
    for name, mode in (("mine", 0o600), ("closed/eicar", 0o644), ("everybody's", 0o644)):
        (top / name).write_bytes(EICAR)
        (top / name).chmod(mode)
    (top / "closed").chmod(0o700)
    (top / "link").symlink_to("closed/eicar")
    return top


def ask_as_nobody(path: Path, said: str, passed: Path | str = "") -> bytes:
    python = "/usr/bin/python3"  # ours may lie in a folder that is closed to others
    command = [*NOBODY, python, "-c", CLIENT, path, said, passed]
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True, cwd="/").stdout


@as_root
@pytest.mark.parametrize("verb", ["SCAN", "CONTSCAN", "MULTISCAN", "ALLMATCHSCAN"])
def test_clamd_tells_nothing_of_what_the_client_may_not_read(server: Aveserver, files: Path, verb: str) -> None:
    for name in ("mine", "closed/eicar", "closed/is-not-there", "closed", "link"):
        said = ask_as_nobody(server.clamd, f"z{verb} {files}/{name}\\0")
        assert said == f"{files}/{name}: ".encode() + DENIED, name
    said = ask_as_nobody(server.clamd, f"z{verb} {files}/everybody's\\0")
    assert said == f"{files}/everybody's: {EICAR_NAME} FOUND\0".encode()


@as_root
def test_a_folder_is_read_as_the_client_reads_it(server: Aveserver, files: Path) -> None:
    said = ask_as_nobody(server.clamd, f"zCONTSCAN {files}\\0").split(b"\0")
    assert sorted(said) == sorted(
        [
            b"",
            f"{files}/everybody's: {EICAR_NAME} FOUND".encode(),
            *(f"{files}/{name}: ".encode() + DENIED[:-1] for name in ("mine", "closed")),
        ]
    )


@as_root
def test_aveserver_tells_nothing_of_what_the_client_may_not_read(server: Aveserver, files: Path) -> None:
    answers = []
    for name in ("mine", "closed/eicar", "closed/is-not-there"):
        said = ask_as_nobody(server.ave, f"SCAN xbhl {files}/{name}\\r\\n")
        answers.append([line[:3] for line in said.splitlines()[1:]])
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][-1].startswith(b"5")
    assert b"322-" in ask_as_nobody(server.ave, f"SCAN xbhl {files}/everybody's\\r\\n").replace(b"322 ", b"322-")


@as_root
def test_a_descriptor_that_cannot_be_read_opens_nothing(server: Aveserver, files: Path) -> None:
    """Whoever may not open a file for reading may still have a descriptor that names it."""
    assert ask_as_nobody(server.clamd, "zFILDES\\0", files / "mine") == b"fd[10]: Not open for reading ERROR\0"


def listening(server: Aveserver) -> set[tuple[str, int]]:
    """TCP ports, with their addresses as hexadecimal digits, on which it or a process of its listens."""
    ours = set()
    for process in (server.process.pid, *server.processes()):
        for fd in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                ours.add(os.readlink(fd))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = row.split()
            if f"socket:[{words[9]}]" in ours:
                address, _, port = words[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def test_nothing_listens_but_the_sockets_that_were_named(server: Aveserver) -> None:
    assert listening(server) == set()


def test_tcp_on_the_loopback_and_paths_in_named_folders_alone(tmp_path: Path) -> None:
    port, ave_port = free_port(), free_port()
    (tmp_path / "open").mkdir()
    for name in ("open/eicar", "eicar"):
        (tmp_path / name).write_bytes(EICAR)
    (tmp_path / "open" / "out").symlink_to("../eicar")
    settings = f"[aveserver.network]\nListenClamd=127.0.0.1:{port}\nListenAve={ave_port}\nPathFolders={tmp_path}/open\n"

    def ask(path: str, ave: bool = False) -> bytes:
        with socket.create_connection(("127.0.0.1", ave_port if ave else port), PATIENCE) as client:
            client.sendall(f"SCAN x {path}\r\nQUIT\r\n".encode() if ave else f"zSCAN {path}\0".encode())
            said = b""
            while more := client.recv(1 << 16):
                said += more
            return said

    with Aveserver(tmp_path, databases(tmp_path / "databases"), settings) as server:
        assert listening(server) == {(loopback(), port), (loopback(), ave_port)}
        assert ask(f"{tmp_path}/open/eicar").endswith(f"{EICAR_NAME} FOUND\0".encode())
        assert ask(f"{tmp_path}/open").endswith(f"{EICAR_NAME} FOUND\0".encode())
        for outside in ("eicar", "is-not-there", "open/../eicar", "open/out", "opened"):
            assert ask(f"{tmp_path}/{outside}") == f"{tmp_path}/{outside}: ".encode() + DENIED
            assert ask(f"{tmp_path}/{outside}", ave=True).splitlines()[1:-1] == [b"524 Directory is not included"]


def loopback() -> str:
    return socket.inet_aton("127.0.0.1")[:: 1 if sys.byteorder == "big" else -1].hex().upper()
