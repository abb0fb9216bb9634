"""smtpscanner as it is installed: a real daemon with a real engine, clients of SMTP and LMTP, the next mail server."""

from __future__ import annotations

import email
import email.policy
import json
import os
import select
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.archives import make_rar4, make_zip
from tests.support.mail_daemons import Conversation, Smtpscanner, command, configuration, environment, running, send
from tests.support.mailing import letter, open_folder
from tests.support.objects import EICAR
from tests.support.qmails import QUEUE
from tests.support.smtprelays import build

RULES = r"""FilterByName=\.exe$
InfectedQuarantine=yes
[smtpscan.group:trusting]
Recipients=@trusting\.org$
InfectedRecipientAction=unchanged
FilteredRecipientAction=unchanged
AdminNotify=no
RecipientNotify=no
RecipientAttachReport=no
[smtpscan.group:unlooked]
Recipients=@unlooked\.org$
Check=no
[smtpscan.limits]
MaxMessageSize=100KiB
[smtpscan.options]
MailPlain=no
"""  # the last is for files: messages are opened all the same
LONG = "x" * 70


@pytest.fixture(scope="module")
def scanner(tmp_path_factory) -> Iterator[Smtpscanner]:
    with running(tmp_path_factory.mktemp("mail"), RULES) as found:
        yield found


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """smtpscanner in C, with the one in Python beside it."""
    script = f'#!/bin/sh\nexec {sys.executable} -m kavfs.cli.smtpscanner "$@"\n'
    return build(tmp_path_factory.mktemp("bin"), script)


def wire(mail: EmailMessage) -> bytes:
    return mail.as_bytes(policy=email.policy.SMTP)


