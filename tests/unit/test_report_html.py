"""The page: valid, self-contained, and nobody's name is markup, a script, or another order of reading."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kavfs.model import OUTCOMES, REASON_WORDS, Deed, Entry, Reason, Result, Status, Threat, Totals
from kavfs.report.html import ROWS_MAX
from kavfs.report.html_report import HtmlReport
from kavfs.report.names import shown_path
from kavfs.report.output import open_output
from kavfs.report.summary import Signatures
from tests.support.hostile import hostile_names

SIGNATURES = Signatures(7, 1_700_000_000.0, False, bytes(16), (("native", ""), ("clamav", "1.4")))
VOID = {"meta", "br"}
INSIDE_SVG = {"circle", "rect", "path"}  # closed in themselves


class Strict(HTMLParser):
    """Takes the page apart; what is not nested as it should be is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, attrs)
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in INSIDE_SVG
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)
        if "td" in self.open:
            self.cells[-1][-1] += data

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")


def page(tmp_path: Path, results: list[Result], totals: Totals | None = None, notes: list[str] | None = None) -> str:
    failures: list[OSError] = []
    output = open_output(os.fsencode(tmp_path / "page.html"), lambda _, error: failures.append(error))
    report = HtmlReport(output, SIGNATURES, (b"/srv/<b>",))
    for result in results:
        report.add(result)
    for note in notes or []:
        report.note(note)
    report.finish(totals or Totals(files=len(results), statuses={Status.INFECTED: len(results)}, seconds=1.0))
    assert failures == []
    return (tmp_path / "page.html").read_bytes().decode("utf-8")


def parsed(text: str) -> Strict:
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def infected(path: bytes, *names: str, **more) -> Result:
    threats = tuple(Threat(name, Status.INFECTED, "native") for name in names or ("Evil.One",))
    return Result(path, Status.INFECTED, threats=threats, **more)


def skeleton(text: str) -> list[tuple[str, tuple[tuple[str, str | None], ...]]]:
    """All tags with their attributes but for lengths and labels, which hold numbers and words of ours."""
    return [(tag, tuple(sorted(attrs.items()))) for tag, attrs in parsed(text).seen if tag not in ("circle", "rect")]


def test_five_hundred_hostile_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    names = hostile_names()
    assert len(set(names)) == 500

    def result(name: bytes) -> Result:
        word = name.decode("utf-8", "backslashreplace")
        threats = (Threat(word, Status.INFECTED, "native", b"in/" + name),)
        deeds = (Deed("quarantine", True, word), Deed("remove", False, word))
        return Result(b"/srv/" + name, Status.INFECTED, threats=threats, deeds=deeds, error=word)

    hostile = page(tmp_path, [result(name) for name in names], notes=[repr(name) for name in names])
    shown = [row[0] for row in parsed(hostile).cells if len(row) == 5 and row[0].startswith("/srv/")]
    assert shown == [shown_path(b"/srv/" + name).decode() for name in names]
    harmless = page(tmp_path, [result(b"%d" % i) for i in range(500)], notes=["x"] * 500)
    assert skeleton(hostile) == skeleton(harmless)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]", hostile)
    assert hostile.count("\n") == harmless.count("\n")


