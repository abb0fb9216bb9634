"""The openers of documents against thousands of broken ones, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.compound import Tree, compound, object_of_rtf, package, project, rtf

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("common", "source", "type", "object", "ole")
SECONDS = 2


def seeds() -> dict[str, bytes]:
    macro = b'Attribute VB_Name = "M"\r\nSub AutoOpen()\r\nEnd Sub\r\n' * 20
    tree: Tree = {"VBA": project({"M": macro}), "\x01Ole10Native": package(b"a", b"x" * 90), "Large": bytes(9000)}
    plain = compound(tree)
    return {
        "plain": plain,
        "large-sectors": compound(tree, 4096),
        "slides": compound({"PowerPoint Document": b"\x10\0\x11\x10\x20\0\0\0\x09\0\0\0x\x9c" + bytes(40)}),
        "rtf": rtf(object_of_rtf(b"Package", package(b"a", b"b")[4:]) + object_of_rtf(b"X", plain)),
    }


def test_no_broken_document_harms_the_openers(tmp_path: Path) -> None:
    sources = [*CHECKOUT.glob("ext/ole/*.c"), CHECKOUT / "ext/object/inflate.c", CHECKOUT / "ext/source/source.c"]
    sources += [CHECKOUT / "tests/fuzz" / f"{name}.c" for name in ("fuzz_ole", "sink", "mutate")]
    flags = ["-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    includes = [f"-I{CHECKOUT}/ext/{folder}" for folder in FOLDERS]
    program = tmp_path / "fuzz_ole"
    subprocess.run(["gcc", *flags, *includes, *map(str, sources), "-lz", "-o", str(program)], check=True)
    files = []
    for name, content in seeds().items():
        (tmp_path / name).write_bytes(content)
        files.append(str(tmp_path / name))
    run = subprocess.run(
        [program, str(SECONDS), "1", *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        pytest.fail(f"input kept in {tmp_path / 'mutate.last'}\n{run.stderr}")
    assert int(run.stdout.split()[0]) > 100
