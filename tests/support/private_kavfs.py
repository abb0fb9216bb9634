"""`kavfs mta` in a private system, its instructions followed to the letter, and mail that shows what they come to."""

from __future__ import annotations

from tests.support.kavscanner import CHECKOUT
from tests.support.mail_kinds import Letter
from tests.support.private_debian import HOST, STOP, System

CONFIGURATION = """[path]
BasesPath=/etc/kavfs/databases
[smtpscan.path]
StatePath=/var/lib/kavfs/aveserver
[smtpscan.options]
User=kavfs-aveserver
Jobs=1
[smtpscan.group:default]
AdminNotify=no
"""
_TITLES = ("kavfs.conf needs:", "then:")


def told(said: str) -> dict[str, list[str]]:
    """The lines below each title."""
    found: dict[str, list[str]] = {title: [] for title in _TITLES}
    title = ""
    for line in said.splitlines():
        if line in _TITLES:
            title = line
        elif line.startswith("    ") and title:
            found[title].append(line[4:])
    return found


def configure(system: System, lines: list[str]) -> None:
    """kavfs.conf."""
    system.put("/etc/kavfs/kavfs.conf", CONFIGURATION + "\n".join(["", *lines, ""]))
    system.run("kavfs config check")


def listings(page: str) -> list[str]:
    """What stands literally in a manual page."""
    text = (CHECKOUT / "conf/man" / f"{page}.in").read_text()
    parts = [part.split("\n.fi")[0] for part in text.split("\n.nf\n")[1:]]
    return [part.replace("\\-", "-").replace("\\e", "\\") for part in parts]


class Integration:
    """One way of one mail program."""

    def __init__(self, system: System, name: str) -> None:
        self.system, self.name = system, name

    def make(self, *words: str) -> None:
        said = told(self.system.run(" ".join(["kavfs mta integrate", self.name, *words])))
        configure(self.system, said["kavfs.conf needs:"])
        self.carry_out(said["then:"])

    def carry_out(self, commands: list[str]) -> None:
        for command in commands:
            self.system.run(command)

    def is_whole(self) -> None:
        done = self.system.attempt(f"kavfs mta check {self.name}")
        assert (done.stdout, done.returncode) == (b"the integration is whole\n", 0)

    def remove(self) -> None:
        self.carry_out(told(self.system.run(f"kavfs mta remove {self.name}"))["then:"])
        self.system.run(STOP)

    def state(self) -> str:
        """What detect says of it."""
        (line,) = [one for one in self.system.run("kavfs mta detect").splitlines() if one.startswith(self.name)]
        return line


def mail_is_scanned(system: System, port: int = 25) -> None:
    """By SMTP and from a local program."""
    for kind in ("clean", "infected"):
        mail = Letter(kind)
        system.send(mail.content, f"joe@{HOST}", port=port)
        mail.check(system.came("joe", mail.id))
    mail = Letter("infected")
    system.run("sendmail -i -f a@example.org joe", mail.content.replace(b"\r\n", b"\n"))
    mail.check(system.came("joe", mail.id))


def mail_is_not_scanned(system: System, port: int = 25) -> None:
    mail = Letter("infected")
    system.send(mail.content, f"joe@{HOST}", port=port)
    came = system.came("joe", mail.id)
    assert came.endswith(mail.body)
    assert b"X-Anti-Virus: clean, says the sender" in came
