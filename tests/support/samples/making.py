"""Making: samples of whole databases, with what could not be made counted by its reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.samples.pieces import Wish, siggen, wishes
from tests.support.samples.regexes import Unmakeable
from tests.support.samples.vessels import dressed, sample

BODIES = (".ndb", ".ndu", ".ldb", ".ldu")
EVERY_DRESS = 3  # one text in so many is made in another dress, too
SUITED = {
    0: ("macro", "pdf stream", "mail", "package", "zip", "html", "text"),
    2: ("macro",),
    3: ("html",),
    7: ("macro", "pdf stream", "text"),
}


@dataclass(frozen=True)
class Sample:
    """A file that a signature describes, and near misses of it."""

    signature: str
    how: str  # siggen, own, or the name of a dress
    content: bytes
    near: bytes | None


@dataclass
class Made:
    """What became of the lines of databases."""

    lines: int = 0
    by: Counter[str] = field(default_factory=Counter)  # how -> samples
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> lines

    def __str__(self) -> str:
        rows = [f"{self.lines} lines; samples: " + ", ".join(f"{how} {n}" for how, n in self.by.most_common())]
        return "\n".join(rows + [f"  {n} lines skipped: {reason}" for reason, n in self.skipped.most_common()])


def lines_of(databases: Path) -> list[str]:
    found = []
    for path in sorted(databases.iterdir()):
        if path.suffix in BODIES:
            text = path.read_bytes().decode("latin-1")
            found += [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    return found


def groups_of(lines: list[str]) -> dict[int, str]:
    """Macro groups: number -> the pattern of one member."""
    groups = {}
    for line in lines:
        fields = line.split(":")
        if ";" not in line and len(fields) > 3 and fields[2].startswith("$"):
            groups[int(fields[2].strip("$"))] = fields[3]
    return groups


def _siggens(line: str, tools: object, rng: random.Random) -> tuple[bytes, bytes | None] | None:
    """siggen's own file and near miss, where it can make them."""
    try:
        make = tools.from_ldb if ";" in line else tools.from_ndb
        target, pieces, described = make(line, rng)
        image = tools.place(tools.SKELETON[target], pieces, target)
    except (ValueError, KeyError, IndexError):
        return None
    if image is None:
        return None
    if "FileSize" in described:
        low, high = (int(x) for x in described["FileSize"].split("-"))
        if len(image) > high:
            return None
        image = image.ljust(low, b"\0")
    if "NumberOfSections" in described:
        return None  # it does not look at it
    _, body = rng.choice(pieces)
    at = image.find(body) if body else -1
    if at < 0:
        return image, None
    near = bytearray(image)
    near[at + rng.randrange(len(body))] ^= 0x5A
    return image, bytes(near)


def _own(line: str, groups: dict[int, str], tools: object, rng: random.Random) -> tuple[Wish, bytes]:
    reason = Unmakeable("an expression that nothing makes true")
    try:
        for wish in wishes(line, groups, tools, rng):
            try:
                return wish, sample(wish, tools)
            except Unmakeable as failed:
                reason = failed
    except Unmakeable as failed:
        reason = failed
    except (ValueError, KeyError, IndexError):
        reason = Unmakeable("a line that the generator cannot read")
    raise reason


def samples(lines: list[str], generator: Path, seed: int, made: Made) -> Iterator[Sample]:
    """Samples of these lines, the same for the same seed, one after the other in the order of the lines."""
    tools, groups = siggen(generator), groups_of(lines)
    for line in lines:
        made.lines += 1
        rng = random.Random(f"{seed} {line}")
        name = line.split(";" if ";" in line else ":", 1)[0]
        given = _siggens(line, tools, rng)
        wish: Wish | None = None
        try:
            wish, content = _own(line, groups, tools, rng)
        except Unmakeable as reason:
            if given is None:
                made.skipped[str(reason)] += 1
                continue
        if given is not None and (wish is None or not _headed(wish)):
            made.by["siggen"] += 1
            yield Sample(name, "siggen", *given)
        elif wish is not None:
            made.by[how(wish)] += 1
            yield Sample(name, how(wish), content, _near(wish, tools, rng))
        if wish is not None and rng.randrange(EVERY_DRESS) == 0:
            yield from _dresses(name, wish, rng, made)


def _headed(wish: Wish) -> bool:
    """It has offsets of executables; siggen's have one section, and those for Mac OS no entry point for ClamAV."""
    return any(piece.place.kind not in ("any", "at", "end") for piece in wish.pieces)


def how(wish: Wish) -> str:
    return " + ".join(sorted(wish.kinds))


def _near(wish: Wish, tools: object, rng: random.Random) -> bytes | None:
    try:
        return sample(wish.changed(rng), tools)
    except (Unmakeable, IndexError):
        return None


def _dresses(name: str, wish: Wish, rng: random.Random, made: Made) -> Iterator[Sample]:
    suited = SUITED.get(wish.target, ())
    if not suited:
        return
    dress = rng.choice(suited)
    try:
        content = dressed(wish, dress, rng)
    except Unmakeable:
        return
    made.by[dress] += 1
    try:
        near = dressed(wish.changed(rng), dress, rng)
    except (Unmakeable, IndexError):
        near = None
    yield Sample(name, dress, content, near)
