"""Parts: where every part of a message lies, read as a stream, with memory that does not grow with the message.

The tree is what Python's library makes of the message, which is near to GMime. Beside it stand guesses: parts that only
some other reader would show, because it takes the second of two boundaries, or goes on behind the last one, or compares
only their beginnings, or does not mind a missing header. A guess may lie across parts of the tree."""

from __future__ import annotations

import email.message
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kavfs.action.cure.pieces import CHUNK, Source
from kavfs.mail.fields import WINDOW, Field, Header, read_header
from kavfs.mail.names import VALUE_MAX, names_of, parameters, without_comments

NESTING = 100
PARTS_MAX = 10_000
MARKS_MAX = 500  # boundaries that are looked for at one time
TOKEN_MAX = 1024  # bytes of a boundary
LINES_MAX = 200_000  # of all headers together: those of guesses may lie in one another
DASHES_MAX = 1_000_000  # lines that begin with two dashes
SEMICOLONS_MAX = 256  # of one field: Python's library looks at each as often as there are some
# In the middle of a line as well: an expression that begins with plain letters is twenty times as fast.
DASHES = re.compile(rb"--([^\r\n]*)(?:\r\n|\r|\n|\Z)")
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
BLANK = re.compile(rb"\r?\n[\r\n]|\r\r")
DESCRIBING = re.compile(rb"[\r\n]content-[!-9;-~]*[ \t]*:", re.IGNORECASE)
# Parameters without escapes, comments, charsets or anything else on which readers could differ.
PLAIN_TYPE = re.compile(
    rb"""([\w.+-]+/[\w.+-]+)((?:; {0,2}[a-zA-Z-]+=(?:[\w.+=-]+|"[\w.+=/:?(), -]*[\w.+=/:?(),-]"))*)"""
)
BOUNDARY = re.compile(rb"""; {0,2}boundary=(?:([\w.+=-]+)|"([^"]+)")""", re.IGNORECASE)
LEFT_OPEN = -1
NEVER = b"\n"  # no line of any tree


@dataclass(slots=True)
class Part:
    """A range of the message with a header of its own."""

    header: Header
    place: str  # "1.2": by number among its siblings
    kinds: tuple[str, ...]  # as its fields say, most trusted first
    encodings: tuple[str, ...]  # "base64", "quoted-printable", "" for anything else
    guessed: bool = False
    signed: bool = False  # it, or something around it
    end: int = LEFT_OPEN  # without the line end that belongs to the boundary below
    cut: int = LEFT_OPEN  # how far it may be replaced: a guess goes on into parts that others see
    marks: tuple[bytes, ...] = ()  # its boundary
    children: list[Part] = field(default_factory=list)
    _names: tuple[bytes, ...] | None = None

    @property
    def start(self) -> int:
        return self.header.start

    @property
    def body(self) -> int:
        return self.header.body

    @property
    def kind(self) -> str:
        return self.kinds[0]

    @property
    def leaf(self) -> bool:
        """Whether it has a content of its own to be shown."""
        return not self.children or not self.kind.startswith("multipart/") or any(self.encodings)

    def names(self) -> tuple[bytes, ...]:
        if self._names is None:
            self._names = names_of((one.name, one.value) for one in self.header.fields)
        return self._names


@dataclass(slots=True)
class Tree:
    root: Part
    guesses: list[Part] = field(default_factory=list)
    over: bool = False  # more than the limits: not every part is here

    def walk(self) -> Iterator[Part]:
        """All parts of the tree and all guesses, those around before those inside."""
        waiting = [*reversed(self.guesses), self.root]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += reversed(part.children)

    def leaves(self) -> Iterator[Part]:
        return (part for part in self.walk() if part.leaf)


@dataclass(slots=True)
class Dash:
    """A line that begins with two dashes."""

    at: int
    after: int  # where the next line begins
    token: bytes  # what stands behind the dashes, without blanks at its end
    headed: bool  # a field comes next


def parts_of(source: Source) -> Tree:
    """The message as a tree of parts."""
    return _Reader(source).read()


