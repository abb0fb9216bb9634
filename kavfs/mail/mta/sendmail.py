"""Sendmail: a milter in sendmail.mc and sendmail.cf, or the manual's second configuration sendmail.cf.listen.

milter   INPUT_MAIL_FILTER, and the lines of sendmail.cf that it makes: no m4 is needed now, and the next
         sendmailconfig makes the same
mailer   an instance that listens and hands everything to smtpscanner (sendmail.cf.listen), beside one that takes
         judged mail on a port and delivers it (sendmail.cf, which is not touched)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kavfs.mail.mta.marks import appended, block, is_marked, stripped
from kavfs.mail.mta.wish import Address, Refused, Wish

WAYS = ("milter", "mailer")
NAME = "kavfs"
MC, CF, LISTEN = "sendmail.mc", "sendmail.cf", "sendmail.cf.listen"
COMMENT = "dnl #"
QUEUE = "/var/spool/mqueue.listen"  # its own: the other instance would send on what waits to be scanned
PID = "/run/sendmail.listen.pid"

Texts = Mapping[str, str | None]

_TIMES = "T=C:30s;S:30s;R:5m;E:20m"
_FILTERS = re.compile(r"^(#?)O InputMailFilters(?:=(.*))?$")
_OPTIONS = {"QueueDirectory": QUEUE, "PidFile": PID}


def wanted(texts: Texts, wish: Wish) -> dict[str, str | None]:
    """What is in force is sendmail.cf, so it must be there; sendmail.mc is edited where there is one."""
    cf, mc = texts.get(CF), texts.get(MC)
    if cf is None:
        raise Refused(f"there is no {CF}")
    if wish.way == "mailer":
        return {LISTEN: listener(cf, wish)}
    return {MC: None if mc is None else _with_macro(mc, wish), CF: _with_filter(cf, wish)}


def cleaned(texts: Texts) -> dict[str, str | None]:
    """Without our parts; sendmail.cf may have been made anew of sendmail.mc, without our comments."""
    mc, cf, listen = texts.get(MC), texts.get(CF), texts.get(LISTEN)
    return {
        MC: None if mc is None else stripped(mc, COMMENT),
        CF: None if cf is None else _without_filter(stripped(cf)),
        LISTEN: None if listen is not None and is_marked(listen) else listen,
    }


def missing(texts: Texts, wish: Wish) -> list[str]:
    """What *wish* needs and is not there."""
    cf, mc = texts.get(CF) or "", texts.get(MC)
    if wish.way == "mailer":
        if texts.get(LISTEN) is None:
            return [f"there is no {LISTEN}"]
        return (
            [] if texts[LISTEN] == listener(cf, wish) else [f"{LISTEN} is not what {CF} makes today: integrate again"]
        )
    found = []
    if f"X{NAME}, {_equate(wish.scanner)}" not in re.sub(r"[ \t]+", " ", cf).split("\n"):
        found.append(f"{CF}: there is no mail filter {NAME} at {wish.scanner}")
    if not any(NAME in _names(match[2]) for match in map(_FILTERS.match, cf.split("\n")) if match and not match[1]):
        found.append(f"{CF}: InputMailFilters lacks {NAME}")
    if mc is not None and f"INPUT_MAIL_FILTER(`{NAME}'" not in mc:
        found.append(f"{MC}: INPUT_MAIL_FILTER(`{NAME}') is gone, and will be from {CF} when that is made anew")
    return found


def starts(wish: Wish) -> tuple[str, ...]:
    """Commands that are left to the administrator."""
    if wish.way == "milter":
        return ("systemctl restart sendmail",)
    where = f"Name=kavfs,Family={'inet6' if ':' in wish.back.host else 'inet'}"
    return (
        f"install -d -o root -g smmsp -m 0700 {QUEUE}",
        "systemctl stop sendmail",
        f"/usr/sbin/sendmail -bd -q10m -C /etc/mail/{LISTEN}",
        f"/usr/sbin/sendmail -bd -q10m -ODaemonPortOptions={where},Addr={wish.back.host},Port={wish.back.port} "
        f"-C /etc/mail/{CF}",
    )


# -- milter ----------------------------------------------------------------------------------------------------------


def _equate(where: Address) -> str:
    """F=T: while we are not there, mail is deferred."""
    return f"S={'inet6' if ':' in where.host else 'inet'}:{where.port}@{where.host}, F=T, {_TIMES}"


def _with_macro(text: str, wish: Wish) -> str:
    if re.search(rf"^[^d\n]*MAIL_FILTER\(`{NAME}'", text, re.MULTILINE):
        raise Refused(f"{MC}: there is a mail filter {NAME} that is not ours")
    macro = f"INPUT_MAIL_FILTER(`{NAME}', `{_equate(wish.scanner)}')dnl"
    return appended(text, block([macro], comment=COMMENT))


def _with_filter(text: str, wish: Wish) -> str:
    if not text.endswith("\n"):
        text += "\n"
    found = [(at, line) for at, line in enumerate(text.split("\n")) if _FILTERS.match(line)]
    active = [(at, line) for at, line in found if not line.startswith("#")]
    lines = text.split("\n")
    for at, line in active[-1:]:
        lines[at : at + 1] = block([f"{line.rstrip()}, {NAME}" if "=" in line else f"{line}={NAME}"], [line])
    ours = [] if active else [f"O InputMailFilters={NAME}"]
    return appended("\n".join(lines), block([*ours, f"X{NAME}, {_equate(wish.scanner)}"]))


def _without_filter(text: str) -> str:
    """Without what m4 made of our macro."""
    lines = []
    for line in text.split("\n"):
        match = _FILTERS.match(line)
        if line.startswith(f"X{NAME},"):
            continue
        if match and not match[1] and NAME in _names(match[2]):
            left = ", ".join(name for name in _names(match[2]) if name != NAME)
            line = f"O InputMailFilters={left}" if left else "#O InputMailFilters"
        lines.append(line)
    return "\n".join(lines)


def _names(listed: str | None) -> list[str]:
    return [name.strip() for name in re.split("[,;]", listed or "")]


# -- mailer ----------------------------------------------------------------------------------------------------------


def listener(cf: str, wish: Wish) -> str:
    """sendmail.cf.listen: everything goes to one mailer. The rule comes before all others of the ruleset that parses
    addresses locally (98)."""
    lines, done = [], False
    for line in cf.split("\n"):
        option = re.match(r"#?O (\w+)=", line)
        if option and option[1] in _OPTIONS:
            continue
        lines.append(line)
        if re.match(r"S(?:ParseLocal=98|98)\b", line) and not done:
            lines += block([f"R$*\t$#{NAME} $@ localhost $: $1"])
            done = True
    if not done:
        raise Refused(f"{CF}: there is no ruleset ParseLocal=98 where the rule could stand")
    mailer = [
        *(f"O {name}={value}" for name, value in _OPTIONS.items()),
        f"M{NAME},\tP={wish.program}, F=PCXmnz9, S=EnvFromSMTP, R=EnvToSMTP, E=\\r\\n, L=2040,",
        "\tT=DNS/RFC822/SMTP,",
        f"\tA={wish.program.rpartition('/')[2]} -c {wish.config}",
    ]
    return appended("\n".join(lines), block(mailer))
