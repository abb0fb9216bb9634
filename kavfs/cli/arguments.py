"""Arguments: the options of kavscanner as one table, and the reader of a command line.

The product's spelling and the modern one side by side: letters may be joined (``-Rlq``), an argument may be joined or
separate (``-ofile``, ``-o file``), options may stand behind paths, ``--`` ends them. Words are bytes, because paths
are. argparse is not used: it can express neither ``-pi FILE`` nor bytes, and to import it takes as long as to scan a
small file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kavfs.errors import UsageError
from kavfs.report.names import shown_text


class Option(NamedTuple):
    """One option. ``value`` is what its argument is called in the help; "" = it has none."""

    name: str  # what request.py calls it
    letter: str = ""
    word: str = ""  # with its two hyphens
    value: str = ""
    kinds: str = ""  # the letters of which one must follow the option's letter: -pi, -ps ...
    help: str = ""


class Given(NamedTuple):
    """One option as it was typed."""

    option: Option
    typed: str  # the option alone, for messages
    value: bytes = b""
    kind: str = ""


OPTIONS: tuple[Option, ...] = (
    Option("engine_switches", "e", "", "LETTERS", help="open: P packed programs (no effect yet), A archives, S "
           "self-extracting archives, B mail bases, M mails, E heuristics; a small letter switches off"),
    Option("recursion", "R", help="scan directories with everything below them (default)"),
    Option("no_recursion", "r", help="scan only the files directly in the directories named"),
    Option("action", "i", "", "0-4", help="what to do with what is infected: 0 neither cure nor remove, 1 cure, 2 cure "
           "or remove a simple object, 3 cure or remove, a container as a whole, 4 remove; action lists of the "
           "configuration are carried out before, also with 0 (see --report-only)"),
    Option("keep_container", "", "--keep-container", help="remove no container for the sake of what is in it"),
    Option("report_only", "", "--report-only", help="change nothing, whatever -i and the configuration say"),
    Option("report_file", "o", "", "FILE", help="write a report to FILE, or to the system log with 'syslog', to the "
           "journal with 'journald'"),
    Option("report_level", "j", "", "LEVEL", help="level of the report: 0 fatal, 1 errors, 2 findings, 3 information, "
           "4 every object, 9 everything"),
    Option("report_letters", "m", "", "LETTERS", help="what goes into reports (-o and --json): N clean objects, "
           "C containers without their members, O one line an object; a small letter switches off"),
    Option("display_letters", "x", "", "LETTERS", help="the same for the terminal, and P progress"),
    Option("list", "p", "", "FILE", kinds="iswcpea", help="write the names of infected (i), suspicious (s), warning "
           "(w), corrupted (c), protected (p), error (e) or all these (a) objects to FILE"),
    Option("files_from", "@", "", "FILE", help="scan what FILE names, one name a line; - is standard input"),
    Option("files0_from", "", "--files0-from", "FILE", help="the same with names that end in a NUL byte"),
    Option("config", "c", "", "FILE", help="take settings from FILE instead of the usual place"),
    Option("quiet", "q", help="write nothing to the terminal"),
    Option("local", "l", "--one-file-system", help="stay on the file systems of the paths named"),
    Option("no_symlinks", "s", help="do not follow symbolic links (default)"),
    Option("follow_symlinks", "", "--follow-symlinks", help="follow symbolic links met in directories"),
    Option("accepted", "f", help="accepted for old callers, without effect"),
    Option("exclude_mask", "", "--exclude", "MASK", help="leave out files and directories whose name (or path, if MASK "
           "has a '/') fits MASK; may be repeated"),
    Option("exclude_dir", "", "--exclude-dir", "DIR", help="leave out DIR and what is below it; may be repeated"),
    Option("json", "", "--json", "FILE", help="write results as JSON lines to FILE, or to standard output with -"),
    Option("html", "", "--html", "FILE", help="write a page with charts and a table of what was found to FILE"),
    Option("events", "", "--events", help="keep this scan for `kavfs report` even if it is short and finds nothing"),
    Option("no_events", "", "--no-events", help="keep nothing of this scan for `kavfs report`"),
    Option("progress", "", "--progress", help="show progress if standard error is a terminal (default)"),
    Option("no_progress", "", "--no-progress", help="show no progress"),
    Option("engine", "", "--engine", "NAMES", help="engines to scan with, commas between them: native (default), "
           "clamav, clamd, yara; or auto: native, and besides it what is there"),
    Option("clamav_databases", "", "--clamav-db", "DIR", help="databases for engine clamav (/var/lib/clamav)"),
    Option("clamd", "", "--clamd", "ADDRESS", help="where engine clamd listens: the path of a socket, or HOST:PORT"),
    Option("yara_rules", "", "--yara-rules", "PATH", help="rules for engine yara: a file or a folder"),
    Option("databases", "", "--db", "PATH", help="signatures: an image, or a folder of databases; may be repeated"),
    Option("state", "", "--state", "DIR", help="where compiled signatures and the cache are kept"),
    Option("jobs", "", "--jobs", "N", help="scanning processes; 0 or nothing: as many as the machine allows"),
    Option("no_cache", "", "--no-cache", help="scan everything anew and remember nothing"),
    Option("no_object_cache", "", "--no-object-cache", help="neither look up nor remember objects by what they hold"),
    Option("cache_size", "", "--cache-size", "SIZE", help="most bytes on disk for what is remembered of files (2GiB)"),
    Option("remember_digests", "", "--remember-digests", help="remember MD5, SHA-1 and SHA-256 of every object, so "
           "that new hash signatures need not read it again"),
    Option("distrust_owners", "", "--distrust-owners", help="remember only files to which nobody but root and the "
           "scanning user may write"),
    Option("polite", "", "--polite", help="yield CPU and disk to others, and wait while they need them"),
    Option("max_load", "", "--max-load", "N", help="begin nothing while the load average is above N"),
    Option("until", "", "--until", "TIME", help="begin nothing after TIME (06:00, 2027-01-31T06:00); with --resume"),
    Option("for", "", "--for", "TIME", help="begin nothing when the scan has lasted for TIME (2h); with --resume"),
    Option("resume", "", "--resume", help="go on with this scan where it was interrupted, and let it be gone on with"),
    Option("lock", "", "--lock", "NAME", help="scan only if no other scan holds the lock NAME: a word, or the path "
           "of a file"),
    Option("fill_page_cache", "", "--fill-page-cache", help="leave what was read in the system's page cache; if not "
           "given, files that were not there before are dropped from it"),
    Option("all_match", "", "--all-match", help="name every signature that matches, not only the first by database"),
    Option("max_file_size", "", "--max-file-size", "SIZE", help="largest file that is scanned (0: any size)"),
    Option("max_member_size", "", "--max-member-size", "SIZE", help="largest member of a container"),
    Option("max_unpacked", "", "--max-unpacked", "SIZE", help="most bytes that one object may unpack to"),
    Option("max_depth", "", "--max-depth", "N", help="how deep containers may be nested"),
    Option("max_members", "", "--max-members", "N", help="most members of one object"),
    Option("time_limit", "", "--time-limit", "TIME", help="time for one object, besides what its size allows"),
    Option("time_rate", "", "--time-rate", "SIZE", help="bytes of an object for which one second more is allowed"),
    Option("memory_limit", "", "--memory-limit", "SIZE", help="most memory of one scanning process besides signatures"),
    Option("spill_limit", "", "--spill-limit", "SIZE", help="most bytes of its temporary file"),
    Option("version", "v", "--version", help="print the version"),
    Option("help", "h", "--help", help="print this help"),
)  # fmt: skip

_LETTERS = {option.letter.encode(): option for option in OPTIONS if option.letter}
_WORDS = {option.word.encode(): option for option in OPTIONS if option.word}


def parse(words: Sequence[bytes]) -> tuple[list[Given], list[bytes]]:
    """Options in the order given, and paths; UsageError names what cannot be understood."""
    given: list[Given] = []
    paths: list[bytes] = []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == b"--":
            paths += reversed(rest)
            break
        if word.startswith(b"--"):
            given.append(_long(word, rest))
        elif word.startswith(b"-") and len(word) > 1:
            given += _letters(word, rest)
        else:
            paths.append(word)
    return given, paths


def _long(word: bytes, rest: list[bytes]) -> Given:
    name, equals, value = word.partition(b"=")
    option = _WORDS.get(name)
    if option is None:
        raise UsageError(f"unknown option {_shown(name)}{_nearest(name)}")
    if not option.value:
        if equals:
            raise UsageError(f"option {option.word} takes no argument")
        return Given(option, option.word)
    return Given(option, option.word, _next([value] if equals else rest, option, option.word))


def _letters(word: bytes, rest: list[bytes]) -> list[Given]:
    """All options of one word: letters without an argument, at most one with an argument at its end."""
    given = []
    at = 1
    while at < len(word):
        option = _LETTERS.get(word[at : at + 1])
        if option is None:
            raise UsageError(f"unknown option -{_shown(word[at : at + 1])} in {_shown(word)}{_nearest(word)}")
        at += 1
        typed = f"-{option.letter}"
        if not option.value:
            given.append(Given(option, typed))
            continue
        kind = ""
        if option.kinds:
            kind = word[at : at + 1].decode("latin-1")
            typed += kind
            at += 1
            if not kind or kind not in option.kinds:
                wanted = ", ".join(f"-{option.letter}{letter}" for letter in option.kinds)
                raise UsageError(f"unknown option {shown_text(typed)} in {_shown(word)}; there are {wanted}")
        given.append(Given(option, typed, word[at:] or _next(rest, option, typed), kind))
        break
    return given


def _next(rest: list[bytes], option: Option, typed: str) -> bytes:
    if not rest or not rest[-1]:
        raise UsageError(f"option {typed} needs an argument: {option.value}")
    return rest.pop()


def _nearest(word: bytes) -> str:
    """The option that was probably meant. difflib is imported here: only a mistake pays for it."""
    from difflib import get_close_matches

    known = [option.word for option in OPTIONS if option.word]
    near = get_close_matches("-" + word.decode("latin-1").lower().strip("-"), [w[1:] for w in known], 1, 0.6)
    if near:
        return f"; did you mean -{near[0]}?"
    swapped = word[1:2].swapcase()
    if len(word) == 2 and swapped in _LETTERS:
        return f"; did you mean -{swapped.decode()}?"
    return "; -h lists the options"


def _shown(word: bytes) -> str:
    return shown_text(word.decode("utf-8", "surrogateescape"))
