"""aveserver's own protocol as its clients speak and read it: nothing that was not scanned passes for clean.

Each client of tests.support.ave_clients asks the real daemon. What the verdicts are is told by the file's name.
"""

from __future__ import annotations

import ctypes
import io
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from tests.support.ave_clients import (
    CARELESS,
    CLEAN,
    FAILED,
    FOUND,
    SOCKET,
    VERBOSE,
    Havp,
    Judged,
    Lines,
    connected,
)
from tests.support.aveservers import ODDITY, PUA, aveserver
from tests.support.programs import EICAR
from tests.support.serving import GATE

LIMIT = 1 << 20
CLIENTS = list(SOCKET)
NAME = b"Test.Eicar.UNOFFICIAL"


def zipped(name: str, content: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return whole.getvalue()


def files(folder: Path) -> Path:
    """One of each kind."""
    folder.mkdir()
    (folder / "clean").write_bytes(b"nothing in here")
    (folder / "clean.zip").write_bytes(zipped("a", b"nothing in here"))
    (folder / "infected").write_bytes(EICAR)
    (folder / "infected.zip").write_bytes(zipped("a.com", EICAR))
    (folder / "suspicious").write_bytes(ODDITY)
    (folder / "unwanted").write_bytes(PUA)
    (folder / "limit.zip").write_bytes(zipped("large", bytes(3 * LIMIT)))
    (folder / "empty").write_bytes(b"")
    (folder / "damaged.zip").write_bytes(zipped("a", os.urandom(5000))[:3000])
    (folder / "plain").write_bytes(b"secret")
    subprocess.run(["zip", "-q", "-P", "x", "secret.zip", "plain"], cwd=folder, check=True)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "two words").write_bytes(EICAR)
    return folder


@dataclass
class House:
    ave: Path
    alerting: Path  # the socket of one with AlertUnscanned=yes
    files: Path


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kavfs-ave-")))
        top.chmod(0o755)  # others ask, too
        ave = stack.enter_context(aveserver(top / "usual", max_unpacked=LIMIT))
        alerting = stack.enter_context(aveserver(top / "alerting", max_unpacked=LIMIT, alert_unscanned=True))
        yield House(ave, alerting, files(top / "files"))


def judge(client: str, place: Path, file: Path) -> Judged:
    return SOCKET[client](place, os.fsencode(file))


def dialogue(place: Path, *requests: bytes) -> list[bytes]:
    """What is said to a client that sends all at once, line by line, until the server ends it."""
    with connected(place) as sock:
        sock.sendall(b"".join(requests))
        lines = Lines(sock)
        said = []
        while line := lines.next():
            assert line.endswith(b"\r")
            said.append(line[:-1])
        return said


def ask(place: Path, file: Path) -> bytes:
    """The last line about it."""
    said = dialogue(place, b"SCAN x " + os.fsencode(file) + b"\r\nQUIT\r\n")
    return said[-2] if said[-1] == b"200 Bye" else said[-1]


# ---- each client, each verdict --------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("file", ["clean", "clean.zip", "empty"])
def test_what_is_clean_passes(house, client, file):
    assert judge(client, house.ave, house.files / file) == Judged(CLEAN)
    assert judge(client, house.alerting, house.files / file) == Judged(CLEAN)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("file", ["infected", "infected.zip", "two words"])
def test_what_is_infected_is_found_by_name(house, client, file):
    for place in (house.ave, house.alerting):
        judged = judge(client, place, house.files / file)
        assert judged.what == FOUND
        assert (judged.names[0].split(b" ")[0] if client == "p3scan" else judged.names[0]) == NAME


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_suspicious_is_found_by_all_but_clapf(house, client):
    judged = judge(client, house.ave, house.files / "suspicious")
    assert judged.what == (CLEAN if client == "clapf" else FOUND)
    assert judge(client, house.alerting, house.files / "suspicious").what == FOUND


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_unwanted_is_found_by_all_but_clapf_and_havp(house, client):
    judged = judge(client, house.ave, house.files / "unwanted")
    assert judged.what == (CLEAN if client in ("clapf", "havp") else FOUND)
    assert judge(client, house.alerting, house.files / "unwanted").what == FOUND


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("file", "line"), [("damaged.zip", b"234 File is corrupted"), ("secret.zip", b"240 File is encrypted")]
)
def test_where_all_that_could_be_read_is_clean_they_let_pass(house, client, file, line):
    assert ask(house.ave, house.files / file) == line
    for place in (house.ave, house.alerting):
        assert judge(client, place, house.files / file) == Judged(CLEAN)


