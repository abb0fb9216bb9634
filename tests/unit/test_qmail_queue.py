"""kavfs-qmail-queue: what qmail gives it, what smtpscanner is told, and the exit status that comes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kavscanner import CHECKOUT, LONGEST

ENVELOPE = b"Ffrom@example.org\0Tone@example.org\0Ttwo words@example.org\0\0"
CALL = "import sys; from kavfs.cli.qmail_queue import *\ntry: sys.exit(qmail_queue([], sys.argv[1:]))\n"
CALL += "except Stop as stop: sys.exit(stop.status)\n"
SCANNER = """
import sys
heard, refused = open(sys.argv[1], "ab"), dict(word.split("=") for word in sys.argv[2:])
def say(text):
    sys.stdout.write(refused.get(text[4:], text) + "\\r\\n"); sys.stdout.flush()
say("220 us ESMTP")
seen = 0
while line := sys.stdin.buffer.readline():
    heard.write(line)
    verb = line[:4].decode()
    if verb == "RCPT":
        seen += 1
        say(f"250 r{seen}")
    elif verb == "DATA":
        say("354 go")
        while (line := sys.stdin.buffer.readline()) != b".\\r\\n":
            heard.write(line)
        say("250 end")
    else:
        say("250 " + verb.strip())
    if verb == "QUIT":
        break
heard.close()
"""


def run(folder: Path, *answers: str, message: bytes = b"Subject: x\n\n.dot\nend\n", envelope: bytes = ENVELOPE):
    """Exit status, and what smtpscanner heard."""
    (folder / "scanner.py").write_text(SCANNER)
    program = [sys.executable, str(folder / "scanner.py"), str(folder / "heard"), *answers]
    reading, writing = os.pipe()
    os.write(writing, envelope)
    os.close(writing)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "KAVFS_CONFIG": ""}
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, *program], stdin=subprocess.PIPE, stdout=reading, env=environment
    )
    os.close(reading)
    process.communicate(message, LONGEST)
    heard = folder / "heard"
    return process.returncode, heard.read_bytes() if heard.exists() else b""


def test_what_smtpscanner_hears(tmp_path: Path) -> None:
    status, heard = run(tmp_path)
    assert status == 0
    assert heard.split(b"\r\n")[1:] == [
        b"MAIL FROM:<from@example.org>",
        b"RCPT TO:<one@example.org>",
        b'RCPT TO:<"two words"@example.org>',
        b"DATA",
        b"Subject: x",
        b"",
        b"..dot",
        b"end",
        b"",
    ]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("us ESMTP=421 busy", 73),
        ("MAIL=550 no", 31),
        ("MAIL=451 later", 71),
        ("r2=550 nobody", 31),
        ("r2=451 later", 71),
        ("end=451 later", 71),
        ("end=554 never", 31),
        ("go=554 never", 31),
        ("end=nonsense", 74),
    ],
)
def test_refusals(tmp_path: Path, answer: str, status: int) -> None:
    found, _ = run(tmp_path, answer)
    assert found == status


def test_who_is_to_come_by_himself_comes_at_once(tmp_path: Path) -> None:
    status, heard = run(tmp_path, "r2=452 4.5.3 another group")
    assert status == 0
    transactions = heard.split(b"MAIL FROM:")[1:]
    assert [b"one@" in one for one in transactions] == [True, False]
    assert all(b"two words" in one for one in transactions)
    assert heard.count(b"DATA\r\n") == 2


def test_a_recipient_who_never_has_room_is_for_later(tmp_path: Path) -> None:
    assert run(tmp_path, "r1=452 full", "r2=452 full")[0] == 71


@pytest.mark.parametrize(
    "envelope", [b"", b"F\0", b"Fa\0Tb\0", b"Fa\0Xb\0\0", b"Ta\0Fb\0\0", b"Fa\0T\0\0", b"Fa\0Tb\0\0more"]
)
def test_an_envelope_that_is_none(tmp_path: Path, envelope: bytes) -> None:
    assert run(tmp_path, envelope=envelope) == (91, b"")


def test_a_message_of_nothing_and_one_without_an_end(tmp_path: Path) -> None:
    assert run(tmp_path, message=b"")[0] == 0
    status, heard = run(tmp_path, message=b"no end")
    assert status == 0
    assert heard.endswith(b"DATA\r\nno end\r\n")


def test_nobody_to_hand_it_to(tmp_path: Path) -> None:
    call = [sys.executable, "-c", CALL, "/nonexistent/smtpscanner"]
    reading, writing = os.pipe()
    os.write(writing, ENVELOPE)
    os.close(writing)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(call, input=b"x\n", stdout=reading, env=environment, timeout=LONGEST)
    os.close(reading)
    assert done.returncode == 55
