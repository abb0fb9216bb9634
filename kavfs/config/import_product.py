"""Settings of 5.0, 5.5, 5.6 and 5.7 of the product and its siblings: the form is ours, few values are not."""

from __future__ import annotations

import os
from difflib import get_close_matches

from kavfs.config import kinds, mail_kinds
from kavfs.config.imported import ALL_KEYS, Imported, Source
from kavfs.config.ini import Entry
from kavfs.config.keys import Key
from kavfs.config.mail_keys import FAMILY, GROUP, names_of_groups

_OF_MAIL = {key.name.lower(): key.name for key in ALL_KEYS if key.section == "smtpscan.options"}

# What the product's own databases are recognized by.
_PRODUCT_BASES = (".avc", ".kdc", ".klb", ".set")

# Scan switches of siblings' daemons: taken where the file says nothing of kavscanner itself.
_DAEMONS = ("samba.options", "monitor.options", "kavmilter.engine")
_SWITCHES: dict[str, tuple[str, ...]] = {
    "packed": ("Packed",),
    "archives": ("Archives",),
    "selfextarchives": ("SelfExtArchives",),
    "mailbases": ("MailBases",),
    "mailplain": ("MailPlain",),
    "heuristic": ("Heuristic",),
    "excludedirs": ("ExcludeDirs",),
    "excludedir": ("ExcludeDirs",),
    "excludemask": ("ExcludeMask",),
    "scanpacked": ("Packed",),  # these three are those of the mail filter 5.6
    "scanarchives": ("Archives", "SelfExtArchives"),
    "scancodeanalyzer": ("Heuristic",),
}

_EMPTY = (kinds.PATH, kinds.ACTIONS, kinds.FOLDERS, kinds.MASKS, mail_kinds.PATTERNS, mail_kinds.FORWARD, kinds.LINE)

_WHY = {
    "smtpscan": "there is no such section of the mail filter",
    "updater": "updates of signatures: no part of this version reads it",
    "aveserver": "there is no such section of the scan server",
    "kav4lms": "mail server 5.6: no part of this version reads it",
    "group": "mail filter 5.6: no part of this version reads it",
    "kavmilter": "mail filter 5.6: no part of this version reads it",
    "samba": "file shares: no part of this version reads it",
    "monitor": "files as they are opened: no part of this version reads it",
    "icapserver": "web proxy: no part of this version reads it",
    "licensemanager": "there are no licences",
    "options": "kavscanner runs as whoever starts it; its workers become nobody",
}


def import_product(into: Imported, entries: list[Entry]) -> None:
    """All *entries* of one file, taken over or listed."""
    sections = [entry.section.lower() for entry in entries]
    scanner = "scanner.options" in sections
    mail = any(section.startswith(FAMILY) for section in sections) and FAMILY + "options" not in sections
    into.groups = names_of_groups([*(GROUP + name for name in into.groups), *(entry.section for entry in entries)])
    by_name = {(key.section.lower(), name.lower()): key for key in into.keys for name in (key.name, *key.synonyms)}
    for entry in entries:
        section = entry.section.lower()
        source = Source(entry.place, entry.section, entry.key.encode() + b"=" + entry.value)
        switches = () if scanner or section not in _DAEMONS else _SWITCHES.get(entry.key.lower(), ())
        for name in switches:
            into.take("scanner.options", name, entry.value, source)
        if switches:
            continue
        key = by_name.get((section, entry.key.lower()))
        if key is None:
            into.leave(source, _why_not(section, entry.key, into))
        elif why := _unusable(key, entry.value):
            into.leave(source, why)
        else:
            _take(into, key, entry.value, source)
            if mail and section == "aveserver.options" and key.name.lower() in _OF_MAIL:
                # The product's mail filter had its scans done by the scan server; ours has an engine of its own.
                _take(into, into.key(FAMILY + "options", key.name), entry.value, source)


def _take(into: Imported, key: Key, value: bytes, source: Source) -> None:
    if key.name == "BackupPath" and not value:
        into.leave(source, "copies are kept all the same, beside what is in quarantine; BackupPath=no for none")
        return
    if not value and (key.kind.empty_is_default or key.kind in _EMPTY):
        into.as_here(source, "empty, which is the default")
        return
    into.take(key.section, key.name, value, source)


def _unusable(key: Key, value: bytes) -> str:
    """Why a value that was right for the product is none for us; or nothing."""
    if key.name == "UseAVbasesSet" and value.lower() in (b"extended", b"redundant", b"paranoid"):
        return "unwanted software is always looked for, and told as WARNING"
    if key.name == "BasesPath" and value:
        if not os.path.isdir(value):
            return "there is no such folder; databases of the product cannot be read by kavfs"
        if any(
            name.lower().endswith(_PRODUCT_BASES) or name == "master.xml" for name in os.listdir(os.fsdecode(value))
        ):
            return "holds databases of the product, which kavfs cannot read"
    return ""


def _why_not(section: str, name: str, into: Imported) -> str:
    names = {key.name.lower(): key.name for key in into.keys if key.section.lower() == section}
    if names:
        near = get_close_matches(name.lower(), names, 1, 0.7)
        return "there is no such key" + (f"; the nearest is {names[near[0]]}" if near else "")
    word = section.replace(":", ".").split(".")[0]
    return _WHY.get(word, "there is no such section")
