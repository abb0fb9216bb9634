"""Matcher: MB/s for each target type, and small layers a second, with all signatures there are.

The layers are the small files of one kind laid end to end behind the head of that kind, so that their bytes are as
mixed as those of a file server. The naive baseline is bytes.find for each of 100 literals of that type.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import literals
from benchmarks.conftest import Rate
from benchmarks.corpus import Corpus, files_below
from benchmarks.signatures import Signatures
from kavfs._native.match import Image
from kavfs.model import Target
from kavfs.signatures.image import open_image

LAYER = 8 << 20
KINDS = {
    "elf": Target.ELF,
    "pe": Target.PE,
    "html": Target.HTML,
    "text": Target.TEXT,
    "ole2": Target.OLE2,
    "pdf": Target.PDF,
    "jpeg": Target.GRAPHICS,
    "data": Target.ANY,
}
SMALL, SMALL_COUNT = 2048, 2000  # bytes at most, layers
NAIVE = 100  # literals


@pytest.fixture(scope="module")
def image(base: Signatures, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    state = os.fsencode(tmp_path_factory.mktemp("state"))
    with open_image([os.fsencode(base.folder)], state) as opened:
        yield Image([(part.fd, part.offset, part.length) for part in opened.parts])


def layer(corpus: Corpus, kind: str) -> bytes:
    """About 8 MiB that begin as a file of this kind does."""
    pieces: list[bytes] = []
    size = 0
    for path in files_below(corpus.folder):
        if path.endswith(b"." + kind.encode()) and size < LAYER:
            pieces.append(Path(os.fsdecode(path)).read_bytes())
            size += len(pieces[-1])
    return b"".join(pieces)[:LAYER]


@pytest.mark.parametrize("kind", KINDS)
def test_match(benchmark: Any, rate: Rate, image: Image, small_files: Corpus, kind: str) -> None:
    data = layer(small_files, kind)
    found = benchmark(image.scan, data)
    assert found.target == KINDS[kind]
    rate("MB/s", len(data) / 1e6)


@pytest.mark.parametrize("kind", ["elf", "html"])
def test_baseline_find(benchmark: Any, rate: Rate, base: Signatures, small_files: Corpus, kind: str) -> None:
    data = layer(small_files, kind)[: 1 << 20]
    wanted = [one.data for one in literals.collect(base.folder)[0] if one.target == KINDS[kind]][:NAIVE]

    def run() -> int:
        return sum(1 for text in wanted if data.find(text) >= 0)

    benchmark(run)
    rate(f"MB/s ({len(wanted)} literals)", len(data) / 1e6)


@pytest.fixture(scope="module")
def small_layers(small_files: Corpus) -> list[bytes]:
    found = []
    for path in files_below(small_files.folder):
        if os.path.getsize(path) <= SMALL and len(found) < SMALL_COUNT:
            found.append(Path(os.fsdecode(path)).read_bytes())
    return found


def test_small_layers(benchmark: Any, rate: Rate, image: Image, small_layers: list[bytes]) -> None:
    def run() -> None:
        for data in small_layers:
            image.scan(data)

    benchmark(run)
    rate("layers/s", len(small_layers))


def test_baseline_small_layers(benchmark: Any, rate: Rate, base: Signatures, small_layers: list[bytes]) -> None:
    """bytes.find for 100 literals in each layer."""
    wanted = [one.data for one in literals.collect(base.folder)[0] if one.target == Target.ANY][:NAIVE]

    def run() -> int:
        return sum(1 for data in small_layers for text in wanted if data.find(text) >= 0)

    benchmark(run)
    rate(f"layers/s ({len(wanted)} literals)", len(small_layers))
