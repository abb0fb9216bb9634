"""ClamAV's test files: one harmless program inside 44 packers, archives, documents and mails, and who finds it where.

    python -m tests.support.testfiles > tests/differential/clamav-testfiles.md

writes the table anew; tests/differential/test_clamav_testfiles.py fails where it says anything else than what happens.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from tests.support.programs import Run, kavscanner

FOLDER = Path("/usr/share/clamav-testfiles")
NAME = "Test.Program"

PACKED = "packed program: it is not unpacked"
INSTALLER = "installer: what it carries is not unpacked"
WHY = {
    "clam-aspack.exe": PACKED,
    "clam-fsg.exe": PACKED,
    "clam-mew.exe": PACKED,
    "clam-pespin.exe": PACKED,
    "clam-petite.exe": PACKED,
    "clam-upack.exe": PACKED,
    "clam-upx.exe": PACKED,
    "clam-wwpack.exe": PACKED,
    "clam-yc.exe": PACKED,
    "clam-nsis.exe": INSTALLER,
    "clam_IScab_ext.exe": INSTALLER,
    "clam_IScab_int.exe": INSTALLER,
    "clam_ISmsi_ext.exe": INSTALLER,
    "clam_ISmsi_int.exe": INSTALLER,
    "clam.ea05.exe": "AutoIt program: its script is not unpacked",
    "clam.ea06.exe": "AutoIt program: its script is not unpacked",
    "clam.arj": "ARJ archive: not opened",
    "clam.chm": "compiled help: not opened",
    "clam.sis": "SIS package: not opened",
    "clam.exe.szdd": "SZDD: not unpacked",
    "clam.exe.binhex": "BinHex: not decoded",
    "clam.exe.html": "data: address in a page: not decoded",
    "clam.exe.rtf": "object in RTF: not taken out",
    "clam.d64.zip": "zip: method Deflate64 is not unpacked",
    "clam.impl.zip": "zip: method Implode is not unpacked",
    "clam.bz2.zip": "zip: method bzip2 is not unpacked",
    "clam.ole.doc": "object in a document: not taken out",
    "clam.ppt": "object in a presentation: not taken out",
}
"""Why the native engine does not find it, where it does not."""

HEAD = """# ClamAV's test files

Debian's package `clamav-testfiles`: one harmless program in {all} wrappings. The native engine finds it in {native},
`--engine auto` in all, because it shows libclamav what the native engine does not cover wholly.

Made by `python -m tests.support.testfiles`; `tests/differential/test_clamav_testfiles.py` holds it to what happens.

| File | native | Why not |
|---|---|---|
"""


def write_database(folder: Path) -> Path:
    """A folder with the one signature of the test program."""
    program = (FOLDER / "clam.exe").read_bytes()
    folder.mkdir()
    (folder / "test.hdb").write_text(f"{hashlib.md5(program).hexdigest()}:{len(program)}:{NAME}\n")
    return folder


def scan(engine: str, folder: Path) -> Run:
    """All of them by *engine*; *folder* is for what that needs."""
    database = folder / "database"
    if not database.exists():
        write_database(database)
    return kavscanner("--db", database, "--state", folder / "state", "--engine", engine, FOLDER)


def found(run: Run) -> dict[str, set[str]]:
    """For each file, the engines that found the program in it."""
    return {
        Path(path.decode()).name: {threat["engine"] for threat in record["threats"] if threat["name"].startswith(NAME)}
        for path, record in run.results.items()
    }


def table(found_by: dict[str, set[str]]) -> str:
    """The table, from what the native engine found."""
    native = {name for name, engines in found_by.items() if "native" in engines}
    rows = [
        f"| {name} | {'yes' if name in native else 'no'} | {'' if name in native else WHY.get(name, '?')} |\n"
        for name in sorted(found_by)
    ]
    return HEAD.format(all=len(found_by), native=len(native)) + "".join(rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.stdout.write(table(found(scan("native", Path(temporary)))))
