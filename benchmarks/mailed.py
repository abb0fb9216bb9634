"""Mailed: services that mail goes through, between senders and a server that takes all of it.

Both speak SMTP in and out on the loopback and have the same signatures. amavisd-new is as Debian ships it, with clamd
on its socket, and with what makes it fast: a process for each sender that serves many mails, its work in memory, no
log, and MIME and archives opened by clamd alone and not by both.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from benchmarks import served
from benchmarks.ours import ENVIRONMENT, Kavfs, program
from benchmarks.peers import Clamd, built
from benchmarks.served import Load

PATIENCE = 120.0  # seconds that a start may take
AMAVISD = Path("/usr/sbin/amavisd")
DEBIAN = [Path("/etc/amavis/conf.d", name) for name in ("01-debian", "15-av_scanners", "20-debian_defaults")]
AMAVIS = """
use strict;
$mydomain = 'example.org';  $myhostname = 'host.example.org';
$daemon_user = 'amavis';  $daemon_group = 'amavis';  $max_servers = {servers};
$max_requests = 10000;  $bypass_decode_parts = 1;
$MYHOME = '{home}';  $TEMPBASE = '{home}/tmp';  $lock_file = '{home}/lock';  $pid_file = '{home}/pid';
$enable_db = 0;  $log_level = 0;  $do_syslog = 0;  $LOGFILE = '/dev/null';
$inet_socket_bind = '127.0.0.1';  $inet_socket_port = {port};  @inet_acl = qw(127.0.0.1);
$forward_method = 'smtp:[127.0.0.1]:{sink}';  $notify_method = $forward_method;
$final_virus_destiny = D_REJECT;  $final_banned_destiny = D_PASS;  $QUARANTINEDIR = undef;
@bypass_spam_checks_maps = (1);  @bypass_virus_checks_maps = (0);
@av_scanners = (['ClamAV-clamd', \\&ask_daemon, ["CONTSCAN {{}}\\n", "{clamd}"],
  qr/\\bOK$/m, qr/\\bFOUND$/m, qr/^.*?: (?!Infected Archive)(.*) FOUND$/m]);
@av_scanners_backup = ();
1;
"""
OURS = """
[smtpscan.general]
ForwardMailer=smtp:127.0.0.1:{sink}
HostName=us.example.org
[smtpscan.path]
SocketPath={folder}/socket
PidFile={folder}/pid
[smtpscan.network]
Listen=smtp:127.0.0.1:{port}
"""


class Sink:
    """The program mail_load.c, compiled, taking mail on a port."""

    def __init__(self, cache: Path) -> None:
        self.program = built(cache / "load", "mail_load")

    def __enter__(self) -> Sink:
        self._process = subprocess.Popen(
            [self.program, "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


class Mailed:
    """A service that takes mail at *port* and hands it on."""

    name: str
    port: int
    processes: Sequence[psutil.Process]  # with their children

    def start(self, sink: Sink, files: Sequence[Path], senders: int) -> subprocess.Popen[str]:
        """Senders that send all *files* once."""
        command = [str(sink.program), "send", str(self.port), str(senders)]
        clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert clients.stdin is not None
        clients.stdin.writelines(f"{path}\n" for path in files)
        clients.stdin.close()
        return clients

    def send(self, sink: Sink, files: Sequence[Path], senders: int) -> Load:
        before = self.cpu()
        clients = self.start(sink, files, senders)
        return served.told_by(clients, lambda: self.cpu() - before)

    def cpu(self) -> float:
        return sum(served.cpu(one) for one in self.processes)

    def memory(self) -> int:
        return sum(served.memory(one) for one in self.processes)

    def own_memory(self) -> int:
        return sum(served.own_memory(one) for one in self.processes)

    def _wait(self, started: subprocess.Popen[bytes], log: Path) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 10) as sock:
                if sock.recv(4):
                    return
            if started.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.name} did not start: " + log.read_text()[-500:])
            time.sleep(0.1)


class Smtpscanner(Mailed):
    """Ours, with a state folder of its own."""

    name = "smtpscanner"

    def __init__(self, signatures: Path, threads: int, sink: Sink) -> None:
        self._signatures, self._threads, self._sink = signatures, threads, sink

    def __enter__(self) -> Smtpscanner:
        self.folder = Path(tempfile.mkdtemp(prefix="kavfs-mailed-"))
        self.port = free_port()
        state = self.folder / "state"
        Kavfs(self._signatures, self._threads).compile(state)
        conf = self.folder / "kavfs.conf"
        conf.write_text(OURS.format(sink=self._sink.port, port=self.port, folder=self.folder))
        places = ["--db", str(self._signatures), "--state", str(state), "--jobs", str(self._threads)]
        command = [*program("smtpscanner"), "-c", str(conf), "--listen", "--foreground", *places]
        with (self.folder / "log").open("wb") as log:
            self._started = subprocess.Popen(command, stderr=log, stdout=log, env=ENVIRONMENT)
        self.processes = [psutil.Process(self._started.pid)]
        self._wait(self._started, self.folder / "log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._started)
        shutil.rmtree(self.folder, ignore_errors=True)


class Amavis(Mailed):
    """amavisd-new before a clamd."""

    name = "amavisd"

    def __init__(self, signatures: Path, threads: int, senders: int, sink: Sink) -> None:
        if not AMAVISD.exists():
            raise FileNotFoundError("amavisd-new is not installed (make system-test)")
        self._clamd = Clamd(signatures, max(threads, senders), cache=True)
        self._senders, self._sink = senders, sink

    def __enter__(self) -> Amavis:
        clamd = self._clamd.__enter__()
        clamd.folder.chmod(0o755)  # where its socket is
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="kavfs-mailed-", dir=memory))
        self.folder.chmod(0o755)
        home = self.folder / "home"
        account = pwd.getpwnam("amavis")
        for folder in (home, home / "tmp"):
            folder.mkdir()
            os.chown(folder, account.pw_uid, account.pw_gid)
        self.port = free_port()
        conf = self.folder / "amavisd.conf"
        values = {"home": home, "port": self.port, "sink": self._sink.port, "clamd": clamd.folder / "socket"}
        conf.write_text(AMAVIS.format(servers=self._senders, **values))
        words = [word for path in (*DEBIAN, conf) for word in ("-c", str(path))]
        with (self.folder / "log").open("wb") as log:
            self._started = subprocess.Popen([AMAVISD, *words, "foreground"], stderr=log, stdout=log)
        self.processes = [psutil.Process(self._started.pid), psutil.Process(clamd.process.pid)]
        self._wait(self._started, self.folder / "log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._started)
        self._clamd.__exit__(kind, value, trace)
        shutil.rmtree(self.folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