def parts(content: bytes) -> dict[str | None, bytes]:
    """Decoded parts by name of the attachment."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    return {part.get_filename(): part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()}


def got(scanner: Smtpscanner, to: bytes, content: bytes, lmtp: bool = False) -> bytes:
    """What of a message that was taken came to the recipient."""
    (answer,) = send(scanner.lmtp if lmtp else scanner.smtp, [to], content, lmtp)
    assert answer.startswith(b"250 "), answer
    (taken,) = scanner.hop.mail(to)
    assert taken.sender == b"from@example.org"
    return taken.content


@pytest.mark.parametrize("lmtp", [False, True])
def test_clean_mail_is_not_altered_but_for_our_field(scanner, lmtp) -> None:
    content = wire(letter(("a.txt", b"nothing\n..dots\n" * 100)))
    came = got(scanner, b"clean%d@example.org" % lmtp, content, lmtp)
    field, _, rest = came.partition(b"\r\nFrom:")
    assert field.startswith(b"X-Anti-Virus: ")
    assert field.endswith(b"status: clean")
    assert b"From:" + rest == content


@pytest.mark.parametrize("lmtp", [False, True])
def test_what_is_infected_is_taken_out_and_everybody_is_told(scanner, lmtp) -> None:
    to = b"infected%d@example.org" % lmtp
    came = got(scanner, to, wire(letter(("good.txt", b"good"), ("bad.com", EICAR))), lmtp)
    assert EICAR not in came
    assert parts(came)["good.txt"] == b"good"
    assert "bad.com" not in parts(came)
    assert b"status: infected" in came
    assert b'"bad.com" is infected (Test.Eicar.UNOFFICIAL)' in came
    assert any(b"checked this message" in text for text in parts(came).values())
    assert b"Test.Eicar" in scanner.hop.notices(to)[0].content
    assert b"Test.Eicar" in scanner.hop.notices(b"postmaster@localhost", 1 + lmtp)[lmtp].content


def test_an_infected_member_of_an_archive_is_cured(scanner) -> None:
    archive = make_zip({"good.txt": b"good", "bad.com": EICAR})
    came = got(scanner, b"cured@example.org", wire(letter(("all.zip", archive))))
    assert b"status: cured" in came
    with zipfile.ZipFile(BytesIO(parts(came)["all.zip"])) as cured:
        assert cured.read("good.txt") == b"good"
        assert EICAR not in b"".join(cured.read(name) for name in cured.namelist())


def test_a_name_that_is_not_wanted_and_one_that_is(scanner) -> None:
    came = got(scanner, b"filtered@example.org", wire(letter(("tool.EXE", b"program"), ("tool.exe.txt", b"text"))))
    assert set(parts(came)) & {"tool.EXE", "tool.exe.txt"} == {"tool.exe.txt"}
    assert b"status: filtered" in came


def test_what_a_password_protects_goes_on_with_a_word(scanner) -> None:
    archive = make_rar4({"secret": b"secret"}, encrypted=True)
    came = got(scanner, b"protected@example.org", wire(letter(("all.rar", archive))))
    assert parts(came)["all.rar"] == archive
    assert b"status: protected" in came


def test_a_message_that_is_too_large_to_be_looked_at(scanner) -> None:
    came = got(scanner, b"large@example.org", wire(letter(("a.bin", b"x" * 150_000))))
    assert b"x" * 50 not in b"".join(parts(came).values())
    assert b"status: error" in came


def test_another_group_has_other_rules_and_one_has_none(scanner) -> None:
    content = wire(letter(("bad.com", EICAR)))
    assert parts(got(scanner, b"a@trusting.org", content))["bad.com"] == EICAR
    came = got(scanner, b"a@unlooked.org", content)
    assert came.endswith(content)


def test_by_smtp_recipients_of_another_group_come_again(scanner) -> None:
    content = wire(letter(("bad.com", EICAR)))
    refused, answer = send(scanner.smtp, [b"first@example.org", b"b@trusting.org"], content)
    assert refused.startswith(b"452 4.5.3 ")
    assert answer.startswith(b"250 ")
    assert scanner.hop.mail(b"first@example.org")
    assert not scanner.hop.mail(b"b@trusting.org")


def test_by_lmtp_each_recipient_has_an_answer_and_a_copy_of_his_own(scanner) -> None:
    content = wire(letter(("bad.com", EICAR)))
    to = [b"one@example.org", b"c@trusting.org", b"two@example.org"]
    assert [answer[:4] for answer in send(scanner.lmtp, to, content, lmtp=True)] == [b"250 "] * 3
    assert [EICAR in b"".join(parts(scanner.hop.mail(one)[0].content).values()) for one in to] == [False, True, False]


def test_whom_the_next_server_does_not_want(scanner) -> None:
    content = wire(letter())
    answers = send(scanner.smtp, [b"550@example.org", b"451@example.org", b"wanted@example.org"], content)
    assert [answer[:4] for answer in answers] == [b"550 ", b"451 ", b"250 "]


def test_what_was_infected_is_in_quarantine_with_its_envelope(scanner) -> None:
    got(scanner, b"kept@example.org", wire(letter(("bad.com", EICAR))))
    call = [sys.executable, "-m", "kavfs.cli.kavfs", "quarantine", "list"]
    call += ["--state", str(scanner.folder / "state")]
    done = subprocess.run(call, capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Test.Eicar" in done.stdout


def test_what_was_found_is_in_the_event_store(tmp_path) -> None:
    with running(tmp_path) as scanner:
        send(scanner.smtp, [b"event@example.org"], wire(letter(("bad.com", EICAR))))
        assert scanner.stop() == 0
    call = [sys.executable, "-m", "kavfs.cli.kavfs", "report", "--state", str(tmp_path / "state"), "--json"]
    done = subprocess.run(call, capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    for word in (b"smtpscanner", b"bad.com of <from@example.org>", b"Test.Eicar"):
        assert word in done.stdout


def test_the_program_joins_its_client_to_the_daemon(scanner, program) -> None:
    content = wire(letter(("bad.com", EICAR)))
    dialogue = b"EHLO me\r\nMAIL FROM:<from@example.org>\r\nRCPT TO:<joined@example.org>\r\nDATA\r\n"
    done = subprocess.run(
        [program, "-c", scanner.configuration], input=dialogue + content + b".\r\nQUIT\r\n", capture_output=True
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2].startswith(b"250 ")
    (taken,) = scanner.hop.mail(b"joined@example.org")
    assert b"status: infected" in taken.content


def test_status_says_what_was_done(scanner) -> None:
    got(scanner, b"counted@example.org", wire(letter()))
    call = [sys.executable, "-m", "kavfs.cli.kavfs", "status", "smtpscanner", "-c", str(scanner.configuration)]
    done = subprocess.run([*call, "--json"], capture_output=True, env=environment(), timeout=60)
    tree = json.loads(done.stdout)
    assert tree["pid"] == scanner.process.pid
    assert tree["mail"]["delivered"] >= 1
    assert tree["mail"]["statuses"]["clean"] >= 1
    text = subprocess.run(call, capture_output=True, env=environment(), timeout=60).stdout.decode()
    assert f"delivered {tree['mail']['delivered']:,}" in text


def test_without_a_daemon_the_program_scans_by_itself(scanner, program, tmp_path) -> None:
    path = configuration(tmp_path, f"smtp:127.0.0.1:{scanner.hop.port}")
    dialogue = b"EHLO me\r\nMAIL FROM:<from@example.org>\r\nRCPT TO:<alone@example.org>\r\nDATA\r\n"
    given = dialogue + wire(letter(("bad.com", EICAR))) + b".\r\nQUIT\r\n"
    done = subprocess.run([program, "-c", path], input=given, capture_output=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert [line[:4] for line in done.stdout.splitlines()[-3:]] == [b"354 ", b"250 ", b"221 "]
    (taken,) = scanner.hop.mail(b"alone@example.org")
    assert b"status: infected" in taken.content
    assert EICAR not in b"".join(parts(taken.content).values())


@pytest.mark.parametrize("wrong", ["BasesPath=/nonexistent", "ForwardMailer=nonsense", "ForwardMailer="])
def test_without_what_it_needs_the_client_is_told_to_come_again(program, tmp_path, wrong) -> None:
    path = configuration(tmp_path, "smtp:127.0.0.1:1")
    name = wrong.partition("=")[0]
    lines = [wrong if line.startswith(name) else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    done = subprocess.run([program, "-c", path], input=b"", capture_output=True, env=environment())
    assert done.returncode == 75
    assert done.stdout == b"421 4.3.2 Mail cannot be looked at now, try again later\r\n"
    assert done.stderr.startswith(b"smtpscanner: ")


def test_settings_change_without_a_gap_and_it_ends_when_told_to(tmp_path) -> None:
    text = f"AddXHeaders=yes\n[smtpscan.report]\nAVStatistics={tmp_path}/before\n"
    with running(tmp_path, text) as scanner:
        with Conversation.to(scanner.smtp) as old, Conversation.to(scanner.smtp) as idle:
            for client in (old, idle):
                assert client.hear() == b"220 us.example.org ESMTP"
            old.say(b"HELO me")
            old.say(b"MAIL FROM:<from@example.org>")
            path = scanner.configuration
            text = path.read_text().replace("us.example", "new.example").replace("rs=yes", "rs=no")
            path.write_text(text.replace("/before\n", "/after\n"))
            os.kill(scanner.process.pid, signal.SIGHUP)
            scanner.wait_for(b"signatures are ")
            with Conversation.to(scanner.smtp) as new:
                assert new.hear() == b"220 new.example.org ESMTP"
            assert old.say(b"RCPT TO:<old@example.org>")[0].startswith(b"250 ")
            assert old.say(b"DATA")[0].startswith(b"354 ")
            scanner.process.send_signal(signal.SIGTERM)
            assert idle.hear().startswith(b"421 ")
            assert old.say(wire(letter()) + b".")[0].startswith(b"250 ")
            assert old.hear().startswith(b"421 ")
        assert scanner.stop(0) == 0
        assert scanner.hop.mail(b"old@example.org")
    assert b"old@example.org" in (tmp_path / "after").read_bytes()
    assert not (tmp_path / "before").exists()


def test_a_daemon_that_is_killed_says_nothing_and_takes_nothing(tmp_path) -> None:
    """Killed while it has the message and before its end has come."""
    with running(tmp_path) as scanner, Conversation.to(scanner.smtp) as client:
        client.hear()
        client.say(b"HELO me", b"MAIL FROM:<from@example.org>", b"RCPT TO:<b@example.org>", b"DATA", replies=4)
        client.say(b"Subject: x", b"", b"hi", replies=0)
        scanner.process.kill()
        scanner.process.wait()
        assert client.hear() == b""
        assert not scanner.hop.mail(b"b@example.org")


def test_a_large_message_goes_through_in_flat_memory(tmp_path) -> None:
    size = 50_000_000
    line = (LONG + "\r\n").encode()
    with running(tmp_path) as scanner:
        got(scanner, b"small@example.org", wire(letter()))
        before = _peak(scanner.process.pid)
        head = b"From: a@example.org\r\nSubject: large\r\n\r\n"
        came = got(scanner, b"large@example.org", head + line * (size // len(line)))
        assert len(came) > size * 0.99
        assert _peak(scanner.process.pid) - before < 20 << 20


def _peak(pid: int) -> int:
    """Bytes of memory that the process has had at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) << 10 for row in lines if row.startswith("VmHWM:"))


