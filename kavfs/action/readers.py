"""Readers: where the shell would get a value right, and hand it to somebody who reads it as a command once more.

    refuse_second_reading(line, at, "%FILENAME%", "...")   a macro that stands at this byte
    refuse_carried(line)                                   variables that may carry the value of one

ValueError says why. A command that names a macro or one of our variables is refused too when it cannot be followed.
What is left to whoever writes it: a name that goes into a file which is run later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kavfs.action.shell import Line, name_of, read_line

_SHELLS = frozenset((b"sh", b"bash", b"dash", b"ash", b"ksh", b"mksh", b"zsh", b"csh", b"tcsh", b"fish", b"busybox"))
_WITH_TEXT = _SHELLS | frozenset(
    (b"script", b"su", b"runuser", b"python", b"perl", b"ruby", b"php", b"node", b"lua", b"env", b"flock", b"sg")
)
_WITH_TEXT |= frozenset((b"mysql", b"mariadb", b"psql", b"expect", b"gdb", b"vim"))
_TEXT_FOLLOWS = re.compile(rb"-[A-Za-z]*[ceErSp]|--e(val|xecute)(=.*)?|--command(=.*)?|--split-string(=.*)?", re.DOTALL)
_EVALUATE = frozenset((b"eval", b"trap", b"alias", b"ssh", b"rsh", b"watch", b"parallel", b"at", b"batch"))
_EVALUATE |= frozenset((b"let", b"[[", b"read", b"unset", b"declare", b"typeset", b"mapfile", b"readarray", b"getopts"))
_EVALUATE |= frozenset((b"tmux", b"socat", b"sqlite"))
_RUN_IT = _SHELLS | frozenset((b".", b"source", b"exec", b"command", b"builtin", b"sudo", b"doas", b"nohup", b"setsid"))
_RUN_IT |= frozenset((b"xargs", b"nice", b"time", b"python", b"perl", b"ruby", b"php", b"node", b"lua", b"busybox"))
_PROGRAM_FIRST = frozenset((b"awk", b"gawk", b"mawk", b"nawk", b"sed"))
_KEYWORDS = frozenset((b"!", b"{", b"if", b"then", b"else", b"elif", b"while", b"until", b"do"))
_ASSIGNMENT = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*\+?=")
_WRAPPERS = frozenset(
    (b"env", b"sudo", b"doas", b"nice", b"ionice", b"nohup", b"timeout", b"setsid", b"stdbuf", b"flock")
)
_WRAPPERS |= frozenset(
    (b"command", b"exec", b"find", b"xargs", b"chroot", b"unshare", b"systemd-run", b"busybox", b"chrt")
)
_WRAPPERS |= frozenset((b"taskset", b"script", b"su", b"runuser", b"setpriv", b"nsenter", b"builtin"))
_WRAPPERS |= frozenset((b"strace", b"ltrace", b"firejail", b"docker", b"podman", b"screen", b"chpst", b"gosu", b"time"))
_WRAPPERS |= frozenset((b"eatmydata", b"fakeroot", b"sg"))
_READ_COMMANDS = _SHELLS | frozenset((b"xargs", b"parallel", b"at", b"batch", b"crontab", b"ssh", b"su", b"psql"))
_READ_COMMANDS |= frozenset((b"mysql", b"mariadb", b"sqlite"))
_STEERS = re.compile(
    rb"(PATH|IFS|ENV|BASH_ENV|SHELLOPTS|SHELL|CDPATH|PS[0-4]|EDITOR|VISUAL|PAGER|BROWSER|(LD|DYLD|GIT|PERL|PYTHON|RUBY|NODE)\w*)\+?="
)
_CONCERNED = re.compile(rb"%[A-Z]{4,}%|KAVFS_")
_EXPANDED = frozenset(b"$`")
_SCRIPT = "put what is to be done into a script, which finds the values in its environment"


def refuse_second_reading(line: Line, at: int, shown: str, what_else: str) -> None:
    """Where the shell would get the value right, and hand it to somebody who reads it as a command."""
    *before, own = line.words_before(at)
    reader = b""
    for index, name in _programs(before):
        options = [word for word in (*before[index + 1 :], own) if word[:1] in (b"-", b"+")]
        behind = _words_behind(before[index + 1 :])
        if name in _EVALUATE:
            reader = name
        if name in _WITH_TEXT and not behind and any(_TEXT_FOLLOWS.fullmatch(word) for word in options):
            reader = name
        if name in _PROGRAM_FIRST and not behind:
            reader = name
        if _EXPANDED & set(name):
            raise ValueError(f"{shown} is given to a program that cannot be told here; {what_else}")
    if reader:
        raise ValueError(f"{shown} would be read as a command by {reader.decode()}; {what_else}")
    _refuse_to_run(line, at, before, own, shown)
    piped = next((name for name in readers(line, at) if name in _READ_COMMANDS), b"")
    if piped:
        raise ValueError(f"{shown} is printed and then read by {piped.decode()}; {what_else}")
    if line.is_target(at, b"<") and (fed := next(_fed(line), b"")):
        raise ValueError(f"{shown} is what {fed.decode()} reads commands from; {what_else}")
    if _STEERS.match(own):
        raise ValueError(f"{shown} would become {own.partition(b'=')[0].decode()}, which says what is run; {what_else}")


def _refuse_to_run(line: Line, at: int, before: list[bytes], own: bytes, shown: str) -> None:
    """Where the infected file itself would be run, or its name be that of a program or of a variable."""
    before = [word for word in before if word not in _KEYWORDS and not _ASSIGNMENT.match(word)]
    program = not before and not _ASSIGNMENT.match(own)
    first = b"." if before[:1] == [b"."] else name_of(b"".join(before[:1]))
    script = first in _RUN_IT and all(word[:1] in b"-+" for word in before[1:]) and own[:1] not in (b"-", b"+")
    script = script and not {b"-c", b"-s"} & set(before)
    if (program or script) and not line.is_target(at):
        raise ValueError(f"{shown} cannot stand where a program or a script to be run stands")


def _programs(words: list[bytes]) -> list[tuple[int, bytes]]:
    """The first word that is no keyword and no assignment; and where that runs other programs, all behind it."""
    for index, word in enumerate(words):
        if word not in _KEYWORDS and not _ASSIGNMENT.match(word):
            names = [(at, name_of(name)) for at, name in enumerate(words[index:], index)]
            return names if names[0][1] in _WRAPPERS else names[:1]
    return []


def readers(line: Line, at: int) -> list[bytes]:
    """The programs that read what is printed here."""
    commands: list[list[bytes]] = []
    for word in line.piped_to(at):
        if word:
            commands[-1].append(word)
        else:
            commands.append([])
    return [name for words in commands for _, name in _programs(words)]


def _words_behind(words: list[bytes]) -> list[bytes]:
    """What stands behind the last option: with -c that is the name of the script that follows its text."""
    last = max((index for index, word in enumerate(words) if word[:1] in (b"-", b"+")), default=-1)
    return words[last + 1 :]


def _fed(line: Line) -> Iterator[bytes]:
    """The programs of a line that read commands from their standard input."""
    for words in line.commands():
        for index, name in _programs(words):
            script = name in _SHELLS and any(word[:1] not in b"-+" for word in words[index + 1 :])
            if name in _READ_COMMANDS and not script:
                yield name


# ---- variables --------------------------------------------------------------------------------------------------


def refuse_carried(line: Line) -> None:
    """Expansions stand where a macro could, if they may hold what a macro held: of variables that the command itself
    names, of its arguments, of our own, and of what a command prints."""
    if _CONCERNED.search(line.text):
        _refuse_carried(line, _carriers(line.text))


def _carriers(text: bytes) -> Callable[[bytes], bool]:
    """Whether a variable may hold such a value. What the command does not name is the administrator's (HOME)."""

    def carries(name: bytes) -> bool:
        if not name[:1].isalpha() or name.startswith(b"KAVFS_"):
            return name not in (b"#", b"?", b"$", b"-")
        return re.search(rb"(?<![\w$])(?<!\$\{)(?<!\$\{#)%b(?!\w)" % name, text) is not None

    return carries


def _refuse_carried(line: Line, carries: Callable[[bytes], bool]) -> None:
    for at, end in line.expansions():
        text = line.text[at:end]
        if text.startswith((b"$((", b"$[")):
            if any(carries(name) for name in re.findall(rb"[A-Za-z_]\w*", text)) or b"$" in text[1:]:
                raise ValueError(f"what a name holds would be read as a number; {_SCRIPT}")
        elif text.startswith((b"$(", b"`")):
            inner = text[2:-1] if text.startswith(b"$(") else re.sub(rb"\\([$`\\])", rb"\1", text[1:-1])
            _refuse_carried(read_line(inner), carries)
            refuse_second_reading(line, at, "what $() prints", _SCRIPT)
        else:
            match = re.match(rb"\$\{?[#!]?(\w+|[@*])", text)
            if b"$(" in text or b"`" in text or text.startswith(b"${!"):
                raise ValueError(f"{text.decode('utf-8', 'backslashreplace')} cannot be followed; {_SCRIPT}")
            if match is not None and carries(match[1]):
                refuse_second_reading(line, at, "$" + match[1].decode(), _SCRIPT)
