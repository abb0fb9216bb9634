"""Manual: the manual pages and completions, made from the definitions that programs read.

    python -m kavfs.cli.manual conf build/share

A frame (conf/man/NAME.in) holds what only a person can say; marks in it, which are comments of troff, name what is put
in from the definitions: the entry of an option, a command with its usage, the table of outcomes. What no mark names
comes where the frame says "rest", so that nothing can be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kavfs.cli import clamscan_options, completion, described, manual_conf
from kavfs.cli.described import Argument, Command
from kavfs.cli.roff import bold, comment_mark, entry, joined, plain, sentence, term, usage
from kavfs.model import OUTCOMES, Status
from kavfs.version import VERSION

Put = Callable[[str], list[str]]


def kavscanner_page(frame: str) -> str:
    """kavscanner(8)."""
    return _options_page(frame, described.kavscanner().options)


def clamscan_page(frame: str) -> str:
    """kavfs-clamscan(1)."""
    return _options_page(frame, clamscan_options.described())


def aveserver_page(frame: str) -> str:
    """aveserver(8)."""
    return _options_page(frame, described.aveserver().options)


def aveclient_page(frame: str) -> str:
    """aveclient(8)."""
    return _options_page(frame, described.aveclient().options)


def smtpscanner_page(frame: str) -> str:
    """smtpscanner(8)."""
    return _options_page(frame, described.smtpscanner().options)


def kavfs_page(frame: str) -> str:
    """kavfs(8)."""
    commands = {" ".join(command.words[1:]): command for command in described.kavfs()}
    left = dict(commands)

    def synopsis(_: str) -> list[str]:
        lines = [text for command in commands.values() for text in (usage(command.usage), ".br")]
        return [*lines, f"{bold('kavfs')} {bold('--version')}"]

    def command(words: str) -> list[str]:
        return _command(left.pop(words))

    def rest(_: str) -> list[str]:
        return [line for words in list(left) for line in command(words)]

    return _filled(frame, {"synopsis": synopsis, "command": command, "rest": rest})


def mta_page(frame: str) -> str:
    """kavfs-mta(8): prose; the options are in kavfs(8)."""
    return _filled(frame, {})


def _options_page(frame: str, options: tuple[Argument, ...]) -> str:
    left = {option.name: option for option in options}

    def option(name: str) -> list[str]:
        return _option(left.pop(name))

    def rest(_: str) -> list[str]:
        return [line for name in list(left) for line in option(name)]

    page = _filled(frame, {"option": option, "rest": rest, "outcomes": lambda _: list(_outcomes())})
    if left:
        raise ValueError(f"these options are not in the page, which has no place for the rest: {', '.join(left)}")
    return page


def _filled(frame: str, puts: dict[str, Put]) -> str:
    """*frame* with its marks replaced. A mark that means nothing is an error of whoever wrote it."""
    lines: list[str] = []
    behind_command = False
    for text in frame.splitlines():
        mark = comment_mark(text)
        if mark is None:
            if behind_command and not text.startswith((".SS", ".SH")):
                lines.append(".PP")
            lines.append(text.replace("@VERSION@", plain(VERSION)))
        elif mark[0] in puts:
            lines += puts[mark[0]](mark[1])
        else:
            raise ValueError(f"no such mark: {text}")
        behind_command = mark is not None and mark[0] == "command"
    return joined(lines)


def _option(option: Argument) -> list[str]:
    return entry(term(option), sentence(option.help))


def _command(command: Command) -> list[str]:
    """A sub-section: usage, what it does, its options."""
    name = " ".join(command.words)
    lines = [f".SS {plain(name)}", usage(command.usage), ".PP", sentence(command.help)]
    return lines + [row for argument in command.arguments if argument.help for row in _option(argument)]


def _outcomes() -> Iterator[str]:
    for status, outcome in OUTCOMES.items():
        if outcome.exit_code and status is not Status.CUREFAILED:
            yield from entry(str(outcome.exit_code), sentence(f"{outcome.word}: {outcome.meaning}"))
    yield from entry("0", "Nothing found.")


def write_all(conf: Path, out: Path) -> None:
    """Every page and every completion, below *out* as they lie below /usr/share."""
    frames = conf / "man"
    pages = {
        "man/man1/kavfs-clamscan.1": clamscan_page((frames / "kavfs-clamscan.1.in").read_text("utf-8")),
        "man/man5/kavfs.conf.5": manual_conf.page((conf / "kavfs.conf").read_text("utf-8")),
        "man/man8/aveserver.8": aveserver_page((frames / "aveserver.8.in").read_text("utf-8")),
        "man/man8/aveclient.8": aveclient_page((frames / "aveclient.8.in").read_text("utf-8")),
        "man/man8/kavfs.8": kavfs_page((frames / "kavfs.8.in").read_text("utf-8")),
        "man/man8/smtpscanner.8": smtpscanner_page((frames / "smtpscanner.8.in").read_text("utf-8")),
        "man/man8/kavfs-mta.8": mta_page((frames / "kavfs-mta.8.in").read_text("utf-8")),
        "man/man8/kavscanner.8": kavscanner_page((frames / "kavscanner.8.in").read_text("utf-8")),
    }
    for place, text in {**pages, **completion.scripts()}.items():
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        (out / place).write_text(text, "utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]), Path(sys.argv[2]))
