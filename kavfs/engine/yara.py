"""The engine yara: rules of the YARA language, matched by yara-x. It needs the Python package of that name.

Rules are files *.yar and *.yara, in the place that is configured and among the databases. They are compiled once and
kept in the state folder, named by all they were made from. Each file is a namespace of its own: its global rules hold
for it, and what other files call their rules does not matter. A match is named as ClamAV does: YARA.<rule>.UNOFFICIAL.

A rule sees the file as it lies on disk, not what is packed in it; files of more than LARGEST bytes are not seen.
There is no time limit inside the library without a thread that a sandbox would not hold: a rule that takes too long
costs the worker, and the object is an Error.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import NamedTuple, Protocol

from kavfs.engine.contract import GIB, Budget, EngineFailed, EngineMissing, Finding, Offer, Setup
from kavfs.errors import DatabaseDamaged
from kavfs.model import COMPLETE, Reason, Status, Switch, Threat
from kavfs.options import EnginePlaces

NAME = "yara"
PACKAGE = "yara-x"
SUFFIXES = (b".yar", b".yara")
USUAL = (b"/var/lib/kavfs/databases", b"/var/lib/clamav")  # where no databases are named
LARGEST = 512 << 20  # bytes of a file; the library takes it as one piece of memory
KEPT = 4  # sets of compiled rules in the state folder
FOLDER = b"yara"

WHERE = re.compile(r"^\s*-->\s*(.+):(\d+):\d+$", re.MULTILINE)
CONDITION = re.compile(r"\b(?:global\s+(?:private\s+)?|private\s+global\s+)rule\s+(\w+)")


class Rule(Protocol):
    """Of the library: a rule that matched."""

    identifier: str
    namespace: str
    patterns: Sequence[object]


class Results(Protocol):
    matching_rules: Sequence[Rule]


class Scanner(Protocol):
    def scan(self, data: bytes) -> Results: ...


class Source(NamedTuple):
    """A file of rules."""

    path: bytes
    text: str

    @property
    def shown(self) -> str:
        return self.path.decode("utf-8", "backslashreplace")


def offer(places: EnginePlaces) -> Offer:
    paths = _paths(places)
    if not paths:
        raise EngineMissing("no files of rules (*.yar, *.yara)")
    release = _version()
    sources = _read(paths)
    digest = _digest(sources, release)
    kept = os.path.join(places.state, FOLDER, digest.encode() + b".bin") if places.state else b""
    if not kept or not _is_ours(kept):
        _keep(kept, compiled(sources))
    return Offer(
        knowledge=f"{PACKAGE} {release} rules {digest}",
        setup={
            "rules": [path.decode("latin-1") for path in paths],
            "kept": kept.decode("latin-1"),
            "digest": digest,
        },
        jobs=0,
        resident=LARGEST + (200 << 20),
        memory=2 * GIB,
        start_seconds=300,
    )


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise EngineMissing(f"the Python package {PACKAGE} is not installed") from None


def _paths(places: EnginePlaces) -> list[bytes]:
    """The files of rules, each once, in an order that does not depend on the folder's."""
    found: dict[bytes, None] = {}
    for place in (places.yara, *(places.databases or USUAL)):
        names = [place]
        try:
            names = sorted(os.path.join(place, name) for name in os.listdir(place)) if place else []
        except (NotADirectoryError, FileNotFoundError):
            pass
        except OSError as error:
            raise EngineMissing(f"{os.fsdecode(place)}: {error.strerror}") from None
        rules = [name for name in names if name.endswith(SUFFIXES) and os.path.isfile(name)]
        if place and place == places.yara and not rules:
            raise EngineMissing(f"no files of rules (*.yar, *.yara) in {os.fsdecode(place)}")
        found.update(dict.fromkeys(rules))
    return list(found)


