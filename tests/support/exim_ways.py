"""Exim 4, Debian's heavy one, with us as its filter in all ways at once: each is a port of the same daemon."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.mailing import PATIENCE, free_port
from tests.support.mta_house import Last, Scanner, Way, Ways, program

EXIM = Path("/usr/sbin/exim4")
USER = "Debian-exim"
WAYS = ("command", "socket", "daemon", "smtp")
CONFIGURATION = """
primary_hostname = host.example.org
spool_directory = {top}/spool
log_file_path = {top}/spool/%slog
pid_file_path = {top}/spool/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {command} : {socket} : {daemon} : {smtp} : {back}
keep_environment =
host_lookup =
tls_advertise_hosts =
deliver_drop_privilege = true
message_size_limit = 4M
acl_smtp_rcpt = everybody
begin acl
everybody:
  accept
begin routers
judged:
  driver = manualroute
  condition = ${{if or{{{{eq{{$received_port}}{{{back}}}}}{{eq{{$received_port}}{{0}}}}{{eq{{$received_port}}{{}}}}}}}}
  route_data = 127.0.0.1
  self = send
  transport = onward
command:
  driver = accept
  condition = ${{if eq{{$received_port}}{{{command}}}}}
  transport = command
socket:
  driver = accept
  condition = ${{if eq{{$received_port}}{{{socket}}}}}
  transport = socket
daemon:
  driver = manualroute
  route_data = 127.0.0.1
  self = send
  transport = ${{if eq{{$received_port}}{{{smtp}}}{{smtp}}{{daemon}}}}
begin transports
command:
  driver = lmtp
  command = {program} -c {configuration}
  batch_max = 100
  timeout = 20m
socket:
  driver = lmtp
  socket = {own}
  batch_max = 100
  timeout = 20m
daemon:
  driver = smtp
  protocol = lmtp
  port = {to_lmtp}
  allow_localhost
  hosts_avoid_tls = *
  final_timeout = 20m
smtp:
  driver = smtp
  port = {to_smtp}
  allow_localhost
  hosts_avoid_tls = *
  final_timeout = 20m
onward:
  driver = smtp
  port = {last}
  allow_localhost
  hosts_avoid_tls = *
begin retry
*  *  F,1h,1s
"""


@contextmanager
def exim_ways(top: Path) -> Iterator[Ways]:
    if not EXIM.exists():
        pytest.fail("exim4-daemon-heavy is not installed: make system-test")
    ports = {name: free_port() for name in (*WAYS, "back")}
    account = pwd.getpwnam(USER)
    (top / "spool").mkdir()
    os.chown(top / "spool", account.pw_uid, account.pw_gid)
    with ExitStack() as stack:
        last = stack.enter_context(Last())
        scanner = Scanner(top, f"smtp:127.0.0.1:{ports['back']}")
        stack.callback(scanner.stop)
        scanner.start()
        values = {
            "top": top,
            "program": program(top),
            "configuration": scanner.configuration,
            "own": scanner.socket,
            "to_lmtp": scanner.lmtp,
            "to_smtp": scanner.smtp,
            "last": last.port,
        }
        (top / "exim.conf").write_text(CONFIGURATION.format(**ports, **values))
        words = [EXIM, "-C", top / "exim.conf", "-bdf", "-q1s"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: _listens(ports["back"]))
            yield Ways(scanner, last, {name: Way(ports[name], last) for name in WAYS})
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False
