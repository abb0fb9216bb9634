"""Paths that clients name are opened with their rights, and tell them nothing that they could not find out."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shutil
import signal
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from kavfs.scan.forkserver import ForkServer, Role
from kavfs.scan.opening import Opened, Openers
from kavfs.scan.roles import run_opener
from tests.support.serving import below, descriptors

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
SOMEBODY, GROUP = 61234, 61235
PATIENCE = 30.0


class Peer(NamedTuple):
    uid: int
    gid: int = SOMEBODY
    groups: tuple[int, ...] = ()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may search, which those of the test runner are not."""
    made = Path(tempfile.mkdtemp(prefix="kavfs-openers-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


class Desk:
    def __init__(self, openers: Openers, server: ForkServer) -> None:
        self.openers = openers
        self.server = server

    def run(self, until: Callable[[], object]) -> None:
        poll = select.poll()
        poll.register(self.openers.fileno(), select.POLLIN)
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end
            poll.poll(self.openers.timeout() * 1000)
            self.openers.step()

    def ask(self, peer: Peer | None, *paths: Path | bytes, **how: object) -> list[Opened]:
        found: list[Opened] = []
        for path in paths:
            self.openers.open(peer, os.fsencode(path), found.append, **how)  # type: ignore[arg-type]
        self.run(lambda: len(found) == len(paths))
        return found

    def error(self, peer: Peer | None, path: Path | bytes, **how: object) -> int:
        (opened,) = self.ask(peer, path, **how)
        assert opened.fd == -1
        return opened.error

    def content(self, peer: Peer | None, path: Path | bytes, **how: object) -> bytes:
        (opened,) = self.ask(peer, path, **how)
        assert opened.error == 0, os.strerror(opened.error)
        assert not opened.is_directory
        with open(opened.fd, "rb") as file:
            return file.read()

    def processes(self) -> list[int]:
        return [pid for pid in below(self.server.pid) if status(pid, "Name") == "kavfs-opener"]


def status(pid: int, key: str) -> str:
    with open(f"/proc/{pid}/status") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(key + ":"))


@contextmanager
def desk(**settings: object) -> Iterator[Desk]:
    server = ForkServer({"opener": Role(run_opener)})
    try:
        openers = Openers(server, **settings)  # type: ignore[arg-type]
        try:
            yield Desk(openers, server)
        finally:
            openers.close()
    finally:
        server.close()


def file(path: Path, mode: int, content: bytes = b"content", owner: tuple[int, int] = (0, 0)) -> Path:
    path.write_bytes(content)
    os.chown(path, *owner)
    path.chmod(mode)
    return path


# ---- rights ---------------------------------------------------------------------------------------------------------


@ROOT
def test_file_that_the_peer_may_read_is_opened_for_reading_and_nothing_else(place):
    path = file(place / "open", 0o666)
    with desk() as made:
        (opened,) = made.ask(Peer(SOMEBODY), path)
        assert os.read(opened.fd, 100) == b"content"
        flags = fcntl.fcntl(opened.fd, fcntl.F_GETFL)
        assert flags & os.O_ACCMODE == os.O_RDONLY
        assert not os.get_inheritable(opened.fd)
        os.close(opened.fd)


@ROOT
def test_peer_learns_nothing_of_what_it_may_not_reach(place):
    file(place / "secret", 0o600)
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    file(hidden / "there", 0o666)
    (place / "link").symlink_to(place / "secret")
    (place / "through").symlink_to(hidden / "there")
    with desk() as made:
        names = (place / "secret", hidden / "there", hidden / "not there", place / "link", place / "through")
        assert [opened.error for opened in made.ask(Peer(SOMEBODY), *names)] == [errno.EACCES] * 5
        assert made.error(Peer(SOMEBODY), place / "missing") == errno.ENOENT
        assert made.error(Peer(SOMEBODY), hidden) == errno.EACCES


@ROOT
def test_groups_of_the_peer_count_and_those_of_the_daemon_do_not(place):
    ours = file(place / "root's group", 0o640)
    theirs = file(place / "a group's", 0o640, owner=(0, GROUP))
    with desk() as made:
        assert made.error(Peer(SOMEBODY), ours) == errno.EACCES
        assert made.error(Peer(SOMEBODY), theirs) == errno.EACCES
        assert made.content(Peer(SOMEBODY, SOMEBODY, (GROUP,)), theirs) == b"content"
        assert made.content(Peer(SOMEBODY, GROUP), theirs) == b"content"
        groups = sorted(status(pid, "Groups") for pid in made.processes())
        assert groups == ["", "", str(GROUP)]
        for pid in made.processes():
            assert status(pid, "Uid").split() == [str(SOMEBODY)] * 4
            assert len(set(status(pid, "Gid").split())) == 1
            assert int(status(pid, "CapPrm"), 16) == int(status(pid, "CapBnd"), 16) == 0
            assert status(pid, "NoNewPrivs") == "1"
            assert status(pid, "Seccomp") == "2"


@ROOT
def test_group_that_may_not_read_is_not_helped_by_others_who_may(place):
    path = file(place / "all but them", 0o604, owner=(0, GROUP))
    with desk() as made:
        assert made.content(Peer(SOMEBODY), path) == b"content"
        assert made.error(Peer(SOMEBODY, SOMEBODY, (GROUP,)), path) == errno.EACCES


@ROOT
def test_peer_that_is_root_reads_everything_and_can_do_no_more(place):
    path = file(place / "somebody's", 0o600, owner=(SOMEBODY, SOMEBODY))
    with desk() as made:
        assert made.content(Peer(0, 0, (0,)), path) == b"content"
        (pid,) = made.processes()
        assert int(status(pid, "CapEff"), 16) == int(status(pid, "CapBnd"), 16) == 1 << 2


# ---- what is opened -------------------------------------------------------------------------------------------------


@ROOT
def test_only_files_and_directories_are_opened(place):
    os.mkfifo(place / "fifo", 0o666)
    os.chmod(place / "fifo", 0o666)
    with socket.socket(socket.AF_UNIX) as listening, desk() as made:
        listening.bind(str(place / "socket"))
        os.chmod(place / "socket", 0o666)
        names = (place / "fifo", place / "socket", b"/dev/zero", b"/dev/null", b"/dev/tty")
        assert {opened.error for opened in made.ask(Peer(SOMEBODY), *names)} == {errno.ENXIO}
        (opened,) = made.ask(Peer(SOMEBODY), place)
        assert opened.is_directory
        assert sorted(os.listdir(opened.fd)) == ["fifo", "socket"]
        os.close(opened.fd)


@ROOT
@pytest.mark.parametrize("uid", [0, SOMEBODY])
@pytest.mark.parametrize(
    "path",
    [b"self/environ", b"self/maps", b"self/fd/0", b"self/fd/3", b"self/exe", b"self/root/etc/passwd", b"self/cwd/x",
     b"thread-self/status", b"1/environ", b"cpuinfo", b"self/task"],
)  # fmt: skip
def test_nothing_of_the_process_that_opens_can_be_reached(uid, path):
    with desk() as made:
        assert made.error(Peer(uid, uid), b"/proc/" + path) in (errno.EACCES, errno.ELOOP, errno.ENOENT)


@ROOT
def test_last_link_is_followed_only_if_wanted(place):
    file(place / "file", 0o644)
    (place / "link").symlink_to("file")
    (place / "folder").symlink_to(place)
    with desk() as made:
        assert made.content(Peer(SOMEBODY), place / "link") == b"content"
        assert made.error(Peer(SOMEBODY), place / "link", follow=False) == errno.ELOOP
        assert made.content(Peer(SOMEBODY), place / "folder" / "file", follow=False) == b"content"


@ROOT
def test_file_with_a_lease_is_opened_when_its_holder_gives_way(place):
    path = file(place / "leased", 0o644)
    holder = os.open(path, os.O_RDWR)
    fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def give_way(number: int, frame: object) -> None:
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    before = signal.signal(signal.SIGIO, give_way)
    try:
        with desk() as made:
            assert made.content(Peer(SOMEBODY), path) == b"content"
    finally:
        signal.signal(signal.SIGIO, before)
        os.close(holder)


@pytest.mark.parametrize("path", [b"", b"relative", b"/with\0nul", b"/" + b"x" * 4096])
def test_what_is_no_path_is_refused(path):
    with desk() as made:
        assert made.error(Peer(os.geteuid(), os.getegid(), tuple(os.getgroups())), path) in (
            errno.EINVAL,
            errno.ENAMETOOLONG,
        )


def test_longest_path_is_answered(tmp_path):
    with desk() as made:
        me = Peer(os.geteuid(), os.getegid(), tuple(os.getgroups()))
        assert made.error(me, b"/" + b"x/" * 2047) == errno.ENOENT
        assert made.error(me, b"/" + b"x" * 4094) == errno.ENAMETOOLONG


# ---- clients without an identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", [None, Peer(-1, -1)])
def test_client_without_identity_may_name_what_lies_below_a_folder_only(place, peer):
    (place / "in").mkdir()
    (place / "in" / "file").write_bytes(b"content")
    (place / "outside").write_bytes(b"secret")
    (place / "in" / "out").symlink_to("../outside")
    (place / "in" / "absolute").symlink_to(place / "in" / "file")
    (place / "in" / "within").symlink_to("file")
    folder = os.fsencode(place / "in")
    with desk() as made:
        assert made.error(peer, place / "in" / "file") == errno.EPERM
        assert made.content(peer, b"file", folder=folder) == b"content"
        assert made.content(peer, b"within", folder=folder) == b"content"
        for path in (b"../outside", b"out", b"absolute", b"./../in/file"):
            assert made.error(peer, path, folder=folder) == errno.EXDEV
        assert made.error(peer, place / "outside", folder=folder) == errno.EINVAL


# ---- processes ------------------------------------------------------------------------------------------------------


@ROOT
def test_least_recently_used_process_makes_room(place):
    path = file(place / "file", 0o644)
    with desk(most=2) as made:
        before = descriptors()
        for uid in (SOMEBODY, SOMEBODY + 1, SOMEBODY, SOMEBODY + 2, SOMEBODY):
            assert made.content(Peer(uid), path) == b"content"
        made.run(lambda: len(made.processes()) == 2)
        assert {status(pid, "Uid").split()[0] for pid in made.processes()} == {str(SOMEBODY), str(SOMEBODY + 2)}
        assert descriptors() == before + 2


@ROOT
def test_more_identities_than_processes_are_all_served(place):
    path = file(place / "file", 0o644)
    with desk(most=2) as made:
        found: list[Opened] = []
        for number in range(60):
            made.openers.open(Peer(SOMEBODY + number % 6), os.fsencode(path), found.append)
        made.run(lambda: len(found) == 60)
        assert {opened.error for opened in found} == {0}
        for opened in found:
            os.close(opened.fd)


@ROOT
def test_process_that_does_not_answer_is_replaced_and_others_do_not_wait(place):
    path = file(place / "file", 0o644)
    with desk(seconds=0.5) as made:
        made.content(Peer(SOMEBODY), path)
        (stuck,) = made.processes()
        os.kill(stuck, signal.SIGSTOP)
        found: list[Opened] = []
        made.openers.open(Peer(SOMEBODY), os.fsencode(path), found.append)
        made.openers.open(Peer(SOMEBODY), os.fsencode(path), found.append)
        assert made.content(Peer(SOMEBODY + 1), path) == b"content"
        made.run(lambda: len(found) == 2)
        assert [opened.error for opened in found] == [errno.ETIMEDOUT, 0]
        os.close(found[1].fd)
        made.run(lambda: stuck not in made.processes())


@ROOT
def test_process_that_is_killed_costs_nothing(place):
    path = file(place / "file", 0o644)
    with desk() as made:
        for _ in range(3):
            made.content(Peer(SOMEBODY), path)
            (pid,) = made.processes()
            os.kill(pid, signal.SIGKILL)
        assert made.content(Peer(SOMEBODY), path) == b"content"


@ROOT
def test_lost_server_of_the_openers_is_replaced(place):
    path = file(place / "file", 0o644)
    with desk() as made:
        made.content(Peer(SOMEBODY), path)
        (opener,) = made.processes()
        os.kill(int(status(opener, "PPid")), signal.SIGKILL)
        made.run(lambda: not made.processes())
        found: list[int] = []
        while 0 not in found:
            (opened,) = made.ask(Peer(SOMEBODY), path)
            found.append(opened.error)
        os.close(opened.fd)
        assert set(found) <= {0, errno.EIO}


# ---- a daemon that is not root --------------------------------------------------------------------------------------


def as_somebody(do: Callable[[], None]) -> None:
    """Run it in a process that is nobody special."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(SOMEBODY, SOMEBODY, SOMEBODY)
            os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)
            do()
        except BaseException:
            os.write(write, traceback.format_exc().encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as words:
        told = words.read().decode()
    os.waitpid(pid, 0)
    assert not told, told


@ROOT
def test_daemon_that_is_not_root_serves_its_own_user_and_refuses_others_without_a_look(place):
    readable = file(place / "readable", 0o644)
    own = file(place / "own", 0o600, owner=(SOMEBODY, SOMEBODY))

    def do() -> None:
        with desk() as made:
            assert made.content(Peer(SOMEBODY), own) == b"content"
            for path in (readable, own, place / "missing", b"/", b"/dev/null"):
                assert made.error(Peer(SOMEBODY + 1), path) == errno.EPERM
                assert made.error(Peer(0, 0), path) == errno.EPERM
            (pid,) = made.processes()
            assert int(status(pid, "CapPrm"), 16) == 0

    as_somebody(do)


@ROOT
def test_peer_of_the_same_user_without_its_groups_is_refused(place):
    own = file(place / "own", 0o600, owner=(SOMEBODY, SOMEBODY))

    def do() -> None:
        with desk() as made:
            assert made.error(Peer(SOMEBODY, GROUP), own) == errno.EPERM
            assert made.content(Peer(SOMEBODY, GROUP, (SOMEBODY,)), own) == b"content"

    as_somebody(do)


@ROOT
def test_everybody_may_ask_for_what_the_daemon_reads_when_that_is_wanted(place):
    readable = file(place / "readable", 0o644)
    secret = file(place / "secret", 0o600)

    def do() -> None:
        with desk(everybody=True) as made:
            assert made.content(Peer(SOMEBODY + 1), readable) == b"content"
            assert made.error(Peer(0, 0), secret) == errno.EACCES

    as_somebody(do)


@ROOT
def test_many_descriptors_of_the_same_user_on_their_way_elsewhere_do_no_harm(place):
    path = file(place / "file", 0o644)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, open(path, "rb") as sent, desk() as made:
        for _ in range(3):
            socket.send_fds(ours, [b"x"], [sent.fileno()] * 100)
        assert made.content(Peer(0, 0, (0,)), path) == b"content"


OURSELVES = Peer(os.geteuid(), os.getegid(), tuple(os.getgroups()))


def test_without_descriptors_for_an_opener_the_client_hears_it(place, monkeypatch):
    (place / "file").write_bytes(b"content")
    pair = socket.socketpair

    def none_left(*words):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with desk() as made:
        monkeypatch.setattr(socket, "socketpair", none_left)
        assert made.error(OURSELVES, place / "file") == errno.EMFILE
        monkeypatch.setattr(socket, "socketpair", pair)
        assert made.content(OURSELVES, place / "file") == b"content"
