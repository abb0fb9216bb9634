"""`make dist`: a wheel and a Debian package that install, scan, and go without leaving anything."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.debian_system import run_inside
from tests.support.kavscanner import CHECKOUT
from tests.support.objects import EICAR

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("dpkg-shlibdeps") is None, reason="needs dpkg-dev"),
]
PROGRAMS = (
    *("kavscanner", "kavfs", "kavfs-clamscan", "aveserver", "aveclient"),
    *("smtpscanner", "kavfs-smtpscanner", "kavfs-qmail-queue"),
)


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """What `make dist` makes, of a copy of the tracked files."""
    copy = tmp_path_factory.mktemp("copy")
    names = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=True,
    ).stdout.decode().split("\0")  # fmt: skip
    for name in filter(None, names):
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.executable).parent.parent)
    environment = {**os.environ, "DEBFULLNAME": "A Packager", "DEBEMAIL": "packager@debian.org"}
    make = ["make", "-s", "-o", "build", "-o", "man", "dist"]
    pages = [sys.executable, "-m", "kavfs.cli.manual", str(copy / "conf"), str(copy / "build/share")]
    subprocess.run(pages, cwd=CHECKOUT, check=True)
    done = subprocess.run(make, cwd=copy, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return copy / "dist"


@pytest.fixture
def package(dist) -> Path:
    (found,) = dist.glob("*.deb")
    return found


def test_the_wheel_installs_in_a_clean_folder_and_finds(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    venv.create(tmp_path / "clean", with_pip=True, system_site_packages=False)
    pip = [str(tmp_path / "clean/bin/pip"), "install", "-q", "--disable-pip-version-check", str(wheel)]
    unaware = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # of the checkout's own
    subprocess.run(pip, check=True, timeout=300, env=unaware)
    (tmp_path / "e.com").write_bytes(EICAR)
    home = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    scan = [str(tmp_path / "clean/bin/kavscanner"), "--state", str(tmp_path / "state"), str(tmp_path / "e.com")]
    done = subprocess.run(scan, capture_output=True, text=True, env=home, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (25, "")
    assert "e.com INFECTED EICAR-Test-File" in done.stdout
    for program in PROGRAMS:
        asked = [str(tmp_path / "clean/bin" / program), "--version"]
        assert "0." in subprocess.run(asked, capture_output=True, text=True, env=home, check=True).stdout


def test_the_package_holds_what_its_parts_say(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path)], check=True)
    for program in PROGRAMS:
        assert os.access(tmp_path / "usr/bin" / program, os.X_OK)
    for page in (
        "man8/kavscanner.8",
        "man8/kavfs.8",
        "man5/kavfs.conf.5",
        "man1/kavfs-clamscan.1",
        "man8/aveclient.8",
        "man8/aveserver.8",
        "man8/smtpscanner.8",
    ):
        assert gzip.decompress((tmp_path / "usr/share/man" / f"{page}.gz").read_bytes()).startswith(b".TH")
    for unit in (CHECKOUT / "conf/systemd").iterdir():
        assert (tmp_path / "lib/systemd/system" / unit.name).read_bytes() == unit.read_bytes()
    assert not list(tmp_path.rglob("*.dist-info"))
    fields = subprocess.run(["dpkg-deb", "-f", str(package)], check=True, capture_output=True, text=True).stdout
    for library in ("libc6 (>= 2.3", "libvectorscan5", "libarchive13", "libssl3", "libseccomp2", "python3 (<< 3.12)"):
        assert library in fields
    control = subprocess.run(["dpkg-deb", "-I", str(package), "conffiles"], check=True, capture_output=True, text=True)
    assert control.stdout.split() == [
        "/etc/kavfs/kavfs.conf",
        *sorted(f"/etc/kavfs/templates/{template.name}" for template in (CHECKOUT / "conf/templates").iterdir()),
        "/etc/logrotate.d/kavfs",
        "/etc/logrotate.d/kavfs-aveserver",
    ]


@pytest.mark.skipif(shutil.which("lintian") is None, reason="needs lintian")
def test_lintian_finds_no_error(package):
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", str(package)], capture_output=True, text=True
    )
    assert (done.returncode, re.findall("^E:.*", done.stdout, re.MULTILINE)) == (0, [])


INSTALL = """
exec >/mnt/out 2>&1
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
unset PYTHONPATH
traces() {
    find / -xdev \\( -path /mnt -o -path /proc -o -path /run -o -path /dev -o -path /tmp -o -path /var/cache/man \\) \\
        -prune -o -print | grep kavfs || true
}
rm -rf /var/lib/kavfs /var/log/kavfs  # of whoever works on this machine
traces >/mnt/before
dpkg -i /mnt/kavfs.deb
echo "group: $(getent group kavfs | cut -d: -f1)"
echo "user: $(getent passwd kavfs-aveserver | cut -d: -f1,6,7)"
stat -c '%n %a %U %G' /var/lib/kavfs /var/lib/kavfs/databases /var/log/kavfs /etc/kavfs/kavfs.conf /etc/kavfs/jobs
ls /etc/systemd/system/timers.target.wants 2>/dev/null | grep kavfs || echo "no timer is enabled"
cd /
kavscanner /mnt/target/e.com || echo "exit $?"
kavfs-clamscan --no-summary /mnt/target/e.com || echo "clamscan exit $?"
smtpscanner --version
printf 'QUIT\\r\\n' | smtpscanner | cat
kavfs config check && kavfs doctor --state /var/lib/kavfs | grep -i 'state folder' || true
cd /lib/systemd/system
systemd-analyze verify kavfs-scan.service kavfs-scan.timer kavfs-aveserver.service kavfs-smtpscanner.service &&
    echo "units are right"
