"""Soak of mail: ``python -m tests.soak.mail [--messages N] [--seed N]``: through Postfix and our filter to the last
mail server, while our processes are killed at random. Exit code 1: something was wrong; it is told.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kavfs.action.store import Store
from tests.support.daemon import databases, free_port
from tests.support.daemons import children
from tests.support.mail_daemons import NextHop, Taken, command, environment
from tests.support.mailing import PATIENCE
from tests.support.objects import EICAR
from tests.support.postfix import postfix

SENDERS = 4
INFECTED = 40  # one of so many messages; it goes into quarantine
KILL_AFTER = (10, 60)  # messages from one kill to the next
SILENCE = 120.0  # seconds without any arrival until what is missing is lost
TRACE = (b"received", b"x-anti-virus", b"return-path", b"delivered-to", b"x-original-to")
SETTINGS = """
message_size_limit = 4000000
content_filter = kavfs:[127.0.0.1]:{lmtp}
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
smtpd_client_connection_count_limit = 0
"""
SERVICES = """
127.0.0.1:{back} inet n - n - - smtpd -o content_filter= -o smtpd_authorized_xforward_hosts=127.0.0.0/8
kavfs unix - - n - 8 lmtp -o lmtp_send_xforward_command=yes -o disable_dns_lookups=yes
"""
CONFIGURATION = """
[path]
BasesPath={bases}
[smtpscan.path]
SocketPath=no
StatusSocketPath=no
StatePath={top}/state
[smtpscan.general]
ForwardMailer=smtp:127.0.0.1:{back}
HostName=us.example.org
[smtpscan.options]
Jobs=2
[smtpscan.network]
Listen=lmtp:127.0.0.1:{lmtp}
[smtpscan.group:default]
Quarantine=yes
AdminNotify=no
RecipientNotify=no
RecipientAttachReport=no
RecipientAction=remove
"""
NUMBER = re.compile(rb"^Message-ID: <([0-9]+)@", re.MULTILINE)


def message(seed: int, number: int) -> bytes:
    """Fields, text and an attachment as nobody would write them, with lines that Postfix leaves alone."""
    rnd = random.Random(f"{seed} {number}")
    head = [b"From: a@example.org", b"To: b@example.org", b"Message-ID: <%d@example.org>" % number]
    head += [
        b"Date: Mon, 2 Nov 2026 10:00:00 +0000",
        b"Subject:" + rnd.randbytes(6).hex().encode() + b"\r\n\t folded  ",
    ]
    head += [b"X-%s:%s" % (rnd.choice((b"Odd", b"oDD", b"Empty")), b" x" * rnd.randrange(40)) for _ in range(3)]
    if number % INFECTED == 0:
        return b"\r\n".join([*head, b"", EICAR, b""])
    text = [rnd.choice((b".", b"..", b"", b"From x", "Grüße".encode(), b"y" * rnd.randrange(900))) for _ in range(30)]
    if rnd.random() < 0.3:
        return b"\r\n".join([*head, b"MIME-Version: 1.0", b"Content-Transfer-Encoding: 8bit", b"", *text, b""])
    part = rnd.randbytes(rnd.randrange(1, 40_000)).hex().encode()
    lines = [part[at : at + 76] for at in range(0, len(part), 76)]
    head += [b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=b%d" % number, b"", b"--b%d" % number]
    head += [b"Content-Transfer-Encoding: 8bit", b"", *text, b"--b%d" % number]
    return b"\r\n".join(
        [*head, b'Content-Disposition: attachment; filename="x.txt"', b"", *lines, b"--b%d--" % number, b""]
    )


def digest(content: bytes) -> bytes:
    """Of everything but trace fields."""
    head, _, body = content.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    own = [one for one in fields if one.partition(b":")[0].strip().lower() not in TRACE]
    return hashlib.sha256(b"\r\n".join(own) + b"\r\n\r\n" + body).digest()


class Last(NextHop):
    """The last mail server: remembers numbers and digests."""

    request_queue_size = 1024  # who is not let in waits for minutes to be greeted

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[int] = Counter()
        self.digests: dict[int, set[bytes]] = {}
        self.strange: list[bytes] = []
        self.news = threading.Condition()

    def take(self, one: Taken) -> None:
        found = NUMBER.search(one.content)
        with self.news:
            if found is None or one.recipients != (b"b@example.org",):
                self.strange.append(one.content[:500])
            else:
                number = int(found[1])
                self.seen[number] += 1
                self.digests.setdefault(number, set()).add(digest(one.content))
            self.news.notify_all()

    def wait(self, more: int, seconds: float, over: Callable[[], bool] = lambda: False) -> bool:
        """Whether so many more have come, or it is over, within this time."""
        with self.news:
            wanted = self.seen.total() + more
            return self.news.wait_for(lambda: self.seen.total() >= wanted or over(), seconds)


@dataclass
class Outcome:
    messages: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    copies: int = 0
    kept: int = 0
    kept_copies: int = 0
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.messages:,} messages in {self.seconds:.0f} s; killed: {kills}; started {self.starts} times; "
            f"in quarantine {self.kept} (copies {self.kept_copies}); copies at the last server {self.copies}"
        )


class Supervisor:
    """Starts the daemon again whenever it ends."""

    def __init__(self, configuration: Path, said: Path) -> None:
        self._words = command("-c", configuration, "--listen", "--foreground")
        self._said = said
        self._over = threading.Event()
        self.starts = 0
        self._start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _start(self) -> None:
        with open(self._said, "ab") as said:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment()
            )
        self.starts += 1

    def _run(self) -> None:
        while True:
            self._process.wait()
            if self._over.wait(0.05):
                return
            self._start()

    def kill_one(self, rnd: random.Random) -> str:
        """What was killed: the daemon, its fork server, whoever cures, or a worker."""
        daemon = self._process.pid
        pid = rnd.choice([daemon, *children(daemon)])
        with suppress(OSError):
            name = "daemon" if pid == daemon else Path(f"/proc/{pid}/comm").read_text().strip()
            os.kill(pid, signal.SIGKILL)
            return name
        return "gone"

    def close(self) -> None:
        self._over.set()
        self._process.terminate()
        self._thread.join()


def soak(top: Path, messages: int, seed: int) -> Outcome:
    """*top*: a folder that other users may enter."""
    outcome = Outcome(messages)
    ports = {"lmtp": free_port(), "back": free_port()}
    configuration = top / "kavfs.conf"
    configuration.write_text(CONFIGURATION.format(top=top, bases=databases(top), **ports))
    with ExitStack() as stack:
        last = stack.enter_context(_last())
        supervisor = Supervisor(configuration, top / "said")
        stack.callback(supervisor.close)
        transport = f"smtp:[127.0.0.1]:{last.port}"
        mta = postfix(top, None, transport, SETTINGS.format(**ports), SERVICES.format(**ports))
        port = stack.enter_context(mta).port
        started = time.monotonic()
        over = threading.Event()
        killer = threading.Thread(target=_kill, args=(supervisor, last, over, random.Random(seed), outcome))
        senders = [threading.Thread(target=_send, args=(port, seed, n, messages, outcome)) for n in range(SENDERS)]
        for thread in (killer, *senders):
            thread.start()
        try:
            for thread in senders:
                thread.join()
            clean = sum(number % INFECTED != 0 for number in range(messages))
            _wait(last, clean)
            over.set()
            killer.join()
            _wait_for_quarantine(top, messages - clean)
        finally:
            over.set()
            killer.join()
        outcome.seconds = time.monotonic() - started
        outcome.starts = supervisor.starts
        _judge(top, last, seed, outcome)
    return outcome


@contextmanager
def _last() -> Iterator[Last]:
    last = Last()
    try:
        yield last
    finally:
        last.shutdown()
        last.server_close()


def _send(port: int, seed: int, first: int, messages: int, outcome: Outcome) -> None:
    """What Postfix takes is its own from then on."""
    try:
        with smtplib.SMTP("127.0.0.1", port, "test.example.org", PATIENCE) as client:
            for number in range(first, messages, SENDERS):
                client.sendmail("a@example.org", ["b@example.org"], message(seed, number), ["BODY=8BITMIME"])
    except (OSError, smtplib.SMTPException) as error:
        outcome.complaints.append(f"sender {first}: {error!r}")


def _kill(supervisor: Supervisor, last: Last, over: threading.Event, rnd: random.Random, outcome: Outcome) -> None:
    """One process, whenever some messages have arrived; or a while later, when nothing does."""
    while not over.is_set():
        last.wait(rnd.randint(*KILL_AFTER), 10.0, over.is_set)
        if not over.is_set():
            outcome.kills[supervisor.kill_one(rnd)] += 1


def _wait(last: Last, count: int) -> None:
    while len(last.seen) < count and last.wait(1, SILENCE):
        pass


def _wait_for_quarantine(top: Path, count: int) -> None:
    """What Postfix has still to try again."""
    end = time.monotonic() + SILENCE
    while len(_kept(top)) < count and time.monotonic() < end:
        threading.Event().wait(0.5)


def _kept(top: Path) -> Counter[int]:
    """Messages in quarantine, by number."""
    found: Counter[int] = Counter()
    with Store(os.fsencode(top / "state" / "quarantine")) as store:
        for item in store.items():
            number = NUMBER.search(b"".join(store.open(item.id)))
            assert number is not None
            found[int(number[1])] += 1
    return found


def _judge(top: Path, last: Last, seed: int, outcome: Outcome) -> None:
    kept = _kept(top)
    wanted = {number: number % INFECTED == 0 for number in range(outcome.messages)}
    outcome.kept = len(kept)
    outcome.kept_copies = kept.total() - len(kept)
    with last.news:
        outcome.copies = last.seen.total() - len(last.seen)
        lost = [number for number, bad in wanted.items() if number not in (kept if bad else last.seen)]
        wrong = [number for number, bad in wanted.items() if number in (last.seen if bad else kept)]
        altered = [one for one, found in last.digests.items() if found != {digest(message(seed, one))}]
        for text, numbers in (("lost", lost), ("in the wrong place", wrong), ("altered", altered)):
            if numbers:
                outcome.complaints.append(f"{text}: {len(numbers)}: {numbers[:10]}")
        outcome.complaints += [f"strange: {content!r}" for content in last.strange[:3]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.mail")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kavfs-soak-") as folder:
        Path(folder).chmod(0o755)
        outcome = soak(Path(folder), given.messages, given.seed)
    print(outcome, *outcome.complaints, sep="\n", file=sys.stderr)
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
