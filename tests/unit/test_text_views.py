"""Views: texts and pages are matched in the forms for which ClamAV's signatures are made."""

from __future__ import annotations

import base64
import os
import random
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from kavfs._native.worker import Found, Note
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch, Target
from kavfs.options import EVERYTHING
from kavfs.signatures.image import Image, compile_image
from tests.support.archives import make_zip
from tests.support.databases import body, logical
from tests.support.objects import found_in, image_of, scan, scanner

CHECKOUT = Path(__file__).resolve().parents[2]
HTML, TEXT, ANY = Target.HTML, Target.TEXT, Target.ANY

FAR = b"x " * 999  # a page that begins behind it is not matched as it is

# What a page or text holds -> signature (target, text) that must find it, and one that must not.
CASES: dict[str, tuple[bytes, tuple[Target, str], tuple[Target, str]]] = {
    "small letters": (b"Some BAD\nWords\n", (TEXT, "bad words"), (TEXT, "BAD\nWords")),
    "one blank": (b"much\t \r\n  white", (TEXT, "much white"), (TEXT, "much  white")),
    "bytes beyond ASCII": ("n\xe4\xf6chste".encode("latin1"), (TEXT, "nchste"), (TEXT, "n\xe4")),
    "utf-16": ("Wide Words".encode("utf-16"), (TEXT, "wide words"), (TEXT, "Wide")),
    "scripts that are files": (b"#!/bin/sh\nRM -rf  /\n", (TEXT, "rm -rf /"), (TEXT, "rm -rf  /")),
    "for any, in a text": (b"Some BAD\nWords\n", (ANY, "some bad words"), (ANY, "bad  words")),
    "for pages, not in a text": (b"Some BAD\nWords\n", (TEXT, "words"), (HTML, "words")),
    "for texts, not in a page": (b"<html>a WORD here", (HTML, "a word here"), (TEXT, "a word here")),
    "page as it is": (b"<HTML>A Word", (HTML, "<HTML>A Word"), (TEXT, "A Word")),
    "page far on": (b"x " * 999 + b"<HTML>A Word", (HTML, "<html>a word"), (HTML, "<HTML>A Word")),
    "page very far on": (b"x " * 99999 + b"<HTML>A Word", (HTML, "<html>a word"), (TEXT, "a word")),
    "comments": (FAR + b"<html>be<!-- x -->fore", (HTML, "before"), (HTML, "<!-- x")),
    "no tags": (b"<html>be<b>fore", (HTML, "be fore"), (HTML, "before")),
    "attributes": (b"<html><a HREF = 'Some/Place' >", (HTML, '<a href="some/place">'), (HTML, "='some")),
    "long prose": (
        FAR + b"<html>One two THREE\nfour Five six seven EIGHT nine\nten",
        (HTML, "one two three four five six seven eight nine ten"),
        (HTML, "THREE\nfour"),
    ),
    "blanks in long prose": (
        FAR + b"<html>One two THREE\n four Five six seven EIGHT  nine ten\n\neleven",
        (HTML, "one two three four five six seven eight nine ten eleven"),
        (HTML, "eight  nine"),
    ),
    "references": (FAR + b"<html>&#66;&#x41;&auml;&lt;d&gt;", (HTML, "ba\xe4<d>"), (HTML, "&lt;")),
    "wide references": (b"<html>&#8364;", (HTML, "&#x20ac;"), (HTML, "&#8364;x")),
    "page in utf-16": ("<html>A <!-- -->Word".encode("utf-16"), (HTML, "a word"), (HTML, "A\0")),
    "script in a page": (
        b"<html><script>var  Long = 'a' + 'B';</script>",
        (HTML, 'var n000="ab";'),
        (HTML, "var long"),
    ),
    "script as a text": (b"<html><script>var  Long = 'a' + 'B';</script>", (TEXT, 'var n000="ab";'), (TEXT, "long")),
    "unescape": (b"<html><script>f(unescape('%41%u0042'))</script>", (HTML, 'f("ab")'), (HTML, '"%41"')),
    "eval": (b"<html><script>eval('var x=1;')</script>", (HTML, "var n000=1;"), (HTML, 'eval("var x')),
    "packer": (
        b"<html><script>eval(function(p,a,c,k,e,d){while(c--)return p}"
        b"('0 1=2;',3,3,'var|word|7'.split('|'),0,{}))</script>",
        (HTML, "var n006=7;"),
        (HTML, '"0 1=2;"'),
    ),
    "encoded script": (
        b'<html><script language="JScript.Encode">#@~^EQAAAA==C^+.D`rCk9NUP\\dLJ*iqwUAAA==^#~@</script>',
        (HTML, 'language="javascript">'),
        (HTML, "jscript.encode>"),
    ),
    "data in a page": (
        b"<html><img src='data:text/plain;base64," + base64.b64encode(b"A Hidden Text") + b"'>",
        (TEXT, "a hidden text"),
        (TEXT, "a  hidden"),
    ),
    "data with percent signs": (b"<html><img src='data:,A%20Text%2c'>", (TEXT, "a text,"), (TEXT, "%20")),
}


