"""Notify: a mail, or a command of the administrator's, at the end of a scan that has something to say.

A mail goes through a program that takes it on standard input, with its recipients in its head (sendmail -t). A command
is run by /bin/sh as it stands in the configuration: nothing of a scan is put into it. What there is to know stands in
environment variables and on standard input; names are written so that each is one line of plain text.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime, localtime, make_msgid
from typing import NamedTuple

from kavfs.model import FOUND, OUTCOMES, Result, Skip, Status, Totals
from kavfs.report.kept import Kept
from kavfs.report.lines import Show, lines_of
from kavfs.report.names import shown_path, shown_text
from kavfs.report.summary import Signatures, summary_lines

LINES_MAX = 200  # findings that are named; the rest is counted
LINE_MAX = 2_000  # characters
TIME_LIMIT = 60.0  # seconds for sendmail or the command
SENDMAIL = b"/usr/sbin/sendmail"
OPTIONS = ("-t", "-oi")  # recipients from the head; a dot alone on a line is no end
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

EVENTS: dict[str, frozenset[Status]] = {
    "infected": frozenset({Status.INFECTED}),
    "curefailed": frozenset({Status.CUREFAILED}),
    "suspicion": frozenset({Status.SUSPICIOUS}),
    "warning": frozenset({Status.WARNING}),
    "cured": frozenset({Status.CURED}),
    "protected": frozenset({Status.PROTECTED}),
    "corrupted": frozenset({Status.CORRUPTED}),
    "error": frozenset({Status.ERROR}),
    "always": frozenset(),
}
"""The words of On=: when something is said, and about what. "always": after every scan."""

USUAL = ("infected", "suspicion", "warning", "cured", "curefailed", "error")


class Notify(NamedTuple):
    """[scanner.notify]: whom to tell, how, and when."""

    on: tuple[str, ...] = USUAL
    mail: tuple[str, ...] = ()  # addresses
    sender: str = ""  # "" = the mail system's
    subject: str = ""  # "" = the host and what was found
    sendmail: bytes = SENDMAIL  # a program that takes OPTIONS
    command: bytes = b""  # for /bin/sh
    time_limit: float = TIME_LIMIT


class NotifyReport:
    """Promises ports.Report. *failed* is told what could not be sent."""

    wants_clean = False

    def __init__(
        self,
        notify: Notify,
        signatures: Signatures,
        roots: tuple[bytes, ...],
        exit_code: Callable[[Totals], int],
        failed: Callable[[str], None],
    ) -> None:
        self._notify = notify
        self._signatures = signatures
        self._roots = roots
        self._exit_code = exit_code
        self._failed = failed
        self._statuses = frozenset[Status]().union(*(EVENTS[word] for word in notify.on))
        self._lines: Kept[str] = Kept(LINES_MAX)
        self._notes: list[str] = []

    def add(self, result: Result) -> None:
        failed = any(not deed.done for deed in result.deeds)
        if not (result.status in self._statuses or failed):
            return
        for line in _lines(result):
            self._lines.add(line, found=failed or result.status in FOUND)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Clean files are only counted."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Clean files are only counted."""

    def skip(self, skip: Skip) -> None:
        """The totals count it."""

    def note(self, text: str) -> None:
        if len(self._notes) < LINES_MAX:
            self._notes.append(shown_text(text)[:LINE_MAX])

    def finish(self, totals: Totals) -> None:
        trouble = "error" in self._notify.on and totals.interrupted and not totals.window_ended
        if not (self._lines.things or trouble or "always" in self._notify.on):
            return
        body = "\n".join(self._body(totals)) + "\n"
        if self._notify.mail:
            self._run("mail", [self._notify.sendmail, *OPTIONS], bytes(self._mail(totals, body)), _environment())
        if self._notify.command:
            environment = _environment() | self._variables(totals)
            words: list[str | bytes] = ["/bin/sh", "-c", self._notify.command]
            self._run("command", words, body.encode("utf-8", "backslashreplace"), environment)

    # -- what is said ------------------------------------------------------------------------------------------------

    def _body(self, totals: Totals) -> Iterator[str]:
        host = shown_text(socket.gethostname())
        yield f"kavscanner on {host}, {time.strftime('%Y-%m-%d %H:%M %Z')}"
        yield "Scanned: " + ", ".join(_shown(root) for root in self._roots[:20])
        yield ""
        yield from self._lines.things or ["There is nothing to report."]
        if self._lines.left_out:
            yield f"... and {self._lines.left_out:,} more lines"
        yield ""
        yield from (f"Note: {note}" for note in self._notes)
        yield from summary_lines(totals, self._signatures)

    def _mail(self, totals: Totals, body: str) -> EmailMessage:
        mail = EmailMessage(policy=default.clone(max_line_length=78))
        mail["Subject"] = self._subject(totals)
        if self._notify.sender:
            mail["From"] = self._notify.sender
        mail["To"] = ", ".join(self._notify.mail)
        mail["Date"] = format_datetime(localtime())
        mail["Message-ID"] = make_msgid("kavscanner", _domain())
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers
        mail["X-Kavscanner-Exit-Code"] = str(self._exit_code(totals))
        mail.set_content(body, cte="quoted-printable")
        return mail

    def _subject(self, totals: Totals) -> str:
        if self._notify.subject:
            return shown_text(self._notify.subject)
        counts = [
            f"{number:,} {OUTCOMES[status].word.lower()}"
            for status in OUTCOMES
            if (number := totals.statuses.get(status, 0)) and status not in (Status.CLEAN, Status.FILTERED)
        ]
        end = " (not finished)" if totals.interrupted else ""
        return f"kavscanner on {shown_text(socket.gethostname())}: {', '.join(counts) or 'nothing found'}{end}"

    def _variables(self, totals: Totals) -> dict[str, str]:
        """Of the command: counts, and the lines; a variable has room for 128 KiB, standard input has them all."""
        counts = {f"KAVFS_{status.name}": str(totals.statuses.get(status, 0)) for status in Status}
        listed = "\n".join(self._lines.things).encode("ascii", "backslashreplace").decode()[:60_000]
        return counts | {
            "KAVFS_SUBJECT": self._subject(totals),
            "KAVFS_EXIT_CODE": str(self._exit_code(totals)),
            "KAVFS_FILES": str(totals.files),
            "KAVFS_BYTES": str(totals.bytes),
            "KAVFS_SECONDS": f"{totals.seconds:.3f}",
            "KAVFS_INTERRUPTED": "yes" if totals.interrupted else "no",
            "KAVFS_FINDINGS": listed,
        }

    # -- how ---------------------------------------------------------------------------------------------------------

    def _run(self, what: str, words: list[str | bytes], data: bytes, environment: dict[str, str]) -> None:
        """Run a program with *data* on standard input. It has a session of its own, so that all of it can be ended."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(data)
            given.seek(0)
            try:
                child = subprocess.Popen(
                    words, stdin=given, stdout=subprocess.DEVNULL, stderr=said, env=environment, start_new_session=True,
                    cwd="/", restore_signals=True,
                )  # fmt: skip
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                self._failed(f"the {what} could not be started: {why}")
                return
            try:
                code = child.wait(self._notify.time_limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                self._failed(f"the {what} took longer than {self._notify.time_limit:g} s and was ended")
                return
            said.seek(0)
            words_of_it = " ".join(said.read(500).decode("utf-8", "backslashreplace").split())
        if code:
            end = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
            self._failed(f"the {what} {end}{': ' if words_of_it else ''}{shown_text(words_of_it)}")


def _lines(result: Result) -> Iterator[str]:
    """The lines of a report on one object, and what was done about it."""
    for line in lines_of(result, Show(ok=False)):
        path = result.path + b"/" + line.member if line.member else result.path
        if line.tail:
            yield f"{_shown(path)} {line.tail.decode('utf-8', 'backslashreplace')}"[:LINE_MAX]
    for deed in result.deeds:
        text = f": {shown_text(deed.text)}" if deed.text else ""
        yield f"    {deed.verb}{'' if deed.done else ' failed'}{text}"[:LINE_MAX]


def _shown(path: bytes) -> str:
    """A name for a mail: a long one is cut in the middle, its end says more than what lies between."""
    text = shown_path(path).decode("utf-8", "backslashreplace")
    return text if len(text) <= 1_000 else f"{text[:480]} ... {text[-480:]}"


def _environment() -> dict[str, str]:
    """Nothing of whoever started the scan but who he is."""
    kept = {name: os.environ[name] for name in ("HOME", "USER", "LOGNAME", "TZ") if name in os.environ}
    return {**kept, "PATH": PATH, "LANG": "C.UTF-8"}


def _domain() -> str:
    """For message numbers; a host's name may be anything."""
    host = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in ".-")).strip(".-")
    return host or "localhost"
