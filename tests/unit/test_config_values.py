"""Values: what administrators write is read as they mean it, or refused in words."""

from __future__ import annotations

import pytest

from kavfs.config import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [("yes", True), ("Yes", True), ("TRUE", True), ("true", True), ("no", False), ("False", False), ("", False)],
)
def test_boolean_understands_both_spellings_of_the_product(text: str, expected: bool) -> None:
    assert values.boolean(text) is expected


@pytest.mark.parametrize("text", ["2", "ein", "ja", "yes no", "y"])
def test_boolean_refuses_everything_else(text: str) -> None:
    with pytest.raises(ValueError, match="neither yes nor no"):
        values.boolean(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10k", 10 * 1024),
        ("10K", 10 * 1024),
        ("10KiB", 10 * 1024),
        ("10MiB", 10 << 20),
        ("10 MB", 10 << 20),
        ("1.5G", 3 << 29),
        ("2T", 2 << 40),
        ("7b", 7),
    ],
)
def test_size_reads_binary_units(text: str, expected: int) -> None:
    assert values.size(text) == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1,5M", "10X", "1e9", "٣", "9" * 30, "9999999T", "1.2.3k", "."])
def test_size_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        values.size(text)


def test_a_size_may_have_a_least_value_and_none_at_all() -> None:
    assert values.size_from("1MiB", 1 << 20) == values.size_or_none("1MiB", 1 << 20) == 1 << 20
    assert values.size_or_none("0", 1 << 20) == 0
    for read, wrong in ((values.size_from, "0"), (values.size_from, "1023k"), (values.size_or_none, "1")):
        with pytest.raises(ValueError, match="too small; 1MiB is the least"):
            read(wrong, 1 << 20)


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("250ms", 0.25), ("5m", 300), ("5min", 300), ("2h", 7200)]
)
def test_duration_reads_units_of_time(text: str, expected: float) -> None:
    assert values.duration(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 weeks", "9999999d", "1h30m"])
def test_duration_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        values.duration(text)


def test_whole_names_its_bounds() -> None:
    assert values.whole("9", 0, 9) == 9
    for wrong in ("10", "-1", "3x", "", "٣"):
        with pytest.raises(ValueError, match="whole number from 0 to 9"):
            values.whole(wrong, 0, 9)


def test_octal_mode_reads_what_chmod_takes() -> None:
    assert values.octal_mode("0640") == 0o640
    assert values.octal_mode("600") == 0o600
    for wrong in ("640x", "9", "4755", "0x1f", ""):
        with pytest.raises(ValueError, match="file mode"):
            values.octal_mode(wrong)


@pytest.mark.parametrize("text", ["%d]", "%n", "\n", ""])
def test_time_format_keeps_the_head_of_a_report_line_in_one_piece(text: str) -> None:
    with pytest.raises(ValueError, match="cannot stand at the head"):
        values.time_format(text)


def test_colon_list_drops_blanks_and_empty_parts() -> None:
    assert values.colon_list(b"/a: /b ::/c d") == (b"/a", b"/b", b"/c d")
    assert values.colon_list(b"") == ()
