"""A Debian system with a network of its own: this one, with what is written to it kept apart and thrown away. Every
port is free in it, and it has kavfs as its package would install it.

with private_debian(top) as system:
    system.run("useradd joe")               as root there; the output
    system.path("/var/mail/joe")            where that lies for us
    system.send(content, "joe@host.example.org")
"""

from __future__ import annotations

import mailbox
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.daemons import children, databases
from tests.support.kavscanner import CHECKOUT
from tests.support.smtprelays import build

PATIENCE = 120.0
HOST = "host.example.org"
_BOOT = """
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs {top}
mkdir {top}/upper {top}/work {top}/root
mount -t overlay overlay -o lowerdir=/,upperdir={top}/upper,workdir={top}/work {top}/root
mount -t proc proc {top}/root/proc
mount --rbind /dev {top}/root/dev
mount -t tmpfs -o mode=755 tmpfs {top}/root/run
mount -t tmpfs -o mode=1777 tmpfs {top}/root/tmp
hostname {host}
ip link set lo up
echo 127.0.0.1 localhost {host} > {top}/root/etc/hosts
rm -f {top}/root/etc/resolv.conf
touch {top}/root/{mark}
exec chroot {top}/root python3 -c "{first}"
"""
# Nobody has to wait for what others have left behind.
_FIRST = "import os, signal; os.chdir('/'); signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.pause()"
_MARK = "of-a-test"  # in its root, and in no other
_SCRIPT = "#!{python}\nimport sys\nsys.path.insert(0, {checkout!r})\nfrom {module} import main\nsys.exit(main())\n"
_SCRIPTS = {
    "kavfs": "kavfs.cli.kavfs",
    "kavfs-smtpscanner": "kavfs.cli.smtpscanner",
    "kavfs-qmail-queue": "kavfs.cli.qmail_queue",
}
# Restarts what is told to be restarted, and knows nothing else: there is no systemd.
_SYSTEMCTL = """#!/bin/sh -e
case "$1" in
    restart) exec /usr/local/units/"$2" ;;
    enable) test -e /usr/local/units/"$2" ;;
    *) exit 1 ;;
esac
"""
STOP = """if [ -e /run/kavfs/smtpscanner.pid ]; then
    pid=$(cat /run/kavfs/smtpscanner.pid)
    kill $pid
    while [ -e /proc/$pid ]; do sleep 0.02; done
fi
"""
_SEND = """
import smtplib, sys
sender, *to = sys.argv[2:]
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), "client.example.org", 60) as client:
    try:
        client.sendmail(sender, to, sys.stdin.buffer.read(), ["BODY=8BITMIME"])
    except smtplib.SMTPResponseException as error:
        sys.exit(f"{error.smtp_code} {error.smtp_error}")
"""


