"""Changes: what it means for what was already found clean when a database of a kind changes. One row for each kind.

An object is remembered as clean only when nothing matched it, not even a match that was lifted. So new detections are
all that can make it infected, and what is withdrawn, excepted or silenced concerns nothing that is remembered.
"""

from __future__ import annotations

import enum


class Change(enum.Enum):
    """What has to be looked at again after a change, in objects that were clean and complete before it."""

    LINES = "lines"  # only the lines that are new, each for itself
    NOTHING = "nothing"  # it can only lift or silence matches
    UNREAD = "unread"  # no line of it is read yet, so no answer can depend on it
    FULL = "full"  # a line of it can change how everything is read: scan in full


CHANGES: dict[str, Change] = {
    # A body, logical or hash signature stands for itself: it matches a layer or not, whatever stands beside it.
    "ndb": Change.LINES,
    "ndu": Change.LINES,
    "sdb": Change.LINES,
    "db": Change.LINES,
    "ldb": Change.LINES,
    "ldu": Change.LINES,
    "hdb": Change.LINES,
    "hdu": Change.LINES,
    "hsb": Change.LINES,
    "hsu": Change.LINES,
    # Likewise those of sections and import tables, for executables: what is remembered of these are their views.
    "mdb": Change.LINES,
    "msb": Change.LINES,
    "mdu": Change.LINES,
    "msu": Change.LINES,
    "imp": Change.LINES,
    # What a container says of a member is compared when it is taken apart, so whatever has members is looked at again.
    "cdb": Change.LINES,
    "zmd": Change.LINES,
    "rmd": Change.LINES,
    # Another type means other signatures and other members; a password, members where there were none.
    "ftm": Change.FULL,
    "pwdb": Change.FULL,
    # Logical signatures that name groups of icons are true with what stands in here.
    "idb": Change.FULL,
    # A certificate that is blocked now may stand in any program; one that is no longer trusted may have kept signatures
    # from counting, and what was in the program from being looked at.
    "crb": Change.FULL,
    # Exceptions and ignored names lift matches. An object with a lifted match is never remembered: when the exception
    # goes, the object is scanned in full as ever. One without a match has nothing to be lifted. A line that is ignored
    # by its digest is missing from its own database; when it comes back, it is a new line there.
    "fp": Change.NOTHING,
    "sfp": Change.NOTHING,
    "ign": Change.NOTHING,
    "ign2": Change.NOTHING,
    # A recipe says what is done about a finding, not whether there is one.
    "cure": Change.NOTHING,
    # A pack is nothing but what is in it, each by its own kind.
    "cvd": Change.NOTHING,
    "cld": Change.NOTHING,
    "cud": Change.NOTHING,
    # Not read yet. Behind each kind stands what its change will mean: LINES, FULL, or the rules that depend on it.
    "cbc": Change.UNREAD,  # FULL: a program sees everything
    "cat": Change.UNREAD,  # NOTHING: trusted, it lifts
    "cfg": Change.UNREAD,  # FULL: switches of the engine
    "gdb": Change.UNREAD,  # LINES, for what holds web addresses
    "info": Change.UNREAD,  # NOTHING: it describes a collection
    "ioc": Change.UNREAD,  # LINES
    "pdb": Change.UNREAD,  # FULL for mails: protected addresses are compared with all others
    "wdb": Change.UNREAD,  # NOTHING: trusted, it lifts
    "yar": Change.UNREAD,  # the rules that are new, with the private and global rules that they name
    "yara": Change.UNREAD,  # likewise
}


def change_of(kind: str) -> Change:
    """What the change of a database of this kind means; of a kind that nobody has thought of: everything."""
    return CHANGES.get(kind, Change.FULL)
