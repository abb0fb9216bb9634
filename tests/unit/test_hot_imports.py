"""What a scan of one small file loads: its start is most of what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.kavscanner import run
from tests.support.programs import STARTER
from tests.support.shelled import Desk

DEAR = [
    "dataclasses",
    "inspect",
    "ast",
    "difflib",
    "sqlite3",
    "subprocess",
    "asyncio",
    "argparse",
    "logging",
    "datetime",
    "cryptography",
    "html",
    "kavfs.action",
    "kavfs.signatures.delta",
    "kavfs.signatures.segment",
]


def test_the_start_of_a_small_scan_loads_nothing_dear(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("hello")
    conf = tmp_path / "kavfs.conf"
    conf.write_text(f"[path]\nBasesPath={STARTER}\n[scanner.options]\nArchives=yes\n")
    words = ["-q", "-c", conf, "--state", tmp_path / "state", file]
    assert run(words, tmp_path).code == 0, "signatures are compiled once"
    program = (
        "import sys; from kavfs.cli import kavscanner\n"
        f"kavscanner.kavscanner({[str(word).encode() for word in words]!r})\n"
        f"print([name for name in {DEAR!r} if name in sys.modules])"
    )
    assert Desk(tmp_path / "home").shell(f"{sys.executable} -c '{program.replace(chr(39), chr(34))}'").lines == ["[]"]


def test_a_conversation_about_mail_loads_no_metrics() -> None:
    """One on standard input and output serves none."""
    program = (
        "import sys; from kavfs.cli import smtpscanner, smtpscanner_front\n"
        "print([name for name in ('prometheus_client', 'kavfs.mail.metrics') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
