"""Metrics: the counters of mail for Prometheus; loaded where somebody asks for them.

Names begin with kavfs_mail_. Labels hold what the administrator has named (groups), never anything of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kavfs.mail.counts import Counts
from kavfs.mail.relay import Counts as Relayed

_OUTCOMES = ("delivered", "settled", "refused", "deferred", "uncertain", "unheard", "repeated")


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
