"""Summary: the totals of a run as the last lines of a report.

The lines begin with no path and hold no word of a verdict in capitals, and none in small letters between blanks: mail
gateways look for these.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from kavfs.model import OUTCOMES, REASON_WORDS, Entry, Status, Totals

SKIPPED: dict[Entry, str] = {
    Entry.SYMLINK: "symbolic link",
    Entry.SPECIAL: "FIFO, socket or device",
    Entry.VANISHED: "gone before it was opened",
    Entry.EXCLUDED: "excluded",
    Entry.SUBMOUNT: "other file system",
    Entry.PSEUDO: "pseudo file system",
    Entry.STORE: "store of kavfs",
    Entry.SEEN: "directory listed under another path",
}

DEMONSTRATION = "demonstration, not protection: only the starter signatures are loaded"


NATIVE_ALONE = (("native", ""),)


class Signatures(NamedTuple):
    """What a report says about the signatures of a run."""

    loaded: int  # how many
    newest: float  # seconds since 1970
    demonstration: bool
    generation: bytes = b""
    engines: tuple[tuple[str, str], ...] = NATIVE_ALONE  # those that were asked; version and databases of each

    def age(self, now: float | None = None) -> str:
        """The age of the newest database in words."""
        days = int(((time.time() if now is None else now) - self.newest) // 86400)
        if days < 0:
            return "dated in the future"
        return "of today" if days == 0 else f"{counted(days, 'day')} old"


def summary_lines(totals: Totals, signatures: Signatures) -> Iterator[str]:
    """The end summary, one heading and one fact a line."""
    yield _heading(totals)
    inner = f", {counted(totals.members, 'member')} in containers" if totals.members else ""
    folders = "directory" if totals.directories == 1 else "directories"
    yield f"Files: {totals.files:,}{inner}, {totals.directories:,} {folders}"
    yield f"Bytes: {human(totals.bytes)}, read {human(totals.scanned)}"
    yield f"Statuses: {_listed((_status_word(s), totals.statuses.get(s, 0)) for s in OUTCOMES)}"
    yield f"Partial coverage: {_listed((word, totals.reasons.get(r, 0)) for r, word in REASON_WORDS.items())}"
    yield f"Not scanned: {_listed((word, totals.entries.get(kind, 0)) for kind, word in SKIPPED.items())}"
    if totals.known:
        share = 100 * totals.known / totals.files if totals.files else 0.0
        yield f"Unchanged: {counted(totals.known, 'file')} ({_share(share)} %), {human(totals.known_bytes)}"
    if totals.delta:
        yield f"Compared with new signatures only: {counted(totals.delta, 'file')}"
    if totals.unopened:
        yield f"Containers kept closed by an option: {totals.unopened:,}"
    if totals.suppressed:
        yield f"Objects with a match lifted by an exception, or trusted by their signature: {totals.suppressed:,}"
    if totals.deeds or totals.deeds_failed:
        done = [(verb, number) for verb, number in sorted(totals.deeds.items())]
        yield f"Actions: {_listed(iter([*done, ('failed', totals.deeds_failed)]))}"
    if totals.worker_deaths:
        yield f"Scanning processes that died and were replaced: {totals.worker_deaths:,}"
    if signatures.engines != NATIVE_ALONE:
        yield f"Engines: {', '.join(name for name, _ in signatures.engines)}"
        yield f"Found by: {_listed((name, totals.found_by.get(name, 0)) for name, _ in signatures.engines)}"
    yield f"Time: {_clock(totals.seconds)}, {_rates(totals)}"
    if signatures.loaded:
        yield f"Signatures: {signatures.loaded:,}, the newest {signatures.age()} ({_day(signatures.newest)})"
    if signatures.demonstration:
        yield f"Signatures: {DEMONSTRATION}"


def _heading(totals: Totals) -> str:
    if totals.window_ended:
        return "Scan stopped at the end of its time: the same command goes on; what follows was done so far"
    return "Scan interrupted: what follows was done before" if totals.interrupted else "Scan finished"


def human(size: float) -> str:
    """Bytes with a binary unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return ""


def counted(number: int, noun: str) -> str:
    """``1 day``, ``2 days``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _share(percent: float) -> str:
    """With one decimal; only all is called 100."""
    return f"{min(percent, 99.9):.1f}" if percent < 100 else "100"


def _status_word(status: Status) -> str:
    return "clean" if status is Status.CLEAN else status.name.lower()


def _listed(pairs: Iterator[tuple[str, int]]) -> str:
    return ", ".join(f"{word}: {number:,}" for word, number in pairs if number) or "none"


def _rates(totals: Totals) -> str:
    seconds = max(totals.seconds, 0.001)
    return f"{totals.files / seconds:,.0f} files/s, {totals.bytes / seconds / 1e6:,.1f} MB/s"


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d} min"


def _day(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return "no date"
