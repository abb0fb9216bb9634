"""rspamd with its own antivirus module, type clamav, on our socket.

Its package needs another build of a library than ours, so `make system-test` unpacks both into build/apart; nothing of
its configuration is used but the module.
"""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.archives import make_zip
from tests.support.daemons import EICAR_NAME, PATIENCE, Aveserver, databases
from tests.support.kavscanner import CHECKOUT
from tests.support.mailing import free_port, letter, open_folder
from tests.support.programs import EICAR

APART = CHECKOUT / "build" / "apart"
CONFIGURATION = """
lua_path = "";
options {{
  filters = ""; pidfile = "{top}/pid"; control_socket = "{top}/control"; hs_cache_dir = "{top}"; tempdir = "{top}";
  dynamic_conf = "{top}/dynamic"; history_file = "{top}/history"; url_tld = "{top}/names"; dns {{ nameserver = [] }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
modules {{ path = "{share}/plugins/antivirus.lua"; }}
antivirus {{ clamav {{
  type = "clamav"; servers = "{clamd}"; symbol = "VIRUS"; action = "reject"; no_cache = true; retransmits = 1;
}} }}
"""


@dataclass
class Rspamd:
    port: int
    server: Aveserver

    def check(self, *attachments: tuple[str, bytes]) -> tuple[str, list[str]]:
        """What is to be done with a mail, and the symbols that say why."""
        mail = urllib.request.Request(f"http://127.0.0.1:{self.port}/checkv2", data=bytes(letter(*attachments)))
        with urllib.request.urlopen(mail, timeout=PATIENCE) as response:
            answer: dict[str, Any] = json.load(response)
        options = [option for symbol in answer["symbols"].values() for option in symbol.get("options", ())]
        return answer["action"], [*answer["symbols"], *options]


@contextmanager
def listening(command: list[str]) -> Iterator[None]:
    libraries = f"{APART}/usr/lib/x86_64-linux-gnu:{APART}/usr/lib/rspamd"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    said: list[str] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "listening for control commands" in line:
                ready.set()
        ready.set()

    with subprocess.Popen(command, env={"LD_LIBRARY_PATH": libraries}, text=True, **streams) as process:
        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert ready.wait(PATIENCE)
            assert process.poll() is None, "".join(said)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)
            reader.join()


@pytest.fixture
def rspamd() -> Iterator[Rspamd]:
    program, share = APART / "usr/bin/rspamd", APART / "usr/share/rspamd"
    assert program.exists(), "rspamd is not there: make system-test"
    with open_folder("rspamd") as top, Aveserver(top, databases(top / "databases")) as server:
        port = free_port()
        values = {"top": top, "port": port, "share": share, "clamd": server.clamd}
        (top / "rspamd.conf").write_text(CONFIGURATION.format(**values))
        (top / "names").write_text("org\n")
        places = {"LUALIBDIR": share / "lualib", "PLUGINSDIR": share / "plugins", "RULESDIR": share / "rules"}
        places |= {"SHAREDIR": share, "CONFDIR": top, "LOCAL_CONFDIR": top, "DBDIR": top, "RUNDIR": top}
        words = [str(program), "-f", "--insecure", "-c", str(top / "rspamd.conf")]
        with listening([*words, *(f"--var={name}={place}" for name, place in places.items())]):
            yield Rspamd(port, server)


def test_clean_passes_eicar_is_named_and_without_us_it_says_so(rspamd: Rspamd) -> None:
    assert rspamd.check(("notes.bin", b"nothing in here")) == ("no action", [])
    for infected in (("a.com", EICAR), ("a.zip", make_zip({"a.com": EICAR}))):
        assert rspamd.check(infected) == ("reject", ["VIRUS", EICAR_NAME])
    assert rspamd.check() == ("no action", [])
    rspamd.server.stop()
    _, why = rspamd.check(("a.com", EICAR))
    assert "VIRUS_FAIL" in why
