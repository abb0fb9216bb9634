"""Kinds of database files, told by the end of their names: what is read, and what is known but not read yet.

The whole list of ClamAV's endings stands here, and our own (cure), so that a file which is not read is counted as what
it is. Kinds that end in u are for unwanted software: ClamAV reads them when asked to (--detect-pua); here what they
find is a Warning.
"""

from __future__ import annotations

import enum


class Form(enum.Enum):
    """How a kind is read, and what it does in an image."""

    BODY = "body"
    OLDEST = "oldest"  # as BODY, in the first form that ClamAV had
    LOGICAL = "logical"
    HASH = "hash"
    SECTIONS = "sections"  # hashes of PE sections
    IMPORTS = "imports"  # hashes of PE import tables
    MEMBERS = "members"  # what containers say of their members
    ZIP_MEMBERS = "zip members"  # the same, in the older form for zip
    RAR_MEMBERS = "rar members"
    PASSWORDS = "passwords"  # for encrypted archives
    TYPES = "types"  # formats by their first bytes
    ICONS = "icons"  # of PE files; logical signatures ask for their groups
    TRUST = "certificates"  # of programs, that are trusted or blocked
    EXCEPTION = "exception"  # digests of files that are never infected
    IGNORE = "ignore"  # names of signatures that are to be silent
    RECIPES = "recipes"  # how what a signature finds is cured; nothing is matched with them, nothing compiled

    @property
    def detects(self) -> bool:
        return self not in NO_SIGNATURES


NO_SIGNATURES = frozenset({
    Form.PASSWORDS, Form.TYPES, Form.ICONS, Form.TRUST, Form.EXCEPTION, Form.IGNORE, Form.RECIPES,
})  # fmt: skip
"""What is not counted as signatures. A rule that blocks a certificate is none to ClamAV, either."""


READ: dict[str, Form] = {
    "ndb": Form.BODY,
    "ndu": Form.BODY,
    "sdb": Form.BODY,
    "db": Form.OLDEST,
    "ldb": Form.LOGICAL,
    "ldu": Form.LOGICAL,
    "hdb": Form.HASH,
    "hdu": Form.HASH,
    "hsb": Form.HASH,
    "hsu": Form.HASH,
    "mdb": Form.SECTIONS,
    "msb": Form.SECTIONS,
    "mdu": Form.SECTIONS,
    "msu": Form.SECTIONS,
    "imp": Form.IMPORTS,
    "cdb": Form.MEMBERS,
    "zmd": Form.ZIP_MEMBERS,
    "rmd": Form.RAR_MEMBERS,
    "pwdb": Form.PASSWORDS,
    "ftm": Form.TYPES,
    "idb": Form.ICONS,
    "crb": Form.TRUST,
    "fp": Form.EXCEPTION,
    "sfp": Form.EXCEPTION,
    "ign": Form.IGNORE,
    "ign2": Form.IGNORE,
    "cure": Form.RECIPES,
}

PACKS = frozenset({"cvd", "cld", "cud"})
"""Files that hold database files: signed as a whole, updated, unsigned."""

SIGNED_PACKS = PACKS - {"cud"}

LATER: dict[str, str] = {
    "cbc": "bytecode",
    "cat": "Authenticode catalogue",
    "cfg": "engine settings",
    "gdb": "Google safe browsing",
    "info": "contents of a collection",
    "ioc": "OpenIOC",
    "pdb": "protected web addresses",
    "wdb": "trusted web addresses",
    "yar": "YARA",
    "yara": "YARA",
}

WHOLE_FILES = frozenset({"cvd", "cld", "cud", "cbc", "cat", "cfg", "info", "ioc", "yar", "yara"})
"""Of those in LATER: not one signature per line, so that only the file can be counted."""


def kind_of(name: bytes) -> str | None:
    """The kind of a database file, in small letters; None when the name is not one of a database."""
    _, dot, ending = name.rpartition(b".")
    kind = ending.decode("ascii", "replace").lower()
    return kind if dot and (kind in READ or kind in LATER or kind in PACKS) else None
