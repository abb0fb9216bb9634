"""A lane: one smtpscanner, the scripted next hop behind it, and clients that send a message until it is taken.

The program is the real one; only its patience with a next hop is shorter, as no key of the configuration makes it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kavfs.action.store import Store
from tests.support.daemon import free_port
from tests.support.daemons import children
from tests.support.hops import Client, Fault, dialogue
from tests.support.mail_daemons import environment
from tests.support.objects import EICAR
from tests.support.passing import let_pass, wait_until
from tests.support.wires import PATIENCE, WiredHop, converse

PROGRAM = """
from kavfs.mail import onward, settings
onward.Times = lambda: settings.Times(connect=2.0, command=1.0, block=2.0, final=2.0)
from kavfs.cli.smtpscanner import main
main()
"""
CONFIGURATION = """
[path]
BasesPath={folder}/databases
[smtpscan.path]
SocketPath=no
StatusSocketPath={folder}/status
StatePath={folder}/state
[smtpscan.general]
ForwardMailer={hop}
HostName=us.example.org
[smtpscan.network]
Listen={listen}
[smtpscan.limits]
IdleTimeout=1s
MaxCheckTime=3s
MaxConnections=1000
[smtpscan.options]
Jobs=1
[smtpscan.group:kept]
Recipients=^kept
AddXHeaders=no
Quarantine=yes
AdminNotify=no
RecipientNotify=no
RecipientAttachReport=no
RecipientAction=remove
[smtpscan.group:dropped]
Recipients=^dropped
AddXHeaders=no
Quarantine=no
AdminNotify=no
RecipientNotify=no
RecipientAttachReport=no
RecipientAction=remove
[smtpscan.group:default]
AddXHeaders=no
AdminNotify=no
RecipientNotify=no
RecipientAction=unchanged
RecipientAttachReport=no
"""
TO = (b"a@example.org", b"b@example.org")
TRIES = 6


@dataclass
class Case:
    """One message and what goes wrong with it. *whose* fault: client, hop; or "scan": while a worker has it."""

    client_lmtp: bool = False
    fault: Fault | None = None
    whose: str = "hop"
    pipelined: bool = False
    kept: bool = False  # on connections to the next hop that were used before
    to: tuple[bytes, ...] = TO
    answers: dict[bytes, bytes] = field(default_factory=dict)  # of the next hop: as NextHop.refuse
    infected: bool = False

    @property
    def may_repeat(self) -> bool:
        """Somebody does not hear a 250 that was said, or that is not true of all; a copy cannot be avoided then."""
        ends = [answer[:1] for name, answer in self.answers.items() if name.startswith(b"END")]
        mixed = (not self.client_lmtp and len(self.to) > len(ends) > 0) or len(set(ends)) > 1
        fault = self.fault
        if self.whose == "scan":  # which goes on without the client, and so does quarantine: the verdict is remembered
            return self.infected and fault is not None and fault.how == "client dies"
        if fault is None or fault.how.startswith("worker"):
            return mixed
        at, ours = (fault.step, fault.when), fault.how.startswith("we ")
        if self.whose == "client":
            return mixed or at == ("end", "after") or (fault.how == "we stall" and fault.step in ("content", "end"))
        if ours:  # what we have written goes on without us, the end of the message too
            return mixed or fault.step in ("content", "end") or at == ("DATA", "after")
        return mixed or at == ("end", "middle")


class Lane:
    """Begin it, run cases one after the other, close it. *counts*: what became of messages, for all cases."""

    def __init__(self, folder: Path, hop_lmtp: bool, program: str = PROGRAM) -> None:
        self.folder = folder
        self._program = program
        self.acts = {
            "we are killed": self.kill,
            "we stall": self._stop,
            "worker killed": lambda: self.signal_workers(signal.SIGKILL),
            "worker stalls": lambda: self.signal_workers(signal.SIGSTOP),
        }
        self.hop = WiredHop(hop_lmtp, self.acts)
        self.counts: Counter[str] = Counter()
        self._ports = {lmtp: free_port() for lmtp in (False, True)}
        self._number = 0
        self.sent: set[bytes] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._configure(hop_lmtp)

    def _configure(self, hop_lmtp: bool) -> None:
        self.folder.mkdir()
        (self.folder / "databases").mkdir()
        (self.folder / "databases" / "one.ndb").write_text(f"Test.Eicar:0:*:{EICAR.hex()}\n")
        hop = f"{'lmtp' if hop_lmtp else 'smtp'}:127.0.0.1:{self.hop.port}"
        listen = f"smtp:127.0.0.1:{self._ports[False]},lmtp:127.0.0.1:{self._ports[True]}"
        text = CONFIGURATION.format(folder=self.folder, hop=hop, listen=listen)
        (self.folder / "kavfs.conf").write_text(text)

    def __enter__(self) -> Lane:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self.hop.close()

    # ---- the program -------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def begin(self) -> None:
        """Returns when it is ready."""
        words = ["-c", str(self.folder / "kavfs.conf"), "--listen", "--foreground"]
        with open(self.folder / "said", "ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", self._program, *words], stdin=subprocess.DEVNULL, stderr=said, env=environment()
            )
        at = self.folder / "status"
        at.unlink(missing_ok=True)
        wait_until(lambda: at.exists() or self.ended, PATIENCE)
        assert not self.ended, (self.folder / "said").read_text()[-2000:]

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """kill -9, and it is gone; its workers follow by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)
        self.counts["killed"] += 1

    def end(self) -> None:
        if self._process is not None and not self.ended:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            finally:
                self._process.kill()
                self._process.wait()

    def _stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self.counts["stopped"] += 1

    def signal_workers(self, how: signal.Signals) -> None:
        for child in children(self.pid):
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "kavfs-worker\n":
                    os.kill(child, how)
                    self.counts[f"worker {how.name}"] += 1

    def in_scan(self) -> int:
        """Objects that its workers have."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.folder / "status"))
            said = b""
            while part := sock.recv(1 << 16):
                said += part
        return int(json.loads(said)["in_scan"])

    # ---- a message ---------------------------------------------------------------------------------------------------

    def run(self, case: Case) -> list[str]:
        """What is wrong with the end of it."""
        return Run(self, case).complaints()

    def content(self, infected: bool) -> bytes:
        """A message that there was not before, in pieces for whoever reads it."""
        self._number += 1
        text = EICAR + b"\r\n" if infected else b""
        content = b"Subject: %d of %s\r\n\r\n%s" % (self._number, bytes(self.folder), text) + b"text\r\n" * 6000
        self.sent.add(content)
        return content

    def kept(self, content: bytes) -> int:
        """Such messages in quarantine."""
        with Store(os.fsencode(self.folder / "state" / "quarantine")) as store:
            return sum(b"".join(store.open(item.id)) == content for item in store.items())

    def connect(self, lmtp: bool) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._ports[lmtp]), PATIENCE)


class Run:
    """One case on its way. *told*: whom the client was told that his copy is taken."""

    def __init__(self, lane: Lane, case: Case) -> None:
        self._lane, self._case = lane, case
        self._content = lane.content(case.infected)
        self._wrong: list[str] = []
        self._attempts = 0

    def complaints(self) -> list[str]:
        lane, case = self._lane, self._case
        lane.hop.refuse = case.answers
        if not case.kept:
            lane.hop.hang_up()
        client_fault = case.fault if case.whose == "client" else None
        lane.hop.set(case.fault if case.whose == "hop" else None)
        again = self._attempt(list(case.to), client_fault)
        if lane.hop.fault is None:
            lane.hop.set(None)
        lane.hop.refuse = {}
        end = time.monotonic() + PATIENCE
        while again and (self._attempts < TRIES or time.monotonic() < end):
            let_pass(0.1 * self._attempts)  # as whoever hears 451 does; a new scanning process takes its time
            lane.signal_workers(signal.SIGCONT)  # one that was only being made has a minute for that
            again = self._attempt(again)
        try:  # the next hop may still be on its way
            wait_until(lambda: lane.hop.fault is None, PATIENCE)
        except AssertionError:
            self._say("the fault never struck")
        lane.hop.set(None)
        if again:
            self._say(f"never delivered to {again}")
        self._count()
        return self._wrong

    def _say(self, text: str) -> None:
        self._wrong.append(f"{self._case}: {text}")

    def _attempt(self, to: list[bytes], fault: Fault | None = None) -> list[bytes]:
        """Who must get it again."""
        self._attempts += 1
        lane, case = self._lane, self._case
        if lane.ended:
            lane.begin()
        act = fault is not None and fault.how in lane.acts
        steps = dialogue(self._content, to, case.client_lmtp, case.pipelined)
        client = Client(steps, None if act else fault)
        before = lane.counts["stopped"]
        with lane.connect(case.client_lmtp) as sock:
            own = fault if act else None
            with self._in_scan(sock) if case.whose == "scan" and self._attempts == 1 else nullcontext():
                converse(sock, client, own, lane.acts, lambda: lane.counts["stopped"] > before)
        if lane.counts["stopped"] > before:
            os.kill(lane.pid, signal.SIGCONT)
        accepted = [address for address, good in zip(to, client.accepted(), strict=False) if good]
        ends = client.answers("end") if case.client_lmtp else client.answers("end") * len(accepted)
        heard = {address for address, answer in zip(accepted, ends, strict=False) if answer.startswith(b"2")}
        refused = {address for address, answer in zip(accepted, ends, strict=False) if answer.startswith(b"5")}
        refused |= {address for address, answer in zip(to, client.asked(), strict=False) if answer.startswith(b"5")}
        for address in heard:
            if not self._copies(address):
                self._say(f"LOST: {address!r} was said to be taken and is not")
        return [address for address in to if address not in heard | refused]

    @contextmanager
    def _in_scan(self, sock: socket.socket) -> Iterator[None]:
        """The fault strikes while the message is with a worker, which does nothing until then."""
        lane, fault = self._lane, self._case.fault
        assert fault is not None
        acts = {**lane.acts, "client dies": lambda: sock.shutdown(socket.SHUT_RDWR), "hop dies": lane.hop.hang_up}

        def strike() -> None:
            wait_until(lambda: lane.in_scan() == 1, PATIENCE)
            acts[fault.how]()
            if not lane.ended:
                lane.signal_workers(signal.SIGCONT)

        lane.signal_workers(signal.SIGSTOP)
        thread = threading.Thread(target=strike)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _copies(self, address: bytes) -> int:
        """Where policy wants them."""
        if not self._case.infected or address.startswith(b"a"):
            taken = [content for to, content in self._lane.hop.taken if to == address]
            if set(taken) - self._lane.sent:
                self._say("ALTERED")
            return taken.count(self._content)
        return 1 if address.startswith(b"dropped") else self._lane.kept(self._content)

    def _count(self) -> None:
        """Copies beyond the first: only where they cannot be avoided."""
        extra = sum(max(self._copies(address) - 1, 0) for address in self._case.to)
        self._lane.counts["cases"] += 1
        self._lane.counts["copies"] += extra
        if extra and not self._case.may_repeat:
            self._say(f"{extra} copies too many")
