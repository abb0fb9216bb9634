"""Refused: why a file cannot be cured. The numbers go from the curing process to the coordinator, which has the words:
so nothing that a process says after it was taken over reaches a report."""

from __future__ import annotations

import enum


class Why(enum.IntEnum):
    """Append only within a release; WHY_TEXTS has a line for each."""

    NOT_FOUND = 1
    FORMAT = 2
    NOTHING_LEFT = 3
    DAMAGED = 4
    ODD = 5
    DOUBLED = 6
    ENCRYPTED = 7
    MULTI_VOLUME = 8
    SIGNED = 9
    METHOD = 10
    TOO_MANY = 11
    SPACE = 12
    MEMORY = 13
    READING = 14
    DEFECT = 15
    ITSELF = 16
    NO_MACRO = 17
    NO_RECIPE = 18


WHY_TEXTS = {
    Why.NOT_FOUND: "the infected part was not found again",
    Why.FORMAT: "nothing is taken out of files of this kind",
    Why.NOTHING_LEFT: "nothing would be left",
    Why.DAMAGED: "it is damaged",
    Why.ODD: "its structure is unusual",
    Why.DOUBLED: "several members have the name of the infected one",
    Why.ENCRYPTED: "it is encrypted",
    Why.MULTI_VOLUME: "it is one of several volumes",
    Why.SIGNED: "it is signed",
    Why.METHOD: "its packing method cannot be written",
    Why.TOO_MANY: "too much in it is infected",
    Why.SPACE: "no space for the cured file",
    Why.MEMORY: "too little memory for curing",
    Why.READING: "it cannot be read, or the cured file not be written",
    Why.DEFECT: "the curing process failed",
    Why.ITSELF: "no single member is infected, but the whole file",
    Why.NO_MACRO: "what is infected is neither a macro nor an embedded object",
    Why.NO_RECIPE: "no recipe fits it",
}


class Refused(Exception):
    """This layer cannot be cured; the one around it may still be, without this one."""

    def __init__(self, why: Why) -> None:
        super().__init__(WHY_TEXTS[why])
        self.why = why