echo changed >>/etc/kavfs/jobs/web
dpkg --remove kavfs
[ -e /etc/kavfs/kavfs.conf ] && [ -d /var/lib/kavfs ] && [ ! -e /usr/bin/kavscanner ] &&
    echo "removed, settings and state stay"
rm /etc/kavfs/jobs/web
mkdir -p /var/lib/kavfs/quarantine/items
touch /var/lib/kavfs/quarantine/kavfs.key /var/lib/kavfs/quarantine/items/0123456789abcdef
dpkg --purge kavfs
ls -A /var/lib/kavfs
dpkg -i /mnt/kavfs.deb >/dev/null
rm /var/lib/kavfs/quarantine/items/*
dpkg --purge kavfs  # an empty one goes
traces >/mnt/after
getent group kavfs || echo "no group is left"
getent passwd kavfs-aveserver || echo "no user is left"
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_installs_scans_and_goes_without_a_trace(package, tmp_path):
    """In a system of its own: what is written to it is gone with it. Its Python packages are Debian's."""
    (tmp_path / "mnt" / "target").mkdir(parents=True)
    (tmp_path / "mnt" / "target" / "e.com").write_bytes(EICAR)
    shutil.copy(package, tmp_path / "mnt" / "kavfs.deb")
    done = run_inside(INSTALL, tmp_path / "mnt", tmp_path / "top")
    out = tmp_path / "mnt" / "out"
    if not out.exists():
        pytest.skip(f"no system can be made here: {done.stderr[-300:]}")
    told = out.read_text()
    assert done.returncode == 0, told
    assert "group: kavfs\n" in told
    for place in (
        "/var/lib/kavfs 755 root root",
        "/var/lib/kavfs/databases 755 root root",
        "/var/log/kavfs 2750 root kavfs",
        "/etc/kavfs/kavfs.conf 644 root root",
        "/etc/kavfs/jobs 755 root root",
    ):
        assert place + "\n" in told
    for line in (
        "no timer is enabled",
        "/mnt/target/e.com INFECTED EICAR-Test-File",
        "exit 25",
        "clamscan exit 1",
        "421 4.3.2 Mail cannot be looked at now, try again later",
        "units are right",
        "removed, settings and state stay",
        "quarantine",
        "no group is left",
        "no user is left",
        "user: kavfs-aveserver:/var/lib/kavfs/aveserver:/usr/sbin/nologin",
    ):
        assert f"{line}\n" in told, told
    assert "/var/lib/kavfs/quarantine holds files that were taken away; it stays" in told
    assert (tmp_path / "mnt/after").read_text() == (tmp_path / "mnt/before").read_text()
