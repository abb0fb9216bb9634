"""Cure of containers: what is infected in a file is taken out, and the rest stays byte for byte as it was.

Runs in the curing process (kavfs/scan/curing.py), never in the coordinator: all of this reads hostile bytes.

A kind of file is added by a line in CURERS: its format, as ext/type names it, and a function as task.py describes.
Members of a format that is not there go as a whole. A new reason is a line in refused.py.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from errno import EDQUOT, EFBIG, ENOSPC

from kavfs.action.cure.mails import cure_mail
from kavfs.action.cure.mboxes import cure_mbox
from kavfs.action.cure.mimeparts import load_charsets
from kavfs.action.cure.ole2 import cure_ole2
from kavfs.action.cure.ooxml import cure_package
from kavfs.action.cure.packed import cure_bzip2, cure_gzip, cure_lz4, cure_lzma, cure_xz, cure_zstd
from kavfs.action.cure.pieces import Scratch, Source, chunks_of, write_all
from kavfs.action.cure.pieces import joined as joined_pieces
from kavfs.action.cure.recipes import Found
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.sevenzips import cure_7z
from kavfs.action.cure.tars import cure_tar
from kavfs.action.cure.task import Curer, Layer, Task

CURERS: dict[str, Curer] = {
    "zip": cure_package,
    "ooxml-word": cure_package,
    "ooxml-xl": cure_package,
    "ooxml-ppt": cure_package,
    "ole2": cure_ole2,
    "tar": cure_tar,
    "gzip": cure_gzip,
    "bzip2": cure_bzip2,
    "xz": cure_xz,
    "lzma": cure_lzma,
    "zstd": cure_zstd,
    "lz4": cure_lz4,
    "7z": cure_7z,
    "mail": cure_mail,
    "mbox": cure_mbox,
}


def prepare() -> None:
    """What curers read by name: once, before the sandbox."""
    load_charsets()
    codecs.lookup("utf-16-le")  # names in 7z and in compound files


def cure(
    source: Source,
    out: int,
    scratch: int,
    form: str,
    infected: frozenset[bytes],
    lines: Mapping[bytes, Sequence[int]],
    name: bytes = b"",
    recipes: Mapping[bytes, Sequence[Found]] | None = None,
) -> list[bytes]:
    """Write *source* without what is infected to the descriptor *out*, and tell the paths of what was taken out.

    *form* is the format of the file, *infected* the paths of threats, *lines* the sizes of all infected members by
    path, those that only hold threats included, *name* what the file is called, *recipes* what the
    signatures of threats know, by path. Raises Refused; what *out* then holds means nothing.
    """
    task = Task(Scratch(scratch), CURERS, infected, lines, name, recipes or {})
    try:
        pieces = task.cure(Layer(source), form)
        at = 0
        for chunk in chunks_of(joined_pieces(pieces)):
            at = write_all(out, at, chunk)
    except MemoryError:
        raise Refused(Why.MEMORY) from None
    except OSError as error:
        raise Refused(Why.SPACE if error.errno in (ENOSPC, EDQUOT, EFBIG) else Why.READING) from None
    return list(task.gone)
