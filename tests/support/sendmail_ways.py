"""Sendmail in the two instances of the manual: one listens and hands everything to smtpscanner, which it starts for
each delivery; what was judged goes to a second configuration that smtpscanner starts in its turn (ForwardMailer)."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.mailing import PATIENCE, free_port
from tests.support.mta_house import Last, Scanner, Way, Ways, program
from tests.support.sendmail import APART, CF

WAYS = ("mailer", "alone")
COMMON = """divert(-1)dnl
define(`_CF_DIR_', `{cf}/')dnl
include(`{cf}/m4/cf.m4')dnl
VERSIONID(`test')
OSTYPE(`linux')
define(`confDOMAIN_NAME', `host.example.org')
define(`QUEUE_DIR', `{queue}')
define(`STATUS_FILE', `{top}/statistics')
define(`confPID_FILE', `{queue}.pid')
define(`ALIAS_FILE', `')
define(`confDEF_USER_ID', `root:root')
define(`confMIN_QUEUE_AGE', `0')
define(`confMAX_MESSAGE_SIZE', `4000000')
define(`confTO_IDENT', `0')
FEATURE(`no_default_msa')
FEATURE(`nocanonify')
FEATURE(`promiscuous_relay')
FEATURE(`accept_unresolvable_domains')
"""
LISTEN = """DAEMON_OPTIONS(`Name=mailer,Addr=127.0.0.1,Port={port}')
MAILER(`smtp')
MAILER_DEFINITIONS
Msmtpscanner,	P={program}, F=PCXmnz9S, S=EnvFromSMTP, R=EnvToSMTP, E=\\r\\n, L=2040,
	T=DNS/RFC822/SMTP,
	A=smtpscanner -c {configuration}
LOCAL_RULE_0
R$*	$#smtpscanner $@ localhost $: $1
"""
DELIVER = """define(`confDELIVERY_MODE', `interactive')
define(`SMART_HOST', `relay:[127.0.0.1]')
define(`RELAY_MAILER_ARGS', `TCP $h {last}')
MAILER(`smtp')
"""


@contextmanager
def sendmail_ways(top: Path) -> Iterator[Ways]:
    """By "mailer" a program is started that finds our daemon, by "alone" one that finds none and has its own core."""
    if not (CF / "m4/cf.m4").exists():
        pytest.fail("there is no Sendmail: make system-test")
    shutil.copyfile(APART / "usr/libexec/sendmail/sendmail", top / "sendmail")
    (top / "sendmail").chmod(0o755)
    libraries = next(APART.glob("usr/lib/*/libwrap.so.0")).parent
    environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(libraries)}
    with ExitStack() as stack:
        last = stack.enter_context(Last())
        _configure(top, "deliver", DELIVER.format(last=last.port))
        start = f"LD_LIBRARY_PATH={libraries} {top}/sendmail -bs -C {top}/deliver.cf"
        scanner = Scanner(top, f"smtp:(unshare --uts sh -c '{_NAMED} exec env {start}')")
        stack.callback(scanner.stop)
        scanner.start()
        lonely = top / "lonely.conf"
        lonely.write_text(scanner.configuration.read_text().replace(f"SocketPath={scanner.socket}", "SocketPath=no"))
        ours, ways = program(top), {}
        for name, configuration in (("mailer", scanner.configuration), ("alone", lonely)):
            port = free_port()
            _configure(top, name, LISTEN.format(port=port, program=ours, configuration=configuration))
            command = f"{_NAMED} exec {shlex.quote(str(top / 'sendmail'))} -bD -q1s -C {top}/{name}.cf"
            words = ["unshare", "--uts", "sh", "-c", command]
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.terminate)
            wait_until(lambda port=port: _listens(port))
            ways[name] = Way(port, last)
        yield Ways(scanner, last, ways)


_NAMED = "hostname host.example.org &&"  # it waits a minute for a host name with a dot


def _configure(top: Path, name: str, settings: str) -> None:
    queue = top / f"queue-{name}"
    queue.mkdir(mode=0o700)
    text = COMMON.format(cf=CF, top=top, queue=queue) + settings
    made = subprocess.run(["m4", "-"], input=text, capture_output=True, text=True, timeout=60, check=True).stdout
    (top / f"{name}.cf").write_text(made)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False
