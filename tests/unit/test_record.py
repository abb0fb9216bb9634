"""Records: as dataclasses, as far as we use them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from kavfs import record as records
from kavfs.record import field, record


@record(frozen=True)
class Inner:
    number: int
    secret: bytes = field(repr=False)
    words: tuple[str, ...] = ("a",)


@record
class Outer:
    inner: Inner
    lists: list[Inner] = field(default_factory=list)
    count: int = 0

    @property
    def double(self) -> int:
        return 2 * self.count


@dataclass(frozen=True)
class Twin:
    number: int
    secret: bytes = dataclasses.field(repr=False)
    words: tuple[str, ...] = ("a",)


ONE = Inner(1, b"x")


def test_fields_are_given_by_place_or_name_and_have_defaults() -> None:
    assert (ONE.number, ONE.secret, ONE.words) == (1, b"x", ("a",))
    assert Inner(words=(), secret=b"", number=2).number == 2
    assert Inner.words == ("a",)
    first, second = Outer(ONE), Outer(ONE)
    first.lists.append(ONE)
    first.count = 4
    assert (second.lists, second.count, first.double) == ([], 0, 8)


@pytest.mark.parametrize("values", [(), (1,), (1, b"", (), 4)])
def test_what_is_missing_or_too_much_is_refused(values: tuple[object, ...]) -> None:
    for made in (Inner, Twin):
        with pytest.raises(TypeError):
            made(*values)  # type: ignore[arg-type]


def test_what_is_unknown_or_given_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="other"):
        Inner(1, b"", other=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="number"):
        Inner(1, b"", number=2)  # type: ignore[misc]


def test_equal_are_those_of_a_class_with_equal_fields() -> None:
    same = Inner(secret=b"x", number=1)
    assert same == ONE
    assert hash(ONE) == hash(same)
    assert Inner(2, b"x") != ONE
    assert Twin(1, b"x") != ONE
    assert Outer(ONE) == Outer(ONE)
    with pytest.raises(TypeError):
        hash(Outer(ONE))


def test_a_frozen_one_stays_as_it_is() -> None:
    with pytest.raises(AttributeError, match="number cannot be changed"):
        ONE.number = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del ONE.number
    assert ONE.number == 1


def test_what_is_shown_has_no_secret() -> None:
    assert repr(ONE) == repr(Twin(1, b"x")).replace("Twin", "Inner") == "Inner(number=1, words=('a',))"


def test_copies_and_dicts() -> None:
    other = records.replace(ONE, number=5)
    assert (other.number, other.secret, ONE.number) == (5, b"x", 1)
    with pytest.raises(TypeError):
        records.replace(ONE, nothing=1)
    assert records.asdict(Outer(ONE, [other])) == {
        "inner": {"number": 1, "secret": b"x", "words": ["a"]},
        "lists": [{"number": 5, "secret": b"x", "words": ["a"]}],
        "count": 0,
    }
