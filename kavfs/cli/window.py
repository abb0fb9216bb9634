"""Window: when a scan shall end, from the words of --until and --for to a moment in seconds since 1970."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from datetime import time as clock_time

from kavfs.config import values

_EXAMPLES = "examples: 06:00, 06:00:30, 2027-01-31T06:00"


def until(text: str, now: float | None = None) -> float:
    """The next time that the clock shows *text*, or the date and time that it is. Local time unless it says otherwise;
    a time that the clock leaves out when summer begins is the one an hour later."""
    now = time.time() if now is None else now
    today = datetime.fromtimestamp(now)
    try:
        if ":" in text[:3]:
            moment = clock_time.fromisoformat(text)
            if moment.tzinfo is not None:
                raise ValueError
            end = datetime.combine(today, moment)
            if end.timestamp() <= now:
                end = datetime.combine(today + timedelta(days=1), moment)
            return end.timestamp()
        if ":" not in text:
            raise ValueError
        seconds = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"'{text}' is not a time ({_EXAMPLES})") from None
    if seconds <= now:
        raise ValueError(f"'{text}' lies in the past")
    return seconds


def lasting(text: str, now: float | None = None) -> float:
    """The moment when the span *text* (2h, 90m) is over."""
    seconds = values.duration(text)
    if seconds <= 0:
        raise ValueError("the time must be longer than nothing")
    return (time.time() if now is None else now) + seconds
