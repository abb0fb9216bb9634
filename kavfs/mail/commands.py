"""Commands: what a client's line says, and how one of ours is written. Anything doubtful is refused, with a reply."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kavfs.mail.envelope import Parameters
from kavfs.mail.replies import Reply, reply
from kavfs.mail.settings import Capabilities

_PATH = re.compile(rb'<((?:[^<>"\\\s]|\\.|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?', re.DOTALL)
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\xff]+))?")
_ATTRIBUTE = re.compile(rb"([A-Za-z]+)=([!-<>-~]{1,1024})")
_HELO = re.compile(rb"[!-~\x80-\xff]{1,255}")

# The parameters of MAIL and RCPT: which keyword of EHLO each stands on, and the form of its value; None: it has none.
_Known = dict[bytes, tuple[bytes, re.Pattern[bytes] | None]]
_ANYTHING = re.compile(rb".{1,1024}", re.DOTALL)
_MAIL: _Known = {
    b"SIZE": (b"SIZE", re.compile(rb"[0-9]{1,19}")),
    b"BODY": (b"8BITMIME", re.compile(rb"7BIT|8BITMIME", re.IGNORECASE)),
    b"SMTPUTF8": (b"SMTPUTF8", None),
    b"RET": (b"DSN", re.compile(rb"FULL|HDRS", re.IGNORECASE)),
    b"ENVID": (b"DSN", _ANYTHING),
}
_RCPT: _Known = {
    b"NOTIFY": (b"DSN", _ANYTHING),
    b"ORCPT": (b"DSN", _ANYTHING),
}


class Refused(Exception):
    """The command is not carried out; `reply` says why."""

    def __init__(self, code: int, enhanced: bytes, text: bytes) -> None:
        super().__init__(text)
        self.reply: Reply = reply(code, enhanced, text)


def split(line: bytes) -> tuple[bytes, bytes]:
    """A line's verb in capitals and the rest."""
    verb, _, rest = line.partition(b" ")
    return verb.upper(), rest.strip(b" ")


def has_controls(line: bytes) -> bool:
    return any(c < 0x20 or c == 0x7F for c in line)


def mail_path(rest: bytes, capabilities: Capabilities) -> tuple[bytes, Parameters]:
    """Sender and parameters out of `FROM:<...> ...`."""
    path, parameters = _path(rest, b"FROM:", _MAIL, capabilities)
    if not path.isascii() and (b"SMTPUTF8", b"") not in parameters:
        raise Refused(553, b"5.6.7", b"Address needs SMTPUTF8")
    return path, parameters


def rcpt_path(rest: bytes, capabilities: Capabilities, utf8: bool) -> tuple[bytes, Parameters]:
    """Recipient and parameters out of `TO:<...> ...`."""
    path, parameters = _path(rest, b"TO:", _RCPT, capabilities)
    if not path:
        raise Refused(501, b"5.1.3", b"Recipient is empty")
    if not path.isascii() and not utf8:
        raise Refused(553, b"5.6.7", b"Address needs SMTPUTF8")
    return path, parameters


def _path(rest: bytes, word: bytes, known: _Known, capabilities: Capabilities) -> tuple[bytes, Parameters]:
    match = _PATH.fullmatch(rest[len(word) :].lstrip(b" ")) if rest[: len(word)].upper() == word else None
    if match is None:
        raise Refused(501, b"5.5.4", b"Syntax: " + word + b"<address>")
    parameters: list[tuple[bytes, bytes]] = []
    for text in (match[2] or b"").split():
        parameters.append(_parameter(text, known, capabilities))
        if len({key for key, _ in parameters}) < len(parameters):
            raise Refused(501, b"5.5.4", b"Parameter given twice")
    return match[1], tuple(parameters)


def _parameter(text: bytes, known: _Known, capabilities: Capabilities) -> tuple[bytes, bytes]:
    match = _PARAMETER.fullmatch(text)
    if match is None:
        raise Refused(501, b"5.5.4", b"Syntax of a parameter")
    key, value = match[1].upper(), match[2] or b""
    keyword, form = known.get(key, (b"", None))
    if keyword not in capabilities:
        raise Refused(555, b"5.5.4", b"Parameter is not supported: " + key[:40])
    if (match[2] is not None) if form is None else (form.fullmatch(value) is None):
        raise Refused(501, b"5.5.4", b"Value of parameter " + key)
    return key, value


def needed(parameters: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The keywords of EHLO that these parameters stand on."""
    known = _MAIL | _RCPT
    return {known[key][0] for key, _ in parameters if key in known}


def size(parameters: Parameters) -> int:
    """The size that a client announces, or 0."""
    return int(dict(parameters).get(b"SIZE", b"0"))


def attributes(rest: bytes, allowed: bytes) -> Parameters:
    """Attributes of XFORWARD or XCLIENT; *allowed*: their names, with blanks between them."""
    found = []
    for text in rest.split():
        match = _ATTRIBUTE.fullmatch(text)
        if match is None or match[1].upper() not in allowed.split():
            raise Refused(501, b"5.5.4", b"Attribute is not supported")
        found.append((match[1].upper(), match[2]))
    if not found:
        raise Refused(501, b"5.5.4", b"Attributes are missing")
    return tuple(found)


def hello_name(rest: bytes) -> bytes:
    if _HELO.fullmatch(rest) is None:
        raise Refused(501, b"5.5.4", b"Syntax: a name must follow")
    return rest


def written(command: bytes, address: bytes, parameters: Parameters) -> bytes:
    """A command of ours: `MAIL FROM:<...> KEY=VALUE`."""
    parts = [command + b"<" + address + b">"]
    parts += [key + b"=" + value if value else key for key, value in parameters]
    return b" ".join(parts)