# ---- each client, each reason why nothing was scanned ---------------------------------------------------------------


def check(client: str, usual: Judged, alerting: Judged) -> None:
    """An error is one for all but those that take errors for clean; with AlertUnscanned nobody lets it pass."""
    assert usual.what == (CLEAN if client in CARELESS else FAILED)
    if alerting.what == FAILED:  # behind a line that is too long the connection ends
        assert client not in CARELESS
        return
    assert alerting.what == FOUND
    assert alerting.names[0].startswith(b"Not.Scanned")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("file", ["limit.zip", "missing", "folder", "pipe", "missing/below", "clean/below"])
def test_limits_and_files_that_are_none(house, client, file):
    check(client, *(judge(client, place, house.files / file) for place in (house.ave, house.alerting)))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", [b"relative", b"", b"/" + b"x" * 5000, b"/" + b"x" * 9000, b"/a/" + b"n" * 300])
def test_names_that_are_none(house, client, name):
    check(client, *(SOCKET[client](place, name) for place in (house.ave, house.alerting)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_without_rights(house, client):
    secret = house.files / "mine"
    secret.write_bytes(EICAR)
    secret.chmod(0o600)
    check(client, *(as_nobody(partial(judge, client, place, secret)) for place in (house.ave, house.alerting)))


def as_nobody(deed: Callable[[], Judged]) -> Judged:
    """*deed* by a thread with another user's rights: who connects is who asks."""
    libc = ctypes.CDLL(None, use_errno=True)
    got: list[Judged] = []

    def work() -> None:
        for number, *values in ((116, 0, None), (119, 65534, 65534, 65534), (117, 65534, 65534, 65534)):
            assert libc.syscall(number, *values) == 0  # setgroups, setresgid, setresuid, of this thread alone
        got.append(deed())

    thread = Thread(target=work)
    thread.start()
    thread.join()
    return got[0]


@contextmanager
def held(top: Path, **settings: object) -> Iterator[tuple[Path, Path]]:
    """Two servers, the second alerting, whose workers do what a file says."""
    with (
        aveserver(top / "a", gated=True, **settings) as ave,
        aveserver(top / "b", gated=True, alert_unscanned=True, **settings) as alerting,
    ):
        yield ave, alerting


def test_a_worker_that_dies(tmp_path):
    (tmp_path / "file").write_bytes(b"DO-ABORT x")
    with held(tmp_path) as places:
        for client in CLIENTS:
            check(client, *(judge(client, place, tmp_path / "file") for place in places))


def test_time_that_is_over_in_the_worker(tmp_path):
    (tmp_path / "file").write_bytes(GATE)
    with held(tmp_path, deadline=0.2, objects_max=1) as places:
        for client in CLIENTS:
            check(client, *(judge(client, place, tmp_path / "file") for place in places))


def test_time_that_is_over_while_waiting(tmp_path):
    (tmp_path / "gate").write_bytes(GATE)
    with held(tmp_path, deadline=0.5, objects_max=1) as places:
        for client in CLIENTS:
            found = []
            for place in places:
                with connected(place) as first:
                    first.sendall(b"SCAN x " + os.fsencode(tmp_path / "gate") + b"\r\n")
                    ask(place, tmp_path / "none")  # what was asked before has been opened then
                    found.append(judge(client, place, tmp_path / "gate"))
            check(client, *found)


@contextmanager
def kept_busy(place: Path, top: Path) -> Iterator[None]:
    """One object is in scan, and one waits: with objects_max=1 and queue_max=1 there is no room for another."""
    if not (top / "gate").exists():  # whoever holds it looks at it all the time
        (top / "gate").write_bytes(GATE)
        (top / "fine").write_bytes(b"fine")
    with ExitStack() as stack:
        assert ask(place, top / "fine") == b"220 File is clean"  # a worker has greeted
        for _ in range(2):
            stack.enter_context(connected(place)).sendall(b"SCAN x " + os.fsencode(top / "gate") + b"\r\n")
            ask(place, top / "none")  # what was asked before has been opened then
        yield


def test_a_server_with_too_much_to_do(tmp_path):
    with held(tmp_path, objects_max=1, queue_max=1) as places, ExitStack() as stack:
        for place in places:
            stack.enter_context(kept_busy(place, tmp_path))
        for client in CLIENTS:
            usual, alerting = (judge(client, place, tmp_path / "fine").what for place in places)
            assert alerting == FOUND
            if client in ("clapf", "p3scan"):
                assert usual == CLEAN
            elif client != "cgpav":  # which writes to a connection that has ended or not yet
                assert usual == FAILED


def test_too_many_requests_end_the_connection_behind_401(tmp_path):
    with aveserver(tmp_path / "a", gated=True, objects_max=1, queue_max=1) as place, kept_busy(place, tmp_path):
        request = b"SCAN x " + os.fsencode(tmp_path / "fine") + b"\r\n"
        _, *said = dialogue(place, request, request, b"QUIT\r\n")
        assert said == [b"401 Too many requests are waiting"]


# ---- what is said, byte for byte ------------------------------------------------------------------------------------


def test_the_whole_dialogue(house):
    top = os.fsencode(house.files)
    said = dialogue(
        house.ave,
        b"SCAN bPQRSTUW " + top + b"/clean\r\n",
        b"\0scan xmQPRSTUWabcdefghi " + top + b"/infected\r\n\0",
        b"SCAN " + top + b"/suspicious\n",
        b"SCAN Zz " + top + b"/unwanted\r\n",
        b"SCAN x " + top + b"/missing\r\n",
        b"SCAN x " + top + b"/folder\r\n",
        b"SCAN x relative\r\n",
        b"SCAN x \r\n",
        b"WHAT\r\n",
        b"quit\r\n\0",
    )
    assert said[0].startswith(b"201 ")
    assert said[1:] == [
        b"220 File is clean",
        b"322-Test.Eicar.UNOFFICIAL " + top + b"/infected",
        b"230 File is infected",
        b"322-Heuristics.Test.Oddity.UNOFFICIAL " + top + b"/suspicious",
        b"232 File is suspicious",
        b"322-PUA.Test.Adware.UNOFFICIAL " + top + b"/unwanted",
        b"233 File is unwanted",
        b"525 File not found",
        b"526 Not a file",
        b"520 Path is relative",
        b"529 File name is empty",
        b"500 Command is not implemented",
        b"200 Bye",
    ]


def test_each_line_comes_alone_even_to_one_that_reads_late(house):
    with connected(house.ave) as sock:
        assert sock.recv(8192).startswith(b"201 ")
        sock.sendall(b"SCAN " + VERBOSE + b" " + os.fsencode(house.files / "infected") + b"\r\n")
        assert sock.recv(8192).startswith(b"322-Test.Eicar.UNOFFICIAL /")
        assert sock.recv(8192) == b"230 File is infected\r\n"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_long_path_fits_into_every_clients_buffer(house, client):
    deep = house.files.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True, exist_ok=True)
    (deep / "\x01\x02 e.com").write_bytes(EICAR)
    judged = judge(client, house.ave, deep / "\x01\x02 e.com")
    assert judged.what == FOUND
    assert judged.names[0].startswith(NAME)


def test_havp_keeps_its_connection(house):
    client = Havp()
    for _ in range(1000):
        assert client(house.ave, os.fsencode(house.files / "clean")) == Judged(CLEAN)
    used = client.sock
    for file, what in (("infected", FOUND), ("missing", FAILED), ("limit.zip", FAILED), ("clean", CLEAN)):
        assert client(house.ave, os.fsencode(house.files / file)).what == what
    assert client.sock is used
    client.close()


def test_havp_comes_back_to_a_server_that_went(tmp_path):
    (tmp_path / "file").write_bytes(EICAR)
    client = Havp()
    for _ in range(2):
        with aveserver(tmp_path / "a") as place:
            assert client(place, os.fsencode(tmp_path / "file")).what == FOUND
    client.close()


@pytest.mark.parametrize("client", ["exim", "havp", "p3scan", "e2guardian"])
def test_a_server_that_goes_without_an_answer(tmp_path, client):
    (tmp_path / "file").write_bytes(GATE)
    got: list[Judged] = []

    def work() -> None:
        try:
            got.append(judge(client, place, tmp_path / "file"))
        except ConnectionError:  # it was late
            got.append(Judged(FAILED))

    with aveserver(tmp_path / "a", gated=True) as place:
        thread = Thread(target=work)
        thread.start()
        ask(place, tmp_path / "none")
    thread.join()
    assert got[0].what == FAILED
