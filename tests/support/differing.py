"""Differing: where two scanners' answers differ on samples, by cause, and which causes are known and explained.

known = read_known(path)
found = compare(cases, theirs, ours, known)
found.missing_files, found.extra_files, found.unexplained, str(found)
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Names = frozenset[str]
SIDES = ("missing", "extra")
SHOWN = 12  # examples of a cause in the report


@dataclass(frozen=True)
class Case:
    """A file that both scanned, and where it comes from."""

    path: Path
    how: str  # what made it: siggen, a kind of subsignature, a dress, "near ...", "ordinary"
    signature: str  # that it was made for; "" for ordinary files


@dataclass(frozen=True)
class Known:
    """One entry of the list of differences."""

    cause: str
    side: str  # missing: ClamAV has the name and kavfs has not; extra: the other way round
    why: str
    names: re.Pattern[str]
    samples: re.Pattern[str]

    def explains(self, side: str, name: str, case: Case) -> bool:
        return side == self.side and bool(self.names.fullmatch(name)) and bool(self.samples.fullmatch(case.how))


def read_known(path: Path) -> list[Known]:
    """The entries that name signatures; those without describe what other tests show."""
    known = []
    for row in tomllib.loads(path.read_text())["difference"]:
        assert row.keys() >= {"cause", "side", "why"}, row
        assert row["side"] in SIDES, row
        assert len(row["why"].split()) >= 5, f"{row['cause']}: why?"
        if "names" in row:
            patterns = re.compile(row["names"]), re.compile(row.get("samples", ".*"))
            known.append(Known(row["cause"], row["side"], row["why"], *patterns))
    return known


@dataclass
class Found:
    """How two answers on the same files compare."""

    files: Counter[str] = field(default_factory=Counter)  # how -> files
    flagged: Counter[str] = field(default_factory=Counter)  # how -> flagged by ClamAV
    aimed: int = 0  # flagged by ClamAV with the name that the file was made for
    missing_files: Counter[str] = field(default_factory=Counter)  # how -> ClamAV has a name that kavfs has not
    extra_files: Counter[str] = field(default_factory=Counter)  # how -> flagged by kavfs alone
    causes: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def agreement(self) -> float:
        """Of the files that ClamAV flags, those on which kavfs has every name of ClamAV's."""
        return 1 - self.missing_files.total() / max(1, self.flagged.total())

    @property
    def unexplained(self) -> list[str]:
        return [example for (_, cause), examples in self.causes.items() if not cause for example in examples]

    def __str__(self) -> str:
        rows = [
            f"{self.files.total()} files; ClamAV flags {self.flagged.total()}, {self.aimed} with the name meant; "
            f"all its names from kavfs: {self.agreement:.3%}; "
            f"flagged by kavfs alone: {self.extra_files.total()}"
        ]
        for how, count in self.files.most_common():
            wrong = f", {self.missing_files[how]} differ, {self.extra_files[how]} extra"
            rows.append(f"  {how}: {count} files, ClamAV flags {self.flagged[how]}{wrong}")
        for (side, cause), examples in sorted(self.causes.items(), key=lambda item: -len(item[1])):
            rows.append(f"{side}, {cause or 'NOT EXPLAINED'}: {len(examples)}")
            rows += [f"    {example}" for example in examples[:SHOWN]]
        return "\n".join(rows)


def compare(
    cases: Iterable[Case], theirs: Mapping[Path, Names], ours: Mapping[Path, Names], known: list[Known]
) -> Found:
    found = Found()
    for case in cases:
        clam, kav = theirs[case.path], ours.get(case.path, frozenset())
        found.files[case.how] += 1
        found.flagged[case.how] += bool(clam)
        found.aimed += case.signature in clam and not case.how.startswith("near ")
        found.missing_files[case.how] += bool(clam - kav)
        found.extra_files[case.how] += bool(kav and not clam)
        for side, names in (("missing", clam - kav), ("extra", kav - clam)):
            for name in sorted(names):
                cause = next((k.cause for k in known if k.explains(side, name, case)), "")
                found.causes[side, cause].append(f"{case.path.name} ({case.how}, for {case.signature}): {name}")
    return found
