"""Rule sets: seeded sets of signatures over the marks and layers of a tree, and how updates change them.

    rules = RuleSet(tree, random.Random(seed))
    rules.update()                 some lines go, some come, some change; or an earlier set comes back
    rules.write(folder)

Every kind of line that is read occurs, alone and with the others: what a walker may conclude from "only hashes are new"
or "only signatures for programs are new" differs.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from pathlib import Path

from tests.support.marked_files import Tree

Lines = dict[str, tuple[str, ...]]  # name of a file -> its lines

DETECTING = ("a.ndb", "m.cdb", "m.ldb", "m.hdb", "m.hsb", "z.ndb")
HASHES = ("m.hdb", "m.hsb")
KEPT = 6  # earlier sets to which a rollback may lead
TARGETS = [1, 2, 3, 4, 5, 6, 7, 10]


class RuleSet:
    """The set of now, in ``lines``."""

    def __init__(self, tree: Tree, rng: random.Random, size: int = 40) -> None:
        self._layers = [layer for file in tree.layers for layer in file if layer]
        self._marks = tree.marks
        self._rng = rng
        self._targets = rng.sample(TARGETS, 3)  # each kind that occurs takes its time to compile
        self._number = 0
        self._earlier: list[Lines] = []
        self._named: dict[str, bytes] = {}  # line of a hash -> the layer that it names
        self._gone: list[tuple[str, str]] = []  # (file, line), withdrawn some time ago
        self.lines: Lines = {"a.ndb": (), "m.ldb": ()}
        self._add([self._any_body] * (size // 2) + [self._logical] * (size // 4) + [self._hash] * size)

    def write(self, folder: Path) -> None:
        """Make *folder* hold just this set."""
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, lines in self.lines.items():
            if lines:
                (folder / name).write_text("".join(lines))

    # ---- updates ---------------------------------------------------------------------------------------------------

    def update(self) -> None:
        """The next generation."""
        self._earlier = [*self._earlier, self.lines][-KEPT:]
        if len(self._earlier) == KEPT and self._rng.random() < 0.12:
            self.lines = self._rng.choice(self._earlier[:-1])  # a rollback
            return
        if self._rng.random() < 0.2:  # as an update of the hash databases alone
            self._withdraw(0.6, HASHES)
            self._hashes_only()
            return
        self._withdraw(self._rng.choice([0.2, 0.4, 0.6]))
        self._exempt()
        self._rng.choice(
            [self._all_kinds, self._hashes_only, self._hashes_only, self._one_target, self._one_target,
             self._one_target, self._logical_only, self._changed_lines, self._moved_lines, self._old_ones,
             self._members_only, self._types]
        )()  # fmt: skip

    def _withdraw(self, share: float, databases: Collection[str] = ()) -> None:
        for name in databases or tuple(self.lines):
            lines = self.lines.get(name, ())
            stay = tuple(line for line in lines if self._rng.random() >= share)
            if name in DETECTING:
                self._gone += [(name, line) for line in lines if line not in stay]
            self.lines = {**self.lines, name: stay}
        self._gone = self._gone[-200:]

    def _all_kinds(self) -> None:
        bodies, logical, hashes = (self._rng.randint(*span) for span in ((3, 14), (2, 8), (10, 40)))
        self._add([self._any_body] * bodies + [self._logical] * logical + [self._hash] * hashes)

    def _hashes_only(self) -> None:
        self._add([self._hash] * self._rng.randint(90, 140))

    def _one_target(self) -> None:
        target = self._rng.choice(self._targets)
        self._add([lambda: self._body(target)] * self._rng.randint(20, 40) + [self._hash] * self._rng.choice([0, 60]))

    def _logical_only(self) -> None:
        target = self._rng.choice([0, *self._targets])
        self._add([lambda: self._logical(target)] * self._rng.randint(8, 20))

    def _members_only(self) -> None:
        self._add([self._member] * self._rng.randint(3, 8))

    def _types(self) -> None:
        """What begins with some of the bytes that a file begins with is a page; a password comes, too."""
        head = self._rng.choice(self._layers)[: self._rng.randint(4, 12)]
        self.lines = {**self.lines, "t.ftm": (f"0:0:{head.hex()}:Some:CL_TYPE_ANY:CL_TYPE_PDF\n",)}
        self._put("t.pwdb", f"Password-{self._next()};;0;some words\n")
        self._hashes_only()

    def _old_ones(self) -> None:
        """Lines that were withdrawn come back."""
        for name, line in self._rng.sample(self._gone, min(len(self._gone), self._rng.randint(10, 40))):
            self._put(name, line)

    def _changed_lines(self) -> None:
        """Names stay, what they stand for changes."""
        names = [line.split(":", 1)[0] for line in self.lines.get("a.ndb", ())]
        self.lines = {**self.lines, "a.ndb": ()}
        for name in names:
            self._put("a.ndb", f"{name}:{self._target()}:*:{self._pattern()}\n")
        self._hashes_only()

    def _moved_lines(self) -> None:
        """The same lines in another order and another database: another name may be the least."""
        every = [*self.lines.get("a.ndb", ()), *self.lines.get("z.ndb", ())]
        self._rng.shuffle(every)
        cut = self._rng.randint(0, len(every))
        self.lines = {**self.lines, "a.ndb": tuple(every[:cut]), "z.ndb": tuple(every[cut:])}
        self._one_target()

    def _exempt(self) -> None:
        """Exceptions come; that they go is _withdraw's part."""
        matching = [self._named[line] for name in HASHES for line in self.lines.get(name, ())]
        for _ in range(self._rng.randint(0, 12)):
            layer = self._rng.choice(self._rng.choice([matching or self._layers, self._layers]))
            size = self._rng.choice([str(len(layer))] * 4 + ["*"])
            level = ":73" if size == "*" else ""
            if self._rng.random() < 0.5:
                digest = hashlib.md5(layer, usedforsecurity=False).hexdigest()
                self._put("e.fp", f"{digest}:{size}:Fine.{self._next()}{level}\n")
            else:
                self._put("e.sfp", f"{hashlib.sha256(layer).hexdigest()}:{size}:Fine.{self._next()}{level}\n")
        names = [_name_in(line) for name in DETECTING for line in self.lines.get(name, ())]
        for name in self._rng.sample(names, min(len(names), self._rng.randint(0, 4))):
            self._put("e.ign2", f"{name}\n")
        lines = [line for name in DETECTING for line in self.lines.get(name, ())]
        for line in self._rng.sample(lines, min(len(lines), self._rng.randint(0, 3))):
            digest = hashlib.md5(line.rstrip("\n").encode(), usedforsecurity=False).hexdigest()
            self._put("e.ign2", f"{_name_in(line)}:{digest}\n")

    # ---- lines -----------------------------------------------------------------------------------------------------

    def _add(self, kinds: list[Callable[[], tuple[str, str]]]) -> None:
        for kind in kinds:
            self._put(*kind())

    def _put(self, name: str, line: str) -> None:
        lines = list(self.lines.get(name, ()))
        if line not in lines:
            lines.insert(self._rng.randint(0, len(lines)), line)
        self.lines = {**self.lines, name: tuple(lines)}

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _name(self, kind: str) -> str:
        prefix = self._rng.choice(["Test", "Test", "Test", "PUA.Test", "Heuristics.Test"])
        return f"{prefix}.{kind}-{self._next()}"

    def _target(self) -> int:
        return self._rng.choice([0, 0, *self._targets])

    def _any_body(self) -> tuple[str, str]:
        return self._body(self._target())

    def _body(self, target: int) -> tuple[str, str]:
        offset = self._rng.choice(["*"] * 6 + ["0,4000", "EOF-3000,3000"])
        line = f"{self._name('Body')}:{target}:{offset}:{self._pattern()}\n"
        return self._rng.choice(["a.ndb", "a.ndb", "z.ndb"]), line

    def _pattern(self) -> str:
        mark = self._rng.choice(self._marks)
        whole, head, tail = mark.hex(), mark[:6].hex(), mark[6:].hex()
        other = self._rng.choice(self._marks)[6:].hex()
        second = self._rng.choice(self._marks).hex()
        return self._rng.choice([
            whole, whole, f"{head}??{mark[7:].hex()}", f"{head}{{0-4}}{mark[9:].hex()}", f"{head}*{tail}",
            f"{head}({tail}|{other})", f"{head[:-1]}?{tail}", f"20{whole}", f"{whole}*{second}",
        ])  # fmt: skip

    def _logical(self, target: int | None = None) -> tuple[str, str]:
        target = self._target() if target is None else target
        attributes = f"Engine:51-255,Target:{target}"
        subs = [self._pattern() for _ in range(3)]
        form = self._rng.choice(["0&1", "0|1|2", "(0|1)&2", "0|1", "0>1", "0&1=0", "0=0&1=0", "size"])
        if form == "size":  # nothing but the size and the type: the mark is in none of these
            size = len(self._rng.choice(self._layers))
            attributes += f",FileSize:{size}-{size + 3}"
            form = "0=0"
        elif form == "0=0&1=0":
            size = len(self._rng.choice(self._layers))
            attributes += f",FileSize:{max(1, size - 2)}-{size + 2}"
        return "m.ldb", f"{self._name('Logical')};{attributes};{form};{';'.join(subs)}\n"

    def _member(self) -> tuple[str, str]:
        """What a container says of a member of a certain size."""
        size = len(self._rng.choice(self._layers))
        kind = self._rng.choice(["*", "CL_TYPE_ZIP", "CL_TYPE_ZIP", "CL_TYPE_POSIX_TAR", "CL_TYPE_MAIL"])
        span = self._rng.choice([str(size), f"{size}-{size + 20}"])
        return "m.cdb", f"{self._name('Member')}:{kind}:*:m[0-3]\\.bin$:*:{span}:*:*:*:*\n"

    def _hash(self) -> tuple[str, str]:
        layer = self._rng.choice(self._layers)
        kind = self._rng.choice(["md5", "sha1", "sha256"])
        digest = hashlib.new(kind, layer, usedforsecurity=False).hexdigest()
        size, level = self._rng.choice([(str(len(layer)), "")] * 30 + [("*", ":73")])
        if self._rng.random() < 0.1:  # a near miss: of this size, and another digest
            digest = hashlib.new(kind, layer + b"+", usedforsecurity=False).hexdigest()
        line = f"{digest}:{size}:{self._name('Hash')}{level}\n"
        self._named[line] = layer
        return ("m.hdb" if kind == "md5" else "m.hsb"), line


def _name_in(line: str) -> str:
    """The name of a detecting signature."""
    fields = line.rstrip("\n").replace(";", ":").split(":")
    return fields[2] if len(fields[0]) in (32, 40, 64) else fields[0]
