"""Kinds of values that aveserver's keys have and those of kavscanner have not."""

from __future__ import annotations

from kavfs.config import kinds, values
from kavfs.config.kinds import Kind, of_text
from kavfs.config.server_settings import Addresses

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MOST = 1 << 20


def _addresses(text: str) -> Addresses:
    """HOST:PORT with commas between; a port alone is on loopback."""
    return tuple(_address(word.strip()) for word in text.split(",") if word.strip())


def _address(word: str) -> tuple[str, int]:
    host, colon, port = word.rpartition(":")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    known = (bool(bare) and ":" not in host) or bare != host
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536) or (colon and not known):
        raise ValueError(f"'{word}' is neither HOST:PORT nor a port (examples: 3310, 10.0.0.1:3310, [::1]:3310)")
    return bare or LOOPBACK[0], int(port)


def _write_addresses(value: Addresses) -> bytes:
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in value).encode()


def _folders(value: bytes) -> tuple[bytes, ...]:
    folders = values.colon_list(value)
    for folder in folders:
        if not folder.startswith(b"/"):
            raise ValueError(f"'{kinds.text(folder)}' is not an absolute path")
    return tuple(folder.rstrip(b"/") or b"/" for folder in folders)


def _group(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError(f"'{text}' is not the name of a group")
    return text


def _format(text: str) -> bool:
    if text.lower() not in ("text", "json"):
        raise ValueError(f"'{text}' is neither text nor json")
    return text.lower() == "json"


def _write_text(value: object) -> bytes:
    return str(value).encode()


ADDRESSES = Kind(of_text(_addresses), _write_addresses)
FOLDERS = Kind(_folders, lambda value: b":".join(value))
GROUP = Kind(of_text(_group), _write_text)
FORMAT = Kind(of_text(_format), lambda value: b"json" if value else b"text", empty_is_default=True)
NUMBER = Kind(of_text(lambda text: values.whole(text, 0, _MOST)), _write_text, empty_is_default=True)
POSITIVE = Kind(of_text(lambda text: values.whole(text, 1, _MOST)), _write_text, empty_is_default=True)
JOBS = Kind(of_text(lambda text: values.whole(text, 0, 1024)), _write_text, empty_is_default=True)
SOME_TIME = Kind(of_text(values.duration), kinds.DURATION.write, empty_is_default=True)  # 0 = without end
