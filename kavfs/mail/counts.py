"""Counts: messages by what became of them, for Prometheus and for the licence's own figures: traffic, and users of the
protected domains.

Names begin with kavfs_mail_. Labels hold what the administrator has named (groups), never anything of a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kavfs.mail.case import Case
from kavfs.mail.relay import Counts as Relayed
from kavfs.mail.rules import Matcher
from kavfs.model import Status

USERS_MAX = 1 << 18  # addresses that are told apart

_INFECTED = (Status.INFECTED, Status.CUREFAILED, Status.CURED)
_OUTCOMES = ("delivered", "settled", "refused", "deferred", "uncertain", "unheard", "repeated")


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


class MailMetrics(Collector):
    """Promises prometheus_client's Collector. *notices*: notices.Notices.counts; *lost*: lines of statistics."""

    def __init__(
        self,
        counts: Counts,
        relayed: Relayed,
        notices: Mapping[tuple[str, str], int],
        lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self._counts = counts
        self._relayed = relayed
        self._notices = notices
        self._lost = lost

    def collect(self) -> Iterable[Metric]:
        counts, relayed = self._counts, self._relayed
        yield _labelled("kavfs_mail_messages", "Messages, by group.", ("action", "policy"), counts.messages)
        by_status = {(status.name.lower(),): number for status, number in counts.statuses.items()}
        yield _labelled("kavfs_mail_verdicts", "The same by the gravest status.", ("status",), by_status)
        found = {(status.name.lower(),): number for status, number in counts.findings.items()}
        yield _labelled("kavfs_mail_findings", "Objects that were not clean.", ("status",), found)
        outcomes = {(name,): getattr(relayed, name) for name in _OUTCOMES}
        yield _labelled("kavfs_mail_recipients", "What they were answered.", ("outcome",), outcomes)
        yield CounterMetricFamily("kavfs_mail_tempfails", "Recipients who come again.", value=relayed.deferred)
        yield _labelled("kavfs_mail_notices", "Notices.", ("role", "outcome"), self._notices)
        for name, text, number in (
            ("kavfs_mail_bytes", "Bytes of messages.", counts.bytes),
            ("kavfs_mail_clean_bytes", "Bytes of messages that were scanned and clean.", counts.clean_bytes),
            ("kavfs_mail_quarantined", "Items that were put into quarantine.", counts.kept),
            ("kavfs_mail_statistics_lost", "Lines of AVStatistics that were not written.", self._lost()),
        ):
            yield CounterMetricFamily(name, text, value=number)
        yield GaugeMetricFamily("kavfs_mail_users", "Users of protected domains in this run.", value=counts.users)


def _labelled(name: str, text: str, labels: tuple[str, ...], numbers: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in sorted(numbers.items()):
        family.add_metric(values, number)
    return family
