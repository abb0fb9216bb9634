"""kavfs mta on mail programs that run: what it tells is done as it stands there, mail is looked at on its way; when it
was removed every file is as it was and mail flows without us."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.support import private_kavfs as settings
from tests.support.daemon import wait_until
from tests.support.mail_kinds import Letter
from tests.support.private_debian import HOST, STOP, System, private_debian
from tests.support.private_exim import configure, exim_in
from tests.support.private_kavfs import Integration, listings, mail_is_not_scanned, mail_is_scanned
from tests.support.private_postfix import postfix_in
from tests.support.programs import EICAR

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="a system of one's own needs root")]


@pytest.fixture(scope="module")
def with_postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with private_debian(tmp_path_factory.mktemp("postfix")) as system:
        postfix_in(system)
        yield system


@pytest.fixture(scope="module")
def with_exim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with private_debian(tmp_path_factory.mktemp("exim")) as system:
        exim_in(system)
        yield system


def tree(system: System, folder: str) -> dict[str, tuple[int, int, int, bytes]]:
    """Owner, mode and content of each file."""
    found = {}
    for path in system.path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            found[str(path.relative_to(system.path(folder)))] = (*_owner(status), path.read_bytes())
    return found


def _owner(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_uid, status.st_gid, status.st_mode


def comes_and_goes(system: System, name: str, folder: str, way: str) -> None:
    """Integrated, in use, removed without a trace."""
    ours = Integration(system, name)
    before = tree(system, folder)
    assert "running, not integrated" in ours.state()
    ours.make("--way", way)
    try:
        assert f"running, integrated ({way})" in ours.state()
        ours.is_whole()
        mail_is_scanned(system)
    finally:
        ours.remove()
    assert tree(system, folder) == before
    assert "not integrated" in ours.state()
    mail_is_not_scanned(system)


@pytest.mark.parametrize("way", ["daemon", "spawn", "proxy", "milter"])
def test_postfix_is_integrated_and_is_as_it_was_again(with_postfix: System, way: str) -> None:
    comes_and_goes(with_postfix, "postfix", "/etc/postfix", way)
    nothing_came_twice(with_postfix)


def test_with_the_milter_people_are_told_by_a_port_without_it(with_postfix: System) -> None:
    """The administrator's notice carries the message, which is kept nowhere else."""
    system, postfix = with_postfix, Integration(with_postfix, "postfix")
    port = next(one for one in listings("kavfs-mta.8") if "-o smtpd_milters=" in one)
    system.run("cp /etc/postfix/master.cf /root; postconf -X always_bcc")
    system.run("cat >> /etc/postfix/master.cf", f"{port}\n".encode())
    postfix.make("--way", "milter")
    ours = system.path("/etc/kavfs/kavfs.conf")
    told = f"AdminNotify=yes\nAdminAddress=anne@{HOST}\n[smtpscan.general]\nForwardMailer=smtp:127.0.0.1:10026\n"
    ours.write_text(ours.read_text().replace("AdminNotify=no\n", told))
    system.run("systemctl restart kavfs-smtpscanner")
    try:
        postfix.is_whole()
        mail = Letter("infected")
        system.send(mail.content, f"joe@{HOST}")
        mail.check(system.came("joe", mail.id))
        wait_until(lambda: any(mail.id.encode() in one for one in system.notices("anne")))
        (notice,) = (one for one in system.notices("anne") if mail.id.encode() in one)
        assert base64.b64encode(EICAR)[:40] in notice
    finally:
        postfix.remove()
        system.run(f"cp /root/master.cf /etc/postfix; postconf -e always_bcc=anne@{HOST}; postfix reload")


def nothing_came_twice(system: System) -> None:
    """Postfix sends a copy of each mail to anne; in front of a filter and behind it, it would be two."""
    seen = system.idents("anne")
    assert seen
    assert len(seen) == len(set(seen))


def test_the_examples_of_the_manual_page_for_postfix_work(with_postfix: System) -> None:
    system = with_postfix
    main, master = next((one, two) for one, two in pairwise(listings("smtpscanner.8")) if "content_filter = " in one)
    network = ["[smtpscan.network]", "Listen=lmtp:127.0.0.1:10025"]
    settings.configure(system, ["[smtpscan.general]", "ForwardMailer=smtp:127.0.0.1:10026", *network])
    system.run("cp -a /etc/postfix /root/postfix; systemctl restart kavfs-smtpscanner")
    for name, lines in (("main.cf", main), ("master.cf", master)):
        system.run(f"cat >> /etc/postfix/{name}", f"{lines}\n".encode())
    system.run("postfix check; postfix reload")
    try:
        mail_is_scanned(system)
        nothing_came_twice(system)
    finally:
        system.run("cp -a /root/postfix/*.cf /etc/postfix; postfix reload")
        system.run(STOP)


@pytest.mark.parametrize(
    ("way", "split"), [("daemon", False), pytest.param("daemon", True, marks=pytest.mark.long), ("command", False)]
)
def test_exim_is_integrated_and_is_as_it_was_again(with_exim: System, way: str, split: bool) -> None:
    configure(with_exim, split)
    comes_and_goes(with_exim, "exim", "/etc/exim4", way)


def test_exim_in_the_two_instances_of_the_manual_page(with_exim: System) -> None:
    """One listens and hands everything to us, the other takes it back and delivers it."""
    system, page = with_exim, listings("kavfs-mta.8")
    listening = next(one for one in page if one.startswith("spool_directory"))
    commands = next(one for one in page if one.startswith("exim "))
    network = ["[smtpscan.network]", "Listen=lmtp:127.0.0.1:10025"]
    settings.configure(system, ["[smtpscan.general]", "ForwardMailer=smtp:127.0.0.1:10026", *network])
    configure(system, split=False)
    system.run("pid=$(cat /run/exim4/exim.pid); kill $pid; while [ -e /proc/$pid ]; do sleep 0.02; done")
    system.run("systemctl restart kavfs-smtpscanner")
    system.put("/etc/exim/exim.conf.listen", listening.replace("= example.org", f"= {HOST}") + "\n")
    system.run(commands)
    try:
        wait_until(lambda: system.listens(25) and system.listens(10026))  # it goes to the background before
        for kind in ("clean", "infected"):
            mail = Letter(kind)
            system.send(mail.content, f"joe@{HOST}")
            mail.check(system.came("joe", mail.id))
    finally:
        system.run(f"kill $(cat /run/exim.deliver.pid) $(cat /var/spool/exim.listen/exim-daemon.pid)\n{STOP}")
        system.run("rm -f /run/exim4/exim.pid; systemctl restart exim4")
