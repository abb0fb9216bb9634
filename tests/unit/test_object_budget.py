"""The soft time budget counts work, not the time for which the process was stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("budget") / "clock"
    ext = CHECKOUT / "ext"
    sources = [str(CHECKOUT / "tests/native/budget_clock.c"), str(ext / "object/budget.c")]
    includes = [f"-I{ext / 'common'}", f"-I{ext / 'object'}"]
    flags = ["-std=gnu11", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *flags, *includes, "-o", str(out), *sources], check=True)
    return out


def ask(program: Path, *milliseconds: int) -> list[str]:
    text = "".join(f"{time}\n" for time in milliseconds)
    return subprocess.run([str(program)], input=text, check=True, capture_output=True, text=True).stdout.splitlines()


def test_work_uses_it_up(program: Path) -> None:
    answers = ask(program, *range(1000, 12000, 500))
    assert answers == ["on time"] * 20 + ["late"] * 2


def test_an_hour_in_which_the_process_was_stopped_is_not_work(program: Path) -> None:
    hour = 3_600_000
    answers = ask(program, 1000, 2000, hour, *range(hour, hour + 6500, 500))
    assert set(answers) == {"on time"}


def test_what_was_used_before_the_stop_still_counts(program: Path) -> None:
    hour = 3_600_000
    answers = ask(program, *range(1000, 9000, 1000), hour, hour + 1000)
    assert answers[-2:] == ["on time", "late"]


def test_a_clock_that_steps_back_gives_nothing_away(program: Path) -> None:
    assert ask(program, 5000, 4000, 4500, 3000)[-1] == "on time"
    assert ask(program, 5000, *[t for pair in zip([1000] * 12, [2500] * 12, strict=True) for t in pair])[-1] == "late"
