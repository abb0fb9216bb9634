"""Places: SipHash as published, and a name that everything it is made of changes."""

from __future__ import annotations

import pytest

from kavfs._native import cache

KEY = bytes(range(16))
# From the authors' reference: output for the message 00 01 02 ... of that length, bytes in order.
SHORT = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    2: "5a4fa9d909806c0d",
    3: "2d7efbd796666785",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    15: "e545be4961ca29a1",
    63: "724506eb4c328a95",
}
WIDE = {0: "a3817f04ba25a8e66df67214c7550293", 1: "da87c1d86b99af44347659119b22fc45"}


@pytest.mark.parametrize("length", SHORT)
def test_siphash_gives_the_published_output(length: int) -> None:
    assert cache.siphash(KEY, bytes(range(length))).to_bytes(8, "little").hex() == SHORT[length]


@pytest.mark.parametrize("length", WIDE)
def test_siphash_with_128_bits_gives_the_published_output(length: int) -> None:
    assert cache.siphash_wide(KEY, bytes(range(length))).hex() == WIDE[length]


def test_a_place_depends_on_all_that_it_is_made_of() -> None:
    secret, fs, settings = bytes(32), bytes(16), bytes(16)
    other = b"\1"
    places = [
        cache.place(secret, fs, 1, 2, settings),
        cache.place(secret[:31] + other, fs, 1, 2, settings),
        cache.place(secret, fs[:15] + other, 1, 2, settings),
        cache.place(secret, fs, 2, 2, settings),
        cache.place(secret, fs, 1, -2, settings),
        cache.place(secret, fs, 1, 2, settings[:15] + other),
    ]
    assert len(set(places)) == len(places)
    assert places[0] == cache.place(secret, fs, 1, 2, settings)


def test_a_split_place_has_sixteen_parts_on_each_level() -> None:
    above = bytes(range(16))
    assert len({cache.part_place(above, ino, 0) for ino in range(1000)}) == 16
    assert not {cache.part_place(above, ino, 0) for ino in range(99)} & {
        cache.part_place(above, ino, 1) for ino in range(99)
    }


def test_what_is_not_of_the_right_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        cache.place(bytes(31), bytes(16), 1, 2, bytes(16))
