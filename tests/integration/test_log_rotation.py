"""logrotate: the rule that is shipped, and a report that loses nothing when it is rotated while a scan writes it."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.kavscanner import command, environment, run

LOGROTATE = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
RULE = Path(__file__).resolve().parents[2] / "conf" / "logrotate.d" / "kavfs"

pytestmark = pytest.mark.skipif(LOGROTATE is None, reason="needs logrotate")


def made_of(shipped: Path, tmp_path: Path) -> Path:
    """The rule as shipped, for a folder and a user of the test."""
    (tmp_path / "log").mkdir(mode=0o750)
    text = re.sub(r"/var/log/[\w-]+", str(tmp_path / "log"), shipped.read_text())
    (tmp_path / "rule").write_text(re.sub(r"    su .*\n", "", text))
    (tmp_path / "rule").chmod(0o644)
    return tmp_path / "rule"


@pytest.fixture
def rule(tmp_path) -> Path:
    return made_of(RULE, tmp_path)


def rotate(rule: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert LOGROTATE is not None
    command = [LOGROTATE, *words, "--state", str(rule.parent / "rotated"), str(rule)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_logrotate_understands_the_rule(rule):
    (rule.parent / "log" / "nightly.log").write_text("a line\n")
    done = rotate(rule, "--debug")
    assert done.returncode == 0
    assert "error" not in done.stderr.lower()
    assert f"considering log {rule.parent}/log/nightly.log" in done.stderr


def test_the_log_of_the_service_has_a_rule_of_its_own(tmp_path):
    rule = made_of(RULE.with_name("kavfs-aveserver"), tmp_path)
    (tmp_path / "log" / "aveserver.log").write_text("a line\n")
    done = rotate(rule, "--debug")
    assert (done.returncode, "error:" in done.stderr) == (0, False)
    assert f"considering log {tmp_path}/log/aveserver.log" in done.stderr


def test_no_line_is_lost_when_a_report_is_rotated_while_a_scan_writes_it(rule, tmp_path):
    """The scan cannot end before we let it: nobody reads its records, which are longer than a pipe holds."""
    tree, log = tmp_path / "tree", tmp_path / "log" / "nightly.log"
    tree.mkdir()
    for number in range(1500):
        (tree / f"{number}.txt").write_text("harmless")
    log.write_text("of yesterday\n")
    os.mkfifo(tmp_path / "records")
    words = ["-q", "--state", str(tmp_path / "state"), "-o", str(log), "--json", str(tmp_path / "records"), str(tree)]
    reader = os.open(tmp_path / "records", os.O_RDONLY | os.O_NONBLOCK)
    scan = subprocess.Popen(command("kavscanner", *words), cwd=tmp_path, env=environment(tmp_path))
    try:
        begun = select.poll()
        begun.register(reader, select.POLLIN)
        assert begun.poll(30_000), "the scan has not begun"
        assert rotate(rule, "--force").returncode == 0
        assert not log.exists()
        os.set_blocking(reader, True)
        while os.read(reader, 1 << 20):
            pass
        assert scan.wait(60) == 0
    finally:
        scan.kill()
        scan.wait()
        os.close(reader)
    rotated = (tmp_path / "log" / "nightly.log.1").read_text()
    assert rotated.startswith("of yesterday\n")
    assert all(f"{tree}/{number}.txt OK\n" in rotated for number in range(1500))
    assert "Scan finished" in rotated
    assert run(["--state", tmp_path / "state", "-o", log, "-q", tree], tmp_path).code == 0
    assert log.stat().st_mode & 0o777 == 0o600
    assert "Scan finished" in log.read_text()
    assert "of yesterday" not in log.read_text()
