"""HTML report of one scan (kavscanner --html): what html.py shows, gathered while results fall."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from kavfs.model import FOUND, OUTCOMES, REASON_WORDS, Result, Skip, Status, Totals
from kavfs.report.html import ROWS_MAX, Finding, Page, render
from kavfs.report.kept import Kept
from kavfs.report.lines import deed_text, words_of
from kavfs.report.names import shown_path
from kavfs.report.output import Output
from kavfs.report.summary import DEMONSTRATION, SKIPPED, Signatures, counted, human
from kavfs.version import VERSION

NOTES_MAX = 50
_ORDER = {status.name.lower(): place for place, status in enumerate(OUTCOMES)}


class HtmlReport:
    """Writes a page to *output* when the scan ends. Promises ports.Report."""

    wants_clean = False

    def __init__(self, output: Output, signatures: Signatures, roots: tuple[bytes, ...]) -> None:
        self._output = output
        self._signatures = signatures
        self._roots = roots
        self._begun = time.time()
        self._findings: Kept[Finding] = Kept(ROWS_MAX)
        self._threats: Counter[str] = Counter()
        self._notes: list[str] = []

    def add(self, result: Result) -> None:
        if result.status is Status.CLEAN and not (result.threats or result.deeds or result.allowed):
            return
        for threat in {threat.name for threat in result.threats}:
            self._threats[threat] += 1
        self._findings.add(_finding(result), found=result.status in FOUND)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Clean files are only counted."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Clean files are only counted."""

    def skip(self, skip: Skip) -> None:
        """The totals count it."""

    def note(self, text: str) -> None:
        if len(self._notes) < NOTES_MAX:
            self._notes.append(text)

    def finish(self, totals: Totals) -> None:
        roots = ", ".join(shown_path(root).decode("utf-8", "backslashreplace") for root in self._roots[:10])
        more = f" and {len(self._roots) - 10:,} more" if len(self._roots) > 10 else ""
        page = Page(
            title="Scan report",
            about=f"{socket.gethostname()} · {_moment(self._begun)}",
            verdict=verdict(totals),
            tiles=tiles(totals),
            statuses=[(status.name.lower(), totals.statuses.get(status, 0)) for status in OUTCOMES],
            threats=self._threats.most_common(),
            coverage=[(word, totals.reasons.get(reason, 0)) for reason, word in REASON_WORDS.items()],
            findings=sorted(self._findings.things, key=lambda finding: _ORDER.get(finding.status, len(_ORDER))),
            left_out=self._findings.left_out,
            facts=[("Scanned", roots + more), *self._facts(totals), *(("Note", note) for note in self._notes)],
            footer=f"kavfs {VERSION}",
        )
        self._output.write(render(page))
        self._output.close()

    def _facts(self, totals: Totals) -> list[tuple[str, str]]:
        facts = signature_facts(self._signatures)
        skipped = [
            f"{word}: {totals.entries.get(kind, 0):,}" for kind, word in SKIPPED.items() if totals.entries.get(kind)
        ]
        if skipped:
            facts.append(("Not scanned", ", ".join(skipped)))
        if totals.unopened:
            facts.append(("Kept closed by an option", counted(totals.unopened, "container")))
        if totals.suppressed:
            facts.append(("Allowed or excepted", counted(totals.suppressed, "object")))
        deeds = {**totals.deeds, **({"failed": totals.deeds_failed} if totals.deeds_failed else {})}
        if deeds:
            facts.append(("Actions", ", ".join(f"{verb}: {number:,}" for verb, number in deeds.items())))
        if totals.worker_deaths:
            facts.append(("Scanning processes that died", f"{totals.worker_deaths:,}, all replaced"))
        return facts


def signature_facts(signatures: Signatures) -> list[tuple[str, str]]:
    facts = []
    if signatures.loaded:
        day = time.strftime("%Y-%m-%d", time.localtime(signatures.newest))
        facts.append(("Signatures", f"{signatures.loaded:,}, the newest {signatures.age()} ({day})"))
    if signatures.demonstration:
        facts.append(("Signatures", DEMONSTRATION))
    facts.append(("Engines", ", ".join(name for name, _ in signatures.engines)))
    return facts


def verdict(totals: Totals) -> tuple[str, str, str]:
    """The answer in a sentence, and what qualifies it."""
    found = sum(totals.statuses.get(status, 0) for status in FOUND)
    partial = sum(totals.statuses.get(s, 0) for s in (Status.ERROR, Status.PROTECTED, Status.CORRUPTED))
    cured = totals.statuses.get(Status.CURED, 0)
    rest = []
    if partial:
        rest.append(f"{counted(partial, 'object')} could not be looked at wholly")
    if cured:
        rest.append(f"{counted(cured, 'object')} cured")
    if totals.interrupted:
        rest.append("the scan was not finished")
    if totals.suppressed:
        rest.append(f"{counted(totals.suppressed, 'object')} allowed")
    second = "; ".join(rest) or "everything was looked at wholly"
    second = f"{second[0].upper()}{second[1:]}."
    if found:
        return "bad", f"{found:,} of {counted(totals.files, 'object')} infected or suspicious", second
    if partial or totals.interrupted:
        return "warn", "Nothing was found in what could be looked at", second
    return "good", "Nothing was found", second


def tiles(totals: Totals) -> Sequence[tuple[str, str, str]]:
    seconds = max(totals.seconds, 0.001)
    share = f"{100 * totals.known / totals.files:.0f} % of all files" if totals.files else ""
    return (
        ("Files", f"{totals.files:,}", f"{counted(totals.members, 'member')} in containers" if totals.members else ""),
        ("Size", human(totals.bytes), f"{human(totals.scanned)} read"),
        ("Time", clock(totals.seconds), f"{totals.directories:,} folders"),
        ("Speed", f"{totals.files / seconds:,.0f} files/s", f"{totals.bytes / seconds / 1e6:,.1f} MB/s"),
        ("Unchanged", f"{totals.known:,}", share),
    )


def clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _finding(result: Result) -> Finding:
    remark = f"allowed: {result.allowed}" if result.allowed else result.error or ", ".join(words_of(result.reasons))
    status = "allowed" if result.allowed and result.status is Status.CLEAN else result.status.name.lower()
    names = tuple(dict.fromkeys((threat.name, threat.member) for threat in result.threats))
    deeds = tuple(deed_text(deed.verb, deed.done, deed.text) for deed in result.deeds)
    return Finding(result.path, status, names, remark, result.engine, deeds)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(seconds))
