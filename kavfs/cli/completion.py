"""Completion: what bash, zsh and fish offer behind our programs' names, from the definitions of their options.

Scripts are plain tables: no program of ours is called while somebody types.
"""

from __future__ import annotations

import re

from kavfs.cli import clamscan_options, described
from kavfs.cli.described import Argument, Command
from kavfs.cli.kavfs import COMMANDS

_FILES = ("FILE", "PATH", "IMAGE", "SOCKET", "ADDRESS", "PATH|NAME")
_FOLDERS = ("DIR",)
_PATH = Argument("path", (), "PATH", "a file or a directory")


def scripts() -> dict[str, str]:
    """Place below /usr/share -> script."""
    clamscan = Command(("kavfs-clamscan",), "", "", (*clamscan_options.described(), _PATH))
    programs = (
        (described.kavscanner(),),
        described.kavfs(),
        (clamscan,),
        (described.aveclient(),),
        (described.aveserver(),),
        (described.smtpscanner(),),
    )
    found = {}
    for commands in programs:
        name = commands[0].words[0]
        found[f"bash-completion/completions/{name}"] = _bash(name, commands)
        found[f"zsh/vendor-completions/_{name}"] = _zsh(name, commands)
        found[f"fish/vendor_completions.d/{name}.fish"] = _fish(name, commands)
    return found


def _names(text: str) -> str:
    """A part of a function's name."""
    return re.sub(r"\W", "_", text)


