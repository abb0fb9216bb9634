"""Differential: the same files before ClamAV and before kavscanner.

databases = unpack(SIGNATURES, work / "databases", every=4)
theirs, mine = clamscan(databases, files, work), ours(databases, files, work)
"""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Collection
from pathlib import Path

from tests.support.programs import CHECKOUT, kavscanner

SIGNATURES = Path(os.environ.get("KAVFS_SIGNATURES") or CHECKOUT.parent / "shared" / "signatures")
SIGGEN = Path(os.environ.get("KAVFS_SIGGEN") or CHECKOUT.parent / "shared" / "tools" / "siggen.py")
# What both read; YARA rules go to an engine of their own, bytecode to libclamav alone.
READ = {
    *(".hdb", ".hsb", ".hdu", ".hsu", ".mdb", ".msb", ".mdu", ".msu", ".imp", ".ndb", ".ndu", ".ldb", ".ldu"),
    *(".idb", ".cdb", ".crb", ".fp", ".sfp", ".ign", ".ign2", ".ftm", ".pwdb"),
}
SUFFIX = ".UNOFFICIAL"
INCOMPLETE = {"match", "method", "damaged"}  # of samples that are pieces of archives, the last two
LONG = 1800  # seconds for a scan of tens of thousands of files

Names = dict[str, frozenset[str]]  # file name -> names of threats; files without one are missing


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
            names.setdefault(os.path.basename(path), set()).add(found.removesuffix(SUFFIX))
    return {file: frozenset(found) for file, found in names.items()}


def ours(databases: Path, files: Path, work: Path, flagged: Collection[str] = ()) -> Names:
    """What kavscanner --all-match finds; every file must have an answer. One that is not in *flagged*, those that
    ClamAV flags, may be an error: ClamAV is silent where an expression takes too many steps, and of broken archives."""
    run = kavscanner("--all-match", "--db", databases, "--state", work / "state", files, timeout=LONG)
    assert run.exit_code == 25, run.errors
    assert len(run.results) == len(list(files.iterdir()))
    found = {}
    for path, record in run.results.items():
        name = os.path.basename(path).decode()
        if record["status"] == "error":
            assert set(record["coverage"]["reasons"]) <= INCOMPLETE, record
            assert name not in flagged, record
        if record["threats"]:
            found[name] = frozenset(threat["name"].removesuffix(SUFFIX) for threat in record["threats"])
    return found
