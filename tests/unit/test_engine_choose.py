"""Which engines take part: what was named and is not there is an error, `auto` says what it runs without."""

from __future__ import annotations

import pytest

from kavfs.engine import choose as module
from kavfs.engine.choose import choose, module_of
from kavfs.engine.contract import EngineMissing, Offer
from kavfs.options import NATIVE, EnginePlaces, When, engine_names

PLACES = EnginePlaces()


class Installed:
    """Engines that are there, with what they know."""

    def __init__(self, **knowledge: str) -> None:
        self.knowledge = knowledge

    def __call__(self, name: str) -> Installed:
        self.name = name
        return self

    def offer(self, places: EnginePlaces) -> Offer:
        if self.name not in self.knowledge:
            raise EngineMissing("not installed")
        return Offer(self.knowledge[self.name])


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    installed = Installed(clamav="libclamav 1, main 5", yara="yara 3, rules 7")
    monkeypatch.setattr(module, "module_of", installed)
    return installed.knowledge


def test_native_alone_needs_nothing_and_has_no_other_knowledge() -> None:
    chosen = choose(("native",), PLACES)
    assert (chosen.uses, chosen.notes, chosen.knowledge) == ((NATIVE,), (), 0)


def test_a_missing_engine_that_was_named_is_an_error(there: dict[str, str]) -> None:
    with pytest.raises(EngineMissing, match="engine clamd: not installed") as caught:
        choose(("native", "clamd"), PLACES)
    assert caught.value.exit_code == 66


def test_an_engine_that_does_not_say_what_it_knows_takes_no_part(there: dict[str, str]) -> None:
    there["yara"] = ""
    with pytest.raises(EngineMissing, match="which version and databases"):
        choose(("yara",), PLACES)


def test_auto_says_once_what_it_runs_without(there: dict[str, str]) -> None:
    chosen = choose(("auto",), PLACES)
    assert [(use.name, use.when) for use in chosen.uses] == [
        ("native", When.EVERY),
        ("clamav", When.ELSEWHERE),
        ("yara", When.EVERY),
    ]
    assert chosen.notes == ()
    there.clear()
    chosen = choose(("auto",), PLACES)
    assert chosen.uses == (NATIVE,)
    assert chosen.notes == ("engine auto runs without clamav (not installed), yara (not installed)",)
    assert chosen.knowledge == 0


def test_knowledge_changes_with_engines_versions_databases_and_what_they_are_shown(there: dict[str, str]) -> None:
    seen = {choose(names, PLACES).knowledge for names in (("native",), ("native", "clamav"), ("clamav",), ("auto",))}
    there["yara"] = "yara 3, rules 8"
    seen.add(choose(("auto",), PLACES).knowledge)
    there.pop("yara")
    seen.add(choose(("auto",), PLACES).knowledge)
    assert len(seen) == 6
    assert all(0 <= number < 1 << 63 for number in seen)


def test_an_engine_that_this_build_does_not_have() -> None:
    with pytest.raises(EngineMissing, match="not part of this build"):
        module_of("nothing")


@pytest.mark.parametrize("text", ["", ",", "Native", "native;clamd", "auto,native", "all"])
def test_names_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="engine"):
        engine_names(text)
