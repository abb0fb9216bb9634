"""Moments: a date, a time or a span before or after now, from the words of options to seconds since 1970."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta

from kavfs.config import values

_EXAMPLES = "examples: 2027-01-31, 2027-01-31T06:00, 12h, 30d, today, yesterday"


def past(text: str, now: float | None = None) -> float:
    """The moment from which, or until which, something is asked for: a span counts back from *now*."""
    now = time.time() if now is None else now
    today = datetime.fromtimestamp(now).date()
    days = {"today": 0, "yesterday": 1}
    if text in days:
        return datetime.combine(today - timedelta(days=days[text]), datetime.min.time()).timestamp()
    moment = _moment(text)
    return moment if moment is not None else max(0.0, now - _span(text))


def end_of(text: str, now: float | None = None) -> float:
    """As past(), but a day means its end: until a day is with all of it."""
    now = time.time() if now is None else now
    moment = past(text, now)
    whole_day = text in ("today", "yesterday") or _is_day(text)
    return (datetime.fromtimestamp(moment) + timedelta(days=1)).timestamp() if whole_day else moment


def future(text: str, now: float | None = None) -> float:
    """The moment at which something ends; 0 for "never". A span counts from *now*."""
    now = time.time() if now is None else now
    if text == "never":
        return 0.0
    moment = _moment(text)
    moment = now + _span(text) if moment is None else moment
    if not now < moment < 1 << 36:
        raise ValueError(f"'{text}' is over already" if moment <= now else f"'{text}' is too far ahead")
    return moment


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(text: str) -> float | None:
    """None: it is no date."""
    if not (text[:4].isdigit() and "-" in text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"'{text}' is not a time ({_EXAMPLES})") from None


def _span(text: str) -> float:
    try:
        return values.duration(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a time ({_EXAMPLES})") from None
