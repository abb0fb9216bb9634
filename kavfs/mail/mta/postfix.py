"""Postfix: which edits make it send mail through us, by one of four ways.

    daemon   a content filter: the queue hands mail to smtpscanner by LMTP, and a port takes it back
    spawn    the same, and Postfix starts smtpscanner for each session (the manual's form)
    proxy    before the queue: smtpd hands each session on as it comes, and a refusal reaches who sends; mail of local
             programs, which comes by no smtpd, goes the way of a content filter
    milter   before the queue, too; nothing comes back: Postfix itself changes the message as it is told

Edits are words for postconf, which knows its files. What is ours is named in comments, so that it can be told without
any record:

    # kavfs: set content_filter = kavfs:[127.0.0.1]:10025
    # kavfs: was receive_override_options = no_header_body_checks
    # kavfs: service 127.0.0.1:10026/inet
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kavfs.mail.mta.marks import appended
from kavfs.mail.mta.postfix_read import Service, elements, services, settings
from kavfs.mail.mta.wish import MILTER, Address, Refused, Wish

WAYS = ("daemon", "spawn", "proxy", "milter")
MAIN, MASTER = "main.cf", "master.cf"
TRANSPORT = "kavfs"
SESSIONS = 10  # at once, as in the manual

Texts = Mapping[str, str]


class Edit(NamedTuple):
    """One call of postconf: an option of it and its argument."""

    option: str
    word: str


Postconf = Callable[[Texts, tuple[Edit, ...]], dict[str, str]]
"""Runs postconf on copies of the two files and returns what they became."""

_MARK = re.compile(r"# kavfs: (set|was|service) (\S+)(?: = ?(.*))?")
_FILTERS = ("daemon", "spawn")
_DONE = ("no_header_body_checks", "no_milters")


class Mark(NamedTuple):
    what: str  # set, was, service
    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"# kavfs: {self.what} {self.name}" + ("" if self.what == "service" else f" = {self.value}")


def wanted(texts: Texts, wish: Wish, postconf: Postconf) -> dict[str, str]:
    """The two files with our edits; *texts* has none of them. Raises Refused when somebody else's stand in the way."""
    refuse(texts, wish)
    values = dict(_values(settings(texts[MAIN]), wish))
    added = dict(_services(wish))
    options = dict(_options(texts, wish))
    old = settings(texts[MAIN])
    main = [mark for name, value in values.items() for mark in _set(name, value, old.get(name))]
    master = [mark for name, value in options.items() for mark in _set(name, value, None)]
    master += [Mark("service", name) for name in added]
    marked = {
        MAIN: appended(texts[MAIN], [str(mark) for mark in main]) if main else texts[MAIN],
        MASTER: appended(texts[MASTER], [str(mark) for mark in master]) if master else texts[MASTER],
    }
    given = {"-M": added, "-P": options, "-e": values}
    # One by one: of several, postconf writes now this, now that first.
    edits = [Edit(option, f"{name}={value}") for option, some in given.items() for name, value in some.items()]
    return postconf(marked, tuple(edits))


def cleaned(texts: Texts, postconf: Postconf) -> dict[str, str]:
    """The two files without what the marks call ours. A setting that was given another value since is left alone."""
    edits: list[Edit] = []
    now = settings(texts[MAIN])
    marks = marks_of(texts[MAIN])
    was = {mark.name: mark.value for mark in marks if mark.what == "was"}
    for mark in marks:
        if mark.what == "set" and mark.name in now:
            edits += _back(mark, now[mark.name], was.get(mark.name))
    there = {service.key: service for service in services(texts[MASTER])}
    for mark in marks_of(texts[MASTER]):
        if mark.what == "service" and mark.name in there:
            edits.append(Edit("-MX", mark.name))
        key, _, option = mark.name.rpartition("/")
        if mark.what == "set" and key in there and there[key].options.get(option) == mark.value:
            edits.append(Edit("-PX", mark.name))
    return postconf({name: _unmarked(text) for name, text in texts.items()}, tuple(edits))


