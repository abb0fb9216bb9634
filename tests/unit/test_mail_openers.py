"""Mail openers: which members a message or a mailbox yields, driven by a small C program in the sink's place."""

from __future__ import annotations

import base64
import binascii
import os
import quopri
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from kavfs.model import Reason

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = CHECKOUT / "tests" / "native" / "mail_members.c"
PARTS = [
    "common/find.c",
    "source/source.c",
    *(f"object/{n}.c" for n in ("mail", "mailstream", "mbox", "inline", "base64", "loose", "transfer", "linefind")),
    *(f"type/{n}.c" for n in ("type", "binary", "message", "ooxml", "text")),
]
PAYLOAD = bytes(range(256)) * 3


@dataclass(frozen=True)
class Member:
    name: str
    data: bytes
    reasons: Reason


@dataclass(frozen=True)
class Opened:
    members: list[Member]
    reasons: Reason

    def named(self, name: str) -> list[bytes]:
        return [m.data for m in self.members if m.name == name]

    def holds(self, data: bytes) -> bool:
        return any(m.data == data for m in self.members)


Opener = Callable[..., Opened]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native") / "mail_members"
    told = subprocess.run(["pkg-config", "--cflags", "--libs", "gmime-3.0"], check=True, capture_output=True, text=True)
    includes = [f"-I{CHECKOUT}/ext/{d}" for d in ("common", "type", "source", "object")]
    sources = [str(CHECKOUT / "ext" / p) for p in PARTS]
    sanitize = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    subprocess.run(
        [
            "gcc",
            "-std=gnu11",
            "-O1",
            *sanitize,
            *includes,
            str(PROGRAM),
            *sources,
            "-o",
            str(out),
            *told.stdout.split(),
        ],
        check=True,
    )
    return out


