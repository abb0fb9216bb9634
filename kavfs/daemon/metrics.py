"""Metrics: what Prometheus collects: made of the status when somebody asks, so that requests pay nothing for it.

Names begin with kavfs_; seconds and bytes are base units, moments are seconds since 1970. Labels hold no path and
nothing that a client chose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from kavfs.daemon.listening import listen
from kavfs.daemon.settings import Listener
from kavfs.daemon.status import Status
from kavfs.daemon.tally import BOUNDS, Tally
from kavfs.model import OUTCOMES
from kavfs.version import VERSION

TYPE = b"text/plain; version=0.0.4; charset=utf-8"
HEAD_MAX = 8192
PATIENCE = 5.0  # seconds that somebody who collects may take
AT_ONCE = 8  # of them
LOSSES = ("limit", "killed", "crash", "exit", "unborn")  # crew.loss_of


class Metrics(Collector):
    """Promises prometheus_client's Collector. *tallies*: of aveserver, by protocol."""

    def __init__(self, status: Status, tallies: Mapping[str, Tally]) -> None:
        self._status = status
        self._tallies = tallies

    def collect(self) -> Iterable[Metric]:
        tree = self._status.tree()
        yield InfoMetricFamily("kavfs_build", "The program.", {"version": VERSION})
        yield InfoMetricFamily("kavfs_generation", "The signatures in use.", {"generation": tree["generation"]})
        yield from _gauges(tree)
        yield from _signatures(tree)
        yield from _counters(tree)
        if "protocols" in tree:
            yield from _protocols(tree)
            yield from _objects(self._tallies)
            yield _durations(self._tallies)


def _gauges(tree: dict[str, object]) -> Iterable[Metric]:
    for name, text, key in (
        ("kavfs_start_time_seconds", "When this run began.", "begun"),
        ("kavfs_signature_timestamp_seconds", "When the newest database was changed.", "newest"),
        ("kavfs_signature_epoch", "Generations of signatures that have taken over in this run.", "switches"),
        ("kavfs_queue_length", "Requests that wait.", "waiting"),
        ("kavfs_inflight", "Objects in scan.", "in_scan"),
        ("kavfs_workers", "Scanning processes that can be given work.", "workers"),
    ):
        yield GaugeMetricFamily(name, text, value=_number(tree[key]))


def _signatures(tree: dict[str, object]) -> Iterable[Metric]:
    kinds = tree["kinds"]
    assert isinstance(kinds, dict)
    family = GaugeMetricFamily("kavfs_signatures", "Signatures in use, by kind of database.", labels=["kind"])
    for kind, number in sorted(kinds.items()):
        family.add_metric([kind], number)
    yield family


def _counters(tree: dict[str, object]) -> Iterable[Metric]:
    answered, cached = _number(tree["answered"]), _number(tree["cached"])
    yield CounterMetricFamily("kavfs_cache_hits", "Verdicts that were known.", value=cached)
    yield CounterMetricFamily("kavfs_cache_misses", "Verdicts that were not.", value=answered - cached)
    caches = tree["caches"]
    assert isinstance(caches, list)
    taken = GaugeMetricFamily(
        "kavfs_cache_bytes", "What caches take, in memory and on disk.", labels=["cache", "place"]
    )
    for one in caches:
        taken.add_metric([one["cache"], one["place"]], one["bytes"])
    yield taken
    yield CounterMetricFamily("kavfs_joined_requests", "Verdicts shared by requests.", value=_number(tree["joined"]))
    losses = tree["losses"]
    assert isinstance(losses, dict)
    numbers = dict.fromkeys(LOSSES, 0) | losses
    yield _labelled(CounterMetricFamily("kavfs_worker_kills", "Scanning processes lost.", labels=["reason"]), numbers)
    reloads = tree["reloads"]
    assert isinstance(reloads, dict)
    yield _labelled(CounterMetricFamily("kavfs_reloads", "Looks at what changed.", labels=["result"]), reloads)
    last = tree["reload"]
    assert isinstance(last, dict)
    yield GaugeMetricFamily("kavfs_reload_timestamp_seconds", "When the last of them ended.", value=last["at"])
    failed = float(last["result"] == "failed")
    yield GaugeMetricFamily("kavfs_reload_failed", "1: the last change is not in use.", value=failed)
    events = tree["events"]
    if isinstance(events, dict):
        lost = float(events["lost"])
        yield CounterMetricFamily("kavfs_events_lost", "Findings that the event store did not take.", value=lost)