@contextmanager
def background(path: Path, python: str = sys.executable) -> Iterator[int]:
    """The process, as an init script starts it; told to end, and gone, behind this."""
    folder = path.parent
    path.write_text(path.read_text().replace("[smtpscan.path]\n", f"[smtpscan.path]\nPidFile={folder}/pid\n"))
    call = [python, *command("-c", path, "--listen")[1:]]
    done = subprocess.run(call, capture_output=True, env=environment(), timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    pid = int((folder / "pid").read_text())
    watched = os.pidfd_open(pid)
    try:
        yield pid
    finally:
        signal.pidfd_send_signal(watched, signal.SIGTERM)
        assert select.select([watched], [], [], 60.0)[0], "it does not end"
        os.close(watched)


def test_it_goes_to_the_background_and_leaves_no_file_of_its_process(tmp_path) -> None:
    path = configuration(tmp_path, "smtp:127.0.0.1:1", listen=f"smtp:{tmp_path}/smtp")
    with background(path), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "smtp"))
        assert Conversation(sock).hear() == b"220 us.example.org ESMTP"
    assert not (tmp_path / "pid").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not os.access("/usr/bin/python3.11", os.X_OK), reason="needs a Python that everybody may read")
def test_root_starts_it_and_it_goes_on_as_somebody_else() -> None:
    with open_folder("mail") as folder:
        for place in (folder, folder / "state"):
            place.mkdir(exist_ok=True)
            os.chown(place, 65534, 65534)
        path = configuration(folder, "smtp:127.0.0.1:1", listen=f"smtp:{folder}/smtp")
        path.write_text(path.read_text().replace("Jobs=1\n", "Jobs=1\nUser=nobody\n"))
        with background(path, "/usr/bin/python3.11") as pid, socket.socket(socket.AF_UNIX) as sock:
            assert "Uid:\t65534\t65534\t65534\t65534" in Path(f"/proc/{pid}/status").read_text()
            sock.connect(str(folder / "smtp"))
            assert Conversation(sock).hear() == b"220 us.example.org ESMTP"


