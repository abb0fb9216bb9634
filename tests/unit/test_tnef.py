"""TNEF (winmail.dat): what a letter of Outlook carries is looked at, in whatever order and however broken it is."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from tests.support.archives import make_zip
from tests.support.compound import compound, object_of_rtf, package, rtf
from tests.support.objects import EICAR, F_ELSEWHERE, F_UNOPENED, NEAR_MISS, image_of, scan, scanner
from tests.support.tnef import (
    ATTACHMENT,
    BINARY,
    BODY,
    BOOLEAN,
    DATA,
    I2,
    LONG,
    MANY,
    OBJECT,
    P_BODY,
    P_DATA,
    P_DISPLAY_NAME,
    P_FILENAME,
    P_HTML,
    P_LONG_NAME,
    P_RTF,
    PROPERTIES,
    RENDERING,
    STORAGE,
    SUBJECT,
    TEXT,
    TIME,
    TITLE,
    UNICODE,
    attached,
    attribute,
    letter_inside,
    packed_rtf,
    plain_rtf,
    properties,
    tnef,
    value,
)


def hidden(content: bytes = EICAR) -> bytes:
    """What is found in its member only."""
    return make_zip({"in.com": content})


def wide(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def test_attachments_are_found_and_named() -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        found = scan(tnef(attached(b"fine.txt", b"fine"), attached(b"a.zip", hidden(content)), attached(b"b", b"c")))
        assert found.infected == ([b"a.zip/in.com"] if bad else [])
        assert found.clean is not bad
        assert found.format == "tnef"
        assert not found.flags & F_ELSEWHERE


def test_every_member_has_its_line() -> None:
    using = scanner(switches=EVERYTHING | Switch.ALL_MEMBERS)
    found = scan(
        tnef(attribute(BODY, b"text"), attached(b"a.txt", b"a"), attached(b"", b"b"), attached(b"c", b"")), using
    )
    assert set(found.lines) == {b"a.txt", b"#3", b"c"}


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ((RENDERING, TITLE, DATA), b"t"),
        ((RENDERING, DATA, TITLE), b"t"),
        ((RENDERING, ATTACHMENT, DATA, TITLE), b"l\xc3\xa4ng \xf0\x9f\x93\x8e"),
        ((RENDERING, DATA, TITLE, ATTACHMENT), b"l\xc3\xa4ng \xf0\x9f\x93\x8e"),
        ((TITLE, DATA), b"t"),
        ((DATA,), b"#1"),
    ],
)
def test_a_name_stands_before_or_behind_the_bytes(parts: tuple[int, ...], name: bytes) -> None:
    values = (value(TEXT, P_FILENAME, b"short\0"), value(UNICODE, P_LONG_NAME, wide("läng 📎")))
    contents = {RENDERING: bytes(14), TITLE: b"t\0", DATA: hidden(), ATTACHMENT: properties(*values)}
    assert scan(tnef(*(attribute(id, contents[id]) for id in parts))).infected == [name + b"/in.com"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"../../etc/passwd", b"../../etc/passwd"),
        (b"a\nb\x1b[2J", b"a\nb\x1b[2J"),  # reports escape them
        (b"a\0b.exe", b"a"),
        (b"\0", b"#1"),
        (b"n" * 3000, b"n" * 260),
        (b"\xff\xfe", b"\xff\xfe"),
    ],
)
def test_names_of_every_kind(name: bytes, shown: bytes) -> None:
    assert scan(tnef(attached(name, hidden()))).infected == [shown + b"/in.com"]


def test_the_attachment_of_one_has_not_the_name_of_the_next() -> None:
    nameless = attribute(RENDERING, bytes(14)) + attribute(DATA, hidden())
    found = scan(tnef(attached(b"a", hidden()), nameless, attached(b"c", hidden())))
    assert found.infected == [b"a/in.com", b"#2/in.com", b"c/in.com"]


def test_letters_inside_letters() -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        inner = tnef(letter_inside(b"Inmost", tnef(attached(b"a.zip", hidden(content)))))
        found = scan(tnef(letter_inside(b"Inner", inner)))
        assert found.infected == ([b"Inner/Inmost/a.zip/in.com"] if bad else [])
        assert found.clean is not bad


def test_letters_inside_letters_without_end() -> None:
    data = tnef(attached(b"a.zip", hidden()))
    for _ in range(100):
        data = tnef(letter_inside(b"x", data))
    found = scan(data)
    assert Reason.DEPTH in found.reasons
    assert not found.infected


def test_objects_of_documents() -> None:
    storage = compound({"\x01Ole10Native": package(b"a.zip", hidden())})
    values = properties(value(OBJECT, P_DATA, STORAGE + storage), value(TEXT, P_DISPLAY_NAME, b"Sheet\0"))
    found = scan(tnef(attribute(RENDERING, bytes(14)), attribute(ATTACHMENT, values)))
    assert b"Sheet/a.zip/in.com" in found.infected
    values = properties(value(BINARY, P_DATA, hidden()), value(TEXT, P_LONG_NAME, b"file.zip\0"))
    assert scan(tnef(attribute(ATTACHMENT, values))).infected == [b"file.zip/in.com"]
    values = properties(value(BINARY | MANY, P_DATA, b"fine", hidden()))
    assert scan(tnef(attribute(ATTACHMENT, values))).infected == [b"#2/in.com"]


LONG_TEXT = bytes(random.Random(7).choices(b"abcdefg {}\\\r\n", k=9000)) + b"a line that comes again\r\n" * 700


@pytest.mark.parametrize("at", [0, 100, 4090, 9000, len(LONG_TEXT)])
def test_rich_text_is_unpacked(at: int) -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        text = b"{\\rtf1 " + LONG_TEXT[:at] + content + LONG_TEXT[at:] + b"}"
        for made in (packed_rtf(text), plain_rtf(text), packed_rtf(text, end=False)):
            found = scan(tnef(attribute(PROPERTIES, properties(value(BINARY, P_RTF, made)))))
            assert (b"body.rtf" in found.infected) is bad
            assert found.clean is not bad
        assert len(packed_rtf(text)) < len(text)


def test_rich_text_that_another_program_has_packed(tmp_path: Path) -> None:
    """An example of [MS-OXRTFCP]."""
    text = b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    made = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    using = scanner(of=image_of(tmp_path, {"a.ndb": f"Hello:0:0:{text.hex()}\n"}))
    assert scan(tnef(attribute(PROPERTIES, properties(value(BINARY, P_RTF, made)))), using).infected == [b"body.rtf"]


def test_objects_in_rich_text() -> None:
    text = rtf(object_of_rtf(b"Package", package(b"a.zip", hidden())[4:]))
    found = scan(tnef(attribute(PROPERTIES, properties(value(BINARY, P_RTF, packed_rtf(text))))))
    assert found.infected == [b"body.rtf/a.zip/in.com"]


def test_rich_text_that_is_broken() -> None:
    text = b"{\\rtf1 " + b"well " * 50 + EICAR + b"}"
    good = packed_rtf(text)
    for made, bad in (
        (good[:-20], False),
        (good[:8] + b"what" + good[12:], False),
        (good[:4] + b"\xff" * 4 + good[8:-2], True),  # says it is longer, and has no end
        (good[:10], False),
    ):
        found = scan(tnef(attribute(PROPERTIES, properties(value(BINARY, P_RTF, made)))))
        assert Reason.DAMAGED in found.reasons
        assert (b"body.rtf" in found.infected) is bad


PAGE = "<html><body>" + "é" * 40000 + "{}</body></html>"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (value(TEXT, P_BODY, EICAR + b"\0"), b"body.txt"),
        (value(UNICODE, P_BODY, wide("ä " * 20000 + EICAR.decode())), b"body.txt"),
        (value(BINARY, P_HTML, PAGE.format(EICAR.decode()).encode()), b"body.html"),
        (value(UNICODE, P_HTML, wide(PAGE.format(EICAR.decode()))), b"body.html"),
    ],
)
def test_texts_of_the_letter(values: bytes, name: bytes) -> None:
    assert name in scan(tnef(attribute(PROPERTIES, properties(values)))).infected
    near = values.replace(EICAR, NEAR_MISS).replace(wide(EICAR.decode())[:-2], wide(NEAR_MISS.decode())[:-2])
    assert scan(tnef(attribute(PROPERTIES, properties(near)))).clean


def test_properties_of_every_kind_are_passed_over() -> None:
    others = (
        value(I2, 0x26, b"\1\0"),
        value(LONG, 0x27, bytes(4)),
        value(BOOLEAN, 0x28, b"\1\0"),
        value(TIME, 0x39, bytes(8)),
        value(0x48, 0x40, bytes(16)),
        value(1, 0x41),
        value(I2 | MANY, 0x42, b"\1\0", b"\2\0", b"\3\0"),
        value(TIME | MANY, 0x43),
        value(UNICODE | MANY, 0x8001, wide("a"), wide("bcd"), name="Keywords"),
        value(LONG, 0x8002, bytes(4), name=77),
        value(TEXT, P_DATA),  # no value
        value(BINARY, P_DATA, b""),
    )
    several = value(BINARY | MANY, 0x44, b"x", b"yy")
    found = scan(tnef(attribute(PROPERTIES, properties(*others, several, value(BINARY, P_DATA, hidden())))))
    assert found.infected == [b"#1/in.com"]
    assert not found.reasons


@pytest.mark.parametrize("size", [1000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_is_a_lie_hides_nothing(size: int) -> None:
    start = attribute(RENDERING, bytes(14)) + attribute(TITLE, b"a.zip\0")
    for lie in (
        attribute(DATA, hidden(), size=size),
        attribute(ATTACHMENT, properties(value(BINARY, P_DATA, hidden(), size=size))),
        attribute(ATTACHMENT, properties(value(BINARY, P_DATA, hidden())), size=size),
        attribute(SUBJECT, hidden(), size=size),
    ):
        found = scan(tnef(start, lie))
        assert any(path.endswith(b"/in.com") for path in found.infected)
        assert Reason.DAMAGED in found.reasons
        assert scan(tnef(start, lie.replace(hidden(), hidden(NEAR_MISS)))).status is Status.CORRUPTED


def test_what_is_wrong_and_does_not_matter() -> None:
    for data in (
        tnef(attribute(DATA, hidden(), sum=1)),
        tnef(attribute(DATA, hidden(), level=1)),
        tnef(attribute(0x1800F, hidden())),
        tnef(attribute(DATA, hidden()))[:-2],
        tnef(attribute(DATA, hidden())) + b"\n",
        tnef(attribute(DATA, hidden())) + bytes(5000),
        tnef(attribute(PROPERTIES, properties(value(BINARY, P_DATA, hidden()), count=5000))),
    ):
        found = scan(data)
        assert found.infected == [b"#1/in.com"]
        assert not found.reasons


def test_what_is_behind_the_last_attribute_is_looked_at() -> None:
    for middle in (b"not an attribute at all", bytes(30)):
        found = scan(tnef(attached(b"a", b"b")) + middle + hidden())
        assert b"#2/in.com" in found.infected
    assert scan(tnef() + b"\7" * 30).status is Status.CORRUPTED
    unknown = properties(value(LONG, 1, bytes(4)), b"\xee\xee\1\0" + hidden(), count=9)
    found = scan(tnef(attribute(PROPERTIES, unknown)))
    assert Reason.DAMAGED in found.reasons
    assert b"#1/in.com" in found.infected


def test_cut_short_anywhere_what_is_there_is_looked_at() -> None:
    first = tnef(attached(b"a.zip", hidden()))
    data = first + attached(b"b", b"x" * 40, value(UNICODE, P_LONG_NAME, wide("name"))) + letter_inside(b"c", tnef())
    for end in range(len(first), len(data)):
        found = scan(data[:end])
        assert found.infected == [b"a.zip/in.com"]
        assert found.reasons in (Reason.DAMAGED, Reason(0))
    assert sum(bool(scan(data[:end]).reasons) for end in range(len(first), len(data))) > (len(data) - len(first)) // 2
    for end in range(len(first) - len(hidden())):
        assert not scan(data[:end]).threats


def test_what_is_no_tnef_is_not_opened() -> None:
    data = tnef(attached(b"a.zip", hidden()))
    assert scan(b"\x77" + data[1:]).format != "tnef"
    assert b"a.zip/in.com" not in scan(b"\x77" + data[1:]).infected
    assert scan(data[:6] + bytes(10)).clean


def test_it_is_opened_where_mails_are() -> None:
    data = tnef(attached(b"a.zip", hidden()))
    found = scan(data, scanner(switches=EVERYTHING & ~Switch.MAILPLAIN))
    assert not found.infected
    assert found.flags & F_UNOPENED


def test_limits_hold() -> None:
    many = tnef(*[attached(b"x", b"y")] * 2000, attached(b"a.zip", hidden()))
    assert scan(many).infected == [b"a.zip/in.com"]
    found = scan(many, scanner(Limits(max_members=500)))
    assert Reason.MEMBERS in found.reasons
    assert found.members <= 500
    found = scan(tnef(attached(b"a", bytes(5000)), attached(b"b", hidden())), scanner(Limits(max_member_size=4000)))
    assert Reason.SIZE in found.reasons
    assert b"b/in.com" in found.infected


def test_a_hundred_thousand_attributes() -> None:
    empty = attribute(SUBJECT, b"") * 50_000 + attribute(RENDERING, b"") * 50_000
    assert scan(tnef(empty, attached(b"a.zip", hidden()))).infected == [b"a.zip/in.com"]
    values = value(1, 0x41) * 100_000 + value(BINARY | MANY, 0x42, size=0) * 1000
    list_of_many = b"\xff" * 4 + values + value(BINARY, P_DATA, hidden())
    assert scan(tnef(attribute(PROPERTIES, list_of_many))).infected == [b"#1/in.com"]


def test_in_a_mail() -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        winmail = tnef(attribute(BODY, b"see below\0"), attached(b"a.zip", hidden(content)))
        mail = (
            b"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n"
            b"Content-Type: text/plain\r\n\r\nsee below\r\n--X\r\n"
            b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.encodebytes(winmail)
            + b"\r\n--X--\r\n"
        )
        found = scan(mail)
        assert found.infected == ([b"winmail.dat/a.zip/in.com"] if bad else [])
        assert found.clean is not bad
