"""The end of a scan, as an administrator writes it."""

from __future__ import annotations

import time

import pytest

from kavfs.cli.window import lasting, until


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch):
    """Local time with a summer; the rules themselves, so that no table of zones is needed."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    """Local time, as a clock on the wall shows it."""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize(
    ("now", "text", "end"),
    [
        ("2026-11-22 01:00:00", "06:00", "2026-11-22 06:00:00"),
        ("2026-11-22 06:00:00", "06:00", "2026-11-23 06:00:00"),
        ("2026-11-22 05:59:59", "06:00", "2026-11-22 06:00:00"),
        ("2026-11-22 22:00:00", "06:00:30", "2026-11-23 06:00:30"),
        ("2026-12-31 22:00:00", "06:00", "2027-01-01 06:00:00"),
        ("2026-11-22 22:00:00", "2027-01-31T06:00", "2027-01-31 06:00:00"),
        ("2026-11-22 22:00:00", "2027-01-31 06:00:05", "2027-01-31 06:00:05"),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_the_next_time_the_clock_shows_it(now: str, text: str, end: str) -> None:
    assert until(text, at(now)) == at(end)


@pytest.mark.usefixtures("berlin")
def test_nights_in_which_the_clock_is_changed_end_by_the_clock() -> None:
    spring = at("2027-03-27 22:00:00")
    assert until("06:00", spring) - spring == 7 * 3600
    autumn = at("2027-10-30 22:00:00")
    assert until("06:00", autumn) - autumn == 9 * 3600


@pytest.mark.usefixtures("berlin")
def test_a_zone_may_be_given_with_a_date() -> None:
    now = at("2026-11-22 22:00:00")
    assert until("2027-01-31T06:00Z", now) == until("2027-01-31T07:00", now)
    assert until("2027-01-31T06:00+03:00", now) == until("2027-01-31T04:00", now)


@pytest.mark.parametrize("text", ["", "6", "6am", "24:00", "06:60", "06:00Z", "2027-01-31", "2027-13-01T06:00", "noon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        until(text, 1_000_000.0)


def test_a_date_that_is_over_is_refused() -> None:
    with pytest.raises(ValueError, match="past"):
        until("2020-01-01T06:00", time.time())


def test_a_span() -> None:
    assert lasting("2h", 1000.0) == 8200.0
    with pytest.raises(ValueError, match="longer than nothing"):
        lasting("0", 1000.0)
