"""Surgery: a message with some parts removed, cured or added, and every other byte as it was.

    treatment = Treatment()
    treatment.remove(part, text)          a note in its place
    treatment.replace(part, pieces)       other content, in the part's own encoding
    treatment.report(text)                one more part at the end
    treatment.add_field(bytes)            one more field at the top of the header; claims of others go
    operated(source, tree, treatment, scratch)     -> Pieces: ranges of the message and new bytes

A message that has no parts is wrapped when a report comes to it: the fields that describe its content move down with
the content, the others stay where they are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from kavfs.action.cure.pieces import CHUNK, Pieces, Scratch, Source, chunks_of, joined
from kavfs.mail.coding import Block, encoded
from kavfs.mail.fields import Field, Header
from kavfs.mail.headers import NAME, claimed
from kavfs.mail.parts import Part, Tree

NOTE_FIELDS = (
    b"Content-Type: text/plain; charset=%s",
    b"Content-Disposition: inline",
    b"Content-Transfer-Encoding: %s",
)
WIDTH, LINE_MAX = 76, 998


@dataclass(slots=True)
class Edit:
    start: int
    end: int
    new: Pieces


@dataclass(slots=True)
class Treatment:
    """What becomes of a message. Nothing planned: the message as it is, byte for byte."""

    removed: list[tuple[Part, str]] = field(default_factory=list)
    blocks: list[tuple[Block, str]] = field(default_factory=list)  # files in a text
    replaced: list[tuple[Part, Pieces]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    fields: list[bytes] = field(default_factory=list)  # whole, with line ends
    distrusted: tuple[bytes, ...] = (NAME,)  # fields that only we may write

    def remove(self, part: Part, note: str) -> None:
        self.removed.append((part, note))

    def remove_block(self, block: Block, note: str) -> None:
        self.blocks.append((block, note))

    def replace(self, part: Part, content: Pieces) -> None:
        self.replaced.append((part, content))

    def report(self, text: str) -> None:
        self.reports.append(text)

    def add_field(self, raw: bytes) -> None:
        self.fields.append(raw)


def operated(source: Source, tree: Tree, treatment: Treatment, scratch: Scratch) -> Pieces:
    """The message as planned; *scratch* takes what has to be encoded."""
    end, root = line_end_of(source), tree.root
    whole = [note for part, note in treatment.removed if part is root]
    edits = [Edit(start, stop, []) for start, stop in claimed(root.header, treatment.distrusted)]
    if treatment.fields:
        edits.append(Edit(_top(root.header), _top(root.header), list(treatment.fields)))
    if whole:
        return joined(_edited(source, edits + _nothing_left(source, root, [*whole, *treatment.reports], end)))
    edits += [_removal(source, part, note, end) for part, note in treatment.removed]
    edits += [Edit(block.start, block.end, [_plain(note, end)]) for block, note in treatment.blocks]
    edits += [_replacement(source, part, content, end, scratch) for part, content in treatment.replaced]
    if treatment.reports:
        edits += _reporting(source, root, treatment.reports, end)
    return joined(_edited(source, edits))


def _edited(source: Source, edits: list[Edit]) -> Pieces:
    """Of edits that lie in each other the outer one counts; of two that overlap, both go."""
    pieces: Pieces = []
    at = 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end > one.start, -one.end)):
        if edit.end <= at and edit.start < at:
            continue
        pieces += [source.part(at, max(at, edit.start)), *edit.new]
        at = max(at, edit.end)
    return [*pieces, source.part(at, source.size)]


def line_end_of(source: Source) -> bytes:
    """As the first line ends."""
    head = source.upto(0, CHUNK)
    at = head.find(b"\n")
    if at < 0:
        return b"\r\n"
    return b"\r\n" if head[at - 1 : at] == b"\r" else b"\n"


def _top(header: Header) -> int:
    """Where a field may be put in: above all others, but below the line of a mailbox."""
    first = header.fields[0] if header.fields else None
    return first.end if first and first.raw.startswith((b"From ", b">From ")) else header.start


# ---- notes ----------------------------------------------------------------------------------------------------------


def _plain(text: str, end: bytes) -> bytes:
    return end.join(line.rstrip().encode("utf-8", "replace") for line in text.splitlines())


def _text(text: str, end: bytes) -> bytes:
    """A text of ours as a part, without a line end behind it. It cannot hold a line that is somebody's boundary."""
    plain = _plain(text, end)
    charset, encoding = b"us-ascii", b"7bit"
    if not plain.isascii() or any(len(row) > WIDTH or row.startswith(b"--") for row in plain.split(end)):
        charset, encoding = b"utf-8", b"quoted-printable"
        plain = b"".join(encoded(iter([plain]), "quoted-printable", WIDTH, end))
    fields = end.join(NOTE_FIELDS) % (charset, encoding)
    return fields + end + end + plain


