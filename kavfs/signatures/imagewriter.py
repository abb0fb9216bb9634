"""Image files written: what ``kavfs db compile -o`` does; apart from reading, which every start of a scan does."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence

from kavfs.errors import SystemFailure
from kavfs.ports import ImagePart
from kavfs.record import replace
from kavfs.signatures.catalog import Catalog, Part
from kavfs.signatures.image import Image, compile_image, open_image
from kavfs.signatures.imagefile import HEAD, MAGIC, PAGE
from kavfs.signatures.sources import absolute_path
from kavfs.signatures.store import sync_folder, write_all


def compile_image_file(paths: Sequence[str | bytes], output: str | bytes) -> Image:
    """Compile the databases on *paths* into one image file, and open that. Nothing is kept elsewhere."""
    target = absolute_path(output)
    with tempfile.TemporaryDirectory(prefix="kavfs-") as state, compile_image(paths, state) as image:
        sides = {entry.side: side for entry in image.entries if (side := image.side(entry))}
        _write_image(target, image.catalog, image.parts, sides)
    return open_image([target], b"")


def _write_image(path: bytes, catalog: Catalog, parts: Sequence[ImagePart], sides: dict[str, bytes]) -> None:
    """Write an image file beside *path* and rename it: what was there stays until the new one is wholly on disk."""
    shown = os.fsdecode(path)
    folder = os.path.dirname(path)
    try:
        fd, temporary = tempfile.mkstemp(prefix=b".new-", dir=folder)
        try:
            _write(fd, catalog, parts, sides)
            os.fchmod(fd, 0o644)
            os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        sync_folder(folder)
    except OSError as why:
        raise SystemFailure(f"image {shown} cannot be written: {why.strerror}") from None


def _write(fd: int, catalog: Catalog, parts: Sequence[ImagePart], sides: dict[str, bytes]) -> None:
    at = PAGE
    placed: list[Part] = []
    for part, opened in zip(catalog.parts, parts, strict=True):
        _copy(opened, fd, at)
        placed.append(replace(part, identity=None, offset=at))
        at = -(-(at + opened.length) // PAGE) * PAGE
    places: dict[str, tuple[int, int]] = {}
    for key, side in sides.items():
        write_all(fd, side, at)
        places[key] = (at, len(side))
        at += len(side)
    tree = {
        "catalog": replace(catalog, parts=tuple(placed), deltas=(), table=None).to_bytes().decode(),
        "sides": places,
    }
    index = json.dumps(tree, separators=(",", ":")).encode()
    write_all(fd, index, at)
    write_all(fd, HEAD.pack(MAGIC, at, len(index), hashlib.sha256(index).digest()), 0)


def _copy(part: ImagePart, fd: int, at: int) -> None:
    done = 0
    while done < part.length:
        piece = os.pread(part.fd, min(1 << 20, part.length - done), part.offset + done)
        if not piece:
            raise OSError(errno.EIO, "a compiled part became shorter")
        write_all(fd, piece, at + done)
        done += len(piece)
