"""Hooks: the command of an ``exec`` action, which no file name can change.

    command = translate(b"echo %FULLPATH%/%FILENAME% | mail -s kavscanner admin@example.org")
    ran = run(command, Subject(path, names, status, listing), seconds=60, folder=b"/var/tmp")

Macros never become text of the command: they become references to environment variables, quoted as the place asks for
where they stand. So whatever a name holds, the shell takes it for one piece of data. Where that cannot work a macro is
refused when the configuration is read: inside single quotes, backticks, $() and ${}, and where a program would read it
as a command once more (``eval``, ``sh -c "..."``, ``| sh``; readers.py), also by way of a variable. A command cannot
have comments or here-documents: they would swallow the actions behind them.

Three dangers are left, against which the value itself is chosen. At the beginning of a word a name that begins with a
dash is given as ``./-name``, so that it is no option. In the subject of a mail (-s) and in what sendmail reads it is on
one line, as in reports. A virus name has no blanks, no control characters and no dash at its beginning.
"""

from __future__ import annotations

import os
import re
import select
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kavfs.action.readers import readers, refuse_carried, refuse_second_reading
from kavfs.action.shell import Line, Where, name_of, read_line

MACROS = (b"FULLPATH", b"FILENAME", b"VIRUSNAME", b"LIST")
OUTPUT_KEPT = 2000  # bytes of what a command prints
GRACE = 2.0  # seconds between SIGTERM and SIGKILL

_MACRO = re.compile(rb"%([A-Z]{4,})%")
_SENDERS = frozenset(
    (b"sendmail", b"msmtp", b"ssmtp", b"esmtp", b"exim", b"dma", b"qmail-inject", b"nullmailer-inject")
)
_MAILERS = frozenset((b"mail", b"mailx", b"s-nail", b"nail", b"mutt", b"neomutt", b"heirloom-mailx"))


class Subject(NamedTuple):
    """What a command is about."""

    path: bytes
    virus: str  # the gravest; "" = none
    status: str
    listing: bytes = b""  # of %LIST%: lines about what was found inside
    shown: bytes = b""  # the path as reports write it


class Ran(NamedTuple):
    """How a command ended."""

    why: str  # "" = well
    output: str = ""  # the beginning of what it printed


# ---- macros -----------------------------------------------------------------------------------------------------


def translate(command: bytes) -> bytes:
    """The command with references for macros; ValueError says which macro cannot stand where it stands."""
    if not command.strip():
        raise ValueError("exec needs a command")
    if b"\0" in command:
        raise ValueError("a command cannot hold a NUL byte")
    line = read_line(command)
    if line.open_groups(len(command)):
        raise ValueError("a group of commands ({, (, if, for, while, case) is not closed")
    parts: list[bytes] = []
    done = 0
    joined = -1  # where a macro ends that began a word: what follows begins it too if that one is empty
    for match in _MACRO.finditer(command):
        begins = line.begins_word(match.start()) or match.start() == joined
        parts += [command[done : match.start()], _reference(line, match, begins)]
        done = match.end()
        joined = done if begins else -1
    for where in (Where.COMMENT, Where.HERE):
        if where in line.where:
            raise ValueError(f"what stands {where.value} would be lost, with every action; put it in quotes")
    refuse_carried(line)
    return b"".join([*parts, command[done:]])


def _reference(line: Line, match: re.Match[bytes], begins: bool) -> bytes:
    name, at = match[1], match.start()
    shown = match[0].decode()
    if name not in MACROS:
        known = ", ".join(f"%{macro.decode()}%" for macro in MACROS)
        raise ValueError(f"there is no macro {shown}; there are {known}")
    for where in line.where[at : match.end()]:
        if where not in (Where.PLAIN, Where.DOUBLE):
            raise ValueError(f"{shown} cannot stand {where.value}; {_help(name)}")
    if line.text[at - 1 : at] == b"$" and line.where[at - 1] is not Where.ESCAPED:
        raise ValueError(f"{shown} cannot stand behind a $")
    refuse_second_reading(line, at, shown, _help(name))
    suffix = b""
    if name in (b"FULLPATH", b"FILENAME") and _is_header(line, at):
        suffix = b"_SHOWN"
    elif name == b"FILENAME" and begins:
        suffix = b"_ARG"
    reference = b"${KAVFS_%b%b}" % (name, suffix)
    return reference if line.where[at] is Where.DOUBLE else b'"%b"' % reference


def _help(name: bytes) -> str:
    return f"a script finds it in the environment as KAVFS_{name.decode()}"


