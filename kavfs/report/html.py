"""HTML: one self-contained page from plain values: a verdict, figures, charts, a table of findings.

Nothing is loaded from anywhere, and a policy in the page forbids it; the one script, which sorts the table, is named
there by its digest. Whatever comes from outside (names, texts) goes through text(), and no character of it is markup,
turns the direction of text around or ends a line.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import NamedTuple

from kavfs.model import OUTCOMES, Status
from kavfs.report.names import shown_path, shown_text

BARS_MAX = 12
ROWS_MAX = 5_000  # of the table: browsers become slow with more


class Finding(NamedTuple):
    """A row of the table."""

    path: bytes
    status: str  # the name of a Status in small letters, or "allowed"
    names: tuple[tuple[str, bytes], ...] = ()  # threats and the members they are in
    remark: str = ""  # why coverage is partial, or why it is allowed
    engine: str = ""
    deeds: tuple[str, ...] = ()
    when: str = ""


class Page(NamedTuple):
    """What a page shows."""

    title: str
    about: str  # when and where
    verdict: tuple[str, str, str]  # "bad", "warn" or "good"; a sentence; another one
    tiles: Sequence[tuple[str, str, str]]  # label, figure, remark
    statuses: Sequence[tuple[str, int]]  # names of statuses in small letters
    threats: Sequence[tuple[str, int]]
    coverage: Sequence[tuple[str, int]]
    findings: Sequence[Finding]
    left_out: int  # findings that are not in the table
    facts: Sequence[tuple[str, str]]
    footer: str


def text(value: str) -> str:
    """Any text as content or attribute of HTML."""
    return html.escape(shown_text(value).encode("utf-8", "backslashreplace").decode("utf-8"))


def name(value: bytes) -> str:
    """Any path likewise."""
    return html.escape(shown_path(value).decode("utf-8", "backslashreplace"))


def render(page: Page) -> bytes:
    """The page as UTF-8."""
    return "".join(_page(page)).encode("utf-8", "backslashreplace")


def _page(page: Page) -> Iterator[str]:
    style, script = _resource("page.css"), _resource("page.js")
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{text(page.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
    yield f"<header><h1>{text(page.title)}</h1><p>{text(page.about)}</p></header>\n"
    yield _verdict(*page.verdict)
    yield '<ul class="tiles">\n'
    for label, figure, remark in page.tiles:
        small = f"<small>{text(remark)}</small>" if remark else ""
        yield f"<li>{text(label)}<b>{text(figure)}</b>{small}</li>\n"
    yield '</ul>\n<div class="pair">\n'
    yield f"<section><h2>Statuses</h2>\n{_donut(page.statuses)}</section>\n"
    yield f"<section><h2>Threats</h2>\n{_bars(page.threats, 'Nothing was found.', 'infected')}</section>\n"
    yield "</div>\n<section><h2>Findings</h2>\n"
    yield from _table(page.findings, page.left_out)
    yield '</section>\n<div class="pair">\n'
    yield "<section><h2>Not wholly looked at</h2>\n"
    yield _bars(page.coverage, "Every byte of every object was looked at.", "error")
    yield '</section>\n<section><h2>About this report</h2>\n<dl class="facts">\n'
    for label, value in page.facts:
        yield f"<dt>{text(label)}</dt><dd>{text(value)}</dd>\n"
    yield f"</dl></section>\n</div>\n<footer>{text(page.footer)}</footer>\n</main>\n"
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def _resource(file: str) -> str:
    return (files("kavfs.report") / file).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded or sent; the style and the script are those that stand in the page."""
    allowed = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in (style, script)]
    return f"default-src 'none'; style-src {allowed[0]}; script-src {allowed[1]}; base-uri 'none'; form-action 'none'"


# -- parts -------------------------------------------------------------------------------------------------------------

_SIGNS = {
    "good": '<path d="M11 20.5l6.5 6.5L30 14" fill="none" stroke-width="3.5" stroke-linecap="round" '
    'stroke-linejoin="round" class="arc"/>',
    "warn": '<path d="M20 11v12" stroke-width="3.5" stroke-linecap="round" class="arc"/>'
    '<circle cx="20" cy="29" r="2.4" class="tone"/>',
    "bad": '<path d="M13.5 13.5l13 13m0-13l-13 13" stroke-width="3.5" stroke-linecap="round" class="arc"/>',
}
_TONES = {"good": "clean", "warn": "warning", "bad": "infected"}


def _verdict(kind: str, first: str, second: str) -> str:
    sign = f'<circle cx="20" cy="20" r="18" stroke-width="3" class="arc"/>{_SIGNS[kind]}'
    icon = f'<svg width="40" height="40" viewBox="0 0 40 40" class="{_TONES[kind]}" aria-hidden="true">{sign}</svg>'
    words = f"<strong>{text(first)}</strong><span>{text(second)}</span>"
    return f'<div class="verdict {kind}">{icon}<div>{words}</div></div>\n'


