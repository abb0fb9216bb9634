"""A short soak: no wrong verdict, nothing that stays behind."""

from __future__ import annotations

from tests.soak.running import report, soak

REQUESTS = 20_000
GROWTH = 0.05  # of memory, in so short a time; `make soak` allows 1 %


def test_twenty_thousand_requests_among_others(tmp_path):
    outcome = soak(tmp_path, REQUESTS, 1)
    report(outcome)
    assert outcome.complaints(GROWTH) == []
    assert outcome.kills > 0
    assert len(outcome.tally.kinds) == 8
