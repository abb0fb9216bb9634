"""Oracle: what ClamAV says about files, asked once for each content and remembered in a folder.

names = oracle(databases, files, work, memory)          path -> names of all matches, for every path
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.clamd_daemon import CLAMD, Clamd

EACH = 200  # files between two looks at the clock of who waits


def digest(databases: Path) -> str:
    """Names one state of databases, and the version of ClamAV that reads them."""
    version = subprocess.run([CLAMD, "--version"], capture_output=True, check=True).stdout
    whole = hashlib.sha256(version)
    for path in sorted(databases.iterdir()):
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:24]


def content_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _remembered(book: Path) -> dict[str, frozenset[str]]:
    if not book.exists():
        return {}
    rows = (json.loads(line) for line in book.read_text().splitlines())
    return {content: frozenset(names) for content, names in rows}


def oracle(
    databases: Path, files: Sequence[Path], work: Path, memory: Path | None = None, jobs: int = 2
) -> dict[Path, frozenset[str]]:
    """ClamAV's names for each file."""
    book = (memory or work) / f"answers-{digest(databases)}.jsonl"
    book.parent.mkdir(parents=True, exist_ok=True)
    known = _remembered(book)
    contents = {path: content_of(path) for path in files}
    asked = {content: path for path, content in contents.items() if content not in known}
    if asked:
        paths = list(asked.values())
        with Clamd(databases, work) as clamd, ThreadPoolExecutor(jobs) as pool, book.open("a") as out:
            for part in pool.map(clamd.scan, [paths[i : i + EACH] for i in range(0, len(paths), EACH)]):
                for path, names in part.items():
                    known[contents[path]] = names
                    out.write(json.dumps([contents[path], sorted(names)]) + "\n")
                out.flush()
    return {path: known[content] for path, content in contents.items()}