class System:
    def __init__(self, pid: int) -> None:
        self._pid = pid

    def path(self, path: str) -> Path:
        return Path(f"/proc/{self._pid}/root{path}")

    def attempt(self, script: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        words = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--net", "--uts", "--root"]
        words += ["env", "-i", "-C/", "PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "HOME=/root"]
        # What goes on in the background must not keep a pipe.
        with self.path("/root/said").open("w+b") as said:
            done = subprocess.run(
                [*words, "sh", "-e", "-c", script], input=data, stdout=said, stderr=said, timeout=PATIENCE, check=False
            )
            said.seek(0)
            return subprocess.CompletedProcess(script, done.returncode, said.read())

    def run(self, script: str, data: bytes = b"") -> str:
        done = self.attempt(script, data)
        assert done.returncode == 0, f"{script}: {done.stdout.decode()}"
        return done.stdout.decode()

    def put(self, path: str, content: str, mode: int = 0o644) -> None:
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(mode)

    def listens(self, port: int) -> bool:
        """Somebody takes connections to it."""
        lines = [line.split() for line in Path(f"/proc/{self._pid}/net/tcp").read_text().splitlines()]
        return any(at.endswith(f":{port:04X}") and state == "0A" for _, at, _, state, *_ in lines)

    def send(self, content: bytes, *to: str, port: int = 25, sender: str = "a@example.org") -> None:
        self.run(shlex.join(["python3", "-c", _SEND, str(port), sender, *to]), content)

    def idents(self, user: str) -> list[str]:
        """Message-IDs of all that has come to a user."""
        with self._mailbox(user) as box:
            return [str(mail["Message-ID"]) for mail in box]

    def mail(self, user: str, ident: str) -> list[bytes]:
        """What has come to a user with this Message-ID, lines ended as on the net."""
        with self._mailbox(user) as box:
            keys = [key for key, mail in box.iteritems() if mail["Message-ID"] == f"<{ident}>"]
            return [box.get_bytes(key).replace(b"\n", b"\r\n") for key in keys]

    def notices(self, user: str) -> list[bytes]:
        """What programs have told a user."""
        with self._mailbox(user) as box:
            return [box.get_bytes(key) for key, mail in box.iteritems() if mail["Return-Path"] == "<>"]

    def _mailbox(self, user: str) -> closing[mailbox.mbox]:
        place = self.path(f"/var/mail/{user}")
        return closing(mailbox.mbox(place if place.exists() else "/dev/null", create=False))

    def came(self, user: str, ident: str) -> bytes:
        """The one that comes to a user with this Message-ID."""
        try:
            wait_until(lambda: self.mail(user, ident))
        except AssertionError:
            pytest.fail(self.run("tail -n 40 /var/log/mail.log /var/log/exim4/mainlog || true; mailq"))
        (found,) = self.mail(user, ident)
        return found


@contextmanager
def private_debian(top: Path) -> Iterator[System]:
    """*top*: an empty folder."""
    boot = _BOOT.format(top=shlex.quote(str(top)), host=HOST, mark=_MARK, first=_FIRST)
    words = [
        *("setpriv", "--pdeathsig=KILL"),  # it ends with us, however we end
        "unshare",
        "--fork",
        "--kill-child",
        "--pid",
        "--mount",
        "--mount-proc",
        "--net",
        "--uts",
        "sh",
        "-e",
        "-c",
    ]
    process = subprocess.Popen([*words, boot], stdin=subprocess.DEVNULL)
    try:
        system = System(_first(process))
        _install(system)
        yield system
    finally:
        process.kill()
        process.wait()


def _first(process: subprocess.Popen[bytes]) -> int:
    """The first process of the system, once it has the root of its own: before, that root is ours."""

    def ready() -> bool:
        assert process.poll() is None
        return any(Path(f"/proc/{one}/root/{_MARK}").exists() for one in children(process.pid))

    wait_until(ready)
    return next(one for one in children(process.pid) if Path(f"/proc/{one}/root/{_MARK}").exists())


def _install(system: System) -> None:
    """What the package of kavfs would: programs, and the account of the service; with signatures of the tests."""
    system.run("rm -rf /etc/kavfs /var/lib/kavfs; chmod a+x /root")  # a Python may lie there
    for name, module in _SCRIPTS.items():
        system.put(
            f"/usr/bin/{name}",
            _SCRIPT.format(python=sys.executable, checkout=str(CHECKOUT), module=module),
            0o755,
        )
    system.put("/usr/local/bin/systemctl", _SYSTEMCTL, 0o755)
    system.put("/usr/local/units/kavfs-smtpscanner", f"#!/bin/sh -e\n{STOP}smtpscanner --listen\n", 0o755)
    build(system.path("/usr/bin"), "")
    system.run("useradd --system --home /var/lib/kavfs/aveserver kavfs-aveserver")
    system.run("useradd --create-home joe; useradd --create-home anne")
    system.run("install -d -o kavfs-aveserver -g kavfs-aveserver -m 700 /var/lib/kavfs/aveserver")
    system.path("/etc/kavfs").mkdir()
    databases(system.path("/etc/kavfs/databases"))
