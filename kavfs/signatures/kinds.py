"""Kinds of database files, told by the end of their names: what is read, and what is known but not read yet.

The whole list of ClamAV's endings stands here, so that a file which is not read is counted as what it is.
"""

from __future__ import annotations

import enum


class Form(enum.Enum):
    """How a kind is read, and what it does in an image."""

    BODY = "body"
    LOGICAL = "logical"
    HASH = "hash"
    SECTIONS = "sections"  # hashes of PE sections
    IMPORTS = "imports"  # hashes of PE import tables
    EXCEPTION = "exception"  # digests of files that are never infected
    IGNORE = "ignore"  # names of signatures that are to be silent

    @property
    def detects(self) -> bool:
        return self in (Form.BODY, Form.LOGICAL, Form.HASH, Form.SECTIONS, Form.IMPORTS)


READ: dict[str, Form] = {
    "ndb": Form.BODY,
    "ldb": Form.LOGICAL,
    "hdb": Form.HASH,
    "hsb": Form.HASH,
    "hdu": Form.HASH,
    "hsu": Form.HASH,
    "mdb": Form.SECTIONS,
    "msb": Form.SECTIONS,
    "mdu": Form.SECTIONS,
    "msu": Form.SECTIONS,
    "imp": Form.IMPORTS,
    "fp": Form.EXCEPTION,
    "sfp": Form.EXCEPTION,
    "ign2": Form.IGNORE,
}

LATER: dict[str, str] = {
    "cvd": "signed collection",
    "cld": "updated collection",
    "cud": "unsigned collection",
    "cbc": "bytecode",
    "cat": "Authenticode catalogue",
    "cdb": "container metadata",
    "cfg": "engine settings",
    "crb": "trusted and revoked certificates",
    "db": "body, oldest form",
    "ftm": "file types",
    "gdb": "Google safe browsing",
    "idb": "icon",
    "ign": "ignored signatures, old form",
    "info": "contents of a collection",
    "ioc": "OpenIOC",
    "ldu": "logical, unwanted software",
    "ndu": "body, unwanted software",
    "pdb": "protected web addresses",
    "pwdb": "passwords",
    "rmd": "archive metadata, RAR",
    "sdb": "body",
    "wdb": "trusted web addresses",
    "yar": "YARA",
    "yara": "YARA",
    "zmd": "archive metadata, ZIP",
}

WHOLE_FILES = frozenset({"cvd", "cld", "cud", "cbc", "cat", "cfg", "info", "ioc", "yar", "yara"})
"""Of those in LATER: not one signature per line, so that only the file can be counted."""


def kind_of(name: bytes) -> str | None:
    """The kind of a database file, in small letters; None when the name is not one of a database."""
    _, dot, ending = name.rpartition(b".")
    kind = ending.decode("ascii", "replace").lower()
    return kind if dot and (kind in READ or kind in LATER) else None
