"""systemd: units that it understands, that give away what a scanner does not need, and under which a scan works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.objects import EICAR

CHECKOUT = Path(__file__).resolve().parents[2]
UNITS = CHECKOUT / "conf" / "systemd"
SERVICES = ("kavfs-scan.service", "kavfs-scan@.service")
SERVERS = ("kavfs-aveserver.service", "kavfs-smtpscanner.service")
WORST = 4.0  # of systemd's scale from 0 to 10, for one who reads every file of a machine
WORST_SERVED = 2.0  # for those who read what clients may read, or send

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")


@pytest.fixture
def installed(tmp_path) -> Path:
    """The units as they lie, but for the program's path, which must exist; and an instance of each template."""
    for unit in UNITS.iterdir():
        text = re.sub("/usr/bin/(kavscanner|aveserver|kavfs-smtpscanner)", sys.executable, unit.read_text())
        (tmp_path / unit.name).write_text(re.sub("Documentation=.*\n", "", text))
    for unit in tmp_path.glob("*@.*"):
        (tmp_path / unit.name.replace("@", "@web")).write_text(unit.read_text())
    return tmp_path


def test_systemd_has_nothing_to_say_of_any_unit(installed):
    units = [str(path) for path in installed.iterdir() if "@." not in path.name]
    assert len(units) == len(list(UNITS.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "kavfs" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.parametrize(
    ("service", "worst"),
    [*((name, WORST) for name in SERVICES), *((name, WORST_SERVED) for name in SERVERS)],
)
def test_what_a_scanner_does_not_need_is_given_away(installed, service, worst):
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={int(worst * 10)}"]
    done = subprocess.run([*command, str(installed / service)], capture_output=True, text=True)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert done.returncode == 0
    assert float(found[1]) <= worst


def test_the_job_is_the_scan_of_the_machine_but_for_its_names():
    def rows(name: str) -> set[str]:
        service = (UNITS / name).read_text().partition("[Unit]")[2]
        return {row for row in service.splitlines() if not row.startswith("#")}

    differing = {row.partition("=")[0] for row in rows(SERVICES[0]) ^ rows(SERVICES[1])}
    assert differing == {"Description", "Environment", "EnvironmentFile", "ExecStart"}


def test_nothing_is_enabled_by_itself_and_timers_start_what_they_are_named_after():
    for timer in UNITS.glob("*.timer"):
        assert (UNITS / timer.name.replace(".timer", ".service")).exists()
        assert "WantedBy=timers.target" in timer.read_text()
    for service in SERVICES:
        assert "[Install]" not in (UNITS / service).read_text()


BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount --bind '{place}/log' /var/log
mkdir -p /run/systemd/system/kavfs-scan.service.d
cp '{units}/kavfs-scan.service' /run/systemd/system/
cp '{place}/override.conf' /run/systemd/system/kavfs-scan.service.d/
cp '{place}/probe.target' /run/systemd/system/
exec env container=test /lib/systemd/systemd --system --unit=probe.target --log-target=console
"""

OVERRIDE = """[Unit]
DefaultDependencies=no
ConditionACPower=
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Environment=PYTHONPATH={checkout} PYTHONDONTWRITEBYTECODE=1
StandardOutput=append:/var/log/out
StandardError=append:/var/log/out
ExecStart=
ExecStart={python} -m kavfs.cli.kavscanner --events --polite --lock kavfs-scan --json /var/log/kavfs/records {target}
ExecStopPost=-/bin/sh -c 'echo exit $$EXIT_STATUS; touch {target}/made; touch /etc/kavfs-was-here'
"""


@pytest.mark.long
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_scan_works_under_all_that_the_unit_takes_away(tmp_path):
    """A systemd of its own, first process of a namespace, runs the unit with everything but its command as shipped."""
    target, log = tmp_path / "target", tmp_path / "log"
    for folder in (target, log, log / "kavfs"):
        folder.mkdir()
    (target / "secret.com").write_bytes(EICAR)
    (target / "secret.com").chmod(0o600)
    os.chown(target / "secret.com", 4321, 4321)
    (tmp_path / "override.conf").write_text(OVERRIDE.format(checkout=CHECKOUT, python=sys.executable, target=target))
    (tmp_path / "probe.target").write_text("[Unit]\nDefaultDependencies=no\nRequires=kavfs-scan.service\n")
    (tmp_path / "boot").write_text(BOOT.format(place=tmp_path, units=UNITS))
    command = ["unshare", "--fork", "--pid", "--mount", "--cgroup", "--mount-proc", "sh", str(tmp_path / "boot")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    out = log / "out"
    if not out.exists():
        pytest.skip(f"no systemd can run in a namespace here: {done.stderr[-200:]} {done.stdout[-200:]}")
    assert "secret.com INFECTED" in out.read_text()
    assert "exit 25" in out.read_text()
    assert out.read_text().count("Read-only file system") == 2
    assert (log / "kavfs/records").stat().st_mode & 0o777 == 0o600
    assert list(target.iterdir()) == [target / "secret.com"]