def _is_header(line: Line, at: int) -> bool:
    """Whether what stands here becomes a header of a mail, where a line break would begin another one."""
    *before, own = line.words_before(at)
    mailer = bool(before) and name_of(before[0]) in _MAILERS
    if mailer and (own.startswith(b"-s") or (before[-1].startswith(b"-") and before[-1].endswith(b"s"))):
        return True
    if mailer and before[-1] == b"-a" and b":" in own:
        return True
    return not _SENDERS.isdisjoint(readers(line, at))


# ---- running ----------------------------------------------------------------------------------------------------


def run(command: bytes, subject: Subject, *, seconds: float, folder: bytes) -> Ran:
    """Run a translated command by /bin/sh -e: its first failure ends it. It has /dev/null to read, a session of its
    own, no descriptor of ours, and *seconds*; the list is kept in a private folder below *folder* meanwhile."""
    try:
        with _listing(subject.listing, folder) as listing:
            process = subprocess.Popen(
                [b"/bin/sh", b"-e", b"-c", command, b"kavfs-action"],
                env={**os.environb, **_environment(subject, listing)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=b"/",
                start_new_session=True,
            )
            return _watch(process, seconds)
    except OSError as error:  # no process, no room for the list, a path longer than what a process may be given
        return Ran(f"cannot be run: {error.strerror}")


def _environment(subject: Subject, listing: bytes) -> dict[bytes, bytes]:
    folder, _, name = subject.path.rpartition(b"/")
    # Without backslashes: echo of many a shell makes line breaks of those by which reports show them.
    shown_folder, _, shown_name = subject.shown.replace(b"\\", b"?").rpartition(b"/")
    virus = re.sub(r"[^\x21-\x5b\x5d-\x7e]", "_", subject.virus)
    return {
        b"KAVFS_FULLPATH": folder or b"/",
        b"KAVFS_FILENAME": name,
        b"KAVFS_FILENAME_ARG": b"./" + name if name.startswith(b"-") else name,
        b"KAVFS_FULLPATH_SHOWN": shown_folder or b"/",
        b"KAVFS_FILENAME_SHOWN": shown_name,
        b"KAVFS_VIRUSNAME": ("_" + virus[1:] if virus.startswith("-") else virus).encode(),
        b"KAVFS_STATUS": subject.status.encode(),
        b"KAVFS_LIST": listing,
    }


@contextmanager
def _listing(text: bytes, folder: bytes) -> Iterator[bytes]:
    """The file of %LIST%, 0600 in a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=b"kavfs-list-", dir=folder) as own:
        path = os.path.join(own, b"viruses.txt")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "wb") as file:
            file.write(text)
        yield path


def _watch(process: subprocess.Popen[bytes], seconds: float) -> Ran:
    """Wait for the shell, not for what it left running, and keep the beginning of what is printed."""
    assert process.stdout is not None
    kept = bytearray()
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        in_time = _read_until_end(process, pipe.fileno(), kept, time.monotonic() + seconds)
        if not in_time:
            _end(process)
        _drain(pipe.fileno(), kept)
    output = kept.decode("utf-8", "backslashreplace").strip()
    if not in_time:
        return Ran(f"ended after its {seconds:g} seconds", output)
    code = process.wait()
    if code:
        return Ran(f"killed by signal {-code}" if code < 0 else f"exit code {code}", output)
    return Ran("", output)


def _read_until_end(process: subprocess.Popen[bytes], pipe: int, kept: bytearray, deadline: float) -> bool:
    """False: the time was over before the shell was."""
    end = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(end, selectors.EVENT_READ)
            selector.register(pipe, selectors.EVENT_READ)
            while process.poll() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                for key, _ in selector.select(left):
                    if key.fd == pipe and not _drain(pipe, kept):
                        selector.unregister(pipe)
        return True
    finally:
        os.close(end)


def _drain(pipe: int, kept: bytearray) -> bool:
    """Take what is there, as far as it is wanted, but no more than a pipe holds. False: nothing will come."""
    for _ in range(16):
        try:
            data = os.read(pipe, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        kept += data[: OUTPUT_KEPT - len(kept)]
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """The shell and what it started, unless that left its process group. The shell is reaped last: until then nobody
    else can get its number."""
    end = os.pidfd_open(process.pid)
    try:
        os.killpg(process.pid, signal.SIGTERM)
        select.select([end], [], [], GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    finally:
        os.close(end)
    process.wait()
