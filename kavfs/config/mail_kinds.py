"""Kinds of values that smtpscanner's keys have and those of other programs have not."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from kavfs._native.match import FORMATS
from kavfs.config import kinds, server_kinds, values
from kavfs.config.kinds import Kind, of_text
from kavfs.config.mail_settings import ATTRIBUTES, Network, Place
from kavfs.forwarding import Destination, parse
from kavfs.patterns.lists import Pattern, read_masks, read_patterns, write_patterns

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?|\[[0-9A-Fa-f:.IPv]+\]")


def _word_of(*words: str) -> Callable[[str], str]:
    """A reader of one of these, in any case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"'{text}' is not {' or '.join(words)}")
        return text.lower()

    return read


def _action(text: str) -> str:
    if text.lower() == "cured":
        raise ValueError("'cured' can stand only in CuredAdminAction and CuredRecipientAction")
    return _word_of("unchanged", "remove")(text)


def _protocol(text: str) -> bool:
    return _word_of("smtp", "lmtp")(text) == "lmtp"


def _forward(text: str) -> Destination | None:
    return parse(text) if text else None


def _places(text: str) -> tuple[Place, ...]:
    """[smtp:|lmtp:]HOST:PORT or [smtp:|lmtp:]/PATH with commas between; a port alone is on loopback."""
    return tuple(_place(word.strip()) for word in text.split(",") if word.strip())


def _place(word: str) -> Place:
    protocol, colon, rest = word.partition(":")
    known = colon and protocol.lower() in ("smtp", "lmtp")
    return _at(rest if known else word)._replace(protocol=protocol.lower() if known else "")


def _milter_places(text: str) -> tuple[Place, ...]:
    """As ``_places``, and as the MTAs write it: inet:HOST:PORT, inet:PORT@HOST, unix:/PATH, local:/PATH."""
    return tuple(_milter_place(word.strip()) for word in text.split(",") if word.strip())


def _milter_place(word: str) -> Place:
    protocol, colon, rest = word.partition(":")
    if colon and protocol.lower() in ("inet", "inet6", "unix", "local"):
        word = rest
        port, at, host = word.partition("@")
        if at:
            word = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return _at(word)._replace(protocol="milter")


def _at(word: str) -> Place:
    if word.startswith("/"):
        return Place(path=word)
    try:
        ((host, port),) = server_kinds.ADDRESSES.read(word.encode())
    except ValueError:
        why = "neither HOST:PORT, nor a port, nor the absolute path of a socket"
        raise ValueError(f"'{word}' is {why} (examples: 10025, 127.0.0.1:10025, /run/filter)") from None
    return Place(host=host, port=port)


def _write_places(places: tuple[Place, ...]) -> bytes:
    return ",".join(_written(place) for place in places).encode()


def _written(place: Place) -> str:
    before = f"{place.protocol}:" if place.protocol in ("smtp", "lmtp") else ""
    host = f"[{place.host}]" if ":" in place.host else place.host
    return before + (place.path or f"{host}:{place.port}")


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise ValueError(f"{error} (examples: 127.0.0.1, 192.0.2.0/24, 2001:db8::/32)") from None


def _attributes(text: str) -> tuple[str, ...]:
    words = text.upper().split()
    for word in words:
        if word not in ATTRIBUTES:
            raise ValueError(f"'{word}' is not one of {' '.join(ATTRIBUTES)}")
    return tuple(word for word in ATTRIBUTES if word in words)


def _host_name(text: str) -> str:
    if text and not _HOST_NAME.fullmatch(text):
        raise ValueError(f"'{text}' is not the name of a host")
    return text


def _types(text: str) -> tuple[Pattern, ...]:
    """Masks for words of formats; one that fits none would filter nothing, and nobody would know."""
    masks = read_masks(text)
    for mask in masks:
        if not any(mask(name.encode()) for name in FORMATS):
            raise ValueError(f"'{mask.text}' fits none of {' '.join(FORMATS)}")
    return masks


def _write_text(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def _write_optional(value: object) -> bytes:
    return b"" if value is None else str(value).encode()


PATTERNS = Kind(of_text(read_patterns), lambda value: write_patterns(value).encode())
TYPES = Kind(of_text(_types), lambda value: write_patterns(value).encode())
ACTION = Kind(of_text(_action), _write_text, empty_is_default=True)
ACTION_CURED = Kind(of_text(_word_of("unchanged", "remove", "cured")), _write_text, empty_is_default=True)
MILTER_GROUPS = Kind(of_text(_word_of("strictest", "defer")), _write_text, empty_is_default=True)
PROTOCOL = Kind(of_text(_protocol), lambda value: b"lmtp" if value else b"smtp", empty_is_default=True)
FORM = Kind(of_text(_word_of("5.5", "5.6")), _write_text, empty_is_default=True)
FORWARD = Kind(of_text(_forward), _write_optional)
PLACES = Kind(of_text(_places), _write_places)
MILTER_PLACES = Kind(of_text(_milter_places), _write_places)
NETWORKS = Kind(of_text(_networks), lambda value: ",".join(map(str, value)).encode())
WORDS = Kind(of_text(_attributes), lambda value: " ".join(value).encode(), empty_is_default=True)
HOST_NAME = Kind(of_text(_host_name), _write_text)
NESTING = Kind(of_text(lambda text: values.whole(text, 1, 100)), _write_text, empty_is_default=True)
ADDRESS = Kind(kinds.ADDRESS.read, kinds.ADDRESS.write, empty_is_default=True)
