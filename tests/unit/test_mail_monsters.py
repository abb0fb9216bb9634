"""Monsters before the engine: what Python's library, GMime or our own reader of parts shows of a message is matched."""

from __future__ import annotations

import base64
import binascii

import pytest

from kavfs._native.worker import ObjectScanner
from kavfs.mail.parts import parts_of
from kavfs.model import Switch
from kavfs.options import EVERYTHING
from tests.support import gmime
from tests.support.databases import body
from tests.support.monsters import mark, marks_in, monster
from tests.support.objects import image_of, scan, scanner
from tests.support.wider_monsters import wider_monster
from tests.unit.test_mail_parts import held, python_shows, shown

NUMBERS = 100  # two digits


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> ObjectScanner:
    """One signature for each mark, all of them told."""
    rows = "".join(body(f"Mark.{number:02}", mark(number).decode()) for number in range(NUMBERS))
    image = image_of(tmp_path_factory.mktemp("marks"), {"marks.ndb": rows})
    return scanner(switches=EVERYTHING | Switch.ALL_MATCH, of=image)


def matched(data: bytes, engine: ObjectScanner) -> set[int]:
    return {int(name.split(b".")[1]) for _, name in scan(data, engine).threats}


def seen(data: bytes, engine: ObjectScanner, which: str) -> None:
    theirs: set[int] = set().union(*(marks_in(content) for content in python_shows(data)))
    others: set[int] = set().union(*(marks_in(content) for content in gmime.shows(data)))
    with held(data) as source:
        tree = parts_of(source)
        tree.guesses.clear()  # some of them take several encoded parts for one
        ours: set[int] = set().union(*(marks_in(content) for _, content in shown(source, tree)))
    found = matched(data, engine)
    assert theirs <= found, f"{which}: Python's library shows {sorted(theirs - found)}"
    assert others <= found, f"{which}: GMime shows {sorted(others - found)}"
    assert ours <= found, f"{which}: our own reader shows {sorted(ours - found)}"


@pytest.mark.parametrize("seed", range(0, 300, 50))
def test_the_engine_sees_every_part_of_monsters(seed: int, engine: ObjectScanner) -> None:
    for number in range(seed, seed + 50):
        seen(monster(number), engine, f"monster {number}")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300, 5000, 470))
def test_the_engine_sees_every_part_of_very_many_monsters(seed: int, engine: ObjectScanner) -> None:
    for number in range(seed, seed + 470):
        seen(monster(number), engine, f"monster {number}")


@pytest.mark.parametrize("seed", range(0, 150, 50))
def test_the_engine_sees_every_part_of_wider_monsters(seed: int, engine: ObjectScanner) -> None:
    for number in range(seed, seed + 50):
        seen(wider_monster(number), engine, f"wider monster {number}")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(150, 3000, 475))
def test_the_engine_sees_every_part_of_very_many_wider_monsters(seed: int, engine: ObjectScanner) -> None:
    for number in range(seed, seed + 475):
        seen(wider_monster(number), engine, f"wider monster {number}")


# ---- single oddities ------------------------------------------------------------------------------------------------

