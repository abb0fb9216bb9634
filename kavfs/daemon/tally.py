"""Tally: what became of the objects of one protocol, counted while it happens: a few additions for each."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from kavfs.daemon.task import Task
from kavfs.model import Result, Status
from kavfs.scan.service import Refusal

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds: where the classes of the histogram end; beyond the last there is one more."""

NOT_OPENED = "not opened"


class Tally:
    """told() is a desk.Watcher."""

    def __init__(self) -> None:
        self.statuses: Counter[Status] = Counter()
        self.refusals: Counter[str] = Counter()
        self.detections: Counter[tuple[Status, str]] = Counter()  # by status and engine
        self.bytes = 0
        self.cached = 0  # verdicts that came out of a store
        self.members = 0
        self.seconds = 0.0
        self.classes = [0] * (len(BOUNDS) + 1)

    def told(self, task: Task, path: bytes, answer: Result | Refusal | str, seconds: float) -> None:
        if not isinstance(answer, Result):
            self.refusals[answer.value if isinstance(answer, Refusal) else NOT_OPENED] += 1
            return
        self.statuses[answer.status] += 1
        self.bytes += answer.size
        self.cached += answer.cached
        self.members += answer.member_count
        self.seconds += seconds
        self.classes[bisect_left(BOUNDS, seconds)] += 1
        if answer.threats:
            for engine in {threat.engine for threat in answer.threats}:
                self.detections[answer.status, engine] += 1

    @property
    def answered(self) -> int:
        return sum(self.classes)