def test_qmail_all_the_way(tmp_path, program) -> None:
    """qmail's programs -> kavfs-qmail-queue -> smtpscanner -> the real qmail-queue."""
    (tmp_path / "queue.py").write_text(QUEUE)
    forward = f"qmail:({sys.executable} {tmp_path}/queue.py {tmp_path}/out 0)"
    with running(tmp_path, "AdminNotify=no\nRecipientNotify=no\n", forward) as scanner:
        call = "import sys; from kavfs.cli.qmail_queue import *; "
        call += "sys.exit(qmail_queue([b'-c', sys.argv[2].encode()], [sys.argv[1]]))"
        reading, writing = os.pipe()
        os.write(writing, b"Ffrom@example.org\0Tb c@example.org\0\0")
        os.close(writing)
        unix = wire(letter(("bad.com", EICAR))).replace(b"\r\n", b"\n")
        done = subprocess.run(
            [sys.executable, "-c", call, program, scanner.configuration],
            input=unix, stdout=reading, env=environment(), timeout=60,
        )  # fmt: skip
        os.close(reading)
    assert done.returncode == 0
    message, _, envelope = (tmp_path / "out").read_bytes().rpartition(b"|")
    assert envelope == b"Ffrom@example.org\0Tb c@example.org\0\0"
    assert b"status: infected" in message
    assert b"\r" not in message