@cache
def image() -> Image:
    folder = Path(tempfile.mkdtemp())
    lines = []
    for number, (_, hit, miss) in enumerate(CASES.values()):
        for kind, (target, text) in (("Hit", hit), ("Miss", miss)):
            lines.append(f"{kind}-{number}:{int(target)}:*:{text.encode('latin1').hex()}\n")
    (folder / "test.ndb").write_text("".join(lines))
    return compile_image([str(folder)], tempfile.mkdtemp())


def names_in(data: bytes, using: Image | None = None, switches: Switch = EVERYTHING | Switch.ALL_MATCH) -> list[str]:
    return [
        name.decode().removesuffix(".UNOFFICIAL")
        for _, name in scan(data, scanner(of=using, switches=switches)).threats
    ]


@pytest.mark.parametrize("case", CASES)
def test_each_form_is_matched_and_what_is_not_in_it_is_not(case: str) -> None:
    number = list(CASES).index(case)
    found = names_in(CASES[case][0], image())
    assert f"Hit-{number}" in found
    assert f"Miss-{number}" not in found


def test_a_signature_is_noted_once_for_a_layer_and_its_views(tmp_path: Path) -> None:
    of = image_of(tmp_path, {"a.ndb": body("Any", "word") + body("Html", "word", HTML)})
    assert names_in(b"<html>a word <b>word</b><script>word</script>", of) == ["Any", "Html"]


def test_what_is_found_in_a_view_is_found_in_the_layer_at_no_place(tmp_path: Path) -> None:
    of = image_of(tmp_path, {"a.ndb": body("Text", "some words", TEXT)})
    data = make_zip({"inside.txt": b"Some\nWords"})
    found, notes = scanner_notes(data, of)
    assert found.status == Status.INFECTED
    threats = [(note.member, note.offset, note.size) for note in notes if note.name]
    assert threats == [(b"inside.txt", None, len(b"Some\nWords"))]


def scanner_notes(data: bytes, of: Image) -> tuple[Found, list[Note]]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return scanner(of=of).scan(file.fileno())


def test_a_logical_signature_is_not_joined_over_different_views(tmp_path: Path) -> None:
    page = b"<html>One<!-- two --><b>Three</b>"
    of = image_of(tmp_path, {"a.ldb": logical("Same", "<b>three", "one", target=HTML)})
    assert names_in(page, of) == ["Same"]
    of = image_of(tmp_path, {"a.ldb": logical("Apart", "two", "<html>one<b>", target=HTML)})
    assert names_in(page, of) == []


def test_views_cost_no_budget(tmp_path: Path) -> None:
    of = image_of(tmp_path, {"a.ndb": body("Text", "some words", TEXT)})
    limits = Limits(max_members=2, max_depth=1, max_unpacked=40, max_member_size=20)
    data = make_zip({"1.txt": b"Other  words, long", "2.txt": b"Other\nwords, long"})
    verdict = scan(data, scanner(limits, of=of))
    assert (verdict.clean, verdict.members) == (True, 2)


def test_a_text_has_the_target_of_its_view() -> None:
    assert found_in(b"plain words").views == 1 << TEXT
    assert found_in(b"<html><p>words").views == 1 << HTML
    assert found_in(b"<html><script>x</script>").views == 1 << HTML | 1 << TEXT


def test_a_text_of_several_pieces_is_seen_in_all_of_them(tmp_path: Path) -> None:
    of = image_of(tmp_path, {"a.ndb": body("Begin", "begin here", TEXT) + body("End", "end there", TEXT)})
    data = b"Begin\nHere " + b"any words at all\n" * (50 << 16) + b"END\nthere"
    assert names_in(data, of) == ["Begin", "End"]


