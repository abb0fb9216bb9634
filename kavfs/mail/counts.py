"""Counts: messages by what became of them, for metrics and for the licence's own figures: traffic, and users of the
protected domains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kavfs.mail.case import Case
from kavfs.mail.rules import Matcher
from kavfs.model import Status

USERS_MAX = 1 << 18  # addresses that are told apart

_INFECTED = (Status.INFECTED, Status.CUREFAILED, Status.CURED)


class Counts:
    """*domains*: those that are protected (LicenseDomain), with or without an @ before them; none: every address counts
    as a user. They may be changed."""

    def __init__(self, domains: Sequence[Matcher] = ()) -> None:
        self.messages: Counter[tuple[str, str]] = Counter()  # by action and group
        self.statuses: Counter[Status] = Counter()
        self.findings: Counter[Status] = Counter()
        self.bytes = 0
        self.clean_bytes = 0
        self.kept = 0  # items in quarantine
        self.domains = domains
        self._users: set[int] = set()

    @property
    def users(self) -> int:
        """Senders and recipients in protected domains of messages that were not infected, in this run."""
        return len(self._users)

    def write(self, case: Case) -> None:
        """One case."""
        action = "block" if case.blocked else "clean" if case.status is Status.CLEAN else case.action.value
        self.messages[action, case.group.name] += 1
        self.statuses[case.status] += 1
        for one in case.findings:
            self.findings[one.status] += 1
        self.bytes += case.spool.size
        self.kept += len(case.items)
        if case.status is Status.CLEAN and case.message is not None:
            self.clean_bytes += case.spool.size
        if case.status not in _INFECTED:
            for address in (case.envelope.sender, *case.addresses()):
                self._use(address.lower())

    def _use(self, address: bytes) -> None:
        domain = address.rpartition(b"@")[2]
        ours = not self.domains or any(m(domain) or m(b"@" + domain) for m in self.domains)
        if address and len(self._users) < USERS_MAX and ours:
            self._users.add(hash(address))
