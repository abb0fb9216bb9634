"""Policy: what is to be done about a result, from the action lists of the configuration and from option -i.

    policy = make_policy(settings.actions, mode=3, cure=False)
    policy.cures(result)     whether it is to be cured first
    policy.steps(result)     then these, in order; the first failure ends them

An action list is ``a; b``: ``movePath DIR``, ``move DIR``, ``remove``, ``rename SUFFIX``, ``quarantine``, ``exec
COMMAND``. A ``;`` ends a command of exec only when a verb of ours stands behind it, outside of quotes and groups;
every other one is the shell's (``exec mv A B; chmod -x B`` is one command, of which each failure is its end).

What option -i says of curing and removing wins over Cure=; the lists are carried out whatever it says, as in the
product's manual (5.3.4 moves with -i0). What -i says of removing comes behind the list of OnInfected, unless that has
put the file away. --report-only alone lets nothing happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kavfs.action.hooks import translate
from kavfs.action.shell import Where, read_line
from kavfs.errors import ConfigError
from kavfs.model import Result, Status

EXEC, MOVE, MOVE_PATH, QUARANTINE, REMOVE, RENAME = "exec", "move", "movePath", "quarantine", "remove", "rename"
VERBS = (MOVE_PATH, MOVE, REMOVE, RENAME, QUARANTINE, EXEC)
AWAY = (MOVE, MOVE_PATH, QUARANTINE, REMOVE)
"""After one of these the file is no more where it was."""

KEYS: dict[str, tuple[Status, ...]] = {
    "OnInfected": (Status.INFECTED, Status.CUREFAILED),
    "OnSuspicion": (Status.SUSPICIOUS,),
    "OnWarning": (Status.WARNING,),
    "OnCured": (Status.CURED,),
    "OnProtected": (Status.PROTECTED,),
    "OnCorrupted": (Status.CORRUPTED,),
    "OnError": (Status.ERROR,),
}
CONTAINER = "scanner.container"

_BY_WORD = {verb.lower().encode(): verb for verb in VERBS}


class Step(NamedTuple):
    """One action."""

    verb: str
    argument: bytes = b""  # folder, suffix, or the command as the shell gets it


class Rule(Protocol):
    """One On... of the configuration, as it stands in the file."""

    @property
    def section(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes: ...
    @property
    def place(self) -> str: ...  # file:line


class Mode(NamedTuple):
    """What a digit of -i stands for: cure, and remove what is still infected then."""

    cure: bool
    objects: bool = False
    containers: bool = False


MODES: dict[int, Mode] = {
    0: Mode(cure=False),
    1: Mode(cure=True),
    2: Mode(cure=True, objects=True),
    3: Mode(cure=True, objects=True, containers=True),
    4: Mode(cure=False, objects=True, containers=True),
}


@dataclass(frozen=True)
class Policy:
    """What is done about which result."""

    lists: Mapping[tuple[bool, Status], tuple[Step, ...]] = field(default_factory=dict)  # container, status
    mode: Mode = MODES[0]

    @property
    def acts(self) -> bool:
        """Whether anything can happen at all."""
        return bool(self.lists) or any(self.mode)

    @property
    def folders(self) -> tuple[bytes, ...]:
        """Where files are moved to."""
        steps = [step for steps in self.lists.values() for step in steps]
        return tuple(dict.fromkeys(step.argument for step in steps if step.verb in (MOVE, MOVE_PATH)))

    def concerns(self, result: Result) -> bool:
        """Whether something is to be done about it."""
        return self.cures(result) or bool(self.steps(result))

    def cures(self, result: Result) -> bool:
        """Whether it is to be cured. Only what is infected is."""
        return self.mode.cure and result.status is Status.INFECTED

    def steps(self, result: Result) -> tuple[Step, ...]:
        """What is done about a result of this status."""
        steps = self.lists.get((result.container, result.status), ())
        if self._removes(result) and not any(step.verb in AWAY for step in steps):
            return (*steps, Step(REMOVE))
        return steps

    def _removes(self, result: Result) -> bool:
        """A container in which something else is infected is not infected itself: that is what -i2 leaves alone."""
        if result.status not in KEYS["OnInfected"]:
            return False
        inside = result.container and any(threat.member for threat in result.threats)
        return self.mode.containers if inside else self.mode.objects


def make_policy(
    rules: Iterable[Rule], mode: int | None = None, cure: bool = False, keep_container: bool = False
) -> Policy:
    """The policy of *rules* and option -i (None: not given, and *cure* decides). With *keep_container* no container is
    removed for what is in it. ConfigError says what is wrong with a rule, and where it stands."""
    lists: dict[tuple[bool, Status], tuple[Step, ...]] = {}
    for rule in rules:
        try:
            steps = read_list(rule.value)
        except ValueError as error:
            raise ConfigError(f"{rule.place}: {rule.key}: {error}") from None
        if steps:
            lists.update({(rule.section == CONTAINER, status): steps for status in KEYS[rule.key]})
    chosen = Mode(cure) if mode is None else MODES[mode]
    return Policy(lists, chosen._replace(containers=False) if keep_container else chosen)


def read_list(value: bytes) -> tuple[Step, ...]:
    """The actions of a list; ValueError says what is wrong with it."""
    steps: list[Step] = []
    rest = value.strip()
    while rest:
        verb = _verb_at(rest)
        word = rest.partition(b";")[0].split(maxsplit=1)[0] if rest.partition(b";")[0].split() else b""
        if not verb:
            raise ValueError(f"there is no action '{_text(word)}'; there are {', '.join(VERBS)}")
        rest = rest[len(word) :].lstrip()
        end = _end_of_command(rest) if verb == EXEC else (rest + b";").find(b";")
        step = _step(verb, rest[:end].strip())
        rest = rest[end + 1 :].lstrip()
        if verb != EXEC and any(before.verb in AWAY for before in steps):
            raise ValueError(f"nothing is left for {verb} after {next(s.verb for s in steps if s.verb in AWAY)}")
        steps.append(step)
    return tuple(steps)


def _verb_at(text: bytes) -> str:
    """The verb that *text* begins with, or nothing."""
    words = text.partition(b";")[0].split(maxsplit=1)
    return _BY_WORD.get(words[0].lower(), "") if words else ""


def _end_of_command(text: bytes) -> int:
    """Where the command at the beginning of *text* ends."""
    line = read_line(text)
    for at, char in enumerate(text):
        if char != 0x3B or line.where[at] is not Where.PLAIN or line.open_groups(at):
            continue
        if not text[at + 1 :].strip() or _verb_at(text[at + 1 :]):
            return at
    return len(text)


def _step(verb: str, argument: bytes) -> Step:
    if verb == EXEC:
        return Step(verb, translate(argument))
    if verb in (REMOVE, QUARANTINE):
        if argument:
            raise ValueError(f"{verb} takes no argument, but there is '{_text(argument)}'")
    elif verb == RENAME:
        if not argument or b"/" in argument or b"\0" in argument:
            raise ValueError("rename needs what is put behind the name, without a '/'")
    elif not argument.startswith(b"/") or b"\0" in argument:
        raise ValueError(f"{verb} needs the absolute path of a folder")
    elif not argument.strip(b"/"):
        raise ValueError(f"{verb} / would have everything left out of the scan")
    return Step(verb, argument if verb == RENAME else argument.rstrip(b"/"))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
