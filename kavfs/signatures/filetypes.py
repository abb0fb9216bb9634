"""File types as ClamAV names them (CL_TYPE_...), and which of our formats they are.

A type that no format stands for is known all the same: a signature that asks for it is read, and never true.
"""

from __future__ import annotations

from kavfs._native.match import FORMATS
from kavfs.signatures.lines import Rejected

ANY = "CL_TYPE_ANY"

SAME: dict[str, tuple[str, ...]] = {
    "TEXT_ASCII": ("text", "script"),
    "TEXT_UTF8": ("text",),
    "TEXT_UTF16LE": ("text",),
    "TEXT_UTF16BE": ("text",),
    "BINARY_DATA": ("unknown",),
    "MSEXE": ("pe",),
    "ELF": ("elf",),
    "MACHO": ("macho",),
    "MACHO_UNIBIN": ("macho-fat",),
    "POSIX_TAR": ("tar",),
    "OLD_TAR": ("tar",),
    "CPIO_OLD": ("cpio",),
    "CPIO_ODC": ("cpio",),
    "CPIO_NEWC": ("cpio",),
    "CPIO_CRC": ("cpio",),
    "GZ": ("gzip",),
    "ZIP": ("zip", "ooxml-word", "ooxml-ppt", "ooxml-xl"),  # whose later members ClamAV finds as those of a zip, too
    "BZ": ("bzip2",),
    "RAR": ("rar",),
    "MSOLE2": ("ole2",),
    "MSCAB": ("cab",),
    "GRAPHICS": ("bmp",),
    "GIF": ("gif",),
    "PNG": ("png",),
    "JPEG": ("jpeg",),
    "TIFF": ("tiff",),
    "PDF": ("pdf",),
    "UUENCODED": ("uu",),
    "HTML_UTF16": ("html",),
    "SCRIPT": ("script",),
    "RTF": ("rtf",),
    "HTML": ("html",),
    "MAIL": ("mail", "mbox"),
    "7Z": ("7z",),
    "SWF": ("flash",),
    "ISO9660": ("iso",),
    "JAVA": ("java",),
    "XAR": ("xar",),
    "XZ": ("xz",),
    "LHA_LZH": ("lha",),
    "ONENOTE": ("onenote",),
}
"""Without CL_TYPE_ in front; those that are one of ours. Types of text are told apart otherwise than here: each takes
all of them."""

OTHERS = frozenset({
    "IGNORED", "ARJ", "MSSZDD", "MSCHM", "SIS", "SCRENC", "RIFF", "BINHEX", "TNEF", "CRYPTFF", "SFX", "ZIPSFX",
    "RARSFX", "CABSFX", "ARJSFX", "NULSFT", "AUTOIT", "ISHIELD_MSI", "7ZSFX", "DMG", "MBR", "GPT", "APM", "PART_ANY",
    "PART_HFSPLUS", "OOXML_WORD", "OOXML_PPT", "OOXML_XL", "INTERNAL", "XDP", "XML_WORD", "XML_XL", "HWP3", "XML_HWP",
    "HWPOLE2", "OOXML_HWP", "PS", "MHTML", "LNK", "EGG", "EGGSFX", "UDF", "ALZ", "PYTHON_COMPILED",
})  # fmt: skip
"""The others that ClamAV 1.4 knows. One that is the name of a format, too (in small letters, - for _), is that one."""


TARGETS = {
    "MSEXE": 1, "MSOLE2": 2, "HTML": 3, "MAIL": 4, "GRAPHICS": 5, "GIF": 5, "PNG": 5, "JPEG": 5, "TIFF": 5, "ELF": 6,
    "TEXT_ASCII": 7, "MACHO": 9, "MACHO_UNIBIN": 9, "PDF": 10, "SWF": 11, "JAVA": 12,
}  # fmt: skip
"""The target type of those that have one."""


def target_of(name: str) -> int:
    """The target type that layers of a file type have; 0 for none of their own."""
    return TARGETS.get(name.removeprefix("CL_TYPE_"), 0)


def handler_of(name: str) -> tuple[int, int]:
    """(format, target type) as which a layer is scanned that a signature gives to this type; raises Rejected."""
    formats_of(name)
    word = name.removeprefix("CL_TYPE_")
    format = SAME.get(word, (word.lower().replace("_", "-"),))[0]
    target = 7 if format in ("text", "script") else 3 if format == "html" else target_of(name)
    return FORMATS.index(format if format in FORMATS else "unknown"), target


def formats_of(name: str) -> frozenset[int]:
    """The numbers of the formats that a type stands for, which may be none; raises Rejected for a type nobody knows."""
    word = name.removeprefix("CL_TYPE_")
    if word == name or (word not in SAME and word not in OTHERS):
        raise Rejected("unknown file type")
    words = SAME.get(word, (word.lower().replace("_", "-"),))
    return frozenset(FORMATS.index(w) for w in words if w in FORMATS)
