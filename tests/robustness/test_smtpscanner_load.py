"""smtpscanner under what many clients, slow ones and large messages ask of it."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.support.daemons import children
from tests.support.mail_daemons import Conversation, Smtpscanner, running, send
from tests.support.objects import EICAR
from tests.support.passing import wait_until

TO = b"b@example.org"
SMALL = b"Subject: small\r\n\r\ntext\r\n"
IDLE = 1000  # clients
PER_CLIENT = 40  # KiB of memory that one may cost
LIMITS = "\n[smtpscan.limits]\n"
WORKER = "kavfs-worker\n"


def memory(pid: int) -> dict[int, int]:
    """KiB of its own at the most so far, of a process and of all below it. What it maps of files is the kernel's."""
    found = {}
    for one in (pid, *children(pid)):
        with suppress(OSError):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            values = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmHWM", "RssFile"))}
            found[one] = int(values["VmHWM"]) - int(values["RssFile"])
    return found


def own(pid: int) -> int:
    """KiB that a process shares with nobody now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def large(size: int) -> bytes:
    """A message of so many bytes with one attachment."""
    data = base64.encodebytes(os.urandom(size * 3 // 4)).replace(b"\n", b"\r\n")
    head = b"Subject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    field = b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\n"
    return head + field + data + b"--b--\r\n"


@contextmanager
def connected(scanner: Smtpscanner, count: int) -> Iterator[list[Conversation]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Conversation.to(scanner.smtp)) for _ in range(count)]


def test_a_large_message_needs_little_memory(tmp_path: Path) -> None:
    """In the daemon none at all; in a worker as much for a large one as for a larger one, and not for long."""
    with running(tmp_path) as scanner:
        pid = scanner.process.pid
        assert send(scanner.smtp, [TO], large(2 << 20)) == [b"250 taken"]
        before = memory(pid)
        assert send(scanner.smtp, [TO], large(50 << 20)) == [b"250 taken"]
        after = memory(pid)
        assert after[pid] - before[pid] < 6 << 10, (before, after)
        assert after.keys() <= before.keys()
        assert all(after[one] - before[one] < 16 << 10 for one in after), (before, after)
        wait_until(lambda: all(own(one) < 8 << 10 for one in children(pid) if one in before and name_of(one) == WORKER))


def test_a_thousand_idle_clients(tmp_path: Path) -> None:
    with running(tmp_path, f"{LIMITS}MaxConnections={IDLE + 10}\n") as scanner:
        pid = scanner.process.pid
        assert send(scanner.smtp, [TO], SMALL) == [b"250 taken"]
        before = memory(pid)[pid]
        with connected(scanner, IDLE) as clients:
            assert all(client.hear().startswith(b"220 ") for client in clients)
            assert send(scanner.smtp, [TO], SMALL) == [b"250 taken"]
            assert memory(pid)[pid] - before < IDLE * PER_CLIENT
            assert all(client.say(b"NOOP")[0].startswith(b"250 ") for client in clients[::50])
        assert send(scanner.smtp, [TO], SMALL) == [b"250 taken"]


def test_more_connections_than_a_client_may_have_are_turned_away(tmp_path: Path) -> None:
    with running(tmp_path, f"{LIMITS}MaxConnectionsClient=5\n") as scanner, connected(scanner, 50) as clients:
        greetings = [client.hear()[:4] for client in clients]
        assert sorted(greetings) == [b"220 "] * 5 + [b"421 "] * 45
        other = socket.create_connection(("127.0.0.1", scanner.smtp), 60, ("127.0.0.2", 0))
        with Conversation(other) as client:
            assert client.hear().startswith(b"220 ")
        served = [client for client, said in zip(clients, greetings, strict=True) if said == b"220 "]
        assert served[0].say(b"QUIT")[0].startswith(b"221 ")
        assert served[0].hear() == b""
        with Conversation.to(scanner.smtp) as client:
            assert client.hear().startswith(b"220 ")


def test_a_slow_client_holds_up_nobody(tmp_path: Path) -> None:
    """A byte of his, a message of another, and so on; his own message arrives as well."""
    slow = b"EHLO slow\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<slow@example.org>\r\nDATA\r\n"
    content = b"Subject: slow\r\n\r\n.\r\n"
    with running(tmp_path) as scanner, Conversation.to(scanner.smtp) as client:
        client.hear()
        for number, byte in enumerate(slow + content):
            client.socket.sendall(bytes([byte]))
            if number % 8 == 0:
                assert send(scanner.smtp, [TO], SMALL) == [b"250 taken"]
        assert [client.hear()[:4] for _ in range(5)] == [b"250 ", b"250 ", b"250 ", b"354 ", b"250 "]
        assert len(scanner.hop.mail(b"slow@example.org")) == 1


def in_scan(scanner: Smtpscanner) -> int:
    """Messages that the core has, and that wait for it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(scanner.folder / "smtpscanner.status"))
        tree = json.loads(b"".join(iter(lambda: sock.recv(1 << 16), b"")))
    return int(tree["in_scan"] + tree["waiting"])


def signal_workers(scanner: Smtpscanner, how: signal.Signals) -> None:
    for child in children(scanner.process.pid):
        if name_of(child) == WORKER:
            os.kill(child, how)


def test_so_many_messages_are_looked_at_at_once_and_others_wait(tmp_path: Path) -> None:
    with running(tmp_path, f"{LIMITS}MaxMessages=2\n") as scanner, ThreadPoolExecutor(4) as pool:
        assert send(scanner.smtp, [TO], SMALL) == [b"250 taken"]
        signal_workers(scanner, signal.SIGSTOP)
        messages = [b"Subject: %d\r\n\r\ntext\r\n" % number for number in range(4)]
        answers = [pool.submit(send, scanner.smtp, [TO], message) for message in messages]
        wait_until(lambda: in_scan(scanner) == 2)
        assert in_scan(scanner) == 2
        assert not any(answer.done() for answer in answers)
        signal_workers(scanner, signal.SIGCONT)
        assert [answer.result() for answer in answers] == [[b"250 taken"]] * 4


def items(scanner: Smtpscanner) -> int:
    """In quarantine."""
    return len(list((scanner.folder / "state" / "quarantine").glob("items/*")))


def test_a_client_that_goes_while_its_message_is_scanned_makes_no_second_copy(tmp_path: Path) -> None:
    """In quarantine and in notices: it comes again."""
    rule = "\n[smtpscan.group:default]\nInfectedQuarantine=yes\nAdminAddress=admin@example.org\n"
    infected = b"Message-ID: <one@x>\r\n\r\n" + EICAR + b"\r\n"
    with running(tmp_path, rule) as scanner:
        signal_workers(scanner, signal.SIGSTOP)
        with Conversation.to(scanner.smtp) as client:
            client.hear()
            client.say(b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.org>", b"DATA", replies=4)
            client.socket.sendall(infected + b".\r\n")
            wait_until(lambda: in_scan(scanner) == 1)
        signal_workers(scanner, signal.SIGCONT)
        wait_until(lambda: in_scan(scanner) == 0)
        assert send(scanner.smtp, [TO], SMALL) == [b"250 taken"]
        assert items(scanner) == 0
        assert send(scanner.smtp, [TO], infected) == [b"250 taken"]
        assert items(scanner) == 1
        assert len(scanner.hop.notices(b"admin@example.org")) == 1