@pytest.mark.parametrize("spilled", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("size", [900_000, 1 << 20, 5 << 20, 12 << 20, 21 << 20])
def test_a_large_text_is_seen_as_one(tmp_path: Path, size: int, spilled: bool) -> None:
    """Wherever its form lies: words that stand over any boundary are found, both ends are in one form."""
    step = 65536
    marks = b"".join(b"At %07d\t" % at + b"plain words\n" * ((step - 11) // 12) for at in range(0, size, step))
    sigs = {
        "a.ndb": "".join(body(f"At-{at}", f"at {at:07d} plain words", TEXT) for at in range(0, size, 13 * step)),
        "b.ldb": logical("Both", "at 0000000 plain", "the end of it", target=TEXT)
        + logical("None", "at 0000000 plain", "The end", target=TEXT),
    }
    of = image_of(tmp_path, sigs)
    with tempfile.TemporaryFile() as file:
        using = scanner(of=of, switches=EVERYTHING | Switch.ALL_MATCH, spill_fd=file.fileno() if spilled else -1)
        verdict = scan(marks + b"THE  End of it\n", using)
        assert os.fstat(file.fileno()).st_size == 0
    names = {name.decode().removesuffix(".UNOFFICIAL") for _, name in verdict.threats}
    expected = {f"At-{at}" for at in range(0, size, 13 * step)}
    assert names - {"Both"} == expected
    assert ("Both" in names) == (size < 20 << 20)
    assert not verdict.reasons


def normal(text: bytes) -> bytes:
    """What the header of ext/text/plain.c promises, said with regular expressions."""
    kept = re.sub(rb"[\x00-\x08\x0e-\x1f\x80-\xff]", b"", text)
    return re.sub(rb"[ \t-\r]+", b" ", kept).lower()


def mixture(rng: random.Random) -> bytes:
    """Words, runs of blanks, and what is left out, in any order, and much of one or little of another."""
    kinds = [b"W", b"o", b"r", b" ", b"  ", b"\t\n", b"\r\n    ", b"\xc3", b"\xe2\x82\xac", b" \xff ", b"Some Words "]
    weights = [rng.choice((0, 1, 1, 8)) for _ in kinds]
    if not any(weights):
        weights[0] = 1
    return b"#!/bin/sh\n" + b"".join(rng.choices(kinds, weights, k=rng.randrange(1, 300)))


def test_the_whole_form_of_any_mixture_is_as_promised(tmp_path: Path) -> None:
    rng = random.Random(20240229)
    texts = [mixture(rng) for _ in range(150)]
    forms = [normal(text) for text in texts]
    lines = [f"Begin-{i}:7:0:{form.hex()}\nEnd-{i}:7:EOF-{len(form)}:{form.hex()}\n" for i, form in enumerate(forms)]
    of = image_of(tmp_path, {"a.ndb": "".join(lines)})
    for i, text in enumerate(texts):
        assert {f"Begin-{i}", f"End-{i}"} <= set(names_in(text, of)), text


@pytest.fixture(scope="module")
def plain_forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native") / "plain_forms"
    sources = [str(CHECKOUT / "tests/native/plain_forms.c"), str(CHECKOUT / "ext/text/plain.c")]
    flags = ["-std=gnu11", "-O1", "-fsanitize=address,undefined", f"-I{CHECKOUT / 'ext/text'}"]
    subprocess.run(["gcc", *flags, "-o", str(out), *sources], check=True)
    return out


@pytest.mark.parametrize("way", ["narrow", "best"])
@pytest.mark.parametrize("piece", [1, 63, 64, 65, 4096])
def test_every_way_to_make_the_form_gives_the_same(plain_forms: Path, way: str, piece: int) -> None:
    rng = random.Random(piece)
    text = b"".join(mixture(rng) for _ in range(40))
    made = subprocess.run([str(plain_forms), way, str(piece)], input=text, check=True, capture_output=True).stdout
    assert made == normal(text)


def test_data_in_a_page_is_a_part_of_it() -> None:
    inner = make_zip({"x": b"y"})
    page = b"<html><img src='data:application/zip;base64," + base64.b64encode(inner) + b"'>"
    found = found_in(page)
    assert found.depth == 2
    assert scan(page).reasons == Reason(0)
    assert found_in(b"<html><img src='data'>").depth == 0
