"""Masks: what is left out by a mask is what ClamAV's regular expression leaves out, or the expression is refused."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.config.masks import folder_of, masks_of


def left_out(masks: list[bytes], path: bytes) -> bool:
    """As a walker does it, directory by directory from the root."""
    parts = path.split(b"/")
    for end in range(2, len(parts) + 1):
        shown = b"/".join(parts[:end])
        for mask in masks:
            if fnmatch.fnmatchcase(*(x.decode("latin-1") for x in (shown if b"/" in mask else parts[end - 1], mask))):
                return True
    return False


def left_out_by_clamav(expression: bytes, path: bytes) -> bool:
    parts = path.split(b"/")
    return any(re.search(expression, b"/".join(parts[:end]), re.DOTALL) for end in range(2, len(parts) + 1))


@pytest.mark.parametrize(
    ("expression", "masks"),
    [
        (b"^/proc/", [b"/proc/*"]),
        (b"^/proc/|^/sys/", [b"/proc/*", b"/sys/*"]),
        (b"^/home/x", [b"/home/x*"]),
        (rb"\.iso$", [b"*.iso"]),
        (rb"^/srv/.*\.tmp$", [b"/srv/*.tmp"]),
        (b"/cache/", [b"*/cache/*"]),
        (b"secret", [b"*secret*"]),
        (rb"/a\[1\]$", [b"*/a[[]1]"]),
        (b"^/v[0-9]/", [b"/v[0-9]/*"]),
    ],
)
def test_what_a_mask_can_say(expression: bytes, masks: list[bytes]) -> None:
    assert masks_of(expression) == masks


@pytest.mark.parametrize(
    "expression",
    [
        b"(a|b)",
        b"a+",
        b"a{2}",
        b"a*",
        b"",
        b".*",
        b"^",
        b"a:b",
        b"a.c",
        b"[",
        rb"\d",
        b"^proc",
        b"a.*b",
        b"x||y",
        b"a^b",
    ],
)
def test_what_a_mask_cannot_say_is_refused(expression: bytes) -> None:
    assert masks_of(expression) is None


@given(
    st.text("ab/.*^$[]|?\\-", min_size=1, max_size=8).map(str.encode),
    st.lists(st.text("ab.*?[]-", min_size=1, max_size=4), min_size=1, max_size=3).map(
        lambda p: ("/" + "/".join(p)).encode()
    ),
)
def test_masks_and_expression_leave_out_the_same(expression: bytes, path: bytes) -> None:
    masks = masks_of(expression)
    if masks is not None:
        assert left_out(masks, path) == left_out_by_clamav(expression, path)


def test_a_folder_is_told_from_other_masks() -> None:
    assert folder_of(b"/proc/*") == b"/proc"
    assert [folder_of(mask) for mask in (b"/a*", b"*/a/*", b"/a/*/*", b"/a[0]/*", b"/*", b"*.iso")] == [b""] * 6
