"""Clients of the product: what each does with output and exit code of kavscanner, in our own words."""

from __future__ import annotations

import re


def mailscanner(text: str, base: str) -> dict[tuple[str, str], str]:
    """MailScanner 4: the infected parts, as (message, part) -> report. Reads standard output or a report file."""
    version = None
    found: dict[tuple[str, str], str] = {}
    for line in text.split("\n"):
        if version is None:
            seen = re.search(r"version\D+([\d.]+)", line, re.IGNORECASE)
            version = seen[1] if seen else None
            continue
        if not re.search(r"\s(INFECTED|SUSPICION)\s", line, re.IGNORECASE):
            continue
        line = re.sub(r"^\[[^\]]+\] ", "", line)
        line = re.sub(rf"^{re.escape(base)}/", "", line)
        hit = re.search(r"^(.+)\s(INFECTED|SUSPICION)\s[^\s]+$", line)
        assert hit, f"MailScanner would take a wrong name from: {line}"
        message, _, part = hit[1].partition("/")
        found[message, part.split("/")[0]] = line
    assert version is not None
    return found


def amavis(text: str, code: int) -> list[str] | None:
    """amavisd-new: None = clean, else the names; anything else is a failed scanner."""
    if code in (0, 10, 15):
        return None
    assert code in (5, 20, 21, 25), f"amavis takes {code} for a failure"
    return re.findall(r"(?:INFECTED|WARNING|SUSPICION|SUSPICIOUS) (.*)", text)


def mimedefang(text: str, code: int) -> tuple[str, str]:
    """MIMEDefang: category and name."""
    hit = re.search(r"INFECTED (\S+)", text)
    name = hit[1] if hit else ""
    if code in (0, 5, 10):
        return "ok", ""
    if code == 9:
        return "suspicious", ""  # protected by a password, in 5.0
    if code == 20:
        return "suspicious", name
    return ("virus", name) if code in (21, 25) else ("interrupted", "")


def surfids(text: str, path: str) -> str:
    """SURFids: the last word of the last line with the path, "" for OK."""
    words = [line.split()[-1] for line in text.split("\n") if path in line]
    return "" if words[-1] == "OK" else words[-1]


def multiav(text: str) -> dict[str, str]:
    """multiav: path -> name."""
    pattern = r"(.*)(INFECTED|SUSPICION UDS:|SUSPICION HEUR:|WARNING HEUR:)(.*)"
    return {m[1].split("\x08")[0].strip(): m[3].strip() for m in re.finditer(pattern, text)}