def _read(paths: list[bytes]) -> list[Source]:
    sources = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                sources.append(Source(path, file.read().decode("utf-8")))
        except OSError as error:
            raise EngineMissing(f"{os.fsdecode(path)}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise EngineMissing(f"{os.fsdecode(path)}: no UTF-8 at byte {error.start}") from None
    return sources


def _digest(sources: list[Source], release: str) -> str:
    digest = hashlib.blake2b(release.encode(), digest_size=16)
    for source in sources:
        text = source.text.encode()
        digest.update(b"\0%s\0%d\0" % (source.path, len(text)))
        digest.update(text)
    return digest.hexdigest()


def compiled(sources: list[Source]) -> bytes:
    """The rules as the library keeps them; EngineMissing names file and line of the first that is wrong."""
    library = import_module("yara_x")
    compiler = library.Compiler()
    compiler.enable_includes(False)  # what is compiled is what was read
    for source in sources:
        compiler.new_namespace(source.shown)
        try:
            compiler.add_source(source.text, origin=source.shown)
        except library.CompileError as error:
            raise EngineMissing(_explained(str(error), source.shown)) from None
    kept = io.BytesIO()
    compiler.build().serialize_into(kept)
    return kept.getvalue()


def _explained(text: str, path: str) -> str:
    """One line of the compiler's drawing."""
    what = text.split("\n", 1)[0].removeprefix("error").lstrip()
    what = re.sub(r"^\[\w+\]:\s*", "", what)
    place = WHERE.search(text)
    return f"{path}:{place[2]}: {what}" if place else f"{path}: {what}"


def _is_ours(path: bytes) -> bool:
    """Whether it is there and nobody else could have written it: it holds code."""
    with suppress(OSError):
        for one in (path, os.path.dirname(path)):
            status = os.stat(one, follow_symlinks=False)
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                return False
        return True
    return False


def _keep(path: bytes, data: bytes) -> None:
    """Where the folder cannot be written, each worker compiles for itself."""
    if not path:
        return
    folder = os.path.dirname(path)
    new = path + b".new-%d" % os.getpid()
    with suppress(OSError):
        os.makedirs(folder, 0o755, exist_ok=True)
        fd = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
            os.rename(new, path)
        except OSError:
            os.unlink(new)
            raise
        _sweep(folder)


def _sweep(folder: bytes) -> None:
    files = sorted(os.scandir(folder), key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns, reverse=True)
    for entry in files[KEPT:]:
        os.unlink(entry.path)


def make(setup: Setup) -> YaraEngine:
    """Code is made and mapped here, where that is still allowed."""
    library = import_module("yara_x")
    sources = _read([path.encode("latin-1") for path in setup["rules"]])
    if _digest(sources, _version()) != setup["digest"]:
        raise DatabaseDamaged("the files of rules have changed since the scan began")
    scanner = _kept_scanner(library, setup["kept"].encode("latin-1"))
    if scanner is None:
        scanner = library.Scanner(library.Rules.deserialize_from(io.BytesIO(compiled(sources))))
    conditions = {(source.shown, name) for source in sources for name in CONDITION.findall(source.text)}
    return YaraEngine(scanner, library.ScanError, conditions, Switch.ALL_MATCH in Switch(setup["switches"]))


def _kept_scanner(library: ModuleType, path: bytes) -> Scanner | None:
    """None where no rules are kept, or those of another machine."""
    if not path or not _is_ours(path):
        return None
    make_scanner: Callable[[object], Scanner] = library.Scanner
    try:
        with open(path, "rb") as file:
            return make_scanner(library.Rules.deserialize_from(file))
    except Exception:  # the library has no one class for what is wrong with them
        return None


class YaraEngine:
    folder = b""

    def __init__(
        self, scanner: Scanner, failure: type[Exception], conditions: set[tuple[str, str]], every: bool
    ) -> None:
        """*failure*: what it raises; *conditions*: (namespace, name) of global rules."""
        self._scanner = scanner
        self._failure = failure
        self._conditions = conditions
        self._every = every
        self._scanner.scan(b"")  # what it imports at its first scan

    def begin(self) -> None:
        """Everything has been loaded."""

    def scan(self, fd: int, size: int, budget: Budget) -> Finding:
        if size > LARGEST:
            return Finding(reasons=Reason.SIZE, scanned=0)
        data = os.pread(fd, size, 0)
        budget.tell(len(data))
        if budget.left <= 0:
            return Finding(reasons=Reason.TIME, scanned=0)
        try:
            matches = self._scanner.scan(data).matching_rules
        except self._failure as error:
            raise EngineFailed(str(error)) from None
        names = dict.fromkeys(rule.identifier for rule in matches if not self._is_condition(rule))
        threats = tuple(Threat(f"YARA.{name}.UNOFFICIAL", Status.INFECTED, NAME) for name in names)
        reasons = Reason.UNREADABLE if len(data) < size else COMPLETE
        return Finding(threats if self._every else threats[:1], reasons, scanned=len(data))

    def _is_condition(self, rule: Rule) -> bool:
        """A global rule without strings says which files the others are meant for; it is no finding."""
        return not rule.patterns and (rule.namespace, rule.identifier) in self._conditions

    def close(self) -> None: ...
