"""Exim 4: a router before all others, a transport, and a port of 127.0.0.1 where judged mail comes back.

    daemon   the transport speaks LMTP to smtpscanner that listens
    command  the transport starts smtpscanner for each delivery (the manual's form)

The router takes everything that did not come by the return port: so nothing goes round twice, aliases are filled in
behind the scanner, and what Exim itself sends is scanned too. Three forms of configuration: one file (exim.conf), and
Debian's, as one template or split into many files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from kavfs.mail.mta.marks import appended, block, stripped
from kavfs.mail.mta.wish import Address, Refused, Wish

WAYS = ("daemon", "command")
NAME = "kavfs_scan"
OURS = "050_kavfs"  # our files in Debian's split form: behind 00_exim4-config_header, before the first router

Texts = Mapping[str, str | None]

_DEBIAN_INTERFACES = "MAIN_LOCAL_INTERFACES"  # set by update-exim4.conf, parted by semicolons, or not at all
_ANY = "<; ::0 ; 0.0.0.0"  # what Exim listens on when nothing is said
_INTERFACES = re.compile(r"^[ \t]*local_interfaces[ \t]*=[ \t]*(.*)$")
_FIRST_SECTION = re.compile(r"^begin[ \t]", re.MULTILINE)
_CAME_BY = re.compile(
    r"^[^#\n]*(?:\$\{?(?:received|interface)_port\b|received_protocol\}+\s*\{[^}]*scan)", re.MULTILINE
)


def wanted_file(text: str, wish: Wish) -> str:
    """A whole configuration in one file with our parts; it has none yet."""
    _refuse({"": text}, wish)
    for section in ("routers", "transports"):
        if not _section(section).search(text):
            raise Refused(f'there is no line "begin {section}": what is included from elsewhere is edited by hand')
    text = _behind(text, "routers", _router(wish))
    text = _behind(text, "transports", _transport(wish))
    return _with_retries(_with_return(text, wish))


def wanted_split(texts: Texts, folder: str, wish: Wish) -> dict[str, str]:
    """Debian's split form: what changes of *texts*, which are all files below *folder*/conf.d."""
    _refuse(texts, wish)
    found = {
        f"{folder}/conf.d/router/{OURS}": "\n".join([*block(_router(wish)), ""]),
        f"{folder}/conf.d/transport/{OURS}": "\n".join([*block(_transport(wish)), ""]),
    }
    main = {path: text for path, text in texts.items() if text and path.startswith(f"{folder}/conf.d/main/")}
    setting = [path for path, text in main.items() if any(_INTERFACES.match(line) for line in text.split("\n"))]
    if setting:
        return {**found, setting[-1]: _with_return(main[setting[-1]], wish)}
    lines = block([f"local_interfaces = {_ANY} ; {_listed(wish.back, ';')}"])
    return {**found, f"{folder}/conf.d/main/{OURS}": "\n".join([*lines, ""])}


def cleaned(texts: Texts) -> dict[str, str | None]:
    """Without our parts. A file that had nothing else is gone."""
    found = {}
    for path, text in texts.items():
        left = stripped(text) if text is not None else None
        found[path] = None if path.endswith(f"/{OURS}") and not (left or "").strip() else left
    return found


def missing(texts: Texts, wish: Wish) -> list[str]:
    """What *wish* needs and is not there."""
    whole = "\n".join(text for text in texts.values() if text)
    found = [f"there is no {what} {NAME}" for what, lines in _parts(wish).items() if "\n".join(lines) not in whole]
    listening = [
        line for line in whole.split("\n") if (match := _INTERFACES.match(line)) and _has_port(match[1], wish.back.port)
    ]
    if not listening:
        found.append(f"local_interfaces lacks {wish.back}: judged mail could not come back")
    return found


def restart(debian: bool) -> tuple[str, ...]:
    return ("update-exim4.conf", "systemctl restart exim4") if debian else ("systemctl restart exim",)


def _refuse(texts: Texts, wish: Wish) -> None:
    for path, text in texts.items():
        where = f"{path}: " if path else ""
        if re.search(rf"^{NAME}:", text or "", re.MULTILINE):
            raise Refused(f"{where}there is a router or transport {NAME} that is not ours")
        routers = text or "" if "/router/" in path else "\n".join(_lines_of(text or "", "routers"))
        if match := _CAME_BY.search(routers):
            line = match[0].strip()
            raise Refused(f'{where}"{line} ..." asks how mail came in: another scanner has to be arranged by hand')


def _parts(wish: Wish) -> dict[str, list[str]]:
    return {"router": _router(wish), "transport": _transport(wish)}