def _protocols(tree: dict[str, object]) -> Iterable[Metric]:
    protocols = tree["protocols"]
    assert isinstance(protocols, dict)
    asked = CounterMetricFamily("kavfs_requests", "Commands of clients.", labels=["protocol"])
    busy = CounterMetricFamily("kavfs_connections_refused", "Beyond a limit.", labels=["protocol"])
    there = GaugeMetricFamily("kavfs_connections", "Clients that are connected.", labels=["protocol"])
    refused = CounterMetricFamily("kavfs_refused_requests", "Objects without a scan.", labels=["protocol", "reason"])
    for name, one in protocols.items():
        asked.add_metric([name], one["requests"])
        busy.add_metric([name], one["turned_away"])
        there.add_metric([name], one["connections"])
        for reason, number in one["refusals"].items():
            refused.add_metric([name, reason.replace(" ", "_")], number)
    yield from (asked, busy, there, refused)


def _objects(tallies: Mapping[str, Tally]) -> Iterable[Metric]:
    scanned = CounterMetricFamily("kavfs_scanned_objects", "Objects with a verdict.", labels=["layer", "result"])
    for status in OUTCOMES:
        number = sum(tally.statuses[status] for tally in tallies.values())
        scanned.add_metric(["top", status.name.lower()], number)
    scanned.add_metric(["inner", "any"], sum(tally.members for tally in tallies.values()))
    yield scanned
    size = sum(tally.bytes for tally in tallies.values())
    yield CounterMetricFamily("kavfs_scanned_bytes", "Bytes of these objects.", value=size)
    found = CounterMetricFamily("kavfs_detections", "Objects with a find.", labels=["class", "source"])
    sums: dict[tuple[str, str], int] = {}
    for tally in tallies.values():
        for (status, engine), number in tally.detections.items():
            key = status.name.lower(), engine
            sums[key] = sums.get(key, 0) + number
    for labels, number in sorted(sums.items()):
        found.add_metric(labels, number)
    yield found


def _durations(tallies: Mapping[str, Tally]) -> Metric:
    family = HistogramMetricFamily(
        "kavfs_scan_duration_seconds", "From an object at hand to its verdict.", labels=["protocol"]
    )
    ends = [*(str(bound) for bound in BOUNDS), "+Inf"]
    for name, tally in tallies.items():
        buckets = list(zip(ends, map(float, accumulate(tally.classes)), strict=True))
        family.add_metric([name], buckets, tally.seconds)
    return family


def _labelled(family: CounterMetricFamily, numbers: dict[str, int]) -> CounterMetricFamily:
    for label, number in numbers.items():
        family.add_metric([label], number)
    return family


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return float(value)


class MetricsServer:
    """GET /metrics and nothing else, by HTTP/1.0. *others*: what this program counts besides. SystemFailure: it cannot
    be listened there."""

    def __init__(
        self,
        listeners: Iterable[Listener],
        status: Status,
        tallies: Mapping[str, Tally] | None = None,
        others: Iterable[Collector] = (),
    ) -> None:
        self._sockets = [listen(listener) for listener in listeners]
        self._registry = CollectorRegistry()
        self._registry.register(Metrics(status, tallies or {}))
        for other in others:
            self._registry.register(other)
        ProcessCollector(registry=self._registry)
        self._servers: list[asyncio.Server] = []
        self._readers = 0

    async def begin(self) -> None:
        for sock in self._sockets:
            self._servers.append(await asyncio.start_server(self._talk, sock=sock, limit=HEAD_MAX))

    async def close(self) -> None:
        for server in self._servers:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._readers >= AT_ONCE:
            writer.close()
            return
        self._readers += 1
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                writer.write(self._answer(head))
                await asyncio.wait_for(writer.drain(), PATIENCE)
        finally:
            self._readers -= 1
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        place = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response(b"405 Method Not Allowed", b"only GET\n")
        if place != b"/metrics":
            return _response(b"404 Not Found", b"metrics are at /metrics\n")
        answer = _response(b"200 OK", generate_latest(self._registry))
        return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _response(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, TYPE, len(body)) + body
