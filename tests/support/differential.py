"""Differential: the same files before clamscan and before kavscanner, and where their answers differ.

databases = prepare(SIGNATURES, work, every=4)      only lines that kavfs reads, the same for both
files = generate(SIGGEN, databases, work, limit=2000)
theirs, ours = clamscan(databases, files), ours_on(databases, files, work)
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.programs import CHECKOUT, kavfs, kavscanner

SIGNATURES = Path(os.environ.get("KAVFS_SIGNATURES") or CHECKOUT.parent / "shared" / "signatures")
SIGGEN = Path(os.environ.get("KAVFS_SIGGEN") or CHECKOUT.parent / "shared" / "tools" / "siggen.py")
READ = (".hdb", ".hsb", ".ndb", ".ldb")
GENERATE = (".ndb", ".ldb")

Names = dict[str, frozenset[str]]  # file name -> names of threats; files without one are missing


@dataclass
class Difference:
    """One file on which the two do not agree, and why as far as is known."""

    file: str
    only_clamscan: frozenset[str]
    only_kavscanner: frozenset[str]
    why: str

    def __str__(self) -> str:
        names = [f"only {who}: {', '.join(sorted(n))}" for who, n in self._sides() if n]
        return f"{self.file}: {'; '.join(names)} ({self.why})"

    def _sides(self) -> list[tuple[str, frozenset[str]]]:
        return [("clamscan", self.only_clamscan), ("kavscanner", self.only_kavscanner)]


@dataclass
class Comparison:
    """How two answers on the same files compare."""

    files: int
    flagged: int  # by clamscan
    differences: list[Difference] = field(default_factory=list)

    @property
    def agreement(self) -> float:
        return 1 - len(self.differences) / self.files

    def __str__(self) -> str:
        head = f"{self.files} files, {self.flagged} flagged by clamscan, agreement {self.agreement:.2%}"
        return "\n".join([head, *map(str, self.differences)])


def missing() -> str | None:
    """Why this comparison cannot be made here, or None."""
    if not SIGNATURES.is_dir():
        return f"no signatures at {SIGNATURES} (KAVFS_SIGNATURES names another folder)"
    if not SIGGEN.is_file():
        return f"no generator at {SIGGEN} (KAVFS_SIGGEN names another)"
    return None


def unpack(source: Path, target: Path, every: int) -> Path:
    """The databases of *source*, unpacked, of each only every n-th line; line numbers stay as they were."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        name = path.name.removesuffix(".gz")
        if Path(name).suffix not in READ:
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = data.splitlines(keepends=True)
        kept = [line if i % every == 0 else b"#\n" for i, line in enumerate(lines)]
        (target / name).write_bytes(b"".join(kept) if len(lines) > 1 else data)
    return target


def rejected(databases: Path, state: Path) -> dict[str, list[int]]:
    """Lines that kavfs does not take, by database: what ``kavfs db info --rejected`` lists as file:line: reason."""
    lines: dict[str, list[int]] = {}
    for line in kavfs("db", "info", "--rejected", "--db", databases, "--state", state).splitlines():
        if match := re.fullmatch(rf"{re.escape(str(databases))}/([^/:]+):(\d+): .*", line):
            lines.setdefault(match[1], []).append(int(match[2]))
    return lines


def prepare(source: Path, work: Path, every: int) -> tuple[Path, int]:
    """A folder with the lines that kavfs takes, and how many it does not take."""
    databases = unpack(source, work / "databases", every)
    left_out = rejected(databases, work / "first-state")
    for name, numbers in left_out.items():
        lines = (databases / name).read_bytes().splitlines(keepends=True)
        for number in numbers:
            lines[number - 1] = b"#\n"
        (databases / name).write_bytes(b"".join(lines))
    return databases, sum(map(len, left_out.values()))


def generate(databases: Path, work: Path, limit: int) -> Path:
    """Files that the signatures describe, each with a near miss beside it."""
    files = work / "files"
    inputs = [str(path) for path in sorted(databases.iterdir()) if path.suffix in GENERATE]
    command = [sys.executable, str(SIGGEN), str(files), *inputs, "--limit", str(limit), "--near"]
    subprocess.run(command, check=True, capture_output=True)
    (files / "INDEX").unlink()
    return files


def clamscan(databases: Path, files: Path, work: Path) -> Names:
    """What clamscan --allmatch finds. One process for each CPU, because it has one thread and takes 20 ms a file."""
    parts = os.cpu_count() or 1
    paths = sorted(str(path) for path in files.iterdir())
    running = []
    for i in range(parts):
        part = work / f"list{i}"
        part.write_text("".join(path + "\n" for path in paths[i::parts]))
        command = ["clamscan", "--allmatch", "--detect-pua=yes", "--infected", "--no-summary", "-d", str(databases)]
        running.append(subprocess.Popen([*command, "-f", str(part)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    names: dict[str, set[str]] = {}
    for process in running:
        out, _ = process.communicate()
        assert process.returncode in (0, 1), process.returncode
        for line in out.decode(errors="replace").splitlines():
            path, _, found = line.removesuffix(" FOUND").partition(": ")
            names.setdefault(os.path.basename(path), set()).add(found)
    return {file: frozenset(found) for file, found in names.items()}


def ours(databases: Path, files: Path, work: Path) -> Names:
    """What kavscanner --all-match finds; every file must have been scanned wholly."""
    run = kavscanner("--all-match", "--db", databases, "--state", work / "state", files)
    assert run.exit_code == 25, run.errors
    assert len(run.results) == len(list(files.iterdir()))
    found = {}
    for path, record in run.results.items():
        if record["threats"]:
            found[os.path.basename(path).decode()] = frozenset(threat["name"] for threat in record["threats"])
    return found


def why(data: bytes, only_clamscan: frozenset[str]) -> str:
    """What is known about a difference on a file with this content."""
    texts = data.startswith(b"plain text line") or re.search(rb"<(?:html|script|head|body|iframe)", data, re.IGNORECASE)
    if texts and not only_clamscan:
        # Measured with signatures made for it: capitals and doubled blanks of a text or HTML never match in clamscan.
        return "clamscan compares texts and HTML in lower case and with blanks joined, kavscanner the bytes as they are"
    return "not known"


def compare(files: Path, theirs: Names, mine: Names) -> Comparison:
    result = Comparison(len(list(files.iterdir())), len(theirs))
    nothing: frozenset[str] = frozenset()
    for file in sorted(theirs.keys() | mine.keys()):
        clam, kav = theirs.get(file, nothing), mine.get(file, nothing)
        if clam != kav:
            reason = why((files / file).read_bytes(), clam - kav)
            result.differences.append(Difference(file, clam - kav, kav - clam, reason))
    return result
