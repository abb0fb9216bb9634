"""The table of outcomes: README shows what the code does, row by row."""

from __future__ import annotations

import re
from pathlib import Path

from kavfs.model import OUTCOMES

README = Path(__file__).resolve().parents[2] / "README.md"
ROW = re.compile(r"^\| (\w+) \| `(?:\(\w+\) )?(\w+)(?: name)?` \| `(\w+)` \| (\d+) \|", re.MULTILINE)


def test_readme_has_every_outcome_in_the_order_of_gravity() -> None:
    rows = [(name.upper(), word, json, int(code)) for name, word, json, code in ROW.findall(README.read_text("utf-8"))]
    assert rows == [
        (status.name, outcome.word, status.name.lower(), outcome.exit_code) for status, outcome in OUTCOMES.items()
    ]
