"""Values as administrators write them: switches, sizes, durations, lists.

Each function takes text and returns the value, or raises ValueError with words that fit behind the name of the key or
option ("ShowOk: " + str(error)).
"""

from __future__ import annotations

import time

_SIZE_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_TIME_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_MAX = 1 << 62  # what a signed 64-bit file offset can still add to

MEMORY_LEAST = 256 << 20  # bytes: less is used up by buffers
CACHE_LEAST = 1 << 20  # bytes: with less a cache forgets faster than it learns


def boolean(text: str) -> bool:
    """yes, no, true, false, on, off, 1, 0 in any case. An empty value is no: the product's consoles write it so, and
    PHP's reader of INI files makes 1 of yes and nothing of no."""
    word = text.lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0", ""):
        return False
    raise ValueError(f"'{text}' is neither yes nor no")


def whole(text: str, least: int, most: int) -> int:
    """A whole number from *least* to *most*."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ValueError(f"'{text}' is not a whole number from {least} to {most}")
    return int(text)


def load(text: str) -> float:
    """A load average above nothing: 0.5, 8."""
    number, unit = _split(text)
    if unit or not 0 < number <= 100_000:
        raise ValueError(f"'{text}' is not a load average (examples: 0.5, 8)")
    return number


def size(text: str) -> int:
    """Bytes: 4096, 10k, 10M, 10MiB, 1.5GiB. Every unit is a power of 1024, as with ls and dd."""
    number, unit = _split(text)
    unit = unit.lower().removesuffix("b").removesuffix("i")
    if unit not in _SIZE_UNITS or number * (1 << _SIZE_UNITS[unit]) > _SIZE_MAX:
        raise ValueError(f"'{text}' is not a size (examples: 4096, 10MiB, 2G)")
    return int(number * (1 << _SIZE_UNITS[unit]))


def size_from(text: str, least: int) -> int:
    """Bytes, *least* or more."""
    number = size(text)
    if number < least:
        raise ValueError(f"'{text}' is too small; {least >> 20}MiB is the least")
    return number


def positive_size(text: str) -> int:
    """Bytes, at least one."""
    number = size(text)
    if number == 0:
        raise ValueError("0 would leave out everything; give a size")
    return number


def positive_duration(text: str) -> float:
    """Seconds, more than none."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("the time must be longer than nothing")
    return seconds


def count(text: str) -> int:
    """How many: one or more."""
    return whole(text, 1, 0xFFFF_FFFF)


def memory(text: str) -> int:
    """Bytes of address space with which a worker can begin."""
    return size_from(text, MEMORY_LEAST)


def size_or_none(text: str, least: int) -> int:
    """Bytes, *least* or more, or 0 for nothing at all."""
    return size_from(text, least) if size(text) else 0


def duration(text: str, most: float = 365 * 86400) -> float:
    """Seconds: 90, 90s, 250ms, 5m, 2h, 1d."""
    number, unit = _split(text)
    if unit.lower() not in _TIME_UNITS or number * _TIME_UNITS[unit.lower()] > most:
        raise ValueError(f"'{text}' is not a duration (examples: 90s, 5m, 2h)")
    return number * _TIME_UNITS[unit.lower()]


def duration_or_none(text: str) -> float:
    """Seconds, up to a hundred years, with a unit: how long something is kept. 0 is for ever."""
    number, unit = _split(text)
    if number and not unit:
        raise ValueError(f"'{text}' has no unit (examples: 12h, 90d)")
    return duration(text, 36525 * 86400)


def octal_mode(text: str) -> int:
    """Permission bits of a file, written as chmod takes them."""
    if not 3 <= len(text) <= 4 or not set(text) <= set("01234567") or int(text, 8) > 0o777:
        raise ValueError(f"'{text}' is not a file mode (example: 0640)")
    return int(text, 8)


def time_format(text: str) -> str:
    """A strftime format that keeps the shape of a report line: it must not hold a bracket or break the line."""
    try:
        shown = time.strftime(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a date or time format") from None
    if not shown or not shown.isprintable() or "]" in shown:
        raise ValueError(f"'{text}' gives '{shown}', which cannot stand at the head of a report line")
    return text


def colon_list(value: bytes) -> tuple[bytes, ...]:
    """Parts between colons, blanks around them dropped, empty ones left out."""
    return tuple(part for part in (p.strip() for p in value.split(b":")) if part)


def _split(text: str) -> tuple[float, str]:
    """Number and unit; -1 as number, which no unit saves, when there is no number."""
    end = 0
    while end < len(text) and (text[end] in ".0123456789"):
        end += 1
    digits, unit = text[:end], text[end:].strip()
    if not text.isascii() or not digits.strip(".") or digits.count(".") > 1 or len(digits) > 20:
        return -1.0, "?"
    return float(digits), unit


def address(text: str) -> str:
    """Where a server listens: the absolute path of a UNIX socket, or HOST:PORT; nothing is nothing."""
    host, colon, port = text.rpartition(":")
    if not text or text.startswith("/") or (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        return text
    raise ValueError(f"'{text}' is neither the absolute path of a socket nor HOST:PORT")
