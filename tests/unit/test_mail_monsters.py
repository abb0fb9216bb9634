"""Monsters before the engine: what Python's library, or our own reader of parts, shows of a message is matched."""

from __future__ import annotations

import base64

import pytest

from kavfs._native.worker import ObjectScanner
from kavfs.mail.parts import parts_of
from kavfs.model import Switch
from kavfs.options import EVERYTHING
from tests.support.databases import body
from tests.support.monsters import mark, marks_in, monster
from tests.support.objects import image_of, scan, scanner
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
    with held(data) as source:
        tree = parts_of(source)
        tree.guesses.clear()  # some of them take several encoded parts for one
        ours: set[int] = set().union(*(marks_in(content) for _, content in shown(source, tree)))
    found = matched(data, engine)
    assert theirs <= found, f"{which}: Python's library shows {sorted(theirs - found)}"
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


def test_an_ordinary_message_is_decoded_once(engine: ObjectScanner) -> None:
    inner = f"From: c@example.com\nSubject: x\nDate: y\n{CTE}\n{TEXT}"
    data = MULTI + f"--b\n{CTE}\n{TEXT}\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    members = [path for path, _ in scan(data.encode(), engine).threats]
    assert members == [b"part-1.1", b"part-1.2/part-1"]
