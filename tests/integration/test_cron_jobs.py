"""cron: the product manual's schedule (5.3.2) and the lines that we ship, under a real cron daemon."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kavscanner import CHECKOUT
from tests.support.objects import EICAR

CRON = shutil.which("cron", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SHIPPED = CHECKOUT / "conf" / "cron" / "kavfs"
LONGEST = 150.0  # seconds: two minutes begin in it, whenever it starts

# A cron that sees no crontab but ours: everything it reads is covered in a namespace of its own.
BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/cron.d
mount -t tmpfs tmpfs /var/spool/cron
mount --bind /dev/null /etc/crontab
mkdir -m 1730 /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
[ ! -e '{place}/system' ] || install -m 644 '{place}/system' /etc/cron.d/kavfs
[ ! -e '{place}/own' ] || crontab '{place}/own'
exec '{cron}' -f
"""


def lines() -> list[str]:
    """What stands in the file that is shipped, as if somebody had enabled it."""
    return [row.removeprefix("#") for row in SHIPPED.read_text().splitlines() if re.match(r"#\d", row)]


def test_the_shipped_file_enables_nothing_and_its_lines_are_understood(tmp_path):
    from kavfs.cli.request import read_request

    assert [row for row in SHIPPED.read_text().splitlines() if row and not re.match(r"#|[A-Z]+=", row)] == []
    assert len(lines()) == 2
    (tmp_path / "nightly.conf").write_text("")
    for row in lines():
        when, user, words = row.split()[:5], row.split()[5], row.split()[6:]
        assert (when, user, words[0]) == (["0", "0", "*", "*", "*"], "root", "kavscanner")
        known = [word.replace("/etc/kavfs/nightly.conf", str(tmp_path / "nightly.conf")) for word in words[1:]]
        request = read_request([word.encode() for word in known])
        assert (request.lock, request.roots) == (b"nightly", (b"/home",))


@pytest.fixture
def cron(tmp_path):
    """Starts cron with the crontabs that lie in *tmp_path*; the end of what they run is awaited."""
    started = []

    def until_told(pipe: Path, count: int) -> list[bytes]:
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        (tmp_path / "boot").write_text(BOOT.format(place=tmp_path, cron=CRON))
        command = [
            "unshare",
            "--fork",
            "--kill-child",
            "--pid",
            "--mount",
            "--mount-proc",
            "sh",
            str(tmp_path / "boot"),
        ]
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=tmp_path))
        told = b""
        while told.count(b"\n") < count:
            ready, _, _ = select.select([reader], [], [], LONGEST)
            assert ready, "cron has run nothing"
            told += os.read(reader, 4096)
        os.close(reader)
        return told.splitlines()

    yield until_told
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.long
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or CRON is None, reason="needs root and cron")
def test_the_manuals_crontab_and_ours_scan_when_their_minute_comes(tmp_path, cron):
    """The manual's line as it stands there, paths and minute apart: -c FILE DIR. Beside it two of ours, which share a
    lock: one scan, and one refusal or a second scan behind it."""
    home = tmp_path / "lhome"
    home.mkdir()
    (home / "letter.com").write_bytes(EICAR)
    program = f"'{sys.executable}' -m kavfs.cli.kavscanner --state '{tmp_path}/state' \"$@\""
    (tmp_path / "kavscanner").write_text(f"#!/bin/sh\nPYTHONPATH='{CHECKOUT}' exec {program}\n")
    (tmp_path / "kavscanner").chmod(0o755)
    (tmp_path / "kavscaner.conf").write_text(f"[scanner.report]\nReportFileName={tmp_path}/report\n")
    pipe = tmp_path / "codes"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # else the first job's end would be the pipe's
    told = f"; echo manual $? >{pipe}"
    manual = f"* * * * * {tmp_path}/kavscanner -c {tmp_path}/kavscaner.conf {home}{told}\n"
    (tmp_path / "own").write_text(f'MAILTO=""\n{manual}')
    ours = (
        lines()[0].replace("0 0 * * *", "* * * * *").replace("/home", f"{home} >>{tmp_path}/out; echo ours $? >{pipe}")
    )
    (tmp_path / "system").write_text(f'MAILTO=""\nPATH={tmp_path}:/usr/bin:/bin\n{ours}\n{ours}\n')
    codes = cron(pipe, 3)
    os.close(writer)
    assert codes.count(b"manual 25") == 1
    assert sorted(codes)[1:] in ([b"ours 25", b"ours 25"], [b"ours 25", b"ours 30"])
    assert f"{home}/letter.com INFECTED EICAR-Test-File" in (tmp_path / "report").read_text()
    assert f"{home}/letter.com INFECTED EICAR-Test-File" in (tmp_path / "out").read_text()