def missing(texts: Texts, wish: Wish) -> list[str]:
    """What *wish* needs and is not there."""
    found, values = [], settings(texts[MAIN])
    there = {service.key: service for service in services(texts[MASTER])}
    for name, value in _values({}, wish):
        if not set(elements(value)) <= set(elements(values.get(name, ""))):
            found.append(f"main.cf: {name} lacks {value}")
    for key, _ in _services(wish):
        if key not in there:
            found.append(f"master.cf: there is no service {key}")
    back = there.get(f"{_service_name(wish.back)}/inet")
    for name in ("content_filter", "smtpd_proxy_filter"):
        if wish.way != "milter" and back is not None and back.options.get(name) != "":
            found.append(f"master.cf: {back.key} has no empty {name}: mail would go round in a loop")
    proxies = [one.options.get("smtpd_proxy_filter") for one in there.values()]
    if wish.way == "proxy" and str(wish.scanner) not in proxies:
        found.append(f"master.cf: no smtpd has smtpd_proxy_filter={wish.scanner}")
    if wish.way == "proxy":
        for pickup in _pickups(texts):
            found.append(f"master.cf: {pickup.key} has no content_filter: mail of local programs is not scanned")
    return found


def marks_of(text: str) -> list[Mark]:
    found = (_MARK.fullmatch(line) for line in text.split("\n"))
    return [Mark(match[1], match[2], match[3] or "") for match in found if match]


def refuse(texts: Texts, wish: Wish) -> None:
    """Raises Refused when something that is not ours stands where ours would."""
    for why in _obstacles(settings(texts[MAIN]), services(texts[MASTER]), wish):
        raise Refused(why)


def _obstacles(values: Mapping[str, str], there: list[Service], wish: Wish) -> Iterator[str]:
    after_queue, before_queue = "content_filter", "smtpd_proxy_filter"
    wrong = {"proxy": (before_queue,), "milter": ()}.get(wish.way, (after_queue,))
    for name in wrong:
        if values.get(name):
            yield f"main.cf: {name} = {values[name]}: there is another filter; two of them have to be arranged by hand"
        for service in there:
            if service.options.get(name):
                yield f"master.cf: {service.key} has {name}={service.options[name]}: there is another filter"
    if wish.way == "milter":
        return
    ports = [wish.back] + ([wish.scanner] if wish.way == "spawn" else [])
    for service in there:
        if service.kind == "inet" and service.port in [str(port.port) for port in ports]:
            yield f"master.cf: {service.key} has the port that we would need; another one can be given"
        if service.key == f"{TRANSPORT}/unix":
            yield f"master.cf: there is a service {service.key} that is not ours"
    if wish.way == "proxy" and not _smtpds(there):
        yield "master.cf: there is no smtpd that takes mail"


def _values(old: Mapping[str, str], wish: Wish) -> Iterator[tuple[str, str]]:
    """Settings of main.cf."""
    if wish.way in _FILTERS:
        # Aliases would be filled in before and behind the filter, and mail come twice.
        unmapped = [*elements(old.get("receive_override_options", "")), "no_address_mappings"]
        yield "content_filter", _filter(wish)
        yield "receive_override_options", ", ".join(dict.fromkeys(unmapped))
    if wish.way == "milter":
        ours = milter(wish.scanner)
        for name in ("smtpd_milters", "non_smtpd_milters"):
            yield name, ", ".join([*elements(old.get(name, "")), ours])


def _filter(wish: Wish) -> str:
    """A value of content_filter."""
    return f"{TRANSPORT}:{wish.scanner.bracketed}:{wish.scanner.port}"


def milter(where: Address = MILTER) -> str:
    """Deferring is ours alone: what other milters do when they are not there is their business."""
    kind = "inet6" if ":" in where.host else "inet"
    return f"{{ {kind}:{where.bracketed if ':' in where.host else where.host}:{where.port}, default_action=tempfail }}"


def _services(wish: Wish) -> Iterator[tuple[str, str]]:
    """Lines of master.cf."""
    if wish.way == "milter":
        return
    client = "smtp" if wish.way == "proxy" else "lmtp"
    sending = {
        f"{client}_send_xforward_command": "yes",
        "disable_dns_lookups": "yes",
        f"{client}_data_done_timeout": "1200s",  # a scan may take its time
        f"{client}_tls_security_level": "none",
        "max_use": "20",
    }
    yield f"{TRANSPORT}/unix", f"{TRANSPORT} unix - - n - {SESSIONS} {client}{_with(sending)}"
    if wish.way == "spawn":
        name = _service_name(wish.scanner)
        start = f"spawn user={wish.user} argv={wish.program} -c {wish.config}"
        yield f"{name}/inet", f"{name} inet n n n - {SESSIONS} {start}"
    name = _service_name(wish.back)
    yield f"{name}/inet", f"{name} inet n - n - {SESSIONS} smtpd{_with(_return_options(wish))}"