def _router(wish: Wish) -> list[str]:
    host, port = wish.back
    again = f"!eq{{$received_port}}{{{port}}}}}{{!eq{{$received_ip_address}}{{{host}}}"
    started = wish.way == "command"
    return [
        f"{NAME}:",
        f"  driver = {'accept' if started else 'manualroute'}",
        f"  condition = ${{if or{{{{{again}}}}}}}",
        *([] if started else [f"  route_data = {_listed(wish.scanner, '', port=False)}", "  self = send"]),
        f"  transport = {NAME}",
        "  no_verify",  # recipients are verified by those who will deliver
        "  no_expn",
        "",
    ]


def _transport(wish: Wish) -> list[str]:
    if wish.way == "command":
        command = f"  command = {wish.program} -c {wish.config}"
        as_whom = f"  user = {wish.user}"  # Exim's own cannot read what the scanner keeps
        return [f"{NAME}:", "  driver = lmtp", command, as_whom, "  batch_max = 100", "  timeout = 20m", ""]
    limit = "message_linelength_limit"
    return [
        f"{NAME}:",
        "  driver = smtp",
        "  protocol = lmtp",
        f"  port = {wish.scanner.port}",
        "  allow_localhost",
        "  hosts_avoid_tls = *",
        "  max_rcpt = 100",
        "  final_timeout = 20m",
        f".ifdef _OPT_TRANSPORT_SMTP_{limit.upper()}",
        f"  {limit} = 1G",  # long lines are the next transport's business
        ".endif",
        "",
    ]


def _listed(where: Address, parting: str, port: bool = True) -> str:
    """As an item of a list of Exim's: a colon that parts nothing is written twice."""
    host = where.host.replace(":", "::") if parting in (":", "") else where.host
    return f"{host}.{where.port}" if port else host


# -- the return port -------------------------------------------------------------------------------------------------


def _with_return(text: str, wish: Wish) -> str:
    """*text* with the return port among what the daemon listens on."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if match := _INTERFACES.match(line):
            end = at + 1
            while lines[end - 1].endswith("\\") and end < len(lines):
                end += 1
            value = " ".join([match[1], *lines[at + 1 : end]]).replace("\\", " ").strip()
            whole = [f"local_interfaces = {_longer(text, value, wish.back)}"]
            if value == _DEBIAN_INTERFACES and at and lines[at - 1].strip() == f".ifdef {_DEBIAN_INTERFACES}":
                whole += [".else", f"local_interfaces = {_ANY} ; {_listed(wish.back, ';')}"]
            return "\n".join([*lines[:at], *block(whole, lines[at:end]), *lines[end:]])
    first = _FIRST_SECTION.search(text)
    at = first.start() if first else len(text)
    whole = [*block([f"local_interfaces = {_ANY} ; {_listed(wish.back, ';')}"]), ""]
    return text[:at] + "\n".join(whole) + text[at:]


def _longer(text: str, value: str, back: Address) -> str:
    listed = _meant(text, value)
    if _has_port(listed, back.port):
        raise Refused(f"local_interfaces = {listed}: the return port is in use; another one can be given")
    match = re.match(r"<\s*([^\w\s])", listed)
    parting = match[1] if match else ":"
    return f"{value} {parting} {_listed(back, parting)}"


def _has_port(value: str, port: int) -> bool:
    return re.search(rf"[.:]{port}(?!\d)", value) is not None


def _meant(text: str, value: str) -> str:
    """*value*, or what the macro stands for that it is."""
    if value == _DEBIAN_INTERFACES:
        return "<; "
    if not re.fullmatch(r"[A-Z]\w*", value):
        return value
    known = re.search(rf"^{value}[ \t]*==?[ \t]*(.*)$", text, re.MULTILINE)
    if known is None:
        raise Refused(f"local_interfaces = {value}: what that macro stands for is not in this file")
    return _meant(text, known[1].strip())


# -- sections --------------------------------------------------------------------------------------------------------


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"^begin[ \t]+{name}[ \t]*(?:#.*)?$\n?", re.MULTILINE)


def _behind(text: str, section: str, lines: list[str]) -> str:
    match = _section(section).search(text)
    at = match.end() if match else len(text)
    return text[:at] + "\n".join([*block(lines), ""]) + text[at:]


def _with_retries(text: str) -> str:
    """Without a rule for every address, Exim returns to the sender what is deferred once."""
    if any(line.split()[:1] == ["*"] for line in _lines_of(text, "retry")):
        return text
    rule = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
    if not _section("retry").search(text):
        return appended(text, block(["begin retry", rule]))
    return _behind(text, "retry", [rule])


def _lines_of(text: str, section: str) -> Iterator[str]:
    inside = False
    for line in text.split("\n"):
        if line.startswith("begin"):
            inside = bool(_section(section).match(line))
        elif inside:
            yield line
