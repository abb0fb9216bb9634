"""Against clamscan: the forms of pages that signatures are matched against are the same, byte for byte.

clamscan leaves its own in a folder for temporary files; ours are written by a small program over the same C files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.pages import pages
from tests.support.programs import CHECKOUT

FORMS = ("nocomment.html", "notags.html", "javascript")
FOLDERS = ("common", "source", "text")
SEED = 5

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native") / "page_forms"
    sources = [path for path in CHECKOUT.glob("ext/text/*.c") if path.name != "views.c"]
    sources += [CHECKOUT / "ext/source/source.c", CHECKOUT / "tests/native/page_forms.c"]
    flags = ["-std=gnu11", "-O1"]
    includes = [f"-I{CHECKOUT}/ext/{folder}" for folder in FOLDERS]
    subprocess.run(["gcc", *flags, *includes, *map(str, sources), "-o", str(out)], check=True)
    return out


def theirs(files: Path, work: Path) -> dict[str, Path]:
    """Page -> the folder in which clamscan has left its forms."""
    database, left = work / "none.ndb", work / "left"
    database.write_text("Nothing:0:*:deadbeefdeadbeef0011223344\n")
    left.mkdir()
    command = ["clamscan", "-d", database, "--debug", "--leave-temps", f"--tempdir={left}", "--no-summary", files]
    run = subprocess.run(command, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    pages = re.findall(r"^(/\S+): OK$", run.stdout.decode(), re.MULTILINE)
    folders = re.findall(r"cli_scanhtml: using tempdir (\S+)", run.stderr.decode("latin-1"))
    assert len(pages) == len(folders), "every file is a page, and only once"
    return {Path(page).name: Path(folder) for page, folder in zip(pages, folders, strict=True)}


def content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def inline_data(theirs: Path, mine: Path) -> tuple[list[bytes], list[bytes]]:
    """What data URIs hold; each file begins with headers of its own kind, which are left out."""
    clam = [path.read_bytes().split(b"\n\n", 1)[1] for path in theirs.glob("rfc2397/*")]
    return sorted(clam), sorted(path.read_bytes() for path in mine.glob("data*"))


@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.long)])
def test_pages_have_the_forms_that_clamav_gives_them(count: int, program: Path, tmp_path: Path) -> None:
    files, out = tmp_path / "files", tmp_path / "ours"
    files.mkdir()
    out.mkdir()
    paths = [files / f"{i:05d}.html" for i in range(count)]
    for path, page in zip(paths, pages(SEED, count), strict=True):
        path.write_bytes(page)
    subprocess.run([program, out, *paths], check=True)
    left, wrong, scripts = theirs(files, tmp_path), [], 0
    for i, path in enumerate(paths):
        folder, mine = left[path.name], out / str(i)
        scripts += (mine / "javascript").exists()
        wrong += [f"{path.name}: {form}" for form in FORMS if content(folder / form) != content(mine / form)]
        clam, kav = inline_data(folder, mine)
        wrong += [f"{path.name}: data"] if clam != kav else []
    assert wrong == []
    assert scripts > count // 10