def _line_start(source: Source, at: int, end: bytes) -> bytes:
    """What is missing for *at* to be the beginning of a line."""
    return end if at > 0 and source.upto(at - 1, 1) not in (b"\r", b"\n") else b""


def _line_over(source: Source, at: int, end: bytes) -> bytes:
    """What is missing for a line to end at *at*: below an empty part the boundary comes at once."""
    return b"" if source.upto(at, 1) in (b"\r", b"\n") else end


def _removal(source: Source, part: Part, note: str, end: bytes) -> Edit:
    stop = max(part.start, part.cut)
    return Edit(
        part.start, stop, [_line_start(source, part.start, end) + _text(note, end) + _line_over(source, stop, end)]
    )


def _nothing_left(source: Source, root: Part, texts: list[str], end: bytes) -> list[Edit]:
    """A message that is nothing but its header and these texts."""
    edits = [Edit(one.start, one.end, []) for one in _content_fields(root.header)]
    head = _line_start(source, root.header.stop, end) + b"MIME-Version: 1.0" + end
    text = _text("\n\n".join(texts), end)
    return [*edits, Edit(root.header.stop, source.size, [head + text + end])]


def _content_fields(header: Header) -> list[Field]:
    return [one for one in header.fields if one.strict and one.name.startswith((b"content-", b"mime-version"))]


# ---- reports --------------------------------------------------------------------------------------------------------


def _reporting(source: Source, root: Part, reports: list[str], end: bytes) -> list[Edit]:
    """One more part for each report, at the end."""
    if root.kind == "multipart/mixed" and root.children and len(root.marks) == 1:
        line = b"--" + root.marks[0] + end
        last = root.children[-1].end
        new = b"".join(end + line + _text(report, end) for report in reports)
        if last == source.size:  # the last boundary is missing
            new += end + b"--" + root.marks[0] + b"--"
        new += _line_over(source, last, end)
        return [Edit(last, last, [new])]
    return _wrapped(source, root, reports, end)


def _wrapped(source: Source, root: Part, reports: list[str], end: bytes) -> list[Edit]:
    """The message as the first part of a new one, with the fields that describe its content."""
    boundary = b"=_kavfs_" + secrets.token_hex(16).encode("ascii")
    line = b"--" + boundary + end
    header, moved = root.header, [one for one in _content_fields(root.header) if one.name != b"mime-version"]
    outer = [] if len(moved) < len(_content_fields(header)) else [b"MIME-Version: 1.0"]
    outer.append(b'Content-Type: multipart/mixed; boundary="' + boundary + b'"')
    for one in moved:
        if one.name == b"content-transfer-encoding" and one.value.lower() in (b"8bit", b"binary"):
            outer.append(b"Content-Transfer-Encoding: " + one.value.lower())
            break
    inner = b"".join(one.raw if one.raw.endswith((b"\r", b"\n")) else one.raw + end for one in moved)
    head = _line_start(source, header.stop, end) + end.join(outer) + end + end + line + inner + end
    tail = b"".join(end + line + _text(report, end) for report in reports) + end + b"--" + boundary + b"--" + end
    edits = [Edit(one.start, one.end, []) for one in moved]
    return [*edits, Edit(header.stop, header.body, [head]), Edit(source.size, source.size, [tail])]


# ---- cured forms ----------------------------------------------------------------------------------------------------


def _replacement(source: Source, part: Part, content: Pieces, end: bytes, scratch: Scratch) -> Edit:
    """Other content in the part's own encoding, in lines as long as they were."""
    body, stop = part.header.other, max(part.header.other, part.cut)
    encoding = part.encodings[0]
    tail = end if encoding and source.upto(max(body, stop - 1), min(1, stop - body)) == b"\n" else b""
    tail = tail or _line_over(source, stop, end)
    new = scratch.keep(encoded(chunks_of(content), encoding, _width(source, body, stop), end))
    return Edit(body, stop, [new, tail])


def _width(source: Source, body: int, stop: int) -> int:
    first = source.upto(body, min(LINE_MAX, stop - body)).lstrip(b"\r\n").partition(b"\n")[0].strip()
    return len(first) if len(first) % 4 == 0 and 4 <= len(first) < LINE_MAX else WIDTH
