"""Configurations of real mail programs in a root of the test's own, and the programs that read them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from kavfs.cli.kavfs import kavfs
from tests.support.kavscanner import CHECKOUT
from tests.support.postfix import root_of_postfix

APART = CHECKOUT / "build" / "apart"
EXIM = Path("/etc/exim4")

HAND_MAIN = b"""# Made by hand \xe4\xf6\xfc
  # a comment further right
myhostname = mail.example.org
mydestination = $myhostname,
\tlocalhost,
# between two lines of one setting

  example.org
content_filter =
receive_override_options = no_header_body_checks
smtpd_milters = { unix:/run/opendkim/opendkim.sock, connect_timeout=5s } inet:127.0.0.1:8891
smtpd_recipient_restrictions =
    permit_mynetworks
    reject_unauth_destination"""  # no end of line

HAND_MASTER = b"""#comment
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
  -o smtpd_helo_required=yes
# mail of users
  -o { smtpd_banner = a b }
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
lmtp      unix  -       -       y       -       -       lmtp
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
"""

SMALL_EXIM = """LISTEN = <; 127.0.0.1 ; ::1
local_interfaces = LISTEN
acl_smtp_rcpt = everybody
begin acl
everybody:
  accept
begin routers
all:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
"""

_SENDMAIL = """#!/bin/sh
# Sendmail waits a minute for a host name with a dot.
export LD_LIBRARY_PATH={libraries}
exec unshare --uts sh -c 'hostname host.example.org; exec {program} "$@"' sh "$@"
"""


class Machine:
    """A root with configurations, and `kavfs mta` on it."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = top / "root"
        self.state = self.root / "var/lib/kavfs"
        self.programs = top / "programs"
        for folder in (self.root / "etc", self.programs):
            folder.mkdir(parents=True)
        postfix = root_of_postfix()
        path = f"{self.programs}:{os.environ['PATH']}:{postfix}/usr/sbin:/usr/sbin"
        monkeypatch.setenv("PATH", path)
        if postfix != Path("/"):
            monkeypatch.setenv("LD_LIBRARY_PATH", f"{postfix}/usr/lib/postfix")

    def put(self, path: str, content: bytes | str, mode: int = 0o644) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)
        return place

    def mta(self, *words: str) -> int:
        """The exit code; what it says is on standard output."""
        return kavfs([os.fsencode(word) for word in ("mta", *words, "--root", str(self.root))])

    def tree(self, folder: str = "etc") -> dict[str, tuple[int, int, bytes]]:
        """Owner, mode and content (or target) of everything below."""
        found = {}
        for path in sorted((self.root / folder).rglob("*")):
            status = path.lstat()
            what = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.root))] = (status.st_uid, status.st_mode, what)
        return found

    def stand_in(self, name: str, script: str) -> None:
        """A program that is found before the real one."""
        place = self.programs / name
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)


# -- configurations --------------------------------------------------------------------------------------------------


def postfix_of_debian(machine: Machine) -> None:
    share = root_of_postfix() / "usr/share/postfix"
    machine.put("etc/postfix/main.cf", (share / "main.cf.debian").read_bytes())
    machine.put("etc/postfix/master.cf", (share / "master.cf.dist").read_bytes())


def postfix_by_hand(machine: Machine) -> None:
    os.chown(machine.put("etc/postfix/main.cf", HAND_MAIN, 0o640), 8, 12)
    machine.put("etc/postfix/master.cf", HAND_MASTER, 0o600)


def exim_template(machine: Machine) -> None:
    shutil.copytree(EXIM, machine.root / "etc/exim4")


def exim_split(machine: Machine) -> None:
    exim_template(machine)
    place = machine.root / "etc/exim4/update-exim4.conf.conf"
    place.write_text(place.read_text().replace("use_split_config='false'", "use_split_config='true'"))


def exim_example(machine: Machine) -> None:
    example = next(Path("/usr/share/doc/exim4-base/examples").glob("example.conf*"))
    text = subprocess.run(["zcat", "-f", example], capture_output=True, check=True, timeout=60).stdout
    machine.put("etc/exim4/exim4.conf", text, 0o640)


def exim_small(machine: Machine) -> None:
    machine.put("etc/exim4/exim4.conf", SMALL_EXIM)


def sendmail_of_debian(machine: Machine) -> None:
    """sendmail.mc as Debian ships it, and what m4 makes of it."""
    cf = APART / "usr/share/sendmail/cf"
    source = (cf / "debian/sendmail.mc").read_text()
    command = ["m4", f"-D_CF_DIR_={cf}/", cf / "m4/cf.m4", "-"]
    plain = re.sub("(?m)^include.*", "", source)  # of files that its installation makes
    made = subprocess.run(command, input=plain, capture_output=True, text=True, timeout=60, check=False).stdout
    machine.put("etc/mail/sendmail.mc", source)
    machine.put("etc/mail/sendmail.cf", re.sub("(?m)^(O TrustedUser|Fw/)", r"#\1", made))
    program = machine.programs / "sendmail.real"
    shutil.copyfile(APART / "usr/libexec/sendmail/sendmail", program)
    program.chmod(stat.S_IRWXU)
    libraries = next(APART.glob("usr/lib/*/libwrap.so.0")).parent
    place = machine.programs / "sendmail"
    place.write_text(_SENDMAIL.format(libraries=libraries, program=program))
    place.chmod(0o755)


def sendmail_with_filter(machine: Machine) -> None:
    sendmail_of_debian(machine)
    place = machine.root / "etc/mail/sendmail.cf"
    filters = "O InputMailFilters=opendkim\nXopendkim, S=inet:8891@127.0.0.1\n"
    place.write_text(place.read_text().replace("#O InputMailFilters\n", filters))
    source = machine.root / "etc/mail/sendmail.mc"
    source.write_text(source.read_text() + "INPUT_MAIL_FILTER(`opendkim', `S=inet:8891@127.0.0.1')dnl\n")