def _return_options(wish: Wish) -> dict[str, str]:
    """Judged mail is taken as it is, from the scanner alone, and is not sent to it again."""
    trusted = "127.0.0.0/8,[::1]/128" if wish.scanner.loopback else f"127.0.0.0/8,{wish.scanner.bracketed}"
    empty = [f"smtpd_{name}_restrictions" for name in ("helo", "sender", "data", "end_of_data")]
    return {
        "content_filter": "",
        "smtpd_proxy_filter": "",
        "smtpd_milters": "",
        # The queue has looked at headers before its filter; a proxy stands before the queue.
        "receive_override_options": ",".join(["no_unknown_recipient_checks", *(_DONE if wish.way in _FILTERS else ())]),
        "mynetworks": trusted,
        "smtpd_authorized_xforward_hosts": trusted,
        "smtpd_client_restrictions": "permit_mynetworks,reject",
        "smtpd_relay_restrictions": "permit_mynetworks,reject",
        "smtpd_recipient_restrictions": "permit_mynetworks,reject",
        **dict.fromkeys(empty, ""),
        "smtpd_delay_reject": "no",
        "smtpd_helo_required": "no",
        "smtpd_sasl_auth_enable": "no",
        "smtpd_tls_security_level": "none",
        "smtpd_error_sleep_time": "0",
        "smtpd_soft_error_limit": "1001",
        "smtpd_hard_error_limit": "1000",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
        "smtpd_peername_lookup": "no",
        "local_header_rewrite_clients": "",
    }


def _with(options: Mapping[str, str]) -> str:
    return "".join(f" -o {name}={value}" for name, value in options.items())


def _service_name(where: Address) -> str:
    return f"{where.bracketed if ':' in where.host else where.host}:{where.port}"


def _options(texts: Texts, wish: Wish) -> Iterator[tuple[str, str]]:
    """Options of services that are there: the smtpds that take mail from outside, and who takes it from programs."""
    if wish.way == "proxy":
        for service in _smtpds(services(texts[MASTER])):
            yield f"{service.key}/smtpd_proxy_filter", str(wish.scanner)
        for service in _pickups(texts):
            yield f"{service.key}/content_filter", _filter(wish)
            if "receive_override_options" not in service.options:
                yield f"{service.key}/receive_override_options", "no_address_mappings"


def _pickups(texts: Texts) -> list[Service]:
    """Those that no filter has yet: with another one for what is queued, local mail goes through that."""
    if settings(texts[MAIN]).get("content_filter"):
        return []
    takers = [service for service in services(texts[MASTER]) if service.command == "pickup"]
    return [one for one in takers if "content_filter" not in one.options]


def _smtpds(there: list[Service]) -> list[Service]:
    """Those with a filter setting of their own are where another filter's mail comes back."""
    takers = [service for service in there if service.command == "smtpd" and service.kind in ("inet", "pass")]
    return [one for one in takers if not {"smtpd_proxy_filter", "content_filter"} & one.options.keys()]


def _set(name: str, value: str, old: str | None) -> list[Mark]:
    return [Mark("set", name, value), *([] if old is None else [Mark("was", name, old)])]


def _back(mark: Mark, now: str, old: str | None) -> list[Edit]:
    if " ".join(now.split()) == mark.value:
        return [Edit("-X", mark.name) if old is None else Edit("-e", f"{mark.name}={old}")]
    ours = [item for item in elements(mark.value) if item not in elements(old or "")]
    left = [item for item in elements(now) if item not in ours]
    if len(left) == len(elements(now)):
        return []
    return [Edit("-e", f"{mark.name}={', '.join(left)}") if left else Edit("-X", mark.name)]


def _unmarked(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not _MARK.fullmatch(line))
