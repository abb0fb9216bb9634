"""Options of the clamscan front end: ClamAV's words as one table, and the reader of a command line that uses them.

Each option of clamscan is here, with what becomes of it: it is carried out; it is accepted because it asks for nothing
that we do not do anyway (``harmless``: limits of parsers that we do not have, less to be scanned); or it is refused by
its name, because a script that asked for it would rely on what does not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kavfs.cli.described import Argument
from kavfs.errors import KavfsError
from kavfs.report.names import shown_text

YES = (b"yes", b"true", b"1", b"")
NO = (b"no", b"false", b"0")


class ClamscanError(KavfsError):
    """Whatever keeps clamscan from scanning: its exit code for that is 2."""

    exit_code = 2


class Option(NamedTuple):
    """One option. ``value``: what its argument is called; "[=yes/no]" = it may be left out; "" = it has none."""

    name: str  # without hyphens
    letter: str = ""
    value: str = ""
    help: str = ""
    refused: tuple[bytes, ...] = ()  # values that are refused; YES: the option asks for what we do not do
    harmless: bool = False  # accepted, without effect


_SWITCH = "[=yes/no]"


def _without(*names: str, value: str = "") -> tuple[Option, ...]:
    return tuple(Option(name, "", value, "accepted, without effect", harmless=True) for name in names)


def _refused(*names: str, value: str = _SWITCH, values: tuple[bytes, ...] = YES) -> tuple[Option, ...]:
    return tuple(Option(name, "", value, "refused: there is no counterpart", refused=values) for name in names)


OPTIONS: tuple[Option, ...] = (
    Option("help", "h", "", "print this help"),
    Option("version", "V", "", "print the version"),
    Option("verbose", "v", "", "name each file before its line"),
    Option("archive-verbose", "a", "", "name the member in which something was found, too"),
    Option("quiet", "", "", "write nothing but errors"),
    Option("stdout", "", "", "write messages to standard output, not to standard error"),
    Option("no-summary", "", "", "no summary at the end"),
    Option("infected", "i", "", "only lines of what is infected"),
    Option("suppress-ok-results", "o", "", "no lines of clean files"),
    Option("bell", "", "", "ring the terminal's bell for each infected file"),
    Option("database", "d", "FILE", "signatures: a file or a folder; may be repeated"),
    Option("log", "l", "FILE", "write everything to FILE, too; it is appended to"),
    Option("recursive", "r", _SWITCH, "scan directories with everything below them"),
    Option("allmatch", "z", _SWITCH, "name every signature that matches"),
    Option("cross-fs", "", _SWITCH, "with no, stay on the file systems of the paths named"),
    Option("follow-dir-symlinks", "", "[=0/1/2]", "links to directories: 0 never, 1 those named (default), 2 all"),
    Option("follow-file-symlinks", "", "[=0/1/2]", "links to files: 0 never, 1 those named (default), 2 all"),
    Option("file-list", "f", "FILE", "scan what FILE names, one path a line"),
    Option("remove", "", _SWITCH, "remove infected files"),
    Option("move", "", "DIR", "move infected files to DIR"),
    Option("copy", "", "DIR", "copy infected files to DIR"),
    Option("exclude", "", "REGEX", "leave out files whose path matches; may be repeated"),
    Option("exclude-dir", "", "REGEX", "leave out directories whose path matches; may be repeated"),
    Option("include", "", "REGEX", "scan only files whose path matches; may be repeated"),
    Option("include-dir", "", "REGEX", "scan only directories whose path matches; may be repeated"),
    Option("tempdir", "", "DIR", "folder of work files"),
    Option("detect-pua", "", _SWITCH, "report unwanted software (PUA. signatures)"),
    Option("scan-mail", "", _SWITCH, "with no, mails and mail bases are not opened"),
    Option("scan-archive", "", _SWITCH, "with no, archives are not opened"),
    Option("heuristic-alerts", "", _SWITCH, "with no, findings of heuristics are not reported"),
    Option("max-filesize", "", "SIZE", "largest file that is scanned; a larger one is an error, never clean"),
    Option("max-scansize", "", "SIZE", "most bytes that a container may unpack to; more is an error, never clean"),
    Option("max-files", "", "N", "most members of a container; more are an error, never clean"),
    Option("max-recursion", "", "N", "how deep containers may be nested; deeper ones are an error, never clean"),
    Option("max-dir-recursion", "", "N", "how deep directories are entered"),
    Option("max-scantime", "", "N", "time for one file in milliseconds; what takes longer is an error, never clean"),
    Option("state", "", "DIR", "(not in ClamAV) where compiled signatures and the cache are kept"),
    Option("nocerts", "", "", "rules for certificates of programs (.crb) decide nothing"),
    *_without("debug", "disable-cache"),
    *_without("bytecode-timeout", "statistics", value="VALUE"),
    *_without("leave-temps", "force-to-disk", "gen-json", "bytecode", "bytecode-unsigned", value=_SWITCH),
    *_without("phishing-sigs", "phishing-scan-urls", "heuristic-scan-precedence", "normalize", value=_SWITCH),
    *_without("scan-pe", "scan-elf", "scan-ole2", "scan-pdf", "scan-swf", "scan-html", value=_SWITCH),
    *_without("scan-xmldocs", "scan-hwp3", "scan-onenote", "scan-image", "scan-image-fuzzy-hash", value=_SWITCH),
    *_without("max-embeddedpe", "max-htmlnormalize", "max-htmlnotags", "max-scriptnormalize", value="N"),
    *_without("max-ziptypercg", "max-partitions", "max-iconspe", "max-rechwp3", value="N"),
    *_without("pcre-match-limit", "pcre-recmatch-limit", "pcre-max-filesize", value="N"),
    *_refused("official-db-only", "detect-structured", "alert-broken", "alert-broken-media", "alert-encrypted"),
    *_refused("alert-encrypted-archive", "alert-encrypted-doc", "alert-macros", "alert-exceeds-max"),
    *_refused("alert-phishing-ssl", "alert-phishing-cloak", "alert-partition-intersection"),
    Option("dumpcerts", "", "", "refused: there is no counterpart", refused=(b"",)),
    *(Option(name, "", "VALUE", "refused: there is no counterpart", refused=(b"*",)) for name in (
        "fail-if-cvd-older-than", "exclude-pua", "include-pua", "structured-ssn-format", "structured-ssn-count",
        "structured-cc-count", "structured-cc-mode")),
)  # fmt: skip

_WORDS = {option.name: option for option in OPTIONS}
_LETTERS = {option.letter: option for option in OPTIONS if option.letter}


def described() -> tuple[Argument, ...]:
    """The table for manual and completion."""
    found = []
    for option in OPTIONS:
        letters = (f"-{option.letter}",) if option.letter else ()
        value = "" if option.value.startswith("[") else option.value
        words = f"{option.help} {option.value}" if option.value.startswith("[") else option.help
        found.append(Argument(option.name, (*letters, f"--{option.name}"), value, words))
    return tuple(found)


class Given:
    """Options by name, with their values in the order given; and paths."""

    def __init__(self) -> None:
        self.values: dict[str, list[bytes]] = {}
        self.paths: list[bytes] = []

    def has(self, name: str) -> bool:
        """An option without argument was given."""
        return name in self.values

    def all(self, name: str) -> list[bytes]:
        return self.values.get(name, [])

    def last(self, name: str) -> bytes:
        return self.values[name][-1] if name in self.values else b""

    def yes(self, name: str, default: bool = False) -> bool:
        """What a switch says; ClamscanError for anything but yes and no."""
        if name not in self.values:
            return default
        value = self.last(name).lower()
        if value not in (*YES, *NO):
            raise ClamscanError(f"--{name}: '{_shown(value)}' is neither yes nor no")
        return value in YES


def parse(words: Sequence[bytes]) -> Given:
    """The command line as options and paths, in clamscan's way: letters joined, ``--word value``, ``--word=value``,
    options behind paths, words shortened as long as one alone begins so."""
    given = Given()
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == b"--":
            given.paths += reversed(rest)
            break
        if word.startswith(b"--"):
            _long(given, word, rest)
        elif word.startswith(b"-") and len(word) > 1:
            _letters(given, word[1:], rest)
        else:
            given.paths.append(word)
    return given


def _long(given: Given, word: bytes, rest: list[bytes]) -> None:
    name, equals, value = word[2:].partition(b"=")
    option = _found(name.decode("utf-8", "replace"), word)
    if not option.value and equals:
        raise ClamscanError(f"option --{option.name} takes no argument")
    if option.value and not option.value.startswith("[") and not equals:
        value = _next(option, rest)
    _take(given, option, value)


def _letters(given: Given, letters: bytes, rest: list[bytes]) -> None:
    for at, letter in enumerate(letters):
        option = _LETTERS.get(chr(letter))
        if option is None:
            raise ClamscanError(f"unknown option -{_shown(letters[at : at + 1])}")
        if option.value and not option.value.startswith("["):
            _take(given, option, letters[at + 1 :] or _next(option, rest))
            return
        _take(given, option, b"")


def _found(name: str, word: bytes) -> Option:
    if name in _WORDS:
        return _WORDS[name]
    begun = [option for known, option in _WORDS.items() if name and known.startswith(name)]
    if len(begun) != 1:
        raise ClamscanError(f"{'ambiguous' if begun else 'unknown'} option {_shown(word)}")
    return begun[0]


def _next(option: Option, rest: list[bytes]) -> bytes:
    if not rest:
        raise ClamscanError(f"option --{option.name} needs an argument")
    return rest.pop()


def _take(given: Given, option: Option, value: bytes) -> None:
    if value.lower() in option.refused or option.refused == (b"*",):
        raise ClamscanError(f"option --{option.name} is not available: kavfs has no counterpart")
    if not option.harmless:
        given.values.setdefault(option.name, []).append(value)


def _shown(value: bytes) -> str:
    return shown_text(value.decode("utf-8", "surrogateescape"))