def _donut(statuses: Sequence[tuple[str, int]]) -> str:
    """A ring of shares, and a legend with the numbers: nobody has to tell colours apart. The least share is seen."""
    some = [(status, number) for status, number in statuses if number > 0]
    total = sum(number for _, number in some)
    if not total:
        return '<p class="none">No object was looked at.</p>\n'
    radius = 66.0
    around = 2 * math.pi * radius
    widths = [max(number / total, 0.012) for _, number in some]
    scale = around / sum(widths)
    arcs, at = [], 0.0
    for (status, _), width in zip(some, widths, strict=True):
        length = width * scale
        gap = 2.0 if len(some) > 1 else 0.0
        arcs.append(
            f'<circle class="arc {_class(status)}" cx="90" cy="90" r="{radius:g}" stroke-width="24" '
            f'stroke-dasharray="{max(length - gap, 0.5):.2f} {around:.2f}" stroke-dashoffset="{-at:.2f}" '
            f'transform="rotate(-90 90 90)"/>'
        )
        at += length
    label = ", ".join(f"{_word(status)} {number:,}" for status, number in some)
    middle = (
        f'<text x="90" y="90" text-anchor="middle" font-size="{_fitting(f"{total:,}")}" font-weight="600" class="big">'
        f'{total:,}</text><text x="90" y="110" text-anchor="middle" font-size="13" class="small">objects</text>'
    )
    legend = "".join(
        f'<li class="{_class(status)}"><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" '
        f'rx="3" class="tone"/></svg>{_word(status)}<b>{number:,}</b><em>{_share(number, total)}</em></li>\n'
        for status, number in some
    )
    return (
        f'<div class="donut"><svg width="180" height="180" viewBox="0 0 180 180" role="img" aria-label="{text(label)}">'
        f"{''.join(arcs)}{middle}</svg>\n<ul>\n{legend}</ul></div>\n"
    )


def _fitting(figure: str) -> int:
    """A size of letters with which a number stays in the ring."""
    return 27 if len(figure) <= 6 else 21 if len(figure) <= 8 else 16


def _bars(rows: Sequence[tuple[str, int]], nothing: str, tone: str) -> str:
    """The most frequent as bars, the rest as one number."""
    ordered = sorted((row for row in rows if row[1] > 0), key=lambda row: (-row[1], row[0]))
    if not ordered:
        return f'<p class="none">{text(nothing)}</p>\n'
    most = ordered[0][1]
    lines = [
        f'<tr><td>{text(label)}</td><td><svg viewBox="0 0 100 10" preserveAspectRatio="none" class="{tone}" '
        f'aria-hidden="true"><rect width="100" height="10" class="rail"/>'
        f'<rect width="{max(100 * number / most, 1):.1f}" height="10" class="tone"/></svg></td>'
        f"<td>{number:,}</td></tr>\n"
        for label, number in ordered[:BARS_MAX]
    ]
    rest = ordered[BARS_MAX:]
    more = f'<p class="none">and {len(rest):,} more, {sum(n for _, n in rest):,} times</p>\n' if rest else ""
    return f'<table class="bars"><tbody>\n{"".join(lines)}</tbody></table>\n{more}'


def _table(findings: Sequence[Finding], left_out: int) -> Iterator[str]:
    if not findings:
        yield '<p class="none">There is nothing to report.</p>\n'
        return
    shown = findings[:ROWS_MAX]
    total = len(findings) + left_out
    if len(shown) < total:
        yield f'<p class="more">The first {len(shown):,} of {total:,}.</p>\n'
    dated = any(finding.when for finding in findings)
    done = any(finding.deeds for finding in findings)
    heads = ["When"] * dated + ["Path", "Status", "Threat", "Engine"] + ["Done"] * done
    yield '<div class="scroll"><table class="found">\n<thead><tr>'
    yield "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield "</tr></thead>\n<tbody>\n"
    order = {status.name.lower(): place for place, status in enumerate(OUTCOMES)}
    for finding in shown:
        when = f'<td class="when">{text(finding.when)}</td>' if dated else ""
        deeds = _deeds(finding) if done else ""
        yield (
            f'<tr>{when}<td class="path">{name(finding.path)}</td>'
            f'<td data-key="{order.get(finding.status, len(order)):02d}"><span class="word {_class(finding.status)}">'
            f'{_word(finding.status)}</span></td><td class="threat">{_names(finding)}</td>'
            f"<td>{text(finding.engine)}</td>{deeds}</tr>\n"
        )
    yield "</tbody>\n</table></div>\n"


def _deeds(finding: Finding) -> str:
    return f'<td class="done">{"".join(f"<div>{text(deed)}</div>" for deed in finding.deeds)}</td>'


NAMES_MAX = 20


def _names(finding: Finding) -> str:
    """Threats, each with the member it is in; then the remark."""
    lines = [
        f"<div>{text(threat)}{f'<small>in {name(member)}</small>' if member else ''}</div>"
        for threat, member in finding.names[:NAMES_MAX]
    ]
    if len(finding.names) > NAMES_MAX:
        lines.append(f"<small>and {len(finding.names) - NAMES_MAX:,} more</small>")
    if finding.remark:
        lines.append(f"<small>{text(finding.remark)}</small>")
    return "".join(lines)


_WORDS = {status.name.lower(): outcome.word.lower() for status, outcome in OUTCOMES.items()}
_WORDS |= {"clean": "clean", "curefailed": "cure failed", "allowed": "allowed"}


def _class(status: str) -> str:
    return status if status in _WORDS else Status.ERROR.name.lower()


def _word(status: str) -> str:
    return _WORDS.get(status, "unknown")


def _share(number: int, total: int) -> str:
    percent = 100 * number / total
    return "100 %" if number == total else "< 0.1 %" if percent < 0.1 else f"{min(percent, 99.9):.1f} %"