@pytest.fixture
def opened(program: Path, tmp_path: Path) -> Opener:
    def run(data: bytes, kind: str = "mail", most: int = -1, gone: int = 0) -> Opened:
        path = tmp_path / "message"
        path.write_bytes(data)
        done = subprocess.run(
            [program, kind, path, str(most), str(gone)],
            capture_output=True,
            timeout=60,
            env={**os.environ, "G_SLICE": "always-malloc"},
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        assert b"CRITICAL" not in done.stderr
        return parse(done.stdout)

    return run


def parse(out: bytes) -> Opened:
    members = []
    while not out.startswith(b"= "):
        line, out = out.split(b"\n", 1)
        name, size, reasons = line.rsplit(b" ", 2)
        members.append(Member(name.decode("utf-8", "replace"), out[: int(size)], Reason(int(reasons))))
        out = out[int(size) :]
    return Opened(members, Reason(int(out[2:])))


def lines(*rows: str | bytes) -> bytes:
    return b"\n".join(r if isinstance(r, bytes) else r.encode() for r in rows) + b"\n"


def encoded(data: bytes = PAYLOAD) -> bytes:
    return base64.encodebytes(data)


def uuencoded(data: bytes, name: str = "file.bin") -> bytes:
    rows = b"".join(binascii.b2a_uu(data[i : i + 45]) for i in range(0, len(data), 45))
    return f"begin 644 {name}\n".encode() + rows + b"`\nend\n"


def attachment(name: str = "file.bin") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "a@example.com"
    message["Subject"] = "test"
    message.set_content("the text\n")
    message.add_attachment(PAYLOAD, maintype="application", subtype="octet-stream", filename=name)
    return message


HEAD = "From: a@example.com\nMIME-Version: 1.0"
FILE = 'Content-Type: application/octet-stream; name="file.bin"\nContent-Transfer-Encoding: base64\n'


def test_text_and_attachment_are_members_decoded(opened: Opener) -> None:
    got = opened(attachment().as_bytes())
    assert [m.name for m in got.members] == ["part-1.1", "file.bin"]
    assert got.members[0].data == b"the text\n"
    assert got.members[1].data == PAYLOAD
    assert not got.reasons


def test_a_message_without_mime_has_its_text_as_member(opened: Opener) -> None:
    assert [(m.name, m.data) for m in opened(b"From: a\nTo: b\n\nhello\n").members] == [("part-1", b"hello\n")]


def test_crlf_makes_no_difference(opened: Opener) -> None:
    got = opened(attachment().as_bytes().replace(b"\n", b"\r\n"))
    assert got.named("file.bin") == [PAYLOAD]


def test_quoted_printable_is_decoded(opened: Opener) -> None:
    data = b"Gr\xc3\xb6\xc3\x9fe = 3 \t\n" * 40
    head = f"{HEAD}\nContent-Type: text/plain\nContent-Transfer-Encoding: Quoted-Printable\n"
    assert opened(lines(head, quopri.encodestring(data))).members[0].data.rstrip(b"\n") == data.rstrip(b"\n")


def test_names_are_decoded_from_every_spelling(opened: Opener) -> None:
    for spelling in (
        "Content-Disposition: attachment; filename*=utf-8''%C3%A4.exe",
        'Content-Disposition: attachment; filename*0="\u00e4"; filename*1=.exe',
        'Content-Type: application/x-y; name="=?utf-8?B?w6QuZXhl?="',
    ):
        got = opened(lines(f"{HEAD}\n{spelling}\nContent-Transfer-Encoding: base64\n", encoded()))
        assert got.named("ä.exe") == [PAYLOAD], spelling


def test_nested_multiparts_are_numbered_by_place(opened: Opener) -> None:
    inner = "--i\n\none\n--i\n\ntwo\n--i--\n"
    got = opened(
        lines(
            f"{HEAD}\nContent-Type: multipart/mixed; boundary=o\n",
            "--o",
            "Content-Type: multipart/related; boundary=i\n",
            inner,
            "--o",
            "\nthree\n",
            "--o--",
        )
    )
    assert [m.name for m in got.members] == ["part-1.1.1", "part-1.1.2", "part-1.2"]
    assert [m.data.strip() for m in got.members] == [b"one", b"two", b"three"]


def test_an_enclosed_message_is_handed_over_whole(opened: Opener) -> None:
    outer = EmailMessage()
    outer["From"] = "b@example.com"
    outer.set_content("see below\n")
    outer.add_attachment(attachment())
    got = opened(outer.as_bytes())
    assert [m.name for m in got.members] == ["part-1.1", "part-1.2"]
    again = opened(got.members[1].data)
    assert again.named("file.bin") == [PAYLOAD]


def test_a_missing_end_boundary_loses_nothing(opened: Opener) -> None:
    data = attachment().as_bytes()
    cut = data[: data.rindex(b"\n--")] + b"\n"
    assert opened(cut).named("file.bin") == [PAYLOAD]


@pytest.mark.parametrize(
    "parameter",
    [
        "boundary=a.b",
        'boundary="a.b"',
        "BOUNDARY = a.b ; x=y",
        'boundary="a.b',
        "boundary=a.b;;",
        "x=y; boundary=(c)a.b",
        "boundary*=us-ascii''a.b",
        "boundary*0=a.; boundary*1=b",
    ],
)
def test_boundaries_in_any_spelling_are_found(opened: Opener, parameter: str) -> None:
    got = opened(lines(f"{HEAD}\nContent-Type: multipart/mixed; {parameter}\n", "--a.b", FILE, encoded(), "--a.b--"))
    assert found_anywhere(opened, got)


def found_anywhere(opened: Opener, got: Opened) -> bool:
    """The payload itself, or a message in which it is found."""
    return got.holds(PAYLOAD) or any(
        opened(m.data).holds(PAYLOAD) for m in got.members if m.data.startswith(b"MIME-Version")
    )


DOUBTFUL = {
    "two content types, good one first": ("Content-Type: multipart/mixed; boundary=x\nContent-Type: text/plain", "x"),
    "two content types, good one last": ("Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=x", "x"),
    "two boundaries, good one first": ("Content-Type: multipart/mixed; boundary=x; boundary=y", "x"),
    "two boundaries, good one last": ("Content-Type: multipart/mixed; boundary=y; boundary=x", "x"),
    "no boundary": ("Content-Type: multipart/mixed", "x"),
    "another boundary": ("Content-Type: multipart/mixed; boundary=y", "x"),
    "empty boundary": ('Content-Type: multipart/mixed; boundary=""', "x"),
    "broken header": ("This is no header\nContent-Type: multipart/mixed; boundary=x", "x"),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_some_mail_reader_would_show_does_not_escape(opened: Opener, case: str) -> None:
    header, boundary = DOUBTFUL[case]
    got = opened(lines(f"{HEAD}\n{header}\n", f"--{boundary}", FILE, encoded(), f"--{boundary}--"))
    assert found_anywhere(opened, got), [m.name for m in got.members]


def test_two_encodings_are_both_tried(opened: Opener) -> None:
    for first, second in (("base64", "7bit"), ("7bit", "base64"), ("quoted-printable", "base64")):
        head = f"{HEAD}\nContent-Transfer-Encoding: {first}\nContent-Transfer-Encoding: {second}\n"
        assert opened(lines(head, encoded())).holds(PAYLOAD), (first, second)


@pytest.mark.parametrize("junk", [b" ", b"\r\n", b"!*\xff", b"\n\n\n"])
def test_junk_between_base64_characters_is_ignored(opened: Opener, junk: bytes) -> None:
    body = junk.join(base64.b64encode(PAYLOAD)[i : i + 7] for i in range(0, len(PAYLOAD) * 4 // 3, 7))
    head = f"{HEAD}\nContent-Type: application/x-y\nContent-Transfer-Encoding: base64\n"
    assert opened(lines(head, body)).members[0].data == PAYLOAD


def test_base64_goes_on_behind_padding(opened: Opener) -> None:
    body = base64.b64encode(b"first!!") + b"\n" + base64.b64encode(PAYLOAD)
    head = f"{HEAD}\nContent-Type: application/x-y\nContent-Transfer-Encoding: base64\n"
    assert PAYLOAD in opened(lines(head, body)).members[0].data


def test_uuencoded_blocks_in_text_are_members(opened: Opener) -> None:
    body = (
        b"Here it is:\n\n" + uuencoded(PAYLOAD, "one.exe") + b"and another\n" + uuencoded(b"abc", "two.txt") + b"bye\n"
    )
    got = opened(lines("From: a\nTo: b\n", body))
    assert [m.name for m in got.members] == ["part-1", "one.exe", "two.txt"]
    assert got.named("one.exe") == [PAYLOAD]
    assert got.named("two.txt") == [b"abc"]
    assert b"Here it is" in got.members[0].data


def test_uuencoded_text_within_base64_is_found(opened: Opener) -> None:
    head = f"{HEAD}\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n"
    assert opened(lines(head, encoded(uuencoded(PAYLOAD)))).named("file.bin") == [PAYLOAD]


@pytest.mark.parametrize(
    "body", [b"begin 644 words\nhello there\n", b"begin the beguine\n", b" begin 644 x\n#0V%T\n`\nend\n"]
)
def test_prose_that_begins_is_no_block(opened: Opener, body: bytes) -> None:
    assert [m.name for m in opened(lines("From: a\nTo: b\n", body)).members] == ["part-1"]


def test_a_block_that_breaks_off_keeps_what_it_had(opened: Opener) -> None:
    whole = uuencoded(PAYLOAD).splitlines(keepends=True)
    got = opened(lines("From: a\nTo: b\n", b"".join(whole[:4]) + b"that was it\n"))
    assert got.named("file.bin") == [PAYLOAD[: 3 * 45]]


def test_yenc_blocks_are_members(opened: Opener) -> None:
    coded = bytearray()
    for byte in PAYLOAD:
        c = (byte + 42) & 255
        coded += bytes([61, (c + 64) & 255]) if c in (0, 10, 13, 61) else bytes([c])
        if len(coded) - coded.rfind(b"\n") > 128:
            coded += b"\r\n"
    body = b"=ybegin line=128 size=768 name=file one.bin\r\n" + bytes(coded) + b"\r\n=yend size=768\r\n"
    assert opened(lines("From: a\nTo: b\n", body)).named("file one.bin") == [PAYLOAD]


def test_begin_base64_blocks_are_members(opened: Opener) -> None:
    body = b"begin-base64 644 file.bin\n" + encoded() + b"====\n"
    assert opened(lines("From: a\nTo: b\n", body)).named("file.bin") == [PAYLOAD]


def test_encrypted_parts_make_it_protected(opened: Opener) -> None:
    pgp = opened(
        lines(
            f"{HEAD}\nContent-Type: multipart/encrypted; protocol=application/pgp-encrypted; boundary=x\n",
            "--x",
            "Content-Type: application/pgp-encrypted\n",
            "Version: 1",
            "--x",
            "Content-Type: application/octet-stream\n",
            "-----BEGIN PGP MESSAGE-----",
            "--x--",
        )
    )
    assert pgp.reasons == Reason.ENCRYPTED
    smime = "Content-Type: application/pkcs7-mime; smime-type={}; name=smime.p7m\nContent-Transfer-Encoding: base64\n"
    assert opened(lines(HEAD, smime.format("enveloped-data"), encoded())).members[0].reasons == Reason.ENCRYPTED
    assert not opened(lines(HEAD, smime.format("signed-data"), encoded())).members[0].reasons


def test_nesting_without_end_is_cut_and_told(opened: Opener) -> None:
    depth = 3000
    rows = [f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}" for i in range(depth)]
    got = opened(lines(HEAD, *rows, "\nat the bottom"))
    assert got.reasons & Reason.DEPTH


def test_thousands_of_parts_are_all_there(opened: Opener) -> None:
    rows = [f"--x\nContent-Type: text/plain; name=n{i}\n\n{i}" for i in range(5000)]
    got = opened(lines(f"{HEAD}\nContent-Type: multipart/mixed; boundary=x\n", *rows, "--x--"))
    assert [m.name for m in got.members] == [f"n{i}" for i in range(5000)]


def test_the_sink_can_stop_the_opener_at_any_member(opened: Opener) -> None:
    data = attachment().as_bytes() + uuencoded(PAYLOAD)
    assert [len(opened(data, most=n).members) for n in range(3)] == [0, 1, 2]


def test_long_headers_and_many_headers_do_no_harm(opened: Opener) -> None:
    many = "\n".join(f"X-{i}: {i}" for i in range(20000))
    got = opened(lines(f"{HEAD}\nTo: {'a@b, ' * 20000}\nSubject: {'x' * 1000000}\n{many}\n", "hello"))
    assert got.members[-1].data == b"hello\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"From",
        b"From: a",
        b"\0\0\0",
        b"Content-Type: multipart/mixed; boundary=x\n\n--x",
        b"\n--x\nContent-",
        b":\n\n",
        b"--\nContent-Type: x\n",
    ],
)
def test_scraps_do_no_harm(opened: Opener, data: bytes) -> None:
    opened(data)
    opened(data, "mbox")


def test_a_mailbox_is_cut_into_its_messages(opened: Opener) -> None:
    from_line = b"From a@b Mon Jan  1 00:00:00 2024\n"
    first, second = attachment("one").as_bytes(), attachment("two").as_bytes()
    got = opened(from_line + first + b"\n" + from_line + second, "mbox")
    assert [m.data.strip() for m in got.members] == [first.strip(), second.strip()]
    assert not got.reasons


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_from_in_the_text_does_not_cut_a_message(opened: Opener, end: bytes) -> None:
    rows = [
        b"From a@b Mon Jan  1 00:00:00 2024",
        b"Subject: x",
        b"",
        b"hello",
        b"",
        b"From here on it is text",
        b"and more",
        b"",
        b">From x",
    ]
    message = end.join(rows) + end
    got = opened(message * 3, "mbox")
    assert [m.data for m in got.members] == [message[len(rows[0] + end) :]] * 3


def test_separators_are_found_across_every_edge(opened: Opener) -> None:
    from_line = b"From a@b Mon Jan  1 00:00:00 2024\n"
    sizes = [*range(4000, 4110, 3), *range(65400, 65560, 7), 200000]
    messages = [b"Subject: x\n\n" + (b"abcdefg\n" * (n // 8 + 1))[:n] + b"\n\n" for n in sizes]
    got = opened(b"".join(from_line + m for m in messages), "mbox")
    assert [m.data for m in got.members] == messages


def test_a_file_that_shrinks_meanwhile_comes_to_an_end(opened: Opener) -> None:
    outer = EmailMessage()
    outer["From"] = "b@example.com"
    outer.set_content("see below\n")
    outer.add_attachment(attachment())
    whole = outer.as_bytes()
    for length in (len(whole), len(whole) // 2, 300, 40, 0):
        opened(whole[:length], gone=100_000)
        opened(whole[:length], "mbox", gone=100_000)