HEAD = "From: a@example.com\nTo: b@example.com\nMIME-Version: 1.0\n"
MULTI = HEAD + 'Content-Type: multipart/mixed; boundary="b"\n\n'
CTE = "Content-Transfer-Encoding: base64\n"
TEXT = base64.encodebytes(mark(7)).decode()
ODD = {
    "no empty line after the header of a part": MULTI + f"--b\nContent-Type: a/b\n{CTE}{TEXT}--b--\n",
    "no empty line after the only header": HEAD + CTE + TEXT,
    "a line that is no field above the encoding": MULTI + f"--b\nContent-Type: a/b\njunk\n{CTE}\n{TEXT}--b--\n",
    "a comment before the encoding": MULTI + f"--b\nContent-Transfer-Encoding: (x) base64\n\n{TEXT}--b--\n",
    "a comment behind the encoding": MULTI + f"--b\nContent-Transfer-Encoding: base64 (x)\n\n{TEXT}--b--\n",
    "the encoding in quotes": MULTI + f'--b\nContent-Transfer-Encoding: "base64"\n\n{TEXT}--b--\n',
    "the encoding on the next line": MULTI + f"--b\nContent-Transfer-Encoding:\n base64\n\n{TEXT}--b--\n",
    "a blank before the colon": MULTI + f"--b\nContent-Transfer-Encoding : base64\n\n{TEXT}--b--\n",
    "behind the last boundary": MULTI + f"--b\n\nx\n--b--\n--b\n{CTE}\n{TEXT}--b--\n",
    "more on the line of the boundary": MULTI + f"--b junk\nX-A: b\n{CTE}\n{TEXT}--b--\n",
    "a boundary that is declared nowhere": HEAD + f"\n--c\nX-A: b\n{CTE}\n{TEXT}--c--\n",
    "equals signs where no padding can be": MULTI + f"--b\n{CTE}\n{TEXT[0]}={TEXT[1:]}--b--\n",
    "an equals sign in the middle of a group": MULTI + f"--b\n{CTE}\n{TEXT[:2]}={TEXT[2:]}--b--\n",
    "a letter too many, so that it is shown as it is": MULTI + f"--b\n{CTE}\n{mark(7).decode()}abc\n--b--\n",
    "line ends of old Macs": (MULTI + f"--b\n{CTE}\n{TEXT}--b--\n").replace("\n", "\r"),
    "two kinds of line ends": (MULTI + "--b\r\n" + CTE + "\r\n" + TEXT + "--b--\n"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_oddity_hides_nothing(what: str, engine: ObjectScanner) -> None:
    data = ODD[what].encode()
    assert matched(data, engine) == {7}
    with held(data) as source:
        assert 7 in set().union(*(marks_in(content) for _, content in shown(source, parts_of(source))))


# ---- what begins or ends elsewhere for some readers -----------------------------------------------------------------

UU = [binascii.b2a_uu(mark(7)[at : at + 30]).decode().rstrip("\n") for at in (0, 30)]
BEGIN = MULTI + "--b\n\nbegin 644 x.bin\n"
SOFT = mark(7).decode()
LONG = bytes((byte + 42) & 255 for byte in b"A" * 3000 + mark(7)).decode("latin-1")
OPINIONS = {
    "data that go on the line of the encoding": MULTI + f"--b\nContent-Type: a/b\n{CTE} {TEXT}--b--\n",
    "data that go on another field": MULTI + f"--b\n{CTE}Content-Type: a/b\n {TEXT}--b--\n",
    "a broken field above data without an empty line": MULTI + f"--b\n{CTE}X Y: z\n{TEXT}--b--\n",
    "prose above data without an empty line": MULTI + f"--b\n{CTE}no field at all\n{TEXT}--b--\n",
    "all of that above data": MULTI + f"--b\n{CTE}X Y: z\nno field at all\n{TEXT}--b--\n",
    "an end that not all see": MULTI.replace('"b"', '"."') + f"--.\n\n--b\n{CTE}\n{TEXT[:20]}\n--.\n{TEXT[20:]}--b--\n",
    "uuencoded, an empty line inside": BEGIN + f"{UU[0]}\n\n{UU[1]}\n`\nend\n",
    "uuencoded, an empty line above": BEGIN + f"\n{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, junk inside": BEGIN + f"{UU[0]}\nFrom: somebody else\n{UU[1]}\n`\nend\n",
    "uuencoded, a carriage return inside": BEGIN + f"{UU[0]}\r{UU[1]}\n`\nend\n",
    "uuencoded, lines end with carriage returns": (BEGIN + f"{UU[0]}\n{UU[1]}\n`\nend\n").replace("\n", "\r"),
    "uuencoded, a carriage return above": BEGIN.replace("\n", "\r") + f"{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, a carriage return above, the last byte of what is read at once": MULTI
    + f"--b\n\n{'x' * 32767}\rbegin 644 x.bin\n{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, broken off within a line": BEGIN + f"{UU[0]}\n{UU[1][:-2]}",
    "uuencoded, more in a line than it says": BEGIN + f"{UU[0]}and more\n{UU[1]}\n`\nend\n",
    "uuencoded, letters of another alphabet": BEGIN + f"{UU[0]}\n{UU[1].replace('F', 'f')}\n`\nend\n",
    "uuencoded, blanks behind": BEGIN + f"{UU[0]} \t\n{UU[1]}  \n`\nend \n",
    "uuencoded, a mode of one digit": BEGIN.replace("644", "0") + f"{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, a mode as Python has it": BEGIN.replace("644", "0o644") + f"{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, no name": BEGIN.replace(" x.bin", "") + f"{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, another block without its end above": BEGIN + f"{UU[0]}\nbegin 644 y\n{UU[0]}\n{UU[1]}\n`\nend\n",
    "uuencoded, across a boundary that not all see": BEGIN + f"{UU[0]}\n--b\n{UU[1]}\n`\nend\n",
    "quoted-printable, blanks behind what makes a line go on": MULTI
    + f"--b\n{CTE.replace('base64', 'quoted-printable')}\n{SOFT[:9]}= \t\n{SOFT[9:]}\n--b--\n",
    "quoted-printable, very many such blanks, across what is read at once": MULTI
    + f"--b\n{CTE.replace('base64', 'quoted-printable')}\n{'x' * 32700}\n{SOFT[:9]}={' ' * 99}\n{SOFT[9:]}\n--b--\n",
    "base64 in text, with junk": MULTI + f"--b\n\nbegin-base64 644 x\n{TEXT[:4]}!*{TEXT[4:]}====\n",
    "base64 in text, an empty line": MULTI + f"--b\n\nbegin-base64 644 x\n\n{TEXT[:4]}\n\n{TEXT[4:]}====\n",
    "yEnc without a name": MULTI + f"--b\n\n=ybegin line=128 size=9\n{LONG[3000:]}\n=yend\n",
    "yEnc in very long lines": MULTI + f"--b\n\n=ybegin line=9999 size=9 name=x\n{LONG}\n=yend\n",
    "yEnc that looks like another block": MULTI
    + f"--b\n\n=ybegin line=9 size=9 name=x\nbegin-base64 644 x\n=ybegin name=y\n{LONG[3000:]}\n=yend\n",
}


@pytest.mark.parametrize("what", OPINIONS)
def test_what_some_readers_show_is_seen(what: str, engine: ObjectScanner) -> None:
    assert 7 in matched(OPINIONS[what].encode("latin-1"), engine)


NOTHING = {
    "a parameter on its own line": MULTI + f"--b\n{CTE}Content-Type: a/b;\n charset=abc\n\n{TEXT}--b--\n",
    "the encoding on its own line": MULTI + f"--b\nContent-Transfer-Encoding:\n base64\n\n{TEXT}--b--\n",
    "fields below the encoding": MULTI + f"--b\n{CTE}X-A: b\nContent-ID: <c>\n\n{TEXT}--b--\n",
    "lines that go on": MULTI
    + f"--b\n{CTE.replace('base64', 'quoted-printable')}\n{SOFT[:9]}=\n{SOFT[9:]} =3D x\n--b--\n",
    "no end": MULTI + f"--b\n{CTE}\n{TEXT}",
    "prose with a word that begins blocks": MULTI + "--b\n\nbegin 3 things\nbegin again\nHello there\n--b--\n",
    "a block in a text": MULTI + f"--b\n\nHello,\nbegin 644 x\n{UU[0]}\n{UU[1]}\n`\nend\n\nand more of it\n--b--\n",
}


@pytest.mark.parametrize("what", NOTHING)
def test_what_all_read_alike_is_read_once(what: str, engine: ObjectScanner) -> None:
    found = scan(NOTHING[what].encode(), engine)
    assert found.members == (3 if "begin 644" in NOTHING[what] else 1)  # the text is known as one with a file as well


def test_an_ordinary_message_is_decoded_once(engine: ObjectScanner) -> None:
    inner = f"From: c@example.com\nSubject: x\nDate: y\n{CTE}\n{TEXT}"
    data = MULTI + f"--b\n{CTE}\n{TEXT}\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    members = [path for path, _ in scan(data.encode(), engine).threats]
    assert members == [b"part-1.1", b"part-1.2/part-1"]
