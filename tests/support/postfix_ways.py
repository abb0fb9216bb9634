"""Postfix with us as its filter in all ways at once: each is a port of the same Postfix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.mailing import free_port
from tests.support.mta_house import Last, Scanner, Way, Ways, program
from tests.support.postfix import postfix

USER = "nobody"  # as whom spawn(8) starts us: neither root nor the owner of the queue
SETTINGS = """
message_size_limit = 4000000
content_filter =
queue_run_delay = 1s
minimal_backoff_time = 1s
"""
SERVICES = """
127.0.0.1:{daemon} inet n - n - - smtpd -o content_filter=kavfs:[127.0.0.1]:{lmtp}
127.0.0.1:{spawn} inet n - n - - smtpd -o content_filter=kavfs:[127.0.0.1]:{spawned}
127.0.0.1:{proxy} inet n - n - - smtpd
  -o smtpd_proxy_filter=127.0.0.1:{smtp}
127.0.0.1:{milter} inet n - n - - smtpd -o smtpd_milters=unix:{milter_socket}
127.0.0.1:{hold} inet n - n - - smtpd -o content_filter=kavfs:[127.0.0.1]:{holding}
127.0.0.1:{spawned} inet n n n - 10 spawn user={user} argv={program} -c {configuration}
127.0.0.1:{back} inet n - n - - smtpd
  -o content_filter= -o smtpd_proxy_filter= -o smtpd_milters=
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_connection_count_limit=0
kavfs unix - - n - 10 lmtp
  -o lmtp_send_xforward_command=yes -o disable_dns_lookups=yes -o lmtp_data_done_timeout=1200s
"""
WAYS = ("daemon", "spawn", "proxy", "milter")


@contextmanager
def postfix_ways(top: Path, more: str = "") -> Iterator[Ways]:
    """*more*: groups and settings other than the usual ones."""
    names = (*WAYS, "hold", "holding", "spawned", "back")
    ports = {name: free_port() for name in names}
    with ExitStack() as stack:
        last = stack.enter_context(Last())
        scanner = Scanner(top, f"smtp:127.0.0.1:{ports['back']}", more)
        stack.callback(scanner.stop)
        scanner.start()
        values = {
            "milter_socket": scanner.milter,
            "lmtp": scanner.lmtp,
            "smtp": scanner.smtp,
            "user": USER,
            "program": program(top),
            "configuration": scanner.configuration,
        }
        services = SERVICES.format(**ports, **values)
        transport = f"smtp:[127.0.0.1]:{last.port}"
        stack.enter_context(postfix(top, None, transport, SETTINGS, services))
        ways = {name: Way(ports[name], last) for name in (*WAYS, "hold")}
        yield Ways(scanner, last, ways, ports["holding"])


def waiting(top: Path) -> bool:
    """Whether there is mail that has not gone on."""
    queues = ("maildrop", "incoming", "active", "deferred")
    return any(files for queue in queues for _, _, files in os.walk(top / "spool" / queue))
