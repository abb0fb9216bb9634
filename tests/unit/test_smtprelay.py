"""smtpscanner as mail servers start it: joins stdin and stdout to the daemon, or becomes the program in Python."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.smtprelays import SANITIZED, build

LONGEST = 60.0
OTHER = '#!/bin/sh\necho "python: $*"\nexit 3\n'
GREETING = b"220 us ESMTP\r\n"
BYE = b"221 2.0.0 Bye\r\n"


@pytest.fixture(scope="module", params=["as installed", "sanitized"])
def program(request, tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("relay"), OTHER, *(SANITIZED if request.param == "sanitized" else ()))


def configured(folder: Path, place: str) -> Path:
    path = folder / "kavfs.conf"
    path.write_text(f"[smtpscan.path]\nSocketPath={place}\n")
    return path


def run(program: Path, *words: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([program, *map(str, words)], input=given, capture_output=True, timeout=LONGEST)
    assert b"Sanitizer" not in done.stderr, done.stderr.decode(errors="replace")
    return done


@contextmanager
def playing(folder: Path, play: Callable[[socket.socket], None]) -> Iterator[Path]:
    """A daemon that serves one client."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen()
        listener.settimeout(LONGEST)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(LONGEST)
                play(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        yield configured(folder, str(folder / "socket"))
        thread.join(LONGEST)
        assert not thread.is_alive()


def everything(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(65536):
        found += data
    return found


def test_both_ways_to_the_end(program: Path, tmp_path: Path) -> None:
    heard = []

    def play(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        heard.append(everything(sock))
        sock.sendall(b"250 ok\r\n" + BYE)

    with playing(tmp_path, play) as conf:
        done = run(program, "-c", conf, given=b"EHLO me\r\nQUIT\r\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, GREETING + b"250 ok\r\n" + BYE, b"")
    assert heard == [b"EHLO me\r\nQUIT\r\n"]


def test_much_in_both_directions_at_once(program: Path, tmp_path: Path) -> None:
    """Whoever waits for one of them to be read stands still."""
    much = os.urandom(5_000_000)
    heard = []

    def play(sock: socket.socket) -> None:
        writer = threading.Thread(target=sock.sendall, args=(much,))
        writer.start()
        writer.join(LONGEST)
        heard.append(everything(sock))

    with playing(tmp_path, play) as conf:
        done = run(program, f"-c{conf}", given=much)
    assert done.stdout == much
    assert heard == [much]


@pytest.mark.parametrize(
    ("said", "code"), [(GREETING + BYE, 0), (GREETING, 75), (GREETING + b"250-221 \r\n", 75), (GREETING + b"221", 75)]
)
def test_a_daemon_that_ends_first(program: Path, tmp_path: Path, said: bytes, code: int) -> None:
    """Nothing is added to what it said: a client that hears no reply comes again."""
    with playing(tmp_path, lambda sock: sock.sendall(said)) as conf:
        process = subprocess.Popen(
            [program, "-c", conf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.read() == said
            assert process.wait(LONGEST) == code


def test_a_daemon_that_never_speaks(program: Path, tmp_path: Path) -> None:
    with playing(tmp_path, lambda sock: None) as conf:
        done = run(program, "-c", conf)
    assert done.returncode == 75
    assert done.stdout.startswith(b"421 4.3.2 ")
    assert done.stdout.count(b"\r\n") == 1


def test_a_client_that_reads_no_more(program: Path, tmp_path: Path) -> None:
    told = []

    def play(sock: socket.socket) -> None:
        try:
            while True:
                sock.sendall(b"250 more\r\n" * 1000)
        except OSError as error:
            told.append(type(error))

    reading, writing = os.pipe()
    hold, keep = os.pipe()
    with playing(tmp_path, play) as conf:
        process = subprocess.Popen([program, "-c", conf], stdin=hold, stdout=writing)
        os.close(writing)
        os.read(reading, 10)
        os.close(reading)
        assert process.wait(LONGEST) == 75
    os.close(keep)
    os.close(hold)
    assert told


@pytest.mark.parametrize("words", [(), ("-c", "{conf}"), ("-c{conf}",)])
def test_without_a_daemon_it_becomes_the_other_program(program: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    conf = configured(tmp_path, str(tmp_path / "nobody"))
    given = [word.format(conf=conf) for word in words]
    if not words and Path("/run/kavfs/smtpscanner").exists():
        pytest.skip("a daemon of this machine would answer")
    done = run(program, *given)
    assert (done.returncode, done.stdout) == (3, b"python: " + " ".join(given).encode() + b"\n")


def test_a_socket_that_nobody_listens_on_any_more(program: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "left"))
    assert run(program, "-c", configured(tmp_path, str(tmp_path / "left"))).returncode == 3


def test_no_socket_on_purpose(program: Path, tmp_path: Path) -> None:
    assert run(program, "-c", configured(tmp_path, "no")).returncode == 3


@pytest.mark.parametrize("words", [("--listen", "smtp:127.0.0.1:1"), ("-h",), ("-c",), ("-c", "x", "--foreground")])
def test_words_for_the_other_program(program: Path, words: tuple[str, ...]) -> None:
    done = run(program, *words)
    assert (done.returncode, done.stdout) == (3, b"python: " + " ".join(words).encode() + b"\n")


def test_trouble_is_told_as_a_reply_and_for_later(tmp_path: Path) -> None:
    alone = build(tmp_path, "")
    for conf in (tmp_path / "missing.conf", configured(tmp_path, "no")):
        done = run(alone, "-c", conf)
        assert done.returncode == 75
        assert done.stdout == b"421 4.3.2 Mail cannot be looked at now, try again later\r\n"
        assert done.stderr.startswith(b"smtpscanner: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect everywhere")
def test_a_socket_that_is_closed_to_us(program: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.listen()
        (tmp_path / "socket").chmod(0)
        done = run(program, "-c", configured(tmp_path, str(tmp_path / "socket")))
    assert (done.returncode, done.stdout[:4]) == (75, b"421 ")