def test_nothing_is_loaded_and_only_our_script_may_run(tmp_path: Path) -> None:
    text = page(tmp_path, [infected(b"/x")])
    parser = parsed(text)
    assert not [attrs for _, attrs in parser.seen if {"src", "href", "style", "action", "onclick"} & attrs.keys()]
    assert not re.search(r"https?:|//[a-z]|url\(|@import|@font-face", text)
    (policy,) = [attrs["content"] for tag, attrs in parser.seen if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_both_colour_schemes_and_small_screens_are_thought_of(tmp_path: Path) -> None:
    text = page(tmp_path, [])
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert '<html lang="en">' in text


def test_figures_charts_and_reasons(tmp_path: Path) -> None:
    totals = Totals(
        files=1_234, bytes=3 << 30, scanned=1 << 30, members=77, directories=5, seconds=61.7, known=617, suppressed=2,
        statuses={Status.CLEAN: 1_200, Status.INFECTED: 30, Status.PROTECTED: 4}, reasons={Reason.ENCRYPTED: 4},
        entries={Entry.SYMLINK: 3}, worker_deaths=1,
    )  # fmt: skip
    results = [infected(b"/%d" % i, "Evil.One") for i in range(3)] + [infected(b"/z", "Evil.Two", "Evil.One")]
    text = page(tmp_path, results, totals, ["a note"])
    said = " ".join(" ".join(texts) for texts in parsed(text).texts.values())
    for word in ("30 of 1,234 objects infected or suspicious", "3.0 GiB", "1.0 GiB read", "1 min 01 s", "20 files/s"):
        assert word in said
    for word in (
        "617",
        "50 % of all files",
        "symbolic link: 3",
        "2 objects",
        "a note",
        "7, the newest",
        "native, clamav",
    ):
        assert word in said
    rows = [row for row in parsed(text).cells if len(row) == 3]
    assert ["Evil.One", "", "4"] in rows
    assert ["Evil.Two", "", "1"] in rows
    assert [REASON_WORDS[Reason.ENCRYPTED], "", "4"] in rows


@pytest.mark.parametrize(
    ("totals", "kind", "sentence"),
    [
        (Totals(files=3, statuses={Status.CLEAN: 3}), "good", "Nothing was found"),
        (Totals(files=3, statuses={Status.CLEAN: 2, Status.ERROR: 1}), "warn", "in what could be looked at"),
        (Totals(files=3, statuses={Status.CLEAN: 3}, interrupted=True), "warn", "the scan was not finished"),
        (Totals(files=3, statuses={Status.CLEAN: 2, Status.WARNING: 1}), "bad", "1 of 3 objects infected"),
        (Totals(), "good", "Nothing was found"),
    ],
)
def test_the_verdict_says_no_more_than_is_known(tmp_path: Path, totals: Totals, kind: str, sentence: str) -> None:
    text = page(tmp_path, [], totals)
    (banner,) = re.findall(r'<div class="verdict (\w+)">', text)
    assert banner == kind
    assert sentence.lower() in text.lower()


def test_the_gravest_stand_first_and_what_was_done_beside_it(tmp_path: Path) -> None:
    deeds = (Deed("backup", True, "item 4"), Deed("remove", False, "Read-only file system"))
    results = [
        Result(b"/c", Status.CLEAN, suppressed=True, allowed="ours; Evil.One"),
        Result(b"/b", Status.PROTECTED, Reason.ENCRYPTED),
        infected(b"/a", deeds=deeds),
        Result(b"/nothing", Status.CLEAN),
    ]
    rows = [row for row in parsed(page(tmp_path, results)).cells if len(row) == 5 and row[0].startswith("/")]
    assert [row[0] for row in rows] == ["/a", "/b", "/c"]
    assert [row[1] for row in rows] == ["infected", "protected", "allowed"]
    assert rows[0][4] == "backup: item 4remove failed: Read-only file system"
    assert rows[2][2] == "allowed: ours; Evil.One"


def test_every_status_has_a_word_and_a_colour(tmp_path: Path) -> None:
    totals = Totals(files=10, statuses=dict.fromkeys(Status, 1))
    text = page(tmp_path, [Result(b"/x", status, error="no") for status in Status], totals)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)[0]
    for status in OUTCOMES:
        assert f".{status.name.lower()}" in style
        assert f'<li class="{status.name.lower()}">' in text
    arcs = [float(length) for length in re.findall(r'stroke-dasharray="([0-9.]+) ', text)]
    assert len(arcs) == len(OUTCOMES)
    assert len(set(arcs)) == 1


def test_a_page_of_very_many_findings_stays_small_and_tells_how_many_there_are(tmp_path: Path) -> None:
    results = [infected(b"/%d" % i) for i in range(ROWS_MAX + 7)]
    text = page(tmp_path, results, Totals(files=len(results), statuses={Status.INFECTED: len(results)}))
    assert f"The first {ROWS_MAX:,} of {ROWS_MAX + 7:,}." in text
    assert text.count('<td class="path">') == ROWS_MAX
    assert f">{ROWS_MAX + 7:,}</td>" in text  # the threat is counted all the same


def test_what_was_found_is_in_the_table_however_much_could_not_be_read(tmp_path: Path) -> None:
    unread = [Result(b"/u%d" % i, Status.ERROR, Reason.UNREADABLE) for i in range(ROWS_MAX + 7)]
    text = page(tmp_path, [*unread, infected(b"/the-one")], Totals(deeds={"remove": 2}, deeds_failed=1))
    assert text.count('<td class="path">/the-one</td>') == 1
    assert text.index("/the-one") < text.index("/u0<")
    assert f"The first {ROWS_MAX:,} of {ROWS_MAX + 8:,}." in text
    assert "<dt>Actions</dt><dd>remove: 2, failed: 1</dd>" in text
