"""kavfs mta: what it refuses, what its check finds, and that mail goes the way it says: Exim's and
Sendmail's own routing, real files with links and attributes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.errors import UsageError
from kavfs.mail.mta import qmail, told
from kavfs.mail.mta.wish import Address, Refused
from tests.support import mtas
from tests.support.mtas import Machine

QMAIL = "var/qmail/bin"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        monkeypatch.setattr(tempfile, "tempdir", top)
        yield Machine(Path(top), monkeypatch)


def add(path: str, line: bytes) -> Callable[[Machine], None]:
    def change(machine: Machine) -> None:
        place = machine.root / path
        place.write_bytes(place.read_bytes() + b"\n" + line + b"\n")

    return change


def replace(path: str, old: str, new: str) -> Callable[[Machine], None]:
    def change(machine: Machine) -> None:
        place = machine.root / path
        assert old in place.read_text("latin-1")
        place.write_text(place.read_text("latin-1").replace(old, new), "latin-1")

    return change


MAIN, MASTER, EXIM = "etc/postfix/main.cf", "etc/postfix/master.cf", "etc/exim4/exim4.conf"


@pytest.mark.parametrize(
    ("made", "change", "words", "why"),
    [
        (mtas.postfix_by_hand, add(MAIN, b"content_filter = amavis:[127.0.0.1]:10024"), ("postfix",), "another filter"),
        (mtas.postfix_by_hand, add(MASTER, b"x inet n - n - - smtpd -o content_filter=a:b"), ("postfix",), "x/inet"),
        (mtas.postfix_by_hand, add(MAIN, b"smtpd_proxy_filter = :10024"), ("postfix", "--way", "proxy"), "_filter ="),
        (mtas.postfix_by_hand, add(MASTER, b"localhost:10026 inet n - n - - smtpd"), ("postfix",), "has the port"),
        (mtas.postfix_by_hand, add(MASTER, b"kavfs unix - - n - - lmtp"), ("postfix",), "kavfs/unix that is not ours"),
        (mtas.postfix_by_hand, add(MASTER, b"#"), ("postfix", "--way", "spawn"), "no account kavfs-aveserver"),
        (
            mtas.exim_small,
            replace(EXIM, "all:\n", "all:\n  condition = ${if !eq{$interface_port}{10025}}\n"),
            ("exim",),
            "another scanner",
        ),
        (mtas.exim_small, replace(EXIM, "begin routers", ".include /x"), ("exim",), 'no line "begin routers"'),
        (mtas.exim_small, replace(EXIM, "::1", "::1.10026"), ("exim",), "return port is in use"),
        (mtas.exim_small, replace(EXIM, "LISTEN = ", "OTHER = "), ("exim",), "is not in this file"),
        (mtas.exim_small, replace(EXIM, "all:\n", "kavfs_scan:\n"), ("exim",), "not ours"),
        (mtas.sendmail_of_debian, add("etc/mail/sendmail.mc", b"INPUT_MAIL_FILTER(`kavfs'"), ("sendmail",), "not ours"),
        (
            mtas.sendmail_of_debian,
            lambda machine: machine.put("etc/mail/sendmail.cf.listen", "V10"),
            ("sendmail", "--way", "mailer"),
            "not ours",
        ),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named_and_nothing_is_changed(
    machine: Machine,
    made: Callable[[Machine], None],
    change: Callable[[Machine], None],
    words: tuple[str, ...],
    why: str,
) -> None:
    made(machine)
    change(machine)
    before = machine.tree()
    with pytest.raises(Refused, match=re.escape(why)):
        machine.mta("integrate", *words)
    assert machine.tree() == before


@pytest.mark.parametrize(
    "words",
    [
        ("postfix", "--way", "command"),
        ("postfix", "--scanner", "localhost:10025"),
        ("postfix", "--scanner", "127.0.0.1:10025 -o x=y"),
        ("postfix", "--back", "127.0.0.1:0"),
        ("postfix", "--back", "127.0.0.1:10025"),
        ("postfix", "--user", "a b"),
        ("exim", "--program", "/x y"),
        ("exim", "--program", "/x\nhosts = *"),
        ("exim", "--config", "/etc/${run{/bin/sh}}"),
    ],
)
def test_words_that_would_be_more_than_one_in_a_configuration_are_refused(
    machine: Machine, words: tuple[str, ...]
) -> None:
    mtas.postfix_by_hand(machine)
    mtas.exim_small(machine)
    before = machine.tree()
    with pytest.raises(UsageError):
        machine.mta("integrate", *words)
    assert machine.tree() == before


def test_a_configuration_behind_a_link_is_edited_where_it_is_and_keeps_its_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    mtas.exim_small(machine)
    place = machine.root / EXIM
    target = machine.put("srv/exim/shared.conf", place.read_bytes(), 0o640)
    os.chown(target, 0, 12)
    attributes = {}
    with suppress(OSError):  # not every file system has them
        os.setxattr(target, "user.origin", b"by hand")
        attributes = {"user.origin": b"by hand"}
    place.unlink()
    place.symlink_to("/srv/exim/shared.conf")  # as seen from inside the root
    before = target.read_bytes()
    for words in (("integrate", "exim"), ("remove", "exim")):
        assert machine.mta(*words) == 0
        assert place.is_symlink()
        status = target.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 12, 0o640)
        assert {name: os.getxattr(target, name) for name in os.listxattr(target)} == attributes
        assert (target.read_bytes() == before) == (words[0] == "remove")


def test_exim_sends_everything_to_the_scanner_but_what_comes_from_there(machine: Machine) -> None:
    mtas.exim_split(machine)
    assert machine.mta("integrate", "exim") == 0
    made = machine.root / "made"
    subprocess.run(["update-exim4.conf", "-d", machine.root / "etc/exim4", "-o", made], check=True, timeout=60)

    def route(*words: str) -> str:
        command = ["exim4", "-C", str(made), *words, "-bt", "root@localhost", "a@example.net"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    assert route().count("transport = kavfs_scan") == 2
    assert route("-oMi", "127.0.0.1.25").count("transport = kavfs_scan") == 2
    assert route("-oMi", "192.0.2.1.10026").count("transport = kavfs_scan") == 2
    assert "kavfs_scan" not in route("-oMi", "127.0.0.1.10026")


def test_exim_takes_the_listening_configuration_of_the_manual_page(tmp_path: Path) -> None:
    page = (mtas.CHECKOUT / "conf/man/kavfs-mta.8.in").read_text()
    text = next(part.split(".fi")[0] for part in page.split(".nf\n") if part.startswith("spool_directory"))
    place = tmp_path / "exim.conf.listen"
    place.write_text(text.replace("/var/spool/exim.listen", str(tmp_path / "spool")))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["exim4", "-C", str(place), *words], capture_output=True, text=True, timeout=60, check=False
        )

    assert run("-bV").returncode == 0
    assert "transport = scan" in run("-bt", "somebody@example.net").stdout


def test_sendmail_sends_everything_to_the_scanner_from_its_listening_instance(machine: Machine) -> None:
    mtas.sendmail_of_debian(machine)
    assert machine.mta("integrate", "sendmail", "--way", "mailer") == 0
    parsed = {}
    for name in ("sendmail.cf", "sendmail.cf.listen"):
        command = ["sendmail", "-C", str(machine.root / "etc/mail" / name), "-bt"]
        done = subprocess.run(
            command, input="3,0 a@b.example\n", capture_output=True, text=True, timeout=60, check=False
        )
        parsed[name] = done.stdout.split("parse ")[-1]
    assert "$# kavfs" in parsed["sendmail.cf.listen"]
    assert "$# esmtp" in parsed["sendmail.cf"]


def test_a_filter_stays_out_of_sendmail_when_its_configuration_is_made_anew(machine: Machine) -> None:
    """m4 makes our lines of sendmail.mc, without our comments."""
    mtas.sendmail_with_filter(machine)
    assert machine.mta("integrate", "sendmail") == 0
    place = machine.root / "etc/mail/sendmail.cf"
    lines = [line for line in place.read_text().split("\n") if not line.startswith(("# kavfs:", "#- "))]
    place.write_text("\n".join(lines))
    assert machine.mta("remove", "sendmail") == 0
    assert "kavfs" not in place.read_text()
    assert "O InputMailFilters=opendkim\n" in place.read_text()


@pytest.mark.parametrize(
    ("way", "settings", "change", "faults"),
    [
        ("daemon", "", None, []),
        ("daemon", "ForwardMailer=smtp:127.0.0.1:25", None, ["ForwardMailer=smtp:127.0.0.1:25, but"]),
        ("daemon", "ForwardMailer=smtp:127.0.0.1:10025", None, ["would come back for ever"]),
        ("daemon", "Listen=smtp:127.0.0.1:10025", None, ["Listen lacks lmtp:127.0.0.1:10025"]),
        ("daemon", "", (MAIN, "\ncontent_filter = kavfs", "\n#content_filter = kavfs"), ["content_filter lacks"]),
        ("daemon", "", (MASTER, "-o content_filter=\n", "-o max_use=9\n"), ["has no empty content_filter"]),
        ("daemon", "", (MASTER, "\n127.0.0.1:10026", "\n127.0.0.1:10099"), ["no service 127.0.0.1:10026/inet"]),
        ("milter", "MilterListen=inet:127.0.0.1:10099", None, ["MilterListen lacks inet:127.0.0.1:10027"]),
        ("proxy", "Listen=smtp:127.0.0.1:10025", (MASTER, "proxy_filter=127", "proxy_filter=128"), ["no smtpd has"]),
    ],
)  # fmt: skip
def test_check_says_what_an_integration_lacks(
    machine: Machine, way: str, settings: str, change: tuple[str, str, str] | None, faults: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    mtas.postfix_of_debian(machine)
    conf = {
        "ForwardMailer": "smtp:127.0.0.1:10026",
        "Listen": "lmtp:127.0.0.1:10025",
        "MilterListen": "inet:127.0.0.1:10027",
    }
    conf.update([settings.split("=", 1)] if settings else [])
    network = "".join(f"{name}={conf[name]}\n" for name in ("Listen", "MilterListen"))
    text = f"[smtpscan.general]\nForwardMailer={conf['ForwardMailer']}\n[smtpscan.network]\n{network}"
    machine.put("etc/kavfs/kavfs.conf", text)
    assert machine.mta("integrate", "postfix", "--way", way) == 0
    if change:
        replace(*change)(machine)
    capfd.readouterr()
    code = machine.mta("check", "postfix")
    said = capfd.readouterr().out
    assert code == (30 if faults else 0), said
    assert [fault for fault in faults if fault not in said] == []
    assert ("the integration is whole" in said) == (not faults)


def test_a_scanner_that_does_not_listen_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = Address("127.0.0.1", server.getsockname()[1])
        assert list(told.silent(place, "smtpscanner")) == []
    assert list(told.silent(place, "smtpscanner")) == [f"smtpscanner does not listen on {place}: Connection refused"]


# -- qmail -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def qmail_home(machine: Machine) -> Machine:
    machine.put(f"{QMAIL}/qmail-queue", "the original", 0o4711)
    return machine


def inode(machine: Machine, name: str) -> int:
    return (machine.root / QMAIL / name).stat().st_ino


def test_qmail_has_our_stand_in_and_then_its_own_program_again(qmail_home: Machine) -> None:
    before, original = qmail_home.tree("var/qmail"), inode(qmail_home, "qmail-queue")
    for _ in range(2):
        assert qmail_home.mta("integrate", "qmail") == 0
        assert os.readlink(qmail_home.root / QMAIL / "qmail-queue") == qmail.PROGRAM
        assert inode(qmail_home, "queue.kav55") == original
    for _ in range(2):
        assert qmail_home.mta("remove", "qmail") == 0
        assert qmail_home.tree("var/qmail") == before
        assert inode(qmail_home, "qmail-queue") == original


@pytest.mark.parametrize("step", ["link", "symlink", "rename"])
def test_qmail_always_has_a_queue(qmail_home: Machine, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is stopped on the way leaves what works, and the next run goes on from there."""
    before = qmail_home.tree("var/qmail")
    with monkeypatch.context() as stopped:

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        stopped.setattr(f"kavfs.mail.mta.qmail.os.{step}", stop)
        with pytest.raises(KeyboardInterrupt):
            qmail_home.mta("integrate", "qmail")
    assert (qmail_home.root / QMAIL / "qmail-queue").read_text() == "the original"
    assert qmail_home.mta("integrate", "qmail") == 0
    assert qmail_home.mta("remove", "qmail") == 0
    assert qmail_home.tree("var/qmail") == before


def test_a_qmail_queue_of_others_is_left_alone(qmail_home: Machine) -> None:
    place = qmail_home.root / QMAIL / "qmail-queue"
    place.chmod(0o755)
    with pytest.raises(Refused, match="not qmail's own"):
        qmail_home.mta("integrate", "qmail")
    place.unlink()
    place.symlink_to("/usr/bin/qmail-scanner-queue")
    with pytest.raises(Refused, match="another stand-in"):
        qmail_home.mta("integrate", "qmail")


def test_the_manual_s_forward_for_qmail_would_be_a_loop(qmail_home: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    qmail_home.put(qmail.PROGRAM.lstrip("/"), "", 0o755)
    assert qmail_home.mta("integrate", "qmail") == 0
    for queue, code in (("qmail-queue", 30), ("queue.kav55", 0)):
        qmail_home.put("etc/kavfs/kavfs.conf", f"[smtpscan.general]\nForwardMailer=qmail:(/{QMAIL}/{queue})\n")
        capfd.readouterr()
        assert qmail_home.mta("check", "qmail") == code
        assert ("in a loop" in capfd.readouterr().out) == bool(code)