def dashes(source: Source) -> Iterator[Dash]:
    base = 0
    while base < source.size:
        window = source.upto(base, CHUNK + 2 * TOKEN_MAX)
        if not window:
            return
        last = base + len(window) >= source.size
        reach = len(window) if last else CHUNK
        for found in DASHES.finditer(window):
            if found.start() >= reach:
                break
            at = base + found.start()
            before = (
                window[found.start() - 1 : found.start()] if found.start() else source.upto(at - 1, 1) if at else b"\n"
            )
            if before not in (b"\r", b"\n"):
                continue
            if found.end() == len(window) and not last:
                continue  # too long for a boundary
            yield Dash(
                base + found.start(),
                base + found.end(),
                found[1].rstrip(b" \t"),
                bool(FIELD.match(window, found.end())),
            )
        base += reach


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack: list[Part] = []
        self._closed: set[int] = set()  # of multiparts in the stack, by identity: their last boundary has been
        self._awaited: frozenset[bytes] = frozenset()  # what stands behind the dashes of a boundary of the tree
        self._known: dict[bytes, None] = {}  # boundaries that anything declares, for guesses
        self._starts: tuple[bytes, ...] = ()  # the same
        self._open: dict[bytes, list[Part]] = {}  # guesses whose end has not been seen
        self._uncut: list[Part] = []  # guesses below which no boundary of the tree has been
        self._count = 0
        self._lines = LINES_MAX  # of headers, that may still be read
        self._blank = self._describing = -1  # where the next empty line is, and the next field that describes content
        self._tree: Tree | None = None
        self._exceeded = False

    def read(self) -> Tree:
        root = self._part(0, "1", "text/plain")
        self._tree = tree = Tree(root, over=self._exceeded)
        self._enter(root)
        for number, dash in enumerate(dashes(self._source)):
            if number >= DASHES_MAX:
                self._over()
                break
            if len(dash.token) <= TOKEN_MAX:
                self._guess(dash, self._take(dash))
        for part in self._stack:
            part.end = part.cut = self._source.size
        for part in tree.guesses:
            if part.end < 0:
                part.end = self._source.size
            part.cut = min(part.end, part.cut if part.cut >= 0 else part.end)
        return tree

    # ---- the tree -----------------------------------------------------------------------------------------------

    def _take(self, dash: Dash) -> bool:
        """Whether the line is a boundary of the tree. Of several that it could be the outermost counts."""
        if dash.token not in self._awaited:
            return False
        for level, part in enumerate(self._stack):
            if not part.marks or id(part) in self._closed or dash.at < part.body:
                continue
            if dash.token not in (part.marks[0], part.marks[0] + b"--"):
                continue
            self._leave(level + 1, dash.at)
            if dash.token != part.marks[0]:
                self._closed.add(id(part))
                self._await()
            elif self._room(len(self._stack)):
                default = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
                child = self._part(dash.after, f"{part.place}.{len(part.children) + 1}", default)
                child.signed |= part.signed
                part.children.append(child)
                self._enter(child)
            return True
        return False

    def _leave(self, level: int, at: int) -> None:
        """What lies deeper than *level* ends above the boundary at *at*."""
        for part in self._stack[level:]:
            part.end = part.cut = max(part.body, _line_before(self._source, at))
            self._closed.discard(id(part))
        del self._stack[level:]
        self._await()

    def _await(self) -> None:
        """The stack has changed."""
        marks = [part.marks[0] for part in self._stack if part.marks and id(part) not in self._closed]
        self._awaited = frozenset(marks + [mark + b"--" for mark in marks])

    def _enter(self, part: Part) -> None:
        self._put(part)
        while self._stack[-1].kind.startswith("message/"):
            around = self._stack[-1]
            if not self._room(len(self._stack)):
                return
            inside = self._part(around.body, around.place + ".1", "text/plain")
            inside.signed |= around.signed
            around.children.append(inside)
            self._put(inside)

    def _put(self, part: Part) -> None:
        self._stack.append(part)
        self._await()

    def _room(self, depth: int) -> bool:
        self._count += 1
        if depth <= NESTING and self._count <= PARTS_MAX and self._lines:
            return True
        self._over()
        return False

    def _part(self, start: int, place: str, default: str) -> Part:
        header = read_header(self._source, start, self._source.size, self._awaited.__contains__, self._lines)
        self._lines = max(0, self._lines - header.lines)
        if not header.whole or any(_excessive(one) for one in header.fields):
            self._over()
        part = described(header, place, default)
        self._know(part.marks)
        return part

    def _know(self, marks: tuple[bytes, ...]) -> None:
        """Boundaries that guesses look for; of very many the latest."""
        for mark in marks:
            if mark and mark != NEVER and mark not in self._known:
                if len(self._known) >= MARKS_MAX:
                    del self._known[next(iter(self._known))]
                self._known[mark] = None
                self._starts = tuple(self._known)

    # ---- guesses ------------------------------------------------------------------------------------------------

    def _guess(self, dash: Dash, taken: bool) -> None:
        end = -1
        for mark in {dash.token, dash.token.removesuffix(b"--")}:
            for part in self._open.pop(mark, ()):
                end = end if end >= 0 else _line_before(self._source, dash.at)
                part.end = max(part.body, end)
        if taken:
            for part in self._uncut:
                part.cut = max(part.body, _line_before(self._source, dash.at))
            self._uncut.clear()
        elif self._starts and dash.token.startswith(self._starts):
            self._begin_guess(dash, sure=True)
        elif dash.headed and self._describes(dash.after):
            self._begin_guess(dash, sure=False)

    def _begin_guess(self, dash: Dash, *, sure: bool) -> None:
        """*sure*: whatever follows; else only what has a field that describes content."""
        start, kind = dash.after, "message/"
        while kind.startswith("message/"):
            if not self._tree or len(self._tree.guesses) >= PARTS_MAX or not self._lines:
                self._over()
                return
            part = self._part(start, f"guess-{len(self._tree.guesses) + 1}", "text/plain")
            if not sure and not any(one.name.startswith(b"content-") for one in part.header.fields):
                return
            part.guessed = True
            self._tree.guesses.append(part)
            self._uncut.append(part)
            self._open.setdefault(dash.token, []).append(part)
            start, kind = part.body, part.kind

    def _describes(self, start: int) -> bool:
        """Whether a header that begins there can have a field that describes content. What comes next is looked for
        once for all that lie before it."""
        if self._blank < start:
            self._blank = _found(BLANK, self._source, start)
        if self._describing < start:
            self._describing = _found(DESCRIBING, self._source, start - 1)
        return self._describing < self._blank

    def _over(self) -> None:
        self._exceeded = True
        if self._tree:
            self._tree.over = True