def _quoted(text: str) -> str:
    """One word for a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _next_words(commands: tuple[Command, ...]) -> dict[tuple[str, ...], dict[str, str]]:
    """What may follow the words so far, with what it means: the tree of commands."""
    tree: dict[tuple[str, ...], dict[str, str]] = {}
    for command in commands:
        for depth in range(1, len(command.words)):
            word = command.words[depth]
            whole = depth + 1 == len(command.words)
            meaning = command.help if whole else COMMANDS.get(word, "")
            tree.setdefault(command.words[:depth], {}).setdefault(word, meaning)
    return tree


def _kind(argument: Argument) -> str:
    """ "file", "folder", or what an argument may be, with blanks between; "" = anything."""
    if argument.choices:
        return " ".join(_quoted(choice) for choice in argument.choices)
    if argument.value in _FOLDERS:
        return "folder"
    return "file" if argument.value in _FILES else ""


# ---- bash ----


def _bash(name: str, commands: tuple[Command, ...]) -> str:
    """A function that finds the command among the words, then offers its options or what the last one takes."""
    tree = _next_words(commands)
    rows = [f"# bash completion of {name}; made from its options", f"_{_names(name)}() {{"]
    rows += [
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" at="${COMP_WORDS[0]##*/}" i',
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$at ${COMP_WORDS[i]}" in',
        *(f'            "{" ".join((*so_far, word))}") at="$at ${{COMP_WORDS[i]}}" ;;' for so_far in tree
          for word in tree[so_far]),
        "        esac",
        "    done",
        '    case "$at:$before" in',
        *(row for command in commands for option in command.options for row in _bash_value(command, option)),
        "    esac",
        '    case "$at" in',
    ]  # fmt: skip
    for so_far, words in tree.items():
        rows.append(f'        "{" ".join(so_far)}") COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word")) ;;')
    for command in commands:
        spelled = " ".join(spelling for option in command.options for spelling in option.spellings)
        rows += [
            f'        "{" ".join(command.words)}")',
            f'            if [[ $word == -* ]]; then COMPREPLY=($(compgen -W {_quoted(spelled)} -- "$word"));',
            f"            else {_bash_offer(command.places[0]) if command.places else 'COMPREPLY=()'}; fi ;;",
        ]
    return "\n".join([*rows, "    esac", "}", f"complete -o filenames -F _{_names(name)} {name}"]) + "\n"


def _bash_value(command: Command, option: Argument) -> list[str]:
    if not option.value:
        return []
    marks = "|".join(f'"{" ".join(command.words)}:{spelling}"' for spelling in option.spellings)
    return [f"        {marks}) {_bash_offer(option)}; return ;;"]


def _bash_offer(argument: Argument) -> str:
    kind = _kind(argument)
    action = {"file": "-f", "folder": "-d"}.get(kind, f'-W "{kind}"')
    if kind in ("file", "folder"):
        return f"local IFS=$'\\n'; COMPREPLY=($(compgen {action} -- \"$word\"))"
    return f'COMPREPLY=($(compgen {action} -- "$word"))' if kind else "COMPREPLY=()"


# ---- zsh ----


def _zsh(name: str, commands: tuple[Command, ...]) -> str:
    """One function for each command, and one for each choice among commands."""
    tree = _next_words(commands)
    rows = [f"#compdef {name}", f"# zsh completion of {name}; made from its options"]
    for so_far, words in tree.items():
        told = [_quoted(f"{word}:{meaning}") for word, meaning in words.items()]
        branches = [f"            {word}) _{_names(' '.join((*so_far, word)))} ;;" for word in words]
        rows += [
            f"_{_names(' '.join(so_far))}() {{",
            "    local line state",
            "    _arguments -C '1: :->command' '*:: :->rest'",
            '    case "$state" in',
            f"        command) local -a known=({' '.join(told)}); _describe command known ;;",
            '        rest) case "$line[1]" in',
            *branches,
            "        esac ;;",
            "    esac",
            "}",
        ]
    for command in commands:
        specs = [spec for argument in command.arguments for spec in _zsh_specs(argument)]
        rows += [f"_{_names(' '.join(command.words))}() {{", "    _arguments -s \\"]
        rows += [f"        {_quoted(spec)} \\" for spec in specs[:-1]] + [
            f"        {_quoted(spec)}" for spec in specs[-1:]
        ]
        rows.append("}")
    return "\n".join([*rows, f'_{_names(name)} "$@"']) + "\n"


def _zsh_specs(argument: Argument) -> list[str]:
    action = {"file": "_files", "folder": "_files -/"}.get(_kind(argument), "")
    if argument.choices:
        action = f"({' '.join(choice.replace(' ', chr(92) + ' ') for choice in argument.choices)})"
    value = f":{_zsh_text(argument.value)}:{action or ' '}"
    if not argument.spellings:
        return [f"*{value}"]
    text = f"[{_zsh_text(argument.help)}]"
    return [f"*{spelling}{text}{value if argument.value else ''}" for spelling in argument.spellings]


def _zsh_text(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


# ---- fish ----


def _fish(name: str, commands: tuple[Command, ...]) -> str:
    """A line for each option; which command they belong to is asked with __fish_seen_subcommand_from."""
    tree = _next_words(commands)
    rows = [f"# fish completion of {name}; made from its options", f"complete -c {name} -f"]
    for so_far, words in tree.items():
        seen = _fish_seen(so_far, " ".join(words))
        rows += [f"complete -c {name} {seen} -a {word} -d {_fish_text(text)}" for word, text in words.items()]
    for command in commands:
        seen = _fish_seen(command.words)
        for argument in command.arguments:
            rows.append(" ".join(["complete -c", name, *([seen] if seen else []), *_fish_words(argument)]))
    return "\n".join(rows) + "\n"


def _fish_seen(words: tuple[str, ...], unless: str = "") -> str:
    """The condition under which these words stand already, and none of *unless*."""
    parts = [f"__fish_seen_subcommand_from {word}" for word in words[1:]]
    parts += [f"not __fish_seen_subcommand_from {unless}"] if unless else []
    return f"-n {_quoted('; and '.join(parts))}" if parts else ""


def _fish_words(argument: Argument) -> list[str]:
    words = []
    for spelling in argument.spellings:
        bare = spelling.lstrip("-")
        words.append(f"-l {bare}" if spelling.startswith("--") else f"-{'s' if len(bare) == 1 else 'o'} {bare}")
    kind = _kind(argument)
    if argument.value:
        words += ["-x", f"-a {_quoted('(__fish_complete_directories)')}"] if kind == "folder" else []
        words += ["-r", "-F"] if kind == "file" else []
        words += ["-x"] if kind not in ("file", "folder") and argument.spellings else []
    words += [f"-a {_fish_choice(argument)}"] if argument.choices else []
    return [*words, f"-d {_fish_text(argument.help)}"] if argument.help else words


def _fish_choice(argument: Argument) -> str:
    return _quoted(" ".join(choice.replace(" ", "\\ ") for choice in argument.choices))


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
