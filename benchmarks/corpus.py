"""Corpora: /usr/bin as it is, a fixed sample of it, small files and a tree of very many made from a seed.

The small files are those of a file server: sizes log-normal (median 4 KiB, sigma 1.5, so the mean is about 12 KiB),
kinds drawn by the weights below, no content twice. They are made once and kept in the cache folder under a name that
holds every parameter.
"""

from __future__ import annotations

import io
import math
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SEED = 20240229
FILES = 20_000
PER_FOLDER = 200
VERSION = 1  # of the generator: another number makes other files
SAMPLE_STEP = 8

TREE = (80, 100, 50)  # folders, folders in each, files in each of these: 400,000 in 8,000
QUICK_TREE = (8, 10, 50)
TREE_SMALLEST, TREE_LARGEST = 100, 8192  # bytes; the logarithm of the size is uniform


class Sizes(NamedTuple):
    """How large the files of a corpus are: log-normal, between two bounds. Bytes."""

    median: int
    sigma: float  # of the logarithm
    smallest: int
    largest: int


SMALL = Sizes(4096, 1.5, 16, 4 << 20)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder of files to scan."""

    name: str
    folder: Path
    about: str  # how it came to be, for the report


def files_below(folder: Path) -> Iterator[bytes]:
    """Paths of the regular files below *folder* in a fixed order, every inode once."""
    seen: set[tuple[int, int]] = set()
    for top, folders, names in os.walk(os.fsencode(folder)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(top, name)
            info = os.lstat(path)
            if os.path.isfile(path) and not os.path.islink(path) and (info.st_dev, info.st_ino) not in seen:
                seen.add((info.st_dev, info.st_ino))
                yield path


def read_once(corpus: Corpus) -> tuple[int, int]:
    """Read everything, so that the page cache is warm. Files and bytes."""
    files = size = 0
    for path in files_below(corpus.folder):
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                size += len(piece)
        files += 1
    return files, size


# ---- kinds of small files: each takes (random, size, serial) and gives about size bytes, different for every serial


class Words:
    """Text by the megabyte: one pool of seeded words, of which slices are taken."""

    def __init__(self, rnd: random.Random) -> None:
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        weights = [1 / (i + 2) for i in range(26)]
        lexicon = ["".join(rnd.choices(letters, weights, k=rnd.randint(2, 11))) for _ in range(5000)]
        common = [1 / (i + 1) for i in range(5000)]
        self.pool = " ".join(rnd.choices(lexicon, common, k=400_000)).encode()

    def take(self, rnd: random.Random, size: int) -> bytes:
        out = b""
        while len(out) < size:
            at = rnd.randrange(len(self.pool) - 4096)
            out += self.pool[at : at + min(size - len(out), rnd.randint(200, 4096))] + b"\n"
        return out[:size]


Maker = Callable[[Words, random.Random, int, int], bytes]


def text(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    return b"Note %d\n" % serial + words.take(rnd, size)


def source(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    names = words.take(rnd, size // 3).split(b" ")
    body = b"".join(b"    %s = %s(%d)\n" % (name, name[::-1], rnd.randrange(1000)) for name in names)
    return b"#!/usr/bin/env python3\n# part %d\ndef main():\n" % serial + body


def html(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    paragraphs = words.take(rnd, size).split(b"\n")
    body = b"".join(b'<p class="c%d">%s</p>\n' % (i % 7, p) for i, p in enumerate(paragraphs))
    return b"<!DOCTYPE html>\n<html><head><title>%d</title></head><body>\n" % serial + body + b"</body></html>\n"


def mail(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    head = b"From: a%d@example.org\nTo: b@example.org\nSubject: letter %d\nMIME-Version: 1.0\n" % (serial, serial)
    return head + b"Content-Type: text/plain; charset=us-ascii\n\n" + words.take(rnd, size)


def office(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    """A zip with XML, as word processors write them."""
    document = b"<w:document>%d" % serial + b"<w:p>".join(words.take(rnd, size * 3).split(b"\n")) + b"</w:document>"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in (("[Content_Types].xml", b"<Types/>"), ("word/document.xml", document)):
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def headed(head: bytes, mixed: bool = False) -> Maker:
    """Files that begin with *head*; the rest is random, or random with text between (as programs are)."""

    def make(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
        body = b"%08d" % serial
        while mixed and len(body) < size:
            body += (
                rnd.randbytes(rnd.randint(64, 1024))
                + bytes(rnd.randint(0, 200))
                + words.take(rnd, rnd.randint(16, 400))
            )
        return head + (body[:size] if mixed else body + rnd.randbytes(size))

    return make


KINDS: dict[str, tuple[int, Maker]] = {
    "text": (26, text),
    "source": (12, source),
    "html": (14, html),
    "mail": (6, mail),
    "office": (6, office),
    "ole2": (6, headed(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504), mixed=True)),
    "pdf": (8, headed(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Length 9 >>\nstream\n")),
    "jpeg": (8, headed(bytes.fromhex("ffd8ffe000104a46494600010100000100010000"))),
    "png": (4, headed(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000100000001008060000001ff3ff61"))),
    "elf": (3, headed(b"\x7fELF\x02\x01\x01" + bytes(9) + bytes.fromhex("03003e0001000000") + bytes(40), mixed=True)),
    "pe": (
        3,
        headed(b"MZ\x90\0\x03" + bytes(55) + b"\x40\0\0\0PE\0\0" + bytes.fromhex("64860000") + bytes(16), mixed=True),
    ),
    "data": (4, headed(b"\x01\x02\x03\x04", mixed=True)),
}


def make(folder: Path, kinds: Mapping[str, tuple[int, Maker]], sizes: Sizes, seed: int, count: int) -> None:
    """*count* files of *kinds* (suffix: weight and maker), PER_FOLDER in each folder."""
    rnd = random.Random(seed)
    words = Words(rnd)
    names = list(kinds)
    weights = [kinds[name][0] for name in names]
    for serial in range(count):
        kind = rnd.choices(names, weights)[0]
        size = min(sizes.largest, max(sizes.smallest, int(rnd.lognormvariate(math.log(sizes.median), sizes.sigma))))
        place = folder / f"{serial // PER_FOLDER:04d}"
        if serial % PER_FOLDER == 0:
            place.mkdir()
        (place / f"{serial:06d}.{kind}").write_bytes(kinds[kind][1](words, rnd, size, serial))


def kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """*folder*, made by *make* unless it is there; a half-made one never gets the name."""
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        make(part)
        part.rename(folder)
    return folder


def small(cache: Path, seed: int = SEED, count: int = FILES) -> Corpus:
    """The small files, from the cache or made now."""
    name = f"small-v{VERSION}-{seed}-{count}"
    folder = kept(cache / name, lambda part: make(part, KINDS, SMALL, seed, count))
    sizes = f"log-normal sizes (median {SMALL.median} bytes, sigma {SMALL.sigma})"
    return Corpus("small files", folder, f"{count:,} files from seed {seed}, {sizes}, no content twice")


def binaries(folder: Path = Path("/usr/bin")) -> Corpus:
    return Corpus(str(folder), folder, "as it is on this machine")


def binaries_sample(cache: Path, folder: Path = Path("/usr/bin")) -> Corpus:
    """A copy of every eighth file of *folder* by name: what --quick scans."""

    def copy(part: Path) -> None:
        for path in list(files_below(folder))[::SAMPLE_STEP]:
            shutil.copyfile(path, os.path.join(os.fsencode(part), os.path.basename(path)))

    sample = kept(cache / f"sample-{SAMPLE_STEP}{str(folder).replace('/', '-')}", copy)
    return Corpus(f"{folder} 1/{SAMPLE_STEP}", sample, f"a copy of every {SAMPLE_STEP}th file of {folder} by name")


def make_tree(folder: Path, shape: tuple[int, int, int]) -> None:
    """The same kinds as the small files, of which most are smaller than a page."""
    rnd = random.Random(SEED)
    words = Words(rnd)
    names = list(KINDS)
    weights = [KINDS[name][0] for name in names]
    serial = 0
    for place in (folder / f"{i:03d}" / f"{j:03d}" for i in range(shape[0]) for j in range(shape[1])):
        place.mkdir(parents=True)
        for _ in range(shape[2]):
            kind = rnd.choices(names, weights)[0]
            size = round(math.exp(rnd.uniform(math.log(TREE_SMALLEST), math.log(TREE_LARGEST))))
            (place / f"{serial:06d}.{kind}").write_bytes(KINDS[kind][1](words, rnd, size, serial))
            serial += 1


def unchanged(cache: Path, shape: tuple[int, int, int] = TREE) -> Corpus:
    """The tree of very many small files, from the cache or made now."""
    name = f"tree-v{VERSION}-" + "-".join(map(str, shape))
    folder = kept(cache / name, lambda part: make_tree(part, shape))
    folders, files = shape[0] * shape[1], math.prod(shape)
    about = f"{files:,} files in {folders:,} folders from seed {SEED}, sizes about {TREE_SMALLEST} to {TREE_LARGEST}"
    return Corpus(f"{files:,} unchanged files", folder, about)