def _found(pattern: re.Pattern[bytes], source: Source, start: int) -> int:
    """Where it is found first from there on; the end, if nowhere."""
    for at in range(start, source.size, WINDOW):
        match = pattern.search(source.upto(at, WINDOW + TOKEN_MAX))
        if match:
            return at + match.start() + (pattern is DESCRIBING)
    return source.size


def _line_before(source: Source, at: int) -> int:
    """Where the line above *at* ends."""
    two = source.upto(max(0, at - 2), min(2, at))
    if two == b"\r\n":
        return at - 2
    return at - 1 if two[-1:] in (b"\r", b"\n") and two else at


# ---- what a header says ---------------------------------------------------------------------------------------------


def described(header: Header, place: str, default: str) -> Part:
    types = [(one.value, one.strict) for one in header.fields if one.name == b"content-type"]
    kind, boundary = _declared(next((_taken_apart(value) for value, strict in types if strict), None), default)
    kinds = [kind]
    marks = [] if boundary is None else [boundary]
    for value, _ in types:
        word = without_comments(value).split(b";")[0].strip().lower()
        kinds.append(word.decode("latin-1"))
        marks += [mark.rstrip() for mark in parameters(value, b"boundary") if len(mark) <= TOKEN_MAX]
    encodings = [_encoding(one.value) for one in header.fields if one.name == b"content-transfer-encoding"]
    part = Part(header, place, tuple(dict.fromkeys(kinds)), tuple(dict.fromkeys(encodings or [""])))
    part.marks = tuple(dict.fromkeys(marks))
    if boundary is None or not part.kind.startswith("multipart/"):
        part.marks = (NEVER, *part.marks) if part.marks else ()  # no line of the tree: only guesses look at it
    part.signed = part.kind in ("multipart/signed", "application/pkcs7-mime", "application/x-pkcs7-mime")
    return part


def _excessive(one: Field) -> bool:
    """Whether it says more of the content than is looked at."""
    return one.name.startswith(b"content-") and _taken_apart(one.value) != one.value


def _taken_apart(value: bytes) -> bytes:
    cut = value[:VALUE_MAX]
    return b";".join(cut.split(b";", SEMICOLONS_MAX + 1)[: SEMICOLONS_MAX + 1])


def _declared(value: bytes | None, default: str) -> tuple[str, bytes | None]:
    """Type and boundary as Python's library reads a Content-Type. What is written as it should be needs no library."""
    if value is not None and (plain := PLAIN_TYPE.fullmatch(value)):
        found = BOUNDARY.search(plain[2])
        return plain[1].lower().decode("ascii"), found and (found[1] or found[2]).rstrip()
    fields = email.message.Message()
    fields.set_default_type(default)
    if value is not None:
        fields["content-type"] = value.decode("ascii", "surrogateescape")
    try:
        boundary = fields.get_boundary()
    except (ValueError, TypeError, LookupError):  # what Python's library stumbles over
        boundary = None
    return fields.get_content_type(), None if boundary is None else boundary.encode("utf-8", "surrogateescape")


def _encoding(value: bytes) -> str:
    word = value.lower()
    if b"base64" in word:
        return "base64"
    return "quoted-printable" if b"quoted" in word else ""
